//! What a classifier is worth: what it tells of examples that it did not learn from.

use crate::calibration::{accuracy, argmax, calibration_error};

/// Examples told to be something else that are listed.
const DOUBTFUL_MAX: usize = 20;
/// The normal distribution's 97.5 % quantile.
const QUANTILE: f64 = 1.959_963_984_540_054;

/// What a classifier tells of examples that it did not learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Worth {
    /// Examples that were examined.
    pub examples: u64,
    /// Share told right.
    pub accuracy: Share,
    /// Mean over the labels of the share told right.
    pub balanced_accuracy: f64,
    /// The share of the most frequent label: what a guess would tell right.
    pub majority: f64,
    /// Expected calibration error over ten bins of the likeliest label's probability.
    pub calibration_error: f64,
    /// Whether the accuracy's interval lies above the majority.
    pub has_signal: bool,
    /// By label.
    pub labels: Vec<LabelWorth>,
    /// Examples that are told to be something else, the most certain first, up to 20.
    pub doubtful: Vec<Doubtful>,
}

/// A share with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The share, 0 to 1.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// What is told of the examples of one label.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelWorth {
    /// Its examples.
    pub examples: u64,
    /// Share of them told right.
    pub recall: f64,
    /// What they were told to be, by label.
    pub told: Vec<u64>,
}

/// An example that is told to be something else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Doubtful {
    /// Its place.
    pub example: usize,
    /// The label that it looks like.
    pub told: u16,
    /// How probable that is.
    pub probability: f64,
}

impl Share {
    /// Of `hits` among `all`, by Wilson's score interval; of nothing at all, anything may be true.
    fn of(hits: u64, all: u64) -> Self {
        if all == 0 {
            return Self { value: 0.0, low: 0.0, high: 1.0 };
        }
        let (count, value) = (all as f64, hits as f64 / all as f64);
        let square = QUANTILE * QUANTILE;
        let middle = value + square / (2.0 * count);
        let half = QUANTILE * (value * (1.0 - value) / count + square / (4.0 * count * count)).sqrt();
        let scale = 1.0 + square / count;
        Self {
            value,
            low: ((middle - half) / scale).clamp(0.0, value),
            high: ((middle + half) / scale).clamp(value, 1.0),
        }
    }
}

impl Worth {
    /// Of predictions by which nothing was learnt, the probabilities of `count` labels each: a row of `probabilities` that
    /// is empty is left out, and so is an example whose label is none of them.
    #[must_use]
    pub fn of(labels: &[u16], probabilities: &[Vec<f32>], count: usize) -> Self {
        let mut table = vec![vec![0u64; count]; count];
        let mut examined = vec![None; labels.len()];
        let mut doubtful = Vec::new();
        let rows = labels.iter().zip(probabilities).zip(&mut examined).enumerate();
        for (example, ((label, row), examined)) in rows {
            let own = usize::from(*label);
            let told = argmax(row.iter().copied());
            let cell = table.get_mut(own).and_then(|row| row.get_mut(told));
            let (Some(probability), Some(cell)) = (row.get(told), cell) else { continue };
            *cell += 1;
            *examined = Some(*label);
            if told != own {
                let probability = f64::from(*probability);
                doubtful.push(Doubtful { example, told: told as u16, probability });
            }
        }
        doubtful.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        doubtful.truncate(DOUBTFUL_MAX);
        let right: u64 = table.iter().enumerate().filter_map(|(own, row)| row.get(own)).sum();
        let labels: Vec<LabelWorth> = table.into_iter().enumerate().map(LabelWorth::of).collect();
        let examples: u64 = labels.iter().map(|label| label.examples).sum();
        let most = labels.iter().map(|label| label.examples).max().unwrap_or(0);
        let told = |at: usize| argmax(probabilities.get(at).into_iter().flatten().copied());
        let (accuracy, majority) = (Share::of(right, examples), most as f64 / examples.max(1) as f64);
        Self {
            examples,
            accuracy,
            balanced_accuracy: self::accuracy(&examined, told, count).1,
            majority,
            calibration_error: calibration_error(probabilities, &examined),
            has_signal: examples > 0 && accuracy.low > majority,
            labels,
            doubtful,
        }
    }
}

