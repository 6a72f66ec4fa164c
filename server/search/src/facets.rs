//! How many items have which labels and values.

use crate::allowed::bits;
use crate::fields::{FieldSlots, Values};
use crate::kernels::{Bits, GROUP, GROUPS};
use crate::labels::LabelSlots;
use crate::numbers::{self, Numbers};
use crate::slots::SlotSet;
use crate::words::Words;
use crate::{BLOCK, ItemIndex, Slot};
use lapel_values::FieldValue;
use roaring::RoaringBitmap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A field of more words than this is counted by bits: most of its words have few slots, each of which is looked up.
const LOOKED_UP_MAX: usize = 1024;

/// What to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FacetOf {
    /// Labels of an attribute.
    Attribute(String),
    /// Values of a field.
    Field {
        /// The field.
        field: String,
        /// Ascending values of a kind that has an order: the items below, between and above them are counted.
        bounds: Vec<FieldValue>,
    },
}

/// How many items have which labels or values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FacetCounts {
    /// Labels, keywords, or `true` and `false`, that items have: most frequent first, equal ones by value, cut off. Empty of
    /// a kind that has an order.
    pub counts: Vec<(String, u64)>,
    /// Different values that at least one item has.
    pub values: u64,
    /// Items without a value.
    pub missing: u64,
    /// The smallest value of a kind that has an order.
    pub least: Option<FieldValue>,
    /// The largest.
    pub greatest: Option<FieldValue>,
    /// Of a kind that has an order, items below the first bound, from each bound to the next, and from the last one on.
    pub buckets: Vec<u64>,
}

/// The items that are counted.
struct Counted<'a> {
    /// `None` where all are.
    passing: Option<&'a RoaringBitmap>,
    items: u64,
    /// The passing slots as bits, where many will be looked up.
    bits: Option<Vec<Bits>>,
}

impl ItemIndex {
    /// Counts labels or values among the passing items, `None` being all: up to `values_max` of them, and their number.
    #[must_use]
    pub fn facet(&self, passing: Option<&RoaringBitmap>, of: &FacetOf, values_max: usize) -> FacetCounts {
        let items = passing.map_or(self.len() as u64, RoaringBitmap::len);
        let mut counted = Counted { passing, items, bits: None };
        match of {
            FacetOf::Attribute(attribute) => match self.labels().of_attribute(attribute) {
                Some(labels) => of_labels(&counted, labels, values_max),
                None => FacetCounts { missing: items, ..FacetCounts::default() },
            },
            FacetOf::Field { field, bounds } => {
                let Some(slots) = self.fields().get(field) else {
                    let buckets = if bounds.is_empty() { Vec::new() } else { vec![0; bounds.len() + 1] };
                    return FacetCounts { missing: items, buckets, ..FacetCounts::default() };
                };
                if slots.values().is_long() {
                    counted.bits = passing.map(|passing| bits(passing, self.blocks()));
                }
                let missing = items - counted.among(slots.present());
                let counts = match slots.values() {
                    Values::Words(words) => of_words(&counted, words, values_max),
                    Values::Numbers(numbers) => of_numbers(&counted, slots, numbers, bounds),
                };
                FacetCounts { missing, ..counts }
            }
        }
    }
}

impl Values {
    /// Whether many slots are looked up one by one.
    fn is_long(&self) -> bool {
        match self {
            Self::Words(words) => words.len() > LOOKED_UP_MAX,
            Self::Numbers(_) => true,
        }
    }
}

