//! Slots by number: the values of integer, number and timestamp fields, in their order.
//!
//! A value has a key of 64 bits, and keys of one kind are ordered as their values. Entries of a key and a slot lie in
//! leaves, ascending; a write copies one leaf. Every so many entries there is a fence, whose set of bits has all slots below
//! it: a range is the difference of two sets, mended by the entries between its ends and the fences nearest to them.

mod counts;
mod distinct;
mod fences;
mod keys;
mod leaf;
mod leaves;

pub(crate) use keys::{key, value};

use crate::bits::{bits, set};
use crate::kernels::{GROUP, GROUPS};
use crate::{BLOCK, Slot};
use fences::Fences;
use leaf::Entry;
use leaves::Leaves;
use roaring::RoaringBitmap;

/// No more slots than this are sorted in place of marked in a field of bits.
const SORTED_MAX: usize = 1024;
/// So many entries need no fence; in tests as few as fit a test.
const GAP_MIN: usize = if cfg!(test) { 100 } else { 1 << 16 };
/// Between two fences there is at most one entry for so many slots. To walk over as many takes as long as to look at the
/// bits of all slots.
const GAP_SHARE: usize = 12;

/// Slots by key. Cloning is cheap; leaves and sets are shared until they are written.
#[derive(Clone, Default)]
pub(crate) struct Numbers {
    leaves: Leaves,
    fences: Fences,
    /// Number of entries.
    entries: u64,
    /// Number of different keys.
    values: u64,
    /// As many slots as the last one that there has been, with those before it.
    slots: usize,
}

/// The entries below a key: those of a set, and some more or fewer.
struct Below<'a> {
    set: Set,
    /// Entries between the set and the key.
    between: Vec<&'a [Slot]>,
    /// Whether the set lacks them; otherwise it has them, and they are not below the key.
    is_short: bool,
}

/// A set of entries from the first one on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Nothing,
    /// Those below a fence.
    Fence(usize),
    All,
}

impl Numbers {
    /// The index of entries in any order, each once.
    pub(crate) fn of(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable();
        let mut numbers = Self {
            leaves: Leaves::of(&entries),
            fences: Fences::default(),
            entries: entries.len() as u64,
            values: entries.chunk_by(|a, b| a.0 == b.0).count() as u64,
            slots: entries.iter().map(|(_, slot)| *slot as usize + 1).max().unwrap_or_default(),
        };
        let mut gap = 0;
        while gap <= numbers.fences.len() {
            if !numbers.split(gap) {
                gap += 1;
            }
        }
        numbers
    }

    /// Adds an entry.
    pub(crate) fn insert(&mut self, key: u64, slot: Slot) {
        if !self.leaves.insert((key, slot)) {
            return;
        }
        self.entries += 1;
        self.slots = self.slots.max(slot as usize + 1);
        self.fences.insert(key, slot);
        match self.first_two(key) {
            [_, None] => {
                self.values += 1;
                self.fences.set_single(slot, true);
            }
            [first, second] => {
                // The one that was there is not alone any more, if it was.
                let others = [first, second].into_iter().flatten().filter(|other| *other != slot);
                others.for_each(|other| self.fences.set_single(other, false));
            }
        }
        self.balance(key);
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: u64, slot: Slot) {
        if !self.leaves.remove((key, slot)) {
            return;
        }
        self.entries -= 1;
        self.fences.remove(key, slot);
        match self.first_two(key) {
            [None, _] => {
                self.values -= 1;
                self.fences.set_single(slot, false);
            }
            [Some(other), None] => self.fences.set_single(other, true),
            [Some(_), Some(_)] => {}
        }
        self.balance(key);
    }

    /// The first two slots of a key, where there are as many.
    fn first_two(&self, key: u64) -> [Option<Slot>; 2] {
        let mut slots = self.leaves.slots(key, key).flatten().copied();
        [slots.next(), slots.next()]
    }

    /// The keys from the fence before a gap up to and with the last one below the next fence.
    fn gap(&self, gap: usize) -> (u64, u64) {
        let from = gap.checked_sub(1).and_then(|before| self.fences.key(before)).unwrap_or_default();
        let to = self.fences.key(gap).map_or(u64::MAX, |fence| fence - 1);
        (from, to)
    }

    /// How many entries lie between a fence and the one before it.
    fn gap_len(&self, gap: usize) -> u64 {
        let before = gap.checked_sub(1).and_then(|before| self.fences.count(before)).unwrap_or_default();
        self.fences.count(gap).unwrap_or(self.entries) - before
    }

