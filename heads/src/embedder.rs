//! From photos to parts and signatures: backbone, "Extract Parts?", part extraction, ROI pooling, heads.

use crate::backbone::Backbone;
use crate::features::Features;
use crate::head::Head;
use crate::manifest::Manifest;
use crate::parts::extract_parts;
use crate::photo::Canvas;
use crate::product::Rows;
use crate::region::{Parts, PartsCase, Region};
use crate::roi::{CellMap, pooled_len};
use crate::signature::Signature;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    /// What the heads read.
    pub features: Features,
    /// One signature a head, in the order the heads were given; `None` for external heads, for a head whose output
    /// is not finite, and for one that failed.
    pub signatures: Vec<Option<Signature>>,
}

/// What was computed from a batch.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// One a photo.
    pub embeddings: Vec<Embedding>,
    /// Heads that failed on the batch. They touch no other head.
    pub faults: Vec<HeadFault>,
}

/// A head that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadFault {
    /// Its place among the heads that were given.
    pub head: usize,
    /// What happened.
    pub reason: String,
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

    /// Embeds a batch: for each canvas what heads read, and one signature a head. The result for a canvas does not
    /// depend on what else is in the batch.
    ///
    /// # Errors
    /// When a canvas has the wrong side or the backbone fails.
    pub fn embed(&self, canvases: &[&Canvas], heads: &[Arc<Head>]) -> Result<Embedded, EmbedError> {
        self.signatures(self.features(canvases)?, heads)
    }

    /// What the heads read of each canvas.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    pub fn features(&self, canvases: &[&Canvas]) -> Result<Vec<Features>, EmbedError> {
        let maps = self.maps(canvases)?;
        let cases = self.cases(&maps)?;
        let parts: Vec<Parts> =
            canvases.par_iter().zip(&cases).map(|(canvas, case)| extract_parts(canvas, *case)).collect();
        Ok(maps.into_iter().zip(parts).map(|(map, parts)| Features { parts, map }).collect())
    }

    /// Signatures of photos whose features are known.
    ///
    /// # Errors
    /// When the features are of another backbone.
    pub fn signatures(&self, features: Vec<Features>, heads: &[Arc<Head>]) -> Result<Embedded, EmbedError> {
        let wanted: BTreeSet<Region> =
            heads.iter().filter(|h| h.has_network()).flat_map(|h| regions(h)).collect();
        let pooled = self.pooled(features.iter().map(|f| (f.map.as_slice(), &f.parts)).collect(), &wanted);
        let computed: Vec<_> = heads
            .par_iter()
            .map(|head| {
                let parts: Option<Vec<&Rows>> = regions(head).map(|region| pooled.get(&region)).collect();
                head.has_network().then(|| isolated(|| Ok(head.signatures_of(&parts.unwrap_or_default()))))
            })
            .collect();
        let (mut by_head, mut faults) = (Vec::with_capacity(heads.len()), Vec::new());
        for (at, computed) in computed.into_iter().enumerate() {
            by_head.push(match computed {
                Some(Ok(signatures)) => Some(signatures.into_iter()),
                Some(Err(reason)) => {
                    faults.push(HeadFault { head: at, reason });
                    None
                }
                None => None,
            });
        }
        let embeddings = features.into_iter().map(|features| {
            let signatures = by_head.iter_mut().map(|computed| computed.as_mut()?.next()?).collect();
            Embedding { features, signatures }
        });
        Ok(Embedded { embeddings: embeddings.collect(), faults })
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
        let none = Parts::none();
        let maps = maps.iter().map(|map| (map.as_slice(), &none)).collect();
        let pooled = self.pooled(maps, &BTreeSet::from([Region::Whole]));
        let signatures = self.extract_parts.signatures_of(&pooled.values().collect::<Vec<_>>());
        let case = |s: Option<Signature>| case_of(&self.extract_parts, s.as_ref().map(Signature::values));
        Ok(signatures.into_iter().map(case).collect())
    }

    /// Some regions of maps.
    fn pooled(&self, maps: Vec<(&[f32], &Parts)>, regions: &BTreeSet<Region>) -> BTreeMap<Region, Rows> {
        let shape = self.backbone.map_shape();
        let pool = |(map, parts): (&[f32], &Parts)| {
            let map = CellMap::new(map, shape);
            regions.iter().map(|region| map.pool(parts, *region)).collect::<Vec<_>>()
        };
        let by_map: Vec<Vec<Vec<f32>>> = maps.into_par_iter().map(pool).collect();
        let rows =
            |at: usize| Rows::new(pooled_len(shape), by_map.iter().map(|pooled| pooled[at].as_slice()));
        regions.iter().enumerate().map(|(at, region)| (*region, rows(at))).collect()
    }
}

/// The pooled regions that a head reads.
fn regions(head: &Head) -> impl Iterator<Item = Region> {
    let Manifest { region, context, .. } = *head.manifest();
    std::iter::once(region).chain(context.then_some(Region::Whole))
}

/// Runs one head; whatever happens in it stays in it.
fn isolated<T>(run: impl FnOnce() -> candle_core::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done.map_err(|error| format!("it failed: {error}")),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(format!("it panicked: {text}"))
        }
    }
}

/// The case that "Extract Parts?" sees in a signature; lower body, which has no parts, where it sees none.
#[must_use]
pub fn case_of(extract_parts: &Head, signature: Option<&[f32]>) -> PartsCase {
    let case = || {
        let attribute = extract_parts.manifest().attribute(PARTS_ATTRIBUTE)?;
        let told = extract_parts.predict(attribute, signature?)?;
        PartsCase::ALL.into_iter().find(|case| case.name() == told.label)
    };
    case().unwrap_or(PartsCase::LowerBody)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_in_a_head_stays_in_it() {
        assert_eq!(isolated(|| Ok(3)), Ok(3));
        let failed = isolated(|| Err::<(), _>(candle_core::Error::Msg("no".into())));
        assert_eq!(failed, Err("it failed: no".into()));
        let number = 7;
        assert_eq!(isolated::<()>(|| panic!("index {number}")), Err("it panicked: index 7".into()));
        assert_eq!(isolated::<()>(|| panic!("plain")), Err("it panicked: plain".into()));
    }
}
