//! Item records as their bytes.

mod label_numbers;
mod saved;

pub use saved::{LabelTable, SavedLabels};

use crate::records::{ItemRecord, StoredImage};
use crate::{ContentId, FieldValue, StoredPartsCase};
use label_numbers::LabelNumbers;
use lapel_values::ItemEntries;
use postcard::de_flavors::Slice;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An item's record as memory has it: as the store encodes it, with numbers for its labels (`label_numbers.rs`). With six labels it
/// takes a fifth of the stored one, which takes a seventh of what maps of texts take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedRecord(Box<[u8]>);

/// A label of an item with its attribute.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum LabelCode<'a> {
    /// That pair has a number.
    Number(u32),
    /// It has none.
    Text(&'a str, &'a str),
}

/// Labels of a packed record, and what is behind them.
#[derive(Clone, Copy)]
struct LabelCodes<'a> {
    left: u32,
    rest: &'a [u8],
}

impl PackedRecord {
    /// A record.
    #[must_use]
    pub fn of(record: &ItemRecord) -> Self {
        // Records are plain structs of strings, numbers and maps, which always encode; zeros are one of nothing.
        let stored = postcard::to_stdvec(record).ok();
        stored.and_then(|stored| Self::of_stored(&stored)).unwrap_or_else(|| Self([0; 6].into()))
    }

    /// What the store has of a record; `None` where it is no record.
    pub(crate) fn of_stored(bytes: &[u8]) -> Option<Self> {
        let (labels, behind) = parts(bytes)?;
        let mut codes = Vec::with_capacity(labels.len());
        LabelNumbers::of_process().numbers(&labels, |number| codes.push(number));
        let codes = codes.into_iter().zip(labels);
        Self::joined(codes.map(|(number, pair)| LabelCode::of(number, pair)), behind)
    }

    /// The record with these labels and what is behind them.
    fn joined<'a>(labels: impl ExactSizeIterator<Item = LabelCode<'a>>, behind: &[u8]) -> Option<Self> {
        let count = u32::try_from(labels.len()).ok()?;
        let mut bytes =
            postcard::to_extend(&count, Vec::with_capacity(4 * labels.len() + behind.len())).ok()?;
        for label in labels {
            bytes = postcard::to_extend(&label, bytes).ok()?;
        }
        bytes.extend(behind);
        Some(Self(bytes.into()))
    }

    /// Whether bytes of the store are a record.
    pub(crate) fn is_record(bytes: &[u8]) -> bool {
        parts(bytes).is_some()
    }

    /// What the item is found by beside its signatures.
    #[must_use]
    pub fn entries(&self) -> ItemEntries<'_> {
        let behind = self.behind_labels().unwrap_or_default();
        ItemEntries { labels: self.labels(), pictures: behind.pictures(), fields: behind.fields }
    }

    /// How many images are stored.
    #[must_use]
    pub fn pictures(&self) -> u32 {
        self.behind_labels().unwrap_or_default().pictures()
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> ItemRecord {
        let owned = |(attribute, label): (&str, &str)| (attribute.to_owned(), label.to_owned());
        let labels = self.labels().into_iter().map(owned).collect();
        // The bytes were made of one.
        let BehindLabels { image, parts_case, updated_ms, fields, more_images } =
            self.behind_labels().unwrap_or_default();
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        ItemRecord { labels, image, parts_case, updated_ms, fields, more_images }
    }

    /// Its labels by attribute, in the attributes' order; nothing else of it is decoded.
    #[must_use]
    pub fn labels(&self) -> Vec<(&str, &str)> {
        self.label_codes().filter_map(LabelCode::pair).collect()
    }

    /// Its label of an attribute; the walk over the labels ends there.
    #[must_use]
    pub fn label(&self, attribute: &str) -> Option<&str> {
        let mut pairs = self.label_codes().filter_map(LabelCode::pair);
        pairs.find(|(of, _)| *of == attribute).map(|(_, label)| label)
    }

    /// Its value of a field; what stands before it is passed over.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<FieldValue> {
        FieldOf(name).deserialize(&mut self.at_fields()?).ok()?
    }

    /// Its fields and their values; what stands before them is passed over.
    #[must_use]
    pub fn fields(&self) -> Vec<(&str, FieldValue)> {
        let fields = self.at_fields().and_then(|mut bytes| Vec::deserialize(&mut bytes).ok());
        fields.unwrap_or_default()
    }

    /// The first of its images.
    #[must_use]
    pub fn image(&self) -> Option<StoredImage> {
        let mut bytes = postcard::Deserializer::from_bytes(self.label_codes().behind());
        let (image, parts_case) = Deserialize::deserialize(&mut bytes).ok()?;
        match image {
            Some(content) => Some(StoredImage { content, parts_case }),
            None => self.behind_labels()?.more_images.first().copied(),
        }
    }

    /// Its images, in their order.
    #[must_use]
    pub fn images(&self) -> Vec<StoredImage> {
        let BehindLabels { image, parts_case, more_images, .. } = self.behind_labels().unwrap_or_default();
        let first = image.map(|content| StoredImage { content, parts_case });
        first.into_iter().chain(more_images).collect()
    }

    fn at_fields(&self) -> Option<postcard::Deserializer<'_, Slice<'_>>> {
        let mut bytes = postcard::Deserializer::from_bytes(self.label_codes().behind());
        // What an `ItemRecord` has before its fields.
        <(Option<ContentId>, Option<StoredPartsCase>, u64)>::deserialize(&mut bytes).ok()?;
        Some(bytes)
    }

    fn behind_labels(&self) -> Option<BehindLabels<'_>> {
        postcard::from_bytes(self.label_codes().behind()).ok()
    }

    fn label_codes(&self) -> LabelCodes<'_> {
        LabelCodes::of(&self.0)
    }
}

