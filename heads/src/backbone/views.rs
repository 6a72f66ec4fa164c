//! A backbone that looks at the garment instead of the photo: each view is a square of the photo, goes through the
//! network by itself and becomes one vector; the cloth's colours are one more.
//!
//! The file is safetensors with the network's tensors and a [`BackboneManifest`] in its metadata. Layers in the middle
//! keep texture, the last ones what the garment is, so a view's vector has the mean and the maximum of several maps; of a
//! vision transformer it has the summary and the mean of the last tokens.

use super::inverted::BackboneFault;
use super::network::{NetworkKind, ViewNetwork};
use super::transformer::is_text;
use super::{Backbone, FeatureLayout, Source, palette};
use crate::bundle::{BundleError, Weights, weights};
use crate::mask::{MaskHead, MaskManifest};
use crate::parts::Silhouette;
use crate::photo::{Canvas, Photo};
use crate::view::View;
use candle_core::{Device, Tensor};
use data_encoding::HEXLOWER;
use half::f16;
use rayon::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Version of everything before and behind the network: how a photo is decoded and fitted, its silhouette, views,
/// pooling and colours. A change of any of them changes what signatures mean, so it changes this number; the golden
/// features in this module's tests tell when.
///
/// Version 1, without colours of the ground, is still served, so that catalogues keep the model they were made with.
pub const PIPELINE: u32 = 2;
/// The first version that is served.
const OLDEST: u32 = 1;
/// Version of the manifest.
const FORMAT: u32 = 1;
/// Key of the manifest in the file's metadata.
pub(super) const MANIFEST_KEY: &str = "lapel.backbone";
/// Side of the canvas that the silhouette is found on.
const CANVAS_SIDE: usize = 224;
/// Pixels of a photo's longer side that are kept for closer looks.
const DETAIL_SIDE: usize = 640;
/// Sides of views, so that a file cannot ask for absurd amounts of work.
const SIDE_MAX: usize = 448;
/// What names of the mask's tensors begin with.
const MASK: &str = "mask.";
/// The source of the cloth's colours.
const COLOUR: &str = "colour";

/// What a backbone's file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneManifest {
    /// Version of the manifest, 1.
    pub format: u32,
    /// The network.
    pub architecture: NetworkKind,
    /// Side of the views in pixels, a multiple of 32, or of a vision transformer's patches.
    pub input_side: usize,
    /// What it looks at.
    pub views: Vec<View>,
    /// Blocks whose maps are pooled, counted from 0; the last map always is. None of a vision transformer's.
    pub blocks: Vec<usize>,
    /// The [`PIPELINE`] that heads of this backbone were trained behind.
    pub pipeline: u32,
    /// Whether the network was tuned on the photos that heads learn from. These say nothing of how sure its heads may
    /// be then; photos that were set aside do.
    #[serde(default)]
    pub tuned: bool,
    /// The head that finds the garment, whose tensors' names begin with `mask.`; without it colours tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<MaskManifest>,
}

