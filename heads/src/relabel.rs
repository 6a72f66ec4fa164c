//! The next version of a head with other labels: renamed, merged and retired by arithmetic on its bundle, without training.
//!
//! Of a head whose signature is made of probabilities a retired label's outputs are dropped, so that the softmax over the
//! rest shares its probability among the others in proportion; the probability of a merged label is the sum of those of the
//! labels that it was merged from ([`Manifest::groups`]), exactly. What is renamed computes what it did.

use crate::bundle::{Bundle, Weights};
use crate::manifest::{Attribute, HeadKind, Manifest, SignatureKind, is_name};
use crate::signature::{Signature, probabilities};
use std::collections::HashSet;

/// One change of an attribute's labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelChange {
    /// A label gets another name.
    Rename {
        /// The label.
        from: String,
        /// Its new name.
        to: String,
    },
    /// Labels become one, in the place of the first of them in the head's order.
    Merge {
        /// The labels, two or more.
        from: Vec<String>,
        /// The one that they become: a new name, or one of them.
        into: String,
    },
    /// A label is told no more.
    Retire {
        /// The label.
        label: String,
    },
}

/// What is wrong with one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFault {
    /// Which change, from 0; `None`: all of them together.
    pub change: Option<usize>,
    /// The part of the change, e.g. `rename.from`; empty where it is about all of them.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
}

/// Why labels cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelabelError {
    /// The head has no such attribute.
    #[error("the head has no attribute {0:?}")]
    Attribute(String),
    /// Its signature is a layer's output, which its classifier was trained with.
    #[error("the signature of the head is the output of a layer, which was trained with its labels")]
    Layer,
    /// Its logits are a graph's, which has as many as it was made with.
    #[error("the logits of the head are a graph's, none of which can be dropped")]
    Graph,
    /// A tensor is missing or of another shape than the manifest's.
    #[error("the bundle's tensors are not those of its manifest")]
    Tensors,
    /// The changes contradict the labels, or each other.
    #[error("{} of the changes cannot be made", .0.len())]
    Changes(Vec<LabelFault>),
}

/// The bundle of the next version, whose labels of an attribute are changed. All changes are of the labels that there are:
/// none builds on another.
///
/// # Errors
/// [`RelabelError`], with all faults of the changes at once.
pub fn relabel(bundle: &Bundle, attribute: &str, changes: &[LabelChange]) -> Result<Bundle, RelabelError> {
    let of_probabilities = bundle.manifest.signature == SignatureKind::Probabilities;
    let place = bundle.manifest.attributes.iter().position(|a| a.name == attribute);
    let place = place.ok_or_else(|| RelabelError::Attribute(attribute.to_owned()))?;
    if bundle.manifest.kind == HeadKind::Network && !of_probabilities {
        return Err(RelabelError::Layer);
    }
    let Some(Attribute { name, labels }) = bundle.manifest.attributes.get(place) else {
        return Err(RelabelError::Attribute(attribute.to_owned()));
    };
    let plan = Plan::new(labels, changes).map_err(RelabelError::Changes)?;
    let mut next = bundle.clone();
    if plan.labels.len() < labels.len() {
        if bundle.manifest.graph && plan.places.iter().any(Option::is_none) {
            return Err(RelabelError::Graph);
        }
        if of_probabilities {
            regroup(&mut next, name, &plan).ok_or(RelabelError::Tensors)?;
        }
        move_prototypes(&mut next, (name, labels.len()), &plan).ok_or(RelabelError::Tensors)?;
        move_thresholds(&mut next.manifest, name, &plan);
    }
    if let Some(changed) = next.manifest.attributes.get_mut(place) {
        changed.labels = plan.labels;
    }
    Ok(next)
}

/// What becomes of the labels.
struct Plan {
    /// The new labels.
    labels: Vec<String>,
    /// For each old label, the place of its new one; `None` for one that is retired.
    places: Vec<Option<usize>>,
}

