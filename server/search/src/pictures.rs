//! The pictures of items that have several: slots of their own, beside those of the items.
//!
//! An item's own slot holds the mean of its pictures, or its only picture, and that is what most readers want. Where a
//! search asks for the nearest picture, items with several are searched by these slots in the place of their own. A slot
//! knows which picture it is and nothing else: what is written of an item, its price, say, is written once, and filters
//! are evaluated by items.

use crate::Slot;
use crate::bits::{bits, is_set};
use crate::kernels::{BLOCK, Bits, GROUP, GROUPS};
use imbl::OrdMap;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where no more than one in so many of the items with several pictures passes, those are walked over and not all slots.
const SPARSE: u64 = 16;

/// Which picture a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicturePlace {
    /// The slot of its item.
    pub item: Slot,
    /// Its number among the item's pictures, from 0 on.
    pub number: u32,
}

/// What a write does to the slots of an item's pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PictureSlots {
    /// Those that it has now, in the order of its pictures; none where it has at most one.
    pub(crate) now: Vec<Slot>,
    /// Those that it had and that are free now.
    pub(crate) freed: Vec<Slot>,
}

#[derive(Clone)]
struct PictureBlock {
    places: Vec<Option<PicturePlace>>,
    live: Bits,
}

impl PictureBlock {
    /// The block whose first positions hold these, and whose others hold nothing.
    fn of(places: &[Option<PicturePlace>]) -> Self {
        let mut block = Self { places: vec![None; BLOCK], live: [0; GROUPS] };
        places.iter().take(BLOCK).enumerate().for_each(|(at, place)| block.set(at, *place));
        block
    }

    fn set(&mut self, at: usize, place: Option<PicturePlace>) {
        let bit = 1 << (at % GROUP);
        if place.is_some() {
            self.live[at / GROUP] |= bit;
        } else {
            self.live[at / GROUP] &= !bit;
        }
        self.places[at] = place;
    }
}

/// Pictures by slot, and slots by item. Cloning is cheap: blocks, maps and bitmaps are shared until they are written.
#[derive(Clone, Default)]
pub struct PictureIndex {
    blocks: Vec<Arc<PictureBlock>>,
    /// Slots in the order of an item's pictures, by the item's slot.
    by_item: OrdMap<Slot, Arc<[Slot]>>,
    /// Slots of the items that have several.
    several: Arc<RoaringBitmap>,
    live: Arc<RoaringBitmap>,
    free: Arc<RoaringBitmap>,
}

