//! Which items lack signatures that the server could compute.

use super::Snapshot;
use crate::catalogue::Column;
use lapel_heads::HeadKind;
use lapel_search::{SignatureColumn, Slot};

impl Snapshot {
    /// Slots whose item, or one of whose pictures, lacks a signature that the server could compute: it has an image.
    #[must_use]
    pub fn computable(&self, column: &Column) -> Vec<Slot> {
        self.computable_of(column, &self.pictured())
    }

    /// Slots whose item has an image.
    #[must_use]
    pub fn pictured(&self) -> Vec<Slot> {
        let has_image = |slot: &Slot| self.items().get(*slot).is_some_and(|item| item.has_image());
        self.items().live().iter().filter(has_image).collect()
    }

    /// Which of the `pictured` slots are computable.
    #[must_use]
    pub fn computable_of(&self, column: &Column, pictured: &[Slot]) -> Vec<Slot> {
        if column.head().manifest().kind == HeadKind::External {
            return Vec::new();
        }
        let (items, signatures) = (self.items(), self.signatures.column(column.key()));
        let is_whole = |signatures: &SignatureColumn, slot: Slot| {
            let mut pictures = items.pictures().of_item(slot).iter();
            signatures.has(slot) && pictures.all(|picture| signatures.has_picture(*picture))
        };
        let lacks = |slot: &Slot| signatures.is_none_or(|signatures| !is_whole(signatures, *slot));
        pictured.iter().copied().filter(lacks).collect()
    }
}
