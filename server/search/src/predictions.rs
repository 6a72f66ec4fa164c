//! The index of predicted labels: which slots a head sees which label in, and with what probability.
//!
//! Whoever computes predictions brings them. An attribute has an index from the moment that somebody asks for one; it is
//! whole once every item has been looked at, and is kept up to date from its beginning.

use crate::numbers::Numbers;
use crate::{BLOCK, Slot};
use lapel_values::Finite;
use roaring::RoaringBitmap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The likeliest label of an item, as a head sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Its place in the attribute's list of labels.
    pub label: u16,
    /// Its probability, 0 to 1.
    pub probability: f32,
    /// Whether the probability is not below the label's threshold.
    pub is_sure: bool,
}

/// Predictions of the attributes that were asked for. Cloning is cheap; what lies below is shared until it is written.
#[derive(Clone, Default)]
pub struct PredictionIndex {
    attributes: Vec<Arc<Predictions>>,
}

/// Predictions of one attribute: about 40 bytes an item, and the bitmaps of its labels.
#[derive(Clone)]
pub struct Predictions {
    attribute: String,
    /// The column whose signatures they are made from.
    column: Arc<str>,
    /// Labels in the head's order, and the slots that each is the likeliest of.
    labels: Vec<(String, Arc<RoaringBitmap>)>,
    /// Slots whose prediction is sure.
    sure: Arc<RoaringBitmap>,
    /// Slots that have a prediction.
    present: Arc<RoaringBitmap>,
    probabilities: Numbers,
    /// By block: what is to be taken out when a slot is written.
    by_slot: Vec<Arc<Vec<Option<Prediction>>>>,
    /// Slots that nobody has looked at since the index was begun.
    waiting: Arc<RoaringBitmap>,
}

impl PredictionIndex {
    /// Predictions of an attribute, whole or not; `None` where nobody asked for them.
    #[must_use]
    pub fn get(&self, attribute: &str) -> Option<&Predictions> {
        self.attributes.iter().find(|of| of.attribute == attribute).map(|of| &**of)
    }

    /// Attributes that were asked for.
    pub fn iter(&self) -> impl Iterator<Item = &Predictions> {
        self.attributes.iter().map(|of| &**of)
    }

    /// Begins the index of an attribute anew: labels in their head's order, the column whose signatures they are seen in,
    /// and the slots that are to be looked at.
    pub fn begin(&mut self, attribute: &str, column: &Arc<str>, labels: &[String], waiting: &RoaringBitmap) {
        self.attributes.retain(|of| of.attribute != attribute);
        let labels = labels.iter().map(|label| (label.clone(), Arc::default()));
        self.attributes.push(Arc::new(Predictions {
            attribute: attribute.to_owned(),
            column: column.clone(),
            labels: labels.collect(),
            sure: Arc::default(),
            present: Arc::default(),
            probabilities: Numbers::default(),
            by_slot: Vec::new(),
            waiting: Arc::new(waiting.clone()),
        }));
    }

    /// The head of an attribute has looked at the item in a slot, and sees this in it.
    pub fn set(&mut self, attribute: &str, slot: Slot, seen: Option<Prediction>) {
        if let Some(of) = self.attributes.iter_mut().find(|of| of.attribute == attribute) {
            replace(of, slot, seen);
        }
    }

    /// Keeps the predictions that are still wanted.
    pub fn retain(&mut self, is_wanted: impl Fn(&Predictions) -> bool) {
        self.attributes.retain(|of| is_wanted(of));
    }

    /// The slot holds no item any more.
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.attributes.iter_mut().for_each(|of| replace(of, slot, None));
    }

    /// The item of a slot has moved to a free one.
    pub(crate) fn shift(&mut self, (from, to): (Slot, Slot)) {
        for of in &mut self.attributes {
            let (seen, waits) = (of.at(from), of.waiting.contains(from));
            replace(of, from, None);
            replace(of, to, seen);
            if waits {
                Arc::make_mut(&mut Arc::make_mut(of).waiting).insert(to);
            }
        }
    }

    /// Drops the blocks behind so many.
    pub(crate) fn truncate(&mut self, blocks: usize) {
        for of in self.attributes.iter_mut().filter(|of| of.by_slot.len() > blocks) {
            Arc::make_mut(of).by_slot.truncate(blocks);
        }
    }

    /// Slots of the items whose likeliest label is one of these, with at least a probability or else surely. Nothing passes
    /// by an index that is not there or not whole.
    pub(crate) fn passing(&self, attribute: &str, any_of: &[String], least: Option<Finite>) -> RoaringBitmap {
        let whole = self.get(attribute).filter(|of| of.is_whole());
        whole.map(|of| of.passing(any_of, least)).unwrap_or_default()
    }
}

