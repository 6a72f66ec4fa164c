//! Item records as their bytes.

use crate::records::{ItemRecord, StoredImage};
use crate::{ContentId, FieldValue, StoredPartsCase};
use lapel_values::ItemEntries;
use postcard::de_flavors::Slice;
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

    /// What the store has of a record, with what is looked at for every item; `None` where it is no record.
    pub(crate) fn of_stored(bytes: &[u8]) -> Option<(Self, RecordView<'_>)> {
        Some((Self(bytes.into()), RecordView::of(bytes)?))
    }

    /// The bytes that are [`PackedRecord::as_bytes`] of a record.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether bytes are a record.
    pub(crate) fn is_record(bytes: &[u8]) -> bool {
        RecordView::of(bytes).is_some()
    }

    /// What the item is found by beside its signatures.
    #[must_use]
    pub fn entries(&self) -> ItemEntries<'_> {
        RecordView::of(&self.0).map(RecordView::into_entries).unwrap_or_default()
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
        LabelOf::new(attribute).deserialize(&mut bytes).ok()?
    }

    /// Its value of a field; what stands before it is passed over.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<FieldValue> {
        let mut bytes = self.at_fields()?;
        EntryOf::<FieldValue, FieldValue>::new(name).deserialize(&mut bytes).ok()?
    }

    /// Its fields and their values; what stands before them is passed over.
    #[must_use]
    pub fn fields(&self) -> Vec<(&str, FieldValue)> {
        let fields = self.at_fields().and_then(|mut bytes| Vec::deserialize(&mut bytes).ok());
        fields.unwrap_or_default()
    }

    fn at_fields(&self) -> Option<postcard::Deserializer<'_, Slice<'_>>> {
        let mut bytes = postcard::Deserializer::from_bytes(&self.0);
        // What an `ItemRecord` has before its fields. No attribute has an empty name.
        LabelOf::new("").deserialize(&mut bytes).ok()?;
        Option::<ContentId>::deserialize(&mut bytes).ok()?;
        Option::<StoredPartsCase>::deserialize(&mut bytes).ok()?;
        u64::deserialize(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// A record whose texts are still where they were encoded. An encoded map is its length and its entries, as a list is.
#[derive(Deserialize)]
pub(crate) struct RecordView<'a> {
    #[serde(borrow)]
    labels: Vec<(&'a str, &'a str)>,
    image: Option<ContentId>,
    parts_case: Option<StoredPartsCase>,
    _updated_ms: u64,
    #[serde(borrow)]
    fields: Vec<(&'a str, FieldValue)>,
    more_images: Vec<StoredImage>,
}

impl<'a> RecordView<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }

    /// The first of its images.
    pub(crate) fn image(&self) -> Option<StoredImage> {
        let first = self.image.map(|content| StoredImage { content, parts_case: self.parts_case });
        first.or(self.more_images.first().copied())
    }

    /// How many images are stored.
    pub(crate) fn pictures(&self) -> u32 {
        u32::from(self.image.is_some()) + self.more_images.len() as u32
    }

    fn into_entries(self) -> ItemEntries<'a> {
        let pictures = self.pictures();
        ItemEntries { labels: self.labels, fields: self.fields, pictures }
    }
}

/// Looks for the entry of a key in an encoded map, whose other values are passed over as `S`.
struct EntryOf<'k, V, S> {
    key: &'k str,
    value: PhantomData<(V, S)>,
}

/// Looks for an attribute's label. A text that is not asked for is passed over as bytes: at a start every head looks for its own
/// label in every item, and checking the others would take longer than what is done with it.
type LabelOf<'k, 'de> = EntryOf<'k, &'de str, &'de [u8]>;

impl<'k, V, S> EntryOf<'k, V, S> {
    fn new(key: &'k str) -> Self {
        Self { key, value: PhantomData }
    }
}

impl<'de, V: Deserialize<'de>, S: Deserialize<'de>> DeserializeSeed<'de> for EntryOf<'_, V, S> {
    type Value = Option<V>;

    fn deserialize<D: Deserializer<'de>>(self, map: D) -> Result<Self::Value, D::Error> {
        map.deserialize_map(self)
    }
}

impl<'de, V: Deserialize<'de>, S: Deserialize<'de>> Visitor<'de> for EntryOf<'_, V, S> {
    type Value = Option<V>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(key) = map.next_key::<&[u8]>()? {
            if key == self.key.as_bytes() {
                return map.next_value().map(Some);
            }
            map.next_value::<S>()?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoredImage;
    use lapel_values::{ItemFacts, Labels};
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
            let facts = ItemFacts { labels: &labels, fields: &record.fields, pictures: record.pictures() };
            prop_assert_eq!(packed.entries(), ItemEntries::from(facts));
            let (same, view) = PackedRecord::of_stored(&packed.0).expect("a record");
            prop_assert_eq!((&same, view.image(), view.pictures()), (&packed, record.images().next(), record.pictures()));
            let owned = |(attribute, label): (&str, &str)| (attribute.to_owned(), label.to_owned());
            prop_assert_eq!(packed.labels().into_iter().map(owned).collect::<Labels>(), labels);
            for (attribute, label) in &record.labels {
                prop_assert_eq!(packed.label(attribute), Some(label.as_str()));
            }
            for (name, value) in &record.fields {
                prop_assert_eq!(packed.field(name), Some(value.clone()));
            }
            prop_assert_eq!((packed.label("A"), packed.field("A"), packed.field("")), (None, None, None));
            let fields = record.fields.iter().map(|(name, value)| (name.as_str(), value.clone()));
            prop_assert_eq!(packed.fields(), fields.collect::<Vec<_>>());
            prop_assert_eq!(&PackedRecord::of_bytes(packed.as_bytes()), &packed);
            let other = ItemRecord { updated_ms: updated_ms ^ 1, ..record };
            prop_assert_ne!(PackedRecord::of(&other), packed);
        }
    }
}
