//! The truth on disk: items, images, signatures, heads, models, profiles and receipts in one redb file.
//!
//! Everything else (columns, indexes, prototypes) is rebuilt from here. A write returns after its commit is durable;
//! what belongs together is one transaction, so a crash leaves all of it or nothing. Every value carries a checksum.

mod backup;
mod check;
mod disk;
mod fingerprint;
mod formats;
mod heads;
mod health;
mod items;
mod moment;
mod opening;
mod packed;
mod pictures;
mod profiles;
mod receipts;
mod records;
mod sealed;
mod values;
mod walk;

pub use backup::{BackupError, BackupSummary, restore};
pub use check::Checked;
pub use disk::{Disk, Step, StepHook};
pub use fingerprint::{FileStamp, Fingerprint};
pub use heads::HeadChange;
pub use health::StoreHealth;
pub use items::{ItemChange, SignatureChange, SignaturesByHead};
pub use moment::Moment;
pub use opening::compact;
pub use packed::{LabelTable, PackedRecord, SavedLabels};
pub use pictures::{PICTURES_MAX, of_key, picture_key};
pub use profiles::{ProfileChange, ProfileKeys, RequestKey};
pub use records::{
    HeadRecord, ItemRecord, ModelRecord, Outcome, ProfileRecord, ProfileVersion, Receipt, RequestHash,
    StoredImage, StoredState,
};
pub use values::{ContentId, FieldValue, Fields, Labels, StoredPartsCase};
pub use walk::Damage;

use formats::FORMAT;
use health::Health;
use opening::{create_if_absent, lock, open_database};
use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction};
use sealed::{decode, encode};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use walk::walk;

/// What to do about a catalogue that cannot be read.
const RESTORE: &str = "restore a backup into an empty folder (`lapel-server --data FOLDER restore BACKUP`), \
    or move the file away to begin with an empty catalogue";
/// The database's file in the catalogue's folder.
const FILE: &str = "catalogue.redb";

type Table = TableDefinition<'static, &'static str, &'static [u8]>;
/// Numbers about the catalogue: `format`, `generation`.
const ABOUT: Table = TableDefinition::new("about");
/// By id, and of further pictures by `picture_key`; so are the tables of signatures.
const IMAGES: Table = TableDefinition::new("images");
const ITEMS: Table = TableDefinition::new("items");
const HEADS: Table = TableDefinition::new("heads");
const MODELS: Table = TableDefinition::new("models");
/// Files of heads and models, by head key, and by model with `/backbone` or `/extract_parts`.
const BUNDLES: Table = TableDefinition::new("bundles");
/// By profile: where its versions are.
const PROFILES: Table = TableDefinition::new("profiles");
/// By profile and place.
const PROFILE_VERSIONS: Table = TableDefinition::new("profile_versions");
const RECEIPTS: Table = TableDefinition::new("receipts");
/// Request ids by the order in which they came, as 20 digits.
const RECEIPT_ORDER: Table = TableDefinition::new("receipt_order");
const TABLES: [Table; 10] =
    [ABOUT, ITEMS, IMAGES, HEADS, MODELS, BUNDLES, PROFILES, PROFILE_VERSIONS, RECEIPTS, RECEIPT_ORDER];
/// Prefix of the signature tables: one a head's key, so that dropping a head touches no other.
const SIGNATURES: &str = "signatures/";

