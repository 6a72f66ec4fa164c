//! Weights and a query from picked items: Eq. 5, and its extension to unwanted picks.

use crate::Signature;

/// Keeps the weight of a head finite on which all picks are the same item in disguise.
const EPSILON: f64 = 0.01;

/// Share of the wanted picks' mean in the query that follows them; the rest is the query that led to them.
/// `lapel-train picks` measures it: on training pictures the mean alone is as good, and would forget the query.
pub const PICKS_SHARE: f64 = 0.75;

/// Mean distances between picked items under one head; `None` where no pair is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PickDistances {
    /// Between two wanted items, over their unordered pairs.
    pub wanted: Option<f64>,
    /// Between a wanted and an unwanted item.
    pub unwanted: Option<f64>,
}

/// Eq. 5: w_v = 1 / (epsilon + sum over unordered pairs of d_v), scaled so that the weights sum to the number of
/// heads.
///
/// `pair_distances` holds that sum for each head; `None` for a head of which no pair is known, which says nothing
/// and gets the mean weight.
#[must_use]
pub fn personalised_weights(pair_distances: &[Option<f64>]) -> Vec<f64> {
    scaled(pair_distances.iter().map(|sum| sum.map(|s| 1.0 / (EPSILON + s))))
}

/// Eq. 5 with unwanted items: w_v is proportional to (epsilon + mean d_v between wanted and unwanted items) /
/// (epsilon + mean d_v between wanted items), scaled as there.
///
/// A head counts much on which the wanted items agree and differ from the unwanted ones. A factor that is not known of a
/// head counts as its mean over the heads; a head of which neither is known gets the mean weight. Where no distance to an
/// unwanted item is known it is Eq. 5 itself, over `pairs` pairs of wanted items.
#[must_use]
pub fn contrasted_weights(distances: &[PickDistances], pairs: f64) -> Vec<f64> {
    if distances.iter().all(|d| d.unwanted.is_none()) {
        let sums: Vec<Option<f64>> = distances.iter().map(|d| d.wanted.map(|mean| mean * pairs)).collect();
        return personalised_weights(&sums);
    }
    let agreement = over_their_mean(distances.iter().map(|d| d.wanted.map(|mean| 1.0 / (EPSILON + mean))));
    let contrast = over_their_mean(distances.iter().map(|d| d.unwanted.map(|mean| EPSILON + mean)));
    let product = |(agreement, contrast): (Option<f64>, Option<f64>)| {
        let is_known = agreement.is_some() || contrast.is_some();
        is_known.then(|| agreement.unwrap_or(1.0) * contrast.unwrap_or(1.0))
    };
    scaled(agreement.into_iter().zip(contrast).map(product))
}

/// A query's signature with that of the picks' mean beside it, both of unit length: their average, scaled to unit length.
/// `share` is that of the picks. Where the two cancel out, the query stays as it is.
#[must_use]
pub fn blended(query: &[f32], picks: &[f32], share: f64) -> Vec<f32> {
    let average =
        query.iter().zip(picks).map(|(q, p)| ((1.0 - share) * f64::from(*q) + share * f64::from(*p)) as f32);
    Signature::new(average.collect()).map_or_else(|_| query.to_vec(), Signature::into_values)
}

/// Each value over the mean of the known ones, which gives weights that sum to their number; 1 where it is not known.
fn scaled(raw: impl Iterator<Item = Option<f64>>) -> Vec<f64> {
    over_their_mean(raw).into_iter().map(|weight| weight.unwrap_or(1.0)).collect()
}

/// Each value over the mean of the known ones.
fn over_their_mean(values: impl Iterator<Item = Option<f64>>) -> Vec<Option<f64>> {
    let values: Vec<Option<f64>> = values.collect();
    let known = values.iter().flatten();
    let mean = known.clone().sum::<f64>() / known.count().max(1) as f64;
    values.into_iter().map(|value| value.map(|value| value / mean)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &[f64], wanted: &[f64]) -> bool {
        found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    fn distances(of: &[(Option<f64>, Option<f64>)]) -> Vec<PickDistances> {
        of.iter().map(|&(wanted, unwanted)| PickDistances { wanted, unwanted }).collect()
    }

    #[test]
    fn weights_follow_the_formula_and_sum_to_the_number_of_heads() {
        let weights = personalised_weights(&[Some(0.09), Some(0.99), None]);
        // 1 / 0.1 and 1 / 1.0 over their mean 5.5.
        assert!(near(&weights, &[10.0 / 5.5, 1.0 / 5.5, 1.0]), "{weights:?}");
        assert!((weights.iter().sum::<f64>() - 3.0).abs() < 1e-12);
        assert_eq!(personalised_weights(&[None, None]), [1.0, 1.0]);
    }

    #[test]
    fn without_unwanted_items_it_is_equation_5() {
        let alone = distances(&[(Some(0.2), None), (Some(0.7), None), (None, None)]);
        let weights = contrasted_weights(&alone, 3.0);
        assert!(near(&weights, &personalised_weights(&[Some(0.6), Some(2.1), None])), "{weights:?}");
        assert_eq!(contrasted_weights(&distances(&[(None, None); 2]), 0.0), [1.0, 1.0]);
    }

    #[test]
    fn heads_that_tell_the_wanted_from_the_unwanted_weigh_more() {
        // 0.5 / 0.1 and 0.1 / 0.5 over their mean 2.6.
        let weights =
            contrasted_weights(&distances(&[(Some(0.09), Some(0.49)), (Some(0.49), Some(0.09))]), 1.0);
        assert!(near(&weights, &[5.0 / 2.6, 0.2 / 2.6]), "{weights:?}");
        // Heads on which the unwanted items are as near as the wanted ones say nothing, however near that is.
        let weights = contrasted_weights(&distances(&[(Some(0.1), Some(0.1)), (Some(0.9), Some(0.9))]), 3.0);
        assert!(near(&weights, &[1.0, 1.0]), "{weights:?}");
        // Nothing is infinite or 0, whatever falls together.
        let far = distances(&[(Some(0.0), Some(2.0)), (Some(2.0), Some(0.0)), (Some(0.0), Some(0.0))]);
        assert!(contrasted_weights(&far, 1.0).iter().all(|w| w.is_finite() && *w > 0.0));
    }

    #[test]
    fn what_is_not_known_is_neutral() {
        // A single wanted item has no pair: distances to the unwanted ones alone decide.
        let single = contrasted_weights(&distances(&[(None, Some(0.29)), (None, Some(0.09))]), 0.0);
        assert!(near(&single, &[1.5, 0.5]), "{single:?}");
        let partly = distances(&[(Some(0.19), Some(0.3)), (Some(0.19), None), (None, None)]);
        let weights = contrasted_weights(&partly, 1.0);
        assert!(near(&weights, &[1.0, 1.0, 1.0]), "{weights:?}");
    }

    #[test]
    fn a_blend_lies_between_and_stays_at_unit_length() {
        let (query, picks) = ([1.0f32, 0.0], [0.0f32, 1.0]);
        let half = blended(&query, &picks, 0.5);
        let side = std::f32::consts::FRAC_1_SQRT_2;
        assert!(half.iter().all(|v| (v - side).abs() < 1e-6), "{half:?}");
        assert_eq!(
            (blended(&query, &picks, 0.0), blended(&query, &picks, 1.0)),
            (query.to_vec(), picks.to_vec())
        );
        assert_eq!(blended(&query, &[-1.0, 0.0], 0.5), query);
    }
}
