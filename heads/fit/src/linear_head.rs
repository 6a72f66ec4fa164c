//! A linear layer on a backbone's vectors as the bundle of a head.

use lapel_heads::{
    Attribute, Bundle, FORMAT, HeadKind, Manifest, Region, Signature, SignatureError, SignatureKind,
    SignatureSum, Source, Weights,
};
use std::collections::BTreeMap;

/// How much a head counts in a search: what its manifest says of that.
#[derive(Clone, Copy, Debug)]
pub struct HeadWeights {
    /// [`Manifest::weight`].
    pub weight: f32,
    /// [`Manifest::changed_weight`].
    pub changed_weight: f32,
    /// [`Manifest::confidence`].
    pub confidence: f32,
    /// [`Manifest::exponent`].
    pub exponent: f32,
}

/// A layer that tells the labels of one attribute, with all that its manifest says.
pub struct LinearHead<'a> {
    /// The attribute, by which the head is named, too.
    pub attribute: &'a Attribute,
    /// The backbone's fingerprint.
    pub fingerprint: &'a str,
    /// The backbone's vectors; all are read.
    pub sources: &'a [Source],
    /// The region that it is said to look at.
    pub region: Region,
    /// How much it counts.
    pub weights: HeadWeights,
    /// Weights `[labels * inputs]` on the backbone's own numbers, and biases.
    pub layer: (Vec<f32>, Vec<f32>),
    /// What logits are divided by.
    pub temperature: f32,
    /// The probability from which on a label counts as known, by label; `None`: the usual one.
    pub thresholds: Option<Vec<f32>>,
    /// What it was taught by.
    pub description: &'a str,
}

impl LinearHead<'_> {
    /// The bundle, as yet without prototypes.
    #[must_use]
    pub fn into_bundle(self) -> Bundle {
        let Self {
            attribute,
            fingerprint,
            sources,
            region,
            weights: HeadWeights { weight: own_weight, changed_weight, confidence, exponent },
            layer: (weight, bias),
            temperature,
            thresholds,
            description,
        } = self;
        let (name, count) = (&attribute.name, attribute.labels.len());
        let manifest = Manifest {
            format: FORMAT,
            name: name.clone(),
            kind: HeadKind::Network,
            backbone: Some(fingerprint.to_owned()),
            region,
            signature: SignatureKind::Probabilities,
            exponent,
            weight: own_weight,
            changed_weight,
            confidence,
            inputs: sources.iter().map(|source| source.name.clone()).collect(),
            dim: count,
            scale: 1.0 / temperature,
            attributes: vec![attribute.clone()],
            thresholds: thresholds.map(|thresholds| (name.clone(), thresholds)).into_iter().collect(),
            description: description.to_owned(),
            ..Manifest::external(name, count, Vec::new())
        };
        let inputs = weight.len() / count.max(1);
        let tensors = BTreeMap::from([
            (format!("classifier.{name}.weight"), Weights { shape: vec![count, inputs], data: weight }),
            (format!("classifier.{name}.bias"), Weights { shape: vec![count], data: bias }),
        ]);
        Bundle { manifest, tensors, graph: None }
    }
}

/// The signature of probabilities: each to a power, of unit length.
///
/// # Errors
/// When they are not finite.
pub fn signature(probabilities: &[f32], exponent: f32) -> Result<Signature, SignatureError> {
    Signature::new(probabilities.iter().map(|p| p.powf(exponent)).collect())
}

/// Adds the signatures of probabilities to the sums of the labels that their examples carry, where the label is wanted and
/// there are probabilities; says how many came to each sum.
pub fn add_signatures(
    sums: &mut [SignatureSum],
    manifest: &Manifest,
    (rows, labels): (&[Vec<f32>], &[Option<u16>]),
    wanted: &dyn Fn(usize) -> bool,
) -> Vec<usize> {
    let mut added = vec![0; sums.len()];
    for (row, label) in rows.iter().zip(labels) {
        let Some(label) = label.map(usize::from).filter(|label| !row.is_empty() && wanted(*label)) else {
            continue;
        };
        let (Some(sum), Some(added)) = (sums.get_mut(label), added.get_mut(label)) else { continue };
        if let Ok(signature) = signature(row, manifest.exponent) {
            sum.add_weighted(signature.values(), manifest.prototype_weight(label, signature.values()));
            *added += 1;
        }
    }
    added
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_come_to_the_sums_of_wanted_labels_alone() {
        let manifest =
            Manifest { signature: SignatureKind::Probabilities, ..Manifest::external("mood", 2, Vec::new()) };
        let rows = vec![vec![0.9, 0.1], vec![0.2, 0.8], Vec::new(), vec![0.5, 0.5], vec![f32::NAN, 0.5]];
        let labels = [Some(0), Some(1), Some(0), None, Some(0)];
        let mut sums = vec![SignatureSum::new(2); 2];
        assert_eq!(add_signatures(&mut sums, &manifest, (&rows, &labels), &|_| true), [1, 1]);
        assert_eq!(add_signatures(&mut sums, &manifest, (&rows, &labels), &|label| label == 1), [0, 1]);
        assert_eq!(sums.iter().map(SignatureSum::count).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(add_signatures(&mut sums, &manifest, (&rows, &[Some(9); 5]), &|_| true), [0, 0]);
    }
}
