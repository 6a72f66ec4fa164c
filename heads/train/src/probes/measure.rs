//! What heads tell of labelled photos: accuracy, calibration, confusions, the worst pictures, what to label next.

use lapel_fit::{accuracy, argmax, calibration_error};
use lapel_heads::Attribute;
use serde::Serialize;

/// Pictures that are listed.
const LISTED: usize = 20;
/// Confusions that are listed.
const CONFUSIONS: usize = 15;
/// Photos of a label below which more are asked for.
const FEW: usize = 40;

/// What a head tells of labelled photos.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// The attribute.
    pub attribute: String,
    /// Photos with a label that the head knows.
    pub labelled: usize,
    /// Photos with a label that it does not know; they count nowhere.
    pub unknown: usize,
    /// Share told right.
    pub accuracy: f64,
    /// Share that always answering the most frequent label tells right.
    pub majority: f64,
    /// Mean over the labels of the share told right.
    pub balanced: f64,
    /// Expected calibration error of the likeliest label's probability, in ten bins.
    pub calibration_error: f64,
    /// Share told right of the nine tenths that the head is surest of.
    pub accuracy_of_surest: f64,
    /// Share of predictions that are worth showing: not below the threshold of their label.
    pub shown: f64,
    /// Share told right of those.
    pub accuracy_of_shown: f64,
    /// By label.
    pub labels: Vec<LabelMeasurement>,
    /// Labels taken for others, the most frequent first.
    pub confusions: Vec<Confusion>,
    /// Photos told wrong, the surest first: mistakes of the head, or of the labels.
    pub worst: Vec<WrongPhoto>,
}

/// A label's share.
#[derive(Clone, Debug, Serialize)]
pub struct LabelMeasurement {
    /// The label.
    pub label: String,
    /// Photos with it.
    pub photos: usize,
    /// Share told right.
    pub recall: f64,
}

/// A label taken for another.
#[derive(Clone, Debug, Serialize)]
pub struct Confusion {
    /// The label.
    pub label: String,
    /// What was told.
    pub told: String,
    /// How often.
    pub photos: usize,
}

/// A photo told wrong.
#[derive(Clone, Debug, Serialize)]
pub struct WrongPhoto {
    /// Its id.
    pub id: String,
    /// Its label.
    pub label: String,
    /// What was told.
    pub told: String,
    /// How surely.
    pub probability: f32,
}

