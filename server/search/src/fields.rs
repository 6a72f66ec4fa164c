//! The secondary index of fields: which slots have a value of a field, and which one.

use crate::Slot;
use crate::numbers::{self, Numbers};
use crate::words::{Words, words};
use hashbrown::HashMap;
use imbl::OrdMap;
use lapel_values::{FieldKind, FieldValue, Fields};
use roaring::RoaringBitmap;
use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;

/// Slots by field and value. Cloning is cheap; what lies below is shared until it is written.
///
/// A field is there while an item has a value of it, and its kind is that of the first one. A value of another kind, which
/// only a damaged catalogue has, is not indexed.
#[derive(Clone, Default)]
pub struct FieldIndex {
    by_field: OrdMap<String, FieldSlots>,
}

/// Slots of one field.
#[derive(Clone)]
pub(crate) struct FieldSlots {
    kind: FieldKind,
    present: Arc<RoaringBitmap>,
    values: Values,
}

/// Slots by value.
#[derive(Clone)]
pub(crate) enum Values {
    Words(Words),
    Numbers(Numbers),
}

/// What many items have, by ascending slot.
#[derive(Default)]
pub(crate) struct GatheredFields {
    by_field: HashMap<String, Gathered>,
}

/// What many items have of one field.
struct Gathered {
    kind: FieldKind,
    present: RoaringBitmap,
    by_word: HashMap<Arc<str>, Vec<Slot>>,
    numbers: Vec<(u64, Slot)>,
}

impl GatheredFields {
    /// Takes in an item, whose slot is behind those of the items before it.
    pub(crate) fn add(&mut self, slot: Slot, fields: &[(&str, FieldValue)]) {
        for (field, value) in fields {
            let of_field = self.by_field.entry_ref(*field);
            of_field.or_insert_with(|| Gathered::new(value.kind())).add(slot, value);
        }
    }

    /// The index of all of them.
    pub(crate) fn into_index(self) -> FieldIndex {
        let of_field = |(field, gathered): (String, Gathered)| (field, gathered.into_slots());
        FieldIndex { by_field: self.by_field.into_iter().map(of_field).collect() }
    }
}

impl FieldIndex {
    /// The kind of a field; `None` where no item has a value.
    #[must_use]
    pub fn kind(&self, field: &str) -> Option<FieldKind> {
        self.get(field).map(|slots| slots.kind)
    }

    /// Fields by name, their kinds and how many items have a value.
    pub fn iter(&self) -> impl Iterator<Item = (&String, FieldKind, u64)> {
        self.by_field.iter().map(|(field, slots)| (field, slots.kind, slots.present.len()))
    }

    pub(crate) fn get(&self, field: &str) -> Option<&FieldSlots> {
        self.by_field.get(field)
    }

    /// The one place that changes the index: the item in a slot had the values `before` and has those of `after`.
    pub(crate) fn replace(&mut self, slot: Slot, before: Option<&Fields>, after: Option<&Fields>) {
        for (field, value) in before.into_iter().flatten() {
            let next = after.and_then(|after| after.get(field));
            if next != Some(value) {
                self.replace_value(slot, field, Some(value), next);
            }
        }
        for (field, value) in after.into_iter().flatten() {
            if before.is_none_or(|before| !before.contains_key(field)) {
                self.replace_value(slot, field, None, Some(value));
            }
        }
    }

    fn replace_value(
        &mut self,
        slot: Slot,
        field: &str,
        before: Option<&FieldValue>,
        after: Option<&FieldValue>,
    ) {
        if let Some(slots) = self.by_field.get_mut(field) {
            slots.replace(slot, before, after);
            if !slots.present.is_empty() {
                return;
            }
            self.by_field.remove(field);
        }
        if let Some(after) = after {
            let mut slots = Gathered::new(after.kind());
            slots.add(slot, after);
            self.by_field.insert(field.to_owned(), slots.into_slots());
        }
    }
}

impl FieldSlots {
    pub(crate) fn kind(&self) -> FieldKind {
        self.kind
    }