impl Predictions {
    /// The attribute.
    #[must_use]
    pub fn attribute(&self) -> &str {
        &self.attribute
    }

    /// The column whose signatures they are made from.
    #[must_use]
    pub fn column(&self) -> &str {
        &self.column
    }

    /// Slots of the items that are still to be looked at.
    #[must_use]
    pub fn waiting(&self) -> &RoaringBitmap {
        &self.waiting
    }

    /// Whether every item has been looked at.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What is seen in a slot.
    #[must_use]
    pub fn at(&self, slot: Slot) -> Option<Prediction> {
        *self.by_slot.get(slot as usize / BLOCK)?.get(slot as usize % BLOCK)?
    }

    fn passing(&self, any_of: &[String], least: Option<Finite>) -> RoaringBitmap {
        let asked: BTreeSet<&str> = any_of.iter().map(String::as_str).collect();
        let asked = self.labels.iter().filter(|(label, _)| asked.contains(label.as_str()));
        let seen = asked.fold(RoaringBitmap::new(), |any, (_, slots)| any | &**slots);
        match least {
            None => seen & &*self.sure,
            Some(least) => seen & self.probabilities.range(key(least.get()), u64::MAX, &self.present),
        }
    }

    fn take_out(&mut self, slot: Slot, seen: Prediction) {
        if let Some((_, slots)) = self.labels.get_mut(usize::from(seen.label)) {
            Arc::make_mut(slots).remove(slot);
        }
        if seen.is_sure {
            Arc::make_mut(&mut self.sure).remove(slot);
        }
        self.probabilities.remove(key(seen.probability.into()), slot);
    }

    fn put_in(&mut self, slot: Slot, seen: Prediction) {
        if let Some((_, slots)) = self.labels.get_mut(usize::from(seen.label)) {
            Arc::make_mut(slots).insert(slot);
        }
        if seen.is_sure {
            Arc::make_mut(&mut self.sure).insert(slot);
        }
        self.probabilities.insert(key(seen.probability.into()), slot);
    }

    fn write(&mut self, slot: Slot, seen: Option<Prediction>) {
        if seen.is_some() != self.present.contains(slot) {
            let present = Arc::make_mut(&mut self.present);
            if seen.is_some() {
                present.insert(slot)
            } else {
                present.remove(slot)
            };
        }
        let (block, at) = (slot as usize / BLOCK, slot as usize % BLOCK);
        while self.by_slot.len() <= block {
            self.by_slot.push(Arc::new(vec![None; BLOCK]));
        }
        if let Some(there) = self.by_slot.get_mut(block).and_then(|block| Arc::make_mut(block).get_mut(at)) {
            *there = seen;
        }
    }
}

/// The one place that changes an index; what stays as it is is not copied.
fn replace(of: &mut Arc<Predictions>, slot: Slot, seen: Option<Prediction>) {
    // What is no probability, or no label of the attribute, is no prediction.
    let is_sound =
        |seen: &Prediction| seen.probability.is_finite() && usize::from(seen.label) < of.labels.len();
    let seen = seen.filter(is_sound);
    let (before, waits) = (of.at(slot), of.waiting.contains(slot));
    if before == seen && !waits {
        return;
    }
    let of = Arc::make_mut(of);
    if waits {
        Arc::make_mut(&mut of.waiting).remove(slot);
    }
    if before == seen {
        return;
    }
    if let Some(before) = before {
        of.take_out(slot, before);
    }
    if let Some(seen) = seen {
        of.put_in(slot, seen);
    }
    of.write(slot, seen);
}

/// The key of a probability: numbers that are not negative are ordered as their bits.
fn key(probability: f64) -> u64 {
    // Minus zero plus zero is zero.
    (probability.max(0.0) + 0.0).to_bits()
}

#[cfg(test)]
mod tests;
