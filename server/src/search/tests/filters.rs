//! Filters and exclusions.

use super::*;
use crate::error::Faults;
use lapel_values::FieldKind;

#[test]
fn filters_and_exclusions_are_honoured() {
    let s = snapshot(60, |_, _| false);
    let filtered = SearchSpec {
        filter: Filter::carrying([("color", "b")]),
        exclude: vec!["i1".into(), "nobody".into()],
        ..spec(Weighting::Own, 60)
    };
    let answer = search(&s, view(1), &filtered, &planner()).expect("answers");
    assert_eq!(answer.matches.len(), 29);
    assert!(answer.matches.iter().all(|m| m.slot % 2 == 1 && m.slot != 1));
}

#[test]
fn a_filter_that_names_nothing_is_a_slip_unless_it_may() {
    let s = snapshot(60, |_, _| false);
    let ask = |attribute: &str, labels: &[&str], allow_unknown: bool| {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let mut faults = Faults::default();
        if !allow_unknown {
            check_labels(&s, "filters[0]", (attribute, labels.as_slice()), &mut faults);
        }
        faults.end()?;
        let filter = Filter::Label { attribute: attribute.to_owned(), any_of: labels };
        let spec = SearchSpec { filter, ..spec(Weighting::Own, 60) };
        search(&s, view(1), &spec, &planner()).map(|answer| answer.matches.len())
    };
    let attribute = ask("colour", &["b"], false).expect_err("refused").to_string();
    assert!(
        attribute.contains("attribute \"colour\"; did you mean \"color\"? there are: color, "),
        "{attribute}"
    );
    let label = ask("color", &["b", "z"], false).expect_err("refused").to_string();
    assert!(label.contains("attribute \"color\" has no label \"z\"; it has: a, b"), "{label}");
    // The first faults tell the labels there are; all are told.
    let many = ask("color", &["u", "v", "w", "x", "y", "z"], false).expect_err("refused").to_string();
    assert_eq!(many.matches("it has: a, b").count(), 3, "{many}");
    assert!(many.ends_with("has no label \"z\""), "{many}");
    // No item is labelled with what a head tells apart.
    assert_eq!(ask("shape", &["a"], false).expect("known to a head"), 0);
    assert_eq!(ask("color", &["b", "z"], true).expect("answers"), 30);
}

#[test]
fn a_field_is_known_where_it_is_declared_and_a_slip_is_told_with_those_there_are() {
    let s = snapshot(2, |_, _| false);
    let declared = [("price", FieldKind::Number), ("product", FieldKind::Keyword)];
    let declared: BTreeMap<String, FieldKind> =
        declared.into_iter().map(|(field, kind)| (field.to_owned(), kind)).collect();
    let mut faults = Faults::default();
    let kind = checked_field(&s, &declared, ("filter.field.field", "price"), &mut faults);
    assert_eq!((kind, faults.all().len()), (Some(FieldKind::Number), 0));
    assert_eq!(checked_field(&s, &declared, ("filter.field.field", "prise"), &mut faults), None);
    assert_eq!(faults.all()[0].field(), "filter.field.field");
    let text = faults.to_string();
    assert!(text.contains("no field \"prise\"; did you mean \"price\"? there are: price, product"), "{text}");
}
