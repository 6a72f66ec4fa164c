//! Sets of slots that are small where they hold few.

use crate::Slot;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Slots up to which a set is a list.
const FEW_MAX: usize = 8;

/// A set of slots that is not empty. There may be one an item, e.g. of a product's id: a bitmap for each would cost more
/// than all else that is kept of the item.
#[derive(Clone)]
pub(crate) enum SlotSet {
    One(Slot),
    /// Ascending.
    Few(Arc<[Slot]>),
    Many(Arc<RoaringBitmap>),
}

impl SlotSet {
    /// The set of these slots, ascending and each once; `None` where there is none.
    pub(crate) fn of(slots: &[Slot]) -> Option<Self> {
        match slots {
            [] => None,
            [slot] => Some(Self::One(*slot)),
            few if few.len() <= FEW_MAX => Some(Self::Few(few.into())),
            many => Some(Self::Many(Arc::new(many.iter().collect()))),
        }
    }

    /// Its slots where it is a list, ascending; none of a bitmap's.
    pub(crate) fn listed(&self) -> &[Slot] {
        match self {
            Self::One(slot) => std::slice::from_ref(slot),
            Self::Few(slots) => slots,
            Self::Many(_) => &[],
        }
    }

    /// Its slots, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        let many = match self {
            Self::Many(slots) => Some(slots.iter()),
            Self::One(_) | Self::Few(_) => None,
        };
        self.listed().iter().copied().chain(many.into_iter().flatten())
    }

    /// Number of slots.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::One(_) | Self::Few(_) => self.listed().len() as u64,
            Self::Many(slots) => slots.len(),
        }
    }

    /// Whether a slot is in it.
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        match self {
            Self::One(_) | Self::Few(_) => self.listed().contains(&slot),
            Self::Many(slots) => slots.contains(slot),
        }
    }

    /// Adds a slot.
    pub(crate) fn insert(&mut self, slot: Slot) {
        match self {
            Self::Many(slots) => {
                Arc::make_mut(slots).insert(slot);
            }
            Self::One(_) | Self::Few(_) => {
                let mut slots = self.listed().to_vec();
                let Err(at) = slots.binary_search(&slot) else { return };
                slots.insert(at, slot);
                if let Some(more) = Self::of(&slots) {
                    *self = more;
                }
            }
        }
    }

    /// Takes a slot out, and says whether another is left. The last one stays: the set is to be dropped.
    pub(crate) fn remove(&mut self, slot: Slot) -> bool {
        let left: Vec<Slot> = match self {
            Self::Many(slots) => {
                let slots = Arc::make_mut(slots);
                slots.remove(slot);
                // Half as many as make a bitmap: a set at the border does not change its form with every write.
                if slots.len() > FEW_MAX as u64 / 2 {
                    return true;
                }
                slots.iter().collect()
            }
            Self::One(_) | Self::Few(_) => {
                self.listed().iter().copied().filter(|other| *other != slot).collect()
            }
        };
        let left = Self::of(&left);
        let is_left = left.is_some();
        if let Some(left) = left {
            *self = left;
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_agrees_with_a_plain_one_in_every_form(
            writes in proptest::collection::vec((0u32..14, any::<bool>()), 1..80)
        ) {
            let (mut set, mut model) = (None::<SlotSet>, BTreeSet::new());
            for (slot, goes) in writes {
                if goes {
                    model.remove(&slot);
                    if set.as_mut().is_some_and(|set| !set.remove(slot)) {
                        set = None;
                    }
                } else {
                    model.insert(slot);
                    match &mut set {
                        Some(set) => set.insert(slot),
                        None => set = SlotSet::of(&[slot]),
                    }
                }
                prop_assert_eq!(set.as_ref().map_or(0, SlotSet::len), model.len() as u64);
                let slots: Vec<Slot> = set.iter().flat_map(SlotSet::iter).collect();
                prop_assert_eq!(&slots, &model.iter().copied().collect::<Vec<_>>());
                for slot in 0..14 {
                    let is_in = set.as_ref().is_some_and(|set| set.contains(slot));
                    prop_assert_eq!(is_in, model.contains(&slot));
                }
            }
        }
    }
}
