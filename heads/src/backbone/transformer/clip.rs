//! CLIP's vision tower, by candle-transformers.
//!
//! candle's output is the class token alone. The states of its layers have all tokens, and the last of them goes through
//! the final norm here.

use super::config::TransformerConfig;
use super::{Tokens, Tower};
use candle_core::{IndexOp, Result, Tensor};
use candle_nn::{LayerNorm, Module, VarBuilder, layer_norm};
use candle_transformers::models::clip::text_model::Activation;
use candle_transformers::models::clip::vision_model::{ClipVisionConfig, ClipVisionTransformer};

const EPSILON: f64 = 1e-5;

pub(super) struct Clip {
    network: ClipVisionTransformer,
    norm: LayerNorm,
}

impl Clip {
    pub(super) fn new(config: &TransformerConfig, side: usize, weights: &VarBuilder<'_>) -> Result<Self> {
        let weights = weights.pp("vision_model");
        Ok(Self {
            network: ClipVisionTransformer::new(weights.clone(), &tower(config, side))?,
            norm: layer_norm(config.hidden_size, EPSILON, weights.pp("post_layernorm"))?,
        })
    }
}

/// candle's name for the numbers.
pub(super) fn tower(config: &TransformerConfig, side: usize) -> ClipVisionConfig {
    ClipVisionConfig {
        embed_dim: config.hidden_size,
        activation: Activation::QuickGelu,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        // Of the projection behind the tower, which is not read.
        projection_dim: config.hidden_size,
        num_channels: 3,
        image_size: side,
        patch_size: config.patch_size,
    }
}

impl Tower for Clip {
    fn tokens(&self, picture: &Tensor) -> Result<Tokens> {
        // One state a layer, and the class token.
        let states = self.network.output_hidden_states(picture)?;
        let [.., last, _] = states.as_slice() else { candle_core::bail!("a tower without layers") };
        let tokens = self.norm.forward(&last.i(0)?)?;
        Ok(Tokens { summary: tokens.i(0)?, patches: tokens.i(1..)? })
    }
}
