//! The text towers of CLIP and SigLIP, by candle-transformers: what a caption says, in the space that the network shares
//! with pictures.
//!
//! Nothing that is computed of a picture depends on a text tower, so it is no part of the network: a backbone's file keeps
//! it as a file of its own, which is read when words are asked for.

mod config;
mod file;
#[cfg(test)]
mod tests;
mod tokens;

pub use config::TextConfig;
pub(in crate::backbone) use file::is_text;

use super::config::TransformerKind;
use crate::backbone::inverted::BackboneFault;
use crate::bundle::Weights;
use candle_core::{DType, Device, IndexOp, Result, Tensor};
use candle_nn::{Linear, Module, VarBuilder, linear_no_bias};
use candle_transformers::models::clip::text_model::{Activation, ClipTextConfig, ClipTextTransformer};
use candle_transformers::models::siglip;
use std::collections::{BTreeMap, HashMap};
use tokens::TextTokenizer;

/// Bytes of one caption. Towers read a few dozen tokens of it.
pub const PROMPT_BYTES_MAX: usize = 1000;
/// What cosines are multiplied by, at most; published networks have about 100.
const SCALE_MAX: f32 = 1000.0;

/// Why there is no text tower, or a text cannot be read by it.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// Not safetensors, or not of the parts that a text tower's file has.
    #[error("the text tower is not a sound safetensors file: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// Numbers that there is no text tower of.
    #[error("the text tower's numbers are unsound: {}", faults.join("; "))]
    Unsound {
        /// Every fault.
        faults: Vec<String>,
    },
    /// The tensors are not the architecture's, or the tensor library fails.
    #[error("of the text tower: {0}")]
    Network(#[from] BackboneFault),
    /// No tokenizer of this tower.
    #[error("the text tower's tokenizer.json cannot be used: {reason}")]
    Tokenizer {
        /// What is wrong.
        reason: String,
    },
    /// A text that is too long.
    #[error("a text has {bytes} bytes; up to {PROMPT_BYTES_MAX} are accepted")]
    Prompt {
        /// Its bytes.
        bytes: usize,
    },
    /// Directions or summaries without a length, or of other lengths.
    #[error("in the space of texts and pictures {what} have no direction")]
    NoDirection {
        /// Whose.
        what: &'static str,
    },
}

/// The layers of a kind of tower.
enum Network {
    /// The tower, and the projection into the shared space.
    Clip(ClipTextTransformer, Linear),
    /// Its head is the projection.
    SigLip(siglip::TextModel),
}

/// A text tower with its weights and its tokenizer.
pub struct TextTower {
    config: TextConfig,
    network: Network,
    /// What brings pictures into the shared space, `[projection, summary]`; SigLIP's are in it as they are.
    pictures: Option<Tensor>,
    tokenizer: TextTokenizer,
    scale: f32,
}

impl TextTower {
    /// Builds a tower from tensors by its hub's names and the bytes of its tokenizer.json.
    ///
    /// # Errors
    /// [`TextError`], one variant a cause.
    pub fn new(
        config: TextConfig,
        tensors: &BTreeMap<String, Weights>,
        tokenizer: &[u8],
    ) -> std::result::Result<Self, TextError> {
        let faults = config.faults();
        if !faults.is_empty() {
            return Err(TextError::Unsound { faults });
        }
        config.check(tensors)?;
        let scale = scale(tensors)?;
        let tokenizer = TextTokenizer::new(&config, tokenizer)?;
        let (network, pictures) = network(&config, tensors).map_err(BackboneFault::from)?;
        Ok(Self { config, network, pictures, tokenizer, scale })
    }

    /// Its numbers.
    #[must_use]
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// The direction of a text in the space that it shares with pictures, `[projection]`, of unit length.
    ///
    /// # Errors
    /// [`TextError::Prompt`] and [`TextError::Tokenizer`] by what is wrong with the text; a failing tensor library.
    pub fn direction(&self, text: &str) -> std::result::Result<Vec<f32>, TextError> {
        let ids = self.tokenizer.ids(text)?;
        let features = self.features(&ids).map_err(BackboneFault::from)?;
        normalised(features, "texts")
    }

    /// The weights of a label on pictures' summaries, `[summary]`: with the directions of its texts, the mean of these, of
    /// unit length (Radford et al., 2021, section 3.1.4), brought back to where summaries lie, times the network's scale.
    /// The product with a summary is the network's logit times the summary's length in the shared space.
    ///
    /// # Errors
    /// [`TextError::NoDirection`] where there are no directions or they cancel out; a failing tensor library.
    pub fn label_weights(&self, directions: &[Vec<f32>]) -> std::result::Result<Vec<f32>, TextError> {
        let mut sum = vec![0.0; self.config.projection];
        for direction in directions {
            sum.iter_mut().zip(direction).for_each(|(sum, value)| *sum += value);
        }
        let mean = normalised(sum, "the texts of a label")?;
        let weights = self.brought_back(mean).map_err(BackboneFault::from)?;
        Ok(weights.into_iter().map(|weight| weight * self.scale).collect())
    }

