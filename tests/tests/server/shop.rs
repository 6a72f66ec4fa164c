//! A shop's catalogue as a model: items with labels and fields of every kind, random filters, and what passes by plain loops.

use lapel_client::{Client, v1};
use lapel_tests::{TestServer, external_bundle};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use v1::field_filter::Condition;
use v1::field_range::{Lower, Upper};
use v1::field_value::Kind;
use v1::filter::Node;

const COLORS: [&str; 3] = ["blue", "green", "red"];
const BRANDS: [&str; 4] = ["acme", "bolt", "cord", "dash"];
const FIELDS: [&str; 6] = ["brand", "price", "since", "sold", "stock", "tags"];

/// An item of the model.
pub(crate) struct Piece {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) fields: BTreeMap<String, v1::FieldValue>,
    pub(crate) signature: Vec<f32>,
}

pub(crate) type Pieces = BTreeMap<String, Piece>;

pub(crate) fn value(kind: Kind) -> v1::FieldValue {
    v1::FieldValue { kind: Some(kind) }
}

pub(crate) fn keyword(text: &str) -> v1::FieldValue {
    value(Kind::Keyword(text.to_owned()))
}

pub(crate) fn keywords(all: &[&str]) -> v1::FieldValue {
    let keywords = all.iter().map(|text| (*text).to_owned()).collect();
    value(Kind::Keywords(v1::KeywordList { keywords }))
}

pub(crate) fn integer(number: i64) -> v1::FieldValue {
    value(Kind::Integer(number))
}

pub(crate) fn number(number: f64) -> v1::FieldValue {
    value(Kind::Number(number))
}

pub(crate) fn moment(micros: i64) -> v1::FieldValue {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).expect("below a second");
    value(Kind::Timestamp(prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }))
}

pub(crate) fn node(node: Node) -> v1::Filter {
    v1::Filter { node: Some(node) }
}

pub(crate) fn all(filters: Vec<v1::Filter>) -> v1::Filter {
    node(Node::All(v1::FilterList { filters }))
}

pub(crate) fn field(field: &str, condition: Condition) -> v1::Filter {
    let condition = Some(condition);
    node(Node::Field(v1::FieldFilter { field: field.to_owned(), condition, allow_unknown: false }))
}

/// A server with one external head, `mood`.
pub(crate) async fn started() -> (TestServer, Client) {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", 4, &["one", "two"])).await.expect("registered");
    (server, client)
}

/// One value of a field, as a condition names it; `FIELDS` has the field.
fn single(field: &str, random: &mut ChaCha8Rng) -> v1::FieldValue {
    match field {
        "price" => number(f64::from(random.random_range(-4_i32..40)) / 4.0),
        "since" => moment(random.random_range(-5..20) * 700_001),
        "sold" => value(Kind::Boolean(random.random_bool(0.5))),
        "stock" => integer(random.random_range(-3..7)),
        _ => keyword(BRANDS.choose(random).expect("some")),
    }
}

pub(crate) fn piece(random: &mut ChaCha8Rng) -> Piece {
    let mut labels = BTreeMap::new();
    if random.random_bool(0.7) {
        labels.insert("color".to_owned(), (*COLORS.choose(random).expect("some")).to_owned());
    }
    let mut fields = BTreeMap::new();
    for field in FIELDS {
        if random.random_bool(0.3) {
            continue;
        }
        let of_item = if field == "tags" {
            let first = random.random_range(0..BRANDS.len());
            let last = random.random_range(first..BRANDS.len());
            keywords(&BRANDS[first..=last])
        } else {
            single(field, random)
        };
        fields.insert(field.to_owned(), of_item);
    }
    let signature = (0..4).map(|_| random.random_range(-1.0..1.0)).collect();
    Piece { labels, fields, signature }
}

