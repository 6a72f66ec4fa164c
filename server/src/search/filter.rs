//! Conditions on stored labels as a request brings them, and whether what they name exists.

use crate::catalogue::Snapshot;
use crate::error::{Error, Faults};
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
/// [`Error::Faults`] with all that are not, each with those that there are.
pub fn checked_filter(snapshot: &Snapshot, filters: &[LabelFilter]) -> Result<Filter, Error> {
    let mut faults = Faults::default();
    for (at, filter) in filters.iter().enumerate() {
        check_filter(snapshot, &format!("filters[{at}]"), filter, &mut faults);
    }
    faults.end()?;
    let condition = |LabelFilter { attribute, labels, allow_unknown: _ }: &LabelFilter| Condition::Label {
        attribute: attribute.clone(),
        any_of: labels.clone(),
    };
    Ok(Filter { all: filters.iter().map(condition).collect() })
}

/// As [`checked_filter`], for the filter at a path.
pub fn check_filter(snapshot: &Snapshot, path: &str, filter: &LabelFilter, faults: &mut Faults) {
    let LabelFilter { attribute, labels, allow_unknown } = filter;
    if *allow_unknown || faults.is_full() {
        return;
    }
    let stored = snapshot.items().label_index().of_attribute(attribute);
    let head = snapshot.column_of_attribute(attribute).map(|column| column.head().manifest());
    let taught = head.and_then(|manifest| manifest.attribute(attribute));
    if stored.is_none() && taught.is_none() {
        let of_heads = snapshot.columns().iter().flat_map(|column| &column.head().manifest().attributes);
        let of_items = snapshot.items().labels().map(|(name, _)| name);
        let all: BTreeSet<&String> = of_heads.map(|known| &known.name).chain(of_items).collect();
        let valid = all.into_iter().cloned().collect();
        let unknown = Error::NotFound { what: "attribute", name: attribute.clone(), valid };
        faults.unmet(format!("{path}.attribute"), unknown);
        return;
    }
    let taught = || taught.into_iter().flat_map(|known| &known.labels);
    let is_known = |label: &String| {
        stored.is_some_and(|stored| stored.contains_key(label)) || taught().any(|known| known == label)
    };
    let unknown = labels.iter().enumerate().filter(|(_, label)| !is_known(label));
    for (at, label) in unknown {
        if faults.is_full() {
            return;
        }
        let all: BTreeSet<&String> = taught().chain(stored.into_iter().flat_map(OrdMap::keys)).collect();
        let valid = all.into_iter().cloned().collect();
        let unknown = Error::UnknownLabel { attribute: attribute.clone(), label: label.clone(), valid };
        faults.unmet(format!("{path}.labels[{at}]"), unknown);
    }
}
