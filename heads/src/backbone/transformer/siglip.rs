//! SigLIP's vision tower: the encoder by candle-transformers, the pooling by attention here.
//!
//! candle's tower gives either the tokens or what its own pooling makes of them, and both are wanted.

use super::config::TransformerConfig;
use super::{Tokens, Tower};
use candle_core::{D, IndexOp, Result, Tensor};
use candle_nn::ops::softmax;
use candle_nn::{Activation, LayerNorm, Linear, Module, VarBuilder, layer_norm, linear};
use candle_transformers::models::siglip::{VisionConfig, VisionModel};

const EPSILON: f64 = 1e-6;

pub(super) struct SigLip {
    encoder: VisionModel,
    pooling: Pooling,
}

impl SigLip {
    pub(super) fn new(config: &TransformerConfig, side: usize, weights: &VarBuilder<'_>) -> Result<Self> {
        let weights = weights.pp("vision_model");
        Ok(Self {
            encoder: VisionModel::new(&tower(config, side), false, weights.clone())?,
            pooling: Pooling::new(config, &weights.pp("head"))?,
        })
    }
}

/// candle's name for the numbers.
pub(super) fn tower(config: &TransformerConfig, side: usize) -> VisionConfig {
    VisionConfig {
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        num_channels: 3,
        image_size: side,
        patch_size: config.patch_size,
        hidden_act: Activation::GeluPytorchTanh,
        layer_norm_eps: EPSILON,
    }
}

impl Tower for SigLip {
    fn tokens(&self, picture: &Tensor) -> Result<Tokens> {
        let patches = self.encoder.forward(picture)?.i(0)?;
        Ok(Tokens { summary: self.pooling.forward(&patches)?, patches })
    }
}

/// Attention of one learnt query to all tokens, and a perceptron.
struct Pooling {
    /// `[heads, 1, width]`, scaled.
    query: Tensor,
    keys: Linear,
    values: Linear,
    output: Linear,
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl Pooling {
    fn new(config: &TransformerConfig, weights: &VarBuilder<'_>) -> Result<Self> {
        let (hidden, between) = (config.hidden_size, config.intermediate_size);
        let width = hidden / config.heads;
        let attention = weights.pp("attention");
        let weight = attention.get((3 * hidden, hidden), "in_proj_weight")?;
        let bias = attention.get(3 * hidden, "in_proj_bias")?;
        let part = |at: usize| -> Result<Linear> {
            let bias = bias.narrow(0, at * hidden, hidden)?;
            Ok(Linear::new(weight.narrow(0, at * hidden, hidden)?, Some(bias)))
        };
        let query = part(0)?.forward(&weights.get((1, 1, hidden), "probe")?.squeeze(0)?)?;
        let query = (query * (width as f64).powf(-0.5))?;
        Ok(Self {
            query: query.reshape((config.heads, 1, width))?,
            keys: part(1)?,
            values: part(2)?,
            output: linear(hidden, hidden, attention.pp("out_proj"))?,
            norm: layer_norm(hidden, EPSILON, weights.pp("layernorm"))?,
            fc1: linear(hidden, between, weights.pp("mlp.fc1"))?,
            fc2: linear(between, hidden, weights.pp("mlp.fc2"))?,
        })
    }

    /// The summary `[hidden]` of tokens `[tokens, hidden]`.
    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let (count, hidden) = tokens.dims2()?;
        let (heads, _, width) = self.query.dims3()?;
        let split = |part: &Linear| {
            part.forward(tokens)?.reshape((count, heads, width))?.transpose(0, 1)?.contiguous()
        };
        let shares = softmax(&self.query.matmul(&split(&self.keys)?.t()?)?, D::Minus1)?;
        let seen = shares.matmul(&split(&self.values)?)?.reshape((1, hidden))?;
        let seen = self.output.forward(&seen)?;
        let between = self.fc1.forward(&self.norm.forward(&seen)?)?.gelu()?;
        (&seen + self.fc2.forward(&between)?)?.squeeze(0)
    }
}
