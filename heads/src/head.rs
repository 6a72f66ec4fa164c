//! A head: region, fully connected layers fc6 and fc7, one classifier an attribute (section 4.2).

mod layers;

use crate::backbone::Backbone;
use crate::bundle::{Bundle, BundleError, GRAPH, Weights};
use crate::manifest::{Attribute, HeadKind, Manifest, SignatureKind};
use crate::product::Rows;
use crate::prototype::SignatureSum;
use crate::signature::{Signature, probabilities};
use candle_core::{Device, Tensor};
use layers::Layers;
use std::collections::HashMap;
use std::sync::Arc;

/// A label and the probability that the classifier gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelScore {
    /// The label.
    pub label: String,
    /// 0 to 1; an attribute's scores sum to 1.
    pub probability: f32,
}

/// A label's prototype and the number of items it is the mean of.
#[derive(Clone, Debug, PartialEq)]
pub struct Prototype {
    /// Mean signature, unit length.
    pub signature: Signature,
    /// Items behind it.
    pub count: u64,
}

/// A head ready to compute signatures and label scores; an external one computes label scores alone, where it brings
/// classifiers.
#[derive(Clone)]
pub struct Head {
    id: String,
    inputs: usize,
    manifest: Manifest,
    layers: Option<Arc<Layers>>,
    classifiers: HashMap<String, Classifier>,
    prototypes: HashMap<String, Vec<Option<Prototype>>>,
}

/// A linear layer on `scale * signature`; small enough to run without the tensor library.
#[derive(Clone)]
struct Classifier {
    /// `[labels, dim]`, already multiplied by the scale.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Head {
    /// Builds the head in `bytes` for `backbone` and proves on a probe that it computes.
    ///
    /// # Errors
    /// [`BundleError`], one variant a cause; nothing is kept of a head that fails.
    pub fn from_bytes(bytes: &[u8], backbone: &dyn Backbone) -> Result<Self, BundleError> {
        Self::new(&Bundle::parse(bytes)?, Bundle::id(bytes), backbone)
    }

    /// Builds the head of a parsed bundle whose file has the SHA-256 `id`.
    ///
    /// # Errors
    /// As [`Head::from_bytes`].
    pub fn new(bundle: &Bundle, id: String, backbone: &dyn Backbone) -> Result<Self, BundleError> {
        let manifest = bundle.manifest.clone();
        if let (HeadKind::Network, Some(wanted)) = (manifest.kind, &manifest.backbone)
            && wanted != backbone.fingerprint()
        {
            let found = backbone.fingerprint().to_owned();
            return Err(BundleError::Backbone { wanted: wanted.clone(), found });
        }
        let inputs = match manifest.kind {
            HeadKind::Network => {
                backbone.layout().inputs_of(&manifest).map_err(|fault| BundleError::Inputs { fault })?
            }
            HeadKind::External => 0,
        };
        Self::reading(bundle, id, inputs)
    }

    /// As [`Head::new`] for a pooled region of `inputs` numbers, whatever backbone they come from.
    ///
    /// # Errors
    /// As [`Head::from_bytes`].
    pub fn reading(bundle: &Bundle, id: String, inputs: usize) -> Result<Self, BundleError> {
        let manifest = bundle.manifest.clone();
        check_tensors(bundle, inputs)?;
        let head = Self {
            id,
            inputs,
            layers: build_layers(bundle, inputs)?.map(Arc::new),
            classifiers: classifiers(bundle)?,
            prototypes: prototypes(bundle),
            manifest,
        };
        head.probe(inputs)?;
        Ok(head)
    }

