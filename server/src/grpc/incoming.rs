//! Files on their way in: in pieces, announced with their size and hash and checked against both, or whole.

use crate::admission::{Admitted, Held};
use crate::error::Error;
use lapel_heads::{BundleKey, sha256_hex};

/// A file on its way in.
pub(super) struct Incoming {
    size: u64,
    sha256: String,
    signature: Vec<u8>,
    bytes: Vec<u8>,
    held: Held,
}

impl Incoming {
    /// An announced file of up to `most` bytes. All of its room is taken before the first of them comes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a file that is larger than any may be, [`Error::Exhausted`] when there is no room for it now.
    pub(super) fn announced(
        size: u64,
        sha256: String,
        signature: Vec<u8>,
        most: usize,
        room: &Admitted,
    ) -> Result<Self, Error> {
        check_size(size, most, "header.size_bytes")?;
        let held = room.hold(usize::try_from(size).unwrap_or(usize::MAX))?;
        Ok(Self { size, sha256, signature, bytes: Vec::new(), held })
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

    /// The whole file, signed by the owner of `key` where there is one, and its room.
    pub(super) fn finish(self, key: Option<&BundleKey>) -> Result<(Vec<u8>, Held), Error> {
        let Self { size, sha256, signature, bytes, held, .. } = self;
        if bytes.len() as u64 != size {
            return Err(Error::invalid(
                "chunk",
                format!("{} bytes came; {size} were announced", bytes.len()),
            ));
        }
        check_hash(&sha256_hex(&bytes), &sha256, "header.sha256")?;
        check_signature(&bytes, &signature, key)?;
        Ok((bytes, held))
    }
}

/// A file that comes in one message.
pub(super) struct Whole<'a> {
    pub(super) bytes: &'a [u8],
    /// The hash that it should have; empty where the caller does not say.
    pub(super) sha256: &'a str,
    pub(super) signature: &'a [u8],
    /// The path of its bytes in the request.
    pub(super) bytes_field: String,
    /// The path of its hash in the request.
    pub(super) hash_field: String,
}

impl Whole<'_> {
    /// The SHA-256 of a file of up to `most` bytes that has the hash it should have, signed by the owner of `key` where
    /// there is one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for its size or another hash, [`Error::Precondition`] for its signature.
    pub(super) fn check(&self, most: usize, key: Option<&BundleKey>) -> Result<String, Error> {
        check_size(self.bytes.len() as u64, most, &self.bytes_field)?;
        let found = sha256_hex(self.bytes);
        if !self.sha256.is_empty() {
            check_hash(&found, self.sha256, &self.hash_field)?;
        }
        check_signature(self.bytes, self.signature, key)?;
        Ok(found)
    }
}

/// What is larger than any file may be is refused for good: no retry cures it.
fn check_size(size: u64, most: usize, field: &str) -> Result<(), Error> {
    if size > most as u64 {
        let wanted =
            format!("the file has {size} bytes; at most {most} (limits.bundle_bytes_max) are accepted");
        return Err(Error::invalid(field, wanted));
    }
    Ok(())
}

fn check_hash(found: &str, announced: &str, field: &str) -> Result<(), Error> {
    if !found.eq_ignore_ascii_case(announced) {
        let wanted = format!("the bytes that came have SHA-256 {found}; {announced} was announced");
        return Err(Error::invalid(field, wanted));
    }
    Ok(())
}

fn check_signature(bytes: &[u8], signature: &[u8], key: Option<&BundleKey>) -> Result<(), Error> {
    match key {
        Some(_) if signature.is_empty() => Err(Error::Precondition {
            reason: "BUNDLE_UNSIGNED",
            message: "this server takes signed bundles only; sign it with `lapel-train sign`".into(),
        }),
        Some(key) if !key.verifies(bytes, signature) => Err(Error::Precondition {
            reason: "BUNDLE_SIGNATURE",
            message: "the signature is not one of this file by the key that this server trusts".into(),
        }),
        Some(_) | None => Ok(()),
    }
}
