//! A column as bytes: written when a server stops and read at its next start, instead of every signature of the store.
//!
//! ```text
//! state    head | sum | key | codec | sum | slots of items | slots of pictures | borrowed, a bit a slot | sum
//! slots    head | sum | blocks
//! ```
//! Blocks and what is in them are in `block/state.rs`, sums in `summed.rs`. Numbers are in this machine's byte order, which the head
//! tells. Rows that are out of memory are not read: it is written where they lie in their files. The HNSW index has a file of its own.

use super::SignatureColumn;
use super::pictures::PictureSignatures;
use crate::block::{ColumnBlock, RestoredBlock};
use crate::codes::Codec;
use crate::kernels::GROUPS;
use crate::row_file::{BeforeWrite, KnownPlace, RowFile, RowFileError, RowFiles};
use crate::summed::{SummedReader, SummedWriter, check};
use crate::{BLOCK, Slot};
use bytemuck::{Pod, Zeroable};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Why a column cannot be had from its state.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is not as it was written, or not whole.
    #[error("the state is damaged")]
    Damaged,
    /// It is of another format, column, dimension or precision.
    #[error("the state is of another column or format")]
    Other,
    /// Signatures are out of memory, and no files are given.
    #[error("the state has signatures in files, and there are none")]
    NoFiles,
    /// Signatures are out of memory, in files that are not as they were.
    #[error(transparent)]
    Files(#[from] RowFileError),
    /// It cannot be read.
    #[error("the state cannot be read: {0}")]
    Io(io::Error),
}

impl From<io::Error> for RestoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Damaged,
            _ => Self::Io(error),
        }
    }
}

/// What the bytes are, and the version of their format.
const FORMAT: [u8; 8] = *b"LAPELST1";
/// Reads otherwise on a machine of the other byte order.
const BYTE_ORDER: u32 = 0x0102_0304;
/// As many as there are slots for.
const BLOCKS_MAX: u64 = (Slot::MAX as u64 + 1) / BLOCK as u64;
/// The last version that is believed, so that there is always a next one.
const VERSION_MAX: u64 = u64::MAX / 2;

#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
struct Head {
    format: [u8; 8],
    byte_order: u32,
    /// Bytes of a number.
    precision: u32,
    dim: u64,
    key_bytes: u64,
    /// 0: the column has no codec.
    codec_bytes: u64,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct SlotsHead {
    version: u64,
    count: u64,
    drift: f64,
    drift_count: u64,
    blocks: u64,
}

impl SignatureColumn {
    /// Writes all that the column holds but its index; of signatures out of memory, where they lie. It comes in pieces of 4 bytes to
    /// some kilobytes: with a buffer of a megabyte a file takes it in half the time. See [`SignatureColumn::restore`].
    ///
    /// # Errors
    /// Those of `out`.
    pub fn save(&self, out: &mut impl Write) -> io::Result<()> {
        let out = &mut SummedWriter::new(out);
        let codec = self.codec.as_deref().map(postcard::to_stdvec).transpose().map_err(io::Error::other)?;
        let codec = codec.unwrap_or_default();
        out.put(bytemuck::bytes_of(&self.head(codec.len() as u64)))?;
        out.end_section()?;
        out.put(self.key.as_bytes())?;
        out.put(&codec)?;
        out.end_section()?;
        self.save_slots(out)?;
        self.pictures.as_ref().map_or(Ok(()), |pictures| pictures.save(out))
    }

    fn head(&self, codec_bytes: u64) -> Head {
        Head {
            format: FORMAT,
            byte_order: BYTE_ORDER,
            precision: self.precision.bytes() as u32,
            dim: self.dim as u64,
            key_bytes: self.key.len() as u64,
            codec_bytes,
        }
    }

    pub(super) fn save_slots(&self, out: &mut SummedWriter<'_>) -> io::Result<()> {
        let (drift, drift_count) = self.drift;
        let (version, count, blocks) = (self.version, self.count, self.blocks.len() as u64);
        out.put(bytemuck::bytes_of(&SlotsHead { version, count, drift, drift_count, blocks }))?;
        out.end_section()?;
        self.blocks.iter().try_for_each(|block| block.save(out))
    }

