//! A file that comes in pieces: announced with its size and hash, then checked against both.

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
    pub(super) fn announced(
        size: u64,
        sha256: String,
        signature: Vec<u8>,
        most: usize,
        room: &Admitted,
    ) -> Result<Self, Error> {
        if size > most as u64 {
            return Err(Error::Exhausted(format!(
                "the bundle has {size} bytes; at most {most} are accepted"
            )));
        }
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
        let found = sha256_hex(&bytes);
        if !found.eq_ignore_ascii_case(&sha256) {
            let wanted = format!("the bytes that came have SHA-256 {found}; {sha256} was announced");
            return Err(Error::invalid("header.sha256", wanted));
        }
        match key {
            Some(_) if signature.is_empty() => Err(Error::Precondition {
                reason: "BUNDLE_UNSIGNED",
                message: "this server takes signed bundles only; sign it with `lapel-train sign`".into(),
            }),
            Some(key) if !key.verifies(&bytes, &signature) => Err(Error::Precondition {
                reason: "BUNDLE_SIGNATURE",
                message: "the signature is not one of this file by the key that this server trusts".into(),
            }),
            Some(_) | None => Ok((bytes, held)),
        }
    }
}
