//! Systems of one head an attribute: the paper's own, its variants without parts or ranking, and Lapel.

use super::fitted::Prototypes;
use super::signatures::normalise;
use super::{Change, Labelled, Query, Searcher, Signatures, System};
use crate::Prepared;
use lapel_heads::Head;
use rayon::prelude::*;
use std::ops::Range;

/// Training pictures that tell how much of a hub a picture is.
const NEAREST: usize = 10;

/// How a changed label moves a special head's part of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The wanted label's prototype takes its place (section 4.6).
    Replace,
    /// The difference of the wanted and the present label's prototype is added.
    Residual,
    /// As `Replace`, with the mean over those training pictures of the label that resemble the query in the other
    /// parts.
    Conditioned,
}

/// How a system of heads searches.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchRules {
    /// Editing.
    pub edit: Edit,
    /// One weight a head, in their order; empty: all 1 (Eq. 4).
    pub weights: Vec<f32>,
    /// What the weight of a changed head is multiplied by.
    pub changed: f32,
    /// Whether distances are squared before they are added.
    pub squared: bool,
    /// How much of a picture's mean distance to its nearest training pictures is taken off: pictures that are near
    /// to everything ("hubs") would otherwise come up too often.
    pub hubness: f32,
}

impl Default for SearchRules {
    fn default() -> Self {
        Self { edit: Edit::Replace, weights: Vec::new(), changed: 1.0, squared: false, hubness: 0.0 }
    }
}

/// One head an attribute, and one for the general ones together.
pub struct HeadSystem {
    name: String,
    heads: std::sync::Arc<Vec<Head>>,
    rules: SearchRules,
}

impl HeadSystem {
    /// Heads with the rules by which they are searched.
    #[must_use]
    pub fn new(name: &str, heads: std::sync::Arc<Vec<Head>>, rules: SearchRules) -> Self {
        Self { name: name.into(), heads, rules }
    }

    /// The same heads with other rules.
    #[must_use]
    pub fn with_rules(&self, rules: SearchRules) -> Self {
        Self { name: self.name.clone(), heads: self.heads.clone(), rules }
    }

    /// The heads.
    #[must_use]
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The rules that the heads' own manifests state.
    #[must_use]
    pub fn own_rules(heads: &[Head]) -> SearchRules {
        let manifests = || heads.iter().map(Head::manifest);
        SearchRules {
            weights: manifests().map(|m| m.weight).collect(),
            changed: manifests().map(|m| m.changed_weight).fold(1.0, f32::max),
            ..SearchRules::default()
        }
    }
}

impl System for HeadSystem {
    fn name(&self) -> &str {
        &self.name
    }

    fn signatures(&self, of: &Prepared) -> anyhow::Result<Signatures> {
        signatures_of(&self.heads, of)
    }

    fn fit<'a>(&'a self, training: Labelled<'a>) -> anyhow::Result<Box<dyn Searcher + 'a>> {
        let owners: Vec<Option<usize>> =
            training.attributes.iter().map(|a| owner_of(&self.heads, &a.name)).collect();
        let range = |at: usize| owners[at].map(|head| training.signatures.range(head));
        let prototypes = Prototypes::of(&training, range);
        Ok(Box::new(Fitted { system: self, owners, prototypes, training }))
    }
}

/// The head that tells an attribute.
pub(super) fn owner_of(heads: &[Head], attribute: &str) -> Option<usize> {
    heads.iter().position(|h| h.manifest().attribute(attribute).is_some())
}

/// Signatures by several heads, one part each; a head that gives none leaves zeros.
pub(super) fn signatures_of(heads: &[Head], of: &Prepared) -> anyhow::Result<Signatures> {
    let parts: Vec<usize> = heads.iter().map(Head::dim).collect();
    let width: usize = parts.iter().sum();
    let mut data = vec![0.0; of.examples().len() * width];
    let mut from = 0;
    for head in heads {
        for (row, signature) in data.chunks_exact_mut(width).zip(of.signatures(head)?) {
            if let Some(signature) = signature {
                row[from..from + head.dim()].copy_from_slice(&signature);
            }
        }
        from += head.dim();
    }
    Ok(Signatures::new(parts, data))
}

