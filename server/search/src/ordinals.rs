//! Which of a few values each slot has, a byte a slot: counts among few slots walk over those alone.

use crate::kernels::{Bits, GROUP};
use crate::{BLOCK, Slot};
use imbl::Vector;
use std::sync::Arc;

/// Slots whose ordinals lie together.
const SPAN: usize = 4 * BLOCK;
/// Values that a byte tells apart; 0 is none.
const VALUES_MAX: usize = 255;
/// Fewer entries than this are not worth it.
const ENTRIES_MIN: u64 = if cfg!(test) { 8 } else { 4096 };
/// Nor is less than one entry for so many slots.
const SPARSE: u64 = 16;

/// Whether, and which, ordinals are kept of a field or an attribute. Cloning is cheap.
///
/// They are made anew after as many writes as there are entries, for then it may have become worth it or not.
#[derive(Clone, Default)]
pub(crate) struct Ordinals {
    made: Option<Made>,
    /// Pairs of a slot and a value.
    entries: u64,
    /// Entries added since they were made, or found not to be worth it.
    added: u64,
}

/// The ordinals of all slots, of which each has one value at most.
#[derive(Clone)]
struct Made {
    /// By ordinal, less one.
    values: Vector<Arc<str>>,
    /// Nothing is set behind the last.
    spans: Vector<Arc<[u8; SPAN]>>,
}

impl Ordinals {
    /// Makes them of all values and their slots, where it is worth it.
    pub(crate) fn make<'a, S: Iterator<Item = Slot>>(
        &mut self,
        sets: impl ExactSizeIterator<Item = (&'a str, S)>,
        entries: u64,
    ) {
        *self = Self { made: None, entries, added: 0 };
        if sets.len() <= VALUES_MAX && entries >= ENTRIES_MIN {
            self.made = Made::of(sets).filter(|(_, slots)| entries * SPARSE >= *slots).map(|(made, _)| made);
        }
    }

    /// Pairs of a slot and a value.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Whether they are to be made anew.
    pub(crate) fn is_due(&self) -> bool {
        self.added > self.entries.max(ENTRIES_MIN)
    }

    /// A slot has got a value.
    pub(crate) fn insert(&mut self, slot: Slot, value: &str) {
        self.entries += 1;
        self.added += 1;
        if self.made.as_mut().is_some_and(|made| !made.insert(slot, value)) {
            self.made = None;
        }
    }

    /// A slot has lost its value.
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.entries -= 1;
        if let Some(made) = &mut self.made {
            made.set(slot, 0);
        }
    }

    /// Whether there are any.
    pub(crate) fn is_made(&self) -> bool {
        self.made.is_some()
    }

    /// Values and how many of some slots have each, 0 among them; nothing where no ordinals are kept.
    pub(crate) fn counts(&self, slots: &[Bits]) -> impl Iterator<Item = (&str, u64)> {
        let counts = self.made.as_ref().map(|made| (made, made.counts(slots)));
        counts.into_iter().flat_map(|(made, counts)| {
            made.values.iter().zip(counts.into_iter().skip(1)).map(|(value, count)| (&**value, count))
        })
    }
}

