//! Exact signatures out of memory: the rows of one column in a file.
//!
//! The file is a cache of what the store has, and can be lost or damaged at any time. A place of it holds the rows of one
//! group, and nobody overwrites a place that somebody else can read: a group that changes is in memory first, and is given
//! another place later. Each row is sealed for its place and for the place's epoch, so that what is read is what was written
//! there for this group, or is noticed.
//!
//! One file is in use by one process and one column. A second opening leaves it to the first and takes its name for a new
//! file.

mod bus_errors;
mod found;
mod known;
mod layout;
mod place;
mod segment;

pub use found::FoundRows;
pub(crate) use known::KnownPlace;
pub(crate) use place::{GroupRows, Place, bytes_of, is_cold};

use crate::Precision;
use crate::kernels::Rows;
use found::Scan;
use layout::{FILE_HEADER, Layout, PlaceHeader, SEGMENTS_MAX};
use segment::Segment;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

/// Why rows are not in a file.
#[derive(Debug, thiserror::Error)]
pub enum RowFileError {
    /// There is no space left.
    #[error("the disk is full")]
    DiskFull,
    /// The file has as many rows as a file can.
    #[error("the file is full")]
    FileFull,
    /// Rows of this dimension are too long, or are none.
    #[error("there is no row file for signatures of {0} numbers")]
    Dimension(usize),
    /// It is not the file in which the places are that are known.
    #[error("the file has not got the places that are known of it")]
    UnknownPlaces,
    /// The system refuses.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for RowFileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error),
        }
    }
}

/// Asked before every write to a file, which is not made where it fails: tests let disks fail by it.
pub type BeforeWrite = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The files of a column's exact signatures that have no room in memory.
#[derive(Clone)]
pub struct RowFiles {
    /// Those of items.
    pub items: PathBuf,
    /// Those of pictures.
    pub pictures: PathBuf,
    /// Asked before every write to either.
    pub before_write: BeforeWrite,
}

/// A file that was opened, and what it still holds.
pub struct OpenedRows {
    /// The file.
    pub file: Arc<RowFile>,
    /// Rows of before.
    pub found: FoundRows,
}

/// The rows of one column in a file.
pub struct RowFile {
    layout: Layout,
    file: File,
    segments: Vec<OnceLock<Segment>>,
    places: Mutex<Places>,
    faults: AtomicU64,
    before_write: BeforeWrite,
}

/// Which places there are.
struct Places {
    count: u32,
    free: BTreeSet<u32>,
    last_epoch: u64,
}

impl RowFile {
    /// Opens the file of the column with a key, for signatures of a dimension, or makes one. Reads all of it: what is damaged,
    /// or of another column or layout, is not used.
    ///
    /// # Errors
    /// [`RowFileError`], where there can be no such file.
    pub fn open(
        path: &Path,
        key: &str,
        (dim, precision): (usize, Precision),
        before_write: BeforeWrite,
    ) -> Result<OpenedRows, RowFileError> {
        let layout = Layout::new(dim, precision)?;
        let file = lock(path)?;
        let header = layout.file_header(key);
        if !begins_with(&file, &header) {
            begin(&file, &header, &before_write)?;
        }
        let count = layout.place_count(&file)?;
        let scan = Scan::of(&file, layout, count);
        let mut free: BTreeSet<u32> = (1..count).collect();
        scan.used().for_each(|place| {
            free.remove(&place);
        });
        let places = Places { count, free, last_epoch: epoch_from(scan.last_epoch) };
        let file = Self::new(layout, file, places, before_write);
        for place in scan.used() {
            file.map(layout.segment(place).0)?;
        }
        Ok(OpenedRows { found: scan.into_found(&file), file })
    }

    fn new(layout: Layout, file: File, places: Places, before_write: BeforeWrite) -> Arc<Self> {
        let segments = (0..SEGMENTS_MAX).map(|_| OnceLock::new()).collect();
        let (places, faults) = (Mutex::new(places), AtomicU64::new(0));
        Arc::new(Self { layout, file, segments, places, faults, before_write })
    }

