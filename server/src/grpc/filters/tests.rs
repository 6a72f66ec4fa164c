use super::super::facets;
use super::*;
use crate::catalogue::{Column, Precision};
use crate::error::Fault;
use crate::store::{ItemChange, ItemRecord};
use crate::testing::{external_head, network_head};
use lapel_heads::{Attribute, Manifest};
use lapel_search::{FacetCounts, FacetOf};
use lapel_values::{FieldKind, Fields, Finite, Labels};

/// One item: blue, of a brand, with a price. `stock` is declared and nowhere set.
fn shop() -> (Snapshot, Config) {
    let mut snapshot = Snapshot::default();
    let record = ItemRecord {
        labels: Labels::from([("color".to_owned(), "blue".to_owned())]),
        fields: Fields::from([
            ("brand".to_owned(), FieldValue::Keyword("acme".into())),
            ("price".to_owned(), FieldValue::Integer(30)),
        ]),
        image: None,
        parts_case: None,
        updated_ms: 0,
        more_images: Vec::new(),
    };
    let put = ItemChange::Put {
        id: "a".into(),
        record,
        images: Vec::new(),
        signatures: Vec::new(),
        pictures: Vec::new(),
        replaces: Some(1),
    };
    snapshot.apply(&[put]);
    let mut config = Config::default();
    config.catalog.fields.insert("stock".into(), FieldKind::Boolean);
    config.catalog.fields.insert("tags".into(), FieldKind::Keywords);
    (snapshot, config)
}

fn node(node: Node) -> v1::Filter {
    v1::Filter { node: Some(node) }
}

fn list(filters: Vec<v1::Filter>) -> v1::FilterList {
    v1::FilterList { filters }
}

fn field(field: &str, condition: Condition) -> v1::Filter {
    let condition = Some(condition);
    node(Node::Field(v1::FieldFilter { field: field.into(), condition, allow_unknown: false }))
}

fn label(attribute: &str, labels: &[&str], exists: Option<bool>) -> v1::LabelFilter {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    v1::LabelFilter { attribute: attribute.into(), labels, allow_unknown: false, exists }
}

fn predicted(labels: &[&str], probability_min: Option<f32>) -> v1::PredictedFilter {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    v1::PredictedFilter { attribute: "mood".into(), labels, probability_min, allow_unknown: false }
}

fn integer(number: i64) -> v1::FieldValue {
    v1::FieldValue { kind: Some(v1::field_value::Kind::Integer(number)) }
}

fn keyword(text: &str) -> v1::FieldValue {
    v1::FieldValue { kind: Some(v1::field_value::Kind::Keyword(text.into())) }
}

fn within(lower: Option<Lower>, upper: Option<Upper>) -> Condition {
    Condition::Range(v1::FieldRange { lower, upper })
}

/// The filter of a tree, and the faults of it with their paths.
fn read(tree: v1::Filter) -> (Filter, Vec<(String, String)>) {
    let ((snapshot, config), mut faults) = (shop(), Faults::default());
    let filter = filter(&snapshot, &config, Vec::new(), Some(tree), &mut faults);
    (filter, told(&faults))
}

fn told(faults: &Faults) -> Vec<(String, String)> {
    faults.all().iter().map(|fault: &Fault| (fault.field().to_owned(), fault.description())).collect()
}

/// No fault.
fn none() -> Vec<(String, String)> {
    Vec::new()
}

#[test]
fn a_tree_becomes_the_filter_that_it_describes() {
    let tree = node(Node::All(list(vec![
        node(Node::Label(label("color", &["blue"], None))),
        node(Node::Label(label("color", &[], Some(false)))),
        node(Node::Any(list(vec![field("brand", Condition::Equals(keyword("nobody's")))]))),
        node(Node::None(list(vec![field("tags", Condition::Equals(keyword("sale")))]))),
        field("price", within(Some(Lower::Above(integer(5))), Some(Upper::To(integer(6))))),
        field("stock", Condition::Exists(true)),
    ])));
    let (filter, faults) = read(tree);
    assert_eq!(faults, none());
    let values = |field: &str, keyword: &str| Filter::Field {
        field: field.into(),
        any_of: vec![FieldValue::Keyword(keyword.into())],
    };
    let color = || "color".to_owned();
    let wanted = Filter::All(vec![
        Filter::Label { attribute: color(), any_of: vec!["blue".into()] },
        Filter::None(vec![Filter::HasLabel { attribute: color() }]),
        Filter::Any(vec![values("brand", "nobody's")]),
        Filter::None(vec![values("tags", "sale")]),
        Filter::Range {
            field: "price".into(),
            from: Bound::Excluded(FieldValue::Integer(5)),
            to: Bound::Included(FieldValue::Integer(6)),
        },
        Filter::HasField { field: "stock".into() },
    ]);
    assert_eq!(filter, wanted);
}

