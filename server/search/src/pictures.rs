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
use std::sync::Arc;

/// Where no more than one in so many of the items with several pictures passes, those are walked over and not all slots.
const SPARSE: u64 = 16;

/// Which picture a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let slots = 0..Slot::try_from(places.len()).ok()?;
        let mut pictures: Vec<(Slot, u32, Slot)> = slots
            .zip(places)
            .filter_map(|(slot, place)| Some((place.as_ref()?.item, place.as_ref()?.number, slot)))
            .collect();
        pictures.sort_unstable();
        let mut by_item = OrdMap::new();
        for pictures in pictures.chunk_by(|a, b| a.0 == b.0) {
            if pictures.len() < 2 || !(0..).zip(pictures).all(|(number, of)| of.1 == number) {
                return None;
            }
            by_item.insert(pictures[0].0, pictures.iter().map(|of| of.2).collect::<Arc<[Slot]>>());
        }
        let slots = || (0..).zip(places);
        Some(Self {
            blocks: places.chunks(BLOCK).map(|places| Arc::new(PictureBlock::of(places))).collect(),
            several: Arc::new(by_item.keys().copied().collect()),
            live: Arc::new(slots().filter(|(_, place)| place.is_some()).map(|(slot, _)| slot).collect()),
            free: Arc::new(slots().filter(|(_, place)| place.is_none()).map(|(slot, _)| slot).collect()),
            by_item,
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    type Writes = Vec<(u32, u32, u8)>;

    fn writes() -> impl Strategy<Value = Writes> {
        proptest::collection::vec((0u32..20, 0u32..9, 0u8..4), 1..80)
    }

    /// An index after some writes, and how many pictures each item has that has several.
    fn written(writes: Writes) -> (PictureIndex, BTreeMap<Slot, u32>) {
        let (mut index, mut model) = (PictureIndex::default(), BTreeMap::<Slot, u32>::new());
        for (item, count, kind) in writes {
            match kind {
                0 if !model.contains_key(&(item + 20)) => {
                    index.follow_item((item, item + 20));
                    if let Some(count) = model.remove(&item) {
                        model.insert(item + 20, count);
                    }
                }
                1 => {
                    while let Some(gap) = index.gap() {
                        index.shift(gap);
                    }
                    index.truncate();
                }
                _ => {
                    let had = index.of_item(item).to_vec();
                    let PictureSlots { now, freed } = index.resize(item, count);
                    assert_eq!(&now, index.of_item(item));
                    let kept = now.len().min(had.len());
                    assert_eq!((&now[..kept], &freed[..]), (&had[..kept], &had[kept..]));
                    model.insert(item, count);
                }
            }
            model.retain(|_, count| *count > 1);
        }
        (index, model)
    }

    proptest! {
        /// Items with other numbers of pictures, items and pictures that move: every picture has one slot, which knows it.
        #[test]
        fn every_picture_has_a_slot_that_knows_it(
            writes in writes(), passing in proptest::collection::btree_set(0u32..40, 0..30),
        ) {
            let (index, model) = written(writes);
            let all: BTreeSet<Slot> = model.keys().flat_map(|item| index.of_item(*item)).copied().collect();
            prop_assert_eq!(all.len() as u32, model.values().sum::<u32>());
            prop_assert_eq!((index.len(), index.is_empty()), (all.len() as u64, all.is_empty()));
            prop_assert!(index.several().iter().eq(model.keys().copied()));
            for (item, count) in &model {
                let slots = index.of_item(*item);
                prop_assert_eq!(slots.len() as u32, *count);
                for (number, slot) in (0..).zip(slots) {
                    prop_assert_eq!(index.place(*slot), Some(PicturePlace { item: *item, number }));
                }
            }
            let passing: RoaringBitmap = passing.into_iter().collect();
            let (found, count) = index.passing(&passing, 1);
            let wanted = model.iter().filter(|(item, _)| passing.contains(**item));
            let wanted: RoaringBitmap = wanted.flat_map(|(item, _)| index.of_item(*item)).copied().collect();
            prop_assert_eq!((count, found), (wanted.len(), bits(&wanted, index.blocks())));
        }

        /// What is made of the places is the same index, and goes on as it would have.
        #[test]
        fn an_index_comes_back_from_its_places(
            writes in writes(), changed in any::<prop::sample::Index>(), (item, number) in (0u32..40, 0u32..9),
        ) {
            let (mut index, _) = written(writes);
            let mut places = index.places();
            let mut again = PictureIndex::of_places(&places).expect("sound");
            let all = |index: &PictureIndex| {
                let of_item: Vec<Vec<Slot>> = (0..40).map(|item| index.of_item(item).to_vec()).collect();
                let bits: Vec<Bits> = (0..index.blocks()).map(|block| index.live_bits(block)).collect();
                (index.places(), of_item, bits, index.several().clone(), index.len(), index.free(), index.gap())
            };
            prop_assert_eq!(all(&again), all(&index));
            prop_assert_eq!(again.resize(item, number), index.resize(item, number));
            prop_assert_eq!(all(&again), all(&index));
            // One place more, or another one.
            if !places.is_empty() {
                let at = changed.index(places.len());
                places[at] = Some(PicturePlace { item, number });
                prop_assert_eq!(PictureIndex::of_places(&places).is_some(), is_sound(&places));
            }
        }
    }

    /// Whether every item has at least two pictures, numbered from 0 on.
    fn is_sound(places: &[Option<PicturePlace>]) -> bool {
        let mut numbers = BTreeMap::<Slot, Vec<u32>>::new();
        places.iter().flatten().for_each(|place| numbers.entry(place.item).or_default().push(place.number));
        numbers.values_mut().all(|numbers| {
            numbers.sort_unstable();
            numbers.len() > 1 && numbers.iter().copied().eq(0..numbers.len() as u32)
        })
    }

    #[test]
    fn places_that_cannot_be_make_no_index() {
        let place = |item, number| Some(PicturePlace { item, number });
        for (places, is_sound) in [
            (vec![], true),
            (vec![None, None], true),
            (vec![place(7, 1), None, place(7, 0), place(3, 0), place(3, 1)], true),
            (vec![place(7, 0)], false),
            (vec![place(7, 0), place(7, 0)], false),
            (vec![place(7, 0), place(7, 2)], false),
            (vec![place(7, 1), place(7, 2)], false),
            (vec![place(7, 0), place(7, 1), place(7, 1)], false),
            (vec![place(u32::MAX, 0), place(u32::MAX, u32::MAX)], false),
        ] {
            assert_eq!(PictureIndex::of_places(&places).is_some(), is_sound, "{places:?}");
        }
    }
}
