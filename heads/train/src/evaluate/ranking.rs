//! Where the answers to questions stand.

use super::protocol::{Asked, Trial};
use crate::systems::{Searcher, Signatures};
use rayon::prelude::*;
use serde::Serialize;

/// What is searched.
pub struct Pictures<'a> {
    /// One row a picture.
    pub signatures: Signatures,
    /// Their labels, as numbers.
    pub labels: &'a [Vec<Option<u16>>],
    /// What a system adds to each one's distance.
    pub penalties: Option<Vec<f32>>,
}

/// How one question was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The query's picture.
    pub picture: usize,
    /// The attributes that were changed.
    pub changed: Vec<usize>,
    /// Place of the first hit, from 1.
    pub rank: usize,
}

impl Outcome {
    /// Whether a hit is among the first `k`.
    #[must_use]
    pub fn hit(&self, k: usize) -> bool {
        self.rank <= k
    }
}

/// Normalised discounted cumulative gains of one question's first results.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gains {
    /// Relevance is the share of the wanted labels that a result carries.
    pub all: f64,
    /// Relevance is whether the changed labels are as wanted.
    pub changed: f64,
    /// Relevance is the share of the kept labels that a result carries.
    pub kept: f64,
}

/// The place of the first hit of each question.
#[must_use]
pub fn outcomes(
    searcher: &dyn Searcher,
    pictures: &Pictures<'_>,
    trial: &Trial,
    questions: &[Asked],
) -> Vec<Outcome> {
    let outcome = |asked: &Asked| {
        let distances = distances(searcher, pictures, trial, asked);
        let hit = |p: &usize| {
            trial.attributes.iter().zip(&asked.wanted).all(|(a, w)| pictures.labels[*p][*a] == *w)
        };
        let hits = trial.gallery.iter().zip(&distances).filter(|(p, _)| hit(p));
        let nearest = hits.map(|(_, d)| *d).fold(f32::INFINITY, f32::min);
        Outcome {
            picture: asked.picture,
            changed: asked.changes.iter().map(|c| c.attribute).collect(),
            rank: 1 + distances.iter().filter(|d| **d < nearest).count(),
        }
    };
    questions.par_iter().map(outcome).collect()
}

/// The gains of the first `k` results of each question.
#[must_use]
pub fn gains(
    searcher: &dyn Searcher,
    pictures: &Pictures<'_>,
    trial: &Trial,
    (questions, k): (&[Asked], usize),
) -> Vec<Gains> {
    let gain = |asked: &Asked| {
        let distances = distances(searcher, pictures, trial, asked);
        let mut order: Vec<usize> = (0..distances.len()).collect();
        order.sort_by(|a, b| distances[*a].total_cmp(&distances[*b]));
        let is_changed = |a: &usize| asked.changes.iter().any(|c| c.attribute == *a);
        // Matching and all attributes among those that `counted` picks.
        let share = |picture: usize, counted: &dyn Fn(&usize) -> bool| {
            let attributes = trial.attributes.iter().zip(&asked.wanted).filter(|(a, _)| counted(a));
            let (right, all) = attributes.fold((0.0, 0.0), |(right, all), (a, wanted)| {
                (right + f64::from(u8::from(pictures.labels[picture][*a] == *wanted)), all + 1.0)
            });
            right / f64::max(all, 1.0)
        };
        let of = |counted: &dyn Fn(&usize) -> bool, whole: bool| {
            let relevance: Vec<f64> = trial
                .gallery
                .iter()
                .map(|p| share(*p, counted))
                .map(|s| if whole { f64::from(u8::from(s == 1.0)) } else { s })
                .collect();
            let found: Vec<f64> = order.iter().take(k).map(|i| relevance[*i]).collect();
            ndcg(&found, relevance)
        };
        Gains {
            all: of(&|_| true, false),
            changed: of(&is_changed, true),
            kept: of(&|a| !is_changed(a), false),
        }
    };
    questions.par_iter().map(gain).collect()
}

