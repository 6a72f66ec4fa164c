//! Which items a search, a list or a count is about, as plain data.

use lapel_values::{FieldValue, Finite};
use std::collections::BTreeSet;
use std::ops::Bound;

/// A tree of conditions on what is stored of an item, and on what heads see in it. By default every item passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of these; with none of them, every item passes.
    All(Vec<Filter>),
    /// At least one of these; with none of them, no item passes.
    Any(Vec<Filter>),
    /// Not one of these; with none of them, every item passes.
    None(Vec<Filter>),
    /// Its label of the attribute is one of these.
    Label {
        /// The attribute.
        attribute: String,
        /// The labels that pass.
        any_of: Vec<String>,
    },
    /// It has a label of the attribute.
    HasLabel {
        /// The attribute.
        attribute: String,
    },
    /// Its value of the field is one of these; of several keywords, one of these is among them.
    Field {
        /// The field.
        field: String,
        /// The values that pass; a keyword also for a field of several.
        any_of: Vec<FieldValue>,
    },
    /// Its value of the field lies within; values of another kind than the field's pass nothing.
    Range {
        /// The field.
        field: String,
        /// The lower end.
        from: Bound<FieldValue>,
        /// The upper end.
        to: Bound<FieldValue>,
    },
    /// It has a value of the field.
    HasField {
        /// The field.
        field: String,
    },
    /// The likeliest label that a head predicts for it is one of these. By an attribute without an index of predictions
    /// ([`PredictionIndex`](crate::PredictionIndex)), nothing passes.
    Predicted {
        /// The attribute.
        attribute: String,
        /// The labels that pass.
        any_of: Vec<String>,
        /// The least probability; `None`: it is not below its label's own threshold.
        least: Option<Finite>,
    },
    /// Its id is one of these.
    Id {
        /// The ids that pass; there need not be such items.
        any_of: Vec<String>,
    },
}

impl Default for Filter {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl Filter {
    /// Items that carry every one of these labels, given with their attributes.
    pub fn carrying<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let condition = |(attribute, label): (&str, &str)| Self::Label {
            attribute: attribute.to_owned(),
            any_of: vec![label.to_owned()],
        };
        Self::All(labels.into_iter().map(condition).collect())
    }

    /// Attributes whose predictions it asks for.
    #[must_use]
    pub fn predicted(&self) -> BTreeSet<&str> {
        match self {
            Self::All(filters) | Self::Any(filters) | Self::None(filters) => {
                filters.iter().flat_map(Self::predicted).collect()
            }
            Self::Predicted { attribute, any_of: _, least: _ } => BTreeSet::from([attribute.as_str()]),
            Self::Label { .. }
            | Self::HasLabel { .. }
            | Self::Field { .. }
            | Self::Range { .. }
            | Self::HasField { .. }
            | Self::Id { .. } => BTreeSet::new(),
        }
    }

    /// Items that pass this filter and another.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All(mut all), Self::All(more)) => {
                all.extend(more);
                Self::All(all)
            }
            (Self::All(mut all), one) | (one, Self::All(mut all)) => {
                all.push(one);
                Self::All(all)
            }
            (one, other) => Self::All(vec![one, other]),
        }
    }
}
