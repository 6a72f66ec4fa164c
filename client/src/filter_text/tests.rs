use super::*;
use crate::fields::show_value;
use crate::v1::FieldKind;
use crate::v1::field_filter::Condition;
use crate::v1::field_range::{Lower, Upper};

fn known() -> Known {
    let fields = [
        ("in_stock", FieldKind::Boolean),
        ("price", FieldKind::Number),
        ("pieces", FieldKind::Integer),
        ("brand", FieldKind::Keyword),
        ("tags", FieldKind::Keywords),
        ("since", FieldKind::Timestamp),
        ("two words", FieldKind::Keyword),
        ("length", FieldKind::Number),
    ];
    Known {
        fields: fields.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect(),
        attributes: ["color", "length"].map(str::to_owned).into(),
    }
}

/// A filter as the protocol's words have it.
fn shown(filter: &v1::Filter) -> String {
    let list = |of: &str, list: &v1::FilterList| {
        format!("{of}[{}]", list.filters.iter().map(shown).collect::<Vec<_>>().join(", "))
    };
    match filter.node.as_ref().expect("set") {
        Node::All(of) => list("all", of),
        Node::Any(of) => list("any", of),
        Node::None(of) => list("none", of),
        Node::Label(v1::LabelFilter { attribute, labels, allow_unknown, exists }) => {
            assert!(!allow_unknown);
            format!(
                "label {attribute} {}",
                exists.map_or(labels.join("/"), |exists| format!("exists {exists}"))
            )
        }
        Node::Predicted(v1::PredictedFilter { attribute, labels, probability_min, allow_unknown }) => {
            assert!(!allow_unknown);
            let least = probability_min.map(|least| format!(" from {least}")).unwrap_or_default();
            format!("predicted {attribute} {}{least}", labels.join("/"))
        }
        Node::Ids(v1::IdFilter { item_ids }) => format!("id {}", item_ids.join("/")),
        Node::Field(v1::FieldFilter { field, condition, allow_unknown }) => {
            assert!(!allow_unknown);
            format!("field {field} {}", condition_shown(condition.as_ref().expect("set")))
        }
    }
}

fn condition_shown(condition: &Condition) -> String {
    match condition {
        Condition::Equals(value) => format!("is {}", show_value(value)),
        Condition::AnyOf(list) => {
            format!("is {}", list.values.iter().map(show_value).collect::<Vec<_>>().join("/"))
        }
        Condition::Exists(exists) => format!("exists {exists}"),
        Condition::Range(v1::FieldRange { lower, upper }) => match (lower, upper) {
            (Some(Lower::From(value)), None) => format!("from {}", show_value(value)),
            (Some(Lower::Above(value)), None) => format!("above {}", show_value(value)),
            (None, Some(Upper::To(value))) => format!("to {}", show_value(value)),
            (None, Some(Upper::Below(value))) => format!("below {}", show_value(value)),
            other => panic!("{other:?}"),
        },
    }
}

