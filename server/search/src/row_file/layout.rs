//! Where rows lie in a row file, and how each is sealed.
//!
//! ```text
//! file     segments of SEGMENT_BYTES, each a whole number of places and a rest that is not used
//! place    CRC-32 of what follows | group, u32 | epoch, u64 | GROUP records; the first place holds the file's header
//! record   seal, u32 | row, zeros up to a multiple of 4 bytes
//! ```
//! Numbers are in this machine's byte order, which the header tells.

use super::RowFileError;
use crate::Precision;
use crate::kernels::GROUP;
use std::fs::File;
use std::io;

/// Bytes that are mapped at once.
pub(super) const SEGMENT_BYTES: usize = 64 << 20;
/// Segments a file: 64 GiB.
pub(super) const SEGMENTS_MAX: usize = 1024;
/// Bytes before the records of a place.
pub(super) const PLACE_HEADER: usize = 16;
/// Bytes of the file's header.
pub(super) const FILE_HEADER: usize = 28;
/// The last epoch that is believed, so that there is always a next one.
pub(super) const EPOCH_MAX: u64 = u64::MAX / 2;
const SEAL: usize = size_of::<u32>();
/// What the file is, and the version of its layout.
const MAGIC: [u8; 8] = *b"LAPELRO1";
/// Reads otherwise on a machine of the other byte order.
const BYTE_ORDER: u32 = 0x0102_0304;

/// Sizes of what a row file is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) dim: usize,
    pub(super) precision: Precision,
    pub(super) row_bytes: usize,
    pub(super) record_bytes: usize,
    pub(super) place_bytes: usize,
    places_per_segment: u32,
}

impl Layout {
    /// # Errors
    /// [`RowFileError::Dimension`], where there is nothing to keep or no group fits a segment.
    pub(super) fn new(dim: usize, precision: Precision) -> Result<Self, RowFileError> {
        if dim == 0 || dim > SEGMENT_BYTES {
            return Err(RowFileError::Dimension(dim));
        }
        let row_bytes = dim * precision.bytes();
        let record_bytes = SEAL + row_bytes.next_multiple_of(SEAL);
        let place_bytes = record_bytes * GROUP + PLACE_HEADER;
        if place_bytes > SEGMENT_BYTES {
            return Err(RowFileError::Dimension(dim));
        }
        let places_per_segment = (SEGMENT_BYTES / place_bytes) as u32;
        Ok(Self { dim, precision, row_bytes, record_bytes, place_bytes, places_per_segment })
    }

    /// The segment of a place, and its first byte there.
    pub(super) fn segment(&self, place: u32) -> (usize, usize) {
        let (segment, at) = (place / self.places_per_segment, place % self.places_per_segment);
        (segment as usize, at as usize * self.place_bytes)
    }

    /// The first byte of a place in the file.
    pub(super) fn offset(&self, place: u32) -> u64 {
        let (segment, at) = self.segment(place);
        (segment * SEGMENT_BYTES + at) as u64
    }

    /// The first byte of a record in its place.
    pub(super) fn record(&self, at: usize) -> usize {
        PLACE_HEADER + at * self.record_bytes
    }

    /// Places that a file of so many bytes has in full.
    fn places(&self, file_bytes: u64) -> u32 {
        let segments = file_bytes / SEGMENT_BYTES as u64;
        let rest = (file_bytes % SEGMENT_BYTES as u64) / self.place_bytes as u64;
        let places = segments * u64::from(self.places_per_segment) + rest.min(self.places_per_segment.into());
        places.min(self.places_max().into()) as u32
    }

    /// Places that a file has, the first of which is the header's.
    ///
    /// # Errors
    /// When the system does not tell its length.
    pub(super) fn place_count(&self, file: &File) -> io::Result<u32> {
        Ok(self.places(file.metadata()?.len()).max(1))
    }

    /// Places that a file has at most.
    pub(super) fn places_max(&self) -> u32 {
        self.places_per_segment * SEGMENTS_MAX as u32
    }

    /// The header of the file of a column.
    pub(super) fn file_header(&self, key: &str) -> [u8; FILE_HEADER] {
        let numbers =
            [BYTE_ORDER, self.dim as u32, self.precision.bytes() as u32, crc32fast::hash(key.as_bytes())];
        let mut header = [0; FILE_HEADER];
        header[..8].copy_from_slice(&MAGIC);
        let fields = header[8..].as_chunks_mut::<4>().0.iter_mut();
        fields.zip(numbers).for_each(|(field, number)| *field = number.to_ne_bytes());
        let sum = crc32fast::hash(&header[..24]);
        header[24..].copy_from_slice(&sum.to_ne_bytes());
        header
    }
}

/// Whose rows a place holds, and since when: an epoch is given to one group once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlaceHeader {
    pub(super) group: u32,
    pub(super) epoch: u64,
}

impl PlaceHeader {
    pub(super) fn bytes(self) -> [u8; PLACE_HEADER] {
        let mut bytes = [0; PLACE_HEADER];
        bytes[4..8].copy_from_slice(&self.group.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.epoch.to_ne_bytes());
        let sum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_ne_bytes());
        bytes
    }

    /// `None` for what is none.
    pub(super) fn read(place: &[u8]) -> Option<Self> {
        let bytes = place.first_chunk::<PLACE_HEADER>()?;
        let header = Self {
            group: u32::from_ne_bytes(*bytes[4..].first_chunk()?),
            epoch: u64::from_ne_bytes(*bytes[8..].first_chunk()?),
        };
        (header.bytes() == *bytes && header.epoch <= EPOCH_MAX).then_some(header)
    }
}

/// Seals the rows of one epoch. A row that lies elsewhere, or is of another epoch, has another seal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealer(u32);

impl Sealer {
    pub(super) fn new(epoch: u64) -> Self {
        Self(crc32fast::hash(&epoch.to_ne_bytes()))
    }

    /// The seal of a row, by its number in the group.
    pub(super) fn seal(self, at: usize, row: &[u8]) -> u32 {
        let mut sum = crc32fast::Hasher::new_with_initial(self.0 ^ at as u32);
        sum.update(row);
        sum.finalize()
    }

    /// Writes a record.
    pub(super) fn write(self, at: usize, row: &[u8], record: &mut [u8]) {
        record[..SEAL].copy_from_slice(&self.seal(at, row).to_ne_bytes());
        record[SEAL..][..row.len()].copy_from_slice(row);
    }

    /// The row of a record; `None` where it is not what was written.
    pub(super) fn read(self, at: usize, record: &[u8], row_bytes: usize) -> Option<&[u8]> {
        let (seal, rest) = record.split_first_chunk::<SEAL>()?;
        let row = rest.get(..row_bytes)?;
        (u32::from_ne_bytes(*seal) == self.seal(at, row)).then_some(row)
    }
}
