//! A backbone with its probes, measured as servers use them.

use super::edits::{EditTable, EditWeights, EditedHead, draw_edits, edit_table};
use super::measure::Measurement;
use super::table::TablePhoto;
use anyhow::Context;
use candle_core::Tensor;
use lapel_heads::{
    Attribute, BACKBONE_FILE, Backbone, Bundle, EXTRACT_PARTS_FILE, Head, SignatureKind, load_backbone,
    probabilities,
};
use std::path::Path;
use std::sync::Arc;

/// A backbone of views with probes for it.
pub struct ProbeModel {
    /// The backbone.
    pub backbone: Arc<dyn Backbone>,
    /// Probes, one an attribute, by name.
    pub heads: Vec<Head>,
}

impl ProbeModel {
    /// Joins a backbone with bundles for it.
    ///
    /// # Errors
    /// When a bundle is unsound.
    pub fn new(backbone: Arc<dyn Backbone>, bundles: &[Bundle]) -> anyhow::Result<Self> {
        let head = |bundle: &Bundle| Ok(Head::new(bundle, String::new(), backbone.as_ref())?);
        let heads = bundles.iter().map(head).collect::<anyhow::Result<_>>()?;
        Ok(Self { backbone, heads })
    }

    /// The backbone and the probes in a folder; other files are left aside.
    ///
    /// # Errors
    /// When the folder or the backbone cannot be read, or a probe for it is unsound.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(BACKBONE_FILE);
        let backbone = load_backbone(&fs_err::read(&path)?).with_context(|| path.display().to_string())?;
        let bundles = probe_bundles(folder, backbone.as_ref())?;
        Self::new(backbone, &bundles)
    }

    /// What every head tells of photos whose features are `rows`.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn measure(&self, photos: &[TablePhoto], rows: &Tensor) -> anyhow::Result<Vec<Measurement>> {
        let ids: Vec<&str> = photos.iter().map(|p| p.id.as_str()).collect();
        let of = |head: &Head| {
            let attribute = &head.manifest().attributes[0];
            let labels = numbers(attribute, photos);
            let all = photos.iter().filter(|p| p.labels.contains_key(&attribute.name)).count();
            let unknown = all - labels.iter().flatten().count();
            let thresholds = head.manifest().thresholds_of(attribute);
            let told = self.probabilities(head, rows)?;
            Ok(Measurement::new((attribute, &thresholds), &ids, (&labels, unknown), &told))
        };
        self.heads.iter().map(of).collect()
    }

    /// The heads' part in edits of photos.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn edited(&self, photos: &[TablePhoto], rows: &Tensor) -> anyhow::Result<Vec<EditedHead>> {
        let of = |head: &Head| {
            let labels = numbers(&head.manifest().attributes[0], photos);
            Ok(EditedHead::new(head, labels, &self.probabilities(head, rows)?))
        };
        self.heads.iter().map(of).collect()
    }

    /// One edit an attribute and photo, by the bundles' own weights and prototypes.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn edits(&self, photos: &[TablePhoto], rows: &Tensor, seed: u64) -> anyhow::Result<EditTable> {
        let heads = self.edited(photos, rows)?;
        Ok(edit_table(&heads, &draw_edits(&heads, seed), &self.weights()))
    }

    /// Probabilities that a probe gives for rows of features, of which it reads the vectors that its manifest names.
    fn probabilities(&self, head: &Head, rows: &Tensor) -> anyhow::Result<Vec<Vec<f32>>> {
        let layout = self.backbone.layout();
        let mut read = Vec::new();
        for name in &head.manifest().inputs {
            let at = layout.source(name).with_context(|| format!("the backbone does not give {name}"))?;
            read.push(rows.narrow(1, at.start, at.len())?);
        }
        let (count, exponent) = (head.dim(), head.manifest().exponent);
        let told = |signature: Option<lapel_heads::Signature>| {
            signature.map_or_else(|| vec![0.0; count], |s| probabilities(s.values(), exponent))
        };
        Ok(head.signatures(&Tensor::cat(&read, 1)?)?.into_iter().map(told).collect())
    }

    /// The weights in the manifests.
    #[must_use]
    pub fn weights(&self) -> EditWeights {
        let of =
            |part: fn(&Head) -> f32| self.heads.iter().map(|head| f64::from(part(head))).collect::<Vec<_>>();
        EditWeights {
            weight: of(|head| head.manifest().weight),
            changed: of(|head| head.manifest().changed_weight),
            confidence: of(|head| head.manifest().confidence).first().copied().unwrap_or(0.0),
        }
    }
}

/// The bundles of probes of a backbone in a folder, by name, without "Extract Parts?".
///
/// # Errors
/// When the folder cannot be read.
pub fn probe_bundles(folder: &Path, backbone: &dyn Backbone) -> anyhow::Result<Vec<Bundle>> {
    let mut bundles = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let is_bundle = path.extension().is_some_and(|e| e == "safetensors")
            && path.file_name().is_some_and(|name| name != BACKBONE_FILE && name != EXTRACT_PARTS_FILE);
        if !is_bundle {
            continue;
        }
        let bundle = Bundle::parse(&fs_err::read(&path)?).with_context(|| path.display().to_string())?;
        let fits = bundle.manifest.backbone.as_deref() == Some(backbone.fingerprint())
            && bundle.manifest.signature == SignatureKind::Probabilities;
        if fits {
            bundles.push(bundle);
        }
    }
    bundles.sort_by(|a, b| a.manifest.name.cmp(&b.manifest.name));
    Ok(bundles)
}

/// The label's number of each photo; `None` where it is missing or none of the attribute's.
#[must_use]
pub fn numbers(attribute: &Attribute, photos: &[TablePhoto]) -> Vec<Option<u16>> {
    let number = |p: &TablePhoto| {
        let label = p.labels.get(&attribute.name)?;
        attribute.labels.iter().position(|l| l == label).map(|at| at as u16)
    };
    photos.iter().map(number).collect()
}
