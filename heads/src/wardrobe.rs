//! Folders of labelled photos: `labels.csv` beside `images/`.
//!
//! The first column is `image`; `split` is optional, `view` (how the garment lies) is not read; every
//! other column is an attribute. An empty cell is a missing label.

use crate::labels::Labels;
use std::path::{Path, PathBuf};

/// Why a folder of photos cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WardrobeError {
    /// The labels file is unreadable or malformed.
    #[error("{path}: {source}")]
    Csv {
        /// The file.
        path: PathBuf,
        /// Line and reason.
        source: csv::Error,
    },
    /// No column names the photo.
    #[error("{path}: the header has no column `image`")]
    NoImageColumn {
        /// The file.
        path: PathBuf,
    },
}

/// One labelled photo.
#[derive(Clone, Debug)]
pub struct LabelledPhoto {
    /// The photo's file name.
    pub name: String,
    /// The photo's path.
    pub path: PathBuf,
    /// `train`, `val` or empty.
    pub split: String,
    /// Its labels.
    pub labels: Labels,
}

/// Reads `labels.csv` in `folder`.
///
/// # Errors
/// [`WardrobeError`], naming the file and the line.
pub fn read(folder: &Path) -> Result<Vec<LabelledPhoto>, WardrobeError> {
    let path = folder.join("labels.csv");
    let fault = |source| WardrobeError::Csv { path: path.clone(), source };
    let mut reader = csv::Reader::from_path(&path).map_err(fault)?;
    let header = reader.headers().map_err(fault)?.clone();
    let image = header.iter().position(|h| h == "image");
    let image = image.ok_or_else(|| WardrobeError::NoImageColumn { path: path.clone() })?;
    let mut photos = Vec::new();
    for row in reader.records() {
        let row = row.map_err(fault)?;
        let cell = |name: &str| header.iter().position(|h| h == name).and_then(|i| row.get(i)).unwrap_or("");
        let name = row.get(image).unwrap_or("").to_owned();
        let labels = header
            .iter()
            .zip(&row)
            .filter(|(column, label)| !matches!(*column, "image" | "split" | "view") && !label.is_empty());
        photos.push(LabelledPhoto {
            path: folder.join("images").join(&name),
            split: cell("split").to_owned(),
            labels: labels.map(|(a, l)| (a.to_owned(), l.to_owned())).collect(),
            name,
        });
    }
    Ok(photos)
}