/// What the disk did.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] redb::Error),
    /// The folder cannot be used.
    #[error(
        "the catalogue's folder {folder} cannot be used: {source}; it must be a folder that this user may write"
    )]
    Folder {
        /// The catalogue's folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has the catalogue open.
    #[error("another server has the catalogue in {folder} open; stop it, or give another folder")]
    InUse {
        /// The catalogue's folder.
        folder: PathBuf,
    },
    /// Written by another version of the program.
    #[error(
        "the catalogue has format {found}; this program reads formats up to {FORMAT}: start the newer program again, or \
         restore the backup that was made before the upgrade into an empty folder"
    )]
    Format {
        /// Format on disk.
        found: u64,
    },
    /// A record does not have its checksum.
    #[error("the record {key:?} of table {table} is damaged")]
    Damaged {
        /// The table.
        table: String,
        /// Its key.
        key: String,
    },
    /// Pages of the database cannot be read.
    #[error(
        "pages of the catalogue's file are damaged ({0}); what can be read is served: export it (`lapel items export`), \
         then restore a backup"
    )]
    Unreadable(String),
    /// The database's file is no database any more.
    #[error("the catalogue's file {file} is damaged or cut off ({reason}); {RESTORE}")]
    Broken {
        /// The file.
        file: PathBuf,
        /// What was found.
        reason: String,
    },
    /// An earlier step failed; the database is opened anew.
    #[error("the catalogue's file is being opened anew after a failure")]
    Reopening,
    /// The request's id was used for another request.
    #[error("request id {0:?} was used for another request; use a new one for each")]
    RequestId(String),
}

impl StoreError {
    fn damaged(table: &str, key: &str) -> Self {
        Self::Damaged { table: table.to_owned(), key: key.to_owned() }
    }

    /// Whether what was asked for is stored and cannot be read.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Unreadable(_) | Self::Broken { .. })
    }

    /// Whether there is no room left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Self::Database(redb::Error::Io(source))
            if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }
}

macro_rules! from_redb {
    ($($kind:ty),*) => {$(
        impl From<$kind> for StoreError {
            fn from(error: $kind) -> Self {
                match redb::Error::from(error) {
                    redb::Error::Corrupted(reason) => Self::Unreadable(reason),
                    // A page that lies behind the end of the file, as a damaged one tells of it.
                    redb::Error::Io(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                        Self::Unreadable(source.to_string())
                    }
                    other => Self::Database(other),
                }
            }
        }
    )*};
}
from_redb!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::CompactionError
);

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The catalogue's folder.
    pub folder: PathBuf,
    /// Bytes of pages kept in memory.
    pub cache_bytes: usize,
    /// Receipts kept; older ones are forgotten.
    pub receipts_max: u64,
    /// The disk.
    pub disk: Disk,
}

/// The database.
pub struct Store {
    config: StoreConfig,
    /// `None` between a failure and its mending.
    database: RwLock<Option<Database>>,
    health: Arc<Health>,
    /// Locked for as long as this server uses the folder.
    _lock: File,
}

