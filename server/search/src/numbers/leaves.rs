//! Entries in the order of values.

use super::leaf::{Entry, Leaf};
use crate::Slot;
use imbl::OrdMap;
use std::sync::Arc;

/// Entries that a leaf is filled with at once: the next writes find room.
const LEAF_FILL: usize = 768;
/// A leaf of fewer entries moves into the one before it.
const LEAF_MIN: usize = 256;
/// No entry is below it.
const FIRST: Entry = (0, 0);

/// Entries, ascending and each once. Cloning is cheap; leaves are shared until they are written.
#[derive(Clone, Default)]
pub(super) struct Leaves {
    /// By a bound: the entries of a leaf are at or above its own and below the next one's.
    by_bound: OrdMap<Entry, Arc<Leaf>>,
}

impl Leaves {
    /// Those of ascending entries.
    pub(super) fn of(entries: &[Entry]) -> Self {
        let leaves = entries.chunks(LEAF_FILL).map(Leaf::of);
        let bounded = leaves.enumerate().filter_map(|(at, leaf)| {
            let bound = if at == 0 { FIRST } else { leaf.first()? };
            Some((bound, Arc::new(leaf)))
        });
        Self { by_bound: bounded.collect() }
    }

    /// Adds an entry, and says whether it was not there.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let Some((&bound, leaf)) = self.by_bound.get_prev(&entry) else {
            self.by_bound.insert(FIRST, Arc::new(Leaf::of(&[entry])));
            return true;
        };
        if leaf.contains(entry) {
            return false;
        }
        let Some(leaf) = self.by_bound.get_mut(&bound) else { return false };
        let leaf = Arc::make_mut(leaf);
        if !leaf.is_full() {
            leaf.insert(entry);
            return true;
        }
        let mut upper = leaf.split();
        let Some(bound) = upper.first() else { return false };
        if entry < bound {
            leaf.insert(entry);
        } else {
            upper.insert(entry);
        }
        self.by_bound.insert(bound, Arc::new(upper));
        true
    }

    /// Takes an entry out, and says whether it was there.
    pub(super) fn remove(&mut self, entry: Entry) -> bool {
        let Some((&bound, leaf)) = self.by_bound.get_prev(&entry) else { return false };
        if !leaf.contains(entry) {
            return false;
        }
        let Some(leaf) = self.by_bound.get_mut(&bound) else { return false };
        let leaf = Arc::make_mut(leaf);
        leaf.remove(entry);
        let left = leaf.len();
        if left == 0 {
            self.by_bound.remove(&bound);
        } else if left < LEAF_MIN {
            self.merge(bound, left);
        }
        true
    }

    /// Moves what a leaf has left into the one before it, where that has room.
    fn merge(&mut self, bound: Entry, left: usize) {
        let Some((&before, there)) = self.by_bound.range::<_, Entry>(..bound).next_back() else { return };
        if there.len() + left > LEAF_FILL {
            return;
        }
        let Some(leaf) = self.by_bound.remove(&bound) else { return };
        if let Some(there) = self.by_bound.get_mut(&before) {
            Arc::make_mut(there).append(&leaf);
        }
    }

    /// All leaves, ascending.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Leaf> {
        self.by_bound.values().map(|leaf| &**leaf)
    }

    /// Leaves that may have entries from a key up to and with another.
    pub(super) fn meeting(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = &Leaf> {
        let lowest: Entry = (from, 0);
        let start = self.by_bound.get_prev(&lowest).map_or(FIRST, |(bound, _)| *bound);
        let end: Entry = (to, Slot::MAX);
        let leaves = (start <= end).then(|| self.by_bound.range::<_, Entry>(start..=end));
        leaves.into_iter().flatten().map(|(_, leaf)| &**leaf)
    }

    /// Slots of keys from one up to and with another, by key.
    pub(super) fn slots(&self, from: u64, to: u64) -> impl Iterator<Item = &[Slot]> {
        self.meeting(from, to).map(move |leaf| leaf.within(from, to).1)
    }

    /// The least key from one up to and with another.
    fn first_key(&self, from: u64, to: u64) -> Option<u64> {
        self.meeting(from, to).find_map(|leaf| leaf.within(from, to).0.first().copied())
    }

    /// Of the keys from one up to and with another, that of the entry so far up or, where that is the least, the next one.
    pub(super) fn middle_key(&self, from: u64, to: u64, mut half: usize) -> Option<u64> {
        let least = self.first_key(from, to)?;
        let second = self.first_key(least.checked_add(1)?, to)?;
        for leaf in self.meeting(from, to) {
            let (keys, _) = leaf.within(from, to);
            if let Some(key) = keys.get(half) {
                return Some(second.max(*key));
            }
            half -= keys.len();
        }
        Some(second)
    }

    /// Slots whose key no other has.
    pub(super) fn single(&self) -> Vec<Slot> {
        let mut single: Vec<Slot> = Vec::new();
        // The key before, and whether it has a single entry so far, the last of `single`.
        let mut before = None;
        for (key, slot) in self.iter().flat_map(|leaf| leaf.keys().iter().zip(leaf.slots())) {
            let was_single = before.filter(|(before, _)| before == key).map(|(_, is_single)| is_single);
            match was_single {
                None => single.push(*slot),
                Some(true) => drop(single.pop()),
                Some(false) => {}
            }
            before = Some((*key, was_single.is_none()));
        }
        single
    }
}
