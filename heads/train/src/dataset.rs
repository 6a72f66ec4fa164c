//! Data sets: labelled pictures with a training and a test part.

mod field;
mod field_writer;
mod photos;
mod renders;
mod shopping;

pub use field::{FieldError, FieldSet, Manipulation, ManipulationTriplet};
pub(crate) use field_writer::every_change;
pub use field_writer::write_field_set;
pub use photos::PhotoSet;
pub use renders::RenderSet;

use crate::Example;
use lapel_heads::{Attribute, Labels, PARTS_ATTRIBUTE};
use std::collections::{BTreeMap, BTreeSet};

/// Labelled pictures with a training and a test part.
pub trait DataSet {
    /// Its pictures and labels.
    fn collection(&self) -> &Collection;

    /// The manipulations of test pictures that come with the set; empty where protocols draw their own.
    fn manipulations(&self) -> &[Manipulation] {
        &[]
    }

    /// The manipulations of training pictures that come with the set.
    fn triplets(&self) -> &[ManipulationTriplet] {
        &[]
    }

    /// What reports call it.
    fn name(&self) -> &str {
        &self.collection().name
    }

    /// Its attributes, with their labels.
    fn attributes(&self) -> &[Attribute] {
        &self.collection().attributes
    }

    /// What is learnt from.
    fn training(&self) -> &[Example] {
        &self.collection().training
    }

    /// What is measured on; never learnt from or chosen by.
    fn test(&self) -> &[Example] {
        &self.collection().test
    }
}

/// The pictures of a data set.
pub struct Collection {
    /// What reports call it.
    pub name: String,
    /// Its attributes, with their labels.
    pub attributes: Vec<Attribute>,
    /// What is learnt from.
    pub training: Vec<Example>,
    /// What is measured on.
    pub test: Vec<Example>,
}

/// The number of each attribute's label; `None` where it is missing or not one of the attribute's.
#[must_use]
pub fn label_numbers(labels: &Labels, attributes: &[Attribute]) -> Vec<Option<u16>> {
    let number = |a: &Attribute| {
        let label = labels.get(&a.name)?;
        a.labels.iter().position(|l| l == label).map(|at| at as u16)
    };
    attributes.iter().map(number).collect()
}

/// The attributes that occur in `examples`: those of garments first, then others by name; labels by name.
fn vocabulary(examples: &[&[Example]]) -> Vec<Attribute> {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (attribute, label) in examples.iter().copied().flatten().flat_map(|e| &e.labels) {
        if attribute != PARTS_ATTRIBUTE {
            labels.entry(attribute).or_default().insert(label);
        }
    }
    in_order(labels)
}

/// Attributes with their labels: those of garments first, then others by name; labels by name.
#[must_use]
pub fn in_order(mut labels: BTreeMap<&str, BTreeSet<&str>>) -> Vec<Attribute> {
    let attribute = |(name, labels): (&str, BTreeSet<&str>)| Attribute {
        name: name.to_owned(),
        labels: labels.into_iter().map(str::to_owned).collect(),
    };
    let garment: Vec<_> =
        GARMENT_ATTRIBUTES.iter().filter_map(|name| Some((*name, labels.remove(name)?))).collect();
    garment.into_iter().chain(labels).map(attribute).collect()
}

/// The attributes of garments, the special ones first.
pub const GARMENT_ATTRIBUTES: [&str; 11] = [
    "color",
    "pattern",
    "sleeve_length",
    "neckline",
    "collar",
    "fastening",
    "category",
    "fabric",
    "fit",
    "length",
    "pocket",
];
