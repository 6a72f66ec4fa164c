//! The network behind the views: pictures go in, one vector of each comes out.

use super::inverted::{Architecture, BackboneFault, InvertedResidual, Map, Tap};
use super::transformer::{TransformerConfig, VisionTransformer};
use super::views::BackboneManifest;
use crate::bundle::Weights;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Pixels of the picture for one of the last map of inverted residual blocks.
const STRIDE: usize = 32;

/// A published network, as manifests name it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "architecture is neither a known network's name nor a vision transformer's numbers"
)]
pub enum NetworkKind {
    /// Inverted residual blocks, by the architecture's name.
    InvertedResidual(Architecture),
    /// A vision transformer, by its numbers.
    VisionTransformer(TransformerConfig),
}

impl From<Architecture> for NetworkKind {
    fn from(architecture: Architecture) -> Self {
        Self::InvertedResidual(architecture)
    }
}

impl From<TransformerConfig> for NetworkKind {
    fn from(config: TransformerConfig) -> Self {
        Self::VisionTransformer(config)
    }
}

impl NetworkKind {
    /// The network's name, e.g. `mobilenet_v2` or `siglip`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvertedResidual(architecture) => architecture.name(),
            Self::VisionTransformer(config) => config.kind.name(),
        }
    }

    /// What sides of pictures are multiples of.
    pub(super) fn step(&self) -> usize {
        match self {
            Self::InvertedResidual(_) => STRIDE,
            Self::VisionTransformer(config) => config.patch_size,
        }
    }

    /// How many blocks have maps that can be pooled; of a vision transformer the last tokens alone are.
    pub(super) fn blocks(&self) -> usize {
        match self {
            Self::InvertedResidual(architecture) => architecture.layout().blocks.len(),
            Self::VisionTransformer(_) => 0,
        }
    }

    /// What of the network's identity its name does not tell.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::InvertedResidual(_) => String::new(),
            Self::VisionTransformer(config) => config.identity(),
        }
    }

    /// Everything that is wrong with its numbers, for pictures of a side.
    pub(super) fn faults(&self, input_side: usize) -> Vec<String> {
        match self {
            Self::InvertedResidual(_) => Vec::new(),
            Self::VisionTransformer(config) => config.faults(input_side),
        }
    }
}

/// A network with its weights, and what is left of its maps or tokens.
pub(super) enum ViewNetwork {
    /// The mean and the maximum of some maps.
    InvertedResidual { network: Box<InvertedResidual>, side: usize, taps: Vec<Tap> },
    /// The summary and the mean of the tokens.
    VisionTransformer(VisionTransformer),
}

impl ViewNetwork {
    /// The network of a manifest without faults.
    pub(super) fn new(
        manifest: &BackboneManifest,
        tensors: &BTreeMap<String, Weights>,
    ) -> Result<Self, BackboneFault> {
        let side = manifest.input_side;
        Ok(match &manifest.architecture {
            NetworkKind::InvertedResidual(architecture) => {
                let network = Box::new(InvertedResidual::from_tensors(*architecture, tensors)?);
                let taps =
                    manifest.blocks.iter().map(|block| Tap::Block(*block)).chain([Tap::Head]).collect();
                Self::InvertedResidual { network, side, taps }
            }
            NetworkKind::VisionTransformer(config) => {
                Self::VisionTransformer(VisionTransformer::from_tensors(config, side, tensors)?)
            }
        })
    }

    /// The vector of each picture, RGB `[side, side, 3]`.
    pub(super) fn vectors(&self, pictures: &[&[u8]]) -> Result<Vec<Vec<f32>>, BackboneFault> {
        match self {
            Self::InvertedResidual { network, side, taps } => {
                let maps = network.forward(pictures, *side, taps)?;
                Ok(maps.iter().map(|maps| pooled(maps)).collect())
            }
            Self::VisionTransformer(network) => network.vectors(pictures),
        }
    }
}

/// Of each map the mean, then the maximum of each channel.
fn pooled(maps: &[Map]) -> Vec<f32> {
    let mut pooled = Vec::with_capacity(maps.iter().map(|map| 2 * map.channels).sum());
    maps.iter().for_each(|map| pool(map, &mut pooled));
    pooled
}

fn pool(map: &Map, pooled: &mut Vec<f32>) {
    let mut sums = vec![0.0; map.channels];
    let mut most = vec![f32::NEG_INFINITY; map.channels];
    for pixel in map.data.chunks_exact(map.channels) {
        for ((sum, most), value) in sums.iter_mut().zip(&mut most).zip(pixel) {
            *sum += value;
            *most = most.max(*value);
        }
    }
    let share = 1.0 / (map.height * map.width) as f32;
    pooled.extend(sums.into_iter().map(|sum| sum * share));
    pooled.extend(most);
}
