//! What is said of the catalogue's items beforehand.

use super::Limits;
use lapel_heads::is_name;
use lapel_values::FieldKind;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is said of the catalogue's items beforehand.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// Kinds of fields. One that is not here gets the kind of the first item that has it.
    pub fields: BTreeMap<String, FieldKind>,
    /// What becomes of labels that the head of their attribute does not know.
    pub unknown_labels: UnknownLabels,
}

/// What becomes of a label that is written and that the serving head of its attribute, one with a network, does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownLabels {
    /// It is stored like any other, and the statistics of the catalogue tell it.
    #[default]
    Accept,
    /// The item is refused, unless it carries the label already or another version of the head knows it.
    Refuse,
}

impl CatalogConfig {
    /// What contradicts the names that there may be and how many.
    pub(super) fn contradictions(&self, limits: &Limits) -> Vec<String> {
        let bad = self.fields.keys().filter(|field| !is_name(field));
        let wanted = "is no name of 1 to 64 characters without control characters and outer spaces";
        let mut faults: Vec<String> =
            bad.map(|field| format!("catalog.fields: {field:?} {wanted}")).collect();
        let (count, most) = (self.fields.len(), limits.fields_max);
        if count > most {
            faults.push(format!("catalog.fields declares {count}; limits.fields_max is {most}"));
        }
        faults
    }
}