pub(crate) fn tree(random: &mut ChaCha8Rng, depth: usize) -> v1::Filter {
    if depth == 0 || random.random_bool(0.3) {
        return match random.random_range(0..10) {
            0 => id_leaf(random),
            1..4 => label_leaf(random),
            _ => field_leaf(random),
        };
    }
    let count = random.random_range(0..4);
    let list = v1::FilterList { filters: (0..count).map(|_| tree(random, depth - 1)).collect() };
    node(match random.random_range(0..3) {
        0 => Node::All(list),
        1 => Node::Any(list),
        _ => Node::None(list),
    })
}

/// Also of ids that no item has.
fn id_leaf(random: &mut ChaCha8Rng) -> v1::Filter {
    let count = random.random_range(1..40);
    let item_ids = (0..count).map(|_| format!("i{:03}", random.random_range(0..200))).collect();
    node(Node::Ids(v1::IdFilter { item_ids }))
}

fn label_leaf(random: &mut ChaCha8Rng) -> v1::Filter {
    let exists = random.random_bool(0.4).then(|| random.random_bool(0.5));
    let count = random.random_range(1..3);
    let labels = (0..count).map(|_| (*COLORS.choose(random).expect("some")).to_owned()).collect();
    let labels = if exists.is_some() { Vec::new() } else { labels };
    node(Node::Label(v1::LabelFilter { attribute: "color".into(), labels, allow_unknown: true, exists }))
}

fn field_leaf(random: &mut ChaCha8Rng) -> v1::Filter {
    let name = *FIELDS.choose(random).expect("some");
    let is_ordered = ["price", "since", "stock"].contains(&name);
    let condition = match random.random_range(0..4) {
        0 => Condition::Exists(random.random_bool(0.5)),
        1 => Condition::Equals(single(name, random)),
        2 if is_ordered => {
            let mut ends = [single(name, random), single(name, random)];
            ends.sort_by_key(measure);
            let [lower, upper] = ends;
            let is_point = lower == upper;
            let closed = is_point || random.random_bool(0.5);
            let lower = if closed { Lower::From(lower) } else { Lower::Above(lower) };
            let closed = is_point || random.random_bool(0.5);
            let upper = if closed { Upper::To(upper) } else { Upper::Below(upper) };
            let one_end = random.random_range(0..4);
            Condition::Range(v1::FieldRange {
                lower: Some(lower).filter(|_| one_end != 0),
                upper: Some(upper).filter(|_| one_end != 1),
            })
        }
        _ => {
            let count = random.random_range(1..4);
            let values = (0..count).map(|_| single(name, random)).collect();
            Condition::AnyOf(v1::FieldValueList { values })
        }
    };
    field(name, condition)
}

/// A number by which values of one ordered kind are ordered.
fn measure(value: &v1::FieldValue) -> i64 {
    match value.kind.as_ref().expect("set") {
        Kind::Integer(number) => *number,
        // Quarters.
        Kind::Number(number) => (number * 4.0) as i64,
        Kind::Timestamp(moment) => moment.seconds * 1_000_000 + i64::from(moment.nanos) / 1000,
        other => panic!("{other:?} has no order"),
    }
}

/// The labels or keywords that a value stands for.
fn words(value: &v1::FieldValue) -> Vec<String> {
    match value.kind.as_ref().expect("set") {
        Kind::Keyword(keyword) => vec![keyword.clone()],
        Kind::Keywords(list) => list.keywords.clone(),
        Kind::Boolean(is_true) => vec![is_true.to_string()],
        other => panic!("{other:?} is no word"),
    }
}

fn is_one_of(value: &v1::FieldValue, wanted: &v1::FieldValue) -> bool {
    match &value.kind {
        Some(Kind::Keywords(_)) => words(value).contains(&words(wanted)[0]),
        _ => value == wanted,
    }
}

