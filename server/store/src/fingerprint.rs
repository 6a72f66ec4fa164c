//! Tells whether a file is still as it was left.

use super::FILE;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The beginning of the file, in which redb keeps the numbers of its last transactions and the checksums of the trees' roots.
const HEAD: u64 = 4096;

/// Length and time of a file, one of which changes when the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    bytes: u64,
    /// Seconds since 1970 and nanoseconds.
    modified: (u64, u32),
}

/// What a catalogue's file is from outside. Every transaction changes its head, and whoever opens it, its time; so two that are
/// equal are of the same contents, whichever version of the program had the file in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    file: FileStamp,
    /// SHA-256.
    head: [u8; 32],
}

impl FileStamp {
    /// Of the file with a name.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn of(path: &Path) -> io::Result<Self> {
        Self::of_metadata(&std::fs::metadata(path)?)
    }

    fn of_metadata(about: &Metadata) -> io::Result<Self> {
        let since = about.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        Ok(Self { bytes: about.len(), modified: (since.as_secs(), since.subsec_nanos()) })
    }
}

impl Fingerprint {
    /// Of the catalogue's file in a folder, which no server has open.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let file = File::open(folder.join(FILE))?;
        let stamp = FileStamp::of_metadata(&file.metadata()?)?;
        let mut head = Vec::new();
        file.take(HEAD).read_to_end(&mut head)?;
        Ok(Self { file: stamp, head: Sha256::digest(&head).into() })
    }
}
