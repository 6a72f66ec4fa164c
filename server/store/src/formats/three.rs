//! Format 3: versions of a profile under keys of their own, receipts that say what their hash is of. Items are those of
//! format 2.

use super::super::sealed::{encode, unseal};
use super::two::{self, ProfileVersion};
use super::{StoreError, four, rewrite};
use crate::values::{ContentId, Fields};
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

/// Stands between a profile's key and the place of a version; no name holds it.
const MARK: char = '\u{1e}';

/// The key of a version of a profile.
pub(crate) fn version_key(profile: &str, place: u64) -> String {
    format!("{profile}{MARK}{place:020}")
}

/// What a profile's record holds: where its versions are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProfileEntry {
    /// Counts up with every save and undo.
    pub version: u64,
    /// Places of its versions, ascending; the last is what it holds now.
    pub places: Vec<u64>,
}

/// A profile as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileRecord {
    /// Counts up with every save and undo.
    pub version: u64,
    /// What it holds now.
    pub current: ProfileVersion,
    /// Earlier versions that undo can go back to.
    pub undo_steps: u32,
}

#[derive(Serialize)]
pub(super) enum Outcome {
    Upserted(bool),
    Deleted(Vec<String>),
    Profile(Option<ProfileRecord>),
    Head(String, u32),
    Model(String),
}

#[derive(Serialize)]
pub(super) struct Kept {
    pub request: ContentId,
    /// Whether that is of the method and the message for certain; it may be of the message alone otherwise.
    pub names_method: bool,
    pub outcome: Outcome,
}

/// To format 4: items have fields and may have several pictures. Receipts stay as they are: format 4 adds an outcome behind the others.
///
/// Items that are of format 4 already are left as they are. So nothing is lost where the format's number is damaged and
/// a catalogue of format 4 is taken for one of format 3.
pub(super) fn upgrade(transaction: &WriteTransaction) -> Result<(), StoreError> {
    rewrite(transaction, "items", with_fields)
}

fn with_fields(id: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
    let value = unseal("items", id, sealed)?;
    let read = postcard::take_from_bytes::<two::ItemRecord>(value);
    let (record, rest) = read.map_err(|_| StoreError::damaged("items", id))?;
    // Where a record of format 3 ends, one of format 4 goes on with its fields.
    if !rest.is_empty() {
        return Ok(sealed.to_vec());
    }
    let two::ItemRecord { labels, image, parts_case, updated_ms } = record;
    let (fields, more_images) = (Fields::new(), Vec::new());
    let record = four::ItemRecord { labels, image, parts_case, updated_ms, fields, more_images };
    Ok(encode("items", id, &record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::decode;
    use crate::values::FieldValue;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn items_of_formats_3_and_4_are_never_taken_for_each_other(
            labels in proptest::collection::btree_map(".{0,8}", ".{0,8}", 0..4),
            image in proptest::option::of(any::<[u8; 16]>()),
            updated_ms in any::<u64>(),
            stock in proptest::collection::btree_map(".{0,8}", any::<i64>(), 0..3),
        ) {
            let image = image.map(ContentId);
            let old = two::ItemRecord { labels: labels.clone(), image, parts_case: None, updated_ms };
            let old = encode("items", "a", &old);
            prop_assert!(decode::<four::ItemRecord>("items", "a", &old).is_err(), "format 3 read as 4");
            let new = with_fields("a", &old).expect("of format 3");
            let read: four::ItemRecord = decode("items", "a", &new).expect("of format 4");
            prop_assert_eq!((&read.labels, read.image, read.updated_ms), (&labels, image, updated_ms));
            prop_assert!(read.fields.is_empty() && read.more_images.is_empty());
            let fields: Fields = stock.into_iter().map(|(f, n)| (f, FieldValue::Integer(n))).collect();
            let more = four::StoredImage { content: ContentId([7; 16]), parts_case: None };
            let several = four::ItemRecord { more_images: vec![more; 2], ..read.clone() };
            for record in [four::ItemRecord { fields, ..read.clone() }, several, read] {
                let new = encode("items", "a", &record);
                prop_assert_eq!(with_fields("a", &new).expect("of format 4"), new);
            }
        }
    }
}
