//! A column that is filled before anybody reads it, in as much memory as it may have.
//!
//! What has no room in memory goes to its place in the file at once: signatures come in the order of the store, not of the
//! slots, so that most groups are complete only in the end. A row that the file already has is not written again.

use super::SignatureColumn;
use crate::block::ColumnBlock;
use crate::kernels::GROUP;
use crate::row_file::{FoundRows, OpenedRows};
use crate::{BLOCK, Slot};
use std::sync::Arc;

/// A column that is being filled.
pub struct LoadingSignatures {
    column: SignatureColumn,
    /// What the files of items and of pictures held.
    found: Option<[FoundRows; 2]>,
    /// Bytes of exact signatures that memory still has room for.
    left: usize,
}

impl LoadingSignatures {
    /// An empty column, all of which will be in memory.
    #[must_use]
    pub fn new(column: SignatureColumn) -> Self {
        Self { column, found: None, left: usize::MAX }
    }

    /// An empty column of which `memory_bytes` of exact signatures go to memory, and what comes then to the files of its items
    /// and its pictures.
    #[must_use]
    pub fn with_files(mut column: SignatureColumn, files: [OpenedRows; 2], memory_bytes: usize) -> Self {
        let [items, pictures] = files;
        column.set_files(items.file, pictures.file);
        Self { column, found: Some([items.found, pictures.found]), left: memory_bytes }
    }

    /// As [`SignatureColumn::set`].
    pub fn set(&mut self, slot: Slot, signature: &[f32]) -> Option<Vec<f32>> {
        if let Some([found, _]) = &mut self.found {
            self.column.make_room(slot, found, &mut self.left);
        }
        self.column.set(slot, Some(signature))
    }

    /// As [`SignatureColumn::set_picture`].
    pub fn set_picture(&mut self, slot: Slot, signature: &[f32]) {
        self.make_picture_room(slot);
        self.column.set_picture(slot, signature);
    }

    /// As [`SignatureColumn::lend`].
    pub fn lend(&mut self, item: Slot, pictures: &[Slot]) {
        pictures.iter().for_each(|slot| self.make_picture_room(*slot));
        self.column.lend(item, pictures);
    }

    fn make_picture_room(&mut self, slot: Slot) {
        if let (Some([_, found]), Some(pictures)) = (&mut self.found, &mut self.column.pictures) {
            let pictures = Arc::make_mut(pictures);
            pictures.column_mut().make_room(slot, found, &mut self.left);
        }
    }

    /// See [`SignatureColumn::faults`].
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.column.faults()
    }

    /// The column, complete. What the files have beside it is forgotten.
    #[must_use]
    pub fn into_column(mut self) -> SignatureColumn {
        self.column.end_loading();
        self.column
    }
}

impl SignatureColumn {
    /// Gives the group of a slot a place in the file where it has no rows yet and memory has no room for them.
    fn make_room(&mut self, slot: Slot, found: &mut FoundRows, left: &mut usize) {
        let Some(file) = self.file.clone() else { return };
        let (number, group) = (slot as usize / BLOCK, slot as usize % BLOCK / GROUP);
        if self.block(number).is_some_and(|block| block.has_group(group)) {
            return;
        }
        let bytes = self.dim * self.precision.bytes() * GROUP;
        if *left >= bytes {
            *left -= bytes;
            return;
        }
        let of_file = slot / GROUP as Slot;
        // A file that takes no more leaves it to memory, until somebody makes room there.
        if let Some(place) = found.take(of_file).or_else(|| file.reserve(of_file).ok()) {
            self.block_mut(number).set_place(group, place);
        }
    }

    fn end_loading(&mut self) {
        self.blocks.iter_mut().filter_map(Arc::get_mut).for_each(ColumnBlock::end_loading);
        if let Some(pictures) = self.pictures.as_mut().and_then(Arc::get_mut) {
            pictures.column_mut().end_loading();
        }
    }
}
