//! fc6 and fc7 of a head, packed for computing signatures.

use crate::bundle::{Bundle, Weights};
use crate::level::Level;
use crate::manifest::Manifest;
use crate::product::{Kept, Packed, Rows, sum_of_products};

/// fc6, ReLU and fc7. In half precision where the bundle's weights are.
pub(super) struct Layers {
    /// One matrix for each part that the head reads.
    fc6: Vec<Kept>,
    fc6_bias: Vec<f32>,
    fc7: Kept,
    fc7_bias: Vec<f32>,
}

impl Layers {
    /// Packs the layers of a bundle whose tensors have been checked; `None` where one is missing after all.
    pub(super) fn new(bundle: &Bundle, inputs: usize) -> Option<Self> {
        let Manifest { hidden, dim, .. } = bundle.manifest;
        let tensor = |name: &str| bundle.tensors.get(name).map(|Weights { data, .. }| data.as_slice());
        let (fc6, fc7) = (tensor("fc6.weight")?, tensor("fc7.weight")?);
        let (level, parts) = (Level::best(), bundle.manifest.parts());
        let len = inputs / parts;
        let part = |part: usize| {
            let weight = |input: usize, output: usize| fc6[output * inputs + part * len + input];
            Kept::new(Packed::new(level, (len, hidden), weight))
        };
        Some(Self {
            fc6: (0..parts).map(part).collect(),
            fc6_bias: tensor("fc6.bias")?.to_vec(),
            fc7: Kept::new(Packed::new(level, (hidden, dim), |input, output| fc7[output * hidden + input])),
            fc7_bias: tensor("fc7.bias")?.to_vec(),
        })
    }

    /// fc7, not normalised, of what the head reads, in parts.
    pub(super) fn fc7(&self, parts: &[&Rows]) -> Vec<Vec<f32>> {
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
