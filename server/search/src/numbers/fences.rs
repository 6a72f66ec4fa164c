//! Sets of all slots whose keys are below some keys, the fences: what a range has is the difference of two of them, but for
//! the entries between its ends and the fences nearest to them.

use crate::bits::{common, is_set};
use crate::kernels::{Bits, GROUP, GROUPS};
use crate::{BLOCK, Slot};
use std::sync::Arc;

/// The row of the slots whose key no other has.
const SINGLE: usize = 0;

/// Bits by block of slots, row and slot. Cloning is cheap; blocks are shared until they are written.
#[derive(Clone, Default)]
pub(super) struct Fences {
    /// Ascending.
    keys: Vec<u64>,
    /// By fence: entries below it.
    counts: Vec<u64>,
    /// By block: the row of single keys, and one a fence. Without fences there is none, and nothing is set behind the last.
    blocks: Vec<Arc<Vec<Bits>>>,
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
        let is_empty = |block: &Arc<Vec<Bits>>| block.as_flattened().iter().all(|word| *word == 0);
        while self.blocks.last().is_some_and(is_empty) {
            self.blocks.pop();
        }
    }

    /// Notes whether no other entry has the key of a slot's.
    pub(super) fn set_single(&mut self, slot: Slot, is_single: bool) {
        let block = self.blocks.get(slot as usize / BLOCK).and_then(|block| block.get(SINGLE));
        // What stays as it is is not copied.
        if block.is_some_and(|block| is_set(block, slot % BLOCK as Slot)) != is_single {
            self.set(SINGLE..SINGLE + 1, slot, is_single);
        }
    }

    fn set(&mut self, rows: impl std::slice::SliceIndex<[Bits], Output = [Bits]>, slot: Slot, is_in: bool) {
        if self.is_empty() {
            return;
        }
        let (block, at) = (slot as usize / BLOCK, slot as usize % BLOCK);
        if is_in {
            self.make_room(block);
        }
        let Some(block) = self.blocks.get_mut(block) else { return };
        for row in Arc::make_mut(block).get_mut(rows).unwrap_or_default() {
            let bit = 1 << (at % GROUP);
            row[at / GROUP] = if is_in { row[at / GROUP] | bit } else { row[at / GROUP] & !bit };
        }
    }

    fn make_room(&mut self, block: usize) {
        let rows = self.len() + 1;
        while self.blocks.len() <= block {
            self.blocks.push(Arc::new(vec![[0; GROUPS]; rows]));
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
        for block in &mut self.blocks {
            let block = Arc::make_mut(block);
            let row = if fence == 0 { [0; GROUPS] } else { block[fence] };
            block.insert(fence + 1, row);
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
            self.blocks.clear();
        }
        for block in &mut self.blocks {
            Arc::make_mut(block).remove(fence + 1);
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
        let of_block =
            |(block, slots): (&Arc<Vec<Bits>>, &Bits)| block.get(row).map(|row| common(row, slots));
        self.blocks.iter().zip(slots).filter_map(of_block).sum()
    }

    /// Turns the bits of the slots below a fence.
    pub(super) fn toggle(&self, fence: usize, bits: &mut [Bits]) {
        for (block, bits) in self.blocks.iter().zip(bits) {
            for (word, of_row) in bits.iter_mut().zip(block.get(fence + 1).into_iter().flatten()) {
                *word ^= of_row;
            }
        }
    }
}