impl Plan {
    fn new(labels: &[String], changes: &[LabelChange]) -> Result<Self, Vec<LabelFault>> {
        let mut draft = Draft {
            labels,
            names: labels.iter().cloned().map(Some).collect(),
            touched: HashSet::new(),
            given: HashSet::new(),
            faults: Vec::new(),
        };
        let named: usize = changes.iter().map(LabelChange::count).sum();
        if changes.is_empty() {
            draft.refuse_all("there are none; rename, merge or retire a label".to_owned());
        } else if named > labels.len() {
            // Some label is named twice or is none; they are not looked for, however many there are.
            draft.refuse_all(format!("they name {named} labels; the head has {}", labels.len()));
        } else {
            changes.iter().enumerate().for_each(|(at, change)| draft.change(at, change));
        }
        let Draft { names, mut faults, .. } = draft;
        let mut new: Vec<String> = Vec::new();
        let mut place = |name: String| {
            new.iter().position(|other| *other == name).unwrap_or_else(|| {
                new.push(name);
                new.len() - 1
            })
        };
        let places: Vec<Option<usize>> = names.into_iter().map(|name| name.map(&mut place)).collect();
        if faults.is_empty() && new.len() < labels.len().min(2) {
            let description =
                "fewer than two labels would be left; retire the head in place of them".to_owned();
            faults.push(LabelFault { change: None, field: String::new(), description });
        }
        if faults.is_empty() { Ok(Self { labels: new, places }) } else { Err(faults) }
    }
}

impl LabelChange {
    /// How many labels it changes.
    fn count(&self) -> usize {
        match self {
            Self::Rename { .. } | Self::Retire { .. } => 1,
            Self::Merge { from, into: _ } => from.len().max(1),
        }
    }
}

/// Changes while they are gathered.
struct Draft<'a> {
    labels: &'a [String],
    /// For each old label its new one.
    names: Vec<Option<String>>,
    /// Places of labels that are changed.
    touched: HashSet<usize>,
    /// New names.
    given: HashSet<&'a str>,
    faults: Vec<LabelFault>,
}

impl<'a> Draft<'a> {
    fn change(&mut self, at: usize, change: &'a LabelChange) {
        match change {
            LabelChange::Rename { from, to } => {
                self.name(at, "rename.to", to, &[]);
                self.take((at, "rename.from"), from, Some(to));
            }
            LabelChange::Merge { from, into } => {
                if from.len() < 2 {
                    self.refuse(at, "merge.from", "two or more labels are merged; name them all".to_owned());
                }
                self.name(at, "merge.into", into, from);
                for (number, label) in from.iter().enumerate() {
                    let field = format!("merge.from[{number}]");
                    self.take((at, field.as_str()), label, Some(into));
                }
            }
            LabelChange::Retire { label } => self.take((at, "retire"), label, None),
        }
    }

    /// Gives an old label its new name, or none.
    fn take(&mut self, (at, field): (usize, &str), label: &str, to: Option<&String>) {
        let Some(place) = self.labels.iter().position(|other| other == label) else {
            return self.refuse(at, field, format!("there is no label {label:?}"));
        };
        if !self.touched.insert(place) {
            return self.refuse(at, field, format!("label {label:?} is changed twice"));
        }
        if let Some(name) = self.names.get_mut(place) {
            *name = to.cloned();
        }
    }

    /// Checks a new name. One that a label has is taken, also where that label gets another in the same request: whoever
    /// relabels items then could not tell old ones from new ones.
    fn name(&mut self, at: usize, field: &str, name: &'a str, own: &[String]) {
        if !is_name(name) {
            let wanted = "a label has 1 to 64 characters, no control characters, no outer spaces";
            self.refuse(at, field, wanted.to_owned());
        } else if self.labels.iter().any(|label| label == name) && !own.iter().any(|label| label == name) {
            let wanted = format!("there is a label {name:?} already; merge them, or choose another name");
            self.refuse(at, field, wanted);
        } else if !self.given.insert(name) {
            self.refuse(at, field, format!("two changes lead to {name:?}; merge the labels in one"));
        }
    }

    fn refuse(&mut self, at: usize, field: &str, description: String) {
        self.faults.push(LabelFault { change: Some(at), field: field.to_owned(), description });
    }

    fn refuse_all(&mut self, description: String) {
        self.faults.push(LabelFault { change: None, field: String::new(), description });
    }
}

