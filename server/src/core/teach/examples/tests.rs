//! Which examples are found, on snapshots without any head.

use super::*;
use crate::store::{ItemChange, ItemRecord};
use lapel_heads::Labels;
use lapel_values::Fields;

/// A catalogue of items with a label and a keyword each; those whose label is empty have none, and those with a number that
/// eight divides have no image.
fn catalogue(labels: &[&str]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let put = |(number, label): (usize, &&str)| {
        let text = (*label).to_owned();
        let has_label = !text.is_empty();
        let record = ItemRecord {
            labels: if has_label { Labels::from([("style".into(), text.clone())]) } else { Labels::new() },
            image: (number % 8 != 7).then(|| ContentId::of(&number.to_le_bytes())),
            parts_case: None,
            updated_ms: 0,
            fields: if has_label {
                Fields::from([
                    ("shop".into(), FieldValue::Keyword(text)),
                    ("price".into(), FieldValue::Integer(3)),
                ])
            } else {
                Fields::new()
            },
            more_images: Vec::new(),
        };
        ItemChange::Put {
            id: format!("i{number:03}"),
            record,
            images: Vec::new(),
            signatures: Vec::new(),
            pictures: Vec::new(),
            replaces: None,
        }
    };
    let changes: Vec<ItemChange> = labels.iter().enumerate().map(put).collect();
    snapshot.apply(&changes);
    snapshot
}

fn sought(source: Source, labels: &[&str]) -> Sought {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    Sought { source, filter: Filter::default(), labels }
}

fn found(snapshot: &Snapshot, sought: Sought, limits: &Limits) -> Result<Found, Error> {
    find(snapshot, sought, limits, &|| false)
}

fn ids(found: &Found) -> Vec<(u16, String)> {
    let id = |of: &ExampleOf| match of {
        ExampleOf::Item(item) => item.id.to_string(),
        ExampleOf::Photo { place, .. } => format!("photo {place}"),
    };
    found.examples.iter().map(|example| (example.label, id(&example.of))).collect()
}

fn numbered(ids: &[(u16, &str)]) -> Vec<(u16, String)> {
    ids.iter().map(|(label, id)| (*label, (*id).to_owned())).collect()
}

fn photo(label: &str, byte: u8) -> Shown {
    Shown { label: label.into(), of: ShownOf::Photo(vec![byte]) }
}

fn item(label: &str, id: &str) -> Shown {
    Shown { label: label.into(), of: ShownOf::Item(id.into()) }
}

#[test]
fn labels_and_values_are_examples_of_themselves() {
    let snapshot = catalogue(&["b", "a", "", "b", "c", "a", "b", "b"]);
    let limits = Limits::default();
    for source in [|| Source::Attribute("style".into()), || Source::Field("shop".into())] {
        let all = found(&snapshot, sought(source(), &[]), &limits).expect("found");
        assert_eq!(all.labels, ["a", "b", "c"]);
        let wanted = [(0, "i001"), (0, "i005"), (1, "i000"), (1, "i003"), (1, "i006"), (2, "i004")];
        assert_eq!(ids(&all), numbered(&wanted));
        assert_eq!(all.left_out, LeftOut::from([("no_image", 1)]));
        let some = found(&snapshot, sought(source(), &["b", "a"]), &limits).expect("found");
        assert_eq!(some.labels, ["b", "a"], "in the caller's order");
        let wanted = [(0, "i000"), (0, "i003"), (0, "i006"), (1, "i001"), (1, "i005")];
        assert_eq!(ids(&some), numbered(&wanted));
    }
}

#[test]
fn of_too_many_the_same_ones_are_left_out_every_time() {
    let snapshot = catalogue(&["a"; 40].iter().chain(&["b"; 3]).copied().collect::<Vec<_>>());
    let limits = Limits { teach_examples_max: 10, ..Limits::default() };
    let find = || found(&snapshot, sought(Source::Attribute("style".into()), &[]), &limits).expect("found");
    let (first, again) = (find(), find());
    assert_eq!(ids(&first), ids(&again));
    assert_eq!(first.examples.iter().filter(|example| example.label == 0).count(), 10);
    assert_eq!(first.left_out, LeftOut::from([("no_image", 5), ("over_limit", 25)]));
    assert!(ids(&first).is_sorted(), "in an order of their own");
}

