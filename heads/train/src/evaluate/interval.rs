//! Shares and means with bootstrap confidence intervals.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const RESAMPLES: usize = 2000;
const SEED: u64 = 7;

/// A mean with the interval in which 95 % of the bootstrap's means lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// 2.5 % of the resamples lie below.
    pub low: f64,
    /// 2.5 % of the resamples lie above.
    pub high: f64,
    /// Observations.
    pub count: usize,
}

/// One query's result. Several queries of one picture are not independent, so pictures are resampled, each with
/// all its queries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// The picture.
    pub cluster: usize,
    /// The result.
    pub value: f64,
}

/// The mean of `observations` with its interval; the same observations give the same numbers.
#[must_use]
pub fn bootstrap(observations: &[Observation]) -> Interval {
    let mut clusters: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for o in observations {
        let (sum, count) = clusters.entry(o.cluster).or_default();
        *sum += o.value;
        *count += 1.0;
    }
    let clusters: Vec<(f64, f64)> = clusters.into_values().collect();
    if clusters.is_empty() {
        return Interval::default();
    }
    let mean = |drawn: &mut dyn Iterator<Item = (f64, f64)>| {
        let (sum, count) = drawn.fold((0.0, 0.0), |(s, c), (sum, count)| (s + sum, c + count));
        sum / f64::max(count, 1.0)
    };
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| mean(&mut (0..clusters.len()).map(|_| clusters[rng.random_range(0..clusters.len())])))
        .collect();
    means.sort_by(f64::total_cmp);
    Interval {
        mean: mean(&mut clusters.iter().copied()),
        low: means[RESAMPLES / 40],
        high: means[RESAMPLES - 1 - RESAMPLES / 40],
        count: observations.len(),
    }
}

/// The mean difference of two systems' results on the same queries, in the same order.
#[must_use]
pub fn bootstrap_difference(a: &[Observation], b: &[Observation]) -> Interval {
    let differences: Vec<Observation> =
        a.iter().zip(b).map(|(a, b)| Observation { cluster: a.cluster, value: a.value - b.value }).collect();
    bootstrap(&differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coins(clusters: usize, each: usize) -> Vec<Observation> {
        let one = |i: usize| Observation {
            cluster: i / each,
            value: f64::from(u8::from((i / each).is_multiple_of(4))),
        };
        (0..clusters * each).map(one).collect()
    }

    #[test]
    fn the_interval_of_a_share_is_about_two_standard_errors_of_the_clusters() {
        for each in [1, 5] {
            let found = bootstrap(&coins(400, each));
            let error = (0.25f64 * 0.75 / 400.0).sqrt();
            assert!((found.mean - 0.25).abs() < 1e-12 && found.count == 400 * each);
            assert!((found.high - found.low - 4.0 * error).abs() < error, "{found:?}");
        }
    }

    #[test]
    fn paired_differences_see_what_single_intervals_do_not() {
        let a = coins(400, 1);
        let mut b = a.clone();
        (0..12).for_each(|i| b[4 * i].value = 0.0);
        let difference = bootstrap_difference(&a, &b);
        assert!((difference.mean - 0.03).abs() < 1e-12 && difference.low > 0.0, "{difference:?}");
        assert!(bootstrap(&a).low < bootstrap(&b).high, "the single intervals overlap");
        assert_eq!(bootstrap(&[]), Interval::default());
    }
}
