//! What the names in a filter are.

use crate::v1;
use crate::v1::FieldKind;
use std::collections::{BTreeMap, BTreeSet};

/// Names that a fault lists of those there are.
const NAMED_MAX: usize = 20;
/// Before the name of a field, where an attribute may have it too.
pub(super) const FIELD: &str = "field.";
/// Before the name of an attribute.
pub(super) const LABEL: &str = "label.";
/// Before the name of an attribute of which the label is meant that a head sees.
pub(super) const PREDICTED: &str = "predicted.";

/// The item's id, whatever fields and attributes are called.
const ITEM_ID: &str = "item.id";
/// The item's id, where nothing else is called so.
const ID: &str = "id";

/// What the names in a filter can be.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Fields and their kinds.
    pub fields: BTreeMap<String, FieldKind>,
    /// Attributes of which items have labels.
    pub attributes: BTreeSet<String>,
}

/// What a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A field of a kind.
    Field(String, FieldKind),
    /// An attribute.
    Label(String),
    /// An attribute as its head sees it.
    Predicted(String),
    /// The item's id.
    Id,
}

impl Known {
    /// What a catalogue has.
    #[must_use]
    pub fn of(stats: &v1::CatalogStatsResponse) -> Self {
        Self {
            fields: stats.fields.iter().map(|field| (field.field.clone(), field.kind())).collect(),
            attributes: stats.labels.keys().cloned().collect(),
        }
    }

    /// What a name is: `field.NAME`, `label.NAME`, `predicted.NAME`, or a field of that name or else an attribute. An attribute
    /// that is named with `label.` or `predicted.` need not be known: heads may know its labels before items have them. `id` is
    /// the item's id where nothing else is called so, and `item.id` always.
    ///
    /// # Errors
    /// That there is none, with those that there are.
    pub fn resolve(&self, name: &str) -> Result<Named, String> {
        if let Some(attribute) = name.strip_prefix(LABEL) {
            return Ok(Named::Label(attribute.to_owned()));
        }
        if let Some(attribute) = name.strip_prefix(PREDICTED) {
            return Ok(Named::Predicted(attribute.to_owned()));
        }
        if name == ITEM_ID {
            return Ok(Named::Id);
        }
        let (is_field, bare) = name.strip_prefix(FIELD).map_or((false, name), |bare| (true, bare));
        if let Some(kind) = self.fields.get(bare) {
            return Ok(Named::Field(bare.to_owned(), *kind));
        }
        if !is_field && self.attributes.contains(bare) {
            return Ok(Named::Label(bare.to_owned()));
        }
        if name == ID {
            return Ok(Named::Id);
        }
        let fields = list(self.fields.keys());
        if is_field {
            return Err(format!("there is no field {bare:?}; fields: {fields}"));
        }
        let attributes = list(self.attributes.iter());
        Err(format!(
            "{bare:?} is neither a field nor an attribute with labels; fields: {fields}; attributes: {attributes}"
        ))
    }
}

fn list<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let shown: Vec<&str> = names.take(NAMED_MAX).map(String::as_str).collect();
    match (shown.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}
