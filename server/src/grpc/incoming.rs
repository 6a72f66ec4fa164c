//! A file that comes in pieces: announced with its size and hash, then checked against both.

use crate::error::Error;
use lapel_heads::sha256_hex;

/// A file on its way in.
pub(super) struct Incoming {
    size: u64,
    sha256: String,
    bytes: Vec<u8>,
}

impl Incoming {
    /// An announced file of up to `most` bytes.
    pub(super) fn announced(size: u64, sha256: String, most: usize) -> Result<Self, Error> {
        if size > most as u64 {
            return Err(Error::Exhausted(format!(
                "the bundle has {size} bytes; at most {most} are accepted"
            )));
        }
        Ok(Self { size, sha256, bytes: Vec::new() })
    }

    /// The next bytes.
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() as u64 > self.size {
            let wanted = format!("more bytes came than the {} announced", self.size);
            return Err(Error::invalid("chunk", wanted));
        }
        Ok(())
    }

    /// The whole file.
    pub(super) fn finish(self) -> Result<Vec<u8>, Error> {
        let Self { size, sha256, bytes } = self;
        if bytes.len() as u64 != size {
            return Err(Error::invalid(
                "chunk",
                format!("{} bytes came; {size} were announced", bytes.len()),
            ));
        }
        let found = sha256_hex(&bytes);
        if !found.eq_ignore_ascii_case(&sha256) {
            let wanted = format!("the bytes that came have SHA-256 {found}; {sha256} was announced");
            return Err(Error::invalid("header.sha256", wanted));
        }
        Ok(bytes)
    }
}