impl Made {
    /// Those of values and their slots, and how many slots there are up to the last one; `None` where a slot has several
    /// values.
    fn of<'a, S: Iterator<Item = Slot>>(sets: impl Iterator<Item = (&'a str, S)>) -> Option<(Self, u64)> {
        let (mut values, mut ordinals) = (Vector::new(), Vec::new());
        let mut all = 0;
        for (value, slots) in sets {
            values.push_back(Arc::from(value));
            let ordinal = u8::try_from(values.len()).ok()?;
            for slot in slots {
                let at = slot as usize;
                if at >= ordinals.len() {
                    ordinals.resize((at + 1).next_multiple_of(SPAN), 0);
                }
                if std::mem::replace(&mut ordinals[at], ordinal) != 0 {
                    return None;
                }
                all = all.max(u64::from(slot) + 1);
            }
        }
        let spans = ordinals.as_chunks::<SPAN>().0.iter().map(|span| Arc::new(*span)).collect();
        Some((Self { values, spans }, all))
    }

    fn get(&self, slot: Slot) -> u8 {
        self.spans.get(slot as usize / SPAN).map_or(0, |span| span[slot as usize % SPAN])
    }

    fn set(&mut self, slot: Slot, ordinal: u8) {
        let (span, at) = (slot as usize / SPAN, slot as usize % SPAN);
        while self.spans.len() <= span {
            self.spans.push_back(Arc::new([0; SPAN]));
        }
        if let Some(span) = self.spans.get_mut(span) {
            Arc::make_mut(span)[at] = ordinal;
        }
    }

    /// False where the slot has another value, or no ordinal is left. Those of values that nothing has any more are free
    /// again when all are made anew.
    fn insert(&mut self, slot: Slot, value: &str) -> bool {
        let known = self.values.iter().position(|known| &**known == value);
        let at = known.unwrap_or(self.values.len());
        if self.get(slot) != 0 || at >= VALUES_MAX {
            return false;
        }
        if known.is_none() {
            self.values.push_back(Arc::from(value));
        }
        self.set(slot, at as u8 + 1);
        true
    }

    fn counts(&self, slots: &[Bits]) -> [u64; VALUES_MAX + 1] {
        let mut counts = [0; VALUES_MAX + 1];
        for (span, blocks) in self.spans.iter().zip(slots.chunks(SPAN / BLOCK)) {
            let groups = span.as_chunks::<GROUP>().0;
            for (word, ordinals) in blocks.as_flattened().iter().zip(groups) {
                let mut left = *word;
                while left != 0 {
                    counts[usize::from(ordinals[left.trailing_zeros() as usize % GROUP])] += 1;
                    left &= left - 1;
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::bits;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn sets(model: &BTreeMap<Slot, u16>) -> BTreeMap<String, Vec<Slot>> {
        let mut sets = BTreeMap::<String, Vec<Slot>>::new();
        model.iter().for_each(|(slot, value)| sets.entry(value.to_string()).or_default().push(*slot));
        sets
    }

    fn made(model: &BTreeMap<Slot, u16>) -> Ordinals {
        let (sets, mut ordinals) = (sets(model), Ordinals::default());
        let of = sets.iter().map(|(value, slots)| (value.as_str(), slots.iter().copied()));
        ordinals.make(of, model.len() as u64);
        ordinals
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Values come and go, up to more than a byte tells apart.
        #[test]
        fn counts_are_those_of_a_map(
            first in proptest::collection::btree_map(0u32..9000, 0u16..9, 700..900),
            writes in proptest::collection::vec((0u32..9000, proptest::option::of(0u16..300)), 0..400),
            passing in proptest::collection::btree_set(0u32..9000, 0..900),
        ) {
            let (mut model, mut ordinals) = (first.clone(), made(&first));
            prop_assert!(ordinals.is_made());
            for (slot, value) in writes {
                if model.remove(&slot).is_some() {
                    ordinals.remove(slot);
                }
                if let Some(value) = value {
                    ordinals.insert(slot, &value.to_string());
                    model.insert(slot, value);
                }
            }
            let slots = bits(&passing.iter().copied().collect(), 9);
            let among = |slots: &Vec<Slot>| slots.iter().filter(|slot| passing.contains(slot)).count() as u64;
            let wanted: BTreeMap<String, u64> =
                sets(&model).iter().map(|(value, slots)| (value.clone(), among(slots))).filter(|of| of.1 > 0).collect();
            for ordinals in [&ordinals, &made(&model)] {
                if ordinals.is_made() {
                    let found = ordinals.counts(&slots).filter(|of| of.1 > 0);
                    let found: BTreeMap<String, u64> = found.map(|(value, n)| (value.to_owned(), n)).collect();
                    prop_assert_eq!(found, wanted.clone());
                }
            }
        }
    }

    #[test]
    fn they_are_kept_where_they_are_worth_it() {
        let of = |slots: std::ops::Range<Slot>, step: usize, values: Slot| {
            made(&slots.step_by(step).map(|slot| (slot, (slot % values) as u16)).collect()).is_made()
        };
        assert!(of(0..4096, 2, 255));
        assert!(!of(0..4096, 2, 513), "too many values");
        assert!(!of(0..4096, 64, 3), "too few entries for the slots");
        assert!(!of(0..7, 1, 3), "too few entries");
        let mut several = Ordinals::default();
        several.make([("a", 0..100), ("b", 99..200)].into_iter(), 201);
        assert!(!several.is_made());
    }
}
