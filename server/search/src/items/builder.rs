//! The index of many items at once: one bitmap after the other is written, not one item after the other.

use super::ItemIndex;
use crate::fields::GatheredFields;
use crate::labels::GatheredLabels;
use crate::{PictureIndex, Slot};
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
    /// A builder for items whose slots are known, by id: those of many are indexed sooner in the order of their ids than of their slots.
    /// Pictures keep the slots that they have here: those of items that come to their own slots with several.
    #[must_use]
    pub fn with_slots(slots: Vec<(Arc<str>, Slot)>, pictures: PictureIndex) -> Self {
        let index = ItemIndex { by_id: slots.into_iter().collect(), pictures, ..ItemIndex::default() };
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
        let Self { mut index, next: _, live, free, labels, fields, has_slots: _ } = self;
        // Of the pictures that were there before, those of items that did not come.
        for item in index.pictures.several() - &live {
            index.pictures.resize(item, 0);
        }
        let (live, free) = (Arc::new(live), Arc::new(free));
        ItemIndex { live, free, labels: labels.into_index(), fields: fields.into_index(), ..index }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The index of items by slot, by their numbers of pictures, that is built upon pictures.
    fn built(pictures: PictureIndex, items: &[Option<u32>]) -> ItemIndex {
        let id = |slot: usize| Arc::<str>::from(format!("i{slot}"));
        let there = items.iter().enumerate().filter(|(_, count)| count.is_some());
        let slots = there.map(|(slot, _)| (id(slot), slot as Slot)).collect();
        let mut builder = ItemIndexBuilder::with_slots(slots, pictures);
        for (slot, count) in items.iter().enumerate() {
            let entries = count.map(|pictures| ItemEntries { pictures, ..ItemEntries::default() });
            builder.push(entries.as_ref().map(|entries| (id(slot), entries)));
        }
        builder.build()
    }

    fn items() -> impl Strategy<Value = Vec<Option<u32>>> {
        proptest::collection::vec(proptest::option::of(0u32..6), 0..40)
    }

    proptest! {
        /// Items that come again keep the slots of their pictures, as far as they have as many; nothing is left of others.
        #[test]
        fn pictures_keep_their_slots(before in items(), now in items()) {
            let old = built(PictureIndex::default(), &before).pictures().clone();
            let index = built(old.clone(), &now);
            let several = |count: &Option<u32>| count.filter(|count| *count > 1).unwrap_or(0);
            for slot in 0..before.len().max(now.len()) as Slot {
                let (had, has) = (old.of_item(slot), index.pictures().of_item(slot));
                prop_assert_eq!(has.len() as u32, now.get(slot as usize).map_or(0, several));
                let kept = had.len().min(has.len());
                prop_assert_eq!(&has[..kept], &had[..kept]);
            }
            let wanted: u32 = now.iter().map(several).sum();
            prop_assert_eq!(index.pictures().len(), u64::from(wanted));
            prop_assert_eq!(index.len(), now.iter().flatten().count());
            let is_found = |slot: Slot| index.slot(&format!("i{slot}")) == Some(slot);
            prop_assert!(index.live().iter().all(is_found));
            let again = built(index.pictures().clone(), &now);
            prop_assert_eq!(again.pictures().places(), index.pictures().places());
        }
    }
}
