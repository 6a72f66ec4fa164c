//! Opening a row file of which it is known what lies where, so that it is not read.

use super::layout::{EPOCH_MAX, Layout};
use super::place::Place;
use super::{BeforeWrite, Places, RowFile, RowFileError, begin, begins_with, epoch_from, lock};
use crate::Precision;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Where the rows of a group are said to lie, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownPlace {
    pub(crate) group: u32,
    pub(crate) number: u32,
    pub(crate) epoch: u64,
}

impl RowFile {
    /// As [`RowFile::open`], but reads nothing of the file behind its header: all places are free but those that are known, which
    /// come in their order. Whether a row of them is the one that is meant is told by its seal when it is read.
    ///
    /// # Errors
    /// [`RowFileError::UnknownPlaces`] where the file is another column's or of another layout, or too short, or a place is said to
    /// hold two groups; what the file holds is untouched then. Others as of [`RowFile::open`].
    pub(crate) fn open_known(
        path: &Path,
        key: &str,
        (dim, precision): (usize, Precision),
        before_write: BeforeWrite,
        known: &[KnownPlace],
    ) -> Result<(Arc<Self>, Vec<Place>), RowFileError> {
        let layout = Layout::new(dim, precision)?;
        let file = lock(path)?;
        let header = layout.file_header(key);
        if !begins_with(&file, &header) {
            if !known.is_empty() {
                return Err(RowFileError::UnknownPlaces);
            }
            begin(&file, &header, &before_write)?;
        }
        let count = layout.place_count(&file)?;
        let mut free: BTreeSet<u32> = (1..count).collect();
        if !known.iter().all(|place| free.remove(&place.number) && place.epoch <= EPOCH_MAX) {
            return Err(RowFileError::UnknownPlaces);
        }
        let last_epoch = epoch_from(known.iter().map(|place| place.epoch).max().unwrap_or_default());
        let file = Self::new(layout, file, Places { count, free, last_epoch }, before_write);
        for place in known {
            file.map(layout.segment(place.number).0)?;
        }
        let places = known.iter().map(|place| Place::new(&file, place.number, place.epoch)).collect();
        Ok((file, places))
    }
}
