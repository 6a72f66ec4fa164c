//! The truth on disk: items, images, signatures, heads, models, profiles and receipts in one redb file.
//!
//! Everything else (columns, indexes, prototypes) is rebuilt from here. A write returns after its commit is durable;
//! what belongs together is one transaction, so a crash leaves all of it or nothing. Every value carries a checksum.

mod backup;
mod disk;
mod heads;
mod items;
mod migrate;
mod moment;
mod profiles;
mod receipts;
mod records;
mod sealed;

pub use backup::{BackupError, BackupSummary, restore};
pub use disk::{Disk, Step, StepHook};
pub use heads::HeadChange;
pub use items::{ItemChange, SignatureChange, SignaturesByHead};
pub use moment::Moment;
pub use profiles::RequestKey;
pub use records::{
    ContentId, HeadRecord, ItemRecord, ModelRecord, Outcome, ProfileRecord, ProfileVersion, Receipt,
    StoredState,
};

use disk::Failure;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use sealed::{decode, encode};
use std::fs::{File, OpenOptions, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// Version of the tables' layout. 1: values without checksums, heads without versions; it is brought up when opened.
const FORMAT: u64 = 2;
/// What to do about a catalogue that cannot be read.
const RESTORE: &str = "restore a backup into an empty folder (`lapel-server --data FOLDER restore BACKUP`), \
    or move the file away to begin with an empty catalogue";
/// The database's file in the catalogue's folder.
const FILE: &str = "catalogue.redb";

type Table = TableDefinition<'static, &'static str, &'static [u8]>;
/// Numbers about the catalogue: `format`, `generation`, `receipts`.
const ABOUT: Table = TableDefinition::new("about");
const ITEMS: Table = TableDefinition::new("items");
const IMAGES: Table = TableDefinition::new("images");
const HEADS: Table = TableDefinition::new("heads");
const MODELS: Table = TableDefinition::new("models");
/// Files of heads and models, by head key, and by model with `/backbone` or `/extract_parts`.
const BUNDLES: Table = TableDefinition::new("bundles");
const PROFILES: Table = TableDefinition::new("profiles");
const RECEIPTS: Table = TableDefinition::new("receipts");
/// Request ids by the order in which they came, as 20 digits.
const RECEIPT_ORDER: Table = TableDefinition::new("receipt_order");
const TABLES: [Table; 9] = [ABOUT, ITEMS, IMAGES, HEADS, MODELS, BUNDLES, PROFILES, RECEIPTS, RECEIPT_ORDER];
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
    #[error("the catalogue has format {found}; this program reads formats up to {FORMAT}")]
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
    #[error("pages of the catalogue's file are damaged ({0}); {RESTORE}")]
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
    /// Told by the database's file when the disk refuses a step.
    failure: Arc<Failure>,
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
        let failure = Arc::default();
        let database = open_database(&config, &failure)?;
        Ok(Self { config, database: RwLock::new(Some(database)), failure, _lock: lock })
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

    /// Whether a write failed and the database must be opened anew before the next.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failure.has_happened()
    }

    /// Ends when the store has failed.
    pub async fn failed(&self) {
        self.failure.noticed().await;
    }

    /// Opens the database anew after a failure. The last write that failed may then be there or not.
    ///
    /// # Errors
    /// [`StoreError`]; it may be tried again.
    pub fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The old one gives up its locks first.
        drop(database.take());
        self.failure.is_mended();
        *database = Some(open_database(&self.config, &self.failure)?);
        Ok(())
    }

    /// Runs `read` on the state of this moment.
    fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(StoreError::Reopening)?;
        guarded(|| read(&database.begin_read()?))
    }

    /// Runs `write` in one transaction and makes it durable; with an error nothing is changed.
    fn write<T, E: From<StoreError>>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().filter(|_| !self.has_failed()).ok_or(StoreError::Reopening)?;
        let mut refused = None;
        let written = guarded(|| {
            let mut transaction = database.begin_write()?;
            // Opening after a crash does not then walk the whole file.
            transaction.set_quick_repair(true);
            match write(&transaction) {
                Ok(value) => {
                    transaction.commit()?;
                    Ok(Some(value))
                }
                Err(error) => {
                    refused = Some(error);
                    transaction.abort()?;
                    Ok(None)
                }
            }
        });
        match (written?, refused) {
            (Some(value), _) => Ok(value),
            (None, Some(error)) => Err(error),
            (None, None) => Err(StoreError::Reopening.into()),
        }
    }

    /// The last generation written.
    ///
    /// # Errors
    /// When the database fails.
    pub fn generation(&self) -> Result<u64, StoreError> {
        self.about("generation")
    }

    fn about(&self, name: &str) -> Result<u64, StoreError> {
        self.read(|transaction| match transaction.open_table(ABOUT)?.get(name)? {
            Some(value) => decode("about", name, value.value()),
            None => Ok(0),
        })
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

/// Gives the space of deleted records in a folder's catalogue back to the disk, and returns the file's size before and
/// after.
///
/// # Errors
/// [`StoreError`]; nothing is lost then.
pub fn compact(folder: &Path) -> Result<(u64, u64), StoreError> {
    let fault = |source| StoreError::Folder { folder: folder.to_owned(), source };
    let size = || Ok::<_, StoreError>(std::fs::metadata(folder.join(FILE)).map_err(fault)?.len());
    let before = size()?;
    let disk = Disk::default();
    let config = StoreConfig { folder: folder.to_owned(), cache_bytes: 64 << 20, receipts_max: 1, disk };
    let store = Store::open(config)?;
    if let Some(database) = store.database.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
        while database.compact()? {}
    }
    drop(store);
    Ok((before, size()?))
}

