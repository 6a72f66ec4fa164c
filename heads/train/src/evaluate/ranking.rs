//! Where the answers to questions stand.

use super::protocol::{Asked, Trial};
use crate::systems::{Search, Signatures};
use rayon::prelude::*;
use serde::Serialize;

/// What is searched.
pub struct Pictures<'a> {
    /// One row a picture.
    pub signatures: Signatures,
    /// Their labels, as numbers.
    pub labels: &'a [Vec<Option<u16>>],
    /// The attribute that says what a garment is, where there is one.
    pub category: Option<usize>,
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
    /// Gains of the first results.
    pub gains: Gains,
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
    /// Relevance is whether a result has the query's category; `None` where that is not known.
    pub category: Option<f64>,
}

/// The place of the first hit of each question, and the gains of its first `k` results.
#[must_use]
pub fn outcomes(
    search: &Search<'_>,
    pictures: &Pictures<'_>,
    trial: &Trial,
    (questions, k): (&[Asked], usize),
) -> Vec<Outcome> {
    let outcome = |asked: &Asked| {
        let distances =
            search.distances(&pictures.signatures, asked.picture, (&asked.changes, &trial.gallery));
        let mut order: Vec<usize> = (0..distances.len()).collect();
        order.sort_by(|a, b| distances[*a].total_cmp(&distances[*b]));
        let shares = |counted: &dyn Fn(usize) -> bool| shares(trial, asked, pictures.labels, counted);
        let all = shares(&|_| true);
        let hits = all.iter().zip(&distances).filter(|(share, _)| **share == 1.0);
        let nearest = hits.map(|(_, d)| *d).fold(f32::INFINITY, f32::min);
        let gain = |relevance: &[f64]| {
            ndcg(&order.iter().take(k).map(|at| relevance[*at]).collect::<Vec<_>>(), relevance)
        };
        let [changed, kept, category] = relevances(trial, asked, pictures.labels, pictures.category);
        let gains = Gains {
            all: gain(&all),
            changed: changed.map_or(1.0, |r| gain(&r)),
            kept: kept.map_or(1.0, |r| gain(&r)),
            category: category.map(|r| gain(&r)),
        };
        Outcome {
            picture: asked.picture,
            changed: asked.changes.iter().map(|c| c.attribute).collect(),
            rank: 1 + distances.iter().filter(|d| **d < nearest).count(),
            gains,
        }
    };
    questions.par_iter().map(outcome).collect()
}

/// How relevant each picture of a gallery is to a question: in the changed labels, in the kept ones, and in category,
/// `None` where there are none of the kind or nothing is known.
#[must_use]
pub fn relevances(
    trial: &Trial,
    asked: &Asked,
    labels: &[Vec<Option<u16>>],
    category: Option<usize>,
) -> [Option<Vec<f64>>; 3] {
    let is_changed = |a: usize| asked.changes.iter().any(|c| c.attribute == a);
    let count = trial.attributes.iter().filter(|a| is_changed(**a)).count();
    let whole = |share: f64| f64::from(u8::from(share == 1.0));
    let changed = || shares(trial, asked, labels, &is_changed).into_iter().map(whole).collect();
    let own = category.filter(|a| !is_changed(*a)).and_then(|a| Some((a, labels[asked.picture][a]?)));
    let alike = |(a, own): (usize, u16)| {
        trial.gallery.iter().map(|p| f64::from(u8::from(labels[*p][a] == Some(own)))).collect()
    };
    [
        (count > 0).then(changed),
        (count < trial.attributes.len()).then(|| shares(trial, asked, labels, &|a| !is_changed(a))),
        own.map(alike),
    ]
}

