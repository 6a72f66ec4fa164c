//! Few rows of many inputs, in coordinates of their own space.
//!
//! A classifier that is fitted with a decay of its squared weights is a sum of the rows it was fitted to (the representer
//! theorem), so nothing is lost in their space, which has no more dimensions than there are rows. The coordinates are those
//! of an orthonormal basis: products and lengths stay what they are, and so do the fit, its decay and the steps of L-BFGS.

use crate::error::TeachError;
use crate::softmax::{Linear, blocks};
use candle_core::{DType, Device, Tensor};

/// A row whose square beyond the basis is less than this part of the longest row's is taken to lie in its space.
const TOLERANCE: f64 = 1e-9;

/// Rows with their coordinates, by a pivoted Cholesky decomposition of their inner products.
pub(crate) struct Rotation {
    /// `[rows, inputs]`, f64.
    inputs: Tensor,
    /// Coordinates of each row; of the basis' own rows they form a lower triangle.
    coordinates: Vec<Vec<f64>>,
    /// The row that each coordinate was made of.
    pivots: Vec<usize>,
}

impl Rotation {
    /// Of rows `[rows, inputs]`.
    ///
    /// # Errors
    /// [`TeachError::Abandoned`] and [`TeachError::Tensor`].
    pub(crate) fn of(inputs: &Tensor, is_abandoned: &dyn Fn() -> bool) -> Result<Self, TeachError> {
        let inputs = inputs.to_dtype(DType::F64)?;
        let products = products(&inputs, is_abandoned)?;
        // Of each row, the square of what lies beyond the basis; below nought of the basis' own.
        let mut beyond: Vec<f64> =
            products.iter().enumerate().map(|(at, row)| row.get(at).copied().unwrap_or(0.0)).collect();
        let least = TOLERANCE * beyond.iter().copied().fold(0.0, f64::max);
        let mut coordinates = vec![Vec::new(); products.len()];
        let mut pivots = Vec::new();
        while pivots.len() < products.len() {
            if is_abandoned() {
                return Err(TeachError::Abandoned);
            }
            let farthest = beyond.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
            let Some((pivot, square)) = farthest.filter(|(_, square)| *square > least) else { break };
            let root = square.sqrt();
            let own = coordinates[pivot].clone();
            let rows = coordinates.iter_mut().zip(&mut beyond).zip(&products[pivot]);
            for ((row, beyond), product) in rows {
                let value = if *beyond > 0.0 { (product - dot(row, &own)) / root } else { 0.0 };
                *beyond -= value * value;
                row.push(value);
            }
            if let Some(last) = coordinates[pivot].last_mut() {
                *last = root;
            }
            beyond[pivot] = -1.0;
            pivots.push(pivot);
        }
        if pivots.is_empty() {
            coordinates.iter_mut().for_each(|row| row.push(0.0));
        }
        Ok(Self { inputs, coordinates, pivots })
    }

    /// The rows' coordinates, `[rows, dimensions]`.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub(crate) fn coordinates(&self) -> candle_core::Result<Tensor> {
        let dimensions = self.coordinates.first().map_or(0, Vec::len);
        let flat: Vec<f32> = self.coordinates.iter().flatten().map(|value| *value as f32).collect();
        Tensor::from_vec(flat, (self.coordinates.len(), dimensions), &Device::Cpu)
    }

    /// A layer on coordinates as one on inputs.
    ///
    /// # Errors
    /// [`TeachError::Abandoned`] and [`TeachError::Tensor`].
    pub(crate) fn undone(
        &self,
        linear: &Linear,
        is_abandoned: &dyn Fn() -> bool,
    ) -> Result<Linear, TeachError> {
        let (count, inputs) = self.inputs.dims2()?;
        let weight = linear.weight.to_vec2::<f32>()?;
        let mut shares = Vec::with_capacity(weight.len() * count);
        for row in &weight {
            if is_abandoned() {
                return Err(TeachError::Abandoned);
            }
            shares.extend(self.shares(row));
        }
        let mut parts = Vec::new();
        for (from, len) in blocks(weight.len(), count * inputs) {
            if is_abandoned() {
                return Err(TeachError::Abandoned);
            }
            let shares =
                Tensor::from_slice(&shares[from * count..][..len * count], (len, count), &Device::Cpu)?;
            parts.push(shares.matmul(&self.inputs)?.to_dtype(DType::F32)?);
        }
        Ok(Linear { weight: Tensor::cat(&parts, 0)?, bias: linear.bias.clone() })
    }

    /// How much of each row a vector of coordinates is made of: the triangle is solved backwards.
    fn shares(&self, vector: &[f32]) -> Vec<f64> {
        let mut rest: Vec<f64> = vector.iter().map(|value| f64::from(*value)).collect();
        let mut shares = vec![0.0; self.coordinates.len()];
        for (at, pivot) in self.pivots.iter().enumerate().rev() {
            let own = &self.coordinates[*pivot];
            let share = rest[at] / own[at];
            shares[*pivot] = share;
            rest.iter_mut().zip(&own[..at]).for_each(|(rest, value)| *rest -= share * value);
        }
        shares
    }
}

