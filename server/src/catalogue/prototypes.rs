//! Prototypes of a column's labels, kept up to date as items come and go.

use lapel_heads::{Attribute, Head, Labels, Signature, SignatureSum};
use std::sync::Arc;

/// One running sum a label of each of the head's attributes.
#[derive(Clone)]
pub struct Prototypes {
    /// In the order of the head's attributes and labels.
    sums: Vec<Arc<Vec<SignatureSum>>>,
    attributes: Arc<Vec<Attribute>>,
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
        Self { sums: attributes.iter().map(empty).collect(), attributes: Arc::new(attributes) }
    }

    pub(super) fn add(&mut self, labels: &Labels, signature: &[f32]) {
        self.change(labels, |sum| sum.add(signature));
    }

    pub(super) fn remove(&mut self, labels: &Labels, signature: &[f32]) {
        self.change(labels, |sum| sum.remove(signature));
    }

    fn change(&mut self, labels: &Labels, change: impl Fn(&mut SignatureSum)) {
        for (attribute, sums) in self.attributes.iter().zip(&mut self.sums) {
            let label = labels.get(&attribute.name);
            if let Some(at) = label.and_then(|l| attribute.labels.iter().position(|known| known == l)) {
                change(&mut Arc::make_mut(sums)[at]);
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
