//! Bytes in sections, each followed by the CRC-32 of all sections up to there.
//!
//! What is flipped, cut, left out or put elsewhere is noticed at the next sum, so that nothing has to be made of a section
//! that is not as it was written, not even of its lengths.

use bytemuck::Pod;
use crc32fast::Hasher;
use std::io::{self, Read, Write};

/// Writes sections.
pub(crate) struct SummedWriter<'a> {
    out: &'a mut dyn Write,
    sum: Hasher,
}

impl<'a> SummedWriter<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, sum: Hasher::new() }
    }

    /// Writes a part of a section.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }

    /// Ends a section. Its sum is no part of later ones: with it, what comes before would make no difference to them.
    pub(crate) fn end_section(&mut self) -> io::Result<()> {
        self.out.write_all(&self.sum.clone().finalize().to_ne_bytes())
    }
}

/// Reads sections. What is not as it was written is an error of the kind [`io::ErrorKind::InvalidData`], and what is not there
/// at all one of [`io::ErrorKind::UnexpectedEof`].
pub(crate) struct SummedReader<'a> {
    input: &'a mut dyn Read,
    sum: Hasher,
}

impl<'a> SummedReader<'a> {
    pub(crate) fn new(input: &'a mut dyn Read) -> Self {
        Self { input, sum: Hasher::new() }
    }

    /// Reads a part of a section, which is not to be believed until that is at its end.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.input.read_exact(bytes)?;
        self.sum.update(bytes);
        Ok(())
    }

    /// As [`SummedReader::fill`], of a value.
    pub(crate) fn value<T: Pod>(&mut self) -> io::Result<T> {
        let mut value = T::zeroed();
        self.fill(bytemuck::bytes_of_mut(&mut value))?;
        Ok(value)
    }

    /// As [`SummedReader::fill`], of so many bytes; takes no more memory than is there to be read.
    pub(crate) fn bytes(&mut self, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.input.take(count).read_to_end(&mut bytes)?;
        self.sum.update(&bytes);
        if bytes.len() as u64 == count { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Ends a section.
    pub(crate) fn end_section(&mut self) -> io::Result<()> {
        let mut sum = [0; 4];
        self.input.read_exact(&mut sum)?;
        check(u32::from_ne_bytes(sum) == self.sum.clone().finalize())
    }

    /// Ends the last one.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        check(self.input.take(1).read_to_end(&mut Vec::new())? == 0)
    }
}

/// An error of the kind [`io::ErrorKind::InvalidData`] where something is not as it has to be.
pub(crate) fn check(is_sound: bool) -> io::Result<()> {
    if is_sound { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}
