//! Labels and fields of items, as the store keeps them and the search filters by them.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

/// Labels by attribute.
pub type Labels = BTreeMap<String, String>;

/// Values by field.
pub type Fields = BTreeMap<String, FieldValue>;

/// What an item is found by beside its signatures.
#[derive(Clone, Copy, Debug)]
pub struct ItemFacts<'a> {
    /// Its labels by attribute.
    pub labels: &'a Labels,
    /// Its values by field.
    pub fields: &'a Fields,
    /// How many pictures it has.
    pub pictures: u32,
}

/// The same as lists of entries in the order of their keys, which an encoded record is read to without a map of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemEntries<'a> {
    /// Attributes and their labels.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Fields and their values.
    pub fields: Vec<(&'a str, FieldValue)>,
    /// How many pictures it has.
    pub pictures: u32,
}

impl<'a> From<ItemFacts<'a>> for ItemEntries<'a> {
    fn from(facts: ItemFacts<'a>) -> Self {
        Self {
            labels: facts
                .labels
                .iter()
                .map(|(attribute, label)| (attribute.as_str(), label.as_str()))
                .collect(),
            fields: facts.fields.iter().map(|(field, value)| (field.as_str(), value.clone())).collect(),
            pictures: facts.pictures,
        }
    }
}

/// A number that is neither infinite nor NaN. The two zeros are one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Finite(f64);

impl Finite {
    /// The number; `None` where it is infinite or NaN.
    #[must_use]
    pub fn new(number: f64) -> Option<Self> {
        // Minus zero plus zero is zero.
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Finite {
    type Error = &'static str;

    fn try_from(number: f64) -> Result<Self, Self::Error> {
        Self::new(number).ok_or("the number is infinite or none")
    }
}

impl From<Finite> for f64 {
    fn from(number: Finite) -> Self {
        number.0
    }
}

impl Eq for Finite {}

impl Ord for Finite {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Finite {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Microseconds since 1970 of the moments that the protocol can name: the years 1 to 9999.
pub const MOMENTS_US: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FieldValue {
    /// A text that is compared as a whole.
    Keyword(String),
    /// Several of them.
    Keywords(BTreeSet<String>),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(Finite),
    /// Yes or no.
    Boolean(bool),
    /// A moment, microseconds since 1970.
    Timestamp(i64),
}

impl FieldValue {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> FieldKind {
        match self {
            Self::Keyword(_) => FieldKind::Keyword,
            Self::Keywords(_) => FieldKind::Keywords,
            Self::Integer(_) => FieldKind::Integer,
            Self::Number(_) => FieldKind::Number,
            Self::Boolean(_) => FieldKind::Boolean,
            Self::Timestamp(_) => FieldKind::Timestamp,
        }
    }
}

/// The kinds of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// [`FieldValue::Keyword`].
    Keyword,
    /// [`FieldValue::Keywords`].
    Keywords,
    /// [`FieldValue::Integer`].
    Integer,
    /// [`FieldValue::Number`].
    Number,
    /// [`FieldValue::Boolean`].
    Boolean,
    /// [`FieldValue::Timestamp`].
    Timestamp,
}

impl FieldKind {
    /// Whether values of it have an order that ranges and bounds follow.
    #[must_use]
    pub fn is_ordered(self) -> bool {
        match self {
            Self::Integer | Self::Number | Self::Timestamp => true,
            Self::Keyword | Self::Keywords | Self::Boolean => false,
        }
    }

    /// The kind that a condition names its values by: those of a field of several keywords are single ones.
    #[must_use]
    pub fn asked(self) -> Self {
        if self == Self::Keywords { Self::Keyword } else { self }
    }

    /// Its name, as the configuration writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Keywords => "keywords",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
        }
    }
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_one_and_what_is_no_number_is_refused() {
        assert_eq!(Finite::new(-0.0), Finite::new(0.0));
        assert_eq!(Finite::new(-0.0).map(|zero| zero.get().to_bits()), Some(0));
        assert!(Finite::new(f64::NAN).is_none() && Finite::new(f64::INFINITY).is_none());
        assert!(Finite::new(-1.5) < Finite::new(0.25));
    }
}
