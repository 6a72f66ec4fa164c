//! From photos to parts and signatures: backbone, "Extract Parts?", part extraction, ROI pooling, heads.

use crate::backbone::{Backbone, FeatureLayout};
use crate::features::Features;
use crate::head::Head;
use crate::manifest::Manifest;
use crate::parts::extract_parts;
use crate::photo::Canvas;
use crate::product::Rows;
use crate::region::{Parts, PartsCase, Region};
use crate::roi::CellMap;
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

    /// Whether a photo with these parts may show a garment. Of one that does not, heads tell labels that mean nothing.
    #[must_use]
    pub fn may_show_garment(&self, parts: &Parts) -> bool {
        parts.segmented || !self.backbone.tells_garments()
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
        let wanted: BTreeSet<Reading> =
            heads.iter().filter(|h| h.has_network()).flat_map(|h| readings(h)).collect();
        let pooled = self.read(features.iter().map(|f| (f.map.as_slice(), &f.parts)).collect(), &wanted);
        let computed: Vec<_> = heads
            .par_iter()
            .map(|head| {
                let parts: Option<Vec<&Rows>> = readings(head).map(|reading| pooled.get(&reading)).collect();
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

    /// Features of a batch, flat, one row a canvas.
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
        let pooled = self.read(maps, &readings(&self.extract_parts).collect());
        let signatures = self.extract_parts.signatures_of(&pooled.values().collect::<Vec<_>>());
        let case = |s: Option<Signature>| case_of(&self.extract_parts, s.as_ref().map(Signature::values));
        Ok(signatures.into_iter().map(case).collect())
    }

    /// What heads read of features.
    fn read(&self, features: Vec<(&[f32], &Parts)>, wanted: &BTreeSet<Reading>) -> BTreeMap<Reading, Rows> {
        let layout = self.backbone.layout();
        let of = |(features, parts): (&[f32], &Parts)| match &layout {
            FeatureLayout::Map(shape) => {
                let map = CellMap::new(features, *shape);
                let pool = |reading: &Reading| match reading {
                    Reading::Region(region) => map.pool(parts, *region),
                    Reading::Vectors(_) => Vec::new(),
                };
                wanted.iter().map(pool).collect::<Vec<_>>()
            }
            FeatureLayout::Vectors(_) => {
                let part = |name: &String| layout.source(name).and_then(|range| features.get(range));
                let joined = |reading: &Reading| match reading {
                    Reading::Region(_) => Vec::new(),
                    Reading::Vectors(names) => names.iter().filter_map(part).flatten().copied().collect(),
                };
                wanted.iter().map(joined).collect()
            }
        };
        let read: Vec<Vec<Vec<f32>>> = features.into_par_iter().map(of).collect();
        let rows = |at: usize| {
            let len = read.first().map_or(0, |readings| readings[at].len());
            Rows::new(len, read.iter().map(|readings| readings[at].as_slice()))
        };
        wanted.iter().enumerate().map(|(at, reading)| (reading.clone(), rows(at))).collect()
    }
}

/// What a head reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reading {
    /// A pooled region of the map.
    Region(Region),
    /// Vectors one after the other.
    Vectors(Vec<String>),
}

/// What a head reads, in the order of its layers.
fn readings(head: &Head) -> impl Iterator<Item = Reading> {
    let Manifest { region, context, inputs, .. } = head.manifest();
    let own = if inputs.is_empty() { Reading::Region(*region) } else { Reading::Vectors(inputs.clone()) };
    let context = inputs.is_empty() && *context;
    std::iter::once(own).chain(context.then_some(Reading::Region(Region::Whole)))
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