#[test]
fn every_bad_node_is_told_with_its_path() {
    let price = |condition| field("price", condition);
    let cases: Vec<(v1::Filter, &str, &str)> = vec![
        (v1::Filter { node: None }, "", "set one of all"),
        (node(Node::Label(label("", &["x"], None))), ".label", "name an attribute"),
        (node(Node::Label(label("color", &[], None))), ".label", "labels"),
        (node(Node::Label(label("color", &["blue"], Some(true)))), ".label", "not both"),
        (node(Node::Label(label("colour", &["blue"], None))), ".label.attribute", "\"color\"?"),
        (node(Node::Label(label("color", &["blue", "blur"], None))), ".label.labels[1]", "\"blue\"?"),
        (field("", Condition::Exists(true)), ".field", "name a field"),
        (
            node(Node::Field(v1::FieldFilter { field: "price".into(), ..Default::default() })),
            ".field",
            "set one of equals",
        ),
        (field("prise", Condition::Exists(true)), ".field.field", "brand, price, stock, tags"),
        (
            price(Condition::Equals(keyword("cheap"))),
            ".field.equals",
            "price is an integer; \"cheap\" is a keyword",
        ),
        (
            price(Condition::AnyOf(v1::FieldValueList { values: vec![integer(1), keyword("x")] })),
            ".field.any_of[1]",
            "\"x\" is a keyword",
        ),
        (price(Condition::AnyOf(v1::FieldValueList::default())), ".field.any_of", "at least one"),
        (
            field("stock", Condition::Equals(integer(1))),
            ".field.equals",
            "stock is a boolean; 1 is an integer",
        ),
        (field("tags", Condition::Equals(integer(1))), ".field.equals", "tags is a list of keywords"),
        (price(within(None, None)), ".field.range", "at least one end"),
        (price(within(Some(Lower::From(keyword("a"))), None)), ".field.range.from", "is a keyword"),
        (price(within(None, Some(Upper::Below(keyword("a"))))), ".field.range.below", "is a keyword"),
        (
            price(within(Some(Lower::From(integer(10))), Some(Upper::To(integer(5))))),
            ".field.range",
            "the range is empty: from 10 to 5",
        ),
        (
            price(within(Some(Lower::Above(integer(5))), Some(Upper::To(integer(5))))),
            ".field.range",
            "the range is empty: above 5 to 5",
        ),
        (
            field("brand", within(Some(Lower::From(keyword("a"))), None)),
            ".field.range",
            "brand is a keyword; ranges are for",
        ),
    ];
    for (bad, path, text) in cases {
        // Beside nodes that are sound, and below others.
        let sound = price(Condition::Exists(true));
        let any = node(Node::Any(list(vec![bad.clone()])));
        let tree = node(Node::All(list(vec![sound, any])));
        let (_, faults) = read(tree);
        let [(told, description)] = faults.as_slice() else { panic!("{bad:?}: {faults:?}") };
        assert_eq!(*told, format!("filter.all[1].any[0]{path}"), "{bad:?}");
        assert!(description.contains(text), "{text} is not in {description}");
    }
}

#[test]
fn a_tree_has_a_largest_size_and_depth() {
    let exists = || field("price", Condition::Exists(true));
    let (_, faults) = read(node(Node::All(list(vec![exists(); 255]))));
    assert_eq!(faults, none());
    let (filter, faults) = read(node(Node::All(list(vec![exists(); 256]))));
    assert_eq!(filter, Filter::default());
    let text = "there are 257 nodes; at most 256 are accepted".to_owned();
    assert_eq!(faults, [("filter".to_owned(), text)]);
    let values = |count| Condition::AnyOf(v1::FieldValueList { values: vec![integer(1); count] });
    let tree =
        |more| node(Node::Any(list(vec![field("price", values(9_999)), field("price", values(more))])));
    assert_eq!(read(tree(1)).1, none());
    let text = "there are 10001 values; at most 10000 are accepted".to_owned();
    assert_eq!(read(tree(2)).1, [("filter".to_owned(), text)]);
    let nested = |depth: usize| (1..depth).fold(exists(), |tree, _| node(Node::None(list(vec![tree]))));
    assert_eq!(read(nested(16)).1, none());
    for depth in [17, 200] {
        let faults = read(nested(depth)).1;
        let [(path, text)] = faults.as_slice() else { panic!("{faults:?}") };
        assert_eq!(*path, format!("filter{}", ".none[0]".repeat(16)));
        assert!(text.contains("17 deep") && text.contains("at most 16"), "{text}");
    }
}

