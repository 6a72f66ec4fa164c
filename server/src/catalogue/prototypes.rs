//! Prototypes of a column's labels, kept up to date as items come and go.

use super::item::Item;
use lapel_heads::{Attribute, Head, Manifest, Signature, SignatureSum};
use std::sync::Arc;

/// One running sum a label of each of the head's attributes.
#[derive(Clone)]
pub struct Prototypes {
    /// In the order of the head's attributes and labels.
    sums: Vec<Arc<Vec<SignatureSum>>>,
    manifest: Arc<Manifest>,
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
        let manifest = head.manifest();
        let empty = |a: &Attribute| Arc::new(vec![SignatureSum::new(head.dim()); a.labels.len()]);
        Self { sums: manifest.attributes.iter().map(empty).collect(), manifest: Arc::new(manifest.clone()) }
    }

    pub(super) fn add(&mut self, item: &Item, signature: &[f32]) {
        let manifest = self.manifest.clone();
        self.change(item, |sum, label| {
            sum.add_weighted(signature, manifest.prototype_weight(label, signature));
        });
    }

    pub(super) fn remove(&mut self, item: &Item, signature: &[f32]) {
        let manifest = self.manifest.clone();
        self.change(item, |sum, label| {
            sum.remove_weighted(signature, manifest.prototype_weight(label, signature));
        });
    }

    /// The sums, in the order of the head's attributes and labels.
    pub(super) fn sums(&self) -> Vec<Vec<SignatureSum>> {
        self.sums.iter().map(|sums| sums.to_vec()).collect()
    }

    /// The same with other sums; `None` where these are not of such a head.
    pub(super) fn with_sums(self, sums: Vec<Vec<SignatureSum>>) -> Option<Self> {
        let shape = |sums: &[SignatureSum]| sums.iter().map(SignatureSum::dim).collect::<Vec<_>>();
        let is_fit = sums.len() == self.sums.len()
            && sums.iter().zip(&self.sums).all(|(sums, empty)| shape(sums) == shape(empty));
        is_fit.then(|| Self { sums: sums.into_iter().map(Arc::new).collect(), ..self })
    }

    fn change(&mut self, item: &Item, change: impl Fn(&mut SignatureSum, usize)) {
        for (attribute, sums) in self.manifest.attributes.iter().zip(&mut self.sums) {
            let label = item.label(&attribute.name);
            if let Some(at) = label.and_then(|l| attribute.labels.iter().position(|known| known == l)) {
                change(&mut Arc::make_mut(sums)[at], at);
            }
        }
    }

    /// The sum behind a label's prototype.
    #[must_use]
    pub fn sum(&self, attribute: &str, label: &str) -> Option<&SignatureSum> {
        let of = self.manifest.attributes.iter().position(|a| a.name == attribute)?;
        let at = self.manifest.attributes[of].labels.iter().position(|l| l == label)?;
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
