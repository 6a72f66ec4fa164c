//! Personalisation measured on simulated shoppers (the paper shows examples alone, Figure 8).

use super::interval::{Interval, Observation, bootstrap, bootstrap_difference};
use super::ranking::ndcg;
use crate::systems::Signatures;
use lapel_heads::{distance, personalised_weights};
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Results that a shopper sees and picks from.
const SHOWN: usize = 30;
/// Results of the next search that are judged.
const JUDGED: usize = 20;
/// Attributes that a shopper cares for.
const CARED_FOR: usize = 2;

/// A simulated shopper: wants what is like a picture in some attributes and does not mind the others.
#[derive(Clone, Debug)]
pub struct Shopper {
    /// The picture.
    pub picture: usize,
    /// Hidden weight of each attribute, most of them 0.
    pub cares: Vec<f64>,
}

/// What the next search after some picks reaches, and by how much it is ahead.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PersonalisationRow {
    /// Results picked.
    pub picks: usize,
    /// Share of the 20 best that match in every attribute that the shopper cares for: uniform weights.
    pub uniform: Interval,
    /// The same: uniform weights, with the mean of the picks as the query.
    pub mean_of_picks: Interval,
    /// The same: weights of Eq. 5, the query as it was.
    pub personalised: Interval,
    /// The same: weights of Eq. 5, with the mean of the picks as the query.
    pub both: Interval,
    /// Normalised gain of the same four searches, relevance by the hidden weights.
    pub gain: [Interval; 4],
    /// Personalised minus uniform, shopper by shopper.
    pub ahead_of_uniform: Interval,
    /// Personalised minus mean of picks, shopper by shopper.
    pub ahead_of_mean: Interval,
}

/// Draws `count` shoppers over pictures that are labelled on all of `attributes`.
#[must_use]
pub fn shoppers(labels: &[Vec<Option<u16>>], attributes: &[usize], count: usize, seed: u64) -> Vec<Shopper> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let whole: Vec<usize> =
        (0..labels.len()).filter(|p| attributes.iter().all(|a| labels[*p][*a].is_some())).collect();
    let shopper = |_| {
        let mut cares = vec![0.0; attributes.len()];
        for at in (0..attributes.len()).sample(&mut rng, CARED_FOR) {
            cares[at] = rng.random_range(0.5..1.5);
        }
        Some(Shopper { picture: (0..whole.len()).map(|i| whole[i]).choose(&mut rng)?, cares })
    };
    (0..count).filter_map(shopper).collect()
}

/// Each shopper searches by uniform weights, picks the `picks` results among the first 30 that please most, and
/// searches again; the query and the picks are left out of what is judged.
///
/// Labels are known to shoppers and judges alone, never to the search.
#[must_use]
pub fn personalisation(
    signatures: &Signatures,
    labels: &[Vec<Option<u16>>],
    attributes: &[usize],
    (shoppers, picks): (&[Shopper], usize),
) -> PersonalisationRow {
    let judged: Vec<[(f64, f64); 4]> =
        shoppers.par_iter().map(|s| one(signatures, labels, attributes, (s, picks))).collect();
    let observed = |way: usize, part: fn(&(f64, f64)) -> f64| -> Vec<Observation> {
        let of =
            |(s, j): (&Shopper, &[(f64, f64); 4])| Observation { cluster: s.picture, value: part(&j[way]) };
        shoppers.iter().zip(&judged).map(of).collect()
    };
    let precision = |way| observed(way, |p| p.0);
    PersonalisationRow {
        picks,
        uniform: bootstrap(&precision(0)),
        mean_of_picks: bootstrap(&precision(1)),
        personalised: bootstrap(&precision(2)),
        both: bootstrap(&precision(3)),
        gain: [0, 1, 2, 3].map(|way| bootstrap(&observed(way, |p| p.1))),
        ahead_of_uniform: bootstrap_difference(&precision(2), &precision(0)),
        ahead_of_mean: bootstrap_difference(&precision(2), &precision(1)),
    }
}

/// One shopper's searches.
pub struct PersonalisedExample {
    /// What uniform weights show.
    pub shown: Vec<usize>,
    /// What was picked of it.
    pub picks: Vec<usize>,
    /// The next search with the weights of Eq. 5.
    pub next: Vec<usize>,
}

/// One shopper who picks three results.
#[must_use]
pub fn personalised_example(
    signatures: &Signatures,
    labels: &[Vec<Option<u16>>],
    attributes: &[usize],
    shopper: &Shopper,
) -> PersonalisedExample {
    let store = Store::new(signatures, labels, attributes, shopper);
    let query = signatures.row(shopper.picture);
    let shown = store.search(query, &vec![1.0; signatures.parts().len()], &[]);
    let picks = store.picks(&shown, 3);
    let next = store.search(query, &weights(signatures, &picks), &picks);
    PersonalisedExample { shown, picks, next }
}

