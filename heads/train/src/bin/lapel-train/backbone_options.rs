//! Which backbone of views a verb works on: a file, or one made from a published network.

use anyhow::Context;
use clap::Args;
use lapel_heads::{BACKBONE_FILE, BackboneManifest, Views, shipped_folder};
use lapel_train::{Published, published_backbone};
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
    /// The network whose weights they are.
    #[arg(long, value_enum, default_value = "efficientnet-lite0")]
    architecture: Published,
    /// Of CLIP and SigLIP: the config.json that their hub has beside the weights.
    #[arg(long, requires = "weights")]
    config: Option<PathBuf>,
    /// Side of its views in pixels: a multiple of 32, or of a vision transformer's patches.
    #[arg(long, default_value_t = 224)]
    side: usize,
}

impl BackboneOptions {
    /// The file, with its manifest; `out` is where one is written that is made first.
    pub(crate) fn file(&self, out: &Path) -> anyhow::Result<(PathBuf, BackboneManifest)> {
        let path = match (&self.weights, &self.backbone) {
            (Some(weights), _) => {
                let bytes =
                    published_backbone(self.architecture, weights, self.config.as_deref(), self.side)?;
                let path = out.join(BACKBONE_FILE);
                fs_err::write(&path, bytes)?;
                path
            }
            (None, Some(path)) => path.clone(),
            (None, None) => shipped_folder().join(BACKBONE_FILE),
        };
        let (manifest, _) = Views::read(&fs_err::read(&path)?).with_context(|| {
            format!("{}: heads of regions, on AlexNet, are trained with train-paper", path.display())
        })?;
        Ok((path, manifest))
    }
}
