//! The slots that a search walks over: those of the items, or those of the pictures of items that have several.

use crate::best::Hit;
use crate::kernels::Bits;
use crate::{ItemIndex, Slot};

/// The slots that a search walks over.
#[derive(Clone, Copy)]
pub(crate) enum Places<'a> {
    /// One an item.
    Items(&'a ItemIndex),
    /// One a picture, of the items that have several.
    Pictures(&'a ItemIndex),
}

impl<'a> Places<'a> {
    /// How many slots are in use.
    pub(crate) fn len(self) -> u64 {
        match self {
            Self::Items(items) => items.len() as u64,
            Self::Pictures(items) => items.pictures().len(),
        }
    }

    /// Blocks that there are.
    pub(crate) fn blocks(self) -> usize {
        match self {
            Self::Items(items) => items.blocks(),
            Self::Pictures(items) => items.pictures().blocks(),
        }
    }

    /// The slots of a block that are in use.
    pub(crate) fn live_bits(self, block: usize) -> Bits {
        match self {
            Self::Items(items) => items.live_bits(block),
            Self::Pictures(items) => items.pictures().live_bits(block),
        }
    }

    /// What is found in a slot.
    pub(crate) fn hit(self, slot: Slot, distance: f64) -> Option<Hit<'a>> {
        let (items, item, picture) = match self {
            Self::Items(items) => (items, slot, 0),
            Self::Pictures(items) => {
                let place = items.pictures().place(slot)?;
                (items, place.item, place.number)
            }
        };
        Some(Hit { slot, item, picture, distance, id: items.id(item)? })
    }
}
