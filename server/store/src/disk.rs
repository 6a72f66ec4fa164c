//! The one way to the catalogue's files: every step that makes something durable passes here.
//!
//! Tests set a [`StepHook`] that makes the n-th step fail, or ends the process before it.

use super::health::{Health, StoreHealth};
use redb::StorageBackend;
use redb::backends::FileBackend;
use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A step that changes what is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes are written to a file.
    Write,
    /// A file or a folder is made durable.
    Sync,
    /// A file is made longer or shorter.
    Resize,
    /// A finished file takes its name.
    Rename,
}

/// Told of every step before it is taken.
pub trait StepHook: Debug + Send + Sync {
    /// # Errors
    /// The step is then not taken and fails with this error.
    fn before(&self, step: Step) -> io::Result<()>;
}

/// The disk that a catalogue's files are on.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    hook: Option<Arc<dyn StepHook>>,
}

impl Disk {
    /// A disk whose every step is told to `hook` first.
    #[must_use]
    pub fn watched(hook: Arc<dyn StepHook>) -> Self {
        Self { hook: Some(hook) }
    }

    fn step(&self, step: Step) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook.before(step))
    }

    /// What whoever writes files by itself asks before each write.
    pub fn before_write(&self) -> impl Fn() -> io::Result<()> + Send + Sync + use<> {
        let disk = self.clone();
        move || disk.step(Step::Write)
    }

    /// Opens the file of a database: one that is there, or with `is_new` one that is not.
    pub(super) fn database(
        &self,
        path: &Path,
        is_new: bool,
        health: Arc<Health>,
    ) -> Result<DatabaseFile, redb::DatabaseError> {
        let file = OpenOptions::new().read(true).write(true).create_new(is_new).open(path)?;
        Ok(DatabaseFile { file: FileBackend::new(file)?, disk: self.clone(), health })
    }

    /// Writes a whole file: under a temporary name, synced, renamed, and the folder synced, so that a reader finds
    /// the old file or the new one.
    ///
    /// # Errors
    /// Those of the file system; the old file is as it was then.
    pub fn write_file(
        &self,
        path: &Path,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.write_through(path, |unfinished| self.fill_file(unfinished, fill))
    }

    /// As [`Disk::write_file`], but nothing is synced: for large files that carry checksums and may be lost.
    ///
    /// # Errors
    /// As [`Disk::write_file`].
    pub fn write_unsynced(
        &self,
        path: &Path,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        named_when_whole(path, |unfinished| {
            self.fill_file(unfinished, fill)?;
            self.step(Step::Rename)?;
            fs_err::rename(unfinished, path)
        })
    }

    /// Has the disk take what was written to a file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.step(Step::Sync)?;
        fs_err::File::open(path)?.sync_all()
    }

    fn fill_file(&self, path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let file = WatchedFile { file: File::create(path)?, disk: self };
        let mut file = io::BufWriter::with_capacity(1 << 20, file);
        fill(&mut file)?;
        file.flush()
    }

    /// As [`Disk::write_file`], for a library that wants to write the file itself, under the name it is told.
    ///
    /// # Errors
    /// As [`Disk::write_file`].
    pub fn write_through(&self, path: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        named_when_whole(path, |unfinished| {
            fill(unfinished)?;
            self.sync_file(unfinished)?;
            self.publish(unfinished, path)
        })
    }

    /// Gives a finished file its name, in the place of the file that has it.
    fn publish(&self, finished: &Path, path: &Path) -> io::Result<()> {
        self.step(Step::Rename)?;
        fs_err::rename(finished, path)?;
        self.sync_folder(path)
    }

    /// Gives a finished file its name, which no other file must have. A crash may leave it with both names.
    pub(super) fn publish_new(&self, finished: &Path, path: &Path) -> io::Result<()> {
        self.step(Step::Rename)?;
        match fs_err::hard_link(finished, path) {
            Ok(()) => fs_err::remove_file(finished)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // Some file systems have no links.
            Err(error) => {
                if path.try_exists()? {
                    return Err(error);
                }
                fs_err::rename(finished, path)?;
            }
        }
        self.sync_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let Some(folder) = path.parent() else { return Ok(()) };
        self.step(Step::Sync)?;
        fs_err::File::open(folder)?.sync_all()
    }
}

/// Has a file written under the name that it has until it is whole.
fn named_when_whole(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let unfinished = unfinished(path);
    let written = write(&unfinished);
    if written.is_err() {
        // It is only waste: the next attempt writes it anew.
        let _ = fs_err::remove_file(unfinished);
    }
    written
}

/// The name that a file has until it is whole.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    unfinished.into()
}

struct WatchedFile<'a> {
    file: File,
    disk: &'a Disk,
}

impl Write for WatchedFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.step(Step::Write)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The file behind redb. Once the disk has refused a step, or a write has failed, nothing is written until it is opened anew: the
/// file is then what it was after the last commit. redb would leave another one as it closes after a panic, made without the state
/// of its allocator, so that the next opening reads and checks every page and refuses all of them for one that is damaged.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    file: FileBackend,
    disk: Disk,
    health: Arc<Health>,
}

impl DatabaseFile {
    fn noted<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if done.is_err() {
            self.health.set(StoreHealth::Failed);
        }
        done
    }

    fn stepped(&self, step: Step, take: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if self.health.now() == StoreHealth::Failed {
            return Err(io::Error::other("the catalogue's file has to be opened anew after a failure"));
        }
        self.noted(self.disk.step(step).and_then(|()| take()))
    }
}

impl StorageBackend for DatabaseFile {
    fn len(&self) -> io::Result<u64> {
        self.noted(self.file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.noted(self.file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.stepped(Step::Resize, || self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.stepped(Step::Sync, || self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.stepped(Step::Write, || self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, redb::BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, redb::BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), redb::BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), redb::BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), redb::BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, redb::BackendError> {
        self.file.query_lock_range(start, end)
    }
}
