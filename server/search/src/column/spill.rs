//! Moving exact signatures out of memory, longest unwritten first.
//!
//! As with codes, the work is done on a copy without any lock, and what has not been written since is adopted.

use super::SignatureColumn;
use crate::block::ColumnBlock;
use crate::kernels::GROUP;
use crate::row_file::{RowFile, RowFileError};
use crate::{BLOCK, Slot};
use std::sync::Arc;

/// What a column takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColumnBytes {
    /// Of exact signatures in memory.
    pub rows: usize,
    /// Of codes and bitmaps, in memory.
    pub codes: usize,
    /// Of exact signatures in files.
    pub filed: u64,
}

impl ColumnBytes {
    /// Of all that is in memory.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.rows + self.codes
    }
}

impl SignatureColumn {
    /// What it takes, with its pictures.
    #[must_use]
    pub fn bytes(&self) -> ColumnBytes {
        let of_pictures =
            self.pictures.as_ref().map(|pictures| pictures.column().bytes()).unwrap_or_default();
        ColumnBytes {
            rows: self.blocks.iter().map(|block| block.row_bytes()).sum::<usize>() + of_pictures.rows,
            codes: self.blocks.iter().map(|block| block.code_bytes()).sum::<usize>() + of_pictures.codes,
            filed: self.file.as_ref().map_or(0, |file| file.bytes()) + of_pictures.filed,
        }
    }

    /// How often a signature could not be read. What was computed while this grew is of no use.
    #[must_use]
    pub fn faults(&self) -> u64 {
        let of_pictures = self.pictures.as_ref().map_or(0, |pictures| pictures.column().faults());
        self.file.as_ref().map_or(0, |file| file.faults()) + of_pictures
    }

    /// Whether it has files to move signatures to.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.file.is_some()
    }

    /// Gives it files for the signatures of items and of pictures that are to leave memory.
    pub fn set_files(&mut self, items: Arc<RowFile>, pictures: Arc<RowFile>) {
        self.file = Some(items);
        if let Some(of_pictures) = &mut self.pictures {
            Arc::make_mut(of_pictures).column_mut().file = Some(pictures);
        }
    }

    /// This column with at least `bytes` less of exact signatures in memory, or with none: those of the blocks that have not been
    /// written for the longest time are in its files, where it has any. Changes nothing: see
    /// [`crate::LocalSignatures::adopt_rows`].
    ///
    /// # Errors
    /// [`RowFileError`]; the places that were written are free again.
    pub fn spilled(&self, bytes: usize) -> Result<Self, RowFileError> {
        let mut spilled = self.clone();
        let freed = spilled.spill(bytes)?;
        if let Some(pictures) = spilled.pictures.as_mut().filter(|_| freed < bytes) {
            Arc::make_mut(pictures).column_mut().spill(bytes - freed)?;
        }
        Ok(spilled)
    }

    /// Of the column's own blocks; returns the bytes that are no longer in memory.
    fn spill(&mut self, bytes: usize) -> Result<usize, RowFileError> {
        let Some(file) = self.file.clone() else { return Ok(0) };
        let mut order: Vec<usize> =
            (0..self.blocks.len()).filter(|number| self.blocks[*number].row_bytes() > 0).collect();
        order.sort_by_key(|number| self.blocks[*number].written());
        let mut freed = 0;
        for number in order {
            if freed >= bytes {
                break;
            }
            freed += Arc::make_mut(&mut self.blocks[number]).spill(number, &file)?;
        }
        // What was given up since the last time is given back.
        file.trim()?;
        Ok(freed)
    }

    /// Takes over where `spilled` has its rows, which was made from `before`, an earlier state of this column; blocks that were
    /// written since stay as they are.
    pub(crate) fn adopt_rows(&mut self, before: &Self, spilled: &Self) {
        for (number, block) in self.blocks.iter_mut().enumerate() {
            let old = before.blocks.get(number).filter(|old| old.written() == block.written());
            let (Some(old), Some(spilled)) = (old, spilled.blocks.get(number)) else { continue };
            if Arc::ptr_eq(old, spilled) {
                continue;
            }
            *block = if Arc::ptr_eq(old, block) {
                spilled.clone()
            } else {
                // It was coded anew.
                Arc::new(block.with_rows(spilled))
            };
        }
        self.file = spilled.file.clone();
        // The index compares its column with the blocks that it is of, and must not keep the rows in memory by them.
        self.index.share(&self.blocks);
        if let (Some(now), Some(before), Some(spilled)) =
            (&mut self.pictures, &before.pictures, &spilled.pictures)
        {
            Arc::make_mut(now).column_mut().adopt_rows(before.column(), spilled.column());
        }
    }

    /// Reads every signature that is in a file, so that those that cannot be read are noticed.
    pub fn check_rows(&self) {
        self.blocks.iter().for_each(|block| block.check_rows());
        if let Some(pictures) = &self.pictures {
            pictures.column().check_rows();
        }
    }

    /// Slots of the groups of which a signature could not be read.
    fn damaged(&self) -> Vec<Slot> {
        let of_block = |(number, block): (usize, &Arc<ColumnBlock>)| {
            block.damaged().map(|at| (number * BLOCK + at) as Slot).collect::<Vec<_>>()
        };
        self.blocks.iter().enumerate().flat_map(of_block).collect()
    }

    /// Whether there are signatures that could not be read, of items or of pictures.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        let blocks = self.pictures.iter().flat_map(|pictures| &pictures.column().blocks);
        self.blocks.iter().chain(blocks).any(|block| block.damaged().next().is_some())
    }

    /// Writes the signatures of up to `most` groups anew of which one could not be read: what `find` has of a slot, or none.
    /// Returns whether all are readable.
    ///
    /// # Errors
    /// Those of `find`; some may have been written.
    pub(crate) fn mend<E>(
        &mut self,
        most: usize,
        mut find: impl FnMut(Slot) -> Result<Option<Vec<f32>>, E>,
    ) -> Result<bool, E> {
        let damaged = self.damaged();
        let mut groups = damaged.chunk_by(|a, b| a / GROUP as Slot == b / GROUP as Slot);
        for slots in groups.by_ref().take(most) {
            let found = slots.iter().map(|slot| find(*slot)).collect::<Result<Vec<_>, E>>()?;
            let first = slots[0] as usize;
            self.block_mut(first / BLOCK).clear_group(first % BLOCK / GROUP);
            self.count -= slots.len() as u64;
            for (slot, signature) in slots.iter().zip(found) {
                // The block has been changed even where there is none.
                self.count += u64::from(signature.is_some());
                self.place(*slot, signature.map(|s| self.precision.rounded(&s).into_owned()).as_deref());
            }
        }
        Ok(groups.next().is_none())
    }

    /// The same of pictures, by their slots.
    pub(crate) fn mend_pictures<E>(
        &mut self,
        most: usize,
        find: impl FnMut(Slot) -> Result<Option<Vec<f32>>, E>,
    ) -> Result<bool, E> {
        self.pictures
            .as_mut()
            .map_or(Ok(true), |pictures| Arc::make_mut(pictures).column_mut().mend(most, find))
    }
}
