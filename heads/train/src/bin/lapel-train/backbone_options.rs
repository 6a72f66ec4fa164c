//! Which backbone of views a verb works on: a file, or one made from a published network.

use anyhow::Context;
use clap::Args;
use lapel_heads::{
    Architecture, BACKBONE_FILE, BackboneManifest, PIPELINE, View, Views, Weights, shipped_folder,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct BackboneOptions {
    /// The backbone's file (default: the shipped one).
    #[arg(long)]
    backbone: Option<PathBuf>,
    /// Make the backbone from the weights of a published network, batch norm folded, and write it to --out.
    #[arg(long, conflicts_with = "backbone")]
    weights: Option<PathBuf>,
    /// The network whose weights they are.
    #[arg(long, value_enum, default_value = "efficientnet-lite0")]
    architecture: Network,
    /// Side of its views in pixels.
    #[arg(long, default_value_t = 224)]
    side: usize,
}

/// Networks whose weights can be given.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Network {
    EfficientnetLite0,
    MobilenetV2,
}

impl BackboneOptions {
    /// The file, with its manifest; `out` is where one is written that is made first.
    pub(crate) fn file(&self, out: &Path) -> anyhow::Result<(PathBuf, BackboneManifest)> {
        let path = match (&self.weights, &self.backbone) {
            (Some(weights), _) => self.make(weights, out)?,
            (None, Some(path)) => path.clone(),
            (None, None) => shipped_folder().join(BACKBONE_FILE),
        };
        let (manifest, _) = Views::read(&fs_err::read(&path)?).with_context(|| {
            format!("{}: heads of regions, on AlexNet, are trained with train-paper", path.display())
        })?;
        Ok((path, manifest))
    }

    fn make(&self, weights: &Path, out: &Path) -> anyhow::Result<PathBuf> {
        let tensors = candle_core::safetensors::load(weights, &candle_core::Device::Cpu)
            .with_context(|| weights.display().to_string())?;
        let manifest = BackboneManifest {
            format: 1,
            architecture: match self.architecture {
                Network::EfficientnetLite0 => Architecture::EfficientNetLite0,
                Network::MobilenetV2 => Architecture::MobileNetV2,
            },
            input_side: self.side,
            views: View::ALL.to_vec(),
            blocks: vec![4, 10],
            pipeline: PIPELINE,
            tuned: false,
        };
        // What the network does not need, its classes for instance, is left out.
        let wanted: BTreeMap<String, Weights> = tensors
            .into_iter()
            .filter(|(name, _)| !name.starts_with("_fc") && !name.starts_with("classifier"))
            .map(|(name, tensor)| {
                let data = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                Ok((name, Weights { shape: tensor.dims().to_vec(), data }))
            })
            .collect::<candle_core::Result<_>>()?;
        let bytes = Views::to_bytes(&manifest, &wanted)?;
        Views::from_bytes(&bytes).with_context(|| weights.display().to_string())?;
        fs_err::create_dir_all(out)?;
        let path = out.join(BACKBONE_FILE);
        fs_err::write(&path, bytes)?;
        Ok(path)
    }
}
