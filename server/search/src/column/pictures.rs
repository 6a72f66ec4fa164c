//! The signatures of pictures in a column, in slots of their own.
//!
//! What a picture lacks it borrows from its item, whose own signature is the mean of its pictures: a head that saw nothing
//! in one picture, or a signature computed elsewhere that is of the whole item, does not make the picture a stranger.

use super::SignatureColumn;
use crate::bits::{bits, set};
use crate::codes::Codec;
use crate::kernels::{Bits, GROUPS};
use crate::pictures::PictureSlots;
use crate::row_file::KnownPlace;
use crate::summed::{SummedReader, SummedWriter, check};
use crate::{Precision, Slot};
use roaring::RoaringBitmap;
use std::borrow::Cow;
use std::io;
use std::sync::Arc;

/// Whether all that are set in one are set in the other.
fn is_among(some: &Bits, all: &Bits) -> bool {
    some.iter().zip(all).all(|(some, all)| some & !all == 0)
}

/// Signatures by picture.
#[derive(Clone)]
pub(super) struct PictureSignatures {
    column: SignatureColumn,
    /// Slots whose signature is their item's.
    borrowed: Arc<RoaringBitmap>,
}

impl PictureSignatures {
    pub(super) fn new(key: &Arc<str>, dim: usize, precision: Precision) -> Self {
        Self { column: SignatureColumn::of_slots(key, dim, precision), borrowed: Arc::default() }
    }

    /// Writes them as a part of their column's state.
    pub(super) fn save(&self, out: &mut SummedWriter<'_>) -> io::Result<()> {
        self.column.save_slots(out)?;
        let borrowed = bits(&self.borrowed, self.column.block_count());
        out.put(bytemuck::cast_slice(&borrowed))?;
        out.end_section()
    }

    /// Reads those of a column that has its codec; tells where the groups are that they have not got.
    pub(super) fn restore(
        of: &SignatureColumn,
        input: &mut SummedReader<'_>,
    ) -> io::Result<(Self, Vec<KnownPlace>)> {
        let empty = SignatureColumn::of_slots(&of.key, of.dim, of.precision);
        let mut column = SignatureColumn { codec: of.codec.clone(), ..empty };
        let filed = column.restore_slots(input)?;
        let mut borrowed = vec![[0; GROUPS]; column.block_count()];
        input.fill(bytemuck::cast_slice_mut(&mut borrowed))?;
        input.end_section()?;
        let mut blocks = borrowed.iter().zip(&column.blocks);
        check(blocks.all(|(borrowed, block)| is_among(borrowed, block.present())))?;
        Ok((Self { column, borrowed: Arc::new(set(&borrowed)) }, filed))
    }

    pub(super) fn column(&self) -> &SignatureColumn {
        &self.column
    }

    pub(super) fn column_mut(&mut self) -> &mut SignatureColumn {
        &mut self.column
    }

    pub(super) fn coded_with(&self, codec: &Arc<Codec>) -> Self {
        Self { column: self.column.coded_with(codec), borrowed: self.borrowed.clone() }
    }

    /// See [`SignatureColumn::adopt`].
    pub(super) fn adopt(&mut self, before: &Self, coded: &Self) {
        self.column.adopt(&before.column, &coded.column);
    }

    /// Whether a picture has a signature of its own.
    fn has_own(&self, slot: Slot) -> bool {
        self.column.has(slot) && !self.borrowed.contains(slot)
    }

    fn set_own(&mut self, slot: Slot, signature: Option<&[f32]>) {
        self.column.set(slot, signature);
        self.note(slot, false);
    }

    fn borrow(&mut self, slot: Slot, signature: &[f32]) {
        self.column.set(slot, Some(signature));
        self.note(slot, true);
    }

    fn note(&mut self, slot: Slot, borrows: bool) {
        if self.borrowed.contains(slot) == borrows {
            return;
        }
        let borrowed = Arc::make_mut(&mut self.borrowed);
        if borrows {
            borrowed.insert(slot);
        } else {
            borrowed.remove(slot);
        }
    }

    fn shift(&mut self, (from, to): (Slot, Slot)) {
        self.column.shift((from, to));
        let borrows = self.borrowed.contains(from);
        self.note(from, false);
        self.note(to, borrows);
    }
}

impl SignatureColumn {
    /// The column of pictures, by their slots, with what they borrow.
    pub(crate) fn of_pictures(&self) -> &Self {
        self.pictures.as_ref().map_or(self, |pictures| pictures.column())
    }

    /// The signature of a picture's own.
    #[must_use]
    pub fn picture(&self, slot: Slot) -> Option<Cow<'_, [f32]>> {
        let pictures = self.pictures.as_ref()?;
        if pictures.has_own(slot) { pictures.column.get(slot) } else { None }
    }

    /// Whether a picture has a signature of its own.
    #[must_use]
    pub fn has_picture(&self, slot: Slot) -> bool {
        self.pictures.as_ref().is_some_and(|pictures| pictures.has_own(slot))
    }

    /// Gives a picture a signature of its own.
    pub fn set_picture(&mut self, slot: Slot, signature: &[f32]) {
        if let Some(pictures) = self.pictures.as_mut().map(Arc::make_mut) {
            pictures.set_own(slot, Some(signature));
        }
    }

    /// Gives the pictures of an item, whose own signature is in place, those that are given by number, and no other; what
    /// is freed is emptied.
    pub(crate) fn replace_pictures<'s>(
        &mut self,
        item: Slot,
        slots: &PictureSlots,
        given: impl Fn(usize) -> Option<&'s [f32]>,
    ) {
        if slots.now.is_empty() && slots.freed.is_empty() {
            return;
        }
        let own = self.get(item).map(Cow::into_owned);
        let Some(pictures) = self.pictures.as_mut().map(Arc::make_mut) else { return };
        slots.freed.iter().for_each(|slot| pictures.set_own(*slot, None));
        for (number, slot) in slots.now.iter().enumerate() {
            match (given(number), &own) {
                (Some(signature), _) => pictures.set_own(*slot, Some(signature)),
                (None, Some(own)) => pictures.borrow(*slot, own),
                (None, None) => pictures.set_own(*slot, None),
            }
        }
    }

    /// Lends the own signature of an item to those of its pictures that have none.
    pub fn lend(&mut self, item: Slot, pictures: &[Slot]) {
        if pictures.is_empty() {
            return;
        }
        let Some(own) = self.get(item).map(Cow::into_owned) else { return };
        let Some(of_pictures) = self.pictures.as_mut().map(Arc::make_mut) else { return };
        for slot in pictures {
            if !of_pictures.has_own(*slot) {
                of_pictures.borrow(*slot, &own);
            }
        }
    }

    /// Moves a picture's signature to an empty slot.
    pub(crate) fn shift_picture(&mut self, slots: (Slot, Slot)) {
        if let Some(pictures) = self.pictures.as_mut().map(Arc::make_mut) {
            pictures.shift(slots);
        }
    }

    /// Drops the blocks of pictures from `blocks` on, which hold nothing.
    pub(crate) fn truncate_pictures(&mut self, blocks: usize) {
        if let Some(pictures) = self.pictures.as_mut().map(Arc::make_mut) {
            pictures.column.truncate(blocks);
        }
    }
}
