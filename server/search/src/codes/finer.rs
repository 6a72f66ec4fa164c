//! The finer code of a signature: what its first code leaves over, in two bits a number.
//!
//! With r ~ p c + g e by the first code, the finer one adds g f. Each number of f has one of four values, evenly spaced,
//! as far apart as that number's spread over the sample asks for. Even steps cost hardly more of the error than the best
//! four values do (.119 and .117 of the variance, were it normal), and make a product with a query a sum of code times
//! number, without any look-up.
//!
//! The first code leaves nothing over along the cell's centre c, where a query of the cell has most of its length. What f has
//! there is error alone, and as much of it as in all other directions together: it is taken away.

use crate::Instructions;
use crate::kernels;
use serde::{Deserialize, Serialize};

/// Numbers that share a byte.
const NUMBERS_A_BYTE: usize = 4;
/// The best step for a normal variable of deviation 1 (J. Max, Quantizing for minimum distortion, 1960, table II).
const STEP: f32 = 0.9957;
/// The values of a number are `step * (code - MIDDLE)`.
const MIDDLE: f32 = 1.5;

/// How the finer codes of one column are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FinerCodec {
    /// By number, in gains, at least 0.
    steps: Vec<f32>,
}

/// Bytes of the finer code of a signature of dimension `dim`.
pub(super) fn finer_bytes(dim: usize) -> usize {
    dim.div_ceil(NUMBERS_A_BYTE)
}

impl FinerCodec {
    /// Of signatures that the first code leaves nothing of.
    pub(super) fn of_nothing(dim: usize) -> Self {
        Self { steps: vec![0.0; dim] }
    }

    /// Of the sums of the squares, by number, of what the first code leaves of `count` signatures, over their gains.
    pub(super) fn of_squares(squares: &[f64], count: usize) -> Self {
        let step = |sum: &f64| STEP * (sum / count.max(1) as f64).sqrt() as f32;
        Self { steps: squares.iter().map(step).collect() }
    }

    /// Whether it can code signatures of dimension `dim`, as it can after reading a file.
    pub(super) fn is_sound(&self, dim: usize) -> bool {
        self.steps.len() == dim && self.steps.iter().all(|step| step.is_finite() && *step >= 0.0)
    }

    /// Codes `rest`, what the first code leaves over of a signature, over its gain: byte b of n has the numbers b, n + b,
    /// 2 n + b and 3 n + b, from its lowest bits on, so that a kernel takes all bytes of one shift together.
    pub(super) fn encode(&self, rest: &[f32], out: &mut [u8]) {
        out.fill(0);
        let n = out.len().max(1);
        for (quarter, (rest, steps)) in rest.chunks(n).zip(self.steps.chunks(n)).enumerate() {
            for ((rest, step), byte) in rest.iter().zip(steps).zip(&mut *out) {
                let code = u8::from(*rest > -step) + u8::from(*rest > 0.0) + u8::from(*rest > *step);
                *byte |= code << (2 * quarter);
            }
        }
    }

    /// What a query needs for products with finer codes of a cell: `centre` is its direction, along which the query
    /// is `along` long.
    pub(super) fn products(
        &self,
        query: &[f32],
        centre: impl Iterator<Item = f32>,
        along: f32,
    ) -> FinerProducts {
        let across = query.iter().zip(centre).map(|(q, c)| q - along * c);
        let scaled: Vec<f32> = across.zip(&self.steps).map(|(q, step)| q * step).collect();
        let middle = MIDDLE * scaled.iter().sum::<f32>();
        FinerProducts { scaled, middle }
    }
}

/// A query beside the finer codes of one cell.
#[derive(Clone, Debug)]
pub(super) struct FinerProducts {
    /// Numbers of the query across the centre, times the steps.
    scaled: Vec<f32>,
    /// What the middle of the codes adds.
    middle: f32,
}

impl FinerProducts {
    /// The product of the query with what a code stands for, in gains.
    pub(super) fn product(&self, code: &[u8]) -> f32 {
        kernels::product_of_quarters(Instructions::best(), &self.scaled, code) - self.middle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::prelude::*;
    use rand_chacha::ChaCha8Rng;

    proptest! {
        /// Every number gets the nearest of its four values, and products are those of the values across the centre.
        #[test]
        fn codes_stand_for_the_nearest_values(seed: u64, dim in 1usize..140) {
            let rng = &mut ChaCha8Rng::seed_from_u64(seed);
            let mut numbers = |least: f32| -> Vec<f32> { (0..dim).map(|_| rng.random_range(least..1.0)).collect() };
            let (rest, query, mut centre, mut steps) = (numbers(-1.0), numbers(-1.0), numbers(-1.0), numbers(0.0));
            let length = centre.iter().map(|c| c * c).sum::<f32>().sqrt();
            centre.iter_mut().for_each(|c| *c /= length);
            // A number that never differs.
            steps[dim / 2] = 0.0;
            let codec = FinerCodec { steps };
            prop_assert!(codec.is_sound(dim));
            let mut code = vec![0xff; finer_bytes(dim)];
            codec.encode(&rest, &mut code);
            let (mut product, mut along) = (0.0, 0.0);
            for (d, step) in codec.steps.iter().enumerate() {
                let number = code[d % code.len()] >> (d / code.len() * 2) & 3;
                let gap = |number: u8| (rest[d] - step * (f32::from(number) - MIDDLE)).abs();
                prop_assert!((0..4).all(|other| gap(number) <= gap(other) + 1e-6));
                let value = step * (f32::from(number) - MIDDLE);
                product += query[d] * value;
                along += centre[d] * value;
            }
            let of_query: f32 = query.iter().zip(&centre).map(|(q, c)| q * c).sum();
            let found = codec.products(&query, centre.iter().copied(), of_query).product(&code);
            prop_assert!((found - (product - of_query * along)).abs() < 1e-3, "{found}");
        }
    }
}
