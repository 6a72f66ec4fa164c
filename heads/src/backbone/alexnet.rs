//! AlexNet, conv1 to conv5, as torchvision defines it.

use super::convolutions::Convolutions;
use super::{Backbone, FeatureLayout, MapShape, cloth};
use crate::level::Level;
use crate::photo::Canvas;
use candle_core::{DType, Device, Tensor};
use data_encoding::HEXLOWER;
use half::f16;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

pub(super) const INPUT_SIDE: usize = 224;
/// Mean and deviation of ImageNet's channels, for RGB in 0..1.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// Position in torchvision's `features`, stride and padding of each convolution, with its weight's shape.
pub const LAYERS: [(usize, usize, usize, [usize; 4]); 5] = [
    (0, 4, 2, [64, 3, 11, 11]),
    (3, 1, 2, [192, 64, 5, 5]),
    (6, 1, 1, [384, 192, 3, 3]),
    (8, 1, 1, [256, 384, 3, 3]),
    (10, 1, 1, [256, 256, 3, 3]),
];

/// The map of conv5.
pub const CONV5: MapShape = MapShape { channels: 256, height: 13, width: 13 };

/// Why a file is no AlexNet.
#[derive(Debug, thiserror::Error)]
pub enum AlexNetError {
    /// The file cannot be read or parsed, or computing failed.
    #[error("the backbone's weights cannot be read: {0}")]
    Candle(#[from] candle_core::Error),
    /// A tensor is not there.
    #[error("the backbone's weights lack the tensor {0}")]
    Missing(String),
    /// A tensor has another shape than torchvision's AlexNet.
    #[error("the backbone's tensor {name} has shape {found:?}; {wanted:?} is wanted")]
    Shape {
        /// The tensor's name.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape of AlexNet.
        wanted: Vec<usize>,
    },
}

/// AlexNet conv1 to conv5 with ReLU, and the cloth's own channels beside: one `[329, 13, 13]` map for a 224 x 224
/// canvas.
pub struct AlexNet {
    convolutions: Convolutions,
    fingerprint: String,
}

impl AlexNet {
    /// Reads a safetensors file with torchvision's names `features.{0,3,6,8,10}.{weight,bias}`, f32 or f16.
    ///
    /// # Errors
    /// [`AlexNetError`] when the file is unreadable, or a tensor is missing or has another shape.
    pub fn load(path: &Path) -> Result<Self, AlexNetError> {
        Self::new(&candle_core::safetensors::load(path, &Device::Cpu)?)
    }

    /// Reads the weights of conv1 to conv5 from the bytes of such a file.
    ///
    /// # Errors
    /// As [`AlexNet::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AlexNetError> {
        Self::new(&candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?)
    }

    /// Builds the network from tensors by name.
    ///
    /// The fingerprint hashes the weights rounded to f16, so that the f32 original and its f16 copy are
    /// the same backbone to a head.
    ///
    /// # Errors
    /// As [`AlexNet::load`].
    pub fn new(tensors: &HashMap<String, Tensor>) -> Result<Self, AlexNetError> {
        let mut hash = Sha256::new();
        let mut tensor = |name: String, shape: &[usize]| {
            let found = tensors.get(&name).ok_or_else(|| AlexNetError::Missing(name.clone()))?;
            if found.dims() != shape {
                let (found, wanted) = (found.dims().to_vec(), shape.to_vec());
                return Err(AlexNetError::Shape { name, found, wanted });
            }
            let rounded = found.to_dtype(DType::F16)?;
            hash.update(name.as_bytes());
            for value in rounded.flatten_all()?.to_vec1::<f16>()? {
                hash.update(value.to_le_bytes());
            }
            Ok(rounded.to_dtype(DType::F32)?)
        };
        let layers = LAYERS
            .iter()
            .map(|(at, _, _, shape)| {
                let weight = tensor(format!("features.{at}.weight"), shape)?;
                let bias = tensor(format!("features.{at}.bias"), &shape[..1])?;
                Ok((weight, bias))
            })
            .collect::<Result<Vec<_>, AlexNetError>>()?;
        let digest = HEXLOWER.encode(&hash.finalize()[..8]);
        let convolutions = Convolutions::new(Level::best(), &layers)?;
        Ok(Self { convolutions, fingerprint: format!("alexnet/conv5+cloth/{digest}") })
    }

