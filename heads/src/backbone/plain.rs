//! AlexNet in candle's own operations: the reference that faster ways are compared with.

use super::alexnet::LAYERS;
use candle_core::{DType, Result, Tensor};
use std::collections::HashMap;

/// conv1 to conv5 of `[batch, 3, 224, 224]`: `[batch, 256, 13, 13]`, from tensors with torchvision's names.
///
/// # Errors
/// When a tensor is missing, or the tensor library fails.
pub fn plain_conv5(tensors: &HashMap<String, Tensor>, input: &Tensor) -> Result<Tensor> {
    let tensor = |name: String| {
        let found = tensors.get(&name).ok_or_else(|| candle_core::Error::Msg(format!("{name} is missing")));
        found?.to_dtype(DType::F32)
    };
    let mut x = input.clone();
    for (at, (place, stride, padding, [outputs, ..])) in LAYERS.into_iter().enumerate() {
        let bias = tensor(format!("features.{place}.bias"))?.reshape((1, outputs, 1, 1))?;
        let weight = tensor(format!("features.{place}.weight"))?;
        x = x.conv2d(&weight, padding, stride, 1, 1)?.broadcast_add(&bias)?.relu()?;
        if at < 2 {
            x = x.max_pool2d_with_stride(3, 2)?;
        }
    }
    Ok(x)
}