/// Of each picture of a gallery, the share of the wanted labels that it carries, of the attributes that are `counted`.
fn shares(
    trial: &Trial,
    asked: &Asked,
    labels: &[Vec<Option<u16>>],
    counted: &dyn Fn(usize) -> bool,
) -> Vec<f64> {
    let wanted: Vec<(usize, Option<u16>)> = trial
        .attributes
        .iter()
        .copied()
        .zip(asked.wanted.iter().copied())
        .filter(|(a, _)| counted(*a))
        .collect();
    let share = |p: &usize| {
        let right = wanted.iter().filter(|(a, label)| labels[*p][*a] == *label).count();
        right as f64 / wanted.len().max(1) as f64
    };
    trial.gallery.iter().map(share).collect()
}

/// Gain 2^relevance - 1, discount log2(place + 1), of results in their order.
pub fn gain_of(relevance: impl Iterator<Item = f64>) -> f64 {
    relevance.enumerate().map(|(at, r)| (r.exp2() - 1.0) / (at as f64 + 2.0).log2()).sum()
}

/// The gain of the best order of the first `k` of a gallery.
#[must_use]
pub fn best_gain(relevance: &[f64], k: usize) -> f64 {
    let mut sorted = relevance.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    gain_of(sorted.into_iter().take(k))
}

/// The gain of what was found, over that of the best order of all pictures.
pub(super) fn ndcg(found: &[f64], all: &[f64]) -> f64 {
    let best = best_gain(all, found.len());
    if best > 0.0 { gain_of(found.iter().copied()) / best } else { 1.0 }
}

/// The gallery, nearest first.
#[must_use]
pub fn ranked(search: &Search<'_>, pictures: &Pictures<'_>, trial: &Trial, asked: &Asked) -> Vec<usize> {
    let distances = search.distances(&pictures.signatures, asked.picture, (&asked.changes, &trial.gallery));
    let mut order: Vec<usize> = (0..distances.len()).collect();
    order.sort_by(|a, b| distances[*a].total_cmp(&distances[*b]));
    order.into_iter().map(|at| trial.gallery[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::{Change, PartWeights, Query, Searcher};

    /// Sets the one number of a signature to the wanted label's.
    struct Plain;

    impl Searcher for Plain {
        fn query(&self, signature: &[f32], changes: &[Change]) -> Query {
            let vector = changes.first().map_or(signature.to_vec(), |c| vec![f32::from(c.to)]);
            Query::whole(vector, !changes.is_empty())
        }
    }

    #[test]
    fn ranks_and_gains_are_counted_by_hand() {
        // Pictures at 0, 1, 2, 3; labels of two attributes and the category.
        let signatures = Signatures::new(vec![1], vec![0.0, 1.0, 2.0, 3.0]);
        let labels = vec![
            vec![Some(0), Some(0), Some(7)],
            vec![Some(1), Some(1), None],
            vec![Some(1), Some(0), Some(6)],
            vec![Some(1), Some(0), Some(7)],
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
        let pictures = Pictures { signatures, labels: &labels, category: Some(2) };
        let weights = PartWeights::equal(1);
        let search = Search { searcher: &Plain, weights: &weights };
        let found = &outcomes(&search, &pictures, &trial, (&trial.one, 2))[0];
        assert_eq!((found.picture, &found.changed[..], found.rank), (0, &[0][..], 2));
        assert!(!found.hit(1) && found.hit(2));
        let gains = found.gains;
        assert!((gains.changed - 1.0).abs() < 1e-12);
        // Kept: relevances 0, 1 where 1, 1 is possible.
        let (first, second) = (1.0, 1.0 / 3f64.log2());
        assert!((gains.kept - second / (first + second)).abs() < 1e-12);
        let half = 0.5f64.exp2() - 1.0;
        assert!((gains.all - (half * first + second) / (first + second)).abs() < 1e-12);
        // The one picture of the category comes third and is not seen; among three it is.
        assert_eq!(gains.category, Some(0.0));
        let three = outcomes(&search, &pictures, &trial, (&trial.one, 3))[0].gains.category;
        assert!((three.expect("known") - 1.0 / 4f64.log2()).abs() < 1e-12);
    }
}
