//! Slots of ids that come in their order, as a walk over a table gives them.

use super::ItemIndex;
use crate::Slot;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

type Entries<'a> = Box<dyn Iterator<Item = (&'a Arc<str>, &'a Slot)> + 'a>;

/// Looks up slots by id. An id right behind the one before it, or the same again, costs a comparison and no search.
pub struct SlotLookup<'a> {
    index: &'a ItemIndex,
    last: Option<(&'a str, Slot)>,
    rest: Peekable<Entries<'a>>,
}

impl<'a> SlotLookup<'a> {
    pub(super) fn new(index: &'a ItemIndex) -> Self {
        let all: Entries<'a> = Box::new(index.by_id.iter());
        Self { index, last: None, rest: all.peekable() }
    }

    /// The slot of an id.
    pub fn slot(&mut self, id: &str) -> Option<Slot> {
        if let Some((_, slot)) = self.last.filter(|(last, _)| *last == id) {
            return Some(slot);
        }
        if self.rest.peek().is_none_or(|(next, _)| ***next != *id) {
            let from: Entries<'a> =
                Box::new(self.index.by_id.range::<_, str>((Bound::Included(id), Bound::Unbounded)));
            self.rest = from.peekable();
        }
        let (found, slot) = self.rest.next_if(|(next, _)| ***next == *id)?;
        self.last = Some((found, *slot));
        Some(*slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapel_values::{Fields, ItemFacts, Labels};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_id_leads_to_its_slot_in_whatever_order_it_is_asked_for(
            items in proptest::collection::btree_set(0u8..40, 0..30), asked in proptest::collection::vec(0u8..40, 0..80),
            sorted in any::<bool>()
        ) {
            let (labels, fields) = (Labels::new(), Fields::new());
            let facts = ItemFacts { labels: &labels, fields: &fields, pictures: 0 };
            // Not in the order of the ids.
            let slots = items.iter().rev().map(|item| Some((format!("i{item:02}").as_str().into(), facts)));
            let index = ItemIndex::of(slots);
            let mut asked: Vec<String> = asked.iter().map(|item| format!("i{item:02}")).collect();
            if sorted {
                asked.sort();
            }
            let mut lookup = index.lookup();
            for id in &asked {
                prop_assert_eq!(lookup.slot(id), index.slot(id));
            }
        }
    }
}
