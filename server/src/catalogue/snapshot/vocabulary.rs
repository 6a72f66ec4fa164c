//! Labels that the heads in service know, beside those that items carry.

use super::Snapshot;
use crate::catalogue::column::Column;
use lapel_heads::Attribute;
use std::collections::HashSet;

/// Labels of an attribute that items carry and its head does not know.
pub struct Unknown<'a> {
    /// The attribute.
    pub attribute: &'a str,
    /// The column of the head that serves it.
    pub column: &'a Column,
    /// The labels with their numbers of items, those of the most items first; at least one.
    pub labels: Vec<(&'a str, u64)>,
}

impl Snapshot {
    /// The column of the active head with a network that tells an attribute apart, and the attribute with the labels that
    /// the head knows. An external head has what its signatures are given for, so it knows no end of labels.
    #[must_use]
    pub fn vocabulary(&self, attribute: &str) -> Option<(&Column, &Attribute)> {
        let column = self.column_of_attribute(attribute).filter(|column| column.head().has_network())?;
        Some((column, column.head().manifest().attribute(attribute)?))
    }

    /// Whether a version of a head knows a label, be it one that waits to serve.
    #[must_use]
    pub fn knows_label(&self, attribute: &str, label: &str) -> bool {
        let known = self.all_columns().filter_map(|column| column.head().manifest().attribute(attribute));
        known.flat_map(|known| &known.labels).any(|known| known == label)
    }

    /// By attribute, the labels that items carry and that are not in its head's vocabulary.
    pub fn unknown_labels(&self) -> impl Iterator<Item = Unknown<'_>> {
        self.items().labels().filter_map(move |(attribute, by_label)| {
            let (column, known) = self.vocabulary(attribute)?;
            let known: HashSet<&str> = known.labels.iter().map(String::as_str).collect();
            let unknown = by_label.iter().filter(|(label, _)| !known.contains(label.as_str()));
            let mut labels: Vec<(&str, u64)> =
                unknown.map(|(label, slots)| (label.as_str(), slots.len())).collect();
            // The order of labels stays among those of as many items.
            labels.sort_by_key(|(_, items)| std::cmp::Reverse(*items));
            (!labels.is_empty()).then_some(Unknown { attribute, column, labels })
        })
    }
}
