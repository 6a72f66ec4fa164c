//! A part of a row file, mapped for reading.
//!
//! Mapped rather than read by offset: a row of 128 bytes that is in the page cache takes a tenth of the time, since a read
//! by offset is a call of the system for every row, and a search scores thousands (figures of both:
//! `examples/rescore_rows.rs`). What a map lacks, an error for a page that cannot be had, is in `bus_errors.rs`.

#![allow(unsafe_code, reason = "copies out of a memory map")]

use super::bus_errors::Watched;
use super::layout::SEGMENT_BYTES;
use memmap2::{Advice, MmapOptions, MmapRaw};
use std::fs::File;
use std::io;

/// Lines that the processor fetches.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// One segment of a file. It may reach beyond the file's end.
#[derive(Debug)]
pub(super) struct Segment {
    // Dropped before the map is.
    _watched: Watched,
    map: MmapRaw,
}

impl Segment {
    /// # Errors
    /// When the system does not map it.
    pub(super) fn map(file: &File, number: usize) -> io::Result<Self> {
        let offset = (number * SEGMENT_BYTES) as u64;
        let map = MmapOptions::new().offset(offset).len(SEGMENT_BYTES).map_raw_read_only(file)?;
        // Rows are read at random: their neighbours are not worth the memory.
        map.advise(Advice::Random)?;
        Ok(Self { _watched: Watched::new(map.as_ptr().addr())?, map })
    }

    /// Copies bytes out of it: zeros, where they cannot be had.
    pub(super) fn copy(&self, offset: usize, out: &mut [u8]) {
        assert!(offset <= SEGMENT_BYTES && out.len() <= SEGMENT_BYTES - offset, "outside of the segment");
        // SAFETY: the bytes are inside of the map, which lives as long as this. Others may write the file meanwhile; what is
        // then copied is checked by its seal, and no reference to the map is made.
        unsafe { std::ptr::copy_nonoverlapping(self.map.as_ptr().add(offset), out.as_mut_ptr(), out.len()) }
    }

    /// Asks the processor to fetch bytes that are in the page cache.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, clippy::unused_self))]
    pub(super) fn prefetch(&self, offset: usize, bytes: usize) {
        #[cfg(target_arch = "x86_64")]
        for at in (offset..offset + bytes).step_by(LINE) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing that the program can see and cannot fault, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.map.as_ptr().wrapping_add(at).cast::<i8>()) }
        }
    }

    /// Asks the system to begin reading bytes from the disk.
    pub(super) fn read_ahead(&self, offset: usize, bytes: usize) {
        // A hint: where it is not taken, the read waits.
        let _ = self.map.advise_range(Advice::WillNeed, offset, bytes);
    }
}
