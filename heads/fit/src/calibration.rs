//! Predictions and how sure they may be: accuracy, temperature, calibration error.

/// The place of the largest number.
pub fn argmax(values: impl Iterator<Item = f32>) -> usize {
    values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at)
}

/// Share told right of what has a label, and its mean over the labels.
pub fn accuracy(labels: &[Option<u16>], told: impl Fn(usize) -> usize, count: usize) -> (f64, f64) {
    let mut right = vec![(0.0f64, 0.0f64); count];
    for (at, label) in labels.iter().enumerate() {
        let Some(label) = label.map(usize::from) else { continue };
        if let Some((hits, all)) = right.get_mut(label) {
            *hits += f64::from(u8::from(told(at) == label));
            *all += 1.0;
        }
    }
    let sum = |part: fn(&(f64, f64)) -> f64| right.iter().map(part).sum::<f64>();
    let known: Vec<f64> = right.iter().filter(|(_, all)| *all > 0.0).map(|(hits, all)| hits / all).collect();
    (sum(|r| r.0) / sum(|r| r.1).max(1.0), known.iter().sum::<f64>() / known.len().max(1) as f64)
}

/// The softmax of logits divided by a temperature.
#[must_use]
pub fn probabilities(logits: &[f32], temperature: f32) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|l| ((l - most) / temperature).exp()).collect();
    let total: f32 = powers.iter().sum();
    powers.into_iter().map(|p| p / total).collect()
}

/// The summed cross entropy of logits divided by a temperature; what has no logits or no label counts nowhere.
#[must_use]
pub fn cross_entropy(logits: &[Vec<f32>], labels: &[Option<u16>], temperature: f32) -> f64 {
    let of = |(row, label): (&Vec<f32>, &Option<u16>)| {
        let own = label.and_then(|l| probabilities(row, temperature).get(usize::from(l)).copied())?;
        Some(-f64::from(own.max(1e-12)).ln())
    };
    logits.iter().zip(labels).filter_map(of).sum()
}

/// The temperature of the least cross entropy (Guo et al., 2017), by golden section on its logarithm. Where it is
/// abandoned, it is as near as it has come.
pub fn temperature(logits: &[Vec<f32>], labels: &[Option<u16>], is_abandoned: &dyn Fn() -> bool) -> f32 {
    let entropy = |log: f64| cross_entropy(logits, labels, log.exp() as f32);
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = ((0.2f64).ln(), (8.0f64).ln());
    for _ in 0..30 {
        if is_abandoned() {
            break;
        }
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if entropy(a) < entropy(b) { high = b } else { low = a }
    }
    f64::midpoint(low, high).exp() as f32
}

/// Expected calibration error over ten bins of the likeliest label's probability.
#[must_use]
pub fn calibration_error(rows: &[Vec<f32>], labels: &[Option<u16>]) -> f64 {
    let mut bins = [(0.0f64, 0.0f64, 0.0f64); 10];
    for (row, label) in rows.iter().zip(labels) {
        let Some(label) = label else { continue };
        let told = argmax(row.iter().copied());
        let Some(sure) = row.get(told) else { continue };
        let bin = &mut bins[((sure * 10.0) as usize).min(9)];
        *bin =
            (bin.0 + 1.0, bin.1 + f64::from(*sure), bin.2 + f64::from(u8::from(told == usize::from(*label))));
    }
    let all: f64 = bins.iter().map(|bin| bin.0).sum();
    bins.iter().map(|(_, sure, right)| (sure - right).abs()).sum::<f64>() / all.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_error_is_nought_where_shares_are_what_was_said() {
        let rows = vec![vec![0.75, 0.25]; 4];
        let labels = [Some(0), Some(0), Some(0), Some(1)];
        assert!(calibration_error(&rows, &labels) < 1e-6);
        assert!((calibration_error(&rows, &[Some(1); 4]) - 0.75).abs() < 1e-6);
    }

    #[test]
    fn the_temperature_makes_probabilities_the_shares_that_are_right() {
        // Three of four are right, and the logits say 95 %.
        let logits = vec![vec![3.0, 0.0]; 40];
        let labels: Vec<Option<u16>> = (0..40).map(|at| Some(u16::from(at % 4 == 0))).collect();
        let found = temperature(&logits, &labels, &|| false);
        assert!((probabilities(&logits[0], found)[0] - 0.75).abs() < 1e-3, "{found}");
        assert!(cross_entropy(&logits, &labels, found) < cross_entropy(&logits, &labels, 1.0));
    }

    #[test]
    fn what_has_no_label_counts_nowhere() {
        let labels = [Some(0), None, Some(1), Some(1), Some(1), Some(7)];
        let (all, balanced) = accuracy(&labels, |at| usize::from(at > 2), 2);
        assert!((all - 0.75).abs() < 1e-12 && (balanced - 5.0 / 6.0).abs() < 1e-12, "{all} {balanced}");
    }
}
