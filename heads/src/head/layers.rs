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
        /// `[inputs, labels]`.
        weight: Kept,
        /// By label.
        bias: Vec<f32>,
        /// What logits are multiplied by: one over the temperature.
        scale: f32,
        /// The power of probabilities.
        exponent: f32,
    },
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
            let packed = Packed::new(level, (inputs, dim), |input, output| weight[output * inputs + input]);
            let bias = tensor(&format!("classifier.{name}.bias"))?.to_vec();
            return Some(Self::Probabilities { weight: Kept::new(packed), bias, scale, exponent });
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
            Self::Probabilities { weight, bias, scale, exponent } => {
                let parts: Vec<_> = parts.iter().copied().zip([weight]).collect();
                let mut rows = sum_of_products(&parts, bias.len());
                rows.iter_mut().for_each(|row| powers_of_probabilities(row, bias, *scale * *exponent));
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
