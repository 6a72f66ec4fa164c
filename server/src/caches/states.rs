//! What memory held of the items and of every column at a clean stop, so that the next start reads, counts and codes neither records nor
//! signatures.
//!
//! States say nothing of the store by themselves. The seal does, which is written last, once the catalogue's file is closed: it
//! names the file's fingerprint and the stop that states must be of. Whoever writes to the catalogue changes the file, this
//! server and every other version of it. A column's state names the files of its rows likewise: a place of one is written anew in the
//! same epoch while a start fills its column, so that seals alone would let an older file pass.

use super::{Caches, read};
use crate::catalogue::{Column, LoadingColumn, Snapshot, Statistics};
use crate::store::{FileStamp, Fingerprint};
use lapel_search::{RestoreError, RowFiles};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Ending of the file of a column's state.
pub(super) const STATE: &str = "state";

/// Begins every state: what it is and the version of its layout.
const MAGIC: [u8; 8] = *b"LAPELHS1";
/// Bytes of a head that are believed: a column has thousands of labels at most.
const HEAD_MAX: u64 = 1 << 30;

/// Tells what one stop has written from what all others have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop([u8; 16]);

impl Stop {
    #[cfg(test)]
    pub(super) const fn of(number: u8) -> Self {
        Self([number; 16])
    }
}

/// Binds what a stop has written to the catalogue's file as it was left.
#[derive(Serialize, Deserialize)]
struct Seal {
    program: Program,
    catalogue: Fingerprint,
    stop: Stop,
}

/// The program that wrote a seal. Another one may add up or code otherwise, so it reads the store once.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Program {
    version: String,
    file: Option<FileStamp>,
}

/// What a state begins with.
#[derive(Serialize, Deserialize)]
struct StateHead {
    stop: Stop,
    statistics: Statistics,
    /// Bytes of exact signatures that were in memory.
    held: u64,
    /// The files of the others.
    rows: [Option<FileStamp>; 2],
}

/// Why a column's state is not used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is damaged, or of another stop or head.
    #[error("it is damaged, or not of this stop")]
    Unfit,
    /// It holds more in memory than there is room for.
    #[error("there is no room in memory for its {0} bytes of signatures")]
    Room(u64),
    /// The files of its signatures are not those that were left.
    #[error("the files of its signatures are not as they were left")]
    Rows,
    /// What it says of the signatures is not so.
    #[error("{0}")]
    Signatures(#[from] RestoreError),
}

impl Program {
    fn this() -> Self {
        let file = std::env::current_exe().ok().and_then(|path| FileStamp::of(&path).ok());
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), file }
    }
}

impl Caches {
    fn seal_path(&self) -> PathBuf {
        self.folder.join("seal")
    }

    /// Writes the states of the items and of every column of a snapshot.
    ///
    /// # Errors
    /// Those of the file system; what was written is of no use then, and overwritten by the next stop.
    pub fn save_states(&self, snapshot: &Snapshot) -> io::Result<Stop> {
        let mut stop = [0; 16];
        getrandom::fill(&mut stop).map_err(io::Error::other)?;
        let stop = Stop(stop);
        self.save_items(snapshot, stop)?;
        for column in snapshot.all_columns() {
            let Some(signatures) = snapshot.signature_column(column) else { continue };
            // A state that the disk has lost part of is noticed as it is read. Rows would be, too, but by whoever searches then.
            let rows = self.row_paths(column.key());
            rows.iter().filter(|path| path.exists()).try_for_each(|path| self.disk.sync_file(path))?;
            let head = StateHead {
                stop,
                statistics: column.statistics(),
                held: signatures.bytes().rows as u64,
                rows: rows.each_ref().map(|path| FileStamp::of(path).ok()),
            };
            let head = postcard::to_stdvec(&head).map_err(io::Error::other)?;
            self.disk.write_unsynced(&self.path(column.key(), STATE), |mut file| {
                file.write_all(&MAGIC)?;
                file.write_all(&(head.len() as u64).to_le_bytes())?;
                file.write_all(&crc32fast::hash(&head).to_le_bytes())?;
                file.write_all(&head)?;
                signatures.save(&mut file)
            })?;
        }
        Ok(stop)
    }

