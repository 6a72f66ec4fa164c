//! What memory held of every column at a clean stop, so that the next start reads, counts and codes no signature.
//!
//! States say nothing of the store by themselves. The seal does, which is written last, once the catalogue's file is closed: it
//! names the file's fingerprint, the slots, and the stop that states must be of. Whoever opens the catalogue changes the file, this
//! server and every other version of it, so a seal serves the next start and no later one.

use super::{Caches, checksum, read};
use crate::catalogue::{Column, LoadingColumn, Snapshot, Statistics};
use crate::store::Fingerprint;
use lapel_search::{PicturePlace, RestoreError, RowFiles, Slot};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// Ending of the file of a column's state.
pub(super) const STATE: &str = "state";

/// Begins every state: what it is and the version of its layout.
const MAGIC: [u8; 8] = *b"LAPELST1";
/// Bytes of a column's statistics that are believed: a head has thousands of labels at most.
const STATISTICS_MAX: u64 = 1 << 30;

/// Tells one stop from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stop([u8; 16]);

/// What a stop has written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedStates {
    stop: Stop,
    /// Of the file of slots.
    slots_crc32: u32,
    /// The item's slot and the number of each picture, by the picture's slot.
    pictures: Vec<Option<(Slot, u32)>>,
}

/// Binds what a stop has written to the catalogue's file as it was left.
#[derive(Serialize, Deserialize)]
struct Seal {
    catalogue: Fingerprint,
    saved: SavedStates,
}

/// Why a column's state is not used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is damaged, of another stop, or of another head.
    #[error("it is damaged, or not of this stop")]
    Unfit,
    /// What it says of the signatures is not so.
    #[error("{0}")]
    Signatures(#[from] RestoreError),
}

impl SavedStates {
    /// The places of pictures, by their slots.
    pub fn pictures(&self) -> impl Iterator<Item = Option<PicturePlace>> {
        self.pictures.iter().map(|place| place.map(|(item, number)| PicturePlace { item, number }))
    }
}

impl Caches {
    fn seal_path(&self) -> PathBuf {
        self.folder.join("seal")
    }

    /// Writes the state of every column of a snapshot whose slots have been saved.
    ///
    /// # Errors
    /// Those of the file system; what was written is of no use then, and overwritten by the next stop.
    pub fn save_states(&self, snapshot: &Snapshot) -> io::Result<SavedStates> {
        let mut stop = [0; 16];
        getrandom::fill(&mut stop).map_err(io::Error::other)?;
        let place = |place: Option<PicturePlace>| place.map(|PicturePlace { item, number }| (item, number));
        let saved = SavedStates {
            stop: Stop(stop),
            slots_crc32: checksum(&self.folder.join("slots"))?.1,
            pictures: snapshot.items().pictures().places().into_iter().map(place).collect(),
        };
        for column in snapshot.all_columns() {
            let Some(signatures) = snapshot.signature_column(column) else { continue };
            let head = postcard::to_stdvec(&(stop, column.statistics())).map_err(io::Error::other)?;
            self.disk.write_unsynced(&self.path(column.key(), STATE), |mut file| {
                file.write_all(&MAGIC)?;
                file.write_all(&(head.len() as u64).to_le_bytes())?;
                file.write_all(&crc32fast::hash(&head).to_le_bytes())?;
                file.write_all(&head)?;
                signatures.save(&mut file)
            })?;
            // A state that the disk has lost part of is noticed as it is read. Rows would be, too, but by whoever searches then.
            let rows = super::ROWS.map(|ending| self.path(column.key(), ending));
            rows.iter().filter(|path| path.exists()).try_for_each(|path| self.disk.sync_file(path))?;
        }
        Ok(saved)
    }

    /// Says that what was saved is of the catalogue's file with a fingerprint.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn seal(&self, saved: SavedStates, catalogue: Fingerprint) -> io::Result<()> {
        self.write(&self.seal_path(), &Seal { catalogue, saved })
    }

    /// What the last stop has saved of the catalogue's file, which nobody has opened since; `None` where there is nothing, or
    /// where somebody has.
    #[must_use]
    pub fn sealed(&self) -> Option<SavedStates> {
        let seal: Seal = read(&self.seal_path())?;
        let is_left = Fingerprint::of(self.folder.parent()?).is_ok_and(|now| now == seal.catalogue);
        let slots = checksum(&self.folder.join("slots"));
        let is_whole = slots.is_ok_and(|(_, crc32)| crc32 == seal.saved.slots_crc32);
        (is_left && is_whole).then_some(seal.saved)
    }

    /// An empty column as it was at a stop. `with_files`: whether signatures may be out of memory.
    ///
    /// # Errors
    /// [`StateError`]; the column is then to be filled from the store.
    pub fn restore(
        &self,
        empty: Column,
        saved: &SavedStates,
        with_files: bool,
    ) -> Result<LoadingColumn, StateError> {
        let key = empty.key().clone();
        let mut file = BufReader::with_capacity(1 << 20, File::open(self.path(&key, STATE))?);
        let (mut magic, mut length, mut crc32) = ([0; 8], [0; 8], [0; 4]);
        file.read_exact(&mut magic)?;
        file.read_exact(&mut length)?;
        file.read_exact(&mut crc32)?;
        let length = u64::from_le_bytes(length);
        if magic != MAGIC || length > STATISTICS_MAX {
            return Err(StateError::Unfit);
        }
        let mut head = Vec::new();
        file.by_ref().take(length).read_to_end(&mut head)?;
        if crc32fast::hash(&head).to_le_bytes() != crc32 {
            return Err(StateError::Unfit);
        }
        let (stop, statistics): (Stop, Statistics) =
            postcard::from_bytes(&head).map_err(|_| StateError::Unfit)?;
        let column = empty.with_statistics(statistics).filter(|_| stop == saved.stop);
        let column = column.ok_or(StateError::Unfit)?;
        let files = with_files.then(|| RowFiles {
            items: self.path(&key, super::ROWS[0]),
            pictures: self.path(&key, super::ROWS[1]),
            before_write: Arc::new(self.disk.before_write()),
        });
        let signatures = lapel_search::SignatureColumn::restore(column.signatures(), &mut file, files)?;
        if signatures.count() != column.count() {
            return Err(StateError::Unfit);
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
