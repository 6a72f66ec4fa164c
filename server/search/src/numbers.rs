//! Slots by number: the values of integer, number and timestamp fields, in their order.
//!
//! A value has a key of 64 bits, and keys of one kind are ordered as their values. Entries of a key and a slot lie in
//! leaves, ascending; a write copies one leaf, and a range reads the leaves that it meets.

use crate::Slot;
use crate::bits::is_set;
use imbl::OrdMap;
use lapel_values::{FieldKind, FieldValue, Finite};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Entries that a leaf has at most.
const LEAF_MAX: usize = 1024;
/// Entries that a leaf is filled with at once: the next writes find room.
const LEAF_FILL: usize = 768;
/// A leaf of fewer entries moves into the one before it.
const LEAF_MIN: usize = 256;
/// No more slots than this are sorted in place of marked in a field of bits.
const SORTED_MAX: usize = 1024;
/// The sign bit of 64-bit numbers.
const SIGN: u64 = 1 << 63;
/// No entry is below it.
const FIRST: Entry = (0, 0);

/// A key and the slot whose value has it.
type Entry = (u64, Slot);

/// Entries that follow one another, ascending, as two lists: a leaf wholly within a range is read without its keys.
#[derive(Clone)]
struct Leaf {
    keys: Vec<u64>,
    slots: Vec<Slot>,
    /// Different keys.
    values: u64,
}

impl Leaf {
    fn new(keys: Vec<u64>, slots: Vec<Slot>) -> Self {
        let mut leaf = Self { keys, slots, values: 0 };
        leaf.count_values();
        leaf
    }

    /// To be called whenever the keys have changed.
    fn count_values(&mut self) {
        self.values = different(&self.keys);
    }

    /// Where an entry is, or where it would be.
    fn find(&self, (key, slot): Entry) -> Result<usize, usize> {
        let from = self.keys.partition_point(|other| *other < key);
        let to = from + self.keys[from..].partition_point(|other| *other == key);
        self.slots[from..to].binary_search(&slot).map(|at| from + at).map_err(|at| from + at)
    }

    fn first(&self) -> Option<Entry> {
        Some((*self.keys.first()?, *self.slots.first()?))
    }

    /// The slots from a key up to and with another.
    fn within(&self, from: u64, to: u64) -> &[Slot] {
        let is_inside = self.keys.first().is_some_and(|first| *first >= from)
            && self.keys.last().is_some_and(|last| *last <= to);
        if is_inside {
            return &self.slots;
        }
        let start = self.keys.partition_point(|key| *key < from);
        let end = self.keys.partition_point(|key| *key <= to);
        self.slots.get(start..end).unwrap_or_default()
    }
}

/// Slots by key. Cloning is cheap; leaves are shared until they are written.
#[derive(Clone, Default)]
pub(crate) struct Numbers {
    /// By a bound: the entries of a leaf are at or above its own and below the next one's.
    leaves: OrdMap<Entry, Arc<Leaf>>,
}

/// What the values of some items are like.
#[derive(Default)]
pub(crate) struct NumberCounts {
    /// The least key and the largest.
    pub(crate) ends: Option<(u64, u64)>,
    /// Different keys.
    pub(crate) values: u64,
    /// Items below the first bound, from each bound to the next, and from the last one on.
    pub(crate) buckets: Vec<u64>,
    /// Items of the bucket that is being filled.
    count: u64,
}

impl Numbers {
    /// The index of entries in any order, each once.
    pub(crate) fn of(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable();
        let leaf = |entries: &[Entry]| {
            let (keys, slots) = entries.iter().copied().unzip();
            Leaf::new(keys, slots)
        };
        let leaves = entries.chunks(LEAF_FILL).map(leaf);
        let bounded = leaves.enumerate().filter_map(|(at, leaf)| {
            let bound = if at == 0 { FIRST } else { leaf.first()? };
            Some((bound, Arc::new(leaf)))
        });
        Self { leaves: bounded.collect() }
    }

