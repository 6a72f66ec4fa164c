//! Predicted labels, as filters ask for them: nothing is computed before somebody asks for an attribute's, then all items
//! are looked at, and from there on every write is followed.

use super::Snapshot;
use crate::catalogue::column::Column;
use crate::catalogue::item::Item;
use crate::catalogue::items::Write;
use crate::catalogue::seen::seen;
use crate::store::SignatureChange;
use lapel_heads::Attribute;
use lapel_search::{Prediction, Predictions, Slot};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Fewer slots than these are looked at in place: handing them over to other threads takes longer.
const SHARED_MIN: usize = 64;

impl Snapshot {
    /// The column of the active head that predicts an attribute, and the attribute.
    #[must_use]
    pub fn predicting(&self, attribute: &str) -> Option<(&Column, &Attribute)> {
        self.active.iter().find_map(|column| {
            let known = column.head().manifest().attribute(attribute)?;
            column.head().predicts(attribute).then_some((column, known))
        })
    }

    /// Whether a head predicts an attribute, and not every item has been looked at.
    #[must_use]
    pub fn lacks_predictions(&self, attribute: &str) -> bool {
        let of = self.signatures.items().predictions().get(attribute);
        !of.is_some_and(Predictions::is_whole) && self.predicting(attribute).is_some()
    }

    /// Has the head of an attribute look at up to `most` items that it has not looked at yet.
    pub fn predict(&mut self, attribute: &str, most: usize) {
        let Some((column, known)) = self.predicting(attribute) else { return };
        let (key, labels) = (column.key().clone(), known.labels.clone());
        if self.signatures.items().predictions().get(attribute).is_none() {
            let live = self.signatures.items().live().clone();
            self.signatures.predictions_mut().begin(attribute, &key, &labels, &live);
        }
        let of = self.signatures.items().predictions().get(attribute);
        let waiting: Vec<Slot> = of.into_iter().flat_map(|of| of.waiting().iter()).take(most).collect();
        self.look_at(attribute, waiting);
    }

    /// Follows writes of items, once their signatures are in place.
    pub(super) fn follow_writes(&mut self, writes: &[Write<'_>]) {
        for (attribute, key) in self.predicted() {
            let case = |item: &Option<Arc<Item>>| item.as_ref().and_then(|item| item.parts_case());
            let is_seen_anew = |write: &&Write<'_>| match write.change.signature(&key) {
                SignatureChange::Becomes(_) => true,
                SignatureChange::Stays => case(&write.old) != case(&write.new),
            };
            let anew: BTreeSet<&str> = writes.iter().filter(is_seen_anew).map(|write| &*write.id).collect();
            // What is deleted has left the index with its slot.
            let slots = anew.into_iter().filter_map(|id| self.signatures.items().slot(id)).collect();
            self.look_at(&attribute, slots);
        }
    }

    /// Follows a signature that was added to the item in a slot.
    pub(super) fn follow_signature(&mut self, key: &str, slot: Slot) {
        for (attribute, _) in self.predicted().into_iter().filter(|(_, column)| column == key) {
            self.look_at(&attribute, vec![slot]);
        }
    }

    /// Forgets predictions of heads that do not serve any more; those of the heads in their place are made when they are
    /// asked for.
    pub(super) fn drop_stale_predictions(&mut self) {
        let is_stale = |(attribute, key): &(String, String)| {
            self.predicting(attribute).is_none_or(|(column, _)| **column.key() != **key)
        };
        let stale: Vec<(String, String)> = self.predicted().into_iter().filter(is_stale).collect();
        if !stale.is_empty() {
            let is_kept = |of: &Predictions| stale.iter().all(|(attribute, _)| attribute != of.attribute());
            self.signatures.predictions_mut().retain(is_kept);
        }
    }

    /// Attributes that were asked for, and the keys of the columns that they are seen in.
    fn predicted(&self) -> Vec<(String, String)> {
        let all = self.signatures.items().predictions().iter();
        all.map(|of| (of.attribute().to_owned(), of.column().to_owned())).collect()
    }

    fn look_at(&mut self, attribute: &str, slots: Vec<Slot>) {
        let Some((column, known)) = self.predicting(attribute) else { return };
        let look = |slot: Slot| (slot, self.prediction(column, known, slot));
        let seen: Vec<(Slot, Option<Prediction>)> = if slots.len() < SHARED_MIN {
            slots.into_iter().map(look).collect()
        } else {
            slots.into_par_iter().map(look).collect()
        };
        for (slot, seen) in seen {
            self.signatures.predictions_mut().set(attribute, slot, seen);
        }
    }

    /// What a head sees in a slot.
    fn prediction(&self, column: &Column, attribute: &Attribute, slot: Slot) -> Option<Prediction> {
        let case = self.records.get(slot)?.parts_case().map(crate::cases::of);
        let signature = self.signatures.column(column.key())?.get(slot)?;
        let seen = seen(column.head(), attribute, &signature, case)?;
        let label = attribute.labels.iter().position(|label| *label == seen.label)?;
        let label = u16::try_from(label).ok()?;
        Some(Prediction { label, probability: seen.probability, is_sure: !seen.unsure })
    }
}

#[cfg(test)]
mod tests;
