//! The rows of one group in a row file.

use super::found::RowHashes;
use super::layout::Sealer;
use super::{RowFile, RowFileError};
use crate::Precision;
use crate::kernels::{GROUP, Rows};
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A row that takes longer came from the disk; from memory it takes a tenth of a microsecond.
const FROM_DISK: Duration = Duration::from_micros(10);
/// Rows of which the disk is told ahead, after one that came from it.
const READ_AHEAD: u32 = 256;
/// One in so many reads is timed: the clock takes as long as a read from memory does.
const TIMED: u32 = 8;

thread_local! {
    /// The row that this thread looks at; whole words, so that it can be read as numbers.
    static ROW: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// Counts reads, to tell those that are timed.
    static READS: Cell<u32> = const { Cell::new(0) };
    /// Rows that the disk is still to be told of ahead: telling it of rows that are in memory would cost more than they do.
    static COLD: Cell<u32> = const { Cell::new(0) };
}

/// A place in a row file that holds the rows of one group. It is free again when this is dropped, so that whoever can
/// read a row can do so for as long as it wants.
#[derive(Debug)]
pub(crate) struct Place {
    file: Arc<RowFile>,
    number: u32,
    epoch: u64,
    sealer: Sealer,
    /// What it held when the file was opened, until it is known which of that is wanted.
    found: Option<RowHashes>,
    is_damaged: AtomicBool,
}

/// Whether this thread has lately had to wait for a disk.
pub(crate) fn is_cold() -> bool {
    COLD.get() > 0
}

fn is_timed() -> bool {
    let reads = READS.get().wrapping_add(1);
    READS.set(reads);
    reads.is_multiple_of(TIMED)
}

/// Rows of a group, `[GROUP, dim]`, in memory or read from a file.
pub(crate) enum GroupRows<'a> {
    /// In memory.
    Held(Rows<'a>),
    /// Read, in single precision.
    F32(Vec<f32>),
    /// Read, in half precision.
    F16(Vec<f16>),
}

impl GroupRows<'_> {
    pub(crate) fn rows(&self) -> Rows<'_> {
        match self {
            Self::Held(rows) => *rows,
            Self::F32(rows) => Rows::F32(rows),
            Self::F16(rows) => Rows::F16(rows),
        }
    }
}

impl Place {
    pub(super) fn new(file: &Arc<RowFile>, number: u32, epoch: u64) -> Self {
        let (file, sealer) = (file.clone(), Sealer::new(epoch));
        Self { file, number, epoch, sealer, found: None, is_damaged: AtomicBool::new(false) }
    }

    pub(super) fn with_found(self, found: RowHashes) -> Self {
        // A place that frees itself cannot be taken apart.
        let mut place = self;
        place.found = Some(found);
        place
    }

    /// Forgets what it held when the file was opened.
    pub(crate) fn forget_found(&mut self) {
        self.found = None;
    }

    pub(super) fn sealer(&self) -> Sealer {
        self.sealer
    }

    /// Its number in the file.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Since when it holds what it holds.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    #[cfg(test)]
    pub(super) fn file(&self) -> &Arc<RowFile> {
        &self.file
    }

