//! Sets of all slots whose keys are below some keys, the fences: what a range has is the difference of two of them, but for
//! the entries between its ends and the fences nearest to them.

use crate::bits::{common, is_set};
use crate::kernels::{Bits, GROUP, GROUPS};
use crate::{BLOCK, Slot};
use imbl::Vector;
use std::sync::Arc;

/// Blocks of slots whose bits lie together: of fewer a set would be read in bits too small to be fetched ahead, and of more a
/// write would copy more.
const TOGETHER: usize = 4;
/// The bits of so many slots.
const SPAN: usize = TOGETHER * BLOCK;

/// The row of the slots whose key no other has.
const SINGLE: usize = 0;

/// The bits of a set in one span of slots.
type Row = [Bits; TOGETHER];

/// Bits by span of slots, row and slot. Cloning is cheap; spans are shared until they are written.
#[derive(Clone, Default)]
pub(super) struct Fences {
    /// Ascending.
    keys: Vec<u64>,
    /// By fence: entries below it.
    counts: Vec<u64>,
    /// The row of single keys, and one a fence. Without fences there is none, and nothing is set behind the last.
    spans: Vector<Arc<Vec<Row>>>,
}

impl Fences {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key of a fence.
    pub(super) fn key(&self, fence: usize) -> Option<u64> {
        self.keys.get(fence).copied()
    }

    /// How many entries are below a fence.
    pub(super) fn count(&self, fence: usize) -> Option<u64> {
        self.counts.get(fence).copied()
    }

    /// How many fences are at a key or below: the number of the first one above it.
    pub(super) fn above(&self, key: u64) -> usize {
        self.keys.partition_point(|fence| *fence <= key)
    }

    /// Adds an entry to the sets that have it.
    pub(super) fn insert(&mut self, key: u64, slot: Slot) {
        let above = self.above(key);
        self.counts[above..].iter_mut().for_each(|count| *count += 1);
        self.set(above + 1.., slot, true);
    }

    /// Takes an entry out of them.
    pub(super) fn remove(&mut self, key: u64, slot: Slot) {
        let above = self.above(key);
        self.counts[above..].iter_mut().for_each(|count| *count -= 1);
        self.set(above + 1.., slot, false);
        let is_empty =
            |span: &Arc<Vec<Row>>| span.as_flattened().as_flattened().iter().all(|word| *word == 0);
        while self.spans.last().is_some_and(is_empty) {
            self.spans.pop_back();
        }
    }

    /// Notes whether no other entry has the key of a slot's.
    pub(super) fn set_single(&mut self, slot: Slot, is_single: bool) {
        let (span, at) = (slot as usize / SPAN, slot % SPAN as Slot);
        let row = self.spans.get(span).and_then(|span| span.get(SINGLE));
        // What stays as it is is not copied.
        if row.is_some_and(|row| is_set(row.as_flattened(), at)) != is_single {
            self.set(SINGLE..SINGLE + 1, slot, is_single);
        }
    }

    fn set(&mut self, rows: impl std::slice::SliceIndex<[Row], Output = [Row]>, slot: Slot, is_in: bool) {
        if self.is_empty() {
            return;
        }
        let (span, at) = (slot as usize / SPAN, slot as usize % SPAN);
        if is_in {
            self.make_room(span);
        }
        let Some(span) = self.spans.get_mut(span) else { return };
        for row in Arc::make_mut(span).get_mut(rows).unwrap_or_default() {
            let (word, bit) = (&mut row.as_flattened_mut()[at / GROUP], 1 << (at % GROUP));
            *word = if is_in { *word | bit } else { *word & !bit };
        }
    }

    fn make_room(&mut self, span: usize) {
        let rows = self.len() + 1;
        while self.spans.len() <= span {
            self.spans.push_back(Arc::new(vec![[[0; GROUPS]; TOGETHER]; rows]));
        }
    }

    /// Puts a fence before another: `between` are the slots of the keys from the fence before it up to it. Beside the first
    /// one, `single` are the slots of single keys.
    pub(super) fn add<'a>(
        &mut self,
        fence: usize,
        key: u64,
        between: impl Iterator<Item = &'a [Slot]>,
        single: &[Slot],
    ) {
        let before = fence.checked_sub(1).and_then(|before| self.count(before)).unwrap_or_default();
        self.keys.insert(fence, key);
        self.counts.insert(fence, before);
        for span in &mut self.spans {
            let span = Arc::make_mut(span);
            let row = if fence == 0 { [[0; GROUPS]; TOGETHER] } else { span[fence] };
            span.insert(fence + 1, row);
        }
        for slot in single {
            self.set(SINGLE..SINGLE + 1, *slot, true);
        }
        for slots in between {
            self.counts[fence] += slots.len() as u64;
            for slot in slots {
                self.set(fence + 1..fence + 2, *slot, true);
            }
        }
    }

    /// Takes a fence away.
    pub(super) fn drop(&mut self, fence: usize) {
        self.keys.remove(fence);
        self.counts.remove(fence);
        if self.is_empty() {
            self.spans.clear();
        }
        for span in &mut self.spans {
            Arc::make_mut(span).remove(fence + 1);
        }
    }

    /// How many of some slots are below a fence.
    pub(super) fn common(&self, fence: usize, slots: &[Bits]) -> u64 {
        self.common_with(fence + 1, slots)
    }

    /// How many of some slots have a key that no other has.
    pub(super) fn common_single(&self, slots: &[Bits]) -> u64 {
        self.common_with(SINGLE, slots)
    }

    fn common_with(&self, row: usize, slots: &[Bits]) -> u64 {
        let rows = self.spans.iter().filter_map(|span| span.get(row));
        rows.flatten().zip(slots).map(|(of_row, slots)| common(of_row, slots)).sum()
    }

    /// Turns the bits of the slots below a fence.
    pub(super) fn toggle(&self, fence: usize, bits: &mut [Bits]) {
        let rows = self.spans.iter().filter_map(|span| span.get(fence + 1));
        for (of_row, bits) in rows.flatten().zip(bits) {
            bits.iter_mut().zip(of_row).for_each(|(word, of_row)| *word ^= of_row);
        }
    }
}