impl<'a> LabelCode<'a> {
    fn of(number: Option<u32>, (attribute, label): (&'a str, &'a str)) -> Self {
        number.map_or(Self::Text(attribute, label), Self::Number)
    }

    fn as_text(self) -> Option<Self> {
        self.pair().map(|(attribute, label)| Self::Text(attribute, label))
    }

    fn pair(self) -> Option<(&'a str, &'a str)> {
        match self {
            Self::Number(number) => LabelNumbers::of_process().pair(number),
            Self::Text(attribute, label) => Some((attribute, label)),
        }
    }
}

impl<'a> LabelCodes<'a> {
    fn of(packed: &'a [u8]) -> Self {
        let (left, rest) = postcard::take_from_bytes(packed).unwrap_or_default();
        Self { left, rest }
    }

    /// What is behind the labels that are left.
    fn behind(mut self) -> &'a [u8] {
        self.by_ref().for_each(drop);
        self.rest
    }
}

impl<'a> Iterator for LabelCodes<'a> {
    type Item = LabelCode<'a>;

    fn next(&mut self) -> Option<LabelCode<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (label, rest) = postcard::take_from_bytes(self.rest).ok()?;
        self.rest = rest;
        Some(label)
    }
}

/// What a record has behind its labels. An encoded map is its length and its entries, as a list is.
#[derive(Default, Deserialize)]
struct BehindLabels<'a> {
    image: Option<ContentId>,
    parts_case: Option<StoredPartsCase>,
    updated_ms: u64,
    #[serde(borrow)]
    fields: Vec<(&'a str, FieldValue)>,
    more_images: Vec<StoredImage>,
}

impl BehindLabels<'_> {
    fn pictures(&self) -> u32 {
        u32::from(self.image.is_some()) + self.more_images.len() as u32
    }
}

/// Attributes and labels of a stored record, and what is behind them.
type Parts<'a> = (Vec<(&'a str, &'a str)>, &'a [u8]);

/// `None` where it is no record.
fn parts(stored: &[u8]) -> Option<Parts<'_>> {
    let (labels, behind) = postcard::take_from_bytes(stored).ok()?;
    postcard::from_bytes::<BehindLabels<'_>>(behind).is_ok().then_some((labels, behind))
}

/// Looks for a field among those of an item, whose other values are passed over.
struct FieldOf<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for FieldOf<'_> {
    type Value = Option<FieldValue>;

    fn deserialize<D: Deserializer<'de>>(self, map: D) -> Result<Self::Value, D::Error> {
        map.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldOf<'_> {
    type Value = Option<FieldValue>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("fields and their values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some((field, value)) = map.next_entry::<&str, FieldValue>()? {
            if field == self.0 {
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
            let stored = postcard::to_stdvec(&record).expect("memory");
            prop_assert_eq!(&PackedRecord::of_stored(&stored).expect("a record"), &packed);
            prop_assert!(PackedRecord::of_stored(&stored[..stored.len() - 1]).is_none());
            prop_assert_eq!((packed.image(), packed.pictures()), (record.images().next(), record.pictures()));
            prop_assert_eq!(packed.images(), record.images().collect::<Vec<_>>());
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
            let other = ItemRecord { updated_ms: updated_ms ^ 1, ..record };
            prop_assert_ne!(PackedRecord::of(&other), packed);
        }
    }
}