impl Counted<'_> {
    fn contains(&self, slot: Slot) -> bool {
        match (&self.bits, self.passing) {
            (Some(bits), _) => {
                let at = slot as usize % BLOCK;
                let block = bits.get(slot as usize / BLOCK).unwrap_or(&[0; GROUPS]);
                block[at / GROUP] >> (at % GROUP) & 1 == 1
            }
            (None, Some(passing)) => passing.contains(slot),
            (None, None) => true,
        }
    }

    /// How many of these slots are counted.
    fn among(&self, slots: &RoaringBitmap) -> u64 {
        self.passing.map_or(slots.len(), |passing| passing.intersection_len(slots))
    }

    /// How many slots of a word are counted. Of a word with fewer slots than `least`, which is not among the best anyway, it
    /// only says whether there is one: 0 or 1.
    fn of_word(&self, slots: &SlotSet, least: u64) -> u64 {
        match (slots, self.passing) {
            (_, None) => slots.len(),
            (SlotSet::Many(slots), Some(passing)) if slots.len() < least => {
                u64::from(!passing.is_disjoint(slots))
            }
            (SlotSet::Many(slots), Some(_)) => self.among(slots),
            (SlotSet::One(_) | SlotSet::Few(_), Some(_)) => {
                slots.listed().iter().filter(|slot| self.contains(**slot)).count() as u64
            }
        }
    }
}

/// Every item has at most one label of an attribute, so that the others have none.
fn of_labels(counted: &Counted<'_>, labels: &LabelSlots, values_max: usize) -> FacetCounts {
    let (mut best, mut found) = (Best::new(values_max), 0);
    for (label, slots) in labels {
        let count = counted.among(slots);
        found += count;
        best.add(label, count);
    }
    FacetCounts { missing: counted.items - found, ..best.into_counts() }
}

fn of_words(counted: &Counted<'_>, words: &Words, values_max: usize) -> FacetCounts {
    let mut best = Best::new(values_max);
    for (word, slots) in words.iter() {
        let count = counted.of_word(slots, best.least());
        best.add(word, count);
    }
    best.into_counts()
}

fn of_numbers(
    counted: &Counted<'_>,
    slots: &FieldSlots,
    numbers: &Numbers,
    bounds: &[FieldValue],
) -> FacetCounts {
    // Bounds of another kind, which the server refuses, count nothing.
    let keys: Option<Vec<u64>> = bounds.iter().map(|bound| slots.key(bound)).collect();
    let found = numbers.counts(keys.as_deref().unwrap_or_default(), |slot| counted.contains(slot));
    let value = |key: u64| numbers::value(slots.kind(), key);
    FacetCounts {
        values: found.values,
        least: found.ends.and_then(|(least, _)| value(least)),
        greatest: found.ends.and_then(|(_, greatest)| value(greatest)),
        buckets: if keys.is_some() { found.buckets } else { vec![0; bounds.len() + 1] },
        ..FacetCounts::default()
    }
}

/// The most frequent values so far.
struct Best<'a> {
    values_max: usize,
    /// The least frequent on top, of equal ones the last.
    heap: BinaryHeap<Reverse<(u64, Reverse<&'a str>)>>,
    values: u64,
}

impl<'a> Best<'a> {
    fn new(values_max: usize) -> Self {
        Self { values_max, heap: BinaryHeap::new(), values: 0 }
    }

    /// A value of fewer items is not among them.
    fn least(&self) -> u64 {
        let least = self.heap.peek().map_or(0, |Reverse((count, _))| *count);
        if self.heap.len() < self.values_max { 0 } else { least }
    }

    fn add(&mut self, value: &'a str, count: u64) {
        if count == 0 {
            return;
        }
        self.values += 1;
        let new = Reverse((count, Reverse(value)));
        if self.heap.len() < self.values_max {
            self.heap.push(new);
        } else if let Some(mut last) = self.heap.peek_mut().filter(|last| new < **last) {
            *last = new;
        }
    }

    fn into_counts(self) -> FacetCounts {
        let best = self.heap.into_sorted_vec().into_iter();
        let counts = best.map(|Reverse((count, Reverse(value)))| (value.to_owned(), count)).collect();
        FacetCounts { counts, values: self.values, ..FacetCounts::default() }
    }
}

#[cfg(test)]
mod tests;
