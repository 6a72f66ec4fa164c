//! What an upload writes of an item: all of it, or what its mask names.

use crate::core::{Named, Parts, Scope};
use crate::error::{Faults, within};
use lapel_heads::is_name;
use prost_types::FieldMask;

/// Bytes of an unknown path that are said again.
const ECHOED_BYTES: usize = 100;

/// The scope that a mask, or one of the two older flags, stands for.
pub(super) fn scope(
    mask: Option<FieldMask>,
    signatures_only: bool,
    labels_only: bool,
    faults: &mut Faults,
) -> Scope {
    let Some(FieldMask { paths }) = mask else {
        return match (signatures_only, labels_only) {
            (false, false) => Scope::Whole,
            (true, false) => Scope::Part(Parts { signatures: true, ..Parts::default() }),
            (false, true) => Scope::Part(Parts { labels: Named::All, ..Parts::default() }),
            (true, true) => {
                faults.refuse("labels_only", "set signatures_only or labels_only, not both");
                Scope::Whole
            }
        };
    };
    for (field, is_set) in [("signatures_only", signatures_only), ("labels_only", labels_only)] {
        if is_set {
            faults.refuse(field, "set this or update_mask, not both");
        }
    }
    Scope::Part(parts(&paths, faults))
}

/// The scope of a write that keeps what it does not name, where `scope` is that of the same write without this wish.
pub(super) fn keeping_others(scope: Scope, faults: &mut Faults) -> Scope {
    match scope {
        Scope::Whole | Scope::Merged => Scope::Merged,
        Scope::Part(parts) => {
            let wanted = "a write of parts keeps what it does not name; leave this out, or update_mask, signatures_only and \
                          labels_only";
            faults.refuse("keep_others", wanted);
            Scope::Part(parts)
        }
    }
}

fn parts(paths: &[String], faults: &mut Faults) -> Parts {
    let mut parts = Parts::default();
    for (at, path) in paths.iter().enumerate() {
        match path.split_once('.') {
            None if path == "labels" => parts.labels = Named::All,
            None if path == "fields" => parts.fields = Named::All,
            None if path == "signatures" => parts.signatures = true,
            Some(("labels", name)) if is_name(name) => parts.labels.add(name),
            Some(("fields", name)) if is_name(name) => parts.fields.add(name),
            None | Some(_) => {
                let wanted = format!(
                    "{:?} is no part that can be written by itself: labels, fields, labels.NAME, fields.NAME and \
                     signatures are",
                    within(path, ECHOED_BYTES)
                );
                faults.refuse(format!("update_mask.paths[{at}]"), wanted);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scope, and the fields with faults.
    fn read(paths: &[&str], signatures_only: bool, labels_only: bool) -> (Scope, Vec<String>) {
        let mut faults = Faults::default();
        let mask = FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
        let scope = scope(Some(mask), signatures_only, labels_only, &mut faults);
        (scope, faults.all().iter().map(|fault| fault.field().to_owned()).collect())
    }

    #[test]
    fn a_mask_names_parts() {
        let some = |names: &[&str]| Named::Some(names.iter().map(|name| (*name).to_owned()).collect());
        let (found, faults) = read(&["labels", "fields.price", "fields.a.b", "labels.color"], false, false);
        let wanted = Parts { labels: Named::All, fields: some(&["price", "a.b"]), signatures: false };
        assert_eq!((found, faults.len()), (Scope::Part(wanted), 0));
        let (found, _) = read(&["signatures"], false, false);
        assert_eq!(found, Scope::Part(Parts { signatures: true, ..Parts::default() }));
    }

    #[test]
    fn unknown_paths_and_older_flags_beside_a_mask_are_refused() {
        let (_, faults) = read(&["image", "labels.", "fields", "", "signatures.color"], true, true);
        let paths = [0, 1, 3, 4].map(|at| format!("update_mask.paths[{at}]"));
        assert_eq!(faults[..2], ["signatures_only", "labels_only"]);
        assert_eq!(faults[2..], paths);
    }

    #[test]
    fn others_are_kept_of_whole_items_alone() {
        let mut faults = Faults::default();
        assert_eq!(keeping_others(Scope::Whole, &mut faults), Scope::Merged);
        assert!(faults.all().is_empty());
        let (labels, _) = read(&["labels"], false, false);
        assert_eq!(keeping_others(labels.clone(), &mut faults), labels);
        assert_eq!(
            faults.all().iter().map(|fault| fault.field().to_owned()).collect::<Vec<_>>(),
            ["keep_others"]
        );
    }

    #[test]
    fn the_older_flags_are_masks_in_other_words() {
        let mut faults = Faults::default();
        assert_eq!(scope(None, false, false, &mut faults), Scope::Whole);
        let (labels, _) = read(&["labels"], false, false);
        assert_eq!(scope(None, false, true, &mut faults), labels);
        let (signatures, _) = read(&["signatures"], false, false);
        assert_eq!(scope(None, true, false, &mut faults), signatures);
        assert!(faults.all().is_empty());
        scope(None, true, true, &mut faults);
        assert_eq!(faults.all().len(), 1);
    }
}
