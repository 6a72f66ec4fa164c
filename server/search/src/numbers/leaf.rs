//! Entries that follow one another in the order of values.

use crate::Slot;
use crate::kernels::GROUP;

/// A key and the slot whose value has it.
pub(super) type Entry = (u64, Slot);

/// Entries that follow one another, ascending, as lists: what asks for slots does not read keys.
#[derive(Clone, Default)]
pub(super) struct Leaf {
    keys: Vec<u64>,
    slots: Vec<Slot>,
    /// One bit an entry, set at the last one of each key.
    last: Vec<u64>,
    /// Different keys.
    values: usize,
}

impl Leaf {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let (keys, slots) = entries.iter().copied().unzip();
        Self { keys, slots, ..Self::default() }.marked()
    }

    /// Marks the last entry of each key, as is due whenever keys have changed.
    fn mark(&mut self) {
        let nexts = self.keys.iter().skip(1).map(Some).chain([None]);
        let is_last = self.keys.iter().zip(nexts).map(|(key, next)| Some(key) != next);
        self.last.clear();
        self.last.resize(self.keys.len().div_ceil(GROUP), 0);
        for (at, is_last) in is_last.enumerate() {
            self.last[at / GROUP] |= u64::from(is_last) << (at % GROUP);
        }
        self.values = self.last.iter().map(|word| word.count_ones() as usize).sum();
    }

    fn marked(mut self) -> Self {
        self.mark();
        self
    }

    /// Where an entry is, or where it would be.
    fn find(&self, (key, slot): Entry) -> Result<usize, usize> {
        let from = self.keys.partition_point(|other| *other < key);
        let to = from + self.keys[from..].partition_point(|other| *other == key);
        self.slots[from..to].binary_search(&slot).map(|at| from + at).map_err(|at| from + at)
    }

    /// Whether it has an entry.
    pub(super) fn contains(&self, entry: Entry) -> bool {
        self.find(entry).is_ok()
    }

    /// Adds an entry that it does not have.
    pub(super) fn insert(&mut self, entry: Entry) {
        let (Ok(at) | Err(at)) = self.find(entry);
        self.keys.insert(at, entry.0);
        self.slots.insert(at, entry.1);
        self.mark();
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, entry: Entry) {
        let Ok(at) = self.find(entry) else { return };
        self.keys.remove(at);
        self.slots.remove(at);
        self.mark();
    }

    /// Takes the upper half out.
    pub(super) fn split(&mut self) -> Self {
        let half = self.len() / 2;
        let (keys, slots) = (self.keys.split_off(half), self.slots.split_off(half));
        self.mark();
        Self { keys, slots, ..Self::default() }.marked()
    }

    /// Adds the entries of the leaf behind it.
    pub(super) fn append(&mut self, next: &Self) {
        self.keys.extend_from_slice(&next.keys);
        self.slots.extend_from_slice(&next.slots);
        self.mark();
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Number of different keys.
    pub(super) fn values(&self) -> usize {
        self.values
    }

    /// One bit an entry, set at the last one of each key.
    pub(super) fn last_marks(&self) -> &[u64] {
        &self.last
    }

    pub(super) fn first(&self) -> Option<Entry> {
        Some((*self.keys.first()?, *self.slots.first()?))
    }

    /// The entries from a key up to and with another.
    pub(super) fn within(&self, from: u64, to: u64) -> (&[u64], &[Slot]) {
        let is_inside = self.keys.first().is_some_and(|first| *first >= from)
            && self.keys.last().is_some_and(|last| *last <= to);
        if is_inside {
            return (&self.keys, &self.slots);
        }
        let start = self.keys.partition_point(|key| *key < from);
        let end = self.keys.partition_point(|key| *key <= to).max(start);
        (self.keys.get(start..end).unwrap_or_default(), self.slots.get(start..end).unwrap_or_default())
    }
}
