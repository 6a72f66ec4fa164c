//! Which backbone of views a verb works on: a file, or one made from a published network.

use anyhow::Context;
use clap::Args;
use lapel_heads::{AlexNet, BACKBONE_FILE, BackboneManifest, TextTower, Views, Weights, shipped_folder};
use lapel_train::{Published, published_backbone};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct BackboneOptions {
    /// The backbone's file (default: the shipped one).
    #[arg(long)]
    backbone: Option<PathBuf>,
    /// Make the backbone from the weights of a published network, a safetensors file, and write it to --out. Batch
    /// norm is folded.
    #[arg(long, conflicts_with = "backbone")]
    weights: Option<PathBuf>,
    /// The network whose weights they are (default: efficientnet-lite0).
    #[arg(long, value_enum, requires = "weights")]
    architecture: Option<Published>,
    /// Of CLIP and SigLIP: the config.json that their hub has beside the weights.
    #[arg(long, requires = "weights")]
    config: Option<PathBuf>,
    /// Of CLIP and SigLIP: the tokenizer.json that their hub has beside the weights. The text tower is kept then, and labels
    /// can be taught by words alone.
    #[arg(long, requires = "config")]
    tokenizer: Option<PathBuf>,
    /// Side of its views in pixels: a multiple of 32, or of a vision transformer's patches (default: 224).
    #[arg(long, requires = "weights")]
    side: Option<usize>,
    /// A backbone whose mask, which finds the garment, is taken over (default: the shipped one's).
    #[arg(long, requires = "weights")]
    mask_of: Option<PathBuf>,
}

/// A backbone that was asked for.
pub(crate) struct ChosenBackbone {
    /// Its file.
    pub(crate) bytes: Vec<u8>,
    /// Where the file is, or what it was made from.
    pub(crate) from: PathBuf,
    pub(crate) manifest: BackboneManifest,
    /// The network's, by name.
    pub(crate) tensors: BTreeMap<String, Weights>,
    /// Whether it was made, so that nobody has it yet.
    pub(crate) is_new: bool,
}

impl BackboneOptions {
    /// Reads the backbone, or makes it; nothing is written.
    pub(crate) fn read(&self) -> anyhow::Result<ChosenBackbone> {
        let shipped = || shipped_folder().join(BACKBONE_FILE);
        let Some(weights) = &self.weights else {
            let from = self.backbone.clone().unwrap_or_else(shipped);
            let bytes = fs_err::read(&from)?;
            let (manifest, tensors) = read(&bytes, &from)?;
            return Ok(ChosenBackbone { bytes, from, manifest, tensors, is_new: false });
        };
        let architecture = self.architecture.unwrap_or(Published::EfficientnetLite0);
        let side = self.side.unwrap_or(224);
        let files = (self.config.as_deref(), self.tokenizer.as_deref());
        let published = published_backbone(architecture, weights, files, side)?;
        let made = read(&published, weights)?;
        let source = self.mask_of.clone().unwrap_or_else(shipped);
        let (manifest, tensors) = read(&fs_err::read(&source)?, &source)?;
        let mask = Views::mask_of(&manifest, &tensors);
        let (manifest, tensors) = match mask {
            Some(mask) => Views::with_mask(made, mask),
            None => made,
        };
        let mut bytes = Views::to_bytes(&manifest, &tensors)?;
        if let Some(text) = TextTower::file_in(&published)? {
            bytes = TextTower::put_into(&bytes, text)?;
        }
        Ok(ChosenBackbone { bytes, from: weights.clone(), manifest, tensors, is_new: true })
    }
}

/// The manifest and the tensors of a backbone of views.
fn read(bytes: &[u8], from: &Path) -> anyhow::Result<(BackboneManifest, BTreeMap<String, Weights>)> {
    Views::read(bytes).with_context(|| {
        let is_alexnet = AlexNet::from_bytes(bytes).is_ok();
        let hint = if is_alexnet { "; heads on AlexNet are trained with train-paper" } else { "" };
        format!("{} is no backbone of views{hint}", from.display())
    })
}
