//! Filters, counts and facets: every answer against plain loops over a model of the catalogue, and faults with their paths.

use lapel_client::{Client, v1};
use lapel_tests::{TestServer, by_item, external_bundle};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use v1::field_filter::Condition;
use v1::field_range::{Lower, Upper};
use v1::field_value::Kind;
use v1::filter::Node;

const COLORS: [&str; 3] = ["blue", "green", "red"];
const BRANDS: [&str; 4] = ["acme", "bolt", "cord", "dash"];
const FIELDS: [&str; 6] = ["brand", "price", "since", "sold", "stock", "tags"];

/// An item of the model.
struct Piece {
    labels: BTreeMap<String, String>,
    fields: BTreeMap<String, v1::FieldValue>,
    signature: Vec<f32>,
}

type Pieces = BTreeMap<String, Piece>;

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
        "price" => number(f64::from(random.random_range(-4..40)) / 4.0),
        "since" => moment(random.random_range(-5..20) * 700_001),
        "sold" => value(Kind::Boolean(random.random_bool(0.5))),
        "stock" => integer(random.random_range(-3..7)),
        _ => keyword(BRANDS.choose(random).expect("some")),
    }
}

fn piece(random: &mut ChaCha8Rng) -> Piece {
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

fn tree(random: &mut ChaCha8Rng, depth: usize) -> v1::Filter {
    if depth == 0 || random.random_bool(0.3) {
        return if random.random_bool(0.25) { label_leaf(random) } else { field_leaf(random) };
    }
    let count = random.random_range(0..4);
    let list = v1::FilterList { filters: (0..count).map(|_| tree(random, depth - 1)).collect() };
    node(match random.random_range(0..3) {
        0 => Node::All(list),
        1 => Node::Any(list),
        _ => Node::None(list),
    })
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
            ends.sort_by(|a, b| measure(a).cmp(&measure(b)));
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

fn passes(piece: &Piece, filter: &v1::Filter) -> bool {
    match filter.node.as_ref().expect("set") {
        Node::All(list) => list.filters.iter().all(|filter| passes(piece, filter)),
        Node::Any(list) => list.filters.iter().any(|filter| passes(piece, filter)),
        Node::None(list) => !list.filters.iter().any(|filter| passes(piece, filter)),
        Node::Label(asked) => {
            let label = piece.labels.get(&asked.attribute);
            match asked.exists {
                Some(exists) => label.is_some() == exists,
                None => label.is_some_and(|label| asked.labels.contains(label)),
            }
        }
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

fn facets() -> Vec<v1::FacetRequest> {
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
fn counted(pieces: &[&Piece], asked: &v1::FacetRequest) -> v1::Facet {
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

fn check_facets(found: &[v1::Facet], pieces: &[&Piece], context: &str) {
    let asked = facets();
    assert_eq!(found.len(), asked.len(), "{context}");
    for (found, asked) in found.iter().zip(&asked) {
        let mut wanted = counted(pieces, asked);
        if !asked.bounds.is_empty() {
            // Buckets say more of numbers than how many different ones there are.
            wanted.values = found.values;
        }
        assert_eq!(*found, wanted, "{context}");
    }
}

/// Compares a list, a count, and searches by both scans with the model.
async fn check(client: &mut Client, pieces: &Pieces, filter: &v1::Filter, query: &[f32], context: &str) {
    let passing: Vec<(&String, &Piece)> = pieces.iter().filter(|(_, piece)| passes(piece, filter)).collect();
    let ids: Vec<&String> = passing.iter().map(|(id, _)| *id).collect();
    let of_passing: Vec<&Piece> = passing.iter().map(|(_, piece)| *piece).collect();
    let filter = Some(filter.clone());
    let list = v1::ListItemsRequest { page_size: 1000, filter: filter.clone(), ..Default::default() };
    let list = client.catalog.list_items(list).await.expect("listed").into_inner().items;
    assert_eq!(list.iter().map(|item| &item.id).collect::<Vec<_>>(), ids, "{context}");
    for item in &list {
        assert_eq!(item.fields, pieces[&item.id].fields, "{context}: {}", item.id);
    }
    let count = v1::CountItemsRequest { filter: filter.clone(), facets: facets() };
    let count = client.catalog.count_items(count).await.expect("counted").into_inner();
    assert_eq!((count.items, count.items_total), (ids.len() as u64, pieces.len() as u64), "{context}");
    check_facets(&count.facets, &of_passing, context);
    let signatures = vec![v1::Signature { head: "mood".into(), values: query.to_vec() }];
    let source = Some(v1::query::Source::Signatures(v1::SignatureSet { signatures }));
    let mut nearest = Vec::new();
    for (plan, k) in [
        (v1::PlanKind::ExactScan, 500),
        (v1::PlanKind::CodeScan, 500),
        (v1::PlanKind::ExactScan, 5),
        (v1::PlanKind::CodeScan, 5),
    ] {
        let search = v1::SearchRequest {
            query: Some(v1::Query { source: source.clone() }),
            filter: filter.clone(),
            k,
            plan: plan.into(),
            facets: facets(),
            result_facets: facets(),
            ..Default::default()
        };
        let answer = client.search.search(search).await.expect("answers").into_inner();
        let mut found: Vec<&String> = answer.results.iter().map(|result| &result.item_id).collect();
        let results: Vec<&Piece> = found.iter().map(|id| &pieces[*id]).collect();
        check_facets(&answer.facets, &of_passing, context);
        check_facets(&answer.result_facets, &results, context);
        assert_eq!(answer.items_passing, ids.len() as u64, "{context}");
        let distances: Vec<f64> = answer.results.iter().map(|result| result.distance).collect();
        if nearest.is_empty() {
            nearest.clone_from(&distances);
        }
        let wanted = ids.len().min(k as usize);
        assert_eq!(distances.len(), wanted, "{context}: {plan:?}");
        let same = |(found, wanted): (&f64, &f64)| (found - wanted).abs() < 1e-6;
        assert!(distances.iter().zip(&nearest).all(same), "{context}: {plan:?}: {distances:?}, {nearest:?}");
        if wanted == ids.len() {
            found.sort();
            assert_eq!(found, ids, "{context}: {plan:?}");
        }
    }
}

#[tokio::test]
async fn lists_counts_searches_and_facets_are_those_of_plain_loops() {
    let (server, mut client) = started().await;
    let mut pieces = Pieces::new();
    for seed in 0..3 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // From the second round on, items are replaced and some are deleted.
        let ids: Vec<String> = pieces.keys().filter(|_| random.random_bool(0.3)).cloned().collect();
        if !ids.is_empty() {
            ids.iter().for_each(|id| drop(pieces.remove(id)));
            let deleted = v1::DeleteItemsRequest { ids, ..Default::default() };
            client.catalog.delete_items(deleted).await.expect("deleted");
        }
        let mut messages = Vec::new();
        for _ in 0..100 {
            let (id, piece) = (format!("i{:03}", random.random_range(0..150)), piece(&mut random));
            if messages.iter().any(|message: &v1::UpsertItemsRequest| message.id == id) {
                continue;
            }
            messages.push(v1::UpsertItemsRequest {
                id: id.clone(),
                labels: piece.labels.clone(),
                fields: piece.fields.clone(),
                signatures: vec![v1::Signature { head: "mood".into(), values: piece.signature.clone() }],
                ..Default::default()
            });
            pieces.insert(id, piece);
        }
        let results = client.upsert(messages).await.expect("stored");
        assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
        for round in 0..25 {
            let filter = tree(&mut random, 3);
            let query: Vec<f32> = (0..4).map(|_| random.random_range(-1.0..1.0)).collect();
            let context = format!("seed {seed}, round {round}, {filter:?}");
            check(&mut client, &pieces, &filter, &query, &context).await;
        }
    }
    server.finish().await;
}

/// The code of a refusal and the fields that it tells.
pub(crate) fn told(status: &Status) -> (Code, Vec<String>) {
    let bad = status.get_error_details().bad_request().map(|bad| bad.field_violations.clone());
    let fields = bad.unwrap_or_default().into_iter().map(|violation| violation.field).collect();
    (status.code(), fields)
}

#[tokio::test]
async fn every_method_tells_the_path_of_each_bad_node() {
    let (server, mut client) = started().await;
    let item = |id: &str| v1::UpsertItemsRequest {
        id: id.into(),
        fields: [("price".to_owned(), number(3.0))].into(),
        signatures: vec![v1::Signature { head: "mood".into(), values: vec![1.0; 4] }],
        ..Default::default()
    };
    client.upsert(vec![item("a"), item("b")]).await.expect("stored");
    let wrong = v1::FieldRange { lower: Some(Lower::From(keyword("cheap"))), upper: None };
    let filter = Some(all(vec![
        field("price", Condition::Exists(true)),
        node(Node::Any(v1::FilterList { filters: vec![field("price", Condition::Range(wrong))] })),
        field("prise", Condition::Exists(true)),
        v1::Filter::default(),
    ]));
    let paths = ["filter.all[1].any[0].field.range.from", "filter.all[2].field.field", "filter.all[3]"];
    let search = v1::SearchRequest { filter: filter.clone(), ..by_item("a", 1) };
    let search = client.search.search(search).await.expect_err("refused");
    let picked_ids = vec!["a".to_owned(), "b".to_owned()];
    let picks = v1::PersonaliseRequest { picked_ids, k: 1, filter: filter.clone(), ..Default::default() };
    let picks = client.feedback.personalise(picks).await.expect_err("refused");
    let list = v1::ListItemsRequest { page_size: 1, filter: filter.clone(), ..Default::default() };
    let list = client.catalog.list_items(list).await.expect_err("refused");
    let count = v1::CountItemsRequest { filter: filter.clone(), facets: Vec::new() };
    let count = client.catalog.count_items(count).await.expect_err("refused");
    let delete = v1::DeleteItemsByFilterRequest { filter, dry_run: true, ..Default::default() };
    let delete = client.catalog.delete_items_by_filter(delete).await.expect_err("refused");
    for (method, status) in
        [("search", search), ("picks", picks), ("list", list), ("count", count), ("delete", delete)]
    {
        let (code, fields) = told(&status);
        assert_eq!((code, fields), (Code::InvalidArgument, paths.map(str::to_owned).to_vec()), "{method}");
    }
    // A name alone that is not there is told with those that there are, also in a facet.
    let facet = v1::FacetRequest {
        of: Some(v1::facet_request::Of::Field("prise".into())),
        ..v1::FacetRequest::default()
    };
    let count = v1::CountItemsRequest { filter: None, facets: vec![facet.clone()] };
    let status = client.catalog.count_items(count).await.expect_err("refused");
    assert_eq!(told(&status), (Code::NotFound, vec!["facets[0].field".to_owned()]));
    assert!(status.message().contains("\"price\""), "{status:?}");
    let search = v1::SearchRequest { result_facets: vec![facet], ..by_item("a", 1) };
    let status = client.search.search(search).await.expect_err("refused");
    assert_eq!(told(&status), (Code::NotFound, vec!["result_facets[0].field".to_owned()]));
    server.finish().await;
}