struct Fitted<'a> {
    system: &'a HeadSystem,
    /// The head of each attribute.
    owners: Vec<Option<usize>>,
    prototypes: Prototypes,
    training: Labelled<'a>,
}

impl Searcher for Fitted<'_> {
    fn query(&self, signature: &[f32], changes: &[Change]) -> Query {
        let rules = &self.system.rules;
        let mut vector = signature.to_vec();
        let mut weights =
            if rules.weights.is_empty() { vec![1.0; self.system.heads.len()] } else { rules.weights.clone() };
        for change in changes {
            let Some(head) = self.owners[change.attribute] else { continue };
            let range = self.training.signatures.range(head);
            let Some(wanted) = self.prototypes.get(change.attribute, change.to) else { continue };
            // A head of several attributes would forget the others if its whole part were replaced.
            let several = self.system.heads[head].manifest().attributes.len() > 1;
            let part = match rules.edit {
                Edit::Conditioned if !several => self.conditioned(signature, change, &range),
                Edit::Replace if !several => wanted.to_vec(),
                Edit::Replace | Edit::Residual | Edit::Conditioned => {
                    self.moved(&vector[range.clone()], wanted, change)
                }
            };
            vector[range].copy_from_slice(&part);
            weights[head] *= rules.changed;
        }
        Query { vector, weights, squared: rules.squared }
    }

    fn penalties(&self, pictures: &Signatures) -> Option<Vec<f32>> {
        let share = self.system.rules.hubness;
        (share > 0.0).then(|| {
            let weights = vec![1.0; self.system.heads.len()];
            let training = &self.training.signatures;
            let penalty = |picture: usize| {
                let row = pictures.row(picture);
                let mut near: Vec<f32> =
                    (0..training.len()).map(|t| training.distance(row, training.row(t), &weights)).collect();
                near.sort_by(f32::total_cmp);
                let nearest = &near[..NEAREST.min(near.len())];
                -share * nearest.iter().sum::<f32>() / nearest.len().max(1) as f32
            };
            (0..pictures.len()).into_par_iter().map(penalty).collect()
        })
    }
}

impl Fitted<'_> {
    /// The part, moved from the present label's prototype to the wanted one's.
    fn moved(&self, part: &[f32], wanted: &[f32], change: &Change) -> Vec<f32> {
        let present = change.from.or_else(|| self.prototypes.nearest(change.attribute, part));
        let present = present.and_then(|label| self.prototypes.get(change.attribute, label));
        let Some(present) = present else { return wanted.to_vec() };
        let mut moved: Vec<f32> = part.iter().zip(wanted).zip(present).map(|((p, w), o)| p + w - o).collect();
        normalise(&mut moved);
        moved
    }

    /// Mean over the training pictures of the wanted label, weighted by their nearness in the other parts.
    fn conditioned(&self, signature: &[f32], change: &Change, range: &Range<usize>) -> Vec<f32> {
        const SPREAD: f32 = 0.7;
        let signatures = &self.training.signatures;
        let weights: Vec<f32> = (0..signatures.parts().len())
            .map(|part| f32::from(u8::from(&signatures.range(part) != range)))
            .collect();
        let carry = |p: &usize| self.training.labels[*p][change.attribute] == Some(change.to);
        let carriers: Vec<(usize, f32)> = (0..signatures.len())
            .filter(carry)
            .map(|p| (p, signatures.distance(signature, signatures.row(p), &weights)))
            .collect();
        let least = carriers.iter().map(|(_, d)| *d).fold(f32::INFINITY, f32::min);
        let mut mean = vec![0.0; range.len()];
        for (picture, distance) in carriers {
            let share = ((least - distance) / SPREAD).exp();
            for (sum, value) in mean.iter_mut().zip(&signatures.row(picture)[range.clone()]) {
                *sum += share * value;
            }
        }
        normalise(&mut mean);
        mean
    }
}