#[test]
fn what_is_not_there_is_accepted_where_the_filter_says_so() {
    let unknown = |condition| {
        let condition = Some(condition);
        node(Node::Field(v1::FieldFilter { field: "size".into(), condition, allow_unknown: true }))
    };
    let any = |values| Condition::AnyOf(v1::FieldValueList { values });
    assert_eq!(read(unknown(any(vec![integer(1), integer(2)]))).1, none());
    assert_eq!(read(unknown(within(Some(Lower::From(integer(1))), None))).1, none());
    let several = read(unknown(any(vec![integer(1), keyword("l")]))).1;
    let text = "the first value is an integer; \"l\" is a keyword".to_owned();
    assert_eq!(several, [("filter.field.any_of[1]".to_owned(), text)]);
    let unordered = read(unknown(within(Some(Lower::From(keyword("l"))), None))).1;
    assert!(unordered[0].1.contains("ranges are for"), "{unordered:?}");
    // Values that no item has are no slip.
    assert_eq!(read(field("brand", Condition::Equals(keyword("nobody's")))).1, none());
}

#[test]
fn the_list_and_the_tree_must_both_pass() {
    let ((snapshot, config), mut faults) = (shop(), Faults::default());
    let listed = vec![label("color", &["blue"], None), label("color", &[], Some(true))];
    let tree = field("price", Condition::Exists(true));
    let filter = filter(&snapshot, &config, listed, Some(tree), &mut faults);
    assert_eq!(told(&faults), none());
    let wanted = Filter::All(vec![
        Filter::Label { attribute: "color".into(), any_of: vec!["blue".into()] },
        Filter::HasLabel { attribute: "color".into() },
        Filter::HasField { field: "price".into() },
    ]);
    assert_eq!(filter, wanted);
}

fn of_field(field: &str, bounds: Vec<v1::FieldValue>) -> v1::FacetRequest {
    let of = Some(v1::facet_request::Of::Field(field.into()));
    v1::FacetRequest { of, bounds, ..Default::default() }
}

fn of_attribute(attribute: &str) -> v1::FacetRequest {
    let of = Some(v1::facet_request::Of::Attribute(attribute.into()));
    v1::FacetRequest { of, ..Default::default() }
}

#[test]
fn facets_are_taken_with_their_defaults() {
    let ((snapshot, config), mut faults) = (shop(), Faults::default());
    let given = vec![
        of_attribute("color"),
        v1::FacetRequest { values_max: 3, ..of_field("brand", Vec::new()) },
        of_field("price", vec![integer(1), integer(2)]),
        v1::FacetRequest { allow_unknown: true, ..of_field("size", Vec::new()) },
    ];
    let found = facets::requests(&snapshot, &config, "facets", given, &mut faults);
    assert_eq!(told(&faults), none());
    let found: Vec<(&str, usize, usize)> = found
        .iter()
        .map(|(of, most)| match of {
            FacetOf::Attribute(attribute) => (attribute.as_str(), 0, *most),
            FacetOf::Field { field, bounds } => (field.as_str(), bounds.len(), *most),
        })
        .collect();
    assert_eq!(found, [("color", 0, 20), ("brand", 0, 3), ("price", 2, 20), ("size", 0, 20)]);
}

