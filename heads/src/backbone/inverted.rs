//! Networks of inverted residual blocks (Sandler et al., 2018): EfficientNet-Lite0 and MobileNetV2.

mod bands;
mod depthwise;
mod inference;
mod layers;
mod layout;
#[cfg(test)]
pub(crate) mod plain;
mod pointwise;
mod stem;
#[cfg(test)]
pub(crate) mod tests;

pub use layout::{Architecture, Block, Convolution, Frame, Layout, Padding};

use crate::bundle::Weights;
use crate::level::Level;
use crate::product::{LINE, Line};
use inference::{Free, Inference};
use layers::Layers;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Why tensors are no such network, or a picture is none that it reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackboneFault {
    /// A tensor is not there.
    #[error("the backbone's weights lack the tensor {name} of shape {shape:?}")]
    MissingTensor {
        /// Its name.
        name: String,
        /// The shape it should have.
        shape: Vec<usize>,
    },
    /// A tensor has another shape than the architecture's.
    #[error("the backbone's tensor {name} has shape {found:?}; {wanted:?} is wanted")]
    Shape {
        /// Its name.
        name: String,
        /// Shape found.
        found: Vec<usize>,
        /// Shape wanted.
        wanted: Vec<usize>,
    },
    /// NaN or infinite weights.
    #[error("the backbone's tensor {name} holds a number that is not finite")]
    NotFinite {
        /// Its name.
        name: String,
    },
    /// A picture has another size than its side tells.
    #[error("a picture of side {side} has {wanted} bytes, not {found}")]
    Picture {
        /// Rows and columns.
        side: usize,
        /// Bytes found.
        found: usize,
        /// Bytes wanted.
        wanted: usize,
    },
    /// A gradient has another size than its map.
    #[error("a gradient has {found} numbers, its map {wanted}")]
    Gradient {
        /// Numbers of the gradient.
        found: usize,
        /// Numbers of the map.
        wanted: usize,
    },
    /// There is no such map.
    #[error("the backbone has {blocks} blocks, and none of number {number}")]
    Tap {
        /// The number asked for.
        number: usize,
        /// How many there are.
        blocks: usize,
    },
    /// The last map is not there: the network ends with a block.
    #[error("the backbone ends with a block and has no head")]
    NoHead,
    /// The tensor library fails.
    #[error("the tensor library fails in the backbone: {reason}")]
    Library {
        /// Its words.
        reason: String,
    },
}

impl From<candle_core::Error> for BackboneFault {
    fn from(error: candle_core::Error) -> Self {
        Self::Library { reason: error.to_string() }
    }
}

/// A map inside a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tap {
    /// The output of a block, counted from 0.
    Block(usize),
    /// The output of the head's convolution.
    Head,
}

/// The map of one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Numbers of a pixel.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[row, column, channel]`.
    pub data: Vec<f32>,
}

/// A network with its weights.
pub struct InvertedResidual {
    layout: Layout,
    layers: Layers,
    free: Free,
}

/// Pictures that are worked on together at most: their small maps read the weights once.
const GROUP: usize = 4;

impl InvertedResidual {
    /// Reads a network from tensors by the architecture's names, batch norm folded; others are left aside.
    ///
    /// # Errors
    /// [`BackboneFault`] when a tensor is missing, has another shape or holds a number that is not finite.
    pub fn from_tensors(
        architecture: Architecture,
        tensors: &BTreeMap<String, Weights>,
    ) -> Result<Self, BackboneFault> {
        Self::new(Level::best(), architecture.layout(), tensors)
    }

    /// The first blocks of a network alone, which give their maps; of the others no tensors are wanted.
    ///
    /// # Errors
    /// As [`InvertedResidual::from_tensors`].
    pub fn first_blocks(
        architecture: Architecture,
        blocks: usize,
        tensors: &BTreeMap<String, Weights>,
    ) -> Result<Self, BackboneFault> {
        Self::new(Level::best(), architecture.layout().first(blocks), tensors)
    }