/// Why a file is no backbone.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// Not safetensors, or a tensor that cannot be read.
    #[error("the backbone is not a sound safetensors file: {reason}")]
    Damaged {
        /// The parser's words.
        reason: String,
    },
    /// The manifest is no JSON of the known shape.
    #[error("the backbone's manifest cannot be read: {reason}")]
    Manifest {
        /// The parser's words.
        reason: String,
    },
    /// The manifest asks for what there is not.
    #[error("the backbone's manifest is unsound: {}", faults.join("; "))]
    Unsound {
        /// Every fault.
        faults: Vec<String>,
    },
    /// Made for another pipeline.
    #[error(
        "the backbone was made for version {found} of the pipeline; versions {OLDEST} to {PIPELINE} are served: make it and \
         its heads anew with `lapel-train train`"
    )]
    Pipeline {
        /// Version in the file.
        found: u32,
    },
    /// The tensors are not the architecture's.
    #[error(transparent)]
    Network(#[from] BackboneFault),
    /// The mask's tensors are not those of its manifest.
    #[error("of the mask, whose tensors' names begin with `mask.`: {0}")]
    Mask(#[source] BackboneFault),
}

/// A network that is shown views of the garment.
pub struct Views {
    manifest: BackboneManifest,
    mask: Option<MaskHead>,
    network: ViewNetwork,
    layout: FeatureLayout,
    fingerprint: String,
}

impl Views {
    /// Reads a backbone's file.
    ///
    /// # Errors
    /// [`ViewsError`], one variant a cause.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ViewsError> {
        let (manifest, tensors) = Self::read(bytes)?;
        Self::new(manifest, &tensors)
    }

    /// The manifest and the tensors of a backbone's file; a text tower, which computes no features, stays where it is.
    ///
    /// # Errors
    /// [`ViewsError::Damaged`] and [`ViewsError::Manifest`].
    pub fn read(bytes: &[u8]) -> Result<(BackboneManifest, BTreeMap<String, Weights>), ViewsError> {
        let damaged = |reason: String| ViewsError::Damaged { reason };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(MANIFEST_KEY));
        let json = json.ok_or_else(|| damaged(format!("its metadata lacks {MANIFEST_KEY}")))?;
        let manifest =
            serde_json::from_str(json).map_err(|e| ViewsError::Manifest { reason: e.to_string() })?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
        let tensor = |(name, view): (String, _)| {
            let read = weights(&name, &view).map_err(|error| match error {
                BundleError::NotFinite { name } => ViewsError::Network(BackboneFault::NotFinite { name }),
                other => damaged(other.to_string()),
            })?;
            Ok((name, read))
        };
        let tensors = file.tensors().into_iter().filter(|(name, view)| !is_text(name, view));
        Ok((manifest, tensors.map(tensor).collect::<Result<_, ViewsError>>()?))
    }

    /// Builds the backbone of a manifest and tensors by the architecture's names.
    ///
    /// # Errors
    /// As [`Views::from_bytes`].
    pub fn new(manifest: BackboneManifest, tensors: &BTreeMap<String, Weights>) -> Result<Self, ViewsError> {
        if !(OLDEST..=PIPELINE).contains(&manifest.pipeline) {
            return Err(ViewsError::Pipeline { found: manifest.pipeline });
        }
        let faults = manifest.faults();
        if !faults.is_empty() {
            return Err(ViewsError::Unsound { faults });
        }
        let network = ViewNetwork::new(&manifest, tensors)?;
        let mask = Self::mask_of(&manifest, tensors).map(|(mask, own)| MaskHead::new(&mask, &own));
        let mask = mask.transpose().map_err(ViewsError::Mask)?;
        let fingerprint = fingerprint(&manifest, tensors);
        let layout = FeatureLayout::Vectors(Arc::from([]));
        let mut views = Self { layout, manifest, mask, network, fingerprint };
        let side = views.manifest.input_side;
        let blank = vec![0; side * side * 3];
        let len = views.network.vectors(&[&blank])?.iter().map(Vec::len).sum();
        let source = |view: &View| Source { name: view.name().to_owned(), len };
        let colour = Source { name: COLOUR.to_owned(), len: views.colours() };
        let sources = views.manifest.views.iter().map(source).chain([colour]).collect();
        views.layout = FeatureLayout::Vectors(sources);
        Ok(views)
    }

    /// The file of a manifest and tensors, in half precision.
    ///
    /// # Errors
    /// [`ViewsError::Damaged`] when the tensor library refuses a tensor.
    pub fn to_bytes(
        manifest: &BackboneManifest,
        tensors: &BTreeMap<String, Weights>,
    ) -> Result<Vec<u8>, ViewsError> {
        let damaged = |reason: String| ViewsError::Damaged { reason };
        let json = serde_json::to_string(manifest).map_err(|e| damaged(e.to_string()))?;
        let halves: BTreeMap<&str, Vec<u8>> = tensors
            .iter()
            .map(|(name, w)| {
                (name.as_str(), w.data.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect())
            })
            .collect();
        let mut views = Vec::with_capacity(halves.len());
        for ((name, bytes), weights) in halves.iter().zip(tensors.values()) {
            let view = TensorView::new(Dtype::F16, weights.shape.clone(), bytes);
            views.push((*name, view.map_err(|e| damaged(e.to_string()))?));
        }
        let metadata = HashMap::from([(MANIFEST_KEY.to_owned(), json)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| damaged(e.to_string()))
    }

    /// A backbone's manifest and tensors with a mask, whose tensors come by its own names.
    #[must_use]
    pub fn with_mask(
        (manifest, mut tensors): (BackboneManifest, BTreeMap<String, Weights>),
        (mask, own): (MaskManifest, BTreeMap<String, Weights>),
    ) -> (BackboneManifest, BTreeMap<String, Weights>) {
        tensors.retain(|name, _| !name.starts_with(MASK));
        tensors.extend(own.into_iter().map(|(name, weights)| (format!("{MASK}{name}"), weights)));
        (BackboneManifest { mask: Some(mask), ..manifest }, tensors)
    }

    /// The mask of a backbone, its tensors by its own names.
    #[must_use]
    pub fn mask_of(
        manifest: &BackboneManifest,
        tensors: &BTreeMap<String, Weights>,
    ) -> Option<(MaskManifest, BTreeMap<String, Weights>)> {
        let own = tensors.range(MASK.to_owned()..).take_while(|(name, _)| name.starts_with(MASK));
        let own = own.map(|(name, weights)| (name[MASK.len()..].to_owned(), weights.clone()));
        manifest.mask.clone().map(|mask| (mask, own.collect()))
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &BackboneManifest {
        &self.manifest
    }

    /// Numbers of the cloth's colours.
    fn colours(&self) -> usize {
        if self.manifest.pipeline == OLDEST { palette::GARMENT_NUMBERS } else { palette::NUMBERS }
    }

    /// The canvas of a photo before the mask has looked at it.
    #[must_use]
    pub fn fitted(&self, photo: &Photo) -> Canvas {
        photo.fit(CANVAS_SIDE).with_detail(photo, DETAIL_SIDE)
    }

    /// The silhouette that the mask finds on a canvas; `None` without a mask.
    #[must_use]
    pub fn silhouette(&self, canvas: &Canvas) -> Option<Silhouette> {
        // A head that was read has all it needs, so it does not fail; colours would tell.
        let odds = self.mask.as_ref().and_then(|mask| mask.odds(canvas).ok());
        odds.map(|odds| Silhouette::from_odds(canvas, &odds))
    }

    /// The vectors of pictures of one view, RGB `[side, side, 3]` by the manifest's side.
    ///
    /// # Errors
    /// [`BackboneFault`] when a picture has another size or the network fails.
    pub fn vectors(&self, pictures: &[&[u8]]) -> Result<Vec<Vec<f32>>, BackboneFault> {
        self.network.vectors(pictures)
    }

    /// The pixels of every view of each canvas, `[side, side, 3]` each.
    fn pixels(&self, batch: &[&Canvas]) -> Vec<Vec<u8>> {
        let views = self.manifest.views.as_slice();
        let look = |at: usize| {
            let (canvas, view) = (batch[at / views.len()], views[at % views.len()]);
            canvas.look(view.square(canvas), self.manifest.input_side)
        };
        (0..batch.len() * views.len()).into_par_iter().map(look).collect()
    }
}

impl Backbone for Views {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn input_side(&self) -> usize {
        CANVAS_SIDE
    }

    fn layout(&self) -> FeatureLayout {
        self.layout.clone()
    }

    fn canvas(&self, photo: &Photo) -> Canvas {
        let canvas = self.fitted(photo);
        match self.silhouette(&canvas) {
            Some(silhouette) => canvas.with_silhouette(silhouette),
            None => canvas,
        }
    }

    fn tells_garments(&self) -> bool {
        self.mask.is_some()
    }

    fn forward(&self, batch: &[&Canvas]) -> candle_core::Result<Tensor> {
        let views = self.manifest.views.len();
        let colours = || batch.par_iter().map(|canvas| palette::colours(canvas)).collect::<Vec<_>>();
        let (pixels, colours) = rayon::join(|| self.pixels(batch), colours);
        let pictures: Vec<&[u8]> = pixels.iter().map(Vec::as_slice).collect();
        let vectors = self.vectors(&pictures).map_err(candle_core::Error::wrap)?;
        let mut features = Vec::with_capacity(batch.len() * self.layout.len());
        for (colours, vectors) in colours.into_iter().zip(vectors.chunks_exact(views)) {
            features.extend(vectors.iter().flatten());
            features.extend(colours.into_iter().take(self.colours()));
        }
        Tensor::from_vec(features, (batch.len(), self.layout.len()), &Device::Cpu)
    }
}

impl BackboneManifest {
    /// Everything that is wrong with it.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let Self { format, architecture, input_side, views, blocks: pooled, .. } = self;
        let mut faults = architecture.faults(*input_side);
        if *format != FORMAT {
            faults.push(format!("format is {format}; format {FORMAT} is read"));
        }
        let step = architecture.step().max(1);
        if input_side % step != 0 || !(step..=SIDE_MAX).contains(input_side) {
            faults.push(format!(
                "input_side is {input_side}; a multiple of {step} up to {SIDE_MAX} is accepted"
            ));
        }
        let mut seen = views.clone();
        seen.sort_unstable();
        seen.dedup();
        if views.is_empty() || seen.len() != views.len() {
            faults.push("views must name at least one view, and none twice".into());
        }
        let blocks = architecture.blocks();
        if pooled.iter().any(|block| *block >= blocks) || !pooled.is_sorted_by(|a, b| a < b) {
            faults.push(format!("blocks must be in order, without repetition and below {blocks}"));
        }
        faults.extend(self.mask.iter().flat_map(MaskManifest::faults));
        faults
    }
}

/// Architecture, pipeline and a hash of manifest and weights, rounded to half precision.
fn fingerprint(manifest: &BackboneManifest, tensors: &BTreeMap<String, Weights>) -> String {
    let BackboneManifest { architecture, input_side, views, blocks, pipeline, .. } = manifest;
    let mut hash = Sha256::new();
    hash.update(format!("{input_side} {views:?} {blocks:?}"));
    hash.update(architecture.identity());
    if let Some(mask) = &manifest.mask {
        hash.update(format!("{mask:?}"));
    }
    for (name, weights) in tensors {
        hash.update(format!("\0{name}\0{:?}\0", weights.shape));
        weights.data.iter().for_each(|v| hash.update(f16::from_f32(*v).to_le_bytes()));
    }
    let digest = HEXLOWER.encode(&hash.finalize()[..8]);
    format!("{}/views/{pipeline}/{digest}", architecture.name())
}
