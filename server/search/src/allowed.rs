//! The slots that a search may return: live, past the filters, not excluded.

use crate::kernels::{Bits, GROUP, GROUPS};
use crate::passing::passing;
use crate::{BLOCK, Filter, ItemIndex, Slot};
use roaring::RoaringBitmap;

/// The slots that a search may return.
pub(crate) struct Allowed<'a> {
    items: &'a ItemIndex,
    /// By block, when there is a filter; otherwise every live slot passes.
    passing: Option<Vec<Bits>>,
    excluded: Vec<Slot>,
    count: u64,
}

impl<'a> Allowed<'a> {
    pub(crate) fn new(items: &'a ItemIndex, filter: &Filter, exclude: &[String]) -> Self {
        let passing = passing(items, filter);
        let passes = |slot: &Slot| passing.as_ref().is_none_or(|passing| passing.contains(*slot));
        let mut excluded: Vec<Slot> = exclude.iter().filter_map(|id| items.slot(id)).filter(passes).collect();
        excluded.sort_unstable();
        excluded.dedup();
        let count = passing.as_ref().map_or(items.len() as u64, |slots| slots.len()) - excluded.len() as u64;
        Self { items, passing: passing.map(|passing| bits(&passing, items.blocks())), excluded, count }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether a filter keeps items out.
    pub(crate) fn is_filtered(&self) -> bool {
        self.passing.is_some()
    }

    /// How many are left out by name.
    pub(crate) fn excluded(&self) -> usize {
        self.excluded.len()
    }

    /// The items of the catalogue, allowed or not.
    pub(crate) fn catalogue(&self) -> &'a ItemIndex {
        self.items
    }

    /// How many items the catalogue has, allowed or not.
    pub(crate) fn items(&self) -> u64 {
        self.items.len() as u64
    }

    /// Blocks that there are.
    pub(crate) fn blocks(&self) -> usize {
        self.items.blocks()
    }

    /// Whether a slot is one of them.
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        let at = slot as usize % BLOCK;
        self.block(slot as usize / BLOCK)[at / GROUP] >> (at % GROUP) & 1 == 1
    }

    /// Those of a block.
    pub(crate) fn block(&self, number: usize) -> Bits {
        let mut bits = match &self.passing {
            None => self.items.live_bits(number),
            Some(passing) => passing.get(number).copied().unwrap_or([0; GROUPS]),
        };
        let from = self.excluded.partition_point(|slot| (*slot as usize) < number * BLOCK);
        for slot in &self.excluded[from..] {
            let Some(at) = (*slot as usize).checked_sub(number * BLOCK).filter(|at| *at < BLOCK) else {
                break;
            };
            bits[at / GROUP] &= !(1 << (at % GROUP));
        }
        bits
    }
}

/// The slots by block, one bit a slot.
pub(crate) fn bits(slots: &RoaringBitmap, blocks: usize) -> Vec<Bits> {
    let mut bits = vec![[0; GROUPS]; blocks];
    let words = bits.as_flattened_mut();
    // By word: one write for what lies together, in place of one a slot.
    let (mut at, mut word) = (0, 0);
    for slot in slots {
        let place = slot as usize / GROUP;
        if place != at {
            if let Some(there) = words.get_mut(at) {
                *there = word;
            }
            (at, word) = (place, 0);
        }
        word |= 1 << (slot as usize % GROUP);
    }
    if let Some(there) = words.get_mut(at) {
        *there = word;
    }
    bits
}