pub(crate) fn passes(id: &str, piece: &Piece, filter: &v1::Filter) -> bool {
    let passes = |filter: &v1::Filter| passes(id, piece, filter);
    match filter.node.as_ref().expect("set") {
        Node::All(list) => list.filters.iter().all(passes),
        Node::Any(list) => list.filters.iter().any(passes),
        Node::None(list) => !list.filters.iter().any(passes),
        Node::Label(asked) => {
            let label = piece.labels.get(&asked.attribute);
            match asked.exists {
                Some(exists) => label.is_some() == exists,
                None => label.is_some_and(|label| asked.labels.contains(label)),
            }
        }
        Node::Ids(asked) => asked.item_ids.iter().any(|wanted| wanted == id),
        Node::Predicted(asked) => panic!("the model has no heads: {asked:?}"),
        Node::Field(asked) => {
            let value = piece.fields.get(&asked.field);
            match asked.condition.as_ref().expect("set") {
                Condition::Exists(exists) => value.is_some() == *exists,
                Condition::Equals(wanted) => value.is_some_and(|value| is_one_of(value, wanted)),
                Condition::AnyOf(list) => {
                    value.is_some_and(|value| list.values.iter().any(|wanted| is_one_of(value, wanted)))
                }
                Condition::Range(range) => value.is_some_and(|value| lies_within(measure(value), range)),
            }
        }
    }
}

fn lies_within(at: i64, range: &v1::FieldRange) -> bool {
    let is_above = match &range.lower {
        Some(Lower::From(end)) => at >= measure(end),
        Some(Lower::Above(end)) => at > measure(end),
        None => true,
    };
    let is_below = match &range.upper {
        Some(Upper::To(end)) => at <= measure(end),
        Some(Upper::Below(end)) => at < measure(end),
        None => true,
    };
    is_above && is_below
}

pub(crate) fn facets() -> Vec<v1::FacetRequest> {
    let of_field = |field: &str, values_max, bounds| v1::FacetRequest {
        of: Some(v1::facet_request::Of::Field(field.to_owned())),
        values_max,
        bounds,
        allow_unknown: true,
    };
    let color = v1::facet_request::Of::Attribute("color".to_owned());
    vec![
        v1::FacetRequest { of: Some(color), ..Default::default() },
        of_field("brand", 0, Vec::new()),
        of_field("tags", 2, Vec::new()),
        of_field("sold", 1, Vec::new()),
        of_field("stock", 0, vec![integer(-1), integer(0), integer(4)]),
        of_field("price", 0, vec![number(0.0), number(2.75)]),
        of_field("since", 0, vec![moment(700_001)]),
    ]
}

/// What a facet counts among some items.
pub(crate) fn counted(pieces: &[&Piece], asked: &v1::FacetRequest) -> v1::Facet {
    let mut facet = v1::Facet::default();
    let (mut counts, mut ordered) = (BTreeMap::<String, u64>::new(), Vec::new());
    for piece in pieces {
        let found = match asked.of.as_ref().expect("set") {
            v1::facet_request::Of::Attribute(attribute) => piece.labels.get(attribute).map(|l| keyword(l)),
            v1::facet_request::Of::Field(field) => piece.fields.get(field).cloned(),
        };
        match found {
            None => facet.missing += 1,
            Some(value) if !asked.bounds.is_empty() => ordered.push(value),
            Some(value) => words(&value).into_iter().for_each(|word| *counts.entry(word).or_default() += 1),
        }
    }
    facet.values = counts.len() as u64;
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let most = if asked.values_max == 0 { 20 } else { asked.values_max as usize };
    let counts = counts.into_iter().take(most);
    facet.counts = counts.map(|(value, items)| v1::FacetCount { value, items }).collect();
    ordered.sort_by_key(measure);
    (facet.least, facet.greatest) = (ordered.first().cloned(), ordered.last().cloned());
    if !asked.bounds.is_empty() {
        facet.bucket_counts = vec![0; asked.bounds.len() + 1];
    }
    for value in &ordered {
        let bucket = asked.bounds.iter().filter(|bound| measure(bound) <= measure(value)).count();
        facet.bucket_counts[bucket] += 1;
    }
    facet.of = asked.of.clone().map(|of| match of {
        v1::facet_request::Of::Attribute(attribute) => v1::facet::Of::Attribute(attribute),
        v1::facet_request::Of::Field(field) => v1::facet::Of::Field(field),
    });
    facet
}