    /// Keeps the fences about as far apart as they should be, after a write of a key.
    fn balance(&mut self, key: u64) {
        let gap = self.fences.above(key);
        if self.split(gap) {
            return;
        }
        let is_needless = |fence: &usize| {
            let around = self.gap_len(*fence) + self.gap_len(*fence + 1);
            around < self.gap_max() / 2
        };
        let fences = gap.saturating_sub(1)..self.fences.len().min(gap + 1);
        if let Some(fence) = fences.into_iter().find(is_needless) {
            self.fences.drop(fence);
        }
    }

    fn gap_max(&self) -> u64 {
        GAP_MIN.max(self.slots / GAP_SHARE) as u64
    }

    /// Puts a fence into the middle of a gap that is too wide; false where it is not, or where it has a single key.
    fn split(&mut self, gap: usize) -> bool {
        let len = self.gap_len(gap);
        let (from, to) = self.gap(gap);
        if len <= self.gap_max() {
            return false;
        }
        let Some(middle) = self.leaves.middle_key(from, to, len as usize / 2) else { return false };
        let single = if self.fences.is_empty() { self.leaves.single() } else { Vec::new() };
        self.fences.add(gap, middle, self.leaves.slots(from, middle - 1), &single);
        true
    }

    /// The entries below a key.
    fn below(&self, key: u64) -> Below<'_> {
        let gap = self.fences.above(key);
        let (from, to) = self.gap(gap);
        let under: Vec<&[Slot]> =
            if key > from { self.leaves.slots(from, key - 1).collect() } else { Vec::new() };
        let under_len: usize = under.iter().map(|slots| slots.len()).sum();
        if under_len as u64 <= self.gap_len(gap) / 2 {
            let set = gap.checked_sub(1).map_or(Set::Nothing, Set::Fence);
            return Below { set, between: under, is_short: true };
        }
        let set = if gap < self.fences.len() { Set::Fence(gap) } else { Set::All };
        Below { set, between: self.leaves.slots(key, to).collect(), is_short: false }
    }

    /// The entries up to and with a key.
    fn up_to(&self, key: u64) -> Below<'_> {
        let all = || Below { set: Set::All, between: Vec::new(), is_short: true };
        key.checked_add(1).map_or_else(all, |above| self.below(above))
    }

    /// Slots of keys from one up to and with another; `present` are those of all entries.
    pub(crate) fn range(&self, from: u64, to: u64, present: &RoaringBitmap) -> RoaringBitmap {
        let count = self.range_len(from, to);
        if count <= SORTED_MAX as u64 {
            return if count == 0 {
                RoaringBitmap::new()
            } else {
                gathered(self.leaves.slots(from, to), present)
            };
        }
        let blocks = self.slots.div_ceil(BLOCK);
        let ends = [self.below(from), self.up_to(to)];
        let alls = ends.iter().filter(|end| end.set == Set::All).count();
        let mut words = if alls == 1 { bits(present, blocks) } else { vec![[0; GROUPS]; blocks] };
        for end in ends {
            if let Set::Fence(fence) = end.set {
                self.fences.toggle(fence, &mut words);
            }
            let words = words.as_flattened_mut();
            for slot in end.between.into_iter().flatten() {
                if let Some(word) = words.get_mut(*slot as usize / GROUP) {
                    *word ^= 1 << (*slot as usize % GROUP);
                }
            }
        }
        set(&words)
    }

    /// How many entries have keys from one up to and with another.
    pub(crate) fn range_len(&self, from: u64, to: u64) -> u64 {
        if from > to { 0 } else { self.len(&self.up_to(to)) - self.len(&self.below(from)) }
    }

    fn len(&self, below: &Below<'_>) -> u64 {
        let set = match below.set {
            Set::Nothing => 0,
            Set::Fence(fence) => self.fences.count(fence).unwrap_or_default(),
            Set::All => self.entries,
        };
        below.mended(set, |slots| slots.len() as u64)
    }

    /// Slots of these keys; `present` are those of all entries.
    pub(crate) fn any_of(&self, keys: impl Iterator<Item = u64>, present: &RoaringBitmap) -> RoaringBitmap {
        // Each key once: a request may name one many times, and each may have all slots.
        let mut keys: Vec<u64> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        gathered(keys.into_iter().flat_map(move |key| self.leaves.slots(key, key)), present)
    }
}

impl Below<'_> {
    /// Mends what was counted of the set by what is counted of the entries between.
    fn mended(&self, set: u64, count: impl Fn(&[Slot]) -> u64) -> u64 {
        let between: u64 = self.between.iter().map(|slots| count(slots)).sum();
        if self.is_short { set + between } else { set - between }
    }
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

#[cfg(test)]
mod tests;
