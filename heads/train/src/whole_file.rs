//! Files that are there as a whole or not at all.

use fs_err::File;
use std::io::{BufWriter, Result, Write};
use std::path::{Path, PathBuf};

/// Writes a file in one step, over one that is there.
///
/// # Errors
/// When the folder or the disk refuses it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes)?;
    file.finish()
}

/// A file that is written piece by piece and takes its name, over one that is there, once it is finished. One that is
/// dropped before leaves nothing.
pub struct WholeFile {
    file: BufWriter<File>,
    unfinished: PathBuf,
    path: PathBuf,
    is_finished: bool,
}

impl WholeFile {
    /// Begins the file that will be at `path`.
    ///
    /// # Errors
    /// When the folder refuses it.
    pub fn create(path: &Path) -> Result<Self> {
        // Behind the whole name: files that differ by their ending may be written at the same time.
        let mut unfinished = path.to_owned().into_os_string();
        unfinished.push(".part");
        let unfinished = PathBuf::from(unfinished);
        let file = BufWriter::new(File::create(&unfinished)?);
        Ok(Self { file, unfinished, path: path.to_owned(), is_finished: false })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn finish(mut self) -> Result<()> {
        self.file.flush()?;
        fs_err::rename(&self.unfinished, &self.path)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // What is left behind in vain does no harm.
            let _ = fs_err::remove_file(&self.unfinished);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("readable");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
        entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_there_once_it_is_finished_and_leaves_nothing_otherwise() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.bin");
        let mut file = WholeFile::create(&path).expect("created");
        file.write_all(b"one").expect("written");
        drop(file);
        assert_eq!(names(folder.path()), Vec::<String>::new());
        write_whole(&path, b"two").expect("written");
        assert_eq!(std::fs::read(&path).expect("there"), b"two");
        let mut file = WholeFile::create(&path).expect("created");
        file.write_all(b"three").expect("written");
        assert_eq!(std::fs::read(&path).expect("still there"), b"two");
        file.finish().expect("finished");
        assert_eq!(std::fs::read(&path).expect("there"), b"three");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }
}
