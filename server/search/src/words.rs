//! Slots by word: the values of keyword and boolean fields.

use crate::Slot;
use crate::ordinals::Ordinals;
use crate::slots::SlotSet;
use hashbrown::HashMap;
use imbl::OrdMap;
use lapel_values::FieldValue;
use roaring::RoaringBitmap;
use std::borrow::Cow;
use std::sync::Arc;

/// Slots by word. Cloning is cheap; sets are shared until they are written.
#[derive(Clone, Default)]
pub(crate) struct Words {
    by_word: OrdMap<Arc<str>, SlotSet>,
    ordinals: Ordinals,
}

impl Words {
    /// The index of words and their slots, ascending.
    pub(crate) fn of(gathered: HashMap<Arc<str>, Vec<Slot>>) -> Self {
        let set = |(word, slots): (Arc<str>, Vec<Slot>)| Some((word, SlotSet::of(&slots)?));
        let entries = gathered.values().map(|slots| slots.len() as u64).sum();
        let mut words =
            Self { by_word: gathered.into_iter().filter_map(set).collect(), ordinals: Ordinals::default() };
        words.make_ordinals(entries);
        words
    }

    fn make_ordinals(&mut self, entries: u64) {
        let sets = self.by_word.iter().map(|(word, slots)| (&**word, slots.iter()));
        self.ordinals.make(sets, entries);
    }

    /// Which word each slot has, where that is kept.
    pub(crate) fn ordinals(&self) -> &Ordinals {
        &self.ordinals
    }

    /// Words and the slots that have them, by word.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &SlotSet)> {
        self.by_word.iter().map(|(word, slots)| (&**word, slots))
    }

    /// The item in a slot had a value, and has another.
    pub(crate) fn replace(&mut self, slot: Slot, before: Option<&FieldValue>, after: Option<&FieldValue>) {
        let (before, after) = (before.map_or_else(Vec::new, words), after.map_or_else(Vec::new, words));
        for word in before.into_iter().filter(|word| after.binary_search(word).is_err()) {
            self.remove(slot, word);
        }
        for word in after {
            self.insert(slot, word);
        }
    }

    fn insert(&mut self, slot: Slot, word: &str) {
        let known = self.by_word.get(word).map(|slots| slots.contains(slot));
        match known {
            Some(true) => return,
            Some(false) => {
                if let Some(slots) = self.by_word.get_mut(word) {
                    slots.insert(slot);
                }
            }
            None => {
                self.by_word.insert(word.into(), SlotSet::One(slot));
            }
        }
        self.ordinals.insert(slot, word);
        if self.ordinals.is_due() {
            self.make_ordinals(self.ordinals.entries());
        }
    }

    /// A word that nothing has is forgotten.
    fn remove(&mut self, slot: Slot, word: &str) {
        if !self.by_word.get(word).is_some_and(|slots| slots.contains(slot)) {
            return;
        }
        self.ordinals.remove(slot);
        if self.by_word.get_mut(word).is_some_and(|slots| !slots.remove(slot)) {
            self.by_word.remove(word);
        }
    }

    /// Slots of the items that have one of these words.
    pub(crate) fn carrying_any<'w>(&self, words: impl Iterator<Item = &'w str>) -> Cow<'_, RoaringBitmap> {
        let (mut few, mut many): (Vec<Slot>, Vec<&RoaringBitmap>) = (Vec::new(), Vec::new());
        for word in words {
            match self.by_word.get(word) {
                Some(SlotSet::Many(slots)) => many.push(slots),
                Some(slots @ (SlotSet::One(_) | SlotSet::Few(_))) => few.extend_from_slice(slots.listed()),
                None => {}
            }
        }
        if let ([], [slots]) = (few.as_slice(), many.as_slice()) {
            return Cow::Borrowed(*slots);
        }
        few.sort_unstable();
        let few: RoaringBitmap = few.into_iter().collect();
        Cow::Owned(many.into_iter().fold(few, |any, slots| any | slots))
    }
}

/// The words of a value, ascending; none of a number.
pub(crate) fn words(value: &FieldValue) -> Vec<&str> {
    match value {
        FieldValue::Keyword(word) => vec![word.as_str()],
        FieldValue::Keywords(words) => words.iter().map(String::as_str).collect(),
        FieldValue::Boolean(is) => vec![if *is { "true" } else { "false" }],
        FieldValue::Integer(_) | FieldValue::Number(_) | FieldValue::Timestamp(_) => Vec::new(),
    }
}