    fn row_paths(&self, key: &str) -> [PathBuf; 2] {
        super::ROWS.map(|ending| self.path(key, ending))
    }

    /// Says that what was saved is of the catalogue's file with a fingerprint.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn seal(&self, stop: Stop, catalogue: Fingerprint) -> io::Result<()> {
        self.write(&self.seal_path(), &Seal { program: Program::this(), catalogue, stop })
    }

    /// The stop that left states of the catalogue's file, which nobody has changed since; `None` where there is none, or
    /// where somebody has.
    #[must_use]
    pub fn sealed(&self) -> Option<Stop> {
        let Seal { program, catalogue, stop } = read(&self.seal_path())?;
        let reason = if program != Program::this() {
            "another program wrote it"
        } else if Fingerprint::of(self.folder.parent()?).ok() != Some(catalogue) {
            "the catalogue has been changed since"
        } else {
            return Some(stop);
        };
        tracing::info!(reason, "what the last stop left is not taken over; the store is read");
        None
    }

    /// An empty column as it was at a stop, with its exact signatures in memory, for as many bytes as there is `room`, and in files,
    /// where it is said that there may be such.
    ///
    /// # Errors
    /// [`StateError`]; the column is then to be filled from the store.
    pub fn restore(
        &self,
        empty: Column,
        stop: Stop,
        (with_files, room): (bool, &AtomicU64),
    ) -> Result<LoadingColumn, StateError> {
        let (key, rows) = (empty.key().clone(), self.row_paths(empty.key()));
        let mut file = BufReader::with_capacity(1 << 20, File::open(self.path(&key, STATE))?);
        let head = read_head(&mut file)?;
        if head.stop != stop {
            return Err(StateError::Unfit);
        }
        if with_files && head.rows != rows.each_ref().map(|path| FileStamp::of(path).ok()) {
            return Err(StateError::Rows);
        }
        let take = |room: u64| room.checked_sub(head.held);
        if room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Err(StateError::Room(head.held));
        }
        let column = empty.with_statistics(head.statistics).ok_or(StateError::Unfit)?;
        let [items, pictures] = rows;
        let before_write = Arc::new(self.disk.before_write());
        let files = with_files.then(|| RowFiles { items, pictures, before_write });
        let signatures = column.signatures().restore(&mut file, files)?;
        if signatures.count() != column.count() {
            return Err(StateError::Unfit);
        }
        if !with_files {
            self.drop_rows(&key);
        }
        Ok(LoadingColumn::restored(column, signatures))
    }

    /// Deletes the seal and all states, which are of no use once the catalogue is open.
    pub fn drop_states(&self) {
        // What stays is only space: the catalogue's file is no longer what the seal says.
        drop(std::fs::remove_file(self.seal_path()));
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|ending| ending == STATE) {
                drop(std::fs::remove_file(entry.path()));
            }
        }
    }
}

fn read_head(file: &mut impl Read) -> Result<StateHead, StateError> {
    let (mut magic, mut length, mut crc32) = ([0; 8], [0; 8], [0; 4]);
    file.read_exact(&mut magic)?;
    file.read_exact(&mut length)?;
    file.read_exact(&mut crc32)?;
    let length = u64::from_le_bytes(length);
    if magic != MAGIC || length > HEAD_MAX {
        return Err(StateError::Unfit);
    }
    let mut head = Vec::new();
    file.take(length).read_to_end(&mut head)?;
    if crc32fast::hash(&head).to_le_bytes() != crc32 {
        return Err(StateError::Unfit);
    }
    postcard::from_bytes(&head).map_err(|_| StateError::Unfit)
}