/// Precision and gain of the four ways for one shopper.
fn one(
    signatures: &Signatures,
    labels: &[Vec<Option<u16>>],
    attributes: &[usize],
    (shopper, picks): (&Shopper, usize),
) -> [(f64, f64); 4] {
    let store = Store::new(signatures, labels, attributes, shopper);
    let uniform = vec![1.0; signatures.parts().len()];
    let query = signatures.row(shopper.picture);
    let picked = store.picks(&store.search(query, &uniform, &[]), picks);
    // With one pick the query becomes that item (section 5).
    let personal = if picks == 1 { signatures.row(picked[0]) } else { query };
    [
        store.judge(&store.search(query, &uniform, &picked)),
        store.judge(&store.search(&mean(signatures, &picked), &uniform, &picked)),
        store.judge(&store.search(personal, &weights(signatures, &picked), &picked)),
        store.judge(&store.search(&mean(signatures, &picked), &weights(signatures, &picked), &picked)),
    ]
}

/// What one shopper searches and how it pleases.
pub(super) struct Store<'a> {
    signatures: &'a Signatures,
    labels: &'a [Vec<Option<u16>>],
    attributes: &'a [usize],
    shopper: &'a Shopper,
    gallery: Vec<usize>,
}

impl<'a> Store<'a> {
    pub(super) fn new(
        signatures: &'a Signatures,
        labels: &'a [Vec<Option<u16>>],
        attributes: &'a [usize],
        shopper: &'a Shopper,
    ) -> Self {
        let whole = |p: &usize| attributes.iter().all(|a| labels[*p][*a].is_some());
        let gallery = (0..labels.len()).filter(|p| *p != shopper.picture && whole(p)).collect();
        Self { signatures, labels, attributes, shopper, gallery }
    }

    pub(super) fn search(&self, query: &[f32], weights: &[f32], without: &[usize]) -> Vec<usize> {
        let wanted = self.gallery.iter().filter(|p| !without.contains(p));
        let scored = |p: &usize| (self.signatures.distance(query, self.signatures.row(*p), weights), *p);
        let mut scored: Vec<(f32, usize)> = wanted.map(scored).collect();
        scored.sort_by(|a, b| a.0.total_cmp(&b.0));
        scored.into_iter().map(|(_, p)| p).collect()
    }

    /// The results among the first that please most; of what pleases alike, the first shown.
    pub(super) fn picks(&self, shown: &[usize], count: usize) -> Vec<usize> {
        let mut first = shown[..SHOWN.min(shown.len())].to_vec();
        first.sort_by(|a, b| self.pleases(*b).total_cmp(&self.pleases(*a)));
        first.truncate(count);
        first
    }

    /// The results among the first that please least, where that is less than every wanted one does; of what pleases
    /// alike, the first shown.
    pub(super) fn unwanted(&self, shown: &[usize], wanted: &[usize], count: usize) -> Vec<usize> {
        let least = wanted.iter().map(|p| self.pleases(*p)).fold(f64::INFINITY, f64::min);
        let first = &shown[..SHOWN.min(shown.len())];
        let mut worse: Vec<usize> = first.iter().copied().filter(|p| self.pleases(*p) < least).collect();
        worse.sort_by(|a, b| self.pleases(*a).total_cmp(&self.pleases(*b)));
        worse.truncate(count);
        worse
    }

    fn matches(&self, picture: usize, at: usize) -> bool {
        let attribute = self.attributes[at];
        self.labels[picture][attribute] == self.labels[self.shopper.picture][attribute]
    }

    fn pleases(&self, picture: usize) -> f64 {
        let cares = &self.shopper.cares;
        let right = (0..cares.len()).filter(|at| self.matches(picture, *at)).map(|at| cares[at]).sum::<f64>();
        right / cares.iter().sum::<f64>()
    }

    /// Precision and normalised gain of the first results.
    pub(super) fn judge(&self, results: &[usize]) -> (f64, f64) {
        let cared: Vec<usize> =
            (0..self.attributes.len()).filter(|at| self.shopper.cares[*at] > 0.0).collect();
        let first = &results[..JUDGED.min(results.len())];
        let right = first.iter().filter(|p| cared.iter().all(|at| self.matches(**p, *at))).count();
        let found: Vec<f64> = first.iter().map(|p| self.pleases(*p)).collect();
        let all: Vec<f64> = results.iter().map(|p| self.pleases(*p)).collect();
        (right as f64 / first.len().max(1) as f64, ndcg(&found, &all))
    }
}

