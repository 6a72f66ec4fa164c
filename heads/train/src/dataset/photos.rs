//! A folder of labelled photos as a data set.

use super::{Collection, DataSet, vocabulary};
use crate::examples_of_photos;
use lapel_wardrobe::{LabelledPhoto, WardrobeError};
use std::path::Path;

/// Photos with `labels.csv`: the rows `train` are learnt from, the rows `val` measured on.
pub struct PhotoSet {
    collection: Collection,
}

impl PhotoSet {
    /// Reads `labels.csv` in `folder`.
    ///
    /// # Errors
    /// [`WardrobeError`].
    pub fn read(folder: &Path) -> Result<Self, WardrobeError> {
        let photos = lapel_wardrobe::read(folder)?;
        let part = |split: &str| {
            let photos: Vec<LabelledPhoto> = photos.iter().filter(|p| p.split == split).cloned().collect();
            examples_of_photos(&photos, 1)
        };
        let (training, test) = (part("train"), part("val"));
        let attributes = vocabulary(&[&training, &test]);
        Ok(Self { collection: Collection { name: "wardrobe".into(), attributes, training, test } })
    }
}

impl DataSet for PhotoSet {
    fn collection(&self) -> &Collection {
        &self.collection
    }
}
