//! What a bundle says about the head inside it.

use crate::region::Region;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Version of the bundle format written by this code.
pub const FORMAT: u32 = 1;

/// Bounds on a manifest, so that a bundle cannot ask for absurd amounts of memory.
const DIM_MAX: usize = 1024;
const HIDDEN_MAX: usize = 8192;
const LABELS_MAX: usize = 1000;
const ATTRIBUTES_MAX: usize = 64;
const NAME_LEN_MAX: usize = 64;
/// Bytes: answers of a server list the heads with their descriptions.
const DESCRIPTION_BYTES_MAX: usize = 1024;
const WEIGHT_MAX: f32 = 100.0;
const CONFIDENCE_MAX: f32 = 4.0;
/// Beyond them a signature in half precision would not tell its probabilities any more.
const EXPONENTS: std::ops::RangeInclusive<f32> = 0.25..=1.0;

/// Probability from which on a prediction counts as known where the bundle does not say.
const THRESHOLD: f32 = 0.5;

/// Where a head's signatures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadKind {
    /// Computed by the bundle's layers from the backbone's feature map.
    Network,
    /// Computed elsewhere; they come with the items. Bundles may bring classifiers of them.
    External,
}

/// What a network head's signature is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureKind {
    /// fc7's output, of unit length (section 4.2).
    #[default]
    Layer,
    /// The probabilities of its one attribute's labels, each to the power of [`Manifest::exponent`], of unit length. With
    /// the exponent 0.5 their distance is Hellinger's between the two distributions, times the root of 2. A doubtful picture
    /// is near to all of its likely labels, the more so the lower the exponent, and a label's prototype is what the items
    /// that carry it look like.
    Probabilities,
}

impl SignatureKind {
    /// Serde asks by reference.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn is_layer(&self) -> bool {
        *self == Self::Layer
    }
}

/// An attribute and its labels, in the order of the classifier's outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// The attribute, e.g. `collar`.
    pub name: String,
    /// Its labels, e.g. `mandarin`.
    pub labels: Vec<String>,
}

/// The manifest of a head, kept as JSON in the bundle's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Bundle format, [`FORMAT`].
    pub format: u32,
    /// The head's name; one head of a name serves at a time.
    pub name: String,
    /// Network or external.
    pub kind: HeadKind,
    /// Fingerprint of the backbone it was trained on; a network head must name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone: Option<String>,
    /// The region its signature is pooled from; of an external head, the one that a garment must have for its classifiers
    /// to be asked.
    #[serde(default = "whole")]
    pub region: Region,
    /// Whether the head reads the whole map beside its region.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub context: bool,
    /// The backbone's vectors that it reads, in this order; empty where the backbone gives a map.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// What its signature is.
    #[serde(default, skip_serializing_if = "SignatureKind::is_layer")]
    pub signature: SignatureKind,
    /// Whether an ONNX graph in the bundle takes the place of fc6 and fc7, or of the classifier of probabilities.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub graph: bool,
    /// The power of probabilities in the signature, where that is what it is made of.
    #[serde(default = "half", skip_serializing_if = "is_half")]
    pub exponent: f32,
    /// The head's weight in a search that gives no weights.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f32,
    /// What that weight is multiplied by where one of the head's attributes is changed: what was asked for counts
    /// more than what was only there.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub changed_weight: f32,
    /// How far the weight follows the classifier's confidence in the query: where the head is not edited and no other
    /// weight is given for it, it is multiplied by p^`confidence`, p being the probability of the query's likeliest
    /// label. 0 leaves it as it is, as do several attributes and a missing classifier.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub confidence: f32,
    /// Outputs of fc6; 0 for an external head and where a graph takes its place.
    #[serde(default)]
    pub hidden: usize,
    /// Dimension of the signature (outputs of fc7).
    pub dim: usize,
    /// What the unit signature is multiplied by before the classifiers, also those of an external head.
    #[serde(default = "one")]
    pub scale: f32,
    /// The attributes it tells apart: one for a special head, several for the general one.
    pub attributes: Vec<Attribute>,
    /// For each output of the classifier the number of the label that it counts for, from 0: a label's probability is the
    /// sum of those of its outputs. Empty: one output for each label. Only where the signature is made of probabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<usize>,
    /// By attribute: how many training items each label's prototype is the mean of.
    #[serde(default)]
    pub prototype_counts: BTreeMap<String, Vec<u64>>,
    /// By attribute: for each label, in their order, the probability from which on a prediction of it counts as known,
    /// 0 to 1. For an attribute that is not here, one half; see [`Manifest::thresholds_of`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, Vec<f32>>,
    /// Free text of up to 1,024 bytes: what it was trained on.
    #[serde(default)]
    pub description: String,
}