    /// The mean length of pictures' summaries in the shared space; `summaries` is flat, `[summary]` a picture.
    ///
    /// # Errors
    /// [`TextError::NoDirection`] where there are none or they have no length; a failing tensor library.
    pub fn mean_length(&self, summaries: &[f32]) -> std::result::Result<f32, TextError> {
        let none = TextError::NoDirection { what: "pictures" };
        if summaries.is_empty() || !summaries.len().is_multiple_of(self.config.summary) {
            return Err(none);
        }
        let mean = self.length(summaries).map_err(BackboneFault::from)?;
        if mean.is_normal() { Ok(mean) } else { Err(none) }
    }

    /// `[projection]` of a text's tokens. The last token is the one that all others were read for: the end of CLIP's text,
    /// whatever fills up SigLIP's.
    fn features(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let last = ids.len().saturating_sub(1);
        let ids = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu)?;
        let features = match &self.network {
            Network::Clip(tower, projection) => {
                let states = tower.forward_with_mask(&ids, usize::MAX)?;
                projection.forward(&states.i((.., last, ..))?.contiguous()?)?
            }
            Network::SigLip(model) => model.forward(&ids)?,
        };
        features.squeeze(0)?.to_vec1()
    }

    fn brought_back(&self, direction: Vec<f32>) -> Result<Vec<f32>> {
        let Some(pictures) = &self.pictures else { return Ok(direction) };
        let row = Tensor::from_vec(direction, (1, self.config.projection), &Device::Cpu)?;
        row.matmul(pictures)?.squeeze(0)?.to_vec1()
    }

    fn length(&self, summaries: &[f32]) -> Result<f32> {
        let shape = (summaries.len() / self.config.summary, self.config.summary);
        let rows = Tensor::from_slice(summaries, shape, &Device::Cpu)?;
        let rows = match &self.pictures {
            Some(pictures) => rows.matmul(&pictures.t()?)?,
            None => rows,
        };
        rows.sqr()?.sum(1)?.sqrt()?.mean(0)?.to_scalar()
    }
}

/// `e` to the power of the tensor `logit_scale`, of one number.
fn scale(tensors: &BTreeMap<String, Weights>) -> std::result::Result<f32, TextError> {
    let name = || config::LOGIT_SCALE.to_owned();
    let Some(weights) = tensors.get(config::LOGIT_SCALE) else {
        return Err(BackboneFault::MissingTensor { name: name(), shape: vec![1] }.into());
    };
    let [log] = weights.data.as_slice() else {
        let found = weights.shape.clone();
        return Err(BackboneFault::Shape { name: name(), found, wanted: vec![1] }.into());
    };
    let scale = log.exp();
    if !(f32::MIN_POSITIVE..=SCALE_MAX).contains(&scale) {
        let fault = format!("e to the power of {} is {scale}; up to {SCALE_MAX} is accepted", name());
        return Err(TextError::Unsound { faults: vec![fault] });
    }
    Ok(scale)
}

/// The layers, and what brings pictures into the space of texts where they are not in it.
fn network(config: &TextConfig, tensors: &BTreeMap<String, Weights>) -> Result<(Network, Option<Tensor>)> {
    let read = tensors.iter().map(|(name, weights)| {
        let tensor = Tensor::from_slice(&weights.data, weights.shape.as_slice(), &Device::Cpu)?;
        Ok((name.clone(), tensor))
    });
    let read: HashMap<String, Tensor> = read.collect::<Result<_>>()?;
    let weights = VarBuilder::from_tensors(read, DType::F32, &Device::Cpu);
    let TextConfig { projection, summary, hidden_size, .. } = *config;
    Ok(match config.kind {
        TransformerKind::Clip => {
            let tower = ClipTextTransformer::new(weights.pp("text_model"), &clip_config(config))?;
            let texts = linear_no_bias(hidden_size, projection, weights.pp("text_projection"))?;
            let pictures = weights.get((projection, summary), config::VISUAL_PROJECTION)?;
            (Network::Clip(tower, texts), Some(pictures))
        }
        TransformerKind::SigLip => {
            let model = siglip::TextModel::new(&siglip_config(config), weights.pp("text_model"))?;
            (Network::SigLip(model), None)
        }
        TransformerKind::DinoV2 => candle_core::bail!("DINOv2 reads no texts"),
    })
}

/// candle's name for CLIP's numbers.
fn clip_config(config: &TextConfig) -> ClipTextConfig {
    ClipTextConfig {
        vocab_size: config.vocabulary,
        embed_dim: config.hidden_size,
        activation: Activation::QuickGelu,
        intermediate_size: config.intermediate_size,
        max_position_embeddings: config.positions,
        pad_with: None,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        projection_dim: config.projection,
    }
}

/// candle's name for SigLIP's numbers.
fn siglip_config(config: &TextConfig) -> siglip::TextConfig {
    siglip::TextConfig {
        vocab_size: config.vocabulary,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        max_position_embeddings: config.positions,
        hidden_act: candle_nn::Activation::GeluPytorchTanh,
        layer_norm_eps: 1e-6,
        pad_token_id: config.pad,
        // Of no use to the layers.
        bos_token_id: 0,
        eos_token_id: 0,
    }
}

/// Numbers divided by their length.
fn normalised(mut values: Vec<f32>, what: &'static str) -> std::result::Result<Vec<f32>, TextError> {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !length.is_normal() {
        return Err(TextError::NoDirection { what });
    }
    values.iter_mut().for_each(|value| *value /= length);
    Ok(values)
}
