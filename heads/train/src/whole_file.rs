//! Files that are there as a whole or not at all.

use std::path::Path;

/// Writes a file in one step, over one that is there.
///
/// # Errors
/// When the folder or the disk refuses it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("part");
    fs_err::write(&unfinished, bytes)?;
    fs_err::rename(&unfinished, path)
}
