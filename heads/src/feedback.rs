//! Personalised weights from picked items (Eq. 5).

/// Keeps the weight of a head finite on which all picks are the same item in disguise.
const EPSILON: f64 = 0.01;

/// Eq. 5: w_v = 1 / (epsilon + sum over unordered pairs of d_v), scaled so that the weights sum to the number of
/// heads.
///
/// `pair_distances` holds that sum for each head; `None` for a head of which no pair is known, which says nothing
/// and gets the mean weight.
#[must_use]
pub fn personalised_weights(pair_distances: &[Option<f64>]) -> Vec<f64> {
    let raw: Vec<Option<f64>> = pair_distances.iter().map(|sum| sum.map(|s| 1.0 / (EPSILON + s))).collect();
    let known: Vec<f64> = raw.iter().copied().flatten().collect();
    let mean = if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
    // Each weight over the mean: they then sum to the number of heads.
    raw.into_iter().map(|w| w.unwrap_or(mean) / mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_follow_the_formula_and_sum_to_the_number_of_heads() {
        let weights = personalised_weights(&[Some(0.09), Some(0.99), None]);
        // 1 / 0.1 and 1 / 1.0 over their mean 5.5.
        let wanted = [10.0 / 5.5, 1.0 / 5.5, 1.0];
        assert!(weights.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{weights:?}");
        assert!((weights.iter().sum::<f64>() - 3.0).abs() < 1e-12);
        assert_eq!(personalised_weights(&[None, None]), [1.0, 1.0]);
    }
}
