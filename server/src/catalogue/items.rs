//! Items by slot, by id, by label and by field.

use super::item::{Item, facts};
use crate::store::{ItemChange, ItemRecord};
use lapel_search::{
    Attained, BLOCK, FacetCounter, FieldIndex, Filter, IsAbandoned, ItemIndex, ItemIndexBuilder,
    ItemIndexState, LabelIndex, LabelSlots, PictureIndex, Slot, SlotLookup,
};
use lapel_values::{ItemEntries, ItemFacts};
use rayon::prelude::*;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Items by slot. Cloning is cheap: blocks are shared until they are written.
#[derive(Clone, Default)]
pub(super) struct Records {
    blocks: Vec<Arc<Vec<Option<Arc<Item>>>>>,
}

impl Records {
    pub(super) fn of(items: Vec<Option<Arc<Item>>>) -> Self {
        let mut records = Self::default();
        for (slot, item) in items.into_iter().enumerate() {
            records.set(slot as Slot, item);
        }
        records
    }

    /// Of items by slot, [`BLOCK`] a block and fewer in the last.
    pub(super) fn of_blocks(blocks: Vec<Vec<Option<Arc<Item>>>>) -> Self {
        let whole = |mut block: Vec<_>| {
            block.resize(BLOCK, None);
            Arc::new(block)
        };
        Self { blocks: blocks.into_iter().map(whole).collect() }
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Arc<Item>> {
        self.blocks.get(slot as usize / BLOCK)?.get(slot as usize % BLOCK)?.as_ref()
    }

    pub(super) fn set(&mut self, slot: Slot, item: Option<Arc<Item>>) {
        while self.blocks.len() <= slot as usize / BLOCK {
            self.blocks.push(Arc::new(vec![None; BLOCK]));
        }
        Arc::make_mut(&mut self.blocks[slot as usize / BLOCK])[slot as usize % BLOCK] = item;
    }

    pub(super) fn truncate(&mut self, blocks: usize) {
        self.blocks.truncate(blocks);
    }
}

/// All items of a snapshot.
#[derive(Clone, Copy)]
pub struct Items<'a> {
    pub(super) index: &'a ItemIndex,
    pub(super) records: &'a Records,
}

impl<'a> Items<'a> {
    /// Number of items.
    #[must_use]
    pub fn len(self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.index.is_empty()
    }

