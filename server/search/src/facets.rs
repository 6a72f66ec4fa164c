//! How many items have which labels and values.

use crate::bits::{bits, is_set, set};
use crate::fields::{FieldSlots, Values};
use crate::kernels::{Bits, GROUP};
use crate::labels::LabelSlots;
use crate::numbers::{self, Numbers};
use crate::ordinals::Ordinals;
use crate::slots::SlotSet;
use crate::words::Words;
use crate::{BLOCK, ItemIndex};
use lapel_values::FieldValue;
use roaring::RoaringBitmap;
use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Where one slot in so many passes, the library has them as bits.
const LISTED: u64 = 16;
/// What it costs to look at 64 slots as bits; to look up one of a list costs 1.
const WORD: u64 = 2;
/// What a walk costs for each passing slot,
const STEP: u64 = 3;
/// and for each 64 slots of which some pass: their number cannot be foreseen.
const TURN: u64 = 12;
/// So few slots lie in few of the library's parts, and it passes over the others.
const FEW: u64 = 16;

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

/// Counts labels and values among some items; what several counts need is worked out once.
pub struct FacetCounter<'a> {
    index: &'a ItemIndex,
    /// `None` where all are counted.
    passing: Option<&'a RoaringBitmap>,
    items: u64,
    /// The passing slots as bits, once they are looked up.
    bits: OnceCell<Vec<Bits>>,
    /// The passing slots as sets are met with them, once one is.
    met: OnceCell<Met<'a>>,
}

/// The passing slots for meeting one set after the other.
enum Met<'a> {
    /// Many: the library has them as bits.
    Passing(&'a RoaringBitmap),
    /// Those that do not pass. Few slots the library has as a list, and goes through it beside each set's own; a set's slots
    /// are looked up sooner in the bits of all others.
    Others(RoaringBitmap),
}

impl ItemIndex {
    /// For counts among the passing items, `None` being all.
    #[must_use]
    pub fn facets<'a>(&'a self, passing: Option<&'a RoaringBitmap>) -> FacetCounter<'a> {
        let items = passing.map_or(self.len() as u64, RoaringBitmap::len);
        FacetCounter { index: self, passing, items, bits: OnceCell::new(), met: OnceCell::new() }
    }
}

