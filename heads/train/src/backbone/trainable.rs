//! AlexNet conv1 to conv5 with weights that training can move.

use super::autograd::{convolve, max_pool};
use super::window::Window;
use candle_core::{Device, Result, Tensor, Var};
use lapel_heads::{AlexNet, BACKBONE_LAYERS, Canvas};
use std::collections::HashMap;

/// AlexNet's convolutions as a differentiable function of their weights.
pub struct TrainableAlexNet {
    layers: Vec<Layer>,
    /// Layers before this one stay as they are.
    trained_from: usize,
}

struct Layer {
    name: String,
    /// `[out, in * kernel * kernel]` and `[out, 1]`.
    weight: Var,
    bias: Var,
    window: Window,
    inputs: usize,
}

impl TrainableAlexNet {
    /// Starts from tensors of torchvision's names; the first `trained_from` convolutions (0 to 4) stay fixed.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn new(tensors: &HashMap<String, Tensor>, trained_from: usize, device: &Device) -> Result<Self> {
        let layer = |(at, stride, padding, shape): &(usize, usize, usize, [usize; 4])| {
            let name = format!("features.{at}");
            let find = |part: &str| {
                tensors
                    .get(&format!("{name}.{part}"))
                    .ok_or_else(|| candle_core::Error::Msg(format!("{name}.{part} is missing")))?
                    .to_dtype(candle_core::DType::F32)?
                    .to_device(device)
            };
            let [out, inputs, kernel, _] = *shape;
            Ok(Layer {
                weight: Var::from_tensor(&find("weight")?.reshape((out, inputs * kernel * kernel))?)?,
                bias: Var::from_tensor(&find("bias")?.reshape((out, 1))?)?,
                window: Window { kernel, stride: *stride, padding: *padding },
                inputs,
                name,
            })
        };
        Ok(Self { layers: BACKBONE_LAYERS.iter().map(layer).collect::<Result<_>>()?, trained_from })
    }

    /// The weights that training moves, by torchvision's names.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, Var)> {
        let trained = self.layers.iter().skip(self.trained_from);
        let both = trained.flat_map(|layer| {
            [("weight", &layer.weight), ("bias", &layer.bias)]
                .map(|(part, var)| (format!("{}.{part}", layer.name), var.clone()))
        });
        both.collect()
    }

    /// Feature maps of a batch, `[batch, 256, 13, 13]`, differentiable in the trained weights.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn forward(&self, batch: &[&Canvas], device: &Device) -> Result<Tensor> {
        let mut x = AlexNet::input(batch)?.transpose(0, 1)?.contiguous()?.to_device(device)?;
        for (at, layer) in self.layers.iter().enumerate() {
            let (weight, bias) = if at < self.trained_from {
                (layer.weight.as_detached_tensor(), layer.bias.as_detached_tensor())
            } else {
                (layer.weight.as_tensor().clone(), layer.bias.as_tensor().clone())
            };
            let product = convolve(&x, &weight, layer.window)?;
            let (out, batch, height, width) = product.dims4()?;
            let sum = product.reshape((out, batch * height * width))?.broadcast_add(&bias)?;
            x = sum.relu()?.reshape((out, batch, height, width))?;
            if at < 2 {
                x = max_pool(&x)?;
            }
        }
        x.transpose(0, 1)?.contiguous()
    }

    /// All weights, copied, with torchvision's names and shapes.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn tensors(&self) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::new();
        for Layer { name, weight, bias, window, inputs } in &self.layers {
            let out = weight.dim(0)?;
            let shape = (out, *inputs, window.kernel, window.kernel);
            tensors.insert(format!("{name}.weight"), weight.as_tensor().copy()?.reshape(shape)?);
            tensors.insert(format!("{name}.bias"), bias.as_tensor().copy()?.reshape(out)?);
        }
        Ok(tensors)
    }
}
