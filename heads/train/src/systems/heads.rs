//! Systems of one head an attribute: the paper's own, its variants without parts or ranking, and Lapel.

use super::fitted::Prototypes;
use super::signatures::normalise;
use super::{Change, Labelled, Query, QueryPart, Searcher, Signatures, System};
use crate::Prepared;
use lapel_heads::Head;
use std::sync::Arc;

/// Heads, each with a part of the signature of its own. A changed label's prototype takes the place of the query's
/// part (section 4.6).
pub struct HeadSystem {
    name: String,
    heads: Arc<Vec<Head>>,
}

impl HeadSystem {
    /// A system of heads.
    #[must_use]
    pub fn new(name: &str, heads: Arc<Vec<Head>>) -> Self {
        Self { name: name.into(), heads }
    }

    /// The heads.
    #[must_use]
    pub fn heads(&self) -> &[Head] {
        &self.heads
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
        // As the server has them.
        let weight = |attribute: usize, label: usize, signature: &[f32]| {
            owners[attribute]
                .map_or(1.0, |head| self.heads[head].manifest().prototype_weight(label, signature))
        };
        let prototypes = Prototypes::weighted(&training, range, weight);
        Ok(Box::new(Fitted { heads: &self.heads, owners, prototypes, layout: training.signatures }))
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

/// How sure a head is of the likeliest labels of a signature: the mean over its attributes.
fn confidence(head: &Head, signature: &[f32]) -> f32 {
    let attributes = &head.manifest().attributes;
    let sure = attributes.iter().filter_map(|a| Some(head.predict(a, signature)?.probability));
    sure.sum::<f32>() / attributes.len().max(1) as f32
}

struct Fitted<'a> {
    heads: &'a [Head],
    /// The head of each attribute.
    owners: Vec<Option<usize>>,
    prototypes: Prototypes,
    /// Tells where the heads' parts lie.
    layout: Signatures,
}

impl Searcher for Fitted<'_> {
    fn query(&self, signature: &[f32], changes: &[Change]) -> Query {
        let mut vector = signature.to_vec();
        let part = |(at, head): (usize, &Head)| QueryPart {
            changed: false,
            confidence: confidence(head, &signature[self.layout.range(at)]),
        };
        let mut parts: Vec<QueryPart> = self.heads.iter().enumerate().map(part).collect();
        for change in changes {
            let Some(head) = self.owners[change.attribute] else { continue };
            let range = self.layout.range(head);
            let Some(wanted) = self.prototypes.get(change.attribute, change.to) else { continue };
            // A head of several attributes would forget the others if its whole part were replaced.
            let several = self.heads[head].manifest().attributes.len() > 1;
            let part =
                if several { self.moved(&vector[range.clone()], wanted, change) } else { wanted.to_vec() };
            vector[range].copy_from_slice(&part);
            parts[head].changed = true;
        }
        Query { vector, parts, squared: false }
    }
}

impl Fitted<'_> {
    /// The part, moved from the present label's prototype to the wanted one's.
    fn moved(&self, part: &[f32], wanted: &[f32], change: &Change) -> Vec<f32> {
        let present =
            change.from.or_else(|| self.prototypes.nearest_other(change.attribute, part, change.to));
        let present = present.and_then(|label| self.prototypes.get(change.attribute, label));
        let Some(present) = present else { return wanted.to_vec() };
        let mut moved: Vec<f32> = part.iter().zip(wanted).zip(present).map(|((p, w), o)| p + w - o).collect();
        normalise(&mut moved);
        moved
    }
}