    /// Whether a row of it could not be read.
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// Hands the row at `at` to `take`, which must not read another; `None`, and counted by the file, where it cannot be read.
    pub(crate) fn with_row<T>(&self, at: usize, take: impl FnOnce(Rows<'_>) -> T) -> Option<T> {
        let layout = self.file.layout;
        ROW.with_borrow_mut(|words| {
            words.resize(layout.record_bytes / size_of::<u32>(), 0);
            let (segment, first) = layout.segment(self.number);
            let begun = is_timed().then(Instant::now);
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
            self.file.segment(segment)?.copy(first + layout.record(at), bytes);
            if begun.is_some_and(|begun| begun.elapsed() > FROM_DISK) {
                COLD.set(READ_AHEAD);
            }
            if self.sealer.read(at, bytes, layout.row_bytes).is_none() {
                // A page that could not be had once stays away from the map, whatever the file has by now.
                let offset = layout.offset(self.number) + layout.record(at) as u64;
                let _ = self.file.read_at(bytes, offset);
            }
            let Some(row) = self.sealer.read(at, bytes, layout.row_bytes) else {
                self.note_damage();
                return None;
            };
            Some(take(match layout.precision {
                Precision::F32 => Rows::F32(bytemuck::cast_slice(row)),
                Precision::F16 => Rows::F16(bytemuck::cast_slice::<u8, u16>(row).reinterpret_cast()),
            }))
        })
    }

    /// Makes the read of a row that will be scored soon shorter.
    pub(crate) fn prefetch(&self, at: usize) {
        let layout = self.file.layout;
        let (segment, first) = layout.segment(self.number);
        let Some(segment) = self.file.segment(segment) else { return };
        let offset = first + layout.record(at);
        match COLD.get() {
            0 => segment.prefetch(offset, layout.record_bytes),
            left => {
                COLD.set(left - 1);
                segment.read_ahead(offset, layout.record_bytes);
            }
        }
    }

    /// The rows at the positions in `present`, in one read; the others, and with a count by the file those that cannot be read,
    /// are zero.
    pub(crate) fn read(&self, present: u64) -> GroupRows<'static> {
        let layout = self.file.layout;
        let mut place = vec![0u8; layout.place_bytes];
        // However much of it was read: the seals tell what is there.
        let _ = self.file.read_at(&mut place, layout.offset(self.number));
        let mut words = vec![0u32; (GROUP * layout.row_bytes).div_ceil(size_of::<u32>())];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let mut is_whole = true;
        for at in (0..GROUP).filter(|at| present >> at & 1 == 1) {
            match self.sealer.read(at, &place[layout.record(at)..], layout.row_bytes) {
                Some(row) => bytes[at * layout.row_bytes..][..layout.row_bytes].copy_from_slice(row),
                None => is_whole = false,
            }
        }
        if !is_whole {
            self.note_damage();
        }
        let bytes = &bytes[..GROUP * layout.row_bytes];
        match layout.precision {
            Precision::F32 => GroupRows::F32(bytemuck::cast_slice(bytes).to_vec()),
            Precision::F16 => {
                GroupRows::F16(bytemuck::cast_slice::<u8, u16>(bytes).reinterpret_cast().to_vec())
            }
        }
    }

    /// Overwrites a row that is another. Only who alone has the place can, so that nobody reads it meanwhile.
    ///
    /// # Errors
    /// [`RowFileError`]; the row is then damaged.
    pub(crate) fn write(&mut self, at: usize, signature: &[f32]) -> Result<(), RowFileError> {
        let layout = self.file.layout;
        let row = RowBytes::of(signature, layout.precision);
        if let Some(found) = &mut self.found {
            if found.has(at, &row) {
                return Ok(());
            }
            found.forget(at);
        }
        let mut record = vec![0; layout.record_bytes];
        self.sealer.write(at, &row, &mut record);
        self.file.write_at(&record, layout.offset(self.number) + layout.record(at) as u64)
    }

    fn note_damage(&self) {
        self.is_damaged.store(true, Ordering::Relaxed);
        self.file.note_fault();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What the disk gave wrongly once, it may again.
        if !*self.is_damaged.get_mut() {
            self.file.free(self.number);
        }
    }
}

/// A row as it lies in a file.
pub(super) enum RowBytes<'a> {
    F32(&'a [f32]),
    F16(Vec<f16>),
}

impl<'a> RowBytes<'a> {
    pub(super) fn of(signature: &'a [f32], precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32(signature),
            Precision::F16 => Self::F16(signature.iter().map(|v| f16::from_f32(*v)).collect()),
        }
    }
}

impl Deref for RowBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::F32(row) => bytemuck::cast_slice(row),
            Self::F16(row) => bytes_of(Rows::F16(row)),
        }
    }
}

/// Rows as they lie in a file.
pub(crate) fn bytes_of(rows: Rows<'_>) -> &[u8] {
    match rows {
        Rows::F32(rows) => bytemuck::cast_slice(rows),
        Rows::F16(rows) => bytemuck::cast_slice::<u16, u8>(rows.reinterpret_cast()),
    }
}