    /// The column that was saved, where it has the key, the dimension and the precision of this one, which is empty. It holds what
    /// it held then: whether that is what the store has now is for the caller to know. Its HNSW index is empty.
    ///
    /// Nothing is read of `files`, in which signatures out of memory lie, and to which others will go: a place that was given to
    /// other signatures since is noticed when it is read, like a damaged one. `None`: all signatures are in memory.
    ///
    /// # Errors
    /// [`RestoreError`]; what the files hold is still there for [`RowFile::open`].
    pub fn restore(self, input: &mut impl Read, files: Option<RowFiles>) -> Result<Self, RestoreError> {
        let input = &mut SummedReader::new(input);
        let codec = self.restore_codec(input)?;
        let mut column = Self { codec, ..Self::new(&self.key, self.dim, self.precision) };
        let filed = column.restore_slots(input)?;
        let (mut pictures, filed_pictures) = PictureSignatures::restore(&column, input)?;
        input.end()?;
        match files {
            Some(RowFiles { items, pictures: of_pictures, before_write }) => {
                column.open_file(&items, before_write.clone(), &filed)?;
                pictures.column_mut().open_file(&of_pictures, before_write, &filed_pictures)?;
            }
            None if filed.is_empty() && filed_pictures.is_empty() => {}
            None => return Err(RestoreError::NoFiles),
        }
        column.pictures = Some(Arc::new(pictures));
        Ok(column)
    }

    /// Reads what comes before the slots: whether it is a state of this column, and its codec.
    fn restore_codec(&self, input: &mut SummedReader<'_>) -> Result<Option<Arc<Codec>>, RestoreError> {
        let head: Head = input.value()?;
        if head != self.head(head.codec_bytes) {
            return Err(RestoreError::Other);
        }
        input.end_section()?;
        let mut key = vec![0; self.key.len()];
        input.fill(&mut key)?;
        let codec = input.bytes(head.codec_bytes)?;
        input.end_section()?;
        if key != self.key.as_bytes() {
            return Err(RestoreError::Other);
        }
        if codec.is_empty() {
            return Ok(None);
        }
        let codec: Codec = postcard::from_bytes(&codec).map_err(|_| RestoreError::Damaged)?;
        check(codec.is_sound(self.dim))?;
        Ok(Some(Arc::new(codec)))
    }

    /// Reads the slots of this column, which has its codec, and returns where the groups are that it has not got.
    pub(super) fn restore_slots(&mut self, input: &mut SummedReader<'_>) -> io::Result<Vec<KnownPlace>> {
        let head: SlotsHead = input.value()?;
        input.end_section()?;
        check(head.version <= VERSION_MAX && head.drift_count <= head.version && head.blocks <= BLOCKS_MAX)?;
        let (mut filed, mut count) = (Vec::new(), 0);
        for number in 0..head.blocks as u32 {
            let shape = (self.dim, self.precision);
            let RestoredBlock { block, filed: of_block } =
                ColumnBlock::restore(input, number, self.codec.as_deref(), shape)?;
            check(block.written() <= head.version)?;
            count += block.present().iter().map(|bits| u64::from(bits.count_ones())).sum::<u64>();
            filed.extend(of_block);
            self.blocks.push(Arc::new(block));
        }
        check(count == head.count)?;
        (self.version, self.count, self.drift) = (head.version, head.count, (head.drift, head.drift_count));
        Ok(filed)
    }

    /// Opens the file of signatures out of memory, and gives the groups their places there.
    fn open_file(
        &mut self,
        path: &Path,
        before_write: BeforeWrite,
        filed: &[KnownPlace],
    ) -> Result<(), RowFileError> {
        let (file, places) =
            RowFile::open_known(path, &self.key, (self.dim, self.precision), before_write, filed)?;
        for (known, place) in filed.iter().zip(places) {
            let group = known.group as usize;
            self.block_mut(group / GROUPS).set_place(group % GROUPS, place);
        }
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
