//! Ids, labels and fields by slot: what local columns know of items.

mod builder;
mod lookup;
mod state;

pub use builder::ItemIndexBuilder;
pub use lookup::SlotLookup;
pub use state::ItemIndexState;

use crate::kernels::{Bits, GROUP, GROUPS};
use crate::passing::{self, passing};
use crate::pictures::PictureSlots;
use crate::{BLOCK, FieldIndex, Filter, IsAbandoned, LabelIndex, PictureIndex, PredictionIndex, Slot};
use imbl::OrdMap;
use lapel_values::ItemFacts;
use roaring::RoaringBitmap;
use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;

/// Where no more than one item in so many passes, sorting those is faster than walking over all.
const SPARSE: u64 = 16;

/// The ids of one block of slots.
#[derive(Clone)]
struct IdBlock {
    ids: Vec<Option<Arc<str>>>,
    live: Bits,
}

impl IdBlock {
    /// Of the ids of its first slots.
    fn of(ids: Vec<Option<Arc<str>>>) -> Self {
        let mut block = Self { ids: vec![None; BLOCK], live: [0; GROUPS] };
        ids.into_iter().take(BLOCK).enumerate().for_each(|(at, id)| block.set(at, id));
        block
    }

    fn set(&mut self, at: usize, id: Option<Arc<str>>) {
        let bit = 1 << (at % GROUP);
        if id.is_some() {
            self.live[at / GROUP] |= bit;
        } else {
            self.live[at / GROUP] &= !bit;
        }
        self.ids[at] = id;
    }
}

/// Slots by id.
type ById = OrdMap<Arc<str>, Slot>;

/// The slots of ids that come in their order. Leaves that are filled in order end half full, so every second id comes first, and
/// the others fill them.
fn by_id(ordered: &[(Arc<str>, Slot)]) -> ById {
    let second = |skipped| ordered.iter().skip(skipped).step_by(2).cloned();
    second(0).chain(second(1)).collect()
}

/// Ids by slot, slots by id, by label and by value. Cloning is cheap: blocks, maps and bitmaps are shared until they are written.
#[derive(Clone, Default)]
pub struct ItemIndex {
    blocks: Vec<Arc<IdBlock>>,
    by_id: ById,
    live: Arc<RoaringBitmap>,
    free: Arc<RoaringBitmap>,
    labels: LabelIndex,
    fields: FieldIndex,
    predictions: PredictionIndex,
    pictures: PictureIndex,
}

impl ItemIndex {
    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Slots that hold an item.
    #[must_use]
    pub fn live(&self) -> &RoaringBitmap {
        &self.live
    }

    /// Number of blocks; every slot lies in one.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The slots of a block that hold an item.
    #[must_use]
    pub fn live_bits(&self, block: usize) -> Bits {
        self.blocks.get(block).map_or([0; GROUPS], |block| block.live)
    }

    /// The id of the item in a slot.
    #[must_use]
    pub fn id(&self, slot: Slot) -> Option<&Arc<str>> {
        self.blocks.get(slot as usize / BLOCK)?.ids.get(slot as usize % BLOCK)?.as_ref()
    }

