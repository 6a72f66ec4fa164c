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

/// Checks that an active head predicts an attribute, and knows each of the labels that are named at a path of a request; what
/// it does not is noted as a fault, with what heads do predict.
pub fn check_predicted(
    snapshot: &Snapshot,
    path: &str,
    (attribute, labels): (&str, &[String]),
    faults: &mut Faults,
) {
    if faults.is_full() {
        return;
    }
    let Some((_, known)) = snapshot.predicting(attribute) else {
        let unpredicted = match snapshot.column_of_attribute(attribute) {
            Some(column) => {
                let head = column.head().name();
                let message = format!(
                    "head {head:?} has no classifier of {attribute:?}: it predicts none of its labels"
                );
                Error::Precondition { reason: "NO_CLASSIFIER", message }
            }
            None => {
                let valid = faults.choices(attribute, || predicted(snapshot));
                Error::NotFound { what: "predicted attribute", name: attribute.to_owned(), valid }
            }
        };
        faults.unmet(format!("{path}.attribute"), unpredicted);
        return;
    };
    for (at, label) in labels.iter().enumerate().filter(|(_, label)| !known.labels.contains(label)) {
        if faults.is_full() {
            return;
        }
        let valid = faults.choices(label, || known.labels.iter().map(String::as_str).collect::<Vec<&str>>());
        let unknown = Error::UnknownLabel { attribute: attribute.to_owned(), label: label.clone(), valid };
        faults.unmet(format!("{path}.labels[{at}]"), unknown);
    }
}

/// Attributes that active heads predict.
fn predicted(snapshot: &Snapshot) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for column in snapshot.columns() {
        let head = column.head();
        let attributes = head.manifest().attributes.iter().map(|known| known.name.as_str());
        names.extend(attributes.filter(|name| head.predicts(name)));
    }
    names
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