    /// Adds an entry.
    pub(crate) fn insert(&mut self, key: u64, slot: Slot) {
        let entry = (key, slot);
        let Some((&bound, _)) = self.leaves.get_prev(&entry) else {
            self.leaves.insert(FIRST, Arc::new(Leaf::new(vec![key], vec![slot])));
            return;
        };
        let Some(leaf) = self.leaves.get_mut(&bound) else { return };
        let leaf = Arc::make_mut(leaf);
        let Err(at) = leaf.find(entry) else { return };
        leaf.keys.insert(at, key);
        leaf.slots.insert(at, slot);
        let half = leaf.keys.len() / 2;
        let upper = (leaf.keys.len() > LEAF_MAX)
            .then(|| Leaf::new(leaf.keys.split_off(half), leaf.slots.split_off(half)));
        leaf.count_values();
        if let Some(upper) = upper
            && let Some(bound) = upper.first()
        {
            self.leaves.insert(bound, Arc::new(upper));
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: u64, slot: Slot) {
        let entry = (key, slot);
        let Some((&bound, leaf)) = self.leaves.get_prev(&entry) else { return };
        let Ok(at) = leaf.find(entry) else { return };
        let Some(leaf) = self.leaves.get_mut(&bound) else { return };
        let leaf = Arc::make_mut(leaf);
        leaf.keys.remove(at);
        leaf.slots.remove(at);
        leaf.count_values();
        let left = leaf.keys.len();
        if left == 0 {
            self.leaves.remove(&bound);
        } else if left < LEAF_MIN {
            self.merge(bound, left);
        }
    }

    /// Moves what a leaf has left into the one before it, where that has room.
    fn merge(&mut self, bound: Entry, left: usize) {
        let Some((&before, there)) = self.leaves.range::<_, Entry>(..bound).next_back() else { return };
        if there.keys.len() + left > LEAF_FILL {
            return;
        }
        let Some(leaf) = self.leaves.remove(&bound) else { return };
        if let Some(there) = self.leaves.get_mut(&before) {
            let there = Arc::make_mut(there);
            there.keys.extend_from_slice(&leaf.keys);
            there.slots.extend_from_slice(&leaf.slots);
            there.count_values();
        }
    }

    /// Leaves that may have entries from a key up to and with another.
    fn leaves(&self, from: u64, to: u64) -> impl Iterator<Item = &Leaf> {
        let lowest: Entry = (from, 0);
        let start = self.leaves.get_prev(&lowest).map_or(FIRST, |(bound, _)| *bound);
        self.leaves
            .range::<_, Entry>(start..)
            .take_while(move |(bound, _)| bound.0 <= to)
            .map(|(_, leaf)| &**leaf)
    }

    fn slices(&self, from: u64, to: u64) -> impl Iterator<Item = &[Slot]> {
        self.leaves(from, to).map(move |leaf| leaf.within(from, to))
    }

    /// Slots of keys from one up to and with another; `present` are those of all entries.
    pub(crate) fn range(&self, from: u64, to: u64, present: &RoaringBitmap) -> RoaringBitmap {
        if from > to {
            return RoaringBitmap::new();
        }
        if self.leaves(from, to).count() <= self.leaves.len() / 2 + 1 {
            return gathered(self.slices(from, to), present);
        }
        let below = from.checked_sub(1).into_iter().flat_map(move |to| self.slices(0, to));
        let above = to.checked_add(1).into_iter().flat_map(move |from| self.slices(from, u64::MAX));
        present - gathered(below.chain(above), present)
    }

    /// How many entries have keys from one up to and with another.
    pub(crate) fn range_len(&self, from: u64, to: u64) -> u64 {
        if from > to { 0 } else { self.slices(from, to).map(|slots| slots.len() as u64).sum() }
    }

    /// Slots of these keys; `present` are those of all entries.
    pub(crate) fn any_of(&self, keys: impl Iterator<Item = u64>, present: &RoaringBitmap) -> RoaringBitmap {
        // Each key once: a request may name one many times, and each may have all slots.
        let mut keys: Vec<u64> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        gathered(keys.into_iter().flat_map(move |key| self.slices(key, key)), present)
    }

    /// Counts the entries whose slots pass, `None` being all, by ascending bounds.
    pub(crate) fn counts(&self, bounds: &[u64], passing: Option<&[u64]>) -> NumberCounts {
        let mut counts = NumberCounts::default();
        for leaf in self.leaves.values() {
            let (mut from, mut left) = (0, bounds.get(counts.buckets.len()..).unwrap_or_default());
            while let Some((bound, others)) = left.split_first() {
                let to = from + leaf.keys[from..].partition_point(|key| key < bound);
                counts.add(leaf, from..to, passing);
                if to == leaf.keys.len() {
                    break;
                }
                counts.end_bucket();
                (from, left) = (to, others);
            }
            if left.is_empty() {
                counts.add(leaf, from..leaf.keys.len(), passing);
            }
        }
        counts.end_bucket();
        counts.buckets.resize(bounds.len() + 1, 0);
        counts
    }
}

impl NumberCounts {
    /// Takes in a part of a leaf behind those before, all of one bucket.
    fn add(&mut self, leaf: &Leaf, part: std::ops::Range<usize>, passing: Option<&[u64]>) {
        let (keys, slots) = (&leaf.keys[part.clone()], &leaf.slots[part.clone()]);
        let last = self.ends.map(|(_, last)| last);
        let (mut count, mut values) = (keys.len() as u64, 0);
        let ends;
        match passing {
            None => {
                // The first key is not new where the part before ended with it.
                values = if part.len() == leaf.keys.len() { leaf.values } else { different(keys) };
                values -= u64::from(last.is_some() && last == keys.first().copied());
                ends = keys.first().copied().zip(keys.last().copied());
            }
            Some(passing) => {
                count = 0;
                let (mut has_last, mut last, mut first) = (last.is_some(), last.unwrap_or_default(), 0);
                // Without branches: which slots pass cannot be foreseen.
                for (key, slot) in keys.iter().zip(slots) {
                    let passes = is_set(passing, *slot);
                    values += u64::from(passes & !(has_last & (last == *key)));
                    first = if passes & (count == 0) { *key } else { first };
                    last = if passes { *key } else { last };
                    count += u64::from(passes);
                    has_last |= passes;
                }
                ends = (count > 0).then_some((first, last));
            }
        }
        self.count += count;
        self.values += values;
        if let Some((first, last)) = ends {
            self.ends = Some((self.ends.map_or(first, |(least, _)| least), last));
        }
    }

