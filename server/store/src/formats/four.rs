//! Format 4, today's: items with fields and with several pictures, receipts of deletions by filter.

use super::three::ProfileRecord;
use crate::values::{ContentId, Fields, Labels, StoredPartsCase};
use serde::{Deserialize, Serialize};

/// An item, without its image and signatures.
///
/// Fields and further images come last, behind what a record of format 3 holds: a record of that format is too short for
/// one of this, so the two are never taken for each other (`three::upgrade`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Labels by attribute.
    pub labels: Labels,
    /// The stored image, the first of several; `None` where there is none.
    pub image: Option<ContentId>,
    /// The case of "Extract Parts?" seen in that image.
    pub parts_case: Option<StoredPartsCase>,
    /// When it was written, milliseconds since 1970.
    pub updated_ms: u64,
    /// Values by field.
    pub fields: Fields,
    /// The images behind the first, in their order.
    pub more_images: Vec<StoredImage>,
}

/// An image of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// The image.
    pub content: ContentId,
    /// The case of "Extract Parts?" seen in it.
    pub parts_case: Option<StoredPartsCase>,
}

impl ItemRecord {
    /// Whether an image is stored.
    #[must_use]
    pub fn has_image(&self) -> bool {
        self.image.is_some()
    }

    /// How many images are stored.
    #[must_use]
    pub fn pictures(&self) -> u32 {
        self.images().count() as u32
    }

    /// The stored images, in their order.
    pub fn images(&self) -> impl Iterator<Item = StoredImage> {
        let first = self.image.map(|content| StoredImage { content, parts_case: self.parts_case });
        first.into_iter().chain(self.more_images.iter().copied())
    }
}

/// What a mutation led to, kept under the caller's request id.
///
/// The first five are those of format 3, in their order, so its receipts are read as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// An item was stored; whether it was there before.
    Upserted(bool),
    /// Items were deleted; these ids did not exist.
    Deleted(Vec<String>),
    /// A profile was changed; `None`: deleted.
    Profile(Option<ProfileRecord>),
    /// A version of a head was registered or moved on.
    Head(String, u32),
    /// A model was stored or moved on, by its backbone's fingerprint.
    Model(String),
    /// The items that passed a filter were deleted.
    DeletedByFilter {
        /// How many they were.
        items: u64,
        /// The first of their ids.
        first_ids: Vec<String>,
    },
}

/// A receipt, under the request's id.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What was asked for.
    pub request: ContentId,
    /// Whether that is of the method and the message for certain; it may be of the message alone otherwise.
    pub names_method: bool,
    /// What it led to.
    pub outcome: Outcome,
}
