//! What takes long to compute anew, kept on disk: slots, codecs, HNSW indexes; and exact signatures that have no room in
//! memory. All of it can be deleted at any time.
//!
//! Every file is written under a temporary name, synced and renamed, and carries a version and a checksum; one that is
//! damaged, of another version or of another catalogue is passed over and written anew. Nothing has to be in step with
//! the store: slots say where an item lay, and an index says of every slot which signature it holds, so that an index that
//! is behind is found and built anew. Files of exact signatures (`lapel_search::RowFile`) see to themselves. States of whole
//! columns (`states.rs`) are of one state of the store, and say which.

mod items;
mod states;

pub use items::SavedItems;
pub use states::Stop;

use crate::catalogue::{BLOCK, Slot, Snapshot};
use crate::store::Disk;
use lapel_search::codes::Codec;
use lapel_search::{OpenedRows, Precision, RowFile, RowFileError, SignatureColumn};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Endings of the files of exact signatures, of items and of pictures.
const ROWS: [&str; 2] = ["rows", "pictures.rows"];

/// Begins every file: what it is and the version of its layout.
const MAGIC: [u8; 8] = *b"LAPELCA3";

/// The caches in a catalogue's folder.
#[derive(Clone, Debug)]
pub struct Caches {
    folder: PathBuf,
    disk: Disk,
}

/// What is kept of a column.
#[derive(Serialize, Deserialize)]
pub struct CachedColumn {
    codec: Option<Codec>,
    index: Option<CachedIndex>,
}

/// What is kept of an index beside its own file.
#[derive(Clone, Serialize, Deserialize)]
struct CachedIndex {
    file_bytes: u64,
    file_crc32: u32,
    /// By slot: a hash of the signature that is indexed; 0 where there is none.
    signatures: Vec<u32>,
}

impl Caches {
    /// The caches in a catalogue's folder.
    #[must_use]
    pub fn new(folder: &Path, disk: Disk) -> Self {
        Self { folder: folder.join("caches"), disk }
    }

    fn path(&self, key: &str, ending: &str) -> PathBuf {
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        // Keys end in a version and a hash, so that two do not become one.
        self.folder.join(format!("{}.{ending}", key.chars().map(safe).collect::<String>()))
    }

    /// Ids by slot, as they lay when the caches were written.
    #[must_use]
    pub fn slots(&self) -> Option<Vec<Option<String>>> {
        read(&self.folder.join("slots"))
    }

    /// The codec that a column had.
    #[must_use]
    pub fn codec(&self, key: &str, dim: usize) -> Option<Codec> {
        let column: CachedColumn = read(&self.path(key, "column"))?;
        column.codec.filter(|codec| codec.is_sound(dim))
    }

    /// Lets a column's empty index take over the one on disk; false where there is none that is sound.
    #[must_use]
    pub fn restore_index(&self, column: &SignatureColumn) -> bool {
        let cached: Option<CachedColumn> = read(&self.path(column.key(), "column"));
        let Some(index) = cached.and_then(|c| c.index) else { return false };
        let path = self.path(column.key(), "index");
        if checksum(&path).ok() != Some((index.file_bytes, index.file_crc32)) {
            tracing::warn!(column = &**column.key(), "the cached index is damaged; it is built anew");
            return false;
        }
        match column.restore_index(&path, &index.signatures) {
            Ok(()) => {
                tracing::info!(column = &**column.key(), "index taken over");
                true
            }
            Err(error) => {
                tracing::warn!(column = &**column.key(), %error, "the cached index cannot be used; it is built anew");
                false
            }
        }
    }

    /// Opens the files of a column's exact signatures, of items and of pictures, with what is left in them. They are written
    /// as signatures move there, and not when the caches are.
    ///
    /// # Errors
    /// When there can be none.
    pub fn open_rows(&self, key: &str, shape: (usize, Precision)) -> Result<[OpenedRows; 2], RowFileError> {
        fs_err::create_dir_all(&self.folder)?;
        let open =
            |ending| RowFile::open(&self.path(key, ending), key, shape, Arc::new(self.disk.before_write()));
        Ok([open(ROWS[0])?, open(ROWS[1])?])
    }

    /// Deletes the files of a column's exact signatures, all of which are in memory.
    pub fn drop_rows(&self, key: &str) {
        // What stays is only space, and tried again by the next start.
        ROWS.iter().for_each(|ending| drop(std::fs::remove_file(self.path(key, ending))));
    }

    /// Writes everything that a snapshot has but states, and deletes what it has no more. `has_indexes`: whether columns have HNSW
    /// indexes, be they not taken over yet.
    ///
    /// # Errors
    /// Those of the file system; what was written before stays usable.
    pub fn save(&self, snapshot: &Snapshot, has_indexes: bool) -> io::Result<()> {
        fs_err::create_dir_all(&self.folder)?;
        let items = snapshot.items();
        let slots = 0..(items.blocks() * BLOCK) as Slot;
        let mut ids: Vec<Option<String>> = slots.map(|slot| Some(items.get(slot)?.id.to_string())).collect();
        ids.truncate(items.live().max().map_or(0, |last| last as usize + 1));
        self.write(&self.folder.join("slots"), &ids)?;
        let mut wanted = vec![self.folder.join("slots")];
        for column in snapshot.signature_columns() {
            let files = [self.path(column.key(), "column"), self.path(column.key(), "index")];
            let index = match column.is_index_empty() {
                // The one of before may still be taken over.
                true => read(&files[0]).and_then(|cached: CachedColumn| cached.index).filter(|_| has_indexes),
                false => self.save_index(column, &files[1])?,
            };
            wanted.extend(index.is_some().then(|| files[1].clone()));
            self.write(&files[0], &CachedColumn { codec: column.codec().map(|c| (**c).clone()), index })?;
            wanted.extend(files.into_iter().take(1));
            wanted.extend(ROWS.map(|ending| self.path(column.key(), ending)));
        }
        for entry in fs_err::read_dir(&self.folder)? {
            let path = entry?.path();
            if !wanted.contains(&path) {
                fs_err::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn save_index(&self, column: &SignatureColumn, path: &Path) -> io::Result<Option<CachedIndex>> {
        let mut saved = None;
        self.disk.write_through(path, |unfinished| {
            saved = column.save_index(unfinished)?;
            Ok(())
        })?;
        let Some(signatures) = saved else { return Ok(None) };
        let (file_bytes, file_crc32) = checksum(path)?;
        Ok(Some(CachedIndex { file_bytes, file_crc32, signatures }))
    }

    fn write<T: Serialize>(&self, path: &Path, value: &T) -> io::Result<()> {
        let payload = postcard::to_stdvec(value).map_err(io::Error::other)?;
        self.disk.write_file(path, |file| {
            file.write_all(&MAGIC)?;
            file.write_all(&crc32fast::hash(&payload).to_le_bytes())?;
            file.write_all(&payload)
        })
    }
}

/// `None` for a file that is not there, damaged, or of another version.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = std::fs::read(path).ok()?;
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, payload) = rest.split_first_chunk::<4>()?;
    let sound = *magic == MAGIC && crc32fast::hash(payload).to_le_bytes() == *sum;
    let value = if sound { postcard::from_bytes(payload).ok() } else { None };
    if value.is_none() {
        tracing::warn!(path = %path.display(), "a cache is damaged or of another version; it is written anew");
    }
    value
}

/// Length and CRC-32 of a file.
fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = fs_err::File::open(path)?;
    let (mut sum, mut bytes, mut buffer) = (crc32fast::Hasher::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, sum.finalize()));
        }
        sum.update(&buffer[..read]);
        bytes += read as u64;
    }
}
