//! Entries that follow one another in the order of values.

use crate::Slot;
use crate::kernels::GROUP;

/// A key and the slot whose value has it.
pub(super) type Entry = (u64, Slot);

/// Entries that a leaf has at most.
pub(super) const LEAF_MAX: usize = 1024;

/// One bit an entry.
pub(super) type Marks = [u64; LEAF_MAX / GROUP];

/// Entries that follow one another, ascending, as lists: what asks for slots does not read keys.
#[derive(Clone, Default)]
pub(super) struct Leaf {
    /// The least key and the largest.
    ends: (u64, u64),
    /// Set at the last entry of each key.
    last: Marks,
    /// Different keys.
    values: usize,
    keys: Vec<u64>,
    slots: Vec<Slot>,
}

impl Leaf {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let (keys, slots) = entries.iter().copied().unzip();
        Self { keys, slots, ..Self::default() }.marked()
    }

    /// Marks the last entry of each key, as is due whenever keys have changed.
    fn mark(&mut self) {
        let Some(end) = self.keys.last().copied() else { return };
        self.ends = (self.keys.first().copied().unwrap_or(end), end);
        // Behind the last entry follows another key.
        let nexts = self.keys.iter().skip(1).copied().chain([!end]);
        let mut differs = self.keys.iter().zip(nexts).map(|(key, next)| *key != next);
        self.last = std::array::from_fn(|_| {
            let word = differs.by_ref().take(GROUP).enumerate();
            word.fold(0, |word, (at, differs)| word | u64::from(differs) << at)
        });
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

    /// Whether it can take no entry more.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= LEAF_MAX
    }

    /// The least key and the largest; of an empty leaf they mean nothing.
    pub(super) fn ends(&self) -> (u64, u64) {
        self.ends
    }

    /// Set at the last entry of each key.
    pub(super) fn last_marks(&self) -> &Marks {
        &self.last
    }

    pub(super) fn first(&self) -> Option<Entry> {
        Some((*self.keys.first()?, *self.slots.first()?))
    }

    /// The entries from a key up to and with another.
    pub(super) fn within(&self, from: u64, to: u64) -> (&[u64], &[Slot]) {
        if self.ends.0 >= from && self.ends.1 <= to {
            return (&self.keys, &self.slots);
        }
        let start = self.keys.partition_point(|key| *key < from);
        let end = self.keys.partition_point(|key| *key <= to).max(start);
        (self.keys.get(start..end).unwrap_or_default(), self.slots.get(start..end).unwrap_or_default())
    }
}