    pub(crate) fn new(
        level: Level,
        layout: Layout,
        tensors: &BTreeMap<String, Weights>,
    ) -> Result<Self, BackboneFault> {
        check_tensors(&layout, tensors)?;
        let values = |convolution: &Convolution| {
            let part = |part| tensors.get(&tensor_name(convolution, part)).map_or(&[][..], |w| &w.data[..]);
            (part("weight"), part("bias"))
        };
        let layers = Layers::new(level, &layout, values);
        Ok(Self { layout, layers, free: Free::default() })
    }

    /// How many blocks there are.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.layout.blocks.len()
    }

    /// The maps `taps` of each picture, RGB `[side, side, 3]`.
    ///
    /// # Errors
    /// [`BackboneFault::Picture`] when a picture has another size, [`BackboneFault::Tap`] when there is no such map.
    pub fn forward(
        &self,
        pictures: &[&[u8]],
        side: usize,
        taps: &[Tap],
    ) -> Result<Vec<Vec<Map>>, BackboneFault> {
        check_pictures(pictures, side)?;
        check_taps(&self.layout, taps)?;
        let threads = rayon::current_num_threads();
        let group = pictures.len().div_ceil(threads).clamp(1, GROUP);
        let inference = Inference {
            layout: &self.layout,
            layers: &self.layers,
            free: &self.free,
            side,
            taps,
            threads: threads / pictures.len().max(1),
        };
        Ok(pictures.par_chunks(group).flat_map_iter(|group| inference.maps(group)).collect())
    }
}

/// The map of one of some pictures from planes `[line, picture, row, column]`.
pub(crate) fn map_of(
    planes: &[Line],
    channels: usize,
    side: usize,
    (picture, pictures): (usize, usize),
) -> Map {
    let area = side * side;
    let mut data = vec![0.0; area * channels];
    for (line, plane) in planes.chunks_exact((pictures * area).max(1)).enumerate() {
        let pixels = &plane[picture * area..][..area];
        let count = LINE.min(channels - line * LINE);
        for (pixel, to) in pixels.iter().zip(data.chunks_exact_mut(channels)) {
            to[line * LINE..][..count].copy_from_slice(&pixel.0[..count]);
        }
    }
    Map { channels, height: side, width: side, data }
}

pub(crate) fn tensor_name(convolution: &Convolution, part: &str) -> String {
    format!("{}.{part}", convolution.name)
}

/// Whether every tensor of a network is there and sound.
pub(crate) fn check_tensors(
    layout: &Layout,
    tensors: &BTreeMap<String, Weights>,
) -> Result<(), BackboneFault> {
    for convolution in layout.convolutions() {
        for (part, shape) in [("weight", &convolution.shape[..]), ("bias", &convolution.shape[..1])] {
            check_tensor(tensor_name(convolution, part), shape, tensors)?;
        }
    }
    Ok(())
}

/// The tensor of a name, if it has this shape and finite numbers.
pub(crate) fn check_tensor<'a>(
    name: String,
    shape: &[usize],
    tensors: &'a BTreeMap<String, Weights>,
) -> Result<&'a Weights, BackboneFault> {
    let Some(found) = tensors.get(&name) else {
        return Err(BackboneFault::MissingTensor { name, shape: shape.to_vec() });
    };
    if found.shape != shape || found.data.len() != shape.iter().product::<usize>() {
        let (found, wanted) = (found.shape.clone(), shape.to_vec());
        return Err(BackboneFault::Shape { name, found, wanted });
    }
    if found.data.iter().any(|value| !value.is_finite()) {
        return Err(BackboneFault::NotFinite { name });
    }
    Ok(found)
}

pub(crate) fn check_pictures(pictures: &[&[u8]], side: usize) -> Result<(), BackboneFault> {
    let wanted = side * side * 3;
    match pictures.iter().find(|picture| picture.len() != wanted || side == 0) {
        None => Ok(()),
        Some(picture) => Err(BackboneFault::Picture { side, found: picture.len(), wanted }),
    }
}

pub(crate) fn check_taps(layout: &Layout, taps: &[Tap]) -> Result<(), BackboneFault> {
    let blocks = layout.blocks.len();
    for tap in taps {
        match *tap {
            Tap::Block(number) if number >= blocks => return Err(BackboneFault::Tap { number, blocks }),
            Tap::Head if layout.head.is_none() => return Err(BackboneFault::NoHead),
            Tap::Block(_) | Tap::Head => {}
        }
    }
    Ok(())
}
