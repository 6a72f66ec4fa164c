//! DINOv2's layers.
//!
//! candle-transformers has them too, but its module wants the published position table and class layer whatever the
//! picture, takes the table's nearest lines, and gives no class token. So these are their layers, after the original:
//! exact GELU, and norms with an epsilon of 1e-6.

use super::config::TransformerConfig;
use super::{Tokens, Tower};
use candle_core::{D, IndexOp, Result, Tensor};
use candle_nn::ops::softmax;
use candle_nn::{Conv2d, Conv2dConfig, LayerNorm, Linear, Module, VarBuilder, conv2d, layer_norm, linear};

const EPSILON: f64 = 1e-6;

pub(super) struct DinoV2 {
    patches: Conv2d,
    /// `[1, hidden]`.
    class: Tensor,
    /// `[1 + patches, hidden]`.
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl DinoV2 {
    pub(super) fn new(config: &TransformerConfig, side: usize, weights: &VarBuilder<'_>) -> Result<Self> {
        let (hidden, patch) = (config.hidden_size, config.patch_size);
        let lines = 1 + config.grid(side).pow(2);
        let stride = Conv2dConfig { stride: patch, ..Conv2dConfig::default() };
        let block = |layer| Block::new(config, &weights.pp("blocks").pp(layer));
        Ok(Self {
            patches: conv2d(3, hidden, patch, stride, weights.pp("patch_embed.proj"))?,
            class: weights.get((1, 1, hidden), "cls_token")?.squeeze(0)?,
            positions: weights.get((1, lines, hidden), "pos_embed")?.squeeze(0)?,
            blocks: (0..config.layers).map(block).collect::<Result<_>>()?,
            norm: layer_norm(hidden, EPSILON, weights.pp("norm"))?,
        })
    }
}

impl Tower for DinoV2 {
    fn tokens(&self, picture: &Tensor) -> Result<Tokens> {
        let patches = self.patches.forward(picture)?.squeeze(0)?.flatten_from(1)?.t()?;
        let tokens = (Tensor::cat(&[&self.class, &patches], 0)? + &self.positions)?;
        let tokens = self.blocks.iter().try_fold(tokens, |tokens, block| block.forward(&tokens))?;
        let tokens = self.norm.forward(&tokens)?;
        Ok(Tokens { summary: tokens.i(0)?, patches: tokens.i(1..)? })
    }
}

struct Block {
    norm1: LayerNorm,
    attention: Attention,
    scale1: Tensor,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    scale2: Tensor,
}

impl Block {
    fn new(config: &TransformerConfig, weights: &VarBuilder<'_>) -> Result<Self> {
        let (hidden, between) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            norm1: layer_norm(hidden, EPSILON, weights.pp("norm1"))?,
            attention: Attention::new(config, &weights.pp("attn"))?,
            scale1: weights.get(hidden, "ls1.gamma")?,
            norm2: layer_norm(hidden, EPSILON, weights.pp("norm2"))?,
            fc1: linear(hidden, between, weights.pp("mlp.fc1"))?,
            fc2: linear(between, hidden, weights.pp("mlp.fc2"))?,
            scale2: weights.get(hidden, "ls2.gamma")?,
        })
    }

    /// Tokens, `[tokens, hidden]`, to as many.
    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let attended = self.attention.forward(&self.norm1.forward(tokens)?)?;
        let tokens = (tokens + attended.broadcast_mul(&self.scale1)?)?;
        let hidden = self.fc1.forward(&self.norm2.forward(&tokens)?)?.gelu_erf()?;
        &tokens + self.fc2.forward(&hidden)?.broadcast_mul(&self.scale2)?
    }
}

struct Attention {
    qkv: Linear,
    output: Linear,
    heads: usize,
}

impl Attention {
    fn new(config: &TransformerConfig, weights: &VarBuilder<'_>) -> Result<Self> {
        let hidden = config.hidden_size;
        Ok(Self {
            qkv: linear(hidden, 3 * hidden, weights.pp("qkv"))?,
            output: linear(hidden, hidden, weights.pp("proj"))?,
            heads: config.heads,
        })
    }

    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let (count, hidden) = tokens.dims2()?;
        let width = hidden / self.heads;
        let parts = self.qkv.forward(tokens)?.reshape((count, 3, self.heads, width))?;
        let part = |at: usize| parts.i((.., at))?.transpose(0, 1)?.contiguous();
        let queries = (part(0)? * (width as f64).powf(-0.5))?;
        let shares = softmax(&queries.matmul(&part(1)?.t()?)?, D::Minus1)?;
        let seen = shares.matmul(&part(2)?)?.transpose(0, 1)?.reshape((count, hidden))?;
        self.output.forward(&seen)
    }
}
