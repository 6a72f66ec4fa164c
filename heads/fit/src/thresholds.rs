//! From which probability on a prediction is worth showing, label by label.
//!
//! A head as a whole is calibrated, its labels need not be: favouring rare labels overstates their probabilities. So the
//! threshold of a label is one that all labels share plus how far the head overstates itself when it tells that label,
//! and the shared one leaves a tenth of the held-out predictions unsure, those least likely to be right.

use crate::calibration::argmax;

/// One held-out prediction in so many is left unsure.
const UNSURE: usize = 10;
/// Predictions of a label, thought of as telling exactly what it is worth, that its own are joined with: few predictions
/// move its threshold little.
const PRIOR: f64 = 20.0;

/// A held-out prediction.
struct Told {
    label: usize,
    probability: f64,
    is_right: bool,
}

/// A threshold for each of `count` labels, from the calibrated probabilities of photos that the head did not learn from
/// and the labels that the photos carry; a photo with an empty row or without a label is passed by. `None` where none
/// is left.
#[must_use]
pub fn thresholds(held_out: &[Vec<f32>], labels: &[Option<u16>], count: usize) -> Option<Vec<f32>> {
    let told = |(row, label): (&Vec<f32>, &Option<u16>)| {
        let told = argmax(row.iter().copied());
        let (probability, own) = (f64::from(*row.get(told)?), usize::from((*label)?));
        Some(Told { label: told, probability, is_right: told == own })
    };
    let told: Vec<Told> = held_out.iter().zip(labels).filter_map(told).collect();
    let overstated: Vec<f64> = (0..count).map(|label| overstated(&told, label)).collect();
    let mut sureness: Vec<f64> = told.iter().map(|t| t.probability - overstated[t.label]).collect();
    sureness.sort_by(f64::total_cmp);
    let shared = sureness.get(sureness.len() / UNSURE)?;
    // Of a label that is told and hardly ever right, nothing but certainty is shown.
    Some(overstated.iter().map(|overstated| (shared + overstated).clamp(0.0, 1.0) as f32).collect())
}

/// By how much the probabilities of predictions of a label exceed the share of them that is right.
fn overstated(told: &[Told], label: usize) -> f64 {
    let own = || told.iter().filter(|told| told.label == label);
    let excess: f64 = own().map(|t| t.probability - f64::from(u8::from(t.is_right))).sum();
    excess / (own().count() as f64 + PRIOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` photos that are told `label` with `probability`, of which the first `right` carry it.
    fn photos(label: u16, probability: f32, right: usize, count: usize) -> Vec<(Vec<f32>, Option<u16>)> {
        let mut row = vec![(1.0 - probability) / 2.0; 3];
        row[usize::from(label)] = probability;
        (0..count).map(|at| (row.clone(), Some(if at < right { label } else { (label + 1) % 3 }))).collect()
    }

    fn of(photos: Vec<(Vec<f32>, Option<u16>)>) -> Option<Vec<f32>> {
        let (rows, labels): (Vec<_>, Vec<_>) = photos.into_iter().unzip();
        thresholds(&rows, &labels, 3)
    }

    #[test]
    fn a_tenth_is_unsure_and_a_calibrated_head_has_one_threshold() {
        // Every probability is the share right, so no label is overstated.
        let levels = [(0, 0.5, 50, 100), (0, 0.9, 360, 400), (1, 0.6, 60, 100), (1, 0.8, 320, 400)];
        let all = levels.map(|(label, p, right, count)| photos(label, p, right, count)).concat();
        let found = of(all.clone()).expect("predictions");
        assert!(found.iter().all(|t| (t - found[0]).abs() < 1e-6), "{found:?}");
        let told = all.iter().map(|(row, _)| (argmax(row.iter().copied()), row));
        let unsure = told.filter(|(label, row)| row[*label] < found[*label]).count();
        assert_eq!(unsure, 100, "the tenth that is told with one half");
    }

    #[test]
    fn a_label_that_is_overstated_needs_more() {
        // Both are told with 70 %; the first is right in 90 of 100 cases, the second in 50.
        let levels = [(0, 0.7, 90, 100), (1, 0.7, 50, 100), (0, 0.9, 450, 500), (1, 0.9, 450, 500)];
        let found = of(levels.map(|(label, p, right, count)| photos(label, p, right, count)).concat());
        let found = found.expect("predictions");
        assert!(found[0] <= 0.7 && found[1] > 0.7, "{found:?}");
        assert!(
            found[0] < found[2] && found[2] < found[1],
            "one that was never told has the shared one: {found:?}"
        );
    }

    #[test]
    fn few_predictions_move_a_threshold_little() {
        let with = |few: usize| {
            let rare = photos(2, 0.8, 0, few);
            of([photos(0, 0.8, 800, 1000), rare].concat()).expect("predictions")
        };
        let shift = |few: usize| with(few)[2] - with(few)[1];
        assert!(shift(1) < 0.05 && shift(100) > 0.15, "{} {}", shift(1), shift(100));
    }

    #[test]
    fn photos_that_were_not_held_out_or_have_no_label_count_nowhere() {
        let told = photos(0, 0.9, 9, 10);
        let wanted = of(told.clone());
        let others = vec![(Vec::new(), Some(1)), (vec![0.1, 0.9, 0.0], None), (Vec::new(), None)];
        assert_eq!(of([told, others.clone()].concat()), wanted);
        assert_eq!(of(others), None);
    }

    #[test]
    fn a_bundle_may_carry_every_threshold() {
        let found = of([photos(0, 1.0, 0, 500), photos(1, 0.4, 500, 500)].concat()).expect("predictions");
        assert!(found.iter().all(|t| (0.0..=1.0).contains(t)), "{found:?}");
    }
}