#[test]
fn every_bad_facet_is_told_with_its_path() {
    let cases = [
        (v1::FacetRequest::default(), "", "set one of attribute and field"),
        (of_attribute(""), "", "name an attribute"),
        (of_field("", Vec::new()), "", "name a field"),
        (of_attribute("colour"), ".attribute", "\"color\"?"),
        (of_field("prise", Vec::new()), ".field", "\"price\"?"),
        (of_field("price", Vec::new()), ".bounds", "price is an integer; give ascending bounds"),
        (of_field("price", vec![integer(2), integer(2)]), ".bounds[1]", "ascend"),
        (of_field("price", vec![integer(2), keyword("x")]), ".bounds[1]", "\"x\" is a keyword"),
        (of_field("price", vec![integer(2); 1001]), ".bounds", "at most 1000"),
        (of_field("brand", vec![keyword("a")]), ".bounds", "bounds are for integers"),
        (v1::FacetRequest { bounds: vec![integer(1)], ..of_attribute("color") }, ".bounds", "no order"),
        (v1::FacetRequest { values_max: 1001, ..of_attribute("color") }, ".values_max", "up to 1000"),
    ];
    for (bad, path, text) in cases {
        let ((snapshot, config), mut faults) = (shop(), Faults::default());
        let given = vec![of_attribute("color"), bad.clone()];
        facets::requests(&snapshot, &config, "facets", given, &mut faults);
        let faults = told(&faults);
        let [(told, description)] = faults.as_slice() else { panic!("{bad:?}: {faults:?}") };
        assert_eq!(*told, format!("facets[1]{path}"), "{bad:?}");
        assert!(description.contains(text), "{text} is not in {description}");
    }
    let ((snapshot, config), mut faults) = (shop(), Faults::default());
    facets::requests(&snapshot, &config, "facets", vec![of_attribute("color"); 51], &mut faults);
    let text = "there are 51; at most 50 are accepted".to_owned();
    assert_eq!(told(&faults), [("facets".to_owned(), text)]);
}

#[test]
fn buckets_of_a_field_that_no_item_has_are_zeros() {
    let bounds = vec![FieldValue::Integer(1), FieldValue::Integer(2)];
    let counts = || FacetCounts {
        counts: Vec::new(),
        values: 0,
        missing: 4,
        least: None,
        greatest: None,
        buckets: Vec::new(),
    };
    let told = facets::answer(&FacetOf::Field { field: "size".into(), bounds }, counts());
    assert_eq!((told.bucket_counts, told.missing), (vec![0; 3], 4));
    let told = facets::answer(&FacetOf::Attribute("color".into()), counts());
    assert!(told.bucket_counts.is_empty() && told.least.is_none());
    assert_eq!(told.of, Some(v1::facet::Of::Attribute("color".into())));
}

#[test]
fn conditions_on_predicted_labels_name_what_heads_predict() {
    let (mut snapshot, config) = shop();
    let labels = ["calm", "wild"].map(str::to_owned).to_vec();
    let mood = Manifest::external("mood", 2, vec![Attribute { name: "mood".into(), labels }]);
    for (key, head) in [("m", network_head(mood)), ("s", external_head("style", 2, &["long"]))] {
        snapshot.add_reserve(Column::new(key, head, Precision::F32));
        assert!(snapshot.activate(key));
    }
    let read = |given: v1::PredictedFilter| {
        let mut faults = Faults::default();
        let tree = Some(node(Node::Predicted(given)));
        (filter(&snapshot, &config, Vec::new(), tree, &mut faults), told(&faults))
    };
    for (given, least) in [(None, None), (Some(0.75), Finite::new(0.75)), (Some(0.0), Finite::new(0.0))] {
        let wanted = Filter::Predicted { attribute: "mood".into(), any_of: vec!["wild".into()], least };
        assert_eq!(read(predicted(&["wild"], given)), (Filter::All(vec![wanted]), none()));
    }
    let of =
        |attribute: &str| v1::PredictedFilter { attribute: attribute.into(), ..predicted(&["long"], None) };
    for (bad, path, text) in [
        (predicted(&[], None), "", "1 to 10000 labels"),
        (of(""), "", "name an attribute"),
        (predicted(&["wild"], Some(1.5)), ".probability_min", "0 to 1"),
        (predicted(&["wild"], Some(-0.5)), ".probability_min", "0 to 1"),
        (predicted(&["wild"], Some(f32::NAN)), ".probability_min", "0 to 1"),
        (of("moood"), ".attribute", "mood"),
        (of("color"), ".attribute", "no predicted attribute"),
        (of("style"), ".attribute", "no classifier"),
        (predicted(&["wild", "wilt"], None), ".labels[1]", "wild"),
    ] {
        let (_, faults) = read(bad.clone());
        let [(told, description)] = faults.as_slice() else { panic!("{bad:?}: {faults:?}") };
        assert_eq!(*told, format!("filter.predicted{path}"), "{bad:?}");
        assert!(description.contains(text), "{text} is not in {description}");
    }
    for attribute in ["moood", "style", "mood"] {
        assert_eq!(read(v1::PredictedFilter { allow_unknown: true, ..of(attribute) }).1, none());
    }
    let tree = node(Node::None(list(vec![node(Node::Predicted(of("a"))), node(Node::Predicted(of("b")))])));
    let asked: Vec<String> = super::super::predicted::attributes([&tree, &tree]).into_iter().collect();
    assert_eq!(asked, ["a", "b"]);
}