#[test]
fn named_examples_count_once_and_contradict_each_other_otherwise() {
    let snapshot = catalogue(&["", "", ""]);
    let limits = Limits::default();
    let shown = vec![photo("x", 1), item("y", "i001"), photo("x", 1), item("x", "i000"), item("y", "i001")];
    let all = found(&snapshot, sought(Source::Examples(shown), &[]), &limits).expect("found");
    assert_eq!(ids(&all), numbered(&[(0, "i000"), (0, "photo 0"), (1, "i001")]));
    let shown = vec![photo("x", 1), item("y", "i001"), photo("y", 1), item("x", "i001"), item(" ", "i002")];
    let refused = found(&snapshot, sought(Source::Examples(shown), &[]), &limits).err().expect("refused");
    let Error::Invalid(violations) = &refused else { panic!("{refused}") };
    let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    let at = |at: usize| format!("examples.examples[{at}].label");
    assert_eq!(fields, [at(2), at(3), at(4)]);
    let shown = vec![item("x", "i000"), item("y", "nobody")];
    let refused = found(&snapshot, sought(Source::Examples(shown), &[]), &limits).err().expect("refused");
    assert!(refused.to_string().contains("there is no item \"nobody\""), "{refused}");
}

#[test]
fn what_cannot_teach_is_refused_before_anything_is_looked_at() {
    let snapshot = catalogue(&["a", "a", "b"]);
    let limits = Limits { teach_labels_max: 2, ..Limits::default() };
    let attribute = || Source::Attribute("style".into());
    let long = catalogue(&["a", &"b".repeat(65)]);
    let many = catalogue(&["a", "b", "c"]);
    let cases = [
        ("one label", &snapshot, sought(attribute(), &["a"]), "2 to 2 are accepted"),
        ("three labels", &snapshot, sought(attribute(), &["a", "b", "c"]), "2 to 2 are accepted"),
        ("one twice", &snapshot, sought(attribute(), &["a", "a"]), "is given twice"),
        ("nobody's", &snapshot, sought(attribute(), &["a", "z"]), "no example with an image is \"z\""),
        ("no label", &snapshot, sought(attribute(), &["a", " z"]), "a label has 1 to 64"),
        (
            "no attribute",
            &snapshot,
            sought(Source::Attribute("stile".into()), &[]),
            "did you mean \"style\"?",
        ),
        ("no field", &snapshot, sought(Source::Field("shap".into()), &[]), "did you mean \"shop\"?"),
        ("a number", &snapshot, sought(Source::Field("price".into()), &[]), "of the kind integer"),
        ("no name", &long, sought(Source::Field("shop".into()), &[]), "cannot be a label"),
        ("too many", &many, sought(attribute(), &[]), "more than 2 labels"),
        ("nothing", &snapshot, sought(Source::Examples(Vec::new()), &[]), "there is none with an image"),
        ("alone", &snapshot, sought(Source::Examples(vec![item("x", "i000")]), &[]), "all are \"x\""),
    ];
    for (case, snapshot, sought, wanted) in cases {
        let refused = found(snapshot, sought, &limits).err().expect(case).to_string();
        assert!(refused.contains(wanted), "{case}: {refused}");
    }
    let abandoned = find(&snapshot, sought(attribute(), &[]), &limits, &|| true).err().expect("nobody waits");
    assert!(matches!(abandoned, Error::Left), "{abandoned}");
}

#[test]
fn ten_thousand_labels_are_too_many_wherever_they_come_from() {
    let labels: Vec<String> = (0..10_000).map(|number| format!("label {number}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let snapshot = catalogue(&labels);
    let named = labels
        .iter()
        .map(|label| Shown { label: (*label).into(), of: ShownOf::Photo(label.as_bytes().to_vec()) });
    let cases = [
        ("label_attribute", sought(Source::Attribute("style".into()), &[])),
        ("field", sought(Source::Field("shop".into()), &[])),
        ("examples", sought(Source::Examples(named.collect()), &[])),
        ("labels", sought(Source::Attribute("style".into()), &labels)),
    ];
    for (field, sought) in cases {
        let refused = found(&snapshot, sought, &Limits::default()).err().expect(field);
        let Error::Invalid(violations) = &refused else { panic!("{field}: {refused}") };
        let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, [field], "{refused}");
    }
}