impl Store {
    /// Opens the catalogue in a folder, or makes an empty one.
    ///
    /// # Errors
    /// [`StoreError`]; a folder that another server has open is an error.
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let folder = &config.folder;
        let fault = |source| StoreError::Folder { folder: folder.clone(), source };
        std::fs::create_dir_all(folder).map_err(fault)?;
        let lock = lock(folder)?;
        let health = Arc::default();
        create_if_absent(&config, &health)?;
        let database = open_database(&config, &health)?;
        Ok(Self { config, database: RwLock::new(Some(database)), health, _lock: lock })
    }

    /// The catalogue's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.config.folder
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.config.disk
    }

    /// Whether it can be used.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        self.health.now()
    }

    /// Ends when the store has failed.
    pub async fn failed(&self) {
        self.health.failed().await;
    }

    /// Opens the database anew after a failure; until [`Store::opened`] it is [`StoreHealth::Reopening`]. The last write
    /// that failed may then be there or not. A file that is not there is an error: none is made in its place.
    ///
    /// # Errors
    /// [`StoreError`]; the store is then [`StoreHealth::Failed`], and it may be tried again.
    pub fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The old one gives up its locks first, and closing it may fail, too.
        close(&mut database);
        // Before the new one is opened, so that a step that fails from now on is not forgotten.
        self.health.set(StoreHealth::Reopening);
        let opened = open_database(&self.config, &self.health);
        *database = Some(opened.inspect_err(|_| self.health.set(StoreHealth::Failed))?);
        Ok(())
    }

    /// Ends a reopening once the memory is what the store holds. False when the store has failed again meanwhile: it is
    /// then to be opened anew once more.
    #[must_use]
    pub fn opened(&self) -> bool {
        self.health.opened()
    }

    /// Closes the database for good, and returns the fingerprint that its file is left with; `None` where the store had failed, or
    /// somebody still uses it. Whoever asks for something afterwards is told that it is not open.
    #[must_use]
    pub fn close(&self) -> Option<Fingerprint> {
        let mut database = self.database.try_write().ok()?;
        let is_sound = self.health() == StoreHealth::Open;
        close(&mut database);
        // Closing writes, and may fail, too.
        let is_sound = is_sound && self.health() == StoreHealth::Open;
        Fingerprint::of(&self.config.folder).ok().filter(|_| is_sound)
    }

    /// The database of this moment. Nobody waits for one that is being opened anew, least of all a thread that serves
    /// connections.
    fn database(&self) -> Result<RwLockReadGuard<'_, Option<Database>>, StoreError> {
        match self.database.try_read() {
            Ok(database) => Ok(database),
            Err(TryLockError::Poisoned(database)) => Ok(database.into_inner()),
            Err(TryLockError::WouldBlock) => Err(StoreError::Reopening),
        }
    }

    /// Runs `read` on the state of this moment.
    fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let database = self.database()?;
        let database = database.as_ref().ok_or(StoreError::Reopening)?;
        guarded(|| read(&database.begin_read()?))
    }

    /// Runs `write` in one transaction and makes it durable; with an error nothing is changed.
    fn write<T, E: From<StoreError>>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let database = self.database()?;
        // While it is being opened anew, whoever reads it into the memory writes, too.
        let is_usable = self.health() != StoreHealth::Failed;
        let database = database.as_ref().filter(|_| is_usable).ok_or(StoreError::Reopening)?;
        let mut refused = None;
        let written = guarded(|| {
            let mut transaction = database.begin_write()?;
            // Opening after a crash does not then walk the whole file.
            transaction.set_quick_repair(true);
            match write(&transaction) {
                Ok(value) => transaction.commit().map(|()| Some(value)).map_err(StoreError::from),
                Err(error) => {
                    refused = Some(error);
                    transaction.abort().map(|()| None).map_err(StoreError::from)
                }
            }
        });
        if written.is_err() {
            // The library has given up in the middle of it, and what it would write from now on, at its closing, too, could not be
            // opened again: nothing reaches the file until it is opened anew.
            self.health.set(StoreHealth::Failed);
        }
        match (written?, refused) {
            (Some(value), _) => Ok(value),
            (None, Some(error)) => Err(error),
            (None, None) => Err(StoreError::Reopening.into()),
        }
    }

    /// The last generation written; 0 where none was, or where its record is damaged: the next change writes it anew.
    ///
    /// # Errors
    /// When the database fails.
    pub fn generation(&self) -> Result<u64, StoreError> {
        match self.record(ABOUT, "generation") {
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(%error, "generations are counted from 0 again");
                Ok(0)
            }
            found => Ok(found?.unwrap_or(0)),
        }
    }

    fn record<T: serde::de::DeserializeOwned>(
        &self,
        table: Table,
        key: &str,
    ) -> Result<Option<T>, StoreError> {
        use redb::TableHandle;
        self.read(|transaction| {
            let found = transaction.open_table(table)?.get(key)?;
            found.map(|value| decode(table.name(), key, value.value())).transpose()
        })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        close(self.database.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Closes a database. The library may panic as it writes what it leaves: the file is then what it was after the last commit.
fn close(database: &mut Option<Database>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(database.take())));
}

/// A panic of the library on a damaged page is a damaged page.
fn guarded<T>(run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(StoreError::Unreadable("the database library gave up".into())))
}

fn set_number(transaction: &WriteTransaction, name: &str, number: u64) -> Result<(), StoreError> {
    transaction.open_table(ABOUT)?.insert(name, encode("about", name, &number).as_slice())?;
    Ok(())
}

#[cfg(test)]
mod tests;
