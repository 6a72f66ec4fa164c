//! Backups: every record of one moment in one file, and back into an empty folder.
//!
//! Layout: the magic and the version, then frames of length (u32), CRC-32 (u32) and a postcard [`Frame`], all numbers
//! little-endian. The last frame tells how many records there are and their SHA-256, so that a file that was cut off
//! or put together from two is refused.

use super::disk::Disk;
use super::sealed::{encode, unseal};
use super::walk::Damage;
use super::{ABOUT, FILE, FORMAT, Store, StoreError, StoreHealth, decode, guarded, lock, walk};
use redb::{Database, ReadTransaction, TableDefinition, TableHandle};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"LAPELBAK";
/// Version of the layout.
const VERSION: u32 = 1;
/// No record is larger: the store's own limit.
const FRAME_MAX: usize = 3 << 30;
/// Bytes of records that are restored in one transaction.
const BATCH_BYTES: usize = 32 << 20;

#[derive(Serialize, Deserialize)]
enum Frame<'a> {
    Record { table: &'a str, key: &'a str, sealed: &'a [u8] },
    End { records: u64, sha256: [u8; 32] },
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupSummary {
    /// Records of all kinds.
    pub records: u64,
    /// Items among them.
    pub items: u64,
    /// Records that were damaged when it was written, and are not in it. A restored file does not tell of them.
    pub damaged: u64,
}

/// Why a backup cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be read, or the folder not be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is another kind of file.
    #[error("this is no backup of Lapel")]
    Other,
    /// Written by a newer program.
    #[error("the backup has version {found}; this program reads versions up to {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// It is cut off or was changed.
    #[error("the backup is damaged: {0}; nothing was restored")]
    Damaged(String),
    /// There is a catalogue already.
    #[error("{folder} holds a catalogue already; give an empty folder")]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// The new catalogue cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Counts and hashes the frames of records.
#[derive(Default)]
struct Sum {
    summary: BackupSummary,
    sha256: Sha256,
}

impl Sum {
    fn add(&mut self, table: &str, payload: &[u8]) {
        self.summary.records += 1;
        self.summary.items += u64::from(table == "items");
        self.sha256.update(payload);
    }

    fn end(self) -> (BackupSummary, [u8; 32]) {
        (self.summary, self.sha256.finalize().into())
    }
}

fn framed(frame: &Frame<'_>) -> Vec<u8> {
    let payload = postcard::to_stdvec(frame).unwrap_or_default();
    let mut bytes = Vec::with_capacity(payload.len() + 8);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    bytes
}

impl Store {
    /// Hands a backup of this moment to `take`, piece by piece; writes go on meanwhile. Records that are damaged are
    /// passed over and counted in the summary: the rest is worth the more. It ends when the store fails, which could not
    /// be opened anew before.
    ///
    /// # Errors
    /// [`StoreError::Reopening`], or what `take` returns.
    pub fn backup<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<BackupSummary, E> {
        let mut refused = None;
        let written = self.read(|transaction| {
            let mut sum = Sum::default();
            let is_open = || self.health() == StoreHealth::Open;
            let mut give = |bytes| is_open() && take(bytes).map_err(|e| refused.insert(e)).is_ok();
            let mut head = MAGIC.to_vec();
            head.extend_from_slice(&VERSION.to_le_bytes());
            if !give(head) {
                return Ok(None);
            }
            let names: Vec<String> = transaction.list_tables()?.map(|t| t.name().to_owned()).collect();
            for name in names {
                if !back_up(transaction, &name, &mut sum, &mut give)? {
                    return Ok(None);
                }
            }
            let (summary, sha256) = sum.end();
            let done = give(framed(&Frame::End { records: summary.records, sha256 }));
            Ok(done.then_some(summary))
        });
        match (written?, refused) {
            (Some(summary), None) => Ok(summary),
            (_, Some(error)) => Err(error),
            (None, None) => Err(StoreError::Reopening.into()),
        }
    }
}

/// Gives the records of a table; those that are damaged are counted. False once none are taken any more.
fn back_up(
    transaction: &ReadTransaction,
    name: &str,
    sum: &mut Sum,
    give: &mut impl FnMut(Vec<u8>) -> bool,
) -> Result<bool, StoreError> {
    let definition = TableDefinition::<&str, &[u8]>::new(name);
    let table = match guarded(|| Ok(transaction.open_table(definition)?)) {
        Ok(table) => table,
        Err(error) if error.is_damage() => {
            tracing::error!(table = name, %error, "a table is not in the backup");
            sum.summary.damaged += 1;
            return Ok(true);
        }
        Err(error) => return Err(error),
    };
    // What is open has today's format, be its number damaged meanwhile.
    let format = encode(ABOUT.name(), "format", &FORMAT);
    let mut goes_on = true;
    let damage = walk(&table, name, |key, sealed| {
        let is_format = (name, key) == (ABOUT.name(), "format");
        let sealed = if is_format { format.as_slice() } else { sealed };
        unseal(name, key, sealed)?;
        let frame = framed(&Frame::Record { table: name, key, sealed });
        sum.add(name, &frame[8..]);
        goes_on = give(frame);
        Ok(if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    if !damage.is_none() {
        let Damage { records, lost } = &damage;
        tracing::error!(?records, lost, "damaged records are not in the backup");
    }
    sum.summary.damaged += damage.records.len() as u64 + damage.lost;
    Ok(goes_on)
}

/// Reads the frames of a backup.
struct Frames<R> {
    input: R,
    payload: Vec<u8>,
}

impl<R: Read> Frames<R> {
    fn new(mut input: R) -> Result<Self, BackupError> {
        let (mut magic, mut version) = ([0; 8], [0; 4]);
        let read = input.read_exact(&mut magic).and_then(|()| input.read_exact(&mut version));
        if read.is_err() || magic != MAGIC {
            return Err(BackupError::Other);
        }
        match u32::from_le_bytes(version) {
            VERSION => Ok(Self { input, payload: Vec::new() }),
            found => Err(BackupError::Version { found }),
        }
    }

    fn next(&mut self) -> Result<Frame<'_>, BackupError> {
        let damaged = |reason: &str| BackupError::Damaged(reason.to_owned());
        let (mut len, mut sum) = ([0; 4], [0; 4]);
        let head = self.input.read_exact(&mut len).and_then(|()| self.input.read_exact(&mut sum));
        head.map_err(|_| damaged("it ends too early"))?;
        let len = u32::from_le_bytes(len) as usize;
        if len > FRAME_MAX {
            return Err(damaged("a record has an impossible length"));
        }
        self.payload.clear();
        // A length that was changed must not take memory that the file does not fill.
        let read = (&mut self.input).take(len as u64).read_to_end(&mut self.payload)?;
        if read != len {
            return Err(damaged("it ends too early"));
        }
        if crc32fast::hash(&self.payload).to_le_bytes() != sum {
            return Err(damaged("a record does not have its checksum"));
        }
        postcard::from_bytes(&self.payload).map_err(|_| damaged("a record cannot be decoded"))
    }

    /// Refuses what comes after the last frame.
    fn end(&mut self) -> Result<(), BackupError> {
        self.payload.clear();
        if (&mut self.input).take(1).read_to_end(&mut self.payload)? == 0 {
            return Ok(());
        }
        let reason =
            "bytes follow its end, as where two files were run together, or a longer file was written over";
        Err(BackupError::Damaged(reason.to_owned()))
    }
}

/// Restores a backup into a folder without a catalogue. Until all of it is there and checked, the folder has none.
///
/// # Errors
/// [`BackupError`]; the folder then has no catalogue.
pub fn restore(input: impl Read, folder: &Path, disk: &Disk) -> Result<BackupSummary, BackupError> {
    fs_err::create_dir_all(folder)?;
    let _lock = lock(folder)?;
    if folder.join(FILE).try_exists()? {
        return Err(BackupError::NotEmpty { folder: folder.to_owned() });
    }
    let unfinished = folder.join("catalogue.restoring");
    let _ = fs_err::remove_file(&unfinished);
    let restored = fill(input, &unfinished, disk);
    if restored.is_ok() {
        disk.publish_new(&unfinished, &folder.join(FILE))?;
    } else {
        let _ = fs_err::remove_file(&unfinished);
    }
    restored
}

fn fill(input: impl Read, path: &Path, disk: &Disk) -> Result<BackupSummary, BackupError> {
    let mut frames = Frames::new(input)?;
    let store = |error: redb::Error| BackupError::Store(error.into());
    let file = disk.database(path, true, std::sync::Arc::default()).map_err(|e| store(e.into()))?;
    let database = Database::builder().create_with_backend(file).map_err(|e| store(e.into()))?;
    let mut sum = Sum::default();
    loop {
        let more = guarded_fill(&database, &mut frames, &mut sum)?;
        let Some((records, sha256)) = more else { continue };
        let format = guarded(|| {
            use redb::ReadableDatabase;
            let found = database.begin_read()?.open_table(ABOUT)?.get("format")?;
            found.map_or(Ok(0), |value| decode::<u64>(ABOUT.name(), "format", value.value()))
        });
        let format = format.map_err(|_| BackupError::Damaged("it has no format".into()))?;
        if format > FORMAT {
            return Err(StoreError::Format { found: format }.into());
        }
        let (summary, found) = sum.end();
        if (summary.records, found) != (records, sha256) {
            return Err(BackupError::Damaged("its records are not those it was finished with".into()));
        }
        frames.end()?;
        return Ok(summary);
    }
}

/// Restores records up to a batch; at the end returns what the backup says of itself.
fn guarded_fill<R: Read>(
    database: &Database,
    frames: &mut Frames<R>,
    sum: &mut Sum,
) -> Result<Option<(u64, [u8; 32])>, BackupError> {
    let store = |error: redb::Error| BackupError::Store(error.into());
    let transaction = database.begin_write().map_err(|e| store(e.into()))?;
    let (mut bytes, mut end) = (0, None);
    while bytes < BATCH_BYTES && end.is_none() {
        match frames.next()? {
            Frame::End { records, sha256 } => end = Some((records, sha256)),
            Frame::Record { table, key, sealed } => {
                unseal(table, key, sealed).map_err(|e| BackupError::Damaged(e.to_string()))?;
                let definition = TableDefinition::<&str, &[u8]>::new(table);
                let mut open = transaction.open_table(definition).map_err(|e| store(e.into()))?;
                open.insert(key, sealed).map_err(|e| store(e.into()))?;
                bytes += sealed.len();
                let table = table.to_owned();
                drop(open);
                sum.add(&table, &frames.payload);
            }
        }
    }
    transaction.commit().map_err(|e| store(e.into()))?;
    Ok(end)
}
