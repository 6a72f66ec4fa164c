//! Wanted and unwanted picks measured on simulated shoppers: the server's search after them beside the paper's.

use super::interval::{Interval, Observation, bootstrap, bootstrap_difference};
use super::personalisation::{Shopper, Store, mean, shoppers, weights};
use super::protocol::special_attributes;
use crate::Example;
use crate::dataset::label_numbers;
use crate::systems::Signatures;
use lapel_heads::{Attribute, PickDistances, blended, contrasted_weights, distance};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

const SHOPPERS: usize = 400;
const SEED: u64 = 1;
/// Wanted and unwanted picks of each protocol, three in all.
const PICKED: [Picked; 2] = [Picked { wanted: 3, unwanted: 0 }, Picked { wanted: 2, unwanted: 1 }];

/// How many results a shopper picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picked {
    /// Those that please most.
    pub wanted: usize,
    /// Those that please least, and less than every wanted one; a shopper may find none.
    pub unwanted: usize,
}

/// What the next search after some picks reaches with one share of the picks' mean in the query.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PicksRow {
    /// The picks.
    pub picked: Picked,
    /// Share of the wanted picks' mean in the query.
    pub share: f64,
    /// Share of the 20 best that match in every attribute that the shopper cares for: Eq. 5 from the wanted picks, the query
    /// as it was.
    pub paper: Interval,
    /// The same: weights of Eq. 5, with the picks' mean in the query.
    pub wanted_alone: Interval,
    /// The same: weights of wanted and unwanted picks, with the picks' mean in the query.
    pub both: Interval,
    /// Both minus the paper's, shopper by shopper.
    pub ahead: Interval,
    /// The same of the normalised gain of the 20 best, relevance by the hidden weights.
    pub ahead_in_gain: Interval,
    /// Both minus wanted alone, shopper by shopper: what the unwanted picks are worth.
    pub ahead_of_wanted_alone: Interval,
}

/// Precision and normalised gain of one search.
type Judged = (f64, f64);

/// One shopper's next searches.
struct NextSearches {
    paper: Judged,
    /// By share.
    wanted_alone: Vec<Judged>,
    /// By share.
    both: Vec<Judged>,
}

/// Each shopper searches by equal weights, picks among the first 30, and searches again in every way; the query and all
/// picks are left out of what is judged, in every way alike. One row a protocol and share.
///
/// Labels are known to shoppers and judges alone, never to the search.
#[must_use]
pub fn picks(
    signatures: &Signatures,
    (examples, attributes): (&[Example], &[Attribute]),
    shares: &[f64],
) -> Vec<PicksRow> {
    let labels: Vec<Vec<Option<u16>>> =
        examples.iter().map(|e| label_numbers(&e.labels, attributes)).collect();
    let special = special_attributes(attributes);
    let shoppers = shoppers(&labels, &special, SHOPPERS, SEED);
    let of = |picked: Picked| {
        let one = |shopper: &Shopper| {
            let store = Store::new(signatures, &labels, &special, shopper);
            next_searches(signatures, &store, (shopper, picked), shares)
        };
        let judged: Vec<NextSearches> = shoppers.par_iter().map(one).collect();
        (0..shares.len()).map(|at| row(&shoppers, &judged, (picked, at), shares)).collect::<Vec<_>>()
    };
    PICKED.into_iter().flat_map(of).collect()
}

fn row(
    shoppers: &[Shopper],
    judged: &[NextSearches],
    (picked, at): (Picked, usize),
    shares: &[f64],
) -> PicksRow {
    let observed = |of: &dyn Fn(&NextSearches) -> f64| -> Vec<Observation> {
        let pairs = shoppers.iter().zip(judged);
        pairs.map(|(s, searches)| Observation { cluster: s.picture, value: of(searches) }).collect()
    };
    let paper = observed(&|searches| searches.paper.0);
    let wanted_alone = observed(&|searches| searches.wanted_alone[at].0);
    let both = observed(&|searches| searches.both[at].0);
    let gains = (observed(&|searches| searches.both[at].1), observed(&|searches| searches.paper.1));
    PicksRow {
        picked,
        share: shares[at],
        paper: bootstrap(&paper),
        wanted_alone: bootstrap(&wanted_alone),
        both: bootstrap(&both),
        ahead: bootstrap_difference(&both, &paper),
        ahead_in_gain: bootstrap_difference(&gains.0, &gains.1),
        ahead_of_wanted_alone: bootstrap_difference(&both, &wanted_alone),
    }
}

