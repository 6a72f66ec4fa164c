//! Conditions on stored labels: from what a request brings, checked once, to what is searched with.

use crate::catalogue::Snapshot;
use crate::error::{Error, Faults};
use imbl::OrdMap;
use lapel_search::Condition;
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

/// The condition of the filter at a path of a request. Its attribute and each of its labels is carried by an item or known
/// to an active head, or the filter allows that it is not; what is not is noted as a fault, with those that there are.
pub fn checked_condition(
    snapshot: &Snapshot,
    path: &str,
    filter: LabelFilter,
    faults: &mut Faults,
) -> Condition {
    let LabelFilter { attribute, labels, allow_unknown } = filter;
    if !allow_unknown && !faults.is_full() {
        check_known(snapshot, path, (&attribute, labels.as_slice()), faults);
    }
    Condition::Label { attribute, any_of: labels }
}

fn check_known(
    snapshot: &Snapshot,
    path: &str,
    (attribute, labels): (&String, &[String]),
    faults: &mut Faults,
) {
    let stored = snapshot.items().label_index().of_attribute(attribute);
    let head = snapshot.column_of_attribute(attribute).map(|column| column.head().manifest());
    let taught = head.and_then(|manifest| manifest.attribute(attribute));
    if stored.is_none() && taught.is_none() {
        let valid = faults.choices(attribute, || {
            let of_heads = snapshot.columns().iter().flat_map(|column| &column.head().manifest().attributes);
            let of_items = snapshot.items().labels().map(|(name, _)| name);
            let all = of_heads.map(|known| &known.name).chain(of_items);
            all.map(String::as_str).collect::<BTreeSet<&str>>()
        });
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
        let valid = faults.choices(label, || {
            let all = taught().chain(stored.into_iter().flat_map(OrdMap::keys));
            all.map(String::as_str).collect::<BTreeSet<&str>>()
        });
        let unknown = Error::UnknownLabel { attribute: attribute.clone(), label: label.clone(), valid };
        faults.unmet(format!("{path}.labels[{at}]"), unknown);
    }
}