    /// SHA-256 of the bundle's file.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The head's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Dimension of its signatures.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.manifest.dim
    }

    /// Numbers of a pooled region that it reads.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Whether it computes signatures itself; otherwise they come with the items.
    #[must_use]
    pub fn has_network(&self) -> bool {
        self.layers.is_some()
    }

    /// Signatures of pooled regions, `[batch, inputs]` to one unit vector a row; `None` for a row whose output
    /// is not finite or all zero, and for every row of an external head.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn signatures(&self, pooled: &Tensor) -> candle_core::Result<Vec<Option<Signature>>> {
        let rows = pooled.to_vec2::<f32>()?;
        if let Some(row) = rows.iter().find(|row| row.len() != self.inputs) {
            candle_core::bail!("head {:?} reads {} numbers, not {}", self.name(), self.inputs, row.len());
        }
        let len = self.inputs / self.manifest.parts();
        let part = |part: usize| Rows::new(len, rows.iter().map(|row| &row[part * len..][..len]));
        let parts: Vec<Rows> = (0..self.manifest.parts()).map(part).collect();
        Ok(self.signatures_of(&parts.iter().collect::<Vec<_>>()))
    }

    /// As [`Head::signatures`], of the pooled regions that [`Manifest::parts`] counts.
    pub(crate) fn signatures_of(&self, parts: &[&Rows]) -> Vec<Option<Signature>> {
        let count = parts.first().map_or(0, |rows| rows.count());
        match &self.layers {
            Some(layers) => {
                layers.signatures(parts).into_iter().map(|row| Signature::new(row).ok()).collect()
            }
            None => vec![None; count],
        }
    }

    /// Whether it predicts labels of an attribute: it has a classifier, or its signatures are probabilities.
    #[must_use]
    pub fn predicts(&self, attribute: &str) -> bool {
        match self.manifest.signature {
            SignatureKind::Layer => self.classifiers.contains_key(attribute),
            SignatureKind::Probabilities => self.manifest.attribute(attribute).is_some(),
        }
    }

    /// Label scores of a signature for an attribute (Eq. 2), in the manifest's order of labels; `None` when
    /// the head has no classifier for it.
    #[must_use]
    pub fn classify(&self, attribute: &Attribute, signature: &[f32]) -> Option<Vec<LabelScore>> {
        let probabilities = match self.manifest.signature {
            SignatureKind::Layer => self.classifiers.get(&attribute.name)?.probabilities(signature),
            SignatureKind::Probabilities => {
                self.manifest.attribute(&attribute.name)?;
                probabilities(signature, self.manifest.exponent)
            }
        };
        let scores = attribute.labels.iter().zip(probabilities);
        Some(scores.map(|(label, probability)| LabelScore { label: label.clone(), probability }).collect())
    }

    /// The most probable label of a signature for an attribute.
    #[must_use]
    pub fn predict(&self, attribute: &Attribute, signature: &[f32]) -> Option<LabelScore> {
        self.classify(attribute, signature)?
            .into_iter()
            .max_by(|a, b| a.probability.total_cmp(&b.probability))
    }

    /// Whether a prediction lies below its label's threshold ([`Manifest::thresholds_of`]): it may be shown as a guess, and
    /// decides nothing.
    #[must_use]
    pub fn is_unsure(&self, attribute: &Attribute, predicted: &LabelScore) -> bool {
        let thresholds = self.manifest.thresholds_of(attribute);
        let at = attribute.labels.iter().position(|label| *label == predicted.label);
        at.and_then(|at| thresholds.get(at)).is_none_or(|threshold| predicted.probability < *threshold)
    }

    /// The prototype that the bundle brings for a label, from the items it was trained on.
    #[must_use]
    pub fn prototype(&self, attribute: &str, label: &str) -> Option<&Prototype> {
        let at = self.manifest.attribute(attribute)?.labels.iter().position(|l| l == label)?;
        self.prototypes.get(attribute)?.get(at)?.as_ref()
    }

    /// Computes a made-up picture's signature, or takes a made-up one where none is computed, and classifies it.
    fn probe(&self, inputs: usize) -> Result<(), BundleError> {
        let signature = if self.has_network() {
            let read: Vec<f32> = (0..inputs).map(wave).collect();
            let pooled = Tensor::from_vec(read, (1, inputs), &Device::Cpu);
            let computed = pooled.and_then(|pooled| self.signatures(&pooled));
            computed.ok().and_then(|rows| rows.into_iter().next().flatten())
        } else {
            Signature::new((0..self.dim()).map(|i| wave(i) - 1.0).collect()).ok()
        };
        let signature = signature.ok_or(BundleError::Probe)?;
        let is_sound = |attribute: &Attribute| match self.predict(attribute, signature.values()) {
            Some(score) => score.probability.is_finite(),
            // An external head need not bring classifiers.
            None => !self.has_network(),
        };
        if self.manifest.attributes.iter().all(is_sound) { Ok(()) } else { Err(BundleError::Probe) }
    }
}

impl Classifier {
    /// Whether no signature of `dim` numbers can make a logit overflow: they are finite each, but scaled and added up
    /// they need not be.
    fn is_finite(&self, dim: usize) -> bool {
        let rows = self.weight.chunks_exact(dim).zip(&self.bias);
        rows.map(|(row, bias)| bias.abs() + row.iter().map(|w| w.abs()).sum::<f32>()).all(f32::is_finite)
    }

    fn probabilities(&self, signature: &[f32]) -> Vec<f32> {
        let logits: Vec<f32> = self
            .weight
            .chunks_exact(signature.len())
            .zip(&self.bias)
            .map(|(row, bias)| bias + row.iter().zip(signature).map(|(w, s)| w * s).sum::<f32>())
            .collect();
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = logits.iter().map(|l| (l - most).exp()).collect();
        let total: f32 = powers.iter().sum();
        powers.into_iter().map(|p| p / total).collect()
    }
}

/// Number `i` of a made-up input, 0 to 2.
fn wave(i: usize) -> f32 {
    (i * 37 % 101) as f32 / 50.0
}

