//! Rows of f32 in .npy files; a row of NaN where there is none.

use anyhow::{Context, bail, ensure};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes of a file before its numbers.
const NPY_HEADER: usize = 128;

/// A .npy file of f32 rows that grows; how many rows there are is known at its end.
pub(crate) struct Npy {
    file: BufWriter<fs_err::File>,
    dim: usize,
    rows: u64,
}

impl Npy {
    pub(crate) fn create(path: &Path, dim: usize) -> anyhow::Result<Self> {
        let mut file = BufWriter::new(fs_err::File::create(path)?);
        file.write_all(&[0; NPY_HEADER])?;
        Ok(Self { file, dim, rows: 0 })
    }

    /// Writes a row, after rows of NaN for the items before it that have none.
    pub(crate) fn put(&mut self, row: u64, values: &[f32]) -> anyhow::Result<()> {
        self.fill(row)?;
        self.file.write_all(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())?;
        self.rows += 1;
        Ok(())
    }

    fn fill(&mut self, rows: u64) -> anyhow::Result<()> {
        let missing = f32::NAN.to_le_bytes().repeat(self.dim);
        while self.rows < rows {
            self.file.write_all(&missing)?;
            self.rows += 1;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self, rows: u64) -> anyhow::Result<()> {
        self.fill(rows)?;
        let shape = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {}), }}", self.dim);
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend_from_slice(&((NPY_HEADER - 10) as u16).to_le_bytes());
        header.extend_from_slice(shape.as_bytes());
        header.resize(NPY_HEADER - 1, b' ');
        header.push(b'\n');
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.flush()?;
        Ok(())
    }
}

/// Rows of a file that [`Npy`] wrote.
pub(crate) struct NpyRows {
    file: BufReader<fs_err::File>,
    dim: usize,
    rows: u64,
}

impl NpyRows {
    /// Opens a file; an error where its header is not of f32 rows, or the rows of which it tells are not all there.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let mut file = BufReader::new(fs_err::File::open(path)?);
        let mut header = [0; NPY_HEADER];
        file.read_exact(&mut header).context("it ends within its header")?;
        let text = String::from_utf8_lossy(&header);
        let shape = text.split_once("'shape': (").and_then(|(_, shape)| {
            let (rows, dim) = shape.split_once(')')?.0.split_once(',')?;
            Some((rows.trim().parse::<u64>().ok()?, dim.trim().parse::<u32>().ok()?))
        });
        if !text.contains("'<f4'") || !text.contains("'fortran_order': False") {
            bail!("only f32 in rows is read");
        }
        let (rows, dim) = shape.context("the header has no shape of two numbers")?;
        let expected = rows
            .checked_mul(u64::from(dim) * 4)
            .and_then(|numbers| numbers.checked_add(NPY_HEADER as u64))
            .filter(|_| dim > 0)
            .context("the header has a shape that no file has")?;
        let bytes = file.get_ref().metadata()?.len();
        ensure!(bytes == expected, "it has {bytes} bytes where its {rows} rows take {expected}");
        Ok(Self { file, dim: usize::try_from(dim)?, rows })
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> u64 {
        self.rows
    }

    /// The next row; `None` where it says that there is no signature.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Vec<f32>>> {
        let mut bytes = vec![0; self.dim * 4];
        self.file.read_exact(&mut bytes).context("there are fewer rows than items")?;
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Ok(Some(values).filter(|values| !values.iter().any(|v| v.is_nan())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_with_their_gaps() {
        let path = std::env::temp_dir().join(format!("lapel-{}.npy", std::process::id()));
        let mut column = Npy::create(&path, 2).expect("created");
        column.put(1, &[1.0, 2.0]).expect("written");
        column.put(3, &[3.0, 4.0]).expect("written");
        column.finish(5).expect("finished");
        let mut rows = NpyRows::open(&path).expect("opened");
        let found: Vec<_> = (0..5).map(|_| rows.next().expect("a row")).collect();
        assert_eq!(found, [None, Some(vec![1.0, 2.0]), None, Some(vec![3.0, 4.0]), None]);
        assert!(rows.next().is_err());
        assert_eq!(rows.count(), 5);
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn a_file_that_is_cut_off_or_none_of_rows_is_refused_when_it_is_opened() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.npy");
        let mut column = Npy::create(&path, 2).expect("created");
        column.put(0, &[1.0, 2.0]).expect("written");
        column.finish(3).expect("finished");
        let whole = std::fs::read(&path).expect("read");
        assert!(NpyRows::open(&path).is_ok());
        let longer = [&whole[..], &[0u8][..]].concat();
        let text = String::from_utf8_lossy(&whole[..NPY_HEADER]).into_owned();
        let huge = text.replace("(3, 2)", "(4611686018427387904, 4)").into_bytes();
        for bytes in
            [&whole[..whole.len() - 1], &whole[..50], &longer[..], b"junk", &[b'x'; 500], &huge[..], b""]
        {
            std::fs::write(&path, bytes).expect("written");
            assert!(NpyRows::open(&path).is_err(), "{} bytes", bytes.len());
        }
    }
}