    fn end_bucket(&mut self) {
        self.buckets.push(std::mem::take(&mut self.count));
    }
}

/// Different keys among ascending ones.
fn different(keys: &[u64]) -> u64 {
    let changes = keys.iter().zip(keys.iter().skip(1)).filter(|(key, next)| key != next).count();
    changes as u64 + u64::from(!keys.is_empty())
}

/// The set of these slots, each once; `present` has them all.
fn gathered<'a>(slices: impl Iterator<Item = &'a [Slot]>, present: &RoaringBitmap) -> RoaringBitmap {
    let slices: Vec<&[Slot]> = slices.collect();
    let count: usize = slices.iter().map(|slots| slots.len()).sum();
    if count <= SORTED_MAX {
        let mut slots = slices.concat();
        slots.sort_unstable();
        return slots.into_iter().collect();
    }
    let mut bits = vec![0u8; present.max().map_or(0, |last| last as usize / 8 + 1)];
    for slot in slices.into_iter().flatten() {
        if let Some(byte) = bits.get_mut(*slot as usize / 8) {
            *byte |= 1u8 << (*slot % 8);
        }
    }
    RoaringBitmap::from_lsb0_bytes(0, &bits)
}

/// The key of a value; `None` of a kind that has no order.
pub(crate) fn key(value: &FieldValue) -> Option<u64> {
    match value {
        FieldValue::Integer(number) | FieldValue::Timestamp(number) => Some(number.cast_unsigned() ^ SIGN),
        FieldValue::Number(number) => {
            let bits = number.get().to_bits();
            // Negative numbers are ordered against their bits.
            Some(if bits & SIGN == 0 { bits | SIGN } else { !bits })
        }
        FieldValue::Keyword(_) | FieldValue::Keywords(_) | FieldValue::Boolean(_) => None,
    }
}

/// The value of a key.
pub(crate) fn value(kind: FieldKind, key: u64) -> Option<FieldValue> {
    match kind {
        FieldKind::Integer => Some(FieldValue::Integer((key ^ SIGN).cast_signed())),
        FieldKind::Timestamp => Some(FieldValue::Timestamp((key ^ SIGN).cast_signed())),
        FieldKind::Number => {
            let bits = if key & SIGN == 0 { !key } else { key ^ SIGN };
            Finite::new(f64::from_bits(bits)).map(FieldValue::Number)
        }
        FieldKind::Keyword | FieldKind::Keywords | FieldKind::Boolean => None,
    }
}

#[cfg(test)]
mod tests;
