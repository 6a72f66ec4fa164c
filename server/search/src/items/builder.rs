//! The index of many items at once: one bitmap after the other is written, not one item after the other.

use super::{ItemIndex, by_id};
use crate::Slot;
use crate::fields::GatheredFields;
use crate::labels::GatheredLabels;
use lapel_values::ItemEntries;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Gathers items by slot, of which it keeps no more than the index does.
#[derive(Default)]
pub struct ItemIndexBuilder {
    index: ItemIndex,
    /// The slot of the next item.
    next: Slot,
    live: RoaringBitmap,
    free: RoaringBitmap,
    labels: GatheredLabels,
    fields: GatheredFields,
    /// Whether the slots of all ids are known from the beginning.
    has_slots: bool,
}

impl ItemIndexBuilder {
    /// A builder for items whose slots are known, in the order of their ids: those of many are indexed sooner so than in the order of
    /// their slots.
    #[must_use]
    pub fn with_slots(slots: &[(Arc<str>, Slot)]) -> Self {
        let index = ItemIndex { by_id: by_id(slots), ..ItemIndex::default() };
        Self { index, has_slots: true, ..Self::default() }
    }

    /// Takes in the item of the next slot, or leaves the slot free.
    pub fn push(&mut self, item: Option<(Arc<str>, &ItemEntries<'_>)>) {
        let slot = self.next;
        self.next += 1;
        self.index.make_room(slot);
        let Some((id, entries)) = item else {
            self.free.insert(slot);
            return;
        };
        self.live.insert(slot);
        self.labels.add(slot, &entries.labels);
        self.fields.add(slot, &entries.fields);
        self.index.pictures.resize(slot, entries.pictures);
        if !self.has_slots {
            self.index.by_id.insert(id.clone(), slot);
        }
        self.index.set(slot, Some(id));
    }

    /// The index of all of them.
    #[must_use]
    pub fn build(self) -> ItemIndex {
        let Self { index, next: _, live, free, labels, fields, has_slots: _ } = self;
        let (live, free) = (Arc::new(live), Arc::new(free));
        ItemIndex { live, free, labels: labels.into_index(), fields: fields.into_index(), ..index }
    }
}
