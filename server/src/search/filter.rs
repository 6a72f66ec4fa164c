//! Conditions on stored labels as a request brings them, and whether what they name exists.

use crate::catalogue::Snapshot;
use crate::error::Error;
use imbl::OrdMap;
use lapel_search::{Condition, Filter};
use std::collections::BTreeSet;

/// A condition: an item's stored label of the attribute is one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelFilter {
    /// The attribute.
    pub attribute: String,
    /// The labels that pass.
    pub labels: Vec<String>,
    /// Whether it may name what nothing carries and no head knows; it is a slip otherwise.
    pub allow_unknown: bool,
}

impl LabelFilter {
    /// A condition whose names must exist.
    #[must_use]
    pub fn new(attribute: impl Into<String>, labels: impl IntoIterator<Item = String>) -> Self {
        Self { attribute: attribute.into(), labels: labels.into_iter().collect(), allow_unknown: false }
    }
}

/// The filter that conditions lead to. Each attribute and label is carried by an item or known to an active head, or the
/// condition allows that it is not.
///
/// # Errors
/// [`Error::NotFound`] with those that there are.
pub fn checked_filter(snapshot: &Snapshot, filters: &[LabelFilter]) -> Result<Filter, Error> {
    let condition = |filter: &LabelFilter| {
        let LabelFilter { attribute, labels, allow_unknown } = filter;
        if !allow_unknown {
            check(snapshot, attribute, labels)?;
        }
        Ok(Condition::Label { attribute: attribute.clone(), any_of: labels.clone() })
    };
    Ok(Filter { all: filters.iter().map(condition).collect::<Result<_, Error>>()? })
}

fn check(snapshot: &Snapshot, attribute: &str, labels: &[String]) -> Result<(), Error> {
    let stored = snapshot.items().label_index().of_attribute(attribute);
    let head = snapshot.column_of_attribute(attribute).map(|column| column.head().manifest());
    let taught = head.and_then(|manifest| manifest.attribute(attribute));
    if stored.is_none() && taught.is_none() {
        let of_heads = snapshot.columns().iter().flat_map(|column| &column.head().manifest().attributes);
        let of_items = snapshot.items().labels().map(|(name, _)| name);
        let all: BTreeSet<&String> = of_heads.map(|known| &known.name).chain(of_items).collect();
        let valid = all.into_iter().cloned().collect();
        return Err(Error::NotFound { what: "attribute", name: attribute.to_owned(), valid });
    }
    let taught = || taught.into_iter().flat_map(|known| &known.labels);
    let is_known = |label: &&String| {
        stored.is_some_and(|stored| stored.contains_key(*label)) || taught().any(|known| known == *label)
    };
    let Some(unknown) = labels.iter().find(|label| !is_known(label)) else { return Ok(()) };
    let all: BTreeSet<&String> = taught().chain(stored.into_iter().flat_map(OrdMap::keys)).collect();
    let valid = all.into_iter().cloned().collect();
    Err(Error::NotFound { what: "label", name: unknown.clone(), valid })
}