impl FacetCounter<'_> {
    /// Counts labels or values: up to `values_max` of them, and their number.
    #[must_use]
    pub fn count(&self, of: &FacetOf, values_max: usize) -> FacetCounts {
        let items = self.items;
        match of {
            FacetOf::Attribute(attribute) => match self.index.labels().of_attribute(attribute) {
                Some(labels) => of_labels(self, (attribute, labels), values_max),
                None => FacetCounts { missing: items, ..FacetCounts::default() },
            },
            FacetOf::Field { field, bounds } => {
                let Some(slots) = self.index.fields().get(field) else {
                    let buckets = if bounds.is_empty() { Vec::new() } else { vec![0; bounds.len() + 1] };
                    return FacetCounts { missing: items, buckets, ..FacetCounts::default() };
                };
                let found = self.among(slots.present());
                let counts = match slots.values() {
                    Values::Words(words) => of_words(self, words, values_max),
                    Values::Numbers(numbers) => of_numbers(self, slots, (numbers, found), bounds),
                };
                FacetCounts { missing: items - found, ..counts }
            }
        }
    }

    /// How many of these slots are counted.
    fn among(&self, slots: &RoaringBitmap) -> u64 {
        match self.met() {
            None => slots.len(),
            Some(Met::Passing(passing)) => passing.intersection_len(slots),
            Some(Met::Others(others)) => slots.len() - others.intersection_len(slots),
        }
    }

    /// Whether one of these slots is counted.
    fn is_among(&self, slots: &RoaringBitmap) -> bool {
        match self.met() {
            None => !slots.is_empty(),
            Some(Met::Passing(passing)) => !passing.is_disjoint(slots),
            Some(Met::Others(others)) => !slots.is_subset(others),
        }
    }

    /// `None` where all are counted.
    fn met(&self) -> Option<&Met<'_>> {
        let passing = self.passing?;
        Some(self.met.get_or_init(|| {
            let slots = (self.index.blocks() * BLOCK) as u64;
            if passing.len() < FEW || passing.len() * LISTED >= slots {
                return Met::Passing(passing);
            }
            let mut others = self.bits().unwrap_or_default().to_vec();
            others.as_flattened_mut().iter_mut().for_each(|word| *word = !*word);
            Met::Others(set(&others))
        }))
    }

    /// The passing slots as bits; `None` where all are counted.
    fn bits(&self) -> Option<&[Bits]> {
        let passing = self.passing?;
        Some(self.bits.get_or_init(|| bits(passing, self.index.blocks())))
    }

    /// Whether to walk over the passing slots costs less than to meet each set, of so many slots each.
    fn is_walk_cheaper(&self, ordinals: &Ordinals, sets: impl Iterator<Item = u64>) -> bool {
        let Some(passing) = self.passing.filter(|_| ordinals.is_made()) else { return false };
        let slots = (self.index.blocks() * BLOCK) as u64;
        let (words, passing) = (slots / GROUP as u64, passing.len());
        let set = |len: u64| if len * LISTED >= slots { words * WORD } else { len };
        passing * STEP + passing.min(words) * TURN + words * WORD < sets.map(set).sum()
    }

    /// How many slots of a word are counted. Of a word with fewer slots than `least`, which is not among the best anyway, it
    /// only says whether there is one: 0 or 1.
    fn of_word(&self, slots: &SlotSet, least: u64) -> u64 {
        match (slots, self.passing) {
            (_, None) => slots.len(),
            (SlotSet::Many(slots), Some(_)) if slots.len() < least => u64::from(self.is_among(slots)),
            (SlotSet::Many(slots), Some(_)) => self.among(slots),
            (SlotSet::One(_) | SlotSet::Few(_), Some(_)) => {
                let (listed, bits) = (slots.listed().iter(), self.bits().unwrap_or_default().as_flattened());
                listed.filter(|slot| is_set(bits, **slot)).count() as u64
            }
        }
    }
}

/// Every item has at most one label of an attribute, so that the others have none.
fn of_labels(
    counted: &FacetCounter<'_>,
    (attribute, labels): (&str, &LabelSlots),
    values_max: usize,
) -> FacetCounts {
    let (mut best, mut found) = (Best::new(values_max), 0);
    let mut add = |label, count| {
        found += count;
        best.add(label, count);
    };
    let ordinals = counted.index.labels().ordinals(attribute);
    match ordinals
        .filter(|ordinals| counted.is_walk_cheaper(ordinals, labels.values().map(|slots| slots.len())))
    {
        Some(ordinals) => {
            ordinals.counts(counted.bits().unwrap_or_default()).for_each(|(label, count)| add(label, count));
        }
        None => labels.iter().for_each(|(label, slots)| add(label, counted.among(slots))),
    }
    FacetCounts { missing: counted.items - found, ..best.into_counts() }
}

fn of_words(counted: &FacetCounter<'_>, words: &Words, values_max: usize) -> FacetCounts {
    let mut best = Best::new(values_max);
    let ordinals = words.ordinals();
    if counted.is_walk_cheaper(ordinals, words.iter().map(|(_, slots)| slots.len())) {
        let counts = ordinals.counts(counted.bits().unwrap_or_default());
        counts.for_each(|(word, count)| best.add(word, count));
    } else {
        for (word, slots) in words.iter() {
            let count = counted.of_word(slots, best.least());
            best.add(word, count);
        }
    }
    best.into_counts()
}

fn of_numbers(
    counted: &FacetCounter<'_>,
    slots: &FieldSlots,
    (numbers, found): (&Numbers, u64),
    bounds: &[FieldValue],
) -> FacetCounts {
    // Bounds of another kind, which the server refuses, count nothing.
    let keys: Option<Vec<u64>> = bounds.iter().map(|bound| slots.key(bound)).collect();
    let passing = counted.bits().map(|bits| (bits, found));
    let found = numbers.counts(keys.as_deref().unwrap_or_default(), passing);
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