/// Drops the outputs of retired labels, and has the others count for the new ones.
fn regroup(bundle: &mut Bundle, attribute: &str, plan: &Plan) -> Option<()> {
    let groups = &bundle.manifest.groups;
    let old: Vec<usize> = if groups.is_empty() { (0..plan.places.len()).collect() } else { groups.clone() };
    let new: Vec<Option<usize>> =
        old.iter().map(|label| plan.places.get(*label).copied().flatten()).collect();
    // A graph keeps its outputs.
    let parts: &[&str] = if bundle.manifest.graph { &[] } else { &["weight", "bias"] };
    for part in parts {
        let Weights { shape, data } = bundle.tensors.get_mut(&format!("classifier.{attribute}.{part}"))?;
        let outputs = shape.first_mut().filter(|outputs| **outputs == new.len() && !data.is_empty())?;
        let rows = data.chunks_exact(data.len() / *outputs).zip(&new);
        let kept: Vec<f32> =
            rows.filter(|(_, label)| label.is_some()).flat_map(|(row, _)| row.iter().copied()).collect();
        *outputs = new.iter().flatten().count();
        *data = kept;
    }
    let groups: Vec<usize> = new.into_iter().flatten().collect();
    let one_each = groups.iter().copied().eq(0..plan.labels.len());
    bundle.manifest.groups = if one_each { Vec::new() } else { groups };
    bundle.manifest.dim = plan.labels.len();
    Some(())
}

/// The prototypes of the new labels: of a merged one the mean of what its labels had, by their examples.
fn move_prototypes(bundle: &mut Bundle, (attribute, count): (&str, usize), plan: &Plan) -> Option<()> {
    let counts = bundle.manifest.prototype_counts.get(attribute).cloned();
    if let Some(counts) = &counts {
        let mut sums = vec![0u64; plan.labels.len()];
        for (count, place) in counts.iter().zip(&plan.places) {
            if let Some(sum) = place.and_then(|place| sums.get_mut(place)) {
                *sum = sum.saturating_add(*count);
            }
        }
        bundle.manifest.prototype_counts.insert(attribute.to_owned(), sums);
    }
    let Some(Weights { shape, data }) = bundle.tensors.get_mut(&format!("prototypes.{attribute}")) else {
        return Some(());
    };
    if shape.first() != Some(&count) || data.is_empty() {
        return None;
    }
    // `regroup` has set the dimension.
    let (manifest, counts) = (&bundle.manifest, counts.unwrap_or_else(|| vec![1; count]));
    let mut sums = vec![vec![0.0f64; manifest.dim]; plan.labels.len()];
    for ((row, place), count) in data.chunks_exact(data.len() / count).zip(&plan.places).zip(&counts) {
        let sum = place.and_then(|place| sums.get_mut(place));
        let (Some(sum), Some(moved)) = (sum, moved(row, manifest, plan)) else { continue };
        sum.iter_mut().zip(moved.values()).for_each(|(sum, value)| *sum += *count as f64 * f64::from(*value));
    }
    let mean = |sum: Vec<f64>| {
        let mean = Signature::new(sum.into_iter().map(|value| value as f32).collect());
        // A row without a direction is no prototype.
        mean.map_or_else(|_| vec![0.0; manifest.dim], Signature::into_values)
    };
    *shape = vec![plan.labels.len(), manifest.dim];
    *data = sums.into_iter().flat_map(mean).collect();
    Some(())
}

/// A signature of the old labels as one of the new ones; `None` where nothing is left of it.
fn moved(row: &[f32], manifest: &Manifest, plan: &Plan) -> Option<Signature> {
    let old = Signature::new(row.to_vec()).ok()?;
    match manifest.signature {
        SignatureKind::Layer => Some(old),
        SignatureKind::Probabilities => {
            let mut sums = vec![0.0f32; plan.labels.len()];
            for (probability, place) in
                probabilities(old.values(), manifest.exponent).iter().zip(&plan.places)
            {
                if let Some(sum) = place.and_then(|place| sums.get_mut(place)) {
                    *sum += probability;
                }
            }
            Signature::new(sums.into_iter().map(|sum| sum.powf(manifest.exponent)).collect()).ok()
        }
    }
}

/// Of a merged label the lowest threshold: its probability is at least that of each of its labels, so that what was known
/// stays known.
fn move_thresholds(manifest: &mut Manifest, attribute: &str, plan: &Plan) {
    let Some(thresholds) = manifest.thresholds.get_mut(attribute) else { return };
    let mut lowest = vec![1.0f32; plan.labels.len()];
    for (threshold, place) in thresholds.iter().zip(&plan.places) {
        if let Some(least) = place.and_then(|place| lowest.get_mut(place)) {
            *least = least.min(*threshold);
        }
    }
    *thresholds = lowest;
}

#[cfg(test)]
mod tests;
