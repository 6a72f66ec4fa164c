//! Fields of the model's items: random updates of them, and what passes filters.

use super::{ModelItem, ModelItems};
use lapel_client::{Client, v1};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Fields of the model's items.
const FIELDS: [&str; 5] = ["brand", "price", "sold", "stock", "tags"];

/// A random value of some fields, or none of them; each field has one kind.
pub(super) fn random_update(random: &mut ChaCha8Rng) -> BTreeMap<String, Option<v1::FieldValue>> {
    use v1::field_value::Kind;
    let mut update = BTreeMap::new();
    for name in FIELDS {
        let keyword =
            |random: &mut ChaCha8Rng| ["acme", "north", "west"][random.random_range(0..3)].to_owned();
        let kind = match name {
            "price" => Kind::Number(f64::from(random.random_range(0..10_000)) / 100.0),
            "stock" => Kind::Integer(random.random_range(-1..50)),
            "sold" => Kind::Boolean(random.random()),
            "tags" => Kind::Keywords(v1::KeywordList { keywords: vec![keyword(random)] }),
            _ => Kind::Keyword(keyword(random)),
        };
        let value = random.random_bool(0.8).then_some(v1::FieldValue { kind: Some(kind) });
        if random.random_bool(0.6) {
            update.insert(name.to_owned(), value);
        }
    }
    if update.is_empty() { BTreeMap::from([("price".to_owned(), None)]) } else { update }
}

/// Compares what passes a range of prices and a brand with the model, item by item.
pub(super) async fn check(client: &mut Client, items: &ModelItems, random: &mut ChaCha8Rng, context: &str) {
    use v1::field_filter::Condition;
    use v1::field_value::Kind;
    use v1::filter::Node;
    let most = f64::from(random.random_range(0..10_000)) / 100.0;
    let value = |kind| v1::FieldValue { kind: Some(kind) };
    let node = |field: &str, condition| v1::Filter {
        node: Some(Node::Field(v1::FieldFilter {
            field: field.to_owned(),
            condition: Some(condition),
            allow_unknown: true,
        })),
    };
    let upper = Some(v1::field_range::Upper::Below(value(Kind::Number(most))));
    let cheap = node("price", Condition::Range(v1::FieldRange { lower: None, upper }));
    let acme = node("brand", Condition::Equals(value(Kind::Keyword("acme".into()))));
    let acme = v1::Filter { node: Some(Node::None(v1::FilterList { filters: vec![acme] })) };
    let filter = v1::Filter { node: Some(Node::All(v1::FilterList { filters: vec![cheap, acme] })) };
    let passes = |item: &ModelItem| {
        let kind = |name: &str| item.fields.get(name).and_then(|value| value.kind.clone());
        matches!(kind("price"), Some(Kind::Number(price)) if price < most)
            && kind("brand") != Some(Kind::Keyword("acme".into()))
    };
    let wanted: Vec<&String> = items.iter().filter(|(_, item)| passes(item)).map(|(id, _)| id).collect();
    let request = v1::CountItemsRequest { filter: Some(filter.clone()), facets: Vec::new() };
    let counted = client.catalog.count_items(request).await.expect("counted").into_inner();
    assert_eq!((counted.items, counted.items_total), (wanted.len() as u64, items.len() as u64), "{context}");
    let page = v1::ListItemsRequest { filter: Some(filter), page_size: 1000, ..Default::default() };
    let listed = client.catalog.list_items(page).await.expect("listed").into_inner();
    let found: Vec<&String> = listed.items.iter().map(|item| &item.id).collect();
    let most = found.len().min(wanted.len());
    assert_eq!(found[..most], wanted[..most], "{context}: what passes");
    assert!(found.len() == wanted.len() || !listed.next_page_token.is_empty(), "{context}");
}
