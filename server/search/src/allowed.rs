//! The slots that a search may return: live, past the filters, not excluded.

use crate::bits::bits;
use crate::kernels::{Bits, GROUP, GROUPS};
use crate::places::Places;
use crate::{BLOCK, ItemIndex, Slot};
use roaring::RoaringBitmap;

/// The slots that a search may return.
pub(crate) struct Allowed<'a> {
    places: Places<'a>,
    /// By block, when there is a filter; otherwise every live slot passes.
    passing: Option<Vec<Bits>>,
    excluded: Vec<Slot>,
    count: u64,
}

impl<'a> Allowed<'a> {
    /// The own slots of the passing items, `None` being all.
    pub(crate) fn items(items: &'a ItemIndex, passing: Option<&RoaringBitmap>, exclude: &[String]) -> Self {
        let excluded = excluded(items, passing, exclude);
        let count = passing.map_or(items.len() as u64, RoaringBitmap::len) - excluded.len() as u64;
        let passing = passing.map(|passing| bits(passing, items.blocks()));
        Self { places: Places::Items(items), passing, excluded, count }
    }

    /// The slots of the pictures of the passing items that have several.
    pub(crate) fn pictures(
        items: &'a ItemIndex,
        passing: Option<&RoaringBitmap>,
        exclude: &[String],
    ) -> Self {
        let pictures = items.pictures();
        let of_passing = passing.map(|slots| pictures.passing(slots, items.blocks()));
        let (bits, all) = match of_passing {
            Some((bits, count)) => (Some(bits), count),
            None => (None, pictures.len()),
        };
        let owners = excluded(items, passing, exclude).into_iter();
        let mut excluded: Vec<Slot> = owners.flat_map(|item| pictures.of_item(item)).copied().collect();
        excluded.sort_unstable();
        let count = all - excluded.len() as u64;
        Self { places: Places::Pictures(items), passing: bits, excluded, count }
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

    /// What is walked over.
    pub(crate) fn places(&self) -> Places<'a> {
        self.places
    }

    /// How many slots are in use, allowed or not.
    pub(crate) fn slots(&self) -> u64 {
        self.places.len()
    }

    /// Blocks that there are.
    pub(crate) fn blocks(&self) -> usize {
        self.places.blocks()
    }

    /// Whether a slot is one of them.
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        let at = slot as usize % BLOCK;
        self.block(slot as usize / BLOCK)[at / GROUP] >> (at % GROUP) & 1 == 1
    }

    /// Those of a block.
    pub(crate) fn block(&self, number: usize) -> Bits {
        let mut bits = match &self.passing {
            None => self.places.live_bits(number),
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

/// Slots of the passing items among these, `None` being all: ascending, each once.
fn excluded(items: &ItemIndex, passing: Option<&RoaringBitmap>, exclude: &[String]) -> Vec<Slot> {
    let passes = |slot: &Slot| passing.is_none_or(|passing| passing.contains(*slot));
    let mut excluded: Vec<Slot> = exclude.iter().filter_map(|id| items.slot(id)).filter(passes).collect();
    excluded.sort_unstable();
    excluded.dedup();
    excluded
}