    /// What conv1 reads: `[batch, 3, 224, 224]`, normalised by ImageNet's mean and deviation.
    ///
    /// # Errors
    /// When a canvas has another side.
    pub fn input(batch: &[&Canvas]) -> candle_core::Result<Tensor> {
        check_sides(batch)?;
        let plane = INPUT_SIDE * INPUT_SIDE;
        let mut data = vec![0.0; batch.len() * 3 * plane];
        data.par_chunks_mut(plane).enumerate().for_each(|(at, target)| {
            let (canvas, table) = (batch[at / 3], &NORMALISED[at % 3]);
            for (value, pixel) in target.iter_mut().zip(canvas.rgb().as_chunks::<3>().0) {
                *value = table[usize::from(pixel[at % 3])];
            }
        });
        Tensor::from_vec(data, (batch.len(), 3, INPUT_SIDE, INPUT_SIDE), &Device::Cpu)
    }

    /// The pixels of canvases: `[batch, 224, 224, 3]`, of a byte a colour.
    ///
    /// # Errors
    /// When a canvas has another side.
    pub(super) fn pixels(batch: &[&Canvas]) -> candle_core::Result<Tensor> {
        check_sides(batch)?;
        let bytes = batch.iter().map(|canvas| canvas.rgb()).collect::<Vec<_>>().concat();
        Tensor::from_vec(bytes, (batch.len(), INPUT_SIDE, INPUT_SIDE, 3), &Device::Cpu)
    }
}

/// Each colour's values, normalised by ImageNet's mean and deviation.
pub(super) static NORMALISED: LazyLock<[[f32; 256]; 3]> = LazyLock::new(|| {
    std::array::from_fn(|colour| {
        let (scale, shift) = (1.0 / (255.0 * DEVIATION[colour]), MEAN[colour] / DEVIATION[colour]);
        std::array::from_fn(|value| value as f32 * scale - shift)
    })
});

fn check_sides(batch: &[&Canvas]) -> candle_core::Result<()> {
    match batch.iter().find(|canvas| canvas.side() != INPUT_SIDE) {
        None => Ok(()),
        Some(canvas) => {
            candle_core::bail!("AlexNet reads canvases of {INPUT_SIDE} pixels, not {}", canvas.side())
        }
    }
}

impl AlexNet {
    /// The map of conv5 alone, `[batch, 256, 13, 13]`, without the cloth's channels.
    ///
    /// # Errors
    /// As [`Backbone::forward`].
    pub fn conv5(&self, batch: &[&Canvas]) -> candle_core::Result<Tensor> {
        Self::pixels(batch)?.apply_op1_no_bwd(&self.convolutions)
    }
}

impl Backbone for AlexNet {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn input_side(&self) -> usize {
        INPUT_SIDE
    }

    fn layout(&self) -> FeatureLayout {
        FeatureLayout::Map(MapShape { channels: CONV5.channels + cloth::CHANNELS, ..CONV5 })
    }

    fn forward(&self, batch: &[&Canvas]) -> candle_core::Result<Tensor> {
        let conv5 = self.conv5(batch)?;
        let shape = (batch.len(), cloth::CHANNELS, CONV5.height, CONV5.width);
        let cloth: Vec<f32> =
            batch.par_iter().flat_map_iter(|canvas| cloth::channels(canvas, CONV5)).collect();
        Tensor::cat(&[conv5, Tensor::from_vec(cloth, shape, &Device::Cpu)?], 1)
    }
}