/// A panic of the library on a damaged page is a damaged page.
fn guarded<T>(run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(StoreError::Unreadable("the database library gave up".into())))
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let fault = |source| StoreError::Folder { folder: folder.to_owned(), source };
    let path = folder.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(fault(source)),
    }
}

/// Opens the database in a folder. A new one gets its name only when it is whole: redb cannot open a half made one.
fn open_database(config: &StoreConfig, failure: &Arc<Failure>) -> Result<Database, StoreError> {
    let folder = &config.folder;
    let fault = |source| StoreError::Folder { folder: folder.clone(), source };
    let path = folder.join(FILE);
    if !path.exists() {
        let unfinished = folder.join("catalogue.unfinished");
        if unfinished.exists() {
            std::fs::remove_file(&unfinished).map_err(fault)?;
        }
        drop(open_file(config, &unfinished, failure)?);
        config.disk.publish(&unfinished, &path).map_err(fault)?;
    }
    // It got its name when it was whole, and redb would make a new database of an empty file.
    if std::fs::metadata(&path).map_err(fault)?.len() == 0 {
        return Err(StoreError::Broken { file: path, reason: "it is empty".into() });
    }
    open_file(config, &path, failure).map_err(|error| broken(path, error))
}

/// What opening a file says that is cut off or no database.
fn broken(file: PathBuf, error: StoreError) -> StoreError {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        StoreError::Unreadable(reason) => StoreError::Broken { file, reason },
        StoreError::Folder { source, .. } if matches!(source.kind(), InvalidData | UnexpectedEof) => {
            StoreError::Broken { file, reason: source.to_string() }
        }
        other => other,
    }
}

fn open_file(config: &StoreConfig, path: &Path, failure: &Arc<Failure>) -> Result<Database, StoreError> {
    let folder = &config.folder;
    guarded(|| {
        let file = config.disk.database(path, failure.clone());
        let opened = file.and_then(|file| {
            Database::builder().set_cache_size(config.cache_bytes).create_with_backend(file)
        });
        let database = opened.map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { folder: folder.clone() },
            redb::DatabaseError::Storage(redb::StorageError::Io(source)) => {
                StoreError::Folder { folder: folder.clone(), source }
            }
            other => other.into(),
        })?;
        migrate::bring_up(&database)?;
        Ok(database)
    })
}

fn number(transaction: &WriteTransaction, name: &str) -> Result<u64, StoreError> {
    match transaction.open_table(ABOUT)?.get(name)? {
        Some(value) => decode("about", name, value.value()),
        None => Ok(0),
    }
}

fn set_number(transaction: &WriteTransaction, name: &str, number: u64) -> Result<(), StoreError> {
    transaction.open_table(ABOUT)?.insert(name, encode("about", name, &number).as_slice())?;
    Ok(())
}

/// What a walk over a table could not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Records that do not have their checksum: table and key.
    pub records: Vec<(String, String)>,
    /// Records on pages that cannot be read, so that even their keys are unknown.
    pub lost: u64,
}

impl Damage {
    /// Whether everything was read.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.records.is_empty() && self.lost == 0
    }

    /// Adds what another walk could not read.
    pub fn add(&mut self, other: Self) {
        self.records.extend(other.records);
        self.lost += other.lost;
    }
}

/// Hands every record of a table to `take`, which says whether it is sound. Pages that cannot be read are passed by:
/// the walk then comes from the other end.
fn walk(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
    mut take: impl FnMut(&str, &[u8]) -> Result<(), StoreError>,
) -> Result<Damage, StoreError> {
    let wanted = guarded(|| Ok(table.len()?)).unwrap_or(0);
    let (mut seen, mut damage) = (0, Damage::default());
    let mut visit = |key: &str, value: &[u8], damage: &mut Damage| {
        if take(key, value).is_err() {
            damage.records.push((name.to_owned(), key.to_owned()));
        }
    };
    let mut last = String::new();
    let forward = guarded(|| {
        for entry in table.iter()? {
            let (key, value) = entry?;
            visit(key.value(), value.value(), &mut damage);
            seen += 1;
            last.clear();
            last.push_str(key.value());
        }
        Ok(())
    });
    let Err(reason) = forward else { return Ok(damage) };
    tracing::error!(table = name, %reason, "pages are damaged; reading from the other end");
    let backward = guarded(|| {
        for entry in table.iter()?.rev() {
            let (key, value) = entry?;
            if seen > 0 && key.value() <= last.as_str() {
                break;
            }
            visit(key.value(), value.value(), &mut damage);
            seen += 1;
        }
        Ok(())
    });
    if let Err(reason) = backward {
        tracing::error!(table = name, %reason, "pages are damaged");
    }
    damage.lost = u64::saturating_sub(wanted, seen).max(1);
    Ok(damage)
}

#[cfg(test)]
mod tests;
