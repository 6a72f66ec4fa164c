//! Item records as their bytes.

use crate::records::ItemRecord;

/// An item's record as the store encodes it. With six labels it takes a tenth of what the maps of texts take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedRecord(Box<[u8]>);

impl PackedRecord {
    /// The bytes of a record.
    #[must_use]
    pub fn of(record: &ItemRecord) -> Self {
        // Records are plain structs of strings, numbers and maps, which always encode.
        Self(postcard::to_stdvec(record).unwrap_or_default().into_boxed_slice())
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> ItemRecord {
        // The bytes were made of one.
        postcard::from_bytes(&self.0).unwrap_or_default()
    }

    /// Its labels by attribute, in the attributes' order; nothing else of it is decoded.
    #[must_use]
    pub fn labels(&self) -> Vec<(&str, &str)> {
        // They come first, and a map is encoded as its length and its entries.
        postcard::take_from_bytes(&self.0).map(|(labels, _)| labels).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContentId, StoredImage, StoredPartsCase};
    use lapel_values::{FieldValue, Labels};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_is_what_it_was_before_it_was_packed(
            labels in proptest::collection::btree_map("[a-zé_]{1,20}", "[^\\x00]{0,200}", 0..9),
            fields in proptest::collection::btree_map("[a-z]{1,9}", any::<i64>(), 0..9),
            images in 0u8..4, updated_ms in any::<u64>()
        ) {
            let image = |number: u8| StoredImage {
                content: ContentId([number; 16]),
                parts_case: number.is_multiple_of(2).then_some(StoredPartsCase::Sleeveless),
            };
            let mut stored = (0..images).map(image);
            let first = stored.next();
            let record = ItemRecord {
                labels: labels.clone(),
                fields: fields.into_iter().map(|(name, value)| (name, FieldValue::Integer(value))).collect(),
                image: first.map(|image| image.content),
                parts_case: first.and_then(|image| image.parts_case),
                updated_ms,
                more_images: stored.collect(),
            };
            let packed = PackedRecord::of(&record);
            prop_assert_eq!(&packed.record(), &record);
            let owned = |(attribute, label): (&str, &str)| (attribute.to_owned(), label.to_owned());
            prop_assert_eq!(packed.labels().into_iter().map(owned).collect::<Labels>(), labels);
            let other = ItemRecord { updated_ms: updated_ms ^ 1, ..record };
            prop_assert_ne!(PackedRecord::of(&other), packed);
        }
    }
}
