//! The index of many items at once: one bitmap after the other is written, not one item after the other.

use super::ItemIndex;
use crate::Slot;
use crate::fields::GatheredFields;
use crate::labels::GatheredLabels;
use lapel_values::ItemFacts;
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
}

impl ItemIndexBuilder {
    /// Takes in the item of the next slot, or leaves the slot free.
    pub fn push(&mut self, item: Option<(Arc<str>, ItemFacts<'_>)>) {
        let slot = self.next;
        self.next += 1;
        self.index.make_room(slot);
        let Some((id, facts)) = item else {
            self.free.insert(slot);
            return;
        };
        self.live.insert(slot);
        self.labels.add(slot, facts.labels);
        self.fields.add(slot, facts.fields);
        self.index.pictures.resize(slot, facts.pictures);
        self.index.by_id.insert(id.clone(), slot);
        self.index.set(slot, Some(id));
    }

    /// The index of all of them.
    #[must_use]
    pub fn build(self) -> ItemIndex {
        let Self { index, next: _, live, free, labels, fields } = self;
        let (live, free) = (Arc::new(live), Arc::new(free));
        ItemIndex { live, free, labels: labels.into_index(), fields: fields.into_index(), ..index }
    }
}
