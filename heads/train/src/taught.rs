//! What heads are worth that are taught as a server teaches them, and what its suggestions save, on labelled photos.
//!
//! [`by_examples()`] teaches heads from so many examples a label; [`growth()`] lets labels grow by what the head of those
//! before is least sure of, and at random. Both go through [`lapel_fit::teach`] and [`lapel_fit::to_label_next`].

mod by_examples;
mod growth;

use anyhow::Context;
use candle_core::{Device, Tensor};
use lapel_fit::{Examples, HeadWeights, Lesson, Worth, select_rows, teach};
use lapel_heads::{Attribute, FeatureLayout, Features, Head, Parts, Signature};
use serde::Serialize;
use std::time::Instant;

pub use by_examples::{ByExamples, Draws, by_examples};
pub use growth::{Growth, Growths, Point, growth};

/// Examples of a label that teach something; a server leaves out labels of fewer.
const LABEL_MIN: usize = 2;

/// Photos with a label of an attribute.
pub struct LabelledPhotos {
    /// `[photos, inputs]`: the backbone's vectors, as [`as_cached`] gives them.
    pub rows: Tensor,
    /// The label's number of each.
    pub labels: Vec<u16>,
}

impl LabelledPhotos {
    /// Those of a table's photos that have a label.
    ///
    /// # Errors
    /// When none has, or the tensor library fails.
    pub fn among(rows: &Tensor, labels: &[Option<u16>]) -> anyhow::Result<Self> {
        let known: Vec<usize> = (0..labels.len()).filter(|at| labels[*at].is_some()).collect();
        anyhow::ensure!(!known.is_empty(), "no photo has a label");
        Ok(Self { rows: select_rows(rows, &known)?, labels: labels.iter().flatten().copied().collect() })
    }
}

/// An attribute that heads are taught, with the photos that they are taught from and measured on.
pub struct Trial<'a> {
    /// The attribute.
    pub attribute: &'a Attribute,
    /// The backbone's fingerprint.
    pub fingerprint: &'a str,
    /// What the backbone gives.
    pub layout: &'a FeatureLayout,
    /// The power of probabilities in signatures.
    pub exponent: f32,
    /// What is taught from.
    pub training: LabelledPhotos,
    /// The fold that `lapel-train`'s probe holds each of them out in.
    pub folds: Vec<Option<usize>>,
    /// What is measured on.
    pub test: LabelledPhotos,
}

/// What a classifier tells of photos.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Told {
    /// Photos.
    pub photos: u64,
    /// Share told right.
    pub accuracy: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Mean over the labels of the share told right.
    pub balanced: f64,
    /// Share of the most frequent label.
    pub majority: f64,
    /// Expected calibration error in ten bins.
    pub calibration_error: f64,
}

impl Told {
    fn of(worth: &Worth) -> Self {
        Self {
            photos: worth.examples,
            accuracy: worth.accuracy.value,
            low: worth.accuracy.low,
            high: worth.accuracy.high,
            balanced: worth.balanced_accuracy,
            majority: worth.majority,
            calibration_error: worth.calibration_error,
        }
    }
}

/// A head that was taught.
struct TaughtHead {
    head: Head,
    /// The attribute's numbers of the labels that it tells.
    labels: Vec<usize>,
    worth: Worth,
    /// How long the fit took.
    seconds: f64,
}

impl Trial<'_> {
    /// Teaches a head from some of the training photos, as a server does: by label, without labels of one example.
    fn teach(&self, photos: &[usize]) -> anyhow::Result<TaughtHead> {
        let counts = self.counts(photos);
        let labels: Vec<usize> = (0..counts.len()).filter(|label| counts[*label] >= LABEL_MIN).collect();
        let number = |at: usize| {
            let own = usize::from(self.training.labels[at]);
            labels.iter().position(|label| *label == own).map(|number| (number as u16, at))
        };
        let mut order: Vec<(u16, usize)> = photos.iter().filter_map(|at| number(*at)).collect();
        order.sort_unstable();
        let rows: Vec<usize> = order.iter().map(|(_, at)| *at).collect();
        let examples = Examples {
            vectors: select_rows(&self.training.rows, &rows)?,
            labels: order.into_iter().map(|(label, _)| label).collect(),
        };
        let names: Vec<String> = labels.iter().map(|label| self.attribute.labels[*label].clone()).collect();
        let lesson = Lesson {
            name: &self.attribute.name,
            labels: &names,
            examples: &examples,
            fingerprint: self.fingerprint,
            layout: self.layout,
            weights: HeadWeights {
                weight: 1.0,
                changed_weight: 1.0,
                confidence: 0.0,
                exponent: self.exponent,
            },
            description: "",
        };
        let begun = Instant::now();
        let taught = teach(&lesson, &|| false)?;
        let seconds = begun.elapsed().as_secs_f64();
        let head = Head::reading(&taught.bundle, String::new(), self.layout.len())?;
        Ok(TaughtHead { head, labels, worth: taught.worth, seconds })
    }

    /// How many of some training photos have each label.
    fn counts(&self, photos: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.attribute.labels.len()];
        for at in photos {
            counts[usize::from(self.training.labels[*at])] += 1;
        }
        counts
    }

    /// What a head tells of the photos that are measured on; one whose label it was not taught is told wrong.
    fn measured(&self, taught: &TaughtHead) -> anyhow::Result<Told> {
        let count = self.attribute.labels.len();
        let mut rows = Vec::with_capacity(self.test.labels.len());
        for looked in taught.looked(&self.test.rows)? {
            let mut row = vec![0.0; count];
            if let Some(probabilities) = looked {
                taught.labels.iter().zip(probabilities).for_each(|(label, value)| row[*label] = value);
            }
            rows.push(row);
        }
        Ok(self.told(&rows))
    }

    /// Of the probabilities of all labels of the photos that are measured on.
    fn told(&self, rows: &[Vec<f32>]) -> Told {
        Told::of(&Worth::of(&self.test.labels, rows, self.attribute.labels.len()))
    }
}

impl TaughtHead {
    /// The probabilities of the labels that the head tells, of each row, as a server has them; nothing where a signature is
    /// not finite.
    fn looked(&self, rows: &Tensor) -> anyhow::Result<Vec<Option<Vec<f32>>>> {
        let attribute = self.head.manifest().attributes.first().context("a taught head has an attribute")?;
        let look = |signature: Option<Signature>| {
            let signature = signature?;
            let scores = self.head.classify(attribute, signature.values())?;
            Some(scores.into_iter().map(|score| score.probability).collect())
        };
        Ok(self.head.signatures(rows)?.into_iter().map(look).collect())
    }
}

/// Rows of features in the precision of a server's feature cache, which is what it teaches from.
///
/// # Errors
/// When the tensor library fails.
pub fn as_cached(rows: &Tensor, layout: &FeatureLayout) -> candle_core::Result<Tensor> {
    let (photos, inputs) = rows.dims2()?;
    let mut values = Vec::with_capacity(photos * inputs);
    for map in rows.to_vec2::<f32>()? {
        let features = Features { parts: Parts::none(), map };
        let cached = Features::from_bytes(Parts::none(), &features.map_to_bytes(), layout);
        values.extend(cached.map_or(features.map, |cached| cached.map));
    }
    Tensor::from_vec(values, (photos, inputs), &Device::Cpu)
}

#[cfg(test)]
mod tests;
