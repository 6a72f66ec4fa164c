//! From photos to parts and signatures: backbone, "Extract Parts?", part extraction, ROI pooling, heads.

use crate::backbone::Backbone;
use crate::head::Head;
use crate::manifest::Manifest;
use crate::parts::extract_parts;
use crate::photo::Canvas;
use crate::region::{Parts, PartsCase, Region};
use crate::roi::{pool_region, pooled_len};
use crate::signature::Signature;
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// Name of the attribute that the "Extract Parts?" head tells apart.
pub const PARTS_ATTRIBUTE: &str = "parts_case";

/// Why embedding cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The tensor library failed.
    #[error("the model failed: {0}")]
    Model(#[from] candle_core::Error),
    /// The head given for "Extract Parts?" is another one.
    #[error(
        "the part head must tell {PARTS_ATTRIBUTE} apart, with the labels lower_body, sleeved, sleeveless"
    )]
    NotAPartHead,
}

/// What was computed from one photo.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// The parts found.
    pub parts: Parts,
    /// One signature a head, in the order the heads were given; `None` for external heads and for a head
    /// whose output is not finite.
    pub signatures: Vec<Option<Signature>>,
}

/// The backbone and the "Extract Parts?" layer.
pub struct Embedder {
    backbone: Arc<dyn Backbone>,
    extract_parts: Head,
}

impl Embedder {
    /// Joins a backbone with the head that decides whether and which parts are extracted.
    ///
    /// # Errors
    /// [`EmbedError::NotAPartHead`].
    pub fn new(backbone: Arc<dyn Backbone>, extract_parts: Head) -> Result<Self, EmbedError> {
        let labels = extract_parts.manifest().attribute(PARTS_ATTRIBUTE).map(|a| a.labels.clone());
        if labels.is_none_or(|l| l != PartsCase::ALL.map(PartsCase::name)) || !extract_parts.has_network() {
            return Err(EmbedError::NotAPartHead);
        }
        Ok(Self { backbone, extract_parts })
    }

    /// The backbone.
    #[must_use]
    pub fn backbone(&self) -> &dyn Backbone {
        self.backbone.as_ref()
    }

    /// Embeds a batch: for each canvas its parts and one signature a head. The result for a canvas does not
    /// depend on what else is in the batch.
    ///
    /// # Errors
    /// When a canvas has the wrong side or the tensor library fails.
    pub fn embed(&self, canvases: &[&Canvas], heads: &[Arc<Head>]) -> Result<Vec<Embedding>, EmbedError> {
        let maps = self.maps(canvases)?;
        let cases = self.cases(&maps)?;
        let parts: Vec<Parts> =
            canvases.par_iter().zip(&cases).map(|(canvas, case)| extract_parts(canvas, *case)).collect();
        let mut pooled: HashMap<Region, Tensor> = HashMap::new();
        let mut by_head = Vec::with_capacity(heads.len());
        for head in heads.iter().filter(|h| h.has_network()) {
            let Manifest { region, context, .. } = *head.manifest();
            for region in std::iter::once(region).chain(context.then_some(Region::Whole)) {
                if let std::collections::hash_map::Entry::Vacant(entry) = pooled.entry(region) {
                    entry.insert(self.pool(&maps, &parts, region)?);
                }
            }
            let signatures = if context {
                head.signatures(&Tensor::cat(&[&pooled[&region], &pooled[&Region::Whole]], 1)?)?
            } else {
                head.signatures(&pooled[&region])?
            };
            by_head.push(signatures.into_iter());
        }
        let mut embeddings = Vec::with_capacity(parts.len());
        for parts in parts {
            let mut computed = by_head.iter_mut();
            let mut next = |h: &Arc<Head>| if h.has_network() { computed.next()?.next()? } else { None };
            let signatures = heads.iter().map(&mut next).collect();
            embeddings.push(Embedding { parts, signatures });
        }
        Ok(embeddings)
    }

    /// Feature maps of a batch, one flat `[channels * height * width]` a canvas.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    pub fn maps(&self, canvases: &[&Canvas]) -> Result<Vec<Vec<f32>>, EmbedError> {
        // Eight at a time: the columns of conv1 are 4.4 MB an image.
        let mut maps = Vec::with_capacity(canvases.len());
        for chunk in canvases.chunks(8) {
            maps.extend(self.backbone.forward(chunk)?.flatten_from(1)?.to_vec2::<f32>()?);
        }
        Ok(maps)
    }

    /// The case of "Extract Parts?" of each map.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn cases(&self, maps: &[Vec<f32>]) -> Result<Vec<PartsCase>, EmbedError> {
        let none = vec![Parts::none(); maps.len()];
        let signatures = self.extract_parts.signatures(&self.pool(maps, &none, Region::Whole)?)?;
        let case = |s: Option<Signature>| case_of(&self.extract_parts, s.as_ref().map(Signature::values));
        Ok(signatures.into_iter().map(case).collect())
    }

    fn pool(&self, maps: &[Vec<f32>], parts: &[Parts], region: Region) -> Result<Tensor, EmbedError> {
        let shape = self.backbone.map_shape();
        let rows: Vec<Vec<f32>> =
            maps.par_iter().zip(parts).map(|(map, parts)| pool_region(map, shape, parts, region)).collect();
        Ok(Tensor::from_vec(rows.concat(), (maps.len(), pooled_len(shape)), &Device::Cpu)?)
    }
}

/// The case that "Extract Parts?" sees in a signature; lower body, which has no parts, where it sees none.
pub(crate) fn case_of(extract_parts: &Head, signature: Option<&[f32]>) -> PartsCase {
    let case = || {
        let attribute = extract_parts.manifest().attribute(PARTS_ATTRIBUTE)?;
        let told = extract_parts.predict(attribute, signature?)?;
        PartsCase::ALL.into_iter().find(|case| case.name() == told.label)
    };
    case().unwrap_or(PartsCase::LowerBody)
}