/// The tensors that a bundle may have: name, shape, and whether it must have it. The prototypes are optional, and so are
/// the classifiers of an external head, each as a whole.
fn wanted_tensors(bundle: &Bundle, inputs: usize) -> Vec<(String, Vec<usize>, bool)> {
    let manifest = &bundle.manifest;
    let (hidden, dim) = (manifest.hidden, manifest.dim);
    let mut wanted = Vec::new();
    let network = manifest.kind == HeadKind::Network;
    let of_labels = manifest.signature == SignatureKind::Probabilities;
    if network && !of_labels && !manifest.graph {
        wanted.push(("fc6.weight".into(), vec![hidden, inputs], true));
        wanted.push(("fc6.bias".into(), vec![hidden], true));
        wanted.push(("fc7.weight".into(), vec![dim, hidden], true));
        wanted.push(("fc7.bias".into(), vec![dim], true));
    }
    for attribute in &manifest.attributes {
        let Attribute { name, labels } = attribute;
        let (read, outputs) = (if of_labels { inputs } else { dim }, manifest.outputs_of(attribute));
        let (weight, bias) = (format!("classifier.{name}.weight"), format!("classifier.{name}.bias"));
        let is_brought = [&weight, &bias].into_iter().any(|tensor| bundle.tensors.contains_key(tensor));
        // Of the other kind, the graph gives the logits.
        if !of_labels || !manifest.graph {
            wanted.push((weight, vec![outputs, read], network || is_brought));
            wanted.push((bias, vec![outputs], network || is_brought));
        }
        wanted.push((format!("prototypes.{name}"), vec![labels.len(), dim], false));
    }
    wanted
}

fn check_tensors(bundle: &Bundle, inputs: usize) -> Result<(), BundleError> {
    let wanted = wanted_tensors(bundle, inputs);
    for (name, shape, required) in &wanted {
        match bundle.tensors.get(name) {
            Some(found) if &found.shape != shape => {
                let (name, found, wanted) = (name.clone(), found.shape.clone(), shape.clone());
                return Err(BundleError::Shape { name, found, wanted });
            }
            None if *required => {
                return Err(BundleError::MissingTensor { name: name.clone(), shape: shape.clone() });
            }
            Some(_) | None => {}
        }
    }
    match (bundle.manifest.graph, &bundle.graph) {
        (true, None) => return Err(BundleError::MissingTensor { name: GRAPH.to_owned(), shape: Vec::new() }),
        (false, Some(_)) => return Err(BundleError::UnknownTensor { name: GRAPH.to_owned() }),
        (true, Some(_)) | (false, None) => {}
    }
    match bundle.tensors.keys().find(|name| !wanted.iter().any(|(w, ..)| w == *name)) {
        Some(name) => Err(BundleError::UnknownTensor { name: name.clone() }),
        None => Ok(()),
    }
}

fn build_layers(bundle: &Bundle, inputs: usize) -> Result<Option<Layers>, BundleError> {
    if bundle.manifest.kind == HeadKind::External {
        return Ok(None);
    }
    let damaged = || BundleError::Damaged { reason: "a layer is missing".into() };
    Layers::new(bundle, inputs)?.map(Some).ok_or_else(damaged)
}

fn classifiers(bundle: &Bundle) -> Result<HashMap<String, Classifier>, BundleError> {
    if bundle.manifest.signature == SignatureKind::Probabilities {
        return Ok(HashMap::new());
    }
    let scale = bundle.manifest.scale;
    let of = |attribute: &Attribute| {
        let part = |part: &str| bundle.tensors.get(&format!("classifier.{}.{part}", attribute.name));
        let (weight, bias) = (part("weight")?, part("bias")?);
        let weight = weight.data.iter().map(|w| w * scale).collect();
        Some((attribute.name.clone(), Classifier { weight, bias: bias.data.clone() }))
    };
    let all: HashMap<_, _> = bundle.manifest.attributes.iter().filter_map(of).collect();
    match all.iter().find(|(_, classifier)| !classifier.is_finite(bundle.manifest.dim)) {
        Some((name, _)) => Err(BundleError::NotFinite { name: format!("classifier.{name}.weight") }),
        None => Ok(all),
    }
}

fn prototypes(bundle: &Bundle) -> HashMap<String, Vec<Option<Prototype>>> {
    let of = |attribute: &Attribute| {
        let tensor = bundle.tensors.get(&format!("prototypes.{}", attribute.name))?;
        let counts = bundle.manifest.prototype_counts.get(&attribute.name)?;
        let rows = tensor.data.chunks_exact(bundle.manifest.dim).zip(counts);
        let row = |(row, count): (&[f32], &u64)| {
            let signature = Signature::new(row.to_vec()).ok()?;
            (*count > 0).then_some(Prototype { signature, count: *count })
        };
        Some((attribute.name.clone(), rows.map(row).collect()))
    };
    bundle.manifest.attributes.iter().filter_map(of).collect()
}

/// Puts prototypes into a bundle: for each attribute, the running sums in the order of its labels.
pub fn store_prototypes(bundle: &mut Bundle, sums: &HashMap<String, Vec<SignatureSum>>) {
    let dim = bundle.manifest.dim;
    for (attribute, sums) in sums {
        let row = |sum: &SignatureSum| sum.prototype().map_or(vec![0.0; dim], Signature::into_values);
        let weights = Weights { shape: vec![sums.len(), dim], data: sums.iter().flat_map(row).collect() };
        bundle.tensors.insert(format!("prototypes.{attribute}"), weights);
        let counts = sums.iter().map(SignatureSum::count).collect();
        bundle.manifest.prototype_counts.insert(attribute.clone(), counts);
    }
}

#[cfg(test)]
mod tests;