/// Gain 2^relevance - 1, discount log2(place + 1), over that of the best order of all pictures.
pub(super) fn ndcg(found: &[f64], mut all: Vec<f64>) -> f64 {
    let sum = |relevance: &[f64]| -> f64 {
        let gain = |(at, r): (usize, &f64)| (r.exp2() - 1.0) / (at as f64 + 2.0).log2();
        relevance.iter().enumerate().map(gain).sum()
    };
    all.sort_by(|a, b| b.total_cmp(a));
    all.truncate(found.len());
    let best = sum(&all);
    if best > 0.0 { sum(found) / best } else { 1.0 }
}

/// The gallery, nearest first.
#[must_use]
pub fn ranked(searcher: &dyn Searcher, pictures: &Pictures<'_>, trial: &Trial, asked: &Asked) -> Vec<usize> {
    let distances = distances(searcher, pictures, trial, asked);
    let mut order: Vec<usize> = (0..distances.len()).collect();
    order.sort_by(|a, b| distances[*a].total_cmp(&distances[*b]));
    order.into_iter().map(|at| trial.gallery[at]).collect()
}

/// D of the changed query to each picture of the gallery.
fn distances(searcher: &dyn Searcher, pictures: &Pictures<'_>, trial: &Trial, asked: &Asked) -> Vec<f32> {
    let signatures = &pictures.signatures;
    let query = searcher.query(signatures.row(asked.picture), &asked.changes);
    let of = if query.squared { Signatures::squared_distance } else { Signatures::distance };
    let distance = |p: &usize| {
        let penalty = pictures.penalties.as_ref().map_or(0.0, |all| all[*p]);
        of(signatures, &query.vector, signatures.row(*p), &query.weights) + penalty
    };
    trial.gallery.iter().map(distance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::{Change, Query};

    /// Sets the one number of a signature to the wanted label's.
    struct Plain;

    impl Searcher for Plain {
        fn query(&self, signature: &[f32], changes: &[Change]) -> Query {
            let vector = changes.first().map_or(signature.to_vec(), |c| vec![f32::from(c.to)]);
            Query::new(vector, vec![1.0])
        }
    }

    #[test]
    fn ranks_and_gains_are_counted_by_hand() {
        // Pictures at 0, 1, 2, 3; labels of two attributes.
        let signatures = Signatures::new(vec![1], vec![0.0, 1.0, 2.0, 3.0]);
        let labels = vec![
            vec![Some(0), Some(0)],
            vec![Some(1), Some(1)],
            vec![Some(1), Some(0)],
            vec![Some(1), Some(0)],
        ];
        let change = Change { attribute: 0, to: 1, from: None };
        let asked = Asked { picture: 0, changes: vec![change], wanted: vec![Some(1), Some(0)] };
        let trial = Trial {
            attributes: vec![0, 1],
            gallery: vec![1, 2, 3],
            direct: vec![],
            one: vec![asked],
            two: vec![],
        };
        let pictures = Pictures { signatures, labels: &labels, penalties: None };
        let found = outcomes(&Plain, &pictures, &trial, &trial.one);
        assert_eq!(found, [Outcome { picture: 0, changed: vec![0], rank: 2 }]);
        assert!(!found[0].hit(1) && found[0].hit(2));
        let found = gains(&Plain, &pictures, &trial, (&trial.one, 2))[0];
        assert!((found.changed - 1.0).abs() < 1e-12);
        // Kept: relevances 0, 1 where 1, 1 is possible.
        let (first, second) = (1.0, 1.0 / 3f64.log2());
        assert!((found.kept - second / (first + second)).abs() < 1e-12);
        let pushed = Pictures { penalties: Some(vec![0.0, 5.0, 0.0, 0.0]), ..pictures };
        assert_eq!(
            outcomes(&Plain, &pushed, &trial, &trial.one)[0].rank,
            1,
            "a penalty moves a picture back"
        );
        let half = 0.5f64.exp2() - 1.0;
        assert!((found.all - (half * first + second) / (first + second)).abs() < 1e-12);
    }
}
