//! Vision transformers: DINOv2, and the vision towers of CLIP and SigLIP.
//!
//! A picture's patches become tokens. Two vectors are left of them, one after the other: a *summary*, which is what the
//! network itself was trained to say about a picture (the class token of DINOv2 and CLIP, the attention pooling of
//! SigLIP), and the *mean* of the patches' tokens, which keeps what is all over the picture, such as its pattern. Both
//! are behind the final norm and before projections into a space that is shared with texts.

mod clip;
mod config;
mod dinov2;
mod positions;
mod siglip;
mod tensors;
#[cfg(test)]
mod tests;
mod text;

pub use config::{TransformerConfig, TransformerKind};
pub(super) use text::is_text;
pub use text::{PROMPT_BYTES_MAX, TextConfig, TextError, TextTower};

use super::inverted::{BackboneFault, check_pictures};
use crate::bundle::Weights;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use clip::Clip;
use dinov2::DinoV2;
use rayon::prelude::*;
use siglip::SigLip;
use std::collections::{BTreeMap, HashMap};

/// What a network makes of a picture.
struct Tokens {
    /// `[hidden]`.
    summary: Tensor,
    /// `[patches, hidden]`.
    patches: Tensor,
}

/// The layers of a kind of network.
trait Tower: Send + Sync {
    /// The tokens of a picture, f32 `[1, 3, side, side]`, normalised.
    fn tokens(&self, picture: &Tensor) -> Result<Tokens>;
}

/// A vision transformer with its weights.
pub struct VisionTransformer {
    tower: Box<dyn Tower>,
    /// What a byte of each colour becomes.
    normalised: Box<[[f32; 256]; 3]>,
    side: usize,
}

impl VisionTransformer {
    /// Reads a network without faults from tensors by its hub's names, for pictures of a side; others are left aside.
    ///
    /// # Errors
    /// [`BackboneFault`] when a tensor is missing, has another shape or holds a number that is not finite.
    pub fn from_tensors(
        config: &TransformerConfig,
        side: usize,
        tensors: &BTreeMap<String, Weights>,
    ) -> std::result::Result<Self, BackboneFault> {
        tensors::check(config, side, tensors)?;
        let TransformerConfig { mean, deviation, .. } = config;
        let value = |colour: usize, byte: usize| (byte as f32 / 255.0 - mean[colour]) / deviation[colour];
        Ok(Self {
            tower: tower(config, side, tensors)?,
            normalised: Box::new(std::array::from_fn(|c| std::array::from_fn(|byte| value(c, byte)))),
            side,
        })
    }

    /// The summary, then the mean of the patches' tokens, of each picture, RGB `[side, side, 3]`. Pictures go through
    /// one by one, so that one gives the same numbers alone and in a batch, and a batch takes little more memory.
    ///
    /// # Errors
    /// [`BackboneFault::Picture`] when a picture has another size, [`BackboneFault::Library`].
    pub(super) fn vectors(&self, pictures: &[&[u8]]) -> std::result::Result<Vec<Vec<f32>>, BackboneFault> {
        check_pictures(pictures, self.side)?;
        Ok(pictures.par_iter().map(|picture| self.vector(picture)).collect::<Result<_>>()?)
    }

    /// The tokens of the patches of a picture, RGB `[side, side, 3]`: `[patches, hidden]`.
    ///
    /// # Errors
    /// [`BackboneFault::Picture`] when the picture has another size, [`BackboneFault::Library`].
    pub fn patches(&self, picture: &[u8]) -> std::result::Result<Tensor, BackboneFault> {
        check_pictures(&[picture], self.side)?;
        Ok(self.tokens(picture)?.patches)
    }

    fn vector(&self, picture: &[u8]) -> Result<Vec<f32>> {
        let Tokens { summary, patches } = self.tokens(picture)?;
        Tensor::cat(&[summary, patches.mean(0)?], 0)?.to_vec1()
    }

    fn tokens(&self, picture: &[u8]) -> Result<Tokens> {
        let planes = self.normalised.iter().enumerate().flat_map(|(colour, values)| {
            picture.iter().skip(colour).step_by(3).map(|byte| values[usize::from(*byte)])
        });
        let picture = Tensor::from_iter(planes, &Device::Cpu)?.reshape((1, 3, self.side, self.side))?;
        self.tower.tokens(&picture)
    }
}

fn tower(
    config: &TransformerConfig,
    side: usize,
    tensors: &BTreeMap<String, Weights>,
) -> Result<Box<dyn Tower>> {
    let names = config.tensors(0);
    let read = names.iter().filter_map(|(name, _)| Some((name, tensors.get(name)?)));
    let read = read.map(|(name, weights)| {
        let weights = Tensor::from_slice(&weights.data, weights.shape.as_slice(), &Device::Cpu)?;
        let is_table = name == config.kind.position_table();
        Ok((name.clone(), if is_table { positions::resampled(config, side, &weights)? } else { weights }))
    });
    let read: HashMap<String, Tensor> = read.collect::<Result<_>>()?;
    let weights = VarBuilder::from_tensors(read, DType::F32, &Device::Cpu);
    Ok(match config.kind {
        TransformerKind::DinoV2 => Box::new(DinoV2::new(config, side, &weights)?),
        TransformerKind::Clip => Box::new(Clip::new(config, side, &weights)?),
        TransformerKind::SigLip => Box::new(SigLip::new(config, side, &weights)?),
    })
}
