//! The layers of a head, packed for computing signatures.

use crate::bundle::{Bundle, BundleError, Weights};
use crate::graph::Graph;
use crate::level::Level;
use crate::manifest::{Manifest, SignatureKind};
use crate::product::{Kept, Packed, Rows, sum_of_products};
use rayon::prelude::*;

/// What computes a signature. In half precision where the bundle's weights are.
pub(super) enum Layers {
    /// fc6, ReLU and fc7.
    Connected(Connected),
    /// A graph in their place.
    Graph(GraphLayers),
    /// The classifier itself, whose probabilities are the signature.
    Probabilities {
        /// What gives the logits.
        logits: Logits,
        /// What logits are multiplied by: one over the temperature.
        scale: f32,
        /// The power of probabilities.
        exponent: f32,
        /// Which outputs count for which label, where several count for one.
        groups: Option<Groups>,
    },
}

/// What gives the logits of each output of a classifier.
pub(super) enum Logits {
    /// One layer: `[inputs, outputs]` and, by output, the bias.
    Linear(Kept, Vec<f32>),
    /// A graph.
    Graph(GraphLayers),
}

/// An ONNX graph that computes some numbers from what the head reads.
pub(super) struct GraphLayers {
    graph: Graph,
    /// Numbers that it reads, of each part that the head reads as many.
    inputs: usize,
    /// Numbers that it gives.
    outputs: usize,
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
    ///
    /// # Errors
    /// [`BundleError::Graph`].
    pub(super) fn new(bundle: &Bundle, inputs: usize) -> Result<Option<Self>, BundleError> {
        let Manifest { dim, scale, exponent, .. } = bundle.manifest;
        if bundle.manifest.signature == SignatureKind::Probabilities {
            let of_output = bundle.manifest.groups.clone();
            let groups = (!of_output.is_empty()).then_some(Groups { of_output, labels: dim });
            let logits = Logits::new(bundle, inputs)?;
            return Ok(logits.map(|logits| Self::Probabilities { logits, scale, exponent, groups }));
        }
        match &bundle.graph {
            Some(bytes) => Ok(Some(Self::Graph(GraphLayers::new(bytes, inputs, ("signature", dim))?))),
            None => Ok(Self::connected(bundle, inputs)),
        }
    }

    fn connected(bundle: &Bundle, inputs: usize) -> Option<Self> {
        let Manifest { hidden, dim, .. } = bundle.manifest;
        let tensor = |name: &str| bundle.tensors.get(name).map(|Weights { data, .. }| data.as_slice());
        let level = Level::best();
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
            Self::Graph(graph) => graph.outputs(parts),
            Self::Probabilities { logits, scale, exponent, groups } => {
                let mut rows = logits.rows(parts);
                match groups {
                    Some(groups) => {
                        rows.iter_mut().for_each(|row| *row = groups.powers(row, (*scale, *exponent)));
                    }
                    None => {
                        rows.iter_mut().for_each(|row| powers_of_probabilities(row, *scale * *exponent));
                    }
                }
                rows
            }
        }
    }
}

impl Logits {
    /// `None` where a tensor is missing after all.
    fn new(bundle: &Bundle, inputs: usize) -> Result<Option<Self>, BundleError> {
        let Some(attribute) = bundle.manifest.attributes.first() else { return Ok(None) };
        if let Some(bytes) = &bundle.graph {
            let outputs = bundle.manifest.outputs_of(attribute);
            return Ok(Some(Self::Graph(GraphLayers::new(bytes, inputs, ("logits", outputs))?)));
        }
        let tensor = |part: &str| bundle.tensors.get(&format!("classifier.{}.{part}", attribute.name));
        let (Some(weight), Some(bias)) = (tensor("weight"), tensor("bias")) else { return Ok(None) };
        let sides = (inputs, bias.data.len());
        let packed = Packed::new(Level::best(), sides, |input, output| weight.data[output * inputs + input]);
        Ok(Some(Self::Linear(Kept::new(packed), bias.data.clone())))
    }

    /// Logits of what the head reads, in parts.
    fn rows(&self, parts: &[&Rows]) -> Vec<Vec<f32>> {
        match self {
            Self::Linear(weight, bias) => {
                let parts: Vec<_> = parts.iter().copied().zip([weight]).collect();
                let mut rows = sum_of_products(&parts, bias.len());
                for row in &mut rows {
                    row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
                }
                rows
            }
            Self::Graph(graph) => graph.outputs(parts),
        }
    }
}

impl GraphLayers {
    fn new(bytes: &[u8], inputs: usize, output: (&str, usize)) -> Result<Self, BundleError> {
        Ok(Self { graph: Graph::new(bytes, inputs, output)?, inputs, outputs: output.1 })
    }

    /// The graph's output for each row of what the head reads, in parts. A row that it cannot compute is not finite, as one
    /// of other layers is that they cannot.
    fn outputs(&self, parts: &[&Rows]) -> Vec<Vec<f32>> {
        let len = self.inputs / parts.len().max(1);
        let count = parts.first().map_or(0, |rows| rows.count());
        let mut rows: Vec<Vec<f32>> = (0..count).map(|_| Vec::with_capacity(self.inputs)).collect();
        for part in parts {
            for (row, filled) in rows.iter_mut().zip(part.filled()) {
                row.extend(filled.iter().take(len));
            }
        }
        let output = |row: Vec<f32>| self.graph.run(&row).unwrap_or_else(|_| vec![f32::NAN; self.outputs]);
        rows.into_par_iter().map(output).collect()
    }
}

/// Turns logits into powers of probabilities, but for one factor: those to the power of c are exponentials of c times the
/// logits. A logit that is not finite stays seen.
fn powers_of_probabilities(row: &mut [f32], scale: f32) {
    row.iter_mut().for_each(|value| *value *= scale);
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|value| *value = (*value - most).exp());
}

impl Groups {
    /// Powers of the labels' probabilities, but for one factor, from logits. The sums are made of logarithms: before the
    /// power is taken, a small probability would be lost beside the largest.
    fn powers(&self, row: &[f32], (scale, exponent): (f32, f32)) -> Vec<f32> {
        let logits: Vec<f32> = row.iter().map(|value| value * scale).collect();
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
