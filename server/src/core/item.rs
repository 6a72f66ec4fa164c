//! What is written of an item.

use crate::request::RequestId;
use lapel_heads::Labels;
use lapel_values::Fields;
use std::collections::{BTreeMap, BTreeSet};

/// What is written of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of it; what it had before is replaced.
    #[default]
    Whole,
    /// All of it, together with what the item that is there has and the write does not name: labels, fields and given
    /// signatures. Its images are replaced where the write has any.
    Merged,
    /// Some parts of the item that is there; the others and its images stay.
    Part(Parts),
}

/// The parts of an item that a write names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Labels, by attribute.
    pub labels: Named,
    /// Values, by field.
    pub fields: Named,
    /// Whether signatures are added.
    pub signatures: bool,
}

impl Parts {
    /// Whether a write of them writes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.changes_record() && !self.signatures
    }

    /// Whether labels or fields are written.
    #[must_use]
    pub fn changes_record(&self) -> bool {
        self.labels != Named::None || self.fields != Named::None
    }
}

/// Which entries of a map a write names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Named {
    /// None of them.
    #[default]
    None,
    /// All of them: those that are given replace those that are there.
    All,
    /// These: each is set, or removed where it is not given.
    Some(BTreeSet<String>),
}

impl Named {
    /// The keys of these entries.
    pub(super) fn keys<V>(entries: &BTreeMap<String, V>) -> Self {
        Self::Some(entries.keys().cloned().collect())
    }

    /// Names one more.
    pub(crate) fn add(&mut self, name: &str) {
        match self {
            Self::None => *self = Self::Some(BTreeSet::from([name.to_owned()])),
            Self::All => {}
            Self::Some(names) => {
                names.insert(name.to_owned());
            }
        }
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(names) => names.contains(name),
        }
    }

    /// What the entries that are there become by those that are given, which are all named.
    pub(super) fn merged<V: Clone>(
        &self,
        there: &BTreeMap<String, V>,
        given: BTreeMap<String, V>,
    ) -> BTreeMap<String, V> {
        match self {
            Self::None => there.clone(),
            Self::All => given,
            Self::Some(names) => {
                let mut merged = there.clone();
                merged.retain(|name, _| !names.contains(name));
                merged.extend(given);
                merged
            }
        }
    }
}

/// An item to write.
#[derive(Clone, Debug)]
pub struct NewItem {
    /// Its id.
    pub id: String,
    /// Its photo's bytes.
    pub image: Option<Vec<u8>>,
    /// Those of further photos, in their order.
    pub more_images: Vec<Vec<u8>>,
    /// Its labels.
    pub labels: Labels,
    /// Its values by field.
    pub fields: Fields,
    /// Signatures by head, computed elsewhere.
    pub signatures: Vec<(String, Vec<f32>)>,
    /// What is written of it.
    pub scope: Scope,
    /// The request that it came with.
    pub request: RequestId,
}

impl NewItem {
    /// A whole item without anything.
    #[must_use]
    pub fn new(id: String) -> Self {
        Self {
            id,
            image: None,
            more_images: Vec::new(),
            labels: Labels::new(),
            fields: Fields::new(),
            signatures: Vec::new(),
            scope: Scope::Whole,
            request: RequestId::none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, u8)]) -> BTreeMap<String, u8> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn what_is_named_is_set_or_removed_and_the_rest_stays() {
        let there = map(&[("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(Named::None.merged(&there, map(&[])), there);
        assert_eq!(Named::All.merged(&there, map(&[("d", 4)])), map(&[("d", 4)]));
        let mut some = Named::None;
        ["a", "b", "d"].iter().for_each(|name| some.add(name));
        let wanted = map(&[("b", 7), ("c", 3), ("d", 8)]);
        assert_eq!(some.merged(&there, map(&[("b", 7), ("d", 8)])), wanted);
        assert!(some.has("a") && !some.has("c") && Named::All.has("c") && !Named::None.has("c"));
        let mut all = Named::All;
        all.add("a");
        assert_eq!(all, Named::All);
    }

    #[test]
    fn parts_that_name_nothing_are_empty() {
        assert!(Parts::default().is_empty());
        let signatures = Parts { signatures: true, ..Parts::default() };
        assert!(!signatures.is_empty() && !signatures.changes_record());
        assert!(Parts { fields: Named::All, ..Parts::default() }.changes_record());
    }
}