impl LabelWorth {
    fn of((own, told): (usize, Vec<u64>)) -> Self {
        let examples: u64 = told.iter().sum();
        let right = told.get(own).copied().unwrap_or(0);
        Self { examples, recall: right as f64 / examples.max(1) as f64, told }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intervals_are_wilsons() {
        // By the formula, computed elsewhere.
        for (hits, all, low, high) in [
            (0, 10, 0.0, 0.277_533),
            (10, 10, 0.722_467, 1.0),
            (5, 10, 0.236_594, 0.763_406),
            (80, 100, 0.711_170, 0.866_634),
            (0, 0, 0.0, 1.0),
        ] {
            let found = Share::of(hits, all);
            assert!(
                (found.low - low).abs() < 1e-5 && (found.high - high).abs() < 1e-5,
                "{hits}/{all}: {found:?}"
            );
        }
    }

    #[test]
    fn everything_is_counted_once() {
        let row = |told: usize, sure: f32| {
            let mut row = vec![(1.0 - sure) / 2.0; 3];
            row[told] = sure;
            row
        };
        let labels = [0, 0, 0, 0, 1, 1, 2, 0, 9];
        let rows = [
            row(0, 0.9),
            row(0, 0.8),
            row(1, 0.6),
            row(0, 0.7),
            row(1, 0.9),
            row(2, 0.95),
            row(2, 0.5),
            Vec::new(),
            row(1, 0.9),
        ];
        let worth = Worth::of(&labels, &rows, 3);
        assert_eq!(
            (worth.examples, worth.labels.len()),
            (7, 3),
            "an empty row and an unknown label count nowhere"
        );
        assert!(
            (worth.accuracy.value - 5.0 / 7.0).abs() < 1e-12 && (worth.majority - 4.0 / 7.0).abs() < 1e-12
        );
        assert!((worth.balanced_accuracy - (0.75 + 0.5 + 1.0) / 3.0).abs() < 1e-12);
        let told: Vec<&[u64]> = worth.labels.iter().map(|label| label.told.as_slice()).collect();
        assert_eq!(told, [[3u64, 1, 0], [0, 1, 1], [0, 0, 1]]);
        assert_eq!(worth.labels[0].recall, 0.75);
        let doubtful: Vec<(usize, u16)> = worth.doubtful.iter().map(|d| (d.example, d.told)).collect();
        assert_eq!(doubtful, [(5, 2), (2, 1)], "the most certain first");
        assert!(!worth.has_signal, "seven examples show nothing");
    }

    #[test]
    fn signal_is_what_lies_above_the_majority() {
        let rows = |right: usize, all: usize| -> (Vec<u16>, Vec<Vec<f32>>) {
            let labels: Vec<u16> = (0..all).map(|at| (at % 2) as u16).collect();
            let told = |(at, label): (usize, &u16)| {
                if (at < right) == (*label == 0) { vec![0.9, 0.1] } else { vec![0.1, 0.9] }
            };
            let rows = labels.iter().enumerate().map(told).collect();
            (labels, rows)
        };
        let has_signal = |right: usize, all: usize| {
            let (labels, rows) = rows(right, all);
            Worth::of(&labels, &rows, 2).has_signal
        };
        assert!(has_signal(90, 100) && has_signal(62, 100) && !has_signal(55, 100) && !has_signal(6, 8));
        let nothing = Worth::of(&[], &[], 2);
        assert!(!nothing.has_signal && nothing.examples == 0 && nothing.labels.len() == 2);
        assert_eq!(nothing.accuracy, Share { value: 0.0, low: 0.0, high: 1.0 });
    }

    #[test]
    fn twenty_doubtful_examples_are_listed() {
        let rows: Vec<Vec<f32>> =
            (0..50).map(|at| vec![0.4 - at as f32 * 0.001, 0.6 + at as f32 * 0.001]).collect();
        let worth = Worth::of(&[0; 50], &rows, 2);
        let listed: Vec<usize> = worth.doubtful.iter().map(|doubtful| doubtful.example).collect();
        assert_eq!(listed, (30..50).rev().collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn any_predictions_give_shares(
            rows in proptest::collection::vec((0u16..6, proptest::collection::vec(any::<f32>(), 0..6)), 0..60),
            count in 0usize..6,
        ) {
            let (labels, rows): (Vec<u16>, Vec<Vec<f32>>) = rows.into_iter().unzip();
            let worth = Worth::of(&labels, &rows, count);
            let Share { value, low, high } = worth.accuracy;
            prop_assert!(0.0 <= low && low <= value && value <= high && high <= 1.0);
            prop_assert!((0.0..=1.0).contains(&worth.balanced_accuracy) && (0.0..=1.0).contains(&worth.majority));
            prop_assert_eq!(worth.labels.len(), count);
            let told: u64 = worth.labels.iter().flat_map(|label| &label.told).sum();
            prop_assert_eq!(told, worth.examples);
            prop_assert!(worth.doubtful.len() <= DOUBTFUL_MAX);
        }
    }
}