impl PictureIndex {
    /// Pictures of items that have several.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.live.len()
    }

    /// Whether no item has several pictures.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Slots of the items that have several pictures.
    #[must_use]
    pub fn several(&self) -> &RoaringBitmap {
        &self.several
    }

    /// Slots of an item's pictures, in their order; none where it has at most one.
    #[must_use]
    pub fn of_item(&self, item: Slot) -> &[Slot] {
        self.by_item.get(&item).map(|slots| &**slots).unwrap_or_default()
    }

    /// The picture in a slot.
    #[must_use]
    pub fn place(&self, slot: Slot) -> Option<PicturePlace> {
        *self.blocks.get(slot as usize / BLOCK)?.places.get(slot as usize % BLOCK)?
    }

    /// By slot, which picture it holds; slots behind the last that was in use are left out.
    #[must_use]
    pub fn places(&self) -> Vec<Option<PicturePlace>> {
        let slots = self.live.max().max(self.free.max()).map_or(0, |last| last + 1);
        (0..slots).map(|slot| self.place(slot)).collect()
    }

    /// The index of which these are the places; `None` where they cannot be: the pictures of an item, of which there are at least
    /// two, are numbered from 0 on, each once.
    #[must_use]
    pub fn of_places(places: &[Option<PicturePlace>]) -> Option<Self> {
        let by_slot = (0..Slot::try_from(places.len()).ok()?).zip(places.iter().copied());
        let (live, free): (Vec<_>, Vec<_>) = by_slot.partition(|(_, place)| place.is_some());
        let mut pictures: Vec<(PicturePlace, Slot)> =
            live.iter().filter_map(|(slot, place)| Some(((*place)?, *slot))).collect();
        pictures.sort_unstable_by_key(|(place, _)| (place.item, place.number));
        let mut by_item = OrdMap::new();
        for of_item in pictures.chunk_by(|(a, _), (b, _)| a.item == b.item) {
            let is_numbered = (0..).zip(of_item).all(|(number, (place, _))| place.number == number);
            if of_item.len() < 2 || !is_numbered {
                return None;
            }
            let slots: Arc<[Slot]> = of_item.iter().map(|(_, slot)| *slot).collect();
            by_item.insert(of_item[0].0.item, slots);
        }
        let slots = |of: Vec<(Slot, _)>| Arc::new(of.into_iter().map(|(slot, _)| slot).collect());
        Some(Self {
            blocks: places.chunks(BLOCK).map(|places| Arc::new(PictureBlock::of(places))).collect(),
            several: Arc::new(by_item.keys().copied().collect()),
            by_item,
            live: slots(live),
            free: slots(free),
        })
    }

    /// Slots without a picture.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.free.len()
    }

    /// The last slot that holds a picture and the first free one before it, where there is one.
    #[must_use]
    pub fn gap(&self) -> Option<(Slot, Slot)> {
        let (from, to) = (self.live.max()?, self.free.min()?);
        (to < from).then_some((from, to))
    }

    /// Number of blocks; every slot lies in one.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The slots of a block that hold a picture.
    pub(crate) fn live_bits(&self, block: usize) -> Bits {
        self.blocks.get(block).map_or([0; GROUPS], |block| block.live)
    }

    /// Slots of the pictures of passing items, which lie in so many blocks, one bit a slot, and how many they are.
    pub(crate) fn passing(&self, passing: &RoaringBitmap, item_blocks: usize) -> (Vec<Bits>, u64) {
        let mut found = Found { bits: vec![[0; GROUPS]; self.blocks.len()], count: 0 };
        let owners = passing.intersection_len(&self.several);
        if owners <= self.several.len() / SPARSE {
            for item in passing & &*self.several {
                self.of_item(item).iter().for_each(|slot| found.add(*slot));
            }
            return (found.bits, found.count);
        }
        let items = bits(passing, item_blocks);
        for (number, block) in self.blocks.iter().enumerate() {
            for (at, place) in block.places.iter().enumerate() {
                if place.is_some_and(|place| is_set(items.as_flattened(), place.item)) {
                    found.add((number * BLOCK + at) as Slot);
                }
            }
        }
        (found.bits, found.count)
    }

    /// Gives an item as many slots as it has pictures, or none where it has at most one; those it has already it keeps.
    pub(crate) fn resize(&mut self, item: Slot, count: u32) -> PictureSlots {
        let wanted = if count > 1 { count as usize } else { 0 };
        let mut now = self.of_item(item).to_vec();
        if now.len() == wanted {
            return PictureSlots { now, freed: Vec::new() };
        }
        let freed = now.split_off(wanted.min(now.len()));
        freed.iter().for_each(|slot| self.set(*slot, None));
        while now.len() < wanted {
            let slot = self.first_free();
            self.set(slot, Some(PicturePlace { item, number: now.len() as u32 }));
            now.push(slot);
        }
        let several = Arc::make_mut(&mut self.several);
        if now.is_empty() {
            several.remove(item);
            self.by_item.remove(&item);
        } else {
            several.insert(item);
            self.by_item.insert(item, now.as_slice().into());
        }
        PictureSlots { now, freed }
    }

    /// The item of a slot has moved to another; its pictures stay where they are.
    pub(crate) fn follow_item(&mut self, (from, to): (Slot, Slot)) {
        let Some(slots) = self.by_item.remove(&from) else { return };
        for (number, slot) in (0..).zip(slots.iter()) {
            self.set(*slot, Some(PicturePlace { item: to, number }));
        }
        self.by_item.insert(to, slots);
        let several = Arc::make_mut(&mut self.several);
        several.remove(from);
        several.insert(to);
    }

    /// Moves a picture to a free slot.
    pub(crate) fn shift(&mut self, (from, to): (Slot, Slot)) {
        let Some(place) = self.place(from) else { return };
        self.set(from, None);
        self.set(to, Some(place));
        let moved = |slot: &Slot| if *slot == from { to } else { *slot };
        let slots: Vec<Slot> = self.of_item(place.item).iter().map(moved).collect();
        self.by_item.insert(place.item, slots.into());
    }

    /// Drops the blocks behind the last picture and returns how many are left.
    pub(crate) fn truncate(&mut self) -> usize {
        let slots = self.live.max().map_or(0, |last| last + 1);
        let blocks = (slots as usize).div_ceil(BLOCK);
        self.blocks.truncate(blocks);
        Arc::make_mut(&mut self.free).remove_range(slots..);
        blocks
    }

    fn first_free(&self) -> Slot {
        self.free.min().unwrap_or_else(|| self.live.max().map_or(0, |last| last + 1))
    }

    fn set(&mut self, slot: Slot, place: Option<PicturePlace>) {
        let (number, at) = (slot as usize / BLOCK, slot as usize % BLOCK);
        while self.blocks.len() <= number {
            self.blocks.push(Arc::new(PictureBlock::of(&[])));
        }
        let Some(block) = self.blocks.get_mut(number).map(Arc::make_mut) else { return };
        block.set(at, place);
        let (live, free) = (Arc::make_mut(&mut self.live), Arc::make_mut(&mut self.free));
        if place.is_some() {
            live.insert(slot);
            free.remove(slot);
        } else {
            live.remove(slot);
            free.insert(slot);
        }
    }
}

/// Slots as bits, and how many they are.
struct Found {
    bits: Vec<Bits>,
    count: u64,
}

impl Found {
    fn add(&mut self, slot: Slot) {
        let at = slot as usize % BLOCK;
        if let Some(block) = self.bits.get_mut(slot as usize / BLOCK) {
            block[at / GROUP] |= 1 << (at % GROUP);
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests;
