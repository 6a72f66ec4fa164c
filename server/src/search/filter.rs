//! Names in conditions and facets: whether there is such an attribute, label or field, and which there are where not.

use crate::catalogue::Snapshot;
use crate::error::{Error, Faults};
use imbl::OrdMap;
use lapel_values::FieldKind;
use std::collections::{BTreeMap, BTreeSet};

/// Checks that an attribute, and each label of it that the labels at a path of a request name, is carried by an item or known
/// to an active head; what is not is noted as a fault, with those that there are.
pub fn check_labels(
    snapshot: &Snapshot,
    path: &str,
    (attribute, labels): (&str, &[String]),
    faults: &mut Faults,
) {
    if faults.is_full() {
        return;
    }
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
        let unknown = Error::NotFound { what: "attribute", name: attribute.to_owned(), valid };
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
        let unknown = Error::UnknownLabel { attribute: attribute.to_owned(), label: label.clone(), valid };
        faults.unmet(format!("{path}.labels[{at}]"), unknown);
    }
}

/// The kind of a field that is declared or that an item has; `None`: there is no such field.
#[must_use]
pub fn field_kind(
    snapshot: &Snapshot,
    declared: &BTreeMap<String, FieldKind>,
    field: &str,
) -> Option<FieldKind> {
    declared.get(field).copied().or_else(|| snapshot.items().fields().kind(field))
}

/// The kind of the field that is named at a path of a request. Where there is no such field, that is noted as a fault, with
/// those that there are.
pub fn checked_field(
    snapshot: &Snapshot,
    declared: &BTreeMap<String, FieldKind>,
    (path, field): (&str, &str),
    faults: &mut Faults,
) -> Option<FieldKind> {
    let kind = field_kind(snapshot, declared, field);
    if kind.is_none() && !faults.is_full() {
        let valid = faults.choices(field, || {
            let stored = snapshot.items().fields().iter().map(|(name, _, _)| name);
            declared.keys().chain(stored).map(String::as_str).collect::<BTreeSet<&str>>()
        });
        faults.unmet(path, Error::NotFound { what: "field", name: field.to_owned(), valid });
    }
    kind
}