fn next_searches(
    signatures: &Signatures,
    store: &Store<'_>,
    (shopper, picked): (&Shopper, Picked),
    shares: &[f64],
) -> NextSearches {
    let query = signatures.row(shopper.picture);
    let shown = store.search(query, &vec![1.0; signatures.parts().len()], &[]);
    let wanted = store.picks(&shown, picked.wanted);
    let unwanted = store.unwanted(&shown, &wanted, picked.unwanted);
    let without = [wanted.as_slice(), unwanted.as_slice()].concat();
    let judge = |query: &[f32], weights: &[f32]| store.judge(&store.search(query, weights, &without));
    let (alone, contrasted) = (weights(signatures, &wanted), contrast(signatures, &wanted, &unwanted));
    let mean = mean(signatures, &wanted);
    let beside = |share: f64| blend(signatures, (query, &mean), share);
    NextSearches {
        paper: judge(query, &alone),
        wanted_alone: shares.iter().map(|share| judge(&beside(*share), &alone)).collect(),
        both: shares.iter().map(|share| judge(&beside(*share), &contrasted)).collect(),
    }
}

/// Weights of wanted and unwanted picks, as the server computes them where no signature lacks.
fn contrast(signatures: &Signatures, wanted: &[usize], unwanted: &[usize]) -> Vec<f32> {
    let of = |part: usize| {
        let range = signatures.range(part);
        let apart = |(a, b): (usize, usize)| {
            f64::from(distance(&signatures.row(a)[range.clone()], &signatures.row(b)[range.clone()]))
        };
        let mean = |pairs: &[(usize, usize)]| {
            let sum = pairs.iter().map(|pair| apart(*pair)).sum::<f64>();
            (!pairs.is_empty()).then(|| sum / pairs.len() as f64)
        };
        PickDistances { wanted: mean(&pairs_among(wanted)), unwanted: mean(&pairs_between(wanted, unwanted)) }
    };
    let distances: Vec<PickDistances> = (0..signatures.parts().len()).map(of).collect();
    let pairs = pairs_among(wanted).len() as f64;
    contrasted_weights(&distances, pairs).into_iter().map(|w| w as f32).collect()
}

fn pairs_among(picks: &[usize]) -> Vec<(usize, usize)> {
    let later = |(at, a): (usize, &usize)| picks[at + 1..].iter().map(|b| (*a, *b)).collect::<Vec<_>>();
    picks.iter().enumerate().flat_map(later).collect()
}

fn pairs_between(wanted: &[usize], unwanted: &[usize]) -> Vec<(usize, usize)> {
    wanted.iter().flat_map(|a| unwanted.iter().map(move |b| (*a, *b))).collect()
}

/// The query with the picks' mean beside it, part by part, as the server searches; a part that the query lacks stays out.
fn blend(signatures: &Signatures, (query, mean): (&[f32], &[f32]), share: f64) -> Vec<f32> {
    let part = |part: usize| {
        let range = signatures.range(part);
        let own = &query[range.clone()];
        if own.iter().all(|v| *v == 0.0) { own.to_vec() } else { blended(own, &mean[range], share) }
    };
    (0..signatures.parts().len()).flat_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_unwanted_picks_weights_are_those_of_equation_5() {
        let signatures = Signatures::new(vec![1, 1], vec![0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 3.0, 0.5]);
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        let (alone, paper) = (contrast(&signatures, &[0, 1, 2], &[]), weights(&signatures, &[0, 1, 2]));
        assert!(near(&alone, &paper), "{alone:?} {paper:?}");
        // The unwanted one is far in the first part and as near as the wanted ones in the second.
        let contrasted = contrast(&signatures, &[0, 1], &[3]);
        // (0.01 + 3) / 0.01 and (0.01 + 0.5) / 1.01.
        let raw = [301.0f32, 0.51 / 1.01];
        let mean = (raw[0] + raw[1]) / 2.0;
        assert!(near(&contrasted, &[raw[0] / mean, raw[1] / mean]), "{contrasted:?}");
    }

    #[test]
    fn a_blend_is_part_by_part() {
        let signatures = Signatures::new(vec![2, 2], vec![0.0; 4]);
        let (query, mean) = ([1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.6, 0.8]);
        let found = blend(&signatures, (&query, &mean), 0.5);
        let side = std::f32::consts::FRAC_1_SQRT_2;
        let wanted = [side, side, 0.0, 0.0];
        assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }
}
