//! An item in memory: its id and the bytes of its record, of which no more is decoded than is asked for.

use crate::store::{FieldValue, ItemRecord, Labels, PackedRecord, StoredImage, StoredPartsCase};
use lapel_values::{ItemEntries, ItemFacts};
use std::sync::Arc;

/// An item in memory.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: Arc<str>,
    record: PackedRecord,
}

impl Item {
    /// An item with a record.
    #[must_use]
    pub fn new(id: &Arc<str>, record: &ItemRecord) -> Self {
        Self::of_packed(id.clone(), PackedRecord::of(record))
    }

    /// An item as a start reads it.
    #[must_use]
    pub fn of_packed(id: Arc<str>, record: PackedRecord) -> Self {
        Self { id, record }
    }

    /// What it is found by beside its signatures.
    #[must_use]
    pub fn entries(&self) -> ItemEntries<'_> {
        self.record.entries()
    }

    /// What is stored of it, as its bytes.
    #[must_use]
    pub fn packed(&self) -> &PackedRecord {
        &self.record
    }

    /// The same, decoded.
    #[must_use]
    pub fn record(&self) -> ItemRecord {
        self.record.record()
    }

    /// Its labels by attribute.
    #[must_use]
    pub fn labels(&self) -> Labels {
        let owned = |(attribute, label): (&str, &str)| (attribute.to_owned(), label.to_owned());
        self.record.labels().into_iter().map(owned).collect()
    }

    /// Its label of an attribute.
    #[must_use]
    pub fn label(&self, attribute: &str) -> Option<&str> {
        self.record.label(attribute)
    }

    /// Its value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<FieldValue> {
        self.record.field(name)
    }

    /// Whether it has the same labels as another.
    pub(super) fn has_labels_of(&self, other: &Self) -> bool {
        self.record.labels() == other.record.labels()
    }

    /// Its values by field.
    #[must_use]
    pub fn fields(&self) -> Vec<(&str, FieldValue)> {
        self.record.fields()
    }

    /// The first of its images.
    #[must_use]
    pub fn image(&self) -> Option<StoredImage> {
        self.record.image()
    }

    /// Whether an image is stored.
    #[must_use]
    pub fn has_image(&self) -> bool {
        self.image().is_some()
    }

    /// How many images are stored.
    #[must_use]
    pub fn pictures(&self) -> u32 {
        self.record.pictures()
    }

    /// The case of "Extract Parts?" seen in its first image.
    #[must_use]
    pub fn parts_case(&self) -> Option<StoredPartsCase> {
        self.image()?.parts_case
    }

    /// The stored images, in their order.
    #[must_use]
    pub fn images(&self) -> Vec<StoredImage> {
        self.record.images()
    }

    /// Whether it has the same pictures as another.
    pub(crate) fn has_pictures_of(&self, other: &Self) -> bool {
        let contents = |item: &Self| item.images().into_iter().map(|image| image.content).collect::<Vec<_>>();
        contents(self) == contents(other)
    }
}

/// What an item is found by beside its signatures.
pub(super) fn facts(record: &ItemRecord) -> ItemFacts<'_> {
    ItemFacts { labels: &record.labels, fields: &record.fields, pictures: record.pictures() }
}
