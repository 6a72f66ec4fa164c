//! The layers of a head, packed for computing signatures.

use crate::bundle::{Bundle, Weights};
use crate::level::Level;
use crate::manifest::{Manifest, SignatureKind};
use crate::product::{Kept, Packed, Rows, sum_of_products};

/// What computes a signature. In half precision where the bundle's weights are.
pub(super) enum Layers {
    /// fc6, ReLU and fc7.
    Connected(Connected),
    /// The classifier itself, whose probabilities are the signature.
    Probabilities {
        /// `[inputs, outputs]`.
        weight: Kept,
        /// By output.
        bias: Vec<f32>,
        /// What logits are multiplied by: one over the temperature.
        scale: f32,
        /// The power of probabilities.
        exponent: f32,
        /// Which outputs count for which label, where several count for one.
        groups: Option<Groups>,
    },
}

/// Outputs of a classifier that count for labels.
pub(super) struct Groups {
    /// For each output the label's number.
    of_output: Vec<usize>,
    /// Labels.
    labels: usize,
}

/// fc6, ReLU and fc7.
pub(super) struct Connected {
    /// One matrix for each part that the head reads.
    fc6: Vec<Kept>,
    fc6_bias: Vec<f32>,
    fc7: Kept,
    fc7_bias: Vec<f32>,
}

impl Layers {
    /// Packs the layers of a bundle whose tensors have been checked; `None` where one is missing after all.
    pub(super) fn new(bundle: &Bundle, inputs: usize) -> Option<Self> {
        let Manifest { hidden, dim, scale, exponent, .. } = bundle.manifest;
        let tensor = |name: &str| bundle.tensors.get(name).map(|Weights { data, .. }| data.as_slice());
        let level = Level::best();
        if bundle.manifest.signature == SignatureKind::Probabilities {
            let name = &bundle.manifest.attributes.first()?.name;
            let weight = tensor(&format!("classifier.{name}.weight"))?;
            let bias = tensor(&format!("classifier.{name}.bias"))?.to_vec();
            let sides = (inputs, bias.len());
            let packed = Packed::new(level, sides, |input, output| weight[output * inputs + input]);
            let of_output = bundle.manifest.groups.clone();
            let groups = (!of_output.is_empty()).then_some(Groups { of_output, labels: dim });
            return Some(Self::Probabilities { weight: Kept::new(packed), bias, scale, exponent, groups });
        }
        let (fc6, fc7) = (tensor("fc6.weight")?, tensor("fc7.weight")?);
        let parts = bundle.manifest.parts();
        let len = inputs / parts;
        let part = |part: usize| {
            let weight = |input: usize, output: usize| fc6[output * inputs + part * len + input];
            Kept::new(Packed::new(level, (len, hidden), weight))
        };
        Some(Self::Connected(Connected {
            fc6: (0..parts).map(part).collect(),
            fc6_bias: tensor("fc6.bias")?.to_vec(),
            fc7: Kept::new(Packed::new(level, (hidden, dim), |input, output| fc7[output * hidden + input])),
            fc7_bias: tensor("fc7.bias")?.to_vec(),
        }))
    }

    /// Signatures, not yet of unit length, of what the head reads, in parts.
    pub(super) fn signatures(&self, parts: &[&Rows]) -> Vec<Vec<f32>> {
        match self {
            Self::Connected(layers) => layers.fc7(parts),
            Self::Probabilities { weight, bias, scale, exponent, groups } => {
                let parts: Vec<_> = parts.iter().copied().zip([weight]).collect();
                let mut rows = sum_of_products(&parts, bias.len());
                match groups {
                    Some(groups) => {
                        rows.iter_mut().for_each(|row| *row = groups.powers(row, bias, (*scale, *exponent)));
                    }
                    None => {
                        rows.iter_mut()
                            .for_each(|row| powers_of_probabilities(row, bias, *scale * *exponent));
                    }
                }
                rows
            }
        }
    }
}

/// Turns logits without their biases into powers of probabilities, but for one factor: those to the power of c are
/// exponentials of c times the logits. A logit that is not finite stays seen.
fn powers_of_probabilities(row: &mut [f32], bias: &[f32], scale: f32) {
    row.iter_mut().zip(bias).for_each(|(value, bias)| *value = (*value + bias) * scale);
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|value| *value = (*value - most).exp());
}

impl Groups {
    /// Powers of the labels' probabilities, but for one factor, from logits without their biases. The sums are made of
    /// logarithms: before the power is taken, a small probability would be lost beside the largest.
    fn powers(&self, row: &[f32], bias: &[f32], (scale, exponent): (f32, f32)) -> Vec<f32> {
        let logits: Vec<f32> = row.iter().zip(bias).map(|(value, bias)| (value + bias) * scale).collect();
        let mut most = vec![f32::NEG_INFINITY; self.labels];
        for (logit, label) in logits.iter().zip(&self.of_output) {
            if let Some(most) = most.get_mut(*label) {
                *most = most.max(*logit);
            }
        }
        let mut sums = vec![0.0f32; self.labels];
        for (logit, label) in logits.iter().zip(&self.of_output) {
            if let (Some(sum), Some(most)) = (sums.get_mut(*label), most.get(*label)) {
                *sum += (logit - most).exp();
            }
        }
        let mut logs: Vec<f32> = most.iter().zip(&sums).map(|(most, sum)| most + sum.ln()).collect();
        let top = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        logs.iter_mut().for_each(|log| *log = ((*log - top) * exponent).exp());
        logs
    }
}

impl Connected {
    /// fc7, not normalised, of what the head reads, in parts.
    fn fc7(&self, parts: &[&Rows]) -> Vec<Vec<f32>> {
        let parts: Vec<_> = parts.iter().copied().zip(&self.fc6).collect();
        let mut hidden = sum_of_products(&parts, self.fc6_bias.len());
        for value in hidden.iter_mut().flat_map(|row| row.iter_mut().zip(&self.fc6_bias)) {
            *value.0 = (*value.0 + value.1).max(0.0);
        }
        let hidden = Rows::new(self.fc6_bias.len(), hidden.iter().map(Vec::as_slice));
        let mut fc7 = sum_of_products(&[(&hidden, &self.fc7)], self.fc7_bias.len());
        for value in fc7.iter_mut().flat_map(|row| row.iter_mut().zip(&self.fc7_bias)) {
            *value.0 += value.1;
        }
        fc7
    }
}
