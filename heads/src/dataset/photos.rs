//! A folder of labelled photos as a data set.

use super::{DataSet, vocabulary};
use crate::manifest::Attribute;
use crate::train::{Example, examples_of_photos};
use crate::wardrobe::{self, LabelledPhoto, WardrobeError};
use std::path::Path;

/// Photos with `labels.csv`: the rows `train` are learnt from, the rows `val` measured on.
pub struct PhotoSet {
    attributes: Vec<Attribute>,
    training: Vec<Example>,
    test: Vec<Example>,
}

impl PhotoSet {
    /// Reads `labels.csv` in `folder`.
    ///
    /// # Errors
    /// [`WardrobeError`].
    pub fn read(folder: &Path) -> Result<Self, WardrobeError> {
        let photos = wardrobe::read(folder)?;
        let part = |split: &str| {
            let photos: Vec<LabelledPhoto> = photos.iter().filter(|p| p.split == split).cloned().collect();
            examples_of_photos(&photos, 1)
        };
        let (training, test) = (part("train"), part("val"));
        let attributes = vocabulary(&[&training, &test]);
        Ok(Self { attributes, training, test })
    }
}

impl DataSet for PhotoSet {
    fn name(&self) -> &str {
        "wardrobe"
    }

    fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    fn training(&self) -> &[Example] {
        &self.training
    }

    fn test(&self) -> &[Example] {
        &self.test
    }
}