/// Inner products of all rows with all.
fn products(inputs: &Tensor, is_abandoned: &dyn Fn() -> bool) -> Result<Vec<Vec<f64>>, TeachError> {
    let (count, width) = inputs.dims2()?;
    let transposed = inputs.t()?;
    let mut products = Vec::with_capacity(count);
    for (from, len) in blocks(count, count * width) {
        if is_abandoned() {
            return Err(TeachError::Abandoned);
        }
        products.extend(inputs.narrow(0, from, len)?.matmul(&transposed)?.to_vec2::<f64>()?);
    }
    Ok(products)
}

/// In lanes, which the compiler turns into vectors.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0f64; LANES];
    for (a, b) in a_blocks.zip(b_blocks) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::mixed;
    use crate::softmax::{Rows, fit};

    fn tensor(rows: usize, inputs: usize) -> Tensor {
        let value = |at: usize| ((mixed(at as u64) % 2001) as f32 / 1000.0 - 1.0) / (inputs as f32).sqrt();
        let values = (0..rows * inputs).map(value).collect::<Vec<_>>();
        Tensor::from_vec(values, (rows, inputs), &Device::Cpu).expect("tensor")
    }

    fn gap(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
        a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn coordinates_keep_every_product() {
        let inputs = tensor(12, 40);
        let rotation = Rotation::of(&inputs, &|| false).expect("rotated");
        let coordinates = rotation.coordinates().expect("tensor");
        assert_eq!(coordinates.dims(), [12, 12]);
        let products =
            |t: &Tensor| t.matmul(&t.t().expect("t")).and_then(|p| p.to_vec2::<f32>()).expect("products");
        assert!(gap(&products(&inputs), &products(&coordinates)) < 1e-5);
    }

    #[test]
    fn the_fit_in_coordinates_is_the_plain_one() {
        let inputs = tensor(24, 90);
        let labels: Vec<u16> = (0..24).map(|at| at % 3).collect();
        let rotation = Rotation::of(&inputs, &|| false).expect("rotated");
        let fitted = |inputs: &Tensor| {
            fit(&Rows { inputs, labels: &labels, weights: &[1.0; 24] }, 3, 1e-2, &|| false).expect("fitted")
        };
        let plain = fitted(&inputs);
        let rotated = rotation.undone(&fitted(&rotation.coordinates().expect("tensor")), &|| false);
        let rotated = rotated.expect("undone");
        assert_eq!(rotated.weight.dims(), plain.weight.dims());
        let others = tensor(50, 90);
        let logits = |linear: &Linear| linear.logits(&others).expect("logits");
        let (plain, rotated) = (logits(&plain), logits(&rotated));
        assert!(gap(&plain, &rotated) < 0.02, "{plain:?} {rotated:?}");
        assert!(plain.iter().flatten().any(|logit| logit.abs() > 0.05), "there is something to compare");
    }

    #[test]
    fn equal_rows_share_a_dimension_and_no_rows_have_none() {
        let one = tensor(3, 20);
        let twice = Tensor::cat(&[&one, &one], 0).expect("tensor");
        let rotation = Rotation::of(&twice, &|| false).expect("rotated");
        let coordinates = rotation.coordinates().expect("tensor").to_vec2::<f32>().expect("rows");
        assert_eq!(rotation.pivots.len(), 3);
        assert!(gap(&coordinates[..3], &coordinates[3..]) < 1e-5);
        let nothing = Tensor::zeros((4, 20), DType::F32, &Device::Cpu).expect("tensor");
        let rotation = Rotation::of(&nothing, &|| false).expect("rotated");
        let coordinates = rotation.coordinates().expect("tensor");
        assert_eq!(coordinates.dims(), [4, 1]);
        let linear = Linear {
            weight: Tensor::ones((2, 1), DType::F32, &Device::Cpu).expect("weight"),
            bias: Tensor::zeros(2, DType::F32, &Device::Cpu).expect("bias"),
        };
        let undone = rotation.undone(&linear, &|| false).expect("undone");
        assert_eq!(undone.weight.to_vec2::<f32>().expect("weight").concat(), [0.0; 40]);
    }

    #[test]
    fn it_ends_when_it_is_abandoned() {
        assert!(matches!(Rotation::of(&tensor(4, 9), &|| true), Err(TeachError::Abandoned)));
    }
}
