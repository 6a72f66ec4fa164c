//! Item records as their bytes.

use crate::records::ItemRecord;
use crate::{ContentId, FieldValue, StoredPartsCase};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

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
        postcard::from_bytes(&self.0).unwrap_or_else(|error| {
            // The bytes were made of one.
            tracing::error!(%error, "the packed record of an item cannot be decoded");
            ItemRecord::default()
        })
    }

    /// Its labels by attribute, in the attributes' order; nothing else of it is decoded.
    #[must_use]
    pub fn labels(&self) -> Vec<(&str, &str)> {
        // They come first, and a map is encoded as its length and its entries.
        postcard::take_from_bytes(&self.0).map(|(labels, _)| labels).unwrap_or_default()
    }

    /// Its label of an attribute; the walk over the labels ends there.
    #[must_use]
    pub fn label(&self, attribute: &str) -> Option<&str> {
        let mut bytes = postcard::Deserializer::from_bytes(&self.0);
        EntryOf::<&str>::new(attribute).deserialize(&mut bytes).ok()?
    }

    /// Its value of a field; what stands before it is passed over.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<FieldValue> {
        let mut bytes = postcard::Deserializer::from_bytes(&self.0);
        // What an `ItemRecord` has before its fields. No attribute has an empty name.
        EntryOf::<&str>::new("").deserialize(&mut bytes).ok()?;
        Option::<ContentId>::deserialize(&mut bytes).ok()?;
        Option::<StoredPartsCase>::deserialize(&mut bytes).ok()?;
        u64::deserialize(&mut bytes).ok()?;
        EntryOf::<FieldValue>::new(name).deserialize(&mut bytes).ok()?
    }
}

/// Looks for the entry of a key in an encoded map.
struct EntryOf<'k, V> {
    key: &'k str,
    value: PhantomData<V>,
}

impl<'k, V> EntryOf<'k, V> {
    fn new(key: &'k str) -> Self {
        Self { key, value: PhantomData }
    }
}

impl<'de, V: Deserialize<'de>> DeserializeSeed<'de> for EntryOf<'_, V> {
    type Value = Option<V>;

    fn deserialize<D: Deserializer<'de>>(self, map: D) -> Result<Self::Value, D::Error> {
        map.deserialize_map(self)
    }
}

impl<'de, V: Deserialize<'de>> Visitor<'de> for EntryOf<'_, V> {
    type Value = Option<V>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some((key, value)) = map.next_entry::<&str, V>()? {
            if key == self.key {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoredImage;
    use lapel_values::Labels;
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
            for (attribute, label) in &record.labels {
                prop_assert_eq!(packed.label(attribute), Some(label.as_str()));
            }
            for (name, value) in &record.fields {
                prop_assert_eq!(packed.field(name), Some(value.clone()));
            }
            prop_assert_eq!((packed.label("A"), packed.field("A"), packed.field("")), (None, None, None));
            let other = ItemRecord { updated_ms: updated_ms ^ 1, ..record };
            prop_assert_ne!(PackedRecord::of(&other), packed);
        }
    }
}
