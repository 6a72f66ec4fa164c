//! How well labels are told apart.

use crate::embedder::{EmbedError, Embedder};
use crate::head::Head;
use crate::labels::Labels;
use crate::photo::Photo;
use crate::region::PartsCase;
use crate::signature::Signature;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A labelled picture with its signatures, one a head.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its labels.
    pub labels: Labels,
    /// The case of "Extract Parts?" seen in it.
    pub case: PartsCase,
    /// Its signatures, in the order of the heads.
    pub signatures: Vec<Option<Signature>>,
}

/// Embeds labelled photos, eight at a time; `done` is told how many.
///
/// # Errors
/// When the model fails.
pub fn measure(
    embedder: &Embedder,
    heads: &[Arc<Head>],
    photos: impl Iterator<Item = (Photo, Labels)>,
    mut done: impl FnMut(usize),
) -> Result<Vec<Measured>, EmbedError> {
    let side = embedder.backbone().input_side();
    let mut photos = photos.map(|(photo, labels)| (photo.fit(side), labels));
    let mut measured = Vec::new();
    loop {
        let (canvases, labels): (Vec<_>, Vec<_>) = photos.by_ref().take(8).unzip();
        if canvases.is_empty() {
            return Ok(measured);
        }
        let embeddings = embedder.embed(&canvases.iter().collect::<Vec<_>>(), heads)?;
        done(embeddings.len());
        let joined = labels.into_iter().zip(embeddings);
        measured.extend(joined.map(|(labels, e)| Measured {
            labels,
            case: e.parts.case,
            signatures: e.signatures,
        }));
    }
}

/// How well an attribute's label is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// The attribute.
    pub attribute: String,
    /// Pictures labelled for it with a label that the head knows.
    pub labelled: usize,
    /// Share of them told right.
    pub accuracy: f64,
    /// Share told right by always answering the most frequent label.
    pub majority: f64,
    /// Mean over the labels of the share told right.
    pub balanced: f64,
    /// Pictures whose label the head does not know; they count in neither share.
    pub unknown: usize,
}

/// Accuracy of each attribute of each head, by name.
#[must_use]
pub fn accuracies(measured: &[Measured], heads: &[Arc<Head>]) -> Vec<Accuracy> {
    let mut all = Vec::new();
    for (at, head) in heads.iter().enumerate() {
        for attribute in &head.manifest().attributes {
            // By label: pictures, and those told right.
            let mut counts: BTreeMap<&String, (usize, usize)> = BTreeMap::new();
            let mut unknown = 0;
            for picture in measured {
                let (Some(label), Some(signature)) =
                    (picture.labels.get(&attribute.name), &picture.signatures[at])
                else {
                    continue;
                };
                if !attribute.labels.contains(label) {
                    unknown += 1;
                    continue;
                }
                let told = head.predict(attribute, signature.values());
                let (seen, right) = counts.entry(label).or_default();
                *seen += 1;
                *right += usize::from(told.is_some_and(|t| &t.label == label));
            }
            let labelled: usize = counts.values().map(|c| c.0).sum();
            let share = |part: usize| part as f64 / labelled.max(1) as f64;
            let recalls = counts.values().map(|(seen, right)| *right as f64 / *seen as f64);
            all.push(Accuracy {
                attribute: attribute.name.clone(),
                labelled,
                accuracy: share(counts.values().map(|c| c.1).sum()),
                majority: share(counts.values().map(|c| c.0).max().unwrap_or(0)),
                balanced: recalls.sum::<f64>() / counts.len().max(1) as f64,
                unknown,
            });
        }
    }
    all.sort_by(|a, b| a.attribute.cmp(&b.attribute));
    all
}
