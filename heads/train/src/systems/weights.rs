//! How much each part of a signature counts, and a search by it.

use super::signatures::normalise;
use super::{Change, Query, Searcher, Signatures};
use lapel_heads::Head;
use serde::{Deserialize, Serialize};

/// How much each part of a signature counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartWeights {
    /// By part.
    pub weight: Vec<f32>,
    /// By part: the factor of its weight in queries that change it.
    pub changed: Vec<f32>,
    /// The exponent of the confidence by which a part that is kept is scaled; 0: not at all.
    pub confidence: f32,
    /// How far a change moves a signature of a single part, which has no parts to weigh: 1 is as the system says.
    pub step: f32,
}

impl PartWeights {
    /// All parts count the same (Eq. 4).
    #[must_use]
    pub fn equal(parts: usize) -> Self {
        Self { weight: vec![1.0; parts], changed: vec![1.0; parts], confidence: 0.0, step: 1.0 }
    }

    /// Those that the heads' own manifests state.
    #[must_use]
    pub fn of_manifests(heads: &[Head]) -> Self {
        let manifests = || heads.iter().map(Head::manifest);
        Self {
            weight: manifests().map(|m| m.weight).collect(),
            changed: manifests().map(|m| m.changed_weight).collect(),
            confidence: manifests().next().map_or(0.0, |m| m.confidence),
            step: 1.0,
        }
    }

    /// One weight a part, for a query.
    #[must_use]
    pub fn of(&self, query: &Query) -> Vec<f32> {
        let factor = |at: usize| {
            let part = query.parts[at];
            if part.changed { self.changed[at] } else { part.confidence.powf(self.confidence) }
        };
        self.weight.iter().enumerate().map(|(at, weight)| weight * factor(at)).collect()
    }

    /// Scales the weights to a mean of 1.
    pub(super) fn normalise(&mut self) {
        let mean = self.weight.iter().sum::<f32>() / self.weight.len().max(1) as f32;
        self.weight.iter_mut().for_each(|weight| *weight /= mean);
    }

    /// The vector to search by: of a single part, `step` of the way to the changed one and beyond.
    #[must_use]
    pub fn moved(&self, signature: &[f32], query: &Query) -> Vec<f32> {
        if query.parts.len() > 1 || self.step == 1.0 {
            return query.vector.clone();
        }
        let mut vector: Vec<f32> =
            signature.iter().zip(&query.vector).map(|(from, to)| from + self.step * (to - from)).collect();
        normalise(&mut vector);
        vector
    }
}

/// A fitted system with the weights that it is searched by.
pub struct Search<'a> {
    /// The system.
    pub searcher: &'a dyn Searcher,
    /// How much its parts count.
    pub weights: &'a PartWeights,
}

impl Search<'_> {
    /// D of a picture's changed query to each picture of a gallery.
    #[must_use]
    pub fn distances(
        &self,
        signatures: &Signatures,
        picture: usize,
        (changes, gallery): (&[Change], &[usize]),
    ) -> Vec<f32> {
        let own = signatures.row(picture);
        let query = self.searcher.query(own, changes);
        let (vector, weights) = (self.weights.moved(own, &query), self.weights.of(&query));
        let of = if query.squared { Signatures::squared_distance } else { Signatures::distance };
        gallery.iter().map(|p| of(signatures, &vector, signatures.row(*p), &weights)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::QueryPart;

    #[test]
    fn changed_parts_take_their_factor_and_kept_ones_their_confidence() {
        let parts = vec![
            QueryPart { changed: true, confidence: 0.2 },
            QueryPart { changed: false, confidence: 0.25 },
            QueryPart::KEPT,
        ];
        let query = Query { vector: vec![0.0; 3], parts, squared: false };
        assert_eq!(PartWeights::equal(3).of(&query), [1.0; 3]);
        let weights = PartWeights {
            weight: vec![1.0, 2.0, 3.0],
            changed: vec![4.0, 5.0, 6.0],
            confidence: 0.5,
            step: 1.0,
        };
        assert_eq!(weights.of(&query), [4.0, 1.0, 3.0]);
    }

    #[test]
    fn a_single_part_goes_a_step_of_the_way() {
        let query = Query::whole(vec![0.0, 1.0], true);
        let half = PartWeights { step: 0.5, ..PartWeights::equal(1) };
        let moved = half.moved(&[1.0, 0.0], &query);
        assert!(moved.iter().all(|v| (v - 0.5f32.sqrt()).abs() < 1e-6), "{moved:?}");
        assert_eq!(PartWeights::equal(1).moved(&[1.0, 0.0], &query), [0.0, 1.0]);
    }
}