    /// Slots that have a value.
    pub(crate) fn present(&self) -> &RoaringBitmap {
        &self.present
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    fn replace(&mut self, slot: Slot, before: Option<&FieldValue>, after: Option<&FieldValue>) {
        let kind = self.kind;
        let before = before.filter(|value| value.kind() == kind);
        let after = after.filter(|value| value.kind() == kind);
        match &mut self.values {
            Values::Words(words) => words.replace(slot, before, after),
            Values::Numbers(numbers) => {
                if let Some(key) = before.and_then(numbers::key) {
                    numbers.remove(key, slot);
                }
                if let Some(key) = after.and_then(numbers::key) {
                    numbers.insert(key, slot);
                }
            }
        }
        // Most writes replace a value: the bitmap, which a snapshot shares, is not copied for them.
        if after.is_some() != self.present.contains(slot) {
            let present = Arc::make_mut(&mut self.present);
            if after.is_some() {
                present.insert(slot)
            } else {
                present.remove(slot)
            };
        }
    }

    /// Slots whose value is one of these or, of several keywords, among whose values one of these is.
    pub(crate) fn any_of(&self, values: &[FieldValue]) -> Cow<'_, RoaringBitmap> {
        let asked = self.kind.asked();
        let values = values.iter().filter(move |value| value.kind() == asked);
        match &self.values {
            Values::Words(of) => of.carrying_any(values.flat_map(words)),
            Values::Numbers(of) => Cow::Owned(of.any_of(values.filter_map(numbers::key), &self.present)),
        }
    }

    /// Slots whose value lies within.
    pub(crate) fn range(&self, from: &Bound<FieldValue>, to: &Bound<FieldValue>) -> RoaringBitmap {
        let within = self.within(from, to);
        within.map_or_else(RoaringBitmap::new, |(numbers, from, to)| numbers.range(from, to, &self.present))
    }

    /// How many slots that is; it costs a look at each leaf of their values.
    pub(crate) fn range_len(&self, from: &Bound<FieldValue>, to: &Bound<FieldValue>) -> u64 {
        self.within(from, to).map_or(0, |(numbers, from, to)| numbers.range_len(from, to))
    }

    /// The index of a kind that has an order, and the first and the last key within bounds.
    fn within(&self, from: &Bound<FieldValue>, to: &Bound<FieldValue>) -> Option<(&Numbers, u64, u64)> {
        let from = match from {
            Bound::Included(value) => self.key(value),
            Bound::Excluded(value) => self.key(value).and_then(|key| key.checked_add(1)),
            Bound::Unbounded => Some(u64::MIN),
        };
        let to = match to {
            Bound::Included(value) => self.key(value),
            Bound::Excluded(value) => self.key(value).and_then(|key| key.checked_sub(1)),
            Bound::Unbounded => Some(u64::MAX),
        };
        match &self.values {
            Values::Numbers(numbers) => Some((numbers, from?, to?)),
            Values::Words(_) => None,
        }
    }

    /// The key of a value of this field's kind.
    pub(crate) fn key(&self, value: &FieldValue) -> Option<u64> {
        if value.kind() == self.kind { numbers::key(value) } else { None }
    }
}

impl Gathered {
    fn new(kind: FieldKind) -> Self {
        Self { kind, present: RoaringBitmap::new(), by_word: HashMap::new(), numbers: Vec::new() }
    }

    fn add(&mut self, slot: Slot, value: &FieldValue) {
        if value.kind() != self.kind {
            return;
        }
        self.present.insert(slot);
        self.numbers.extend(numbers::key(value).map(|key| (key, slot)));
        for word in words(value) {
            self.by_word.entry_ref(word).or_default().push(slot);
        }
    }

    fn into_slots(self) -> FieldSlots {
        let Self { kind, present, by_word, numbers } = self;
        let values = if kind.is_ordered() {
            Values::Numbers(Numbers::of(numbers))
        } else {
            Values::Words(Words::of(by_word))
        };
        FieldSlots { kind, present: Arc::new(present), values }
    }
}