    /// The slot of an id.
    #[must_use]
    pub fn slot(&self, id: &str) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    /// Slots of the items whose ids come after `after`, by id.
    pub fn after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = Slot> + 'a {
        self.by_id.range::<_, str>((Bound::Excluded(after), Bound::Unbounded)).map(|(_, slot)| *slot)
    }

    /// The index of labels.
    #[must_use]
    pub fn labels(&self) -> &LabelIndex {
        &self.labels
    }

    /// The index of fields.
    #[must_use]
    pub fn fields(&self) -> &FieldIndex {
        &self.fields
    }

    /// The index of predicted labels.
    #[must_use]
    pub fn predictions(&self) -> &PredictionIndex {
        &self.predictions
    }

    /// The pictures of items that have several.
    #[must_use]
    pub fn pictures(&self) -> &PictureIndex {
        &self.pictures
    }

    /// Gives the item of a slot as many pictures' slots as it has pictures.
    pub(crate) fn resize_pictures(&mut self, slot: Slot, count: u32) -> PictureSlots {
        self.pictures.resize(slot, count)
    }

    /// Moves a picture to a free slot.
    pub(crate) fn shift_picture(&mut self, slots: (Slot, Slot)) {
        self.pictures.shift(slots);
    }

    /// Drops the blocks behind the last picture and returns how many are left.
    pub(crate) fn truncate_pictures(&mut self) -> usize {
        self.pictures.truncate()
    }

    pub(crate) fn predictions_mut(&mut self) -> &mut PredictionIndex {
        &mut self.predictions
    }

    /// Slots of the items that pass; `None` where every item does, whatever it has.
    #[must_use]
    pub fn passing(&self, filter: &Filter) -> Option<RoaringBitmap> {
        passing(self, filter).map(Cow::into_owned)
    }

    /// How many items pass.
    #[must_use]
    pub fn count(&self, filter: &Filter) -> u64 {
        passing::count(self, filter)
    }

    /// Slots of the first `most` items that pass and whose ids come after `after`, by id. A list that is abandoned ends
    /// within as many items as a block has, and means nothing.
    #[must_use]
    pub fn list(
        &self,
        filter: &Filter,
        after: &str,
        most: usize,
        is_abandoned: IsAbandoned<'_>,
    ) -> Vec<Slot> {
        let Some(passing) = passing(self, filter) else { return self.after(after).take(most).collect() };
        let goes_on = |(at, _): &(usize, Slot)| !(at.is_multiple_of(BLOCK) && is_abandoned());
        if passing.len() > self.len() as u64 / SPARSE {
            let looked_at = self.after(after).enumerate().take_while(goes_on).map(|(_, slot)| slot);
            return looked_at.filter(|slot| passing.contains(*slot)).take(most).collect();
        }
        let id = |slot: Slot| Some((&**self.id(slot)?, slot));
        let looked_at = passing.iter().enumerate().take_while(goes_on).map(|(_, slot)| slot);
        let mut found: Vec<(&str, Slot)> = looked_at.filter_map(id).filter(|(id, _)| *id > after).collect();
        found.sort_unstable();
        found.into_iter().take(most).map(|(_, slot)| slot).collect()
    }

    /// Slots without an item.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.free.len()
    }

    /// The index of these items, by slot.
    #[must_use]
    pub fn of<'a>(items: impl Iterator<Item = Option<(Arc<str>, ItemFacts<'a>)>>) -> Self {
        let mut builder = ItemIndexBuilder::default();
        for item in items {
            match item {
                Some((id, facts)) => builder.push(Some((id, &facts.into()))),
                None => builder.push(None),
            }
        }
        builder.build()
    }

    /// Walks over ids that mostly come in their order, and looks up slots on the way.
    #[must_use]
    pub fn lookup(&self) -> SlotLookup<'_> {
        SlotLookup::new(self)
    }

    /// Puts an item into its slot, the one it had before or a free one, and returns the slot. Its pictures' slots are
    /// the caller's to resize, who has signatures to put there.
    pub(crate) fn put(&mut self, id: &Arc<str>, before: Option<ItemFacts<'_>>, after: ItemFacts<'_>) -> Slot {
        let known = self.slot(id);
        let slot = known.unwrap_or_else(|| self.take_free());
        self.replace(slot, before, Some(after));
        if known.is_none() {
            self.make_room(slot);
            self.by_id.insert(id.clone(), slot);
            Arc::make_mut(&mut self.live).insert(slot);
            self.set(slot, Some(id.clone()));
        }
        slot
    }

    /// Empties the slot of an id and returns it.
    pub(crate) fn remove(&mut self, id: &str, before: Option<ItemFacts<'_>>) -> Option<Slot> {
        let slot = self.by_id.remove(id)?;
        self.replace(slot, before, None);
        self.predictions.remove(slot);
        Arc::make_mut(&mut self.live).remove(slot);
        Arc::make_mut(&mut self.free).insert(slot);
        self.set(slot, None);
        Some(slot)
    }

    /// The last slot that holds an item and the first free one before it, where there is one.
    #[must_use]
    pub fn gap(&self) -> Option<(Slot, Slot)> {
        let (from, to) = (self.live.max()?, self.free.min()?);
        (to < from).then_some((from, to))
    }

    /// Moves the item of a slot, which has these labels and fields, to a free one.
    pub(crate) fn shift(&mut self, (from, to): (Slot, Slot), facts: ItemFacts<'_>) {
        let Some(id) = self.id(from).cloned() else { return };
        self.replace(from, Some(facts), None);
        self.replace(to, None, Some(facts));
        self.predictions.shift((from, to));
        self.pictures.follow_item((from, to));
        self.set(from, None);
        self.set(to, Some(id.clone()));
        self.by_id.insert(id, to);
        let (live, free) = (Arc::make_mut(&mut self.live), Arc::make_mut(&mut self.free));
        live.remove(from);
        live.insert(to);
        free.remove(to);
        free.insert(from);
    }

    /// Drops the blocks behind the last item and returns how many are left.
    pub(crate) fn truncate(&mut self) -> usize {
        let slots = self.live.max().map_or(0, |last| last + 1);
        let blocks = (slots as usize).div_ceil(BLOCK);
        self.blocks.truncate(blocks);
        self.predictions.truncate(blocks);
        Arc::make_mut(&mut self.free).remove_range(slots..);
        blocks
    }

    fn replace(&mut self, slot: Slot, before: Option<ItemFacts<'_>>, after: Option<ItemFacts<'_>>) {
        self.labels.replace(slot, before.map(|facts| facts.labels), after.map(|facts| facts.labels));
        self.fields.replace(slot, before.map(|facts| facts.fields), after.map(|facts| facts.fields));
    }

    fn take_free(&mut self) -> Slot {
        if let Some(slot) = self.free.min() {
            Arc::make_mut(&mut self.free).remove(slot);
            return slot;
        }
        self.live.max().map_or(0, |last| last + 1)
    }

    fn make_room(&mut self, slot: Slot) {
        while self.blocks.len() <= slot as usize / BLOCK {
            self.blocks.push(Arc::new(IdBlock::of(Vec::new())));
        }
    }

    fn set(&mut self, slot: Slot, id: Option<Arc<str>>) {
        if let Some(block) = self.blocks.get_mut(slot as usize / BLOCK) {
            Arc::make_mut(block).set(slot as usize % BLOCK, id);
        }
    }
}

#[cfg(test)]
mod tests;
