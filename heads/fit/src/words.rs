//! A head from words alone: what a network of texts and pictures makes of its labels, as a linear layer on summaries.
//!
//! Such a network tells a picture by the cosine of its summary s, brought into the shared space by P, with the directions
//! t_j of the labels' texts: the softmax of scale * cos(P s, t_j). A linear head cannot divide by the length of P s, but all
//! pictures share a length nearly: with the mean length n, z_j = scale / n * (P^T t_j) . s. The likeliest label is the
//! network's own; only how sure it is follows from the picture's length.

use crate::calibration::probabilities;
use crate::linear_head::{HeadWeights, LinearHead};
use crate::thresholds::thresholds;
use crate::worth::Worth;
use lapel_heads::{Attribute, Bundle, Region, SignatureSum, Source, store_prototypes};
use std::collections::HashMap;

/// A head that is to be made from words.
pub struct WordedHead<'a> {
    /// The attribute, by which the head is named, too.
    pub attribute: &'a Attribute,
    /// The backbone's fingerprint.
    pub fingerprint: &'a str,
    /// The vector that begins with the summary.
    pub source: &'a Source,
    /// How much the head counts.
    pub weights: HeadWeights,
    /// By label, the weights of the summary's numbers: scale / n * P^T t_j.
    pub labels: &'a [Vec<f32>],
    /// The manifest's words on what it was made from.
    pub description: &'a str,
}

/// Pictures by which a head is examined.
pub struct Summaries<'a> {
    /// Their summaries, flat, one after the other.
    pub summaries: &'a [f32],
    /// The label's number of each; one that there is not: none is known.
    pub told: &'a [u16],
}

/// The head, and what it is worth on pictures whose label is known, by none of which it was fitted; `None` where there are
/// none.
#[must_use]
pub fn from_words(head: &WordedHead<'_>, seen: &Summaries<'_>) -> (Bundle, Option<Worth>) {
    let WordedHead { attribute, fingerprint, source, weights, labels, description } = *head;
    let count = labels.len();
    let summary = labels.first().map_or(0, Vec::len).max(1);
    let logits = |row: &[f32]| -> Vec<f32> {
        labels.iter().map(|label| label.iter().zip(row).map(|(weight, value)| weight * value).sum()).collect()
    };
    let rows: Vec<Vec<f32>> =
        seen.summaries.chunks_exact(summary).map(|row| probabilities(&logits(row), 1.0)).collect();
    let known = |label: &u16| (usize::from(*label) < count).then_some(*label);
    let known: Vec<Option<u16>> = seen.told.iter().map(known).collect();
    // What comes behind the summary counts nothing.
    let padded = |label: &Vec<f32>| {
        label.iter().copied().chain(std::iter::repeat(0.0)).take(source.len).collect::<Vec<f32>>()
    };
    let mut bundle = LinearHead {
        attribute,
        fingerprint,
        sources: std::slice::from_ref(source),
        region: Region::Whole,
        weights,
        layer: (labels.iter().flat_map(padded).collect(), vec![0.0; count]),
        temperature: 1.0,
        thresholds: thresholds(&rows, &known, count),
        description,
    }
    .into_bundle();
    store_prototypes(&mut bundle, &HashMap::from([(attribute.name.clone(), certain(count))]));
    let worth = Worth::of(seen.told, &rows, count);
    (bundle, (worth.examples > 0).then_some(worth))
}

/// The prototype of each label, before items that carry it make one: the signature of a picture that surely shows it. What
/// is near to it is what the head gives the label most surely, and no picture is needed for it.
fn certain(count: usize) -> Vec<SignatureSum> {
    let of = |label: usize| {
        let mut sum = SignatureSum::new(count);
        sum.add(&(0..count).map(|at| f32::from(u8::from(at == label))).collect::<Vec<f32>>());
        sum
    };
    (0..count).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapel_heads::SignatureKind;

    fn made(seen: &Summaries<'_>) -> (Bundle, Option<Worth>) {
        let attribute =
            Attribute { name: "mood".into(), labels: ["calm", "loud"].map(str::to_owned).to_vec() };
        let head = WordedHead {
            attribute: &attribute,
            fingerprint: "clip/views/2/00",
            source: &Source { name: "garment".into(), len: 6 },
            weights: HeadWeights { weight: 1.0, changed_weight: 2.0, confidence: 0.0, exponent: 0.5 },
            labels: &[vec![1.0, 2.0, 0.0], vec![0.0, -1.0, 3.0]],
            description: "words",
        };
        from_words(&head, seen)
    }

    #[test]
    fn the_layer_reads_the_summary_alone_and_prototypes_are_certain() {
        let (bundle, worth) = made(&Summaries { summaries: &[1.0, 0.0, 0.0], told: &[2] });
        assert_eq!(worth, None, "no label of the picture is known");
        let weight = &bundle.tensors["classifier.mood.weight"];
        assert_eq!(weight.shape, [2, 6]);
        assert_eq!(weight.data, [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 3.0, 0.0, 0.0, 0.0]);
        assert_eq!(bundle.tensors["prototypes.mood"].data, [1.0, 0.0, 0.0, 1.0]);
        let manifest = &bundle.manifest;
        assert_eq!((manifest.signature, manifest.scale), (SignatureKind::Probabilities, 1.0));
        assert_eq!(manifest.inputs, ["garment"]);
        assert!(manifest.faults().is_empty() && manifest.thresholds.is_empty(), "{:?}", manifest.faults());
    }

    #[test]
    fn it_is_examined_by_labels_that_are_known() {
        let summaries = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]].concat();
        let (_, worth) = made(&Summaries { summaries: &summaries, told: &[0, 1, 1, 9] });
        let worth = worth.expect("three are known");
        let right: Vec<u64> = worth.labels.iter().flat_map(|label| label.told.clone()).collect();
        assert_eq!((worth.examples, right), (3, vec![1, 0, 1, 1]));
    }
}
