//! The numbers of a vision transformer, and their bounds.

use serde::{Deserialize, Serialize};

/// Bounds, so that a file cannot ask for absurd amounts of work. The largest published towers are within.
pub(super) const HIDDEN_MAX: usize = 2048;
pub(super) const INTERMEDIATE_MAX: usize = 8192;
pub(super) const LAYERS_MAX: usize = 64;
const PATCH_MIN: usize = 4;
const PATCH_MAX: usize = 64;
/// Patches in a row of a picture.
const GRID_MAX: usize = 32;
/// Patches in a row of a position table.
pub(super) const TABLE_MAX: usize = 64;

/// A family of vision transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransformerKind {
    /// DINOv2 (Oquab et al., 2023), without registers: tensors `patch_embed.proj`, `blocks.N.attn.qkv`, `norm`.
    DinoV2,
    /// CLIP's vision tower (Radford et al., 2021) with `quick_gelu`: tensors `vision_model.encoder.layers.N` and so on.
    Clip,
    /// SigLIP's vision tower (Zhai et al., 2023): tensors `vision_model.encoder.layers.N` and so on.
    SigLip,
}

impl TransformerKind {
    /// The name used in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DinoV2 => "dinov2",
            Self::Clip => "clip",
            Self::SigLip => "siglip",
        }
    }

    /// Mean and deviation of each colour, of 1, that the published weights were trained with.
    #[must_use]
    pub fn normalisation(self) -> ([f32; 3], [f32; 3]) {
        match self {
            Self::DinoV2 => ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            Self::Clip => {
                ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1])
            }
            Self::SigLip => ([0.5; 3], [0.5; 3]),
        }
    }
}

/// A vision transformer's numbers, in the words of its hub's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerConfig {
    /// The family.
    pub kind: TransformerKind,
    /// Numbers of a token, a multiple of `heads`.
    pub hidden_size: usize,
    /// Numbers between the two layers of a block's perceptron.
    pub intermediate_size: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Side of a patch in pixels; the input's side is a multiple of it.
    pub patch_size: usize,
    /// Mean of each colour, of 1.
    pub mean: [f32; 3],
    /// Deviation of each colour, of 1.
    pub deviation: [f32; 3],
}

impl TransformerConfig {
    /// DINOv2 ViT-S/14.
    #[must_use]
    pub fn dinov2_vits14() -> Self {
        let (mean, deviation) = TransformerKind::DinoV2.normalisation();
        Self {
            kind: TransformerKind::DinoV2,
            hidden_size: 384,
            intermediate_size: 1536,
            layers: 12,
            heads: 6,
            patch_size: 14,
            mean,
            deviation,
        }
    }

    /// Patches in a row of a picture.
    pub(super) fn grid(&self, input_side: usize) -> usize {
        input_side / self.patch_size.max(1)
    }

    /// Everything that is wrong with the numbers, for pictures of a side.
    pub(in crate::backbone) fn faults(&self, input_side: usize) -> Vec<String> {
        let Self { kind: _, hidden_size, intermediate_size, layers, heads, patch_size, mean, deviation } =
            self;
        let mut faults = Vec::new();
        let mut bounded = |name: &str, value: usize, least: usize, most: usize| {
            if !(least..=most).contains(&value) {
                faults.push(format!("{name} is {value}; {least} to {most} are accepted"));
            }
        };
        bounded("hidden_size", *hidden_size, 1, HIDDEN_MAX);
        bounded("intermediate_size", *intermediate_size, 1, INTERMEDIATE_MAX);
        bounded("layers", *layers, 1, LAYERS_MAX);
        bounded("patch_size", *patch_size, PATCH_MIN, PATCH_MAX);
        bounded("patches in a row (input_side / patch_size)", self.grid(input_side), 1, GRID_MAX);
        if *heads == 0 || hidden_size % heads != 0 {
            faults.push(format!("heads is {heads}, which does not divide hidden_size, {hidden_size}"));
        }
        if !mean.iter().all(|v| v.is_finite()) || !deviation.iter().all(|v| v.is_normal() && *v > 0.0) {
            faults.push("mean must be finite and deviation positive".into());
        }
        faults
    }

    /// The numbers, for the fingerprint.
    pub(in crate::backbone) fn identity(&self) -> String {
        let Self { kind, hidden_size, intermediate_size, layers, heads, patch_size, mean, deviation } = self;
        let name = kind.name();
        format!(
            "{name} {hidden_size} {intermediate_size} {layers} {heads} {patch_size} {mean:?} {deviation:?}"
        )
    }
}
