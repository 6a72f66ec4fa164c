//! Rows of f32 as a `.npy` file, version 1.0 of NumPy's format.

use crate::whole_file::WholeFile;
use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;

/// Bytes before the numbers: a multiple of 64 that holds any shape of two numbers.
const HEADER_BYTES: usize = 128;
/// Bytes of the magic string, the version and the length of the rest of the header.
const PREAMBLE_BYTES: usize = 10;

/// A file of f32 `[rows, numbers]`, written row by row; it is there once it is finished.
pub struct NpyFile {
    file: WholeFile,
    rows_left: usize,
    row_len: usize,
}

impl NpyFile {
    /// Begins a file of so many rows and numbers a row.
    ///
    /// # Errors
    /// When the folder or the disk refuses it.
    pub fn create(path: &Path, (rows, row_len): (usize, usize)) -> Result<Self> {
        let mut file = WholeFile::create(path)?;
        file.write_all(&header((rows, row_len)))?;
        Ok(Self { file, rows_left: rows, row_len })
    }

    /// Writes the next row.
    ///
    /// # Errors
    /// When it has another length than the header says, when there are enough rows, or when the disk refuses it.
    pub fn put(&mut self, row: &[f32]) -> Result<()> {
        if row.len() != self.row_len || self.rows_left == 0 {
            let (found, wanted, left) = (row.len(), self.row_len, self.rows_left);
            let fault = format!("a row of {found} numbers where {left} rows of {wanted} are left");
            return Err(Error::new(ErrorKind::InvalidInput, fault));
        }
        self.rows_left -= 1;
        self.file.write_all(&row.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When rows are missing, or the disk refuses it.
    pub fn finish(self) -> Result<()> {
        let Self { file, rows_left, row_len: _ } = self;
        if rows_left > 0 {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{rows_left} rows are missing")));
        }
        file.finish()
    }
}

fn header((rows, row_len): (usize, usize)) -> Vec<u8> {
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&((HEADER_BYTES - PREAMBLE_BYTES) as u16).to_le_bytes());
    let shape = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {row_len}), }}");
    header.extend_from_slice(shape.as_bytes());
    header.resize(HEADER_BYTES - 1, b' ');
    header.push(b'\n');
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_a_header_as_numpy_writes_it() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.npy");
        let mut file = NpyFile::create(&path, (2, 3)).expect("created");
        file.put(&[1.0, -2.0, 0.5]).expect("written");
        assert!(file.put(&[1.0]).is_err(), "another length");
        file.put(&[f32::MAX, 0.0, 3.0]).expect("written");
        assert!(file.put(&[1.0, 1.0, 1.0]).is_err(), "a row too many");
        file.finish().expect("finished");
        let bytes = std::fs::read(&path).expect("there");
        let (header, numbers) = bytes.split_at(HEADER_BYTES);
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        assert_eq!(header[10..], *format!("{text:<117}\n").as_bytes());
        let wanted = [1.0, -2.0, 0.5, f32::MAX, 0.0, 3.0];
        assert_eq!(numbers, wanted.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    }

    #[test]
    fn the_largest_shape_fits_and_a_file_that_lacks_rows_is_none() {
        let largest = header((usize::MAX, usize::MAX));
        assert_eq!(largest.len(), HEADER_BYTES);
        assert!(largest.trim_ascii_end().ends_with(b"), }"), "nothing is cut off");
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.npy");
        let mut file = NpyFile::create(&path, (2, 1)).expect("created");
        file.put(&[1.0]).expect("written");
        assert!(file.finish().is_err());
        assert!(!path.exists());
    }
}
