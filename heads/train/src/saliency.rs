//! Where the main object of a picture is, by a decoder on DINOv2's tokens: the teacher of the mask's head.
//!
//! It takes a tenth of a second a picture, too much for a server. The decoder is three transposed convolutions, each
//! doubling the map, with batch norm and a rectifier behind, and one number a pixel in the end.

use anyhow::Context;
use candle_core::{DType, Device, IndexOp, Tensor};
use lapel_heads::{TransformerConfig, VisionTransformer, Weights};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Side of the pictures it looks at.
pub const TEACHER_SIDE: usize = 224;
/// Side of the tokens' grid.
const GRID: usize = 16;
/// Side of what it gives.
pub const SALIENCY_SIDE: usize = GRID << STEPS;
const STEPS: usize = 3;
/// Rows and columns of a transposed convolution; with a stride of 2, one is cut off on every side.
const KERNEL: usize = 4;
/// Of batch norm.
const EPSILON: f64 = 1e-5;

/// The network and the decoder.
pub struct Saliency {
    tokens: VisionTransformer,
    steps: Vec<Step>,
    /// `[channels, 1]`.
    weight: Tensor,
    bias: Tensor,
}

struct Step {
    /// `[inputs, outputs * KERNEL * KERNEL]`.
    weight: Tensor,
    /// What batch norm multiplies by, and what is added after it, the convolution's bias included.
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Saliency {
    /// Reads DINOv2 ViT-S/14 under its official names, and the decoder (`upconvN`, `bnN`, `final_conv`).
    ///
    /// # Errors
    /// When a file cannot be read or lacks a tensor.
    pub fn read(dinov2: &Path, decoder: &Path) -> anyhow::Result<Self> {
        let load = |path: &Path| -> anyhow::Result<HashMap<String, Tensor>> {
            let read = candle_core::safetensors::load(path, &Device::Cpu);
            let read = read.with_context(|| path.display().to_string())?;
            read.into_iter().map(|(name, t)| Ok((name, t.to_dtype(DType::F32)?))).collect()
        };
        let weights = |(name, tensor): (String, Tensor)| {
            let (shape, data) = (tensor.dims().to_vec(), tensor.flatten_all()?.to_vec1()?);
            anyhow::Ok((name, Weights { shape, data }))
        };
        let tensors = load(dinov2)?.into_iter().map(weights).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        let config = TransformerConfig::dinov2_vits14();
        let tokens = VisionTransformer::from_tensors(&config, TEACHER_SIDE, &tensors)
            .with_context(|| dinov2.display().to_string())?;
        let tensors = load(decoder)?;
        let find = |name: String| {
            tensors.get(&name).with_context(|| format!("{} lacks the tensor {name}", decoder.display()))
        };
        let step = |number: usize| {
            let weight = find(format!("upconv{number}.weight"))?;
            let (inputs, outputs, rows, columns) = weight.dims4()?;
            anyhow::ensure!((rows, columns) == (KERNEL, KERNEL), "upconv{number} is not {KERNEL} x {KERNEL}");
            let norm = |part: &str| find(format!("bn{number}.{part}"));
            let scale = (norm("weight")? / (norm("running_var")? + EPSILON)?.sqrt()?)?;
            let moved = (find(format!("upconv{number}.bias"))? - norm("running_mean")?)?;
            let shift = ((moved * &scale)? + norm("bias")?)?;
            Ok(Step {
                weight: weight.reshape((inputs, outputs * KERNEL * KERNEL))?,
                scale: scale.to_vec1()?,
                shift: shift.to_vec1()?,
            })
        };
        let steps = (1..=STEPS).map(step).collect::<anyhow::Result<_>>()?;
        let weight = find("final_conv.weight".into())?.i((0, .., 0, 0))?.unsqueeze(1)?;
        Ok(Self { tokens, steps, weight, bias: find("final_conv.bias".into())?.clone() })
    }

    /// Probabilities that pixels are of the main object, `[SALIENCY_SIDE, SALIENCY_SIDE]`, of a picture, RGB
    /// `[TEACHER_SIDE, TEACHER_SIDE, 3]`.
    ///
    /// # Errors
    /// When the picture has another size.
    pub fn of(&self, picture: &[u8]) -> anyhow::Result<Vec<f32>> {
        let mut map = self.tokens.patches(picture)?;
        let mut side = GRID;
        for step in &self.steps {
            map = step.forward(&map, side)?;
            side *= 2;
        }
        let logits = map.matmul(&self.weight)?.broadcast_add(&self.bias)?;
        Ok(candle_nn::ops::sigmoid(&logits)?.flatten_all()?.to_vec1()?)
    }
}

impl Step {
    /// Of `[side * side, inputs]`, `[4 * side * side, outputs]`.
    fn forward(&self, map: &Tensor, side: usize) -> candle_core::Result<Tensor> {
        let (outputs, taps) = (self.scale.len(), KERNEL * KERNEL);
        let products = map.matmul(&self.weight)?.flatten_all()?.to_vec1::<f32>()?;
        let double = 2 * side;
        let mut out = vec![0.0f32; double * double * outputs];
        for (cell, products) in products.chunks_exact(outputs * taps).enumerate() {
            for tap in 0..taps {
                let along = |at: usize, tap: usize| (2 * at + tap).checked_sub(1).filter(|at| *at < double);
                let (Some(y), Some(x)) = (along(cell / side, tap / KERNEL), along(cell % side, tap % KERNEL))
                else {
                    continue;
                };
                let to = &mut out[(y * double + x) * outputs..][..outputs];
                for (to, product) in to.iter_mut().zip(products.iter().skip(tap).step_by(taps)) {
                    *to += product;
                }
            }
        }
        for pixel in out.chunks_exact_mut(outputs) {
            for ((value, scale), shift) in pixel.iter_mut().zip(&self.scale).zip(&self.shift) {
                *value = (*value * scale + shift).max(0.0);
            }
        }
        Tensor::from_vec(out, (double * double, outputs), &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against candle's transposed convolution.
    #[test]
    fn a_step_is_a_transposed_convolution_with_batch_norm() -> candle_core::Result<()> {
        let (inputs, outputs, side) = (3, 5, 4);
        let weight = Tensor::randn(0f32, 1.0, (inputs, outputs, KERNEL, KERNEL), &Device::Cpu)?;
        let map = Tensor::randn(0f32, 1.0, (side * side, inputs), &Device::Cpu)?;
        let step = Step {
            weight: weight.reshape((inputs, outputs * KERNEL * KERNEL))?,
            scale: vec![0.5, 1.0, 2.0, -1.0, 0.1],
            shift: vec![0.0, 0.1, -0.2, 0.3, 0.0],
        };
        let found = step.forward(&map, side)?.t()?.reshape((outputs, 2 * side, 2 * side))?;
        let plain = map.t()?.reshape((1, inputs, side, side))?.conv_transpose2d(&weight, 1, 0, 2, 1)?;
        let column = |values: &[f32]| Tensor::new(values, &Device::Cpu)?.reshape((1, outputs, 1, 1));
        let plain = plain.broadcast_mul(&column(&step.scale)?)?.broadcast_add(&column(&step.shift)?)?;
        let gap = (plain.relu()?.squeeze(0)? - found)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(gap < 1e-4, "{gap}");
        Ok(())
    }
}