fn whole() -> Region {
    Region::Whole
}

fn half() -> f32 {
    0.5
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_half(exponent: &f32) -> bool {
    *exponent == 0.5
}

fn one() -> f32 {
    1.0
}

/// Serde asks by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_one(weight: &f32) -> bool {
    *weight == 1.0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(exponent: &f32) -> bool {
    *exponent == 0.0
}

impl Manifest {
    /// The manifest of an external head: no network, signatures of dimension `dim` that come with the items.
    #[must_use]
    pub fn external(name: &str, dim: usize, attributes: Vec<Attribute>) -> Self {
        Self {
            format: FORMAT,
            name: name.to_owned(),
            kind: HeadKind::External,
            backbone: None,
            region: Region::Whole,
            context: false,
            inputs: Vec::new(),
            signature: SignatureKind::Layer,
            graph: false,
            exponent: half(),
            weight: 1.0,
            changed_weight: 1.0,
            confidence: 0.0,
            hidden: 0,
            dim,
            scale: 1.0,
            attributes,
            groups: Vec::new(),
            prototype_counts: BTreeMap::new(),
            thresholds: BTreeMap::new(),
            description: String::new(),
        }
    }

    /// Pooled regions that fc6 reads: its own, and with `context` the whole map beside it.
    #[must_use]
    pub fn parts(&self) -> usize {
        1 + usize::from(self.context)
    }

    /// Outputs of the classifier of an attribute.
    #[must_use]
    pub fn outputs_of(&self, attribute: &Attribute) -> usize {
        if self.groups.is_empty() { attribute.labels.len() } else { self.groups.len() }
    }

    /// The attribute of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|a| a.name == name)
    }

    /// For each label of an attribute, the probability from which on a prediction of it counts as known: the one rule for
    /// what Describe calls unsure, what a query is taken to show and which predictions meet an edit.
    #[must_use]
    pub fn thresholds_of(&self, attribute: &Attribute) -> Cow<'_, [f32]> {
        match self.thresholds.get(&attribute.name) {
            Some(own) => own.into(),
            None => vec![THRESHOLD; attribute.labels.len()].into(),
        }
    }

    /// Every fault at once, in words for whoever made the bundle; empty when it is sound.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |sound: bool, fault: String| {
            if !sound {
                faults.push(fault);
            }
        };
        check(self.format == FORMAT, format!("format is {}; this server reads format {FORMAT}", self.format));
        check(is_name(&self.name), name_fault("name", &self.name));
        let described = self.description.len();
        check(
            described <= DESCRIPTION_BYTES_MAX,
            format!("description has {described} bytes; at most {DESCRIPTION_BYTES_MAX} are accepted"),
        );
        check((1..=DIM_MAX).contains(&self.dim), format!("dim is {}; 1 to {DIM_MAX} is accepted", self.dim));
        check(
            !self.context || self.inputs.is_empty() && self.signature == SignatureKind::Layer,
            "context is true; only a head that reads a region of a map, and names no inputs, reads the whole map beside \
             it"
                .into(),
        );
        check(
            self.kind == HeadKind::Network || self.signature == SignatureKind::Layer,
            "signature is probabilities; an external head's signatures come with the items, so that it is layer"
                .into(),
        );
        check(
            self.kind == HeadKind::Network || !self.graph,
            "graph is true; an external head's signatures come with the items".into(),
        );
        if self.kind == HeadKind::Network {
            match self.signature {
                SignatureKind::Layer if self.graph => {
                    check(self.hidden == 0, format!("hidden is {}; with a graph it is 0", self.hidden));
                }
                SignatureKind::Layer => check(
                    (1..=HIDDEN_MAX).contains(&self.hidden),
                    format!("hidden is {}; 1 to {HIDDEN_MAX} is accepted", self.hidden),
                ),
                SignatureKind::Probabilities => check(
                    self.hidden == 0 && matches!(self.attributes.as_slice(), [one] if one.labels.len() == self.dim),
                    "signature is probabilities; hidden is 0 then, there is one attribute, and dim is the number of \
                     its labels"
                        .into(),
                ),
            }
            check(
                self.backbone.is_some(),
                "backbone is missing; a network head names the one it was trained on".into(),
            );
            check(!self.attributes.is_empty(), "attributes is empty; a network head has at least one".into());
        }
        check(
            self.attributes.len() <= ATTRIBUTES_MAX,
            format!("there are {} attributes; at most {ATTRIBUTES_MAX} are accepted", self.attributes.len()),
        );
        let names: BTreeSet<_> = self.attributes.iter().map(|a| &a.name).collect();
        check(names.len() == self.attributes.len(), "an attribute is named twice".into());
        faults.extend(self.number_faults());
        faults.extend(self.group_faults());
        for attribute in &self.attributes {
            faults.extend(self.attribute_faults(attribute));
        }
        let unknown = self.thresholds.keys().filter(|name| self.attribute(name).is_none());
        faults.extend(unknown.map(|name| format!("thresholds of {name:?}, which is none of the attributes")));
        faults
    }

    /// What is wrong with scale, weights and exponents.
    fn number_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |sound: bool, fault: String| {
            if !sound {
                faults.push(fault);
            }
        };
        check(
            self.scale.is_finite() && self.scale > 0.0,
            format!("scale is {}; a positive number is wanted", self.scale),
        );
        for (name, weight) in [("weight", self.weight), ("changed_weight", self.changed_weight)] {
            check(
                weight.is_finite() && (0.0..=WEIGHT_MAX).contains(&weight),
                format!("{name} is {weight}; 0 to {WEIGHT_MAX} is accepted"),
            );
        }
        check(
            (0.0..=CONFIDENCE_MAX).contains(&self.confidence),
            format!("confidence is {}; 0 to {CONFIDENCE_MAX} is accepted", self.confidence),
        );
        check(
            EXPONENTS.contains(&self.exponent),
            format!(
                "exponent is {}; {} to {} is accepted",
                self.exponent,
                EXPONENTS.start(),
                EXPONENTS.end()
            ),
        );
        faults
    }

    /// What is wrong with groups: the first fault of them.
    fn group_faults(&self) -> Option<String> {
        if self.groups.is_empty() {
            return None;
        }
        if self.signature != SignatureKind::Probabilities {
            return Some("groups is given; only outputs of the signature probabilities are grouped".into());
        }
        let (outputs, labels) = (self.groups.len(), self.attributes.first().map_or(0, |a| a.labels.len()));
        if outputs > LABELS_MAX {
            return Some(format!("groups has {outputs} numbers; at most {LABELS_MAX} are accepted"));
        }
        if let Some(odd) = self.groups.iter().find(|label| **label >= labels) {
            return Some(format!("groups has the number {odd}; the {labels} labels are counted from 0"));
        }
        let grouped: BTreeSet<_> = self.groups.iter().collect();
        let without = (0..labels).find(|label| !grouped.contains(label));
        without.map(|label| format!("groups has no output for label {label}, counted from 0"))
    }

    fn attribute_faults(&self, attribute: &Attribute) -> Vec<String> {
        let Attribute { name, labels } = attribute;
        let mut faults = Vec::new();
        if !is_name(name) {
            faults.push(name_fault("attribute", name));
        }
        if !(1..=LABELS_MAX).contains(&labels.len()) {
            faults.push(format!(
                "attribute {name} has {} labels; 1 to {LABELS_MAX} are accepted",
                labels.len()
            ));
        }
        faults.extend(labels.iter().filter(|l| !is_name(l)).map(|l| name_fault("label", l)));
        if labels.iter().collect::<BTreeSet<_>>().len() != labels.len() {
            faults.push(format!("attribute {name} has a label twice"));
        }
        if let Some(counts) = self.prototype_counts.get(name)
            && counts.len() != labels.len()
        {
            faults.push(format!(
                "prototype_counts of {name} has {} numbers for {} labels",
                counts.len(),
                labels.len()
            ));
        }
        let thresholds = self.thresholds.get(name);
        if let Some(thresholds) = thresholds.filter(|thresholds| thresholds.len() != labels.len()) {
            let found = thresholds.len();
            faults.push(format!("thresholds of {name} has {found} numbers for {} labels", labels.len()));
        }
        // NaN is in no range.
        let odd = thresholds.into_iter().flatten().filter(|threshold| !(0.0..=1.0).contains(*threshold));
        faults.extend(odd.map(|odd| format!("a threshold of {name} is {odd}; 0 to 1 is accepted")));
        faults
    }
}

/// Whether `name` can name a head, an attribute or a label: 1 to 64 visible characters or inner spaces.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let count = name.chars().count();
    (1..=NAME_LEN_MAX).contains(&count) && name.trim() == name && !name.chars().any(char::is_control)
}

fn name_fault(what: &str, name: &str) -> String {
    format!(
        "{what} {name:?} must have 1 to {NAME_LEN_MAX} characters, no control characters, no outer spaces"
    )
}

#[cfg(test)]
mod tests;
