//! Prototypes of a column's labels, kept up to date as items come and go.

use lapel_heads::{
    Attribute, Head, Labels, Signature, SignatureKind, SignatureSum, probabilities, prototype_weight,
};
use std::sync::Arc;

/// One running sum a label of each of the head's attributes.
#[derive(Clone)]
pub struct Prototypes {
    /// In the order of the head's attributes and labels.
    sums: Vec<Arc<Vec<SignatureSum>>>,
    attributes: Arc<Vec<Attribute>>,
    /// The power of probabilities in signatures that are made of them.
    exponent: Option<f32>,
}

/// A label's prototype as a query uses it.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelPrototype {
    /// Unit vector.
    pub signature: Signature,
    /// Items it is the mean of.
    pub count: u64,
    /// Whether they are the catalogue's; otherwise the head brought it from its training.
    pub from_catalogue: bool,
}

impl Prototypes {
    pub(super) fn new(head: &Head) -> Self {
        let attributes = head.manifest().attributes.clone();
        let empty = |a: &Attribute| Arc::new(vec![SignatureSum::new(head.dim()); a.labels.len()]);
        let exponent = head.manifest().signature == SignatureKind::Probabilities;
        let exponent = exponent.then_some(head.manifest().exponent);
        Self { sums: attributes.iter().map(empty).collect(), attributes: Arc::new(attributes), exponent }
    }

    pub(super) fn add(&mut self, labels: &Labels, signature: &[f32]) {
        let exponent = self.exponent;
        self.change(labels, |sum, label| sum.add_weighted(signature, weight(exponent, signature, label)));
    }

    pub(super) fn remove(&mut self, labels: &Labels, signature: &[f32]) {
        let exponent = self.exponent;
        self.change(labels, |sum, label| sum.remove_weighted(signature, weight(exponent, signature, label)));
    }

    fn change(&mut self, labels: &Labels, change: impl Fn(&mut SignatureSum, usize)) {
        for (attribute, sums) in self.attributes.iter().zip(&mut self.sums) {
            let label = labels.get(&attribute.name);
            if let Some(at) = label.and_then(|l| attribute.labels.iter().position(|known| known == l)) {
                change(&mut Arc::make_mut(sums)[at], at);
            }
        }
    }

    /// The sum behind a label's prototype.
    #[must_use]
    pub fn sum(&self, attribute: &str, label: &str) -> Option<&SignatureSum> {
        let of = self.attributes.iter().position(|a| a.name == attribute)?;
        let at = self.attributes[of].labels.iter().position(|l| l == label)?;
        self.sums[of].get(at)
    }

    /// A label's prototype: the catalogue's when at least `items_min` of its items carry the label, the one
    /// that `head` brought otherwise, or else the catalogue's from however few there are.
    #[must_use]
    pub fn prototype(
        &self,
        head: &Head,
        attribute: &str,
        label: &str,
        items_min: u64,
    ) -> Option<LabelPrototype> {
        let own = self.sum(attribute, label).and_then(|sum| {
            let signature = sum.prototype()?;
            Some(LabelPrototype { signature, count: sum.count(), from_catalogue: true })
        });
        let brought = || {
            let p = head.prototype(attribute, label)?;
            Some(LabelPrototype { signature: p.signature.clone(), count: p.count, from_catalogue: false })
        };
        own.clone().filter(|p| p.count >= items_min).or_else(brought).or(own)
    }
}

/// How much a signature counts in a label's prototype: by the probability in it, where it is made of probabilities.
fn weight(exponent: Option<f32>, signature: &[f32], label: usize) -> f32 {
    let probability = |exponent| probabilities(signature, exponent).get(label).copied();
    exponent.and_then(probability).map_or(1.0, prototype_weight)
}
