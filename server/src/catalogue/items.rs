//! Items by slot, by id, by label and by field.

use crate::store::{ItemChange, ItemRecord};
use lapel_search::{
    Attained, BLOCK, FacetCounter, FieldIndex, Filter, IsAbandoned, ItemIndex, LabelIndex, LabelSlots,
    PictureIndex, Slot,
};
use lapel_values::ItemFacts;
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::sync::Arc;

/// An item in memory.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: Arc<str>,
    /// What the store holds of it.
    pub record: ItemRecord,
}

impl Item {
    /// What it is found by beside its signatures.
    pub(super) fn facts(&self) -> ItemFacts<'_> {
        let record = &self.record;
        ItemFacts { labels: &record.labels, fields: &record.fields, pictures: record.pictures() }
    }

    /// Whether it has the same pictures as another.
    pub(crate) fn has_pictures_of(&self, other: &Self) -> bool {
        self.record.images().map(|image| image.content).eq(other.record.images().map(|image| image.content))
    }
}

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
        ItemIndex::of(slots.iter().map(|slot| {
            let item = self.get(slot)?;
            // Facets look at no picture.
            Some((item.id.clone(), ItemFacts { pictures: 0, ..item.facts() }))
        }))
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
    /// The item after.
    pub(super) new: Option<Arc<Item>>,
}

impl<'a> Write<'a> {
    /// What a change does to `old`; `None` when there is no item to change.
    pub(super) fn of(change: &'a ItemChange, old: Option<Arc<Item>>) -> Option<Self> {
        let new = match change {
            ItemChange::Put { id, record, .. } => Some(renewed(old.as_ref(), id, record)),
            ItemChange::Revise { id, record, .. } => {
                let old = old.as_ref()?;
                // An item that only gets signatures is not copied.
                Some(if old.record == *record { old.clone() } else { renewed(Some(old), id, record) })
            }
            ItemChange::Delete { .. } => {
                old.as_ref()?;
                None
            }
        };
        let id = new.as_ref().or(old.as_ref())?.id.clone();
        Some(Self { id, change, old, new })
    }
}

fn renewed(old: Option<&Arc<Item>>, id: &str, record: &ItemRecord) -> Arc<Item> {
    let id = old.map_or_else(|| id.into(), |old| old.id.clone());
    Arc::new(Item { id, record: record.clone() })
}

/// Items by slot: in the slots that they had where those are known, the others in the gaps and behind, by id.
pub(super) fn placed(items: Vec<(String, ItemRecord)>, slots: &[Option<String>]) -> Vec<Option<Arc<Item>>> {
    let item = |(id, record): (String, ItemRecord)| Arc::new(Item { id: id.as_str().into(), record });
    // Each id has one slot.
    let mut known: HashMap<String, ItemRecord> = items.into_iter().collect();
    let had = slots.iter().map(|id| id.as_ref().and_then(|id| known.remove_entry(id)));
    let mut placed: Vec<Option<(String, ItemRecord)>> = had.collect();
    let mut rest: Vec<_> = known.into_iter().collect();
    rest.sort_by(|a, b| a.0.cmp(&b.0));
    let mut rest = rest.into_iter();
    for slot in placed.iter_mut().filter(|slot| slot.is_none()) {
        *slot = rest.next();
    }
    placed.extend(rest.map(Some));
    placed.into_iter().map(|placed| placed.map(item)).collect()
}