#[test]
fn filters_are_read_as_they_are_meant() {
    for (text, meant) in [
        (
            "in_stock = true and price < 50 and not (brand in (\"acme\", \"x y\")) and color = red",
            "all[field in_stock is true, field price below 50, none[field brand is acme/x y], label color red]",
        ),
        ("id = g1 or item.id not in (g2, \"g 3\")", "any[id g1, none[id g2/g 3]]"),
        (
            "color=red or color = blue AND price>=1.5",
            "any[label color red, all[label color blue, field price from 1.5]]",
        ),
        (
            "(color = red or color = blue) and pieces > -1",
            "all[any[label color red, label color blue], field pieces above -1]",
        ),
        ("not not exists brand", "none[none[field brand exists true]]"),
        ("missing color and missing tags", "all[label color exists false, field tags exists false]"),
        ("tags in (summer, 'linen')", "field tags is summer/linen"),
        ("tags = \"a|b\"", "field tags is a|b"),
        ("brand != acme", "none[field brand is acme]"),
        ("color not in (red, v-neck, 3/4)", "none[label color red/v-neck/3/4]"),
        (
            "since <= 2026-11-30 and since > 2026-01-01T00:00:00+01:00",
            "all[field since to 2026-11-30T00:00:00Z, field since above 2025-12-31T23:00:00Z]",
        ),
        ("\"two words\" = 'don\\'t \\\\ \"x\"'", "field two words is don't \\ \"x\""),
        ("field.\"two words\" = \"and\"", "field two words is and"),
        ("length < 3 and label.length = midi", "all[field length below 3, label length midi]"),
        ("label.mood = calm", "label mood calm"),
        ("brand = Größe", "field brand is Größe"),
        ("((price <= 5))", "field price to 5"),
        ("predicted.mood = calm and brand = a@b", "all[predicted mood calm, field brand is a@b]"),
        ("predicted.mood in (calm, \"very wild\") @ 0.8", "predicted mood calm/very wild from 0.8"),
        ("color = red or predicted.color = red @1", "any[label color red, predicted color red from 1]"),
        ("predicted.\"two words\" != calm @ 0", "none[predicted two words calm from 0]"),
    ] {
        let filter = parse(text, &known()).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(shown(&filter), meant, "{text}");
    }
}

#[test]
fn a_fault_points_at_its_place_and_says_what_is_expected() {
    for (text, at, what) in [
        ("", 0, "expected the name"),
        ("price", 5, "expected =, !="),
        ("price <", 7, "expected a value"),
        ("price < and", 8, "must stand in quotes"),
        ("price < 5,5", 9, "`and`, `or` or the end"),
        ("price < cheap", 8, "price is a field of the kind number: \"cheap\" is not a number"),
        ("pieces = 1.5", 9, "a whole number"),
        ("in_stock = yes", 11, "true or false"),
        ("since > yesterday", 8, "a moment"),
        ("brand < acme", 6, "has no order; expected =, != or in"),
        ("color >= red", 6, "color is an attribute"),
        ("colour = red", 0, "neither a field nor an attribute"),
        ("field.color = red", 0, "there is no field \"color\""),
        ("field. brand = acme", 7, "expected the name"),
        ("brand in acme", 9, "expected ("),
        ("brand in (acme", 14, "expected , or )"),
        ("brand in ()", 10, "expected a value"),
        ("brand not = acme", 10, "expected `in`"),
        ("(price < 5", 10, "`and`, `or` or )"),
        ("price < 5)", 9, "`and`, `or` or the end"),
        ("brand = \"acme", 8, "never closed"),
        ("brand = \"a\\nb\"", 8, "backslash"),
        ("!(price < 5)", 0, "`not`"),
        ("brand = Größe ß", 14, "`and`, `or` or the end"),
        ("price < 5 price > 2", 10, "`and`, `or` or the end"),
        ("exists", 6, "expected the name"),
        ("exists predicted.mood", 7, "takes =, != or in"),
        ("predicted.mood > 0.5", 15, "expected =, != or in"),
        ("predicted.mood = calm @ 80", 24, "no probability"),
        ("predicted.mood = calm @", 23, "expected a value"),
        ("color = red @ 0.8", 12, "`and`, `or` or the end"),
    ] {
        let fault = parse(text, &known()).expect_err(text);
        assert_eq!(fault.column(), at, "{fault}");
        assert!(fault.to_string().contains(what), "{fault}");
        assert!(fault.to_string().ends_with(&format!("\n  {text}\n  {}^", " ".repeat(at))), "{fault}");
    }
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("(", ")"), ("not ", "")] {
        let nested = |depth: usize| format!("{}price < 5{}", open.repeat(depth), close.repeat(depth));
        assert!(parse(&nested(DEPTH_MAX), &known()).is_ok());
        let fault = parse(&nested(100_000), &known()).expect_err("too deep");
        assert!(fault.to_string().contains("within one another"));
    }
}
