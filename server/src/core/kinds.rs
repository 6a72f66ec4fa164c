//! Kinds of fields: the one that is declared, or else the one that items have.

use crate::config::Config;
use crate::error::Faults;
use lapel_search::FieldIndex;
use lapel_values::{FieldKind, Fields};
use std::collections::{BTreeMap, BTreeSet};

/// The kinds that the writes of one group keep to. A field's kind stays while an item has the field, be it the very item
/// that is written, and until the end of the group that takes it from the last one.
pub(super) struct Kinds<'a> {
    declared: &'a BTreeMap<String, FieldKind>,
    stored: &'a FieldIndex,
    /// Of fields that earlier writes of the group brought.
    brought: BTreeMap<String, FieldKind>,
    /// Most different fields.
    most: usize,
}

impl<'a> Kinds<'a> {
    /// The kinds of a catalogue.
    pub(super) fn new(config: &'a Config, stored: &'a FieldIndex) -> Self {
        let (declared, most) = (&config.catalog.fields, config.limits.fields_max);
        Self { declared, stored, brought: BTreeMap::new(), most }
    }

    fn of(&self, field: &str) -> Option<FieldKind> {
        let declared = self.declared.get(field).copied();
        declared.or_else(|| self.stored.kind(field)).or_else(|| self.brought.get(field).copied())
    }

    /// Notes values that are not of their field's kind, and fields that are too many.
    pub(super) fn check(&self, fields: &Fields, faults: &mut Faults) {
        let mut new = 0;
        for (field, value) in fields {
            match self.of(field) {
                Some(kind) if kind == value.kind() => {}
                Some(kind) => {
                    let wanted =
                        format!("{field} is {}; this is {}", with_article(kind), with_article(value.kind()));
                    faults.refuse(format!("fields[{field}]"), wanted);
                }
                None => new += 1,
            }
        }
        if new == 0 {
            return;
        }
        let there = self.count();
        if there + new > self.most {
            let wanted = format!(
                "the catalogue has {there} different fields, and {new} of these are new; at most {} are accepted \
                 (limits.fields_max)",
                self.most
            );
            faults.refuse("fields", wanted);
        }
    }

    /// Takes in the fields of a write that is accepted.
    pub(super) fn note(&mut self, fields: &Fields) {
        for (field, value) in fields {
            if self.of(field).is_none() {
                self.brought.insert(field.clone(), value.kind());
            }
        }
    }

    /// How many different fields there are.
    fn count(&self) -> usize {
        let stored = self.stored.iter().map(|(field, _, _)| field);
        let all: BTreeSet<&String> = self.declared.keys().chain(stored).chain(self.brought.keys()).collect();
        all.len()
    }
}

/// Declared fields that items have as another kind, each in words.
pub(super) fn contradictions(declared: &BTreeMap<String, FieldKind>, stored: &FieldIndex) -> Vec<String> {
    let told = |(field, kind, items): (&String, FieldKind, u64)| {
        let wanted = *declared.get(field)?;
        (wanted != kind).then(|| {
            format!(
                "{field} is declared as {}, and it is {} in the items that have it ({items}): declare {field} = \"{kind}\", or \
                 start without its declaration, remove it from these items, and declare it then",
                with_article(wanted),
                with_article(kind)
            )
        })
    };
    stored.iter().filter_map(told).collect()
}

/// A kind as it is said of a value.
pub(crate) fn with_article(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Keyword => "a keyword",
        FieldKind::Keywords => "a list of keywords",
        FieldKind::Integer => "an integer",
        FieldKind::Number => "a number",
        FieldKind::Boolean => "a boolean",
        FieldKind::Timestamp => "a timestamp",
    }
}
