//! Rendered garments as a data set.

use super::{Collection, DataSet, GARMENT_ATTRIBUTES, vocabulary};
use crate::evaluate::fresh_seed;
use crate::examples_of_renders;

/// Rendered garments: one seed to learn from, another, which no training uses, to measure on.
pub struct RenderSet {
    collection: Collection,
}

impl RenderSet {
    /// `training` garments of `seed` and `test` garments of a seed of their own.
    #[must_use]
    pub fn new(seed: u64, training: u64, test: u64) -> Self {
        let (training, test) = (examples_of_renders(seed, training), examples_of_renders(fresh_seed(), test));
        let mut attributes = vocabulary(&[&training, &test]);
        // No photo is labelled for these; a head that is to be taught later is trained on them.
        attributes.retain(|a| GARMENT_ATTRIBUTES.contains(&a.name.as_str()));
        Self { collection: Collection { name: "rendered".into(), attributes, training, test } }
    }
}

impl DataSet for RenderSet {
    fn collection(&self) -> &Collection {
        &self.collection
    }
}