impl Measurement {
    /// Of photos with ids, labels' numbers and probabilities; `unknown` of them have labels the head does not know.
    /// `thresholds` are those of the labels.
    #[must_use]
    pub fn new(
        (attribute, thresholds): (&Attribute, &[f32]),
        ids: &[&str],
        (labels, unknown): (&[Option<u16>], usize),
        probabilities: &[Vec<f32>],
    ) -> Self {
        let count = attribute.labels.len();
        let told: Vec<usize> = probabilities.iter().map(|row| argmax(row.iter().copied())).collect();
        let (all, balanced) = accuracy(labels, |at| told[at], count);
        let known: Vec<usize> = (0..labels.len()).filter(|at| labels[*at].is_some()).collect();
        let is_right = |at: usize| labels[at].map(usize::from) == Some(told[at]);
        let sure = |at: usize| probabilities[at].get(told[at]).copied().unwrap_or(0.0);
        let mut table = vec![0usize; count * count];
        for at in &known {
            let own = labels[*at].map_or(0, usize::from);
            table[own * count + told[*at]] += 1;
        }
        let name = |at: usize| attribute.labels[at].clone();
        let photos = |label: usize| table[label * count..][..count].iter().sum::<usize>();
        let by_label = (0..count).map(|label| LabelMeasurement {
            label: name(label),
            photos: photos(label),
            recall: table[label * count + label] as f64 / photos(label).max(1) as f64,
        });
        let mut confusions: Vec<Confusion> = (0..count * count)
            .filter(|at| at / count != at % count && table[*at] > 0)
            .map(|at| Confusion { label: name(at / count), told: name(at % count), photos: table[at] })
            .collect();
        confusions.sort_by(|a, b| b.photos.cmp(&a.photos).then_with(|| a.label.cmp(&b.label)));
        confusions.truncate(CONFUSIONS);
        let mut by_sureness = known.clone();
        by_sureness.sort_by(|a, b| sure(*b).total_cmp(&sure(*a)));
        let surest = &by_sureness[..by_sureness.len() - by_sureness.len() / 10];
        let is_shown = |at: usize| thresholds.get(told[at]).is_some_and(|threshold| sure(at) >= *threshold);
        let shown: Vec<usize> = known.iter().copied().filter(|at| is_shown(*at)).collect();
        let right =
            |of: &[usize]| of.iter().filter(|at| is_right(**at)).count() as f64 / of.len().max(1) as f64;
        let wrong = by_sureness.iter().filter(|at| !is_right(**at)).take(LISTED).map(|at| WrongPhoto {
            id: ids[*at].to_owned(),
            label: labels[*at].map_or_else(String::new, |l| name(usize::from(l))),
            told: name(told[*at]),
            probability: sure(*at),
        });
        let majority = (0..count).map(photos).max().unwrap_or(0) as f64 / known.len().max(1) as f64;
        Self {
            attribute: attribute.name.clone(),
            labelled: known.len(),
            unknown,
            accuracy: all,
            majority,
            balanced,
            calibration_error: calibration_error(probabilities, labels),
            accuracy_of_surest: right(surest),
            shown: shown.len() as f64 / known.len().max(1) as f64,
            accuracy_of_shown: right(&shown),
            labels: by_label.collect(),
            worst: wrong.collect(),
            confusions,
        }
    }

    /// What to label next, in words; empty where nothing stands out.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        let few: Vec<String> = self
            .labels
            .iter()
            .filter(|l| l.photos < FEW && l.recall < 0.6)
            .map(|l| format!("{} ({} photos, {:.0} % told)", l.label, l.photos, 100.0 * l.recall))
            .collect();
        if !few.is_empty() {
            advice.push(format!("more photos of {}", few.join(", ")));
        }
        if let Some(Confusion { label, told, photos }) = self.confusions.first().filter(|c| c.photos >= 10) {
            advice.push(format!(
                "look at {label} told as {told} ({photos} photos): is the line between them drawn?"
            ));
        }
        if self.accuracy <= self.majority {
            advice.push(format!(
                "the head is no better than always answering the most frequent label ({:.0} %)",
                100.0 * self.majority
            ));
        }
        advice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_confusions_and_the_worst_photos_are_told() {
        let attribute = Attribute { name: "mood".into(), labels: vec!["calm".into(), "loud".into()] };
        let labels = [Some(0), Some(0), Some(1), None, Some(1)];
        let rows = [[0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.5, 0.5], [0.6, 0.4]].map(|row| row.to_vec());
        let ids = ["a", "b", "c", "d", "e"];
        let of = |thresholds: &[f32]| Measurement::new((&attribute, thresholds), &ids, (&labels, 2), &rows);
        let measured = of(&[0.5; 2]);
        assert_eq!((measured.labelled, measured.unknown), (4, 2));
        assert_eq!((measured.accuracy, measured.balanced, measured.majority), (0.5, 0.5, 0.5));
        let worst: Vec<&str> = measured.worst.iter().map(|w| w.id.as_str()).collect();
        assert_eq!(worst, ["b", "e"], "the surest first");
        assert_eq!(measured.confusions.len(), 2);
        assert!(measured.advice().iter().any(|a| a.contains("no better than")));
        assert_eq!((measured.shown, measured.accuracy_of_shown), (1.0, 0.5), "none is below one half");
        // The calm of 60 % and the loud of 80 % are both wrong.
        let by_label = of(&[0.7, 0.85]);
        assert_eq!((by_label.shown, by_label.accuracy_of_shown, by_label.accuracy), (0.5, 1.0, 0.5));
    }
}
