//! Opening the database's file. A catalogue is made in one place, when a server starts on a folder without one; whatever
//! opens it later takes the file that is there.

use super::disk::unfinished;
use super::health::Health;
use super::{Disk, FILE, Store, StoreConfig, StoreError, formats, guarded};
use redb::Database;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Takes a folder for this process.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let fault = |source| StoreError::Folder { folder: folder.to_owned(), source };
    let path = folder.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(fault(source)),
    }
}

/// Makes an empty catalogue in a folder without one. It gets its name only when it is whole: redb cannot open a half made
/// one.
pub(super) fn create_if_absent(config: &StoreConfig, health: &Arc<Health>) -> Result<(), StoreError> {
    let folder = &config.folder;
    let fault = |source| StoreError::Folder { folder: folder.clone(), source };
    let path = folder.join(FILE);
    let unfinished = unfinished(&path);
    // Of a start that was cut off, or of a file that was being compacted.
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(fault(error)),
        Ok(()) | Err(_) => {}
    }
    // A disk that does not say whether there is one is a fault, not an empty folder.
    if path.try_exists().map_err(fault)? {
        return Ok(());
    }
    drop(open_file(config, &unfinished, true, health)?);
    config.disk.publish_new(&unfinished, &path).map_err(fault)
}

/// Opens the database that is in a folder.
pub(super) fn open_database(config: &StoreConfig, health: &Arc<Health>) -> Result<Database, StoreError> {
    let path = config.folder.join(FILE);
    let found = fs_err::metadata(&path);
    let found = found.map_err(|source| StoreError::Folder { folder: config.folder.clone(), source })?;
    // It got its name when it was whole, and redb would make a new database of an empty file.
    if found.len() == 0 {
        return Err(StoreError::Broken { file: path, reason: "it is empty".into() });
    }
    open_file(config, &path, false, health).map_err(|error| broken(path, error))
}

/// What opening a file says that is cut off or no database.
fn broken(file: PathBuf, error: StoreError) -> StoreError {
    match error {
        StoreError::Unreadable(reason) => StoreError::Broken { file, reason },
        StoreError::Folder { source, .. }
            if matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            StoreError::Broken { file, reason: source.to_string() }
        }
        other => other,
    }
}

fn open_file(
    config: &StoreConfig,
    path: &Path,
    is_new: bool,
    health: &Arc<Health>,
) -> Result<Database, StoreError> {
    let folder = &config.folder;
    guarded(|| {
        let file = config.disk.database(path, is_new, health.clone());
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
        formats::bring_up(&database)?;
        Ok(database)
    })
}

/// Gives the space of deleted records in a folder's catalogue back to the disk, and returns the file's size in bytes
/// before and after. It is a copy that is compacted, and takes the file's place when it is whole: a damaged page that is met
/// on the way leaves a database that can no longer be opened.
///
/// # Errors
/// [`StoreError`]; the file is as it was then.
pub fn compact(folder: &Path) -> Result<(u64, u64), StoreError> {
    let fault = |source| StoreError::Folder { folder: folder.to_owned(), source };
    let path = folder.join(FILE);
    let size = || Ok::<_, StoreError>(std::fs::metadata(&path).map_err(fault)?.len());
    let before = size()?;
    let disk = Disk::default();
    let config = StoreConfig { folder: folder.to_owned(), cache_bytes: 64 << 20, receipts_max: 1, disk };
    // What cannot be opened is told as at any start.
    drop(Store::open(config.clone())?);
    let _held = lock(folder)?;
    let mut outcome = Ok(());
    let written = config.disk.write_through(&path, |copy| {
        fs_err::copy(&path, copy)?;
        outcome = compact_file(&config, copy);
        // The error itself is told below.
        if outcome.is_ok() { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
    });
    outcome?;
    written.map_err(fault)?;
    Ok((before, size()?))
}

fn compact_file(config: &StoreConfig, path: &Path) -> Result<(), StoreError> {
    let mut database = open_file(config, path, false, &Arc::default())?;
    guarded(|| {
        while database.compact()? {}
        Ok(())
    })
}