/// Eq. 5 over the picks.
pub(super) fn weights(signatures: &Signatures, picks: &[usize]) -> Vec<f32> {
    if picks.len() < 2 {
        return vec![1.0; signatures.parts().len()];
    }
    let sum = |part: usize| {
        let range = signatures.range(part);
        let of = |p: usize| &signatures.row(p)[range.clone()];
        let pairs =
            picks.iter().enumerate().flat_map(|(at, a)| picks[at + 1..].iter().map(move |b| (*a, *b)));
        Some(pairs.map(|(a, b)| f64::from(distance(of(a), of(b)))).sum())
    };
    let sums: Vec<Option<f64>> = (0..signatures.parts().len()).map(sum).collect();
    personalised_weights(&sums).into_iter().map(|w| w as f32).collect()
}

/// The mean of some rows, each part scaled to unit length.
pub(super) fn mean(signatures: &Signatures, rows: &[usize]) -> Vec<f32> {
    let mut sum = vec![0.0; signatures.row(rows[0]).len()];
    for row in rows {
        for (total, value) in sum.iter_mut().zip(signatures.row(*row)) {
            *total += value;
        }
    }
    for part in 0..signatures.parts().len() {
        let range = signatures.range(part);
        let length = sum[range.clone()].iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
        sum[range].iter_mut().for_each(|v| *v /= length);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signatures that are the labels themselves, with noise.
    fn catalogue() -> (Signatures, Vec<Vec<Option<u16>>>) {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let labels: Vec<Vec<Option<u16>>> =
            (0..600).map(|_| (0..4).map(|_| Some(rng.random_range(0..3))).collect()).collect();
        let mut part = |label: u16| {
            let mut v: Vec<f32> =
                (0..3).map(|i| f32::from(u8::from(i == label)) + rng.random_range(-0.3..0.3f32)).collect();
            let length = v.iter().map(|x| x * x).sum::<f32>().sqrt();
            v.iter_mut().for_each(|x| *x /= length);
            v
        };
        let data = labels.iter().flatten().flatten().flat_map(|l| part(*l)).collect();
        (Signatures::new(vec![3; 4], data), labels)
    }

    #[test]
    fn picks_tell_what_a_shopper_cares_for() {
        let (signatures, labels) = catalogue();
        let shoppers = shoppers(&labels, &[0, 1, 2, 3], 80, 1);
        assert!(shoppers.iter().all(|s| s.cares.iter().filter(|c| **c > 0.0).count() == CARED_FOR));
        let row = personalisation(&signatures, &labels, &[0, 1, 2, 3], (&shoppers, 5));
        assert!(row.ahead_of_uniform.count == 80 && row.uniform.mean > 0.2, "{row:?}");
        assert!(row.personalised.mean <= 1.0 && row.gain.iter().all(|g| g.mean <= 1.0 + 1e-9));
    }

    #[test]
    fn what_pleases_least_is_unwanted() {
        let labels: Vec<Vec<Option<u16>>> =
            [[0, 0], [0, 0], [0, 1], [1, 1], [0, 0]].iter().map(|l| l.map(Some).to_vec()).collect();
        let signatures = Signatures::new(vec![1], vec![0.0; 5]);
        let shopper = Shopper { picture: 0, cares: vec![1.0, 1.0] };
        let store = Store::new(&signatures, &labels, &[0, 1], &shopper);
        let shown = [1, 2, 3, 4];
        let wanted = store.picks(&shown, 2);
        assert_eq!((wanted.as_slice(), store.unwanted(&shown, &wanted, 1)), (&[1, 4][..], vec![3]));
        // Where all please alike, none is unwanted.
        assert!(store.unwanted(&[1, 4], &[1], 1).is_empty());
    }

    #[test]
    fn weights_are_those_of_equation_5() {
        let signatures = Signatures::new(vec![1, 1], vec![0.0, 0.0, 0.0, 1.0, 0.0, 2.0]);
        let found = weights(&signatures, &[0, 1, 2]);
        // Sums of pairs: 0 and 4.
        let raw = [1.0 / 0.01, 1.0 / 4.01];
        let mean = (raw[0] + raw[1]) / 2.0;
        assert!((found[0] - raw[0] / mean).abs() < 1e-4 && (found[1] - raw[1] / mean).abs() < 1e-4);
        assert_eq!(weights(&signatures, &[0]), [1.0, 1.0]);
    }
}