    /// Bytes of rows, with their seals, that are in use.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let places = self.places();
        // The first is the header's.
        (places.count as usize - 1 - places.free.len()) as u64 * self.layout.place_bytes as u64
    }

    /// How often a row could not be read.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Acquire)
    }

    /// Gives the free places at the end of the file back.
    ///
    /// # Errors
    /// Those of the file system; the file is as long as before.
    pub fn trim(&self) -> Result<(), RowFileError> {
        let mut places = self.places();
        let count = places.count;
        while places.count > 1 && places.free.last().is_some_and(|last| last + 1 == places.count) {
            places.free.pop_last();
            places.count -= 1;
        }
        if places.count < count {
            self.file.set_len(self.layout.offset(places.count))?;
        }
        Ok(())
    }

    /// Writes the rows of a group at the positions in `present` to a free place.
    ///
    /// # Errors
    /// [`RowFileError`]; the place is free again.
    pub(crate) fn store(
        self: &Arc<Self>,
        group: u32,
        rows: Rows<'_>,
        present: u64,
    ) -> Result<Place, RowFileError> {
        let layout = self.layout;
        let (place, header) = self.take(group)?;
        let mut bytes = vec![0; layout.place_bytes];
        bytes[..layout::PLACE_HEADER].copy_from_slice(&header.bytes());
        let rows = bytes_of(rows).chunks_exact(layout.row_bytes);
        for (at, row) in rows.enumerate().filter(|(at, _)| present >> at & 1 == 1) {
            place.sealer().write(at, row, &mut bytes[layout.record(at)..]);
        }
        self.write_at(&bytes, layout.offset(place.number()))?;
        Ok(place)
    }

    /// A place for a group whose rows are still to be written.
    ///
    /// # Errors
    /// [`RowFileError`].
    pub(crate) fn reserve(self: &Arc<Self>, group: u32) -> Result<Place, RowFileError> {
        self.store(group, Rows::F32(&[]), 0)
    }

    fn take(self: &Arc<Self>, group: u32) -> Result<(Place, PlaceHeader), RowFileError> {
        let (number, header) = {
            let mut places = self.places();
            places.last_epoch += 1;
            let header = PlaceHeader { group, epoch: places.last_epoch };
            let number = match places.free.pop_first() {
                Some(free) => free,
                None if places.count == self.layout.places_max() => return Err(RowFileError::FileFull),
                None => {
                    places.count += 1;
                    places.count - 1
                }
            };
            (number, header)
        };
        let place = Place::new(self, number, header.epoch);
        self.map(self.layout.segment(number).0)?;
        Ok((place, header))
    }

    fn free(&self, place: u32) {
        self.places().free.insert(place);
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment in which there is a place; `None` where it is not mapped.
    fn segment(&self, number: usize) -> Option<&Segment> {
        self.segments.get(number)?.get()
    }

    fn map(&self, number: usize) -> Result<(), RowFileError> {
        let segment = self.segments.get(number).ok_or(RowFileError::FileFull)?;
        if segment.get().is_none() {
            // Of two that map it at the same time, one is dropped.
            let _ = segment.set(Segment::map(&self.file, number)?);
        }
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), RowFileError> {
        (self.before_write)()?;
        Ok(self.file.write_all_at(bytes, offset)?)
    }

    fn note_fault(&self) {
        self.faults.fetch_add(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for RowFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RowFile")
            .field("layout", &self.layout)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// What the epochs of new places are later than, where places up to the epoch `known` are known. They must be later than all
/// that the file has ever had, or two groups could share one and a row of the other be believed; but places that are not read, or
/// that were cut off, do not tell theirs. Hence the clock: far less than one place is written in a microsecond.
fn epoch_from(known: u64) -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    known.max(u64::try_from(since_1970.as_micros()).unwrap_or_default())
}

fn begins_with(file: &File, header: &[u8; FILE_HEADER]) -> bool {
    let mut found = [0; FILE_HEADER];
    file.read_exact_at(&mut found, 0).is_ok() && found == *header
}

/// Empties a file and writes its header.
fn begin(file: &File, header: &[u8; FILE_HEADER], before_write: &BeforeWrite) -> Result<(), RowFileError> {
    before_write()?;
    file.set_len(0)?;
    Ok(file.write_all_at(header, 0)?)
}

/// Opens a file and locks it, or a new one in its place where another has it.
fn lock(path: &Path) -> Result<File, RowFileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(error.into()),
        Err(TryLockError::WouldBlock) => {
            std::fs::remove_file(path)?;
            let file = options.open(path)?;
            file.try_lock().map_err(io::Error::from)?;
            Ok(file)
        }
    }
}

#[cfg(test)]
mod tests;
