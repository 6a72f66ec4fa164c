//! Inputs of mean 0 and one variance, so that one decay suits all of them.

use crate::softmax::Linear;
use candle_core::{Device, Tensor};

/// Mean and deviation of each input.
#[derive(Clone, Debug)]
pub struct Scaling {
    mean: Vec<f32>,
    /// By which an input is multiplied after its mean is taken away.
    factor: Vec<f32>,
}

impl Scaling {
    /// Of rows of a tensor `[rows, inputs]`: once applied, every input has mean 0 and variance 1 over the number of inputs.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn of(rows: &Tensor) -> candle_core::Result<Self> {
        let (count, inputs) = rows.dims2()?;
        let data = rows.flatten_all()?.to_vec1::<f32>()?;
        let (mut sums, mut squares) = (vec![0.0f64; inputs], vec![0.0f64; inputs]);
        for row in data.chunks_exact(inputs.max(1)) {
            for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(row) {
                *sum += f64::from(*value);
                *square += f64::from(*value).powi(2);
            }
        }
        let count = count as f64;
        let mean: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
        let root = (inputs as f64).sqrt();
        // An input that never changes tells nothing and is left out.
        let factor = |(square, mean): (&f64, &f64)| {
            let deviation = (square / count - mean * mean).max(0.0).sqrt();
            if deviation < 1e-6 { 0.0 } else { (1.0 / deviation / root) as f32 }
        };
        let factor = squares.iter().zip(&mean).map(factor).collect();
        Ok(Self { mean: mean.into_iter().map(|m| m as f32).collect(), factor })
    }

    /// The scaled rows.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn apply(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        let vector = |values: &[f32]| Tensor::from_slice(values, values.len(), &Device::Cpu);
        rows.broadcast_sub(&vector(&self.mean)?)?.broadcast_mul(&vector(&self.factor)?)
    }

    /// A layer on scaled inputs as one on the backbone's own: weights `[labels * inputs]` and biases.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn folded(&self, linear: &Linear) -> candle_core::Result<(Vec<f32>, Vec<f32>)> {
        let mut weight = linear.weight.to_vec2::<f32>()?;
        let mut bias = linear.bias.to_vec1::<f32>()?;
        for (row, bias) in weight.iter_mut().zip(&mut bias) {
            for ((value, factor), mean) in row.iter_mut().zip(&self.factor).zip(&self.mean) {
                *value *= factor;
                *bias -= *value * mean;
            }
        }
        Ok((weight.concat(), bias))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_inputs_are_of_one_variance_and_constant_ones_are_left_out() {
        let rows = [[1.0f32, 5.0, -2.0, 100.0], [3.0, 5.0, 2.0, 300.0]].concat();
        let rows = Tensor::from_vec(rows, (2, 4), &Device::Cpu).expect("tensor");
        let scaled = Scaling::of(&rows).and_then(|scaling| scaling.apply(&rows)).expect("scaled");
        let wanted = [[-0.5f32, 0.0, -0.5, -0.5], [0.5, 0.0, 0.5, 0.5]];
        let found = scaled.to_vec2::<f32>().expect("rows").concat();
        assert!(found.iter().zip(wanted.as_flattened()).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn a_folded_layer_gives_the_same_logits() {
        let rows: Vec<f32> = (0..15).map(|i| (i as f32 * 1.3).sin() * 3.0 + 7.0).collect();
        let rows = Tensor::from_vec(rows, (5, 3), &Device::Cpu).expect("tensor");
        let scaling = Scaling::of(&rows).expect("scaling");
        let linear = Linear {
            weight: Tensor::new(&[[1.0f32, -2.0, 0.5], [0.3, 0.1, -0.7]], &Device::Cpu).expect("weight"),
            bias: Tensor::new(&[0.2f32, -0.1], &Device::Cpu).expect("bias"),
        };
        let wanted = linear.logits(&scaling.apply(&rows).expect("scaled")).expect("logits").concat();
        let (weight, bias) = scaling.folded(&linear).expect("folded");
        let folded = Linear {
            weight: Tensor::from_vec(weight, (2, 3), &Device::Cpu).expect("weight"),
            bias: Tensor::from_vec(bias, 2, &Device::Cpu).expect("bias"),
        };
        let found = folded.logits(&rows).expect("logits").concat();
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {wanted:?}");
    }
}