    /// Slots that hold an item.
    #[must_use]
    pub fn live(self) -> &'a RoaringBitmap {
        self.index.live()
    }

    /// Number of blocks; every slot lies in one.
    #[must_use]
    pub fn blocks(self) -> usize {
        self.index.blocks()
    }

    /// Slots without an item.
    #[must_use]
    pub fn free(self) -> u64 {
        self.index.free()
    }

    /// The item in a slot.
    #[must_use]
    pub fn get(self, slot: Slot) -> Option<&'a Arc<Item>> {
        self.records.get(slot)
    }

    /// The slot of an id.
    #[must_use]
    pub fn slot(self, id: &str) -> Option<Slot> {
        self.index.slot(id)
    }

    /// The item of an id.
    #[must_use]
    pub fn of_id(self, id: &str) -> Option<&'a Arc<Item>> {
        self.get(self.slot(id)?)
    }

    /// Slots of the items whose ids come after `after`, by id.
    pub fn after(self, after: &'a str) -> impl Iterator<Item = Slot> + 'a {
        self.index.after(after)
    }

    /// The first `most` items that pass and whose ids come after `after`, by id. A list that is abandoned means nothing.
    #[must_use]
    pub fn list(
        self,
        filter: &Filter,
        after: &str,
        most: usize,
        is_abandoned: IsAbandoned<'_>,
    ) -> Vec<&'a Arc<Item>> {
        let slots = self.index.list(filter, after, most, is_abandoned).into_iter();
        slots.filter_map(|slot| self.get(slot)).collect()
    }

    /// An index of the items in some slots alone, in which few are counted faster than among all.
    #[must_use]
    pub fn index_of(self, slots: &RoaringBitmap) -> ItemIndex {
        let mut index = ItemIndexBuilder::default();
        for item in slots.iter().filter_map(|slot| self.get(slot)) {
            // Facets look at no picture.
            index.push(Some((item.id.clone(), &ItemEntries { pictures: 0, ..item.entries() })));
        }
        index.build()
    }

    /// What a start can make the index of again, beside ids and fields.
    #[must_use]
    pub fn index_state(self) -> ItemIndexState<'a> {
        self.index.state()
    }

    /// Looks up slots of ids that mostly come in their order.
    #[must_use]
    pub fn lookup(self) -> SlotLookup<'a> {
        self.index.lookup()
    }

    /// How many items pass.
    #[must_use]
    pub fn count(self, filter: &Filter) -> u64 {
        self.index.count(filter)
    }

    /// Slots of the items that pass; `None` where all do.
    #[must_use]
    pub fn passing(self, filter: &Filter) -> Option<RoaringBitmap> {
        self.index.passing(filter)
    }

    /// For counts of labels and values among the items in some slots, or all.
    #[must_use]
    pub fn facets<'p>(self, passing: Option<&'p RoaringBitmap>) -> FacetCounter<'p>
    where
        'a: 'p,
    {
        self.index.facets(passing)
    }

    /// How many of the items in some slots, or of all, carry all wanted labels, given with their attributes; where none
    /// does, which of them are carried together.
    #[must_use]
    pub fn attainable(self, passing: Option<&RoaringBitmap>, wanted: &[(&str, &str)]) -> Attained {
        self.index.attainable(passing, wanted)
    }

    /// Slots of the items that carry a label.
    #[must_use]
    pub fn with_label(self, attribute: &str, label: &str) -> Option<&'a RoaringBitmap> {
        self.label_index().carrying(attribute, label)
    }

    /// The index of labels.
    #[must_use]
    pub fn label_index(self) -> &'a LabelIndex {
        self.index.labels()
    }

    /// The index of fields.
    #[must_use]
    pub fn fields(self) -> &'a FieldIndex {
        self.index.fields()
    }

    /// The pictures of items that have several.
    #[must_use]
    pub fn pictures(self) -> &'a PictureIndex {
        self.index.pictures()
    }

    /// Attributes, their labels and the slots that carry them.
    pub fn labels(self) -> impl Iterator<Item = (&'a String, &'a LabelSlots)> {
        self.label_index().iter()
    }
}

/// What a change does to an item.
pub(super) struct Write<'a> {
    pub(super) id: Arc<str>,
    pub(super) change: &'a ItemChange,
    /// The item before.
    pub(super) old: Option<Arc<Item>>,
    /// Its record.
    old_record: Option<ItemRecord>,
    /// The item after.
    pub(super) new: Option<Arc<Item>>,
}

impl<'a> Write<'a> {
    /// What a change does to `old`; `None` when there is no item to change.
    pub(super) fn of(change: &'a ItemChange, old: Option<Arc<Item>>) -> Option<Self> {
        let new = match change {
            ItemChange::Put { id, record, .. } => Some(renewed(old.as_ref(), id, record)),
            // An item that only gets signatures stays the same one.
            ItemChange::Revise { id, record, .. } => {
                let (old, new) = (old.as_ref()?, renewed(old.as_ref(), id, record));
                Some(if **old == *new { old.clone() } else { new })
            }
            ItemChange::Delete { .. } => {
                old.as_ref()?;
                None
            }
        };
        let id = new.as_ref().or(old.as_ref())?.id.clone();
        let old_record = old.as_ref().map(|old| old.record());
        Some(Self { id, change, old, old_record, new })
    }

    /// What the item was found by before, and what it is found by after.
    pub(super) fn facts(&self) -> (Option<ItemFacts<'_>>, Option<ItemFacts<'_>>) {
        (self.old_record.as_ref().map(facts), self.change.record().map(facts))
    }
}

