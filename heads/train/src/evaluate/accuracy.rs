//! How well labels are told apart.

use crate::{Example, Prepared};
use lapel_heads::{Head, Labels, PartsCase, Signature};
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

/// What several heads see in prepared pictures.
///
/// # Errors
/// When features cannot be read or the model fails.
pub fn measure(pictures: &Prepared, heads: &[Arc<Head>]) -> anyhow::Result<Vec<Measured>> {
    let blank = |(example, case): (&Example, &PartsCase)| Measured {
        labels: example.labels.clone(),
        case: *case,
        signatures: Vec::with_capacity(heads.len()),
    };
    let mut measured: Vec<Measured> = pictures.examples().iter().zip(pictures.cases()).map(blank).collect();
    for head in heads {
        for (picture, signature) in measured.iter_mut().zip(pictures.signatures(head)?) {
            picture.signatures.push(signature.and_then(|s| Signature::new(s).ok()));
        }
    }
    Ok(measured)
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
