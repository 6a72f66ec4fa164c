//! The index of items as a server leaves it when it stops: what takes longer to gather from all items than to read.

use super::{ById, IdBlock, ItemIndex, by_id};
use crate::fields::GatheredFields;
use crate::kernels::Bits;
use crate::labels::{LabelIndex, LabelState};
use crate::{BLOCK, PictureIndex, PicturePlace, Slot, bits};
use lapel_values::FieldValue;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What an index is made of again, beside the ids and the fields of its items. Predictions are computed anew.
#[derive(Debug, Serialize, Deserialize)]
pub struct ItemIndexState<'a> {
    /// Slots in the order of their ids.
    order: Vec<Slot>,
    labels: LabelState<'a>,
    /// Pictures of items that have several, by slot.
    pictures: Vec<Option<PicturePlace>>,
    has_fields: bool,
}

impl ItemIndex {
    /// What is to be kept of it beside ids and fields.
    #[must_use]
    pub fn state(&self) -> ItemIndexState<'_> {
        ItemIndexState {
            order: self.by_id.values().copied().collect(),
            labels: self.labels.state(),
            pictures: self.pictures.places(),
            has_fields: self.fields.iter().next().is_some(),
        }
    }

    /// The index that had a state, of items with these ids, by slot, [`BLOCK`] a block and fewer in the last, and fields, by ascending slot.
    /// `None` where they are not those of the state.
    #[must_use]
    pub fn restore<'f>(
        state: ItemIndexState<'_>,
        ids: Vec<Vec<Option<Arc<str>>>>,
        fields: impl Iterator<Item = (Slot, Vec<(&'f str, FieldValue)>)> + Send,
    ) -> Option<Self> {
        let ItemIndexState { order, labels, pictures, has_fields } = state;
        let is_whole = ids.iter().rev().skip(1).all(|ids| ids.len() == BLOCK);
        let blocks: Vec<Arc<IdBlock>> = ids.into_iter().map(|ids| Arc::new(IdBlock::of(ids))).collect();
        let live: Vec<Bits> = blocks.iter().map(|block| block.live).collect();
        let restored = Self { blocks, live: Arc::new(bits::set(&live)), ..Self::default() };
        let live = &*restored.live;
        let (by_id, (labels, fields)) = rayon::join(
            || restored.by_id_in(&order),
            || {
                let mut gathered = GatheredFields::default();
                if has_fields {
                    fields.for_each(|(slot, fields)| gathered.add(slot, &fields));
                }
                (LabelIndex::restore(labels, live), gathered.into_index())
            },
        );
        let pictures = PictureIndex::of_places(&pictures).filter(|of| of.several().is_subset(live))?;
        let slots = live.max().map_or(0, |last| last + 1);
        let mut all = RoaringBitmap::new();
        all.insert_range(0..slots);
        let free = Arc::new(all - live);
        is_whole.then_some(Self { by_id: by_id?, free, labels: labels?, fields, pictures, ..restored })
    }

    /// Slots by id, in the order of the ids; `None` where that is not their order, or one is missing.
    fn by_id_in(&self, order: &[Slot]) -> Option<ById> {
        let mut last = None;
        let ascending = order.iter().map_while(|slot| {
            let id = self.id(*slot)?;
            let is_next = last.replace(id).is_none_or(|last: &Arc<str>| last < id);
            is_next.then(|| (id.clone(), *slot))
        });
        let ascending: Vec<_> = ascending.collect();
        let is_whole = ascending.len() == order.len() && order.len() as u64 == self.live.len();
        is_whole.then(|| by_id(&ascending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapel_values::{Fields, ItemFacts, Labels};
    use std::borrow::Cow;

    /// The index of `a` and `c`, which is red and has two pictures, in slots 0 and 2.
    fn index() -> ItemIndex {
        let red = Labels::from([("colour".to_owned(), "red".to_owned())]);
        let (none, fields) = (Labels::new(), Fields::new());
        let mut index = ItemIndex::default();
        for (id, labels, pictures) in [("a", &none, 1), ("b", &none, 1), ("c", &red, 2)] {
            let slot = index.put(&id.into(), None, ItemFacts { labels, fields: &fields, pictures });
            index.resize_pictures(slot, pictures);
        }
        index.remove("b", Some(ItemFacts { labels: &none, fields: &fields, pictures: 1 }));
        index
    }

    type Ids = Vec<Vec<Option<Arc<str>>>>;

    fn is_refused(change: impl FnOnce(&mut Ids, &mut ItemIndexState<'_>)) -> bool {
        let index = index();
        let (mut ids, mut state) = (vec![vec![Some("a".into()), None, Some("c".into())]], index.state());
        change(&mut ids, &mut state);
        ItemIndex::restore(state, ids, std::iter::empty()).is_none()
    }

    #[test]
    fn a_state_of_other_items_is_refused() {
        assert!(!is_refused(|_, _| {}));
        assert!(is_refused(|ids, _| ids[0][2] = None), "an item is missing");
        assert!(is_refused(|ids, _| ids[0][1] = Some("b".into())), "an item too many");
        assert!(is_refused(|ids, _| ids[0].swap(0, 2)), "the order of other ids");
        assert!(is_refused(|ids, _| ids[0][2] = Some("a".into())), "an id twice");
        assert!(is_refused(|ids, _| ids.push(vec![None])), "a block before the last that is not full");
        assert!(is_refused(|_, state| state.order[0] = 2), "a slot twice");
        let label = |state: &mut ItemIndexState<'_>, slots: &[Slot]| {
            state.labels[0].1[0].1 = Cow::Owned(slots.iter().collect());
        };
        assert!(!is_refused(|_, state| label(state, &[0, 2])));
        assert!(is_refused(|_, state| label(state, &[1, 2])), "the label of no item");
        assert!(is_refused(|_, state| label(state, &[])), "a label that nothing carries");
        assert!(is_refused(|_, state| state.labels[0].1.clear()), "an attribute without labels");
        let place = |item, number| Some(PicturePlace { item, number });
        assert!(
            is_refused(|_, state| state.pictures = vec![place(1, 0), place(1, 1)]),
            "pictures of no item"
        );
    }
}