fn renewed(old: Option<&Arc<Item>>, id: &str, record: &ItemRecord) -> Arc<Item> {
    let id = old.map_or_else(|| id.into(), |old| old.id.clone());
    Arc::new(Item::new(&id, record))
}

/// Items in their slots.
pub(super) struct Placed {
    /// By slot.
    pub(super) items: Vec<Option<Arc<Item>>>,
    /// Slots by id, ascending.
    pub(super) slots: Vec<(Arc<str>, Slot)>,
}

impl Placed {
    /// In the slots that they had where those are known, the others in the gaps and behind, by id.
    pub(super) fn of(mut items: Vec<Arc<Item>>, slots: &[Option<String>]) -> Self {
        // As the store has them, as a rule.
        items.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let lay = slots.iter().enumerate().filter_map(|(slot, id)| Some((id.as_deref()?, slot)));
        let mut lay: Vec<(&str, usize)> = lay.collect();
        lay.par_sort_unstable();
        let mut lay = lay.into_iter().peekable();
        let mut placed: Vec<Option<Arc<Item>>> = vec![None; slots.len()];
        let mut known = Vec::with_capacity(items.len());
        for item in &items {
            while lay.next_if(|(id, _)| **id < *item.id).is_some() {}
            let slot = lay.next_if(|(id, _)| **id == *item.id).map(|(_, slot)| slot);
            if let Some(slot) = slot {
                placed[slot] = Some(item.clone());
            }
            known.push(slot);
        }
        let mut gaps = 0;
        let mut slots = Vec::with_capacity(items.len());
        for (item, known) in items.into_iter().zip(known) {
            let slot = known.unwrap_or_else(|| {
                gaps += placed[gaps..].iter().take_while(|item| item.is_some()).count();
                if gaps == placed.len() {
                    placed.push(None);
                }
                placed[gaps] = Some(item.clone());
                gaps
            });
            slots.push((item.id.clone(), slot as Slot));
        }
        Self { items: placed, slots }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Ids that lay twice, or are gone, or new: every item has one slot, its first one where it had any.
        #[test]
        fn items_lie_where_they_lay(
            ids in proptest::collection::btree_set(0u8..20, 0..20),
            slots in proptest::collection::vec(proptest::option::of(0u8..24), 0..24),
        ) {
            let items: Vec<Arc<Item>> = ids
                .iter()
                .rev()
                .map(|id| Arc::new(Item::new(&format!("i{id:02}").as_str().into(), &ItemRecord::default())))
                .collect();
            let slots: Vec<Option<String>> = slots.iter().map(|id| Some(format!("i{:02}", (*id)?))).collect();
            let Placed { items: placed, slots: by_id } = Placed::of(items, &slots);
            prop_assert!(by_id.is_sorted());
            prop_assert!(by_id.iter().all(|(id, slot)| placed[*slot as usize].as_ref().is_some_and(|item| item.id == *id)));
            let found: Vec<Option<&str>> = placed.iter().map(|item| item.as_ref().map(|item| &*item.id)).collect();
            let mut all: Vec<&str> = found.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, ids.iter().map(|id| format!("i{id:02}")).collect::<Vec<_>>());
            let mut others = Vec::new();
            for id in &ids {
                let id = format!("i{id:02}");
                match slots.iter().position(|slot| slot.as_ref() == Some(&id)) {
                    Some(slot) => prop_assert_eq!(found[slot], Some(id.as_str())),
                    None => others.push(id),
                }
            }
            let had = |slot: usize| {
                let id = slots.get(slot).and_then(Option::as_ref);
                id.is_some_and(|id| slots.iter().position(|first| first.as_ref() == Some(id)) == Some(slot))
            };
            let new: Vec<&str> = (0..found.len())
                .filter(|slot| !(had(*slot) && found[*slot] == slots[*slot].as_deref()))
                .filter_map(|slot| found[slot])
                .collect();
            prop_assert_eq!(new, others);
        }
    }
}
