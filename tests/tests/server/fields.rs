//! Fields of items: kinds, writes of parts, deletion by filter, and what lasts.

use crate::shop::{all, field, integer, keyword, keywords, moment, number, started, value};
use lapel_client::{Client, v1};
use lapel_render::render;
use lapel_tests::model::exported;
use lapel_tests::{TestServer, by_item, external_bundle};
use std::collections::BTreeMap;
use tonic::Code;
use tonic_types::StatusExt;
use v1::field_filter::Condition;
use v1::field_range::Upper;
use v1::field_value::Kind;

type Fields = BTreeMap<String, v1::FieldValue>;

fn fields(of_item: &[(&str, v1::FieldValue)]) -> Fields {
    of_item.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn item(id: &str, of_item: &[(&str, v1::FieldValue)]) -> v1::UpsertItemsRequest {
    v1::UpsertItemsRequest {
        id: id.to_owned(),
        labels: [("color".to_owned(), "red".to_owned())].into(),
        fields: fields(of_item),
        signatures: vec![v1::Signature { head: "mood".into(), values: vec![1.0, 0.0, 0.0, 0.0] }],
        ..Default::default()
    }
}

/// What is stored of an item.
async fn stored(client: &mut Client, id: &str) -> v1::Item {
    let item = client.catalog.get_item(v1::GetItemRequest { id: id.to_owned() }).await.expect("there");
    item.into_inner().item.expect("told")
}

/// Stores items, none of which may be refused.
async fn store(client: &mut Client, items: Vec<v1::UpsertItemsRequest>) {
    let results = client.upsert(items).await.expect("answered");
    assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
}

/// Sends one item that is refused, and gives the code and the words.
async fn refused(client: &mut Client, item: v1::UpsertItemsRequest) -> (Code, String) {
    let results = client.upsert(vec![item]).await.expect("answered");
    let error = results.into_iter().next().and_then(|result| result.error).expect("refused");
    (Code::from(error.code), error.message)
}

#[tokio::test]
async fn a_value_of_another_kind_is_refused_in_its_items_own_place() {
    let (server, mut client) = started().await;
    let items = vec![
        item("a", &[("price", number(1.5))]),
        item("b", &[("price", keyword("cheap")), ("stock", integer(1))]),
        item("c", &[("price", number(2.5)), ("stock", integer(2))]),
    ];
    let results = client.upsert(items).await.expect("answered");
    let errors: Vec<Option<&v1::ItemError>> = results.iter().map(|result| result.error.as_ref()).collect();
    let [None, Some(error), None] = errors.as_slice() else { panic!("the second is refused: {results:?}") };
    assert_eq!((results[1].message, error.reason.as_str()), (2, "INVALID_FIELD"), "{results:?}");
    assert!(error.message.contains("price is a number"), "{error:?}");
    let absent = client.catalog.get_item(v1::GetItemRequest { id: "b".into() }).await.expect_err("refused");
    assert_eq!(absent.code(), Code::NotFound);
    // Later ones are held to what is stored; whole numbers are no numbers.
    let (code, text) = refused(&mut client, item("d", &[("price", integer(3))])).await;
    assert_eq!(code, Code::InvalidArgument);
    assert!(text.contains("price is a number"), "{text}");
    for (case, bad) in [
        ("NaN", number(f64::NAN)),
        ("not set", v1::FieldValue::default()),
        ("empty", keyword("")),
        ("spaces", keyword(" x ")),
        ("control", keyword("a\nb")),
        ("long", keyword(&"x".repeat(257))),
        ("no keywords", keywords(&[])),
    ] {
        let (code, text) = refused(&mut client, item("d", &[("other", bad)])).await;
        assert_eq!(code, Code::InvalidArgument, "{case}: {text}");
        assert!(text.contains("other"), "{case}: {text}");
    }
    assert_eq!(
        stored(&mut client, "c").await.fields,
        fields(&[("price", number(2.5)), ("stock", integer(2))])
    );
    server.finish().await;
}

/// An update of some parts of an item.
fn update(id: &str, paths: &[&str]) -> v1::UpsertItemsRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let update_mask = Some(prost_types::FieldMask { paths });
    v1::UpsertItemsRequest { id: id.to_owned(), update_mask, ..Default::default() }
}

#[tokio::test]
async fn an_update_mask_writes_what_it_names_and_nothing_else() {
    let (server, mut client) = started().await;
    let whole = v1::UpsertItemsRequest {
        labels: [("color".to_owned(), "red".to_owned())].into(),
        ..lapel_tests::item("a", &render(1, 0))
    };
    let picture = whole.image.clone();
    let shop = item("a", &[("brand", keyword("acme")), ("price", number(1.5)), ("stock.now", integer(4))]);
    store(
        &mut client,
        vec![v1::UpsertItemsRequest { fields: shop.fields, signatures: shop.signatures, ..whole }],
    )
    .await;
    let labelled = |labels: &[(&str, &str)], update: v1::UpsertItemsRequest| {
        let labels = labels.iter().map(|(name, label)| ((*name).to_owned(), (*label).to_owned())).collect();
        v1::UpsertItemsRequest { labels, ..update }
    };
    let valued = |of_item: &[(&str, v1::FieldValue)], update: v1::UpsertItemsRequest| {
        v1::UpsertItemsRequest { fields: fields(of_item), ..update }
    };
    // One is set and one is removed; a name is all behind the first dot.
    let of_fields = update("a", &["fields.price", "fields.brand", "fields.stock.now"]);
    let of_fields = valued(&[("price", number(9.0)), ("stock.now", integer(5))], of_fields);
    store(&mut client, vec![of_fields]).await;
    let now = stored(&mut client, "a").await;
    assert_eq!(now.fields, fields(&[("price", number(9.0)), ("stock.now", integer(5))]));
    assert_eq!((now.labels.len(), now.has_image), (1, true));
    // All of them are replaced, in one stream with changes of labels that lead to one another.
    let changes = vec![
        valued(&[("brand", keyword("bolt"))], update("a", &["fields"])),
        labelled(&[("fit", "slim")], update("a", &["labels.fit"])),
        labelled(&[], update("a", &["labels.color"])),
    ];
    for change in changes {
        store(&mut client, vec![change]).await;
    }
    let now = stored(&mut client, "a").await;
    assert_eq!(now.fields, fields(&[("brand", keyword("bolt"))]));
    assert_eq!(now.labels, [("fit".to_owned(), "slim".to_owned())].into());
    let signature = vec![v1::Signature { head: "mood".into(), values: vec![0.0, 1.0, 0.0, 0.0] }];
    let signed = v1::UpsertItemsRequest { signatures: signature, ..update("a", &["signatures"]) };
    store(&mut client, vec![signed]).await;
    let of_item = exported(&mut client).await.expect("exported").remove("a").expect("there");
    assert_eq!(of_item.signatures["mood"], [0.0, 1.0, 0.0, 0.0]);
    assert!(of_item.image == picture, "the image stays");
    assert_eq!(stored(&mut client, "a").await.fields, fields(&[("brand", keyword("bolt"))]));
    server.finish().await;
}

#[tokio::test]
async fn an_update_that_says_two_things_is_refused() {
    let (server, mut client) = started().await;
    store(&mut client, vec![item("a", &[("price", number(1.5))])]).await;
    let before = stored(&mut client, "a").await;
    let priced = fields(&[("price", number(2.0))]);
    for (case, bad) in [
        ("unknown path", update("a", &["colour"])),
        ("no name", update("a", &["fields."])),
        ("the image", update("a", &["image"])),
        ("not named", v1::UpsertItemsRequest { fields: priced.clone(), ..update("a", &["labels"]) }),
        ("not this one", v1::UpsertItemsRequest { fields: priced.clone(), ..update("a", &["fields.stock"]) }),
        ("with an image", v1::UpsertItemsRequest { image: vec![1], ..update("a", &["fields"]) }),
        ("older words", v1::UpsertItemsRequest { labels_only: true, ..update("a", &["labels"]) }),
        (
            "another kind",
            v1::UpsertItemsRequest {
                fields: fields(&[("price", keyword("cheap"))]),
                ..update("a", &["fields.price"])
            },
        ),
    ] {
        // Another item has the field, so that its kind stays in any case.
        store(&mut client, vec![item("b", &[("price", number(1.0))])]).await;
        let (code, text) = refused(&mut client, bad).await;
        assert_eq!(code, Code::InvalidArgument, "{case}: {text}");
        assert_eq!(stored(&mut client, "a").await, before, "{case}");
    }
    let (code, _) =
        refused(&mut client, v1::UpsertItemsRequest { fields: priced, ..update("nobody", &["fields"]) })
            .await;
    assert_eq!(code, Code::NotFound);
    server.finish().await;
}

/// How many items there are.
async fn count(client: &mut Client) -> u64 {
    let counted = client.catalog.count_items(v1::CountItemsRequest::default()).await;
    counted.expect("counted").into_inner().items
}

/// The filter of what is cheaper than a price.
fn below(price: f64) -> v1::Filter {
    let upper = Some(Upper::Below(number(price)));
    field("price", Condition::Range(v1::FieldRange { lower: None, upper }))
}

#[tokio::test]
async fn a_deletion_by_filter_says_first_what_it_would_delete() {
    let (mut server, mut client) = started().await;
    let priced = |n: u32| item(&format!("i{n:03}"), &[("price", number(f64::from(n)))]);
    store(&mut client, (0..300).map(priced).collect()).await;
    let ask = |price, dry_run| v1::DeleteItemsByFilterRequest {
        filter: Some(below(price)),
        dry_run,
        ..Default::default()
    };
    let dry = client.catalog.delete_items_by_filter(ask(150.0, true)).await.expect("told").into_inner();
    let first: Vec<String> = (0..100).map(|n| format!("i{n:03}")).collect();
    assert_eq!((dry.items, &dry.first_ids), (150, &first));
    assert_eq!(count(&mut client).await, 300, "a dry run deletes nothing");
    let other = v1::DeleteItemsByFilterRequest { expected_items: Some(149), ..ask(150.0, false) };
    let status = client.catalog.delete_items_by_filter(other).await.expect_err("refused");
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
    assert_eq!((status.code(), reason.as_deref()), (Code::FailedPrecondition, Some("COUNT_DIFFERS")));
    assert_eq!(count(&mut client).await, 300);
    let request_id = "7d9c2a".to_owned();
    let real = v1::DeleteItemsByFilterRequest { expected_items: Some(150), request_id, ..ask(150.0, false) };
    let deleted = client.catalog.delete_items_by_filter(real.clone()).await.expect("deleted").into_inner();
    assert_eq!(deleted, dry);
    assert_eq!(count(&mut client).await, 150);
    // Repeated, also after a restart, it is answered with the first outcome and deletes nothing.
    store(&mut client, vec![priced(3)]).await;
    server.restart().await;
    let mut client = server.client().await;
    let again = client.catalog.delete_items_by_filter(real).await.expect("answered").into_inner();
    assert_eq!((again, count(&mut client).await), (deleted, 151));
    for (case, filter) in [
        ("not set", None),
        ("all of nothing", Some(all(Vec::new()))),
        (
            "none of nothing",
            Some(v1::Filter { node: Some(v1::filter::Node::None(v1::FilterList::default())) }),
        ),
    ] {
        let request = v1::DeleteItemsByFilterRequest { filter, ..Default::default() };
        let status = client.catalog.delete_items_by_filter(request).await.expect_err(case);
        assert_eq!(status.code(), Code::InvalidArgument, "{case}");
    }
    let dry = v1::DeleteItemsByFilterRequest { request_id: "x".into(), ..ask(1.0, true) };
    let status = client.catalog.delete_items_by_filter(dry).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(count(&mut client).await, 151);
    server.finish().await;
}

#[tokio::test]
async fn a_deletion_by_filter_takes_no_more_than_the_limit() {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.limits.delete_items_max = 5;
    })
    .await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", 4, &["calm"])).await.expect("registered");
    let priced = |n: u32| item(&format!("i{n:03}"), &[("price", number(f64::from(n)))]);
    store(&mut client, (0..10).map(priced).collect()).await;
    for (price, dry_run) in [(6.0, true), (6.0, false)] {
        let filter = Some(below(price));
        let request = v1::DeleteItemsByFilterRequest { filter, dry_run, ..Default::default() };
        let status = client.catalog.delete_items_by_filter(request).await.expect_err("refused");
        let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
        assert_eq!((status.code(), reason.as_deref()), (Code::FailedPrecondition, Some("TOO_MANY_ITEMS")));
    }
    let filter = Some(below(5.0));
    let request = v1::DeleteItemsByFilterRequest { filter, ..Default::default() };
    assert_eq!(client.catalog.delete_items_by_filter(request).await.expect("deleted").into_inner().items, 5);
    server.finish().await;
}

/// What an export holds of the fields.
async fn exported_fields(client: &mut Client) -> BTreeMap<String, Fields> {
    let request = v1::ExportItemsRequest::default();
    let mut stream = client.catalog.export_items(request).await.expect("begun").into_inner();
    let mut items = BTreeMap::new();
    while let Some(exported) = stream.message().await.expect("an item") {
        let item = exported.item.expect("an item");
        items.insert(item.id, item.fields);
    }
    items
}

#[tokio::test]
async fn fields_of_every_kind_are_exported_counted_and_there_after_a_restart() {
    let (mut server, mut client) = started().await;
    let of_a = [
        ("brand", keyword("Größe & Söhne")),
        ("tags", keywords(&["new", "sale"])),
        ("stock", integer(i64::MIN)),
        ("price", number(-0.125)),
        ("sold", value(Kind::Boolean(false))),
        ("since", moment(-1)),
    ];
    let of_b = [("stock", integer(i64::MAX)), ("since", moment(1_700_000_000_123_456))];
    let finer = v1::FieldValue {
        kind: Some(Kind::Timestamp(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 123_456_789 })),
    };
    let mut items = vec![item("a", &of_a), item("b", &of_b), item("c", &[])];
    // What is finer than a microsecond is cut off.
    items[1].fields.insert("since".into(), finer);
    store(&mut client, items).await;
    let wanted: BTreeMap<String, Fields> = [("a", fields(&of_a)), ("b", fields(&of_b)), ("c", Fields::new())]
        .map(|(id, fields)| (id.to_owned(), fields))
        .into();
    for _ in 0..2 {
        assert_eq!(exported_fields(&mut client).await, wanted);
        let stats = client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await.expect("told");
        let coverage: Vec<(String, v1::FieldKind, u64)> = stats
            .into_inner()
            .fields
            .into_iter()
            .map(|of_field| (of_field.field.clone(), of_field.kind(), of_field.items))
            .collect();
        let kinds = [
            ("brand", v1::FieldKind::Keyword, 1),
            ("price", v1::FieldKind::Number, 1),
            ("since", v1::FieldKind::Timestamp, 2),
            ("sold", v1::FieldKind::Boolean, 1),
            ("stock", v1::FieldKind::Integer, 2),
            ("tags", v1::FieldKind::Keywords, 1),
        ];
        assert_eq!(coverage, kinds.map(|(name, kind, items)| (name.to_owned(), kind, items)));
        let filter = Some(field("stock", Condition::Equals(integer(i64::MAX))));
        let search = v1::SearchRequest { filter, ..by_item("a", 5) };
        let answer = client.search.search(search).await.expect("answers").into_inner();
        let found: Vec<&str> = answer.results.iter().map(|result| result.item_id.as_str()).collect();
        assert_eq!((found, answer.items_passing), (vec!["b"], 1));
        server.restart().await;
        client = server.client().await;
    }
    // A field is there for as long as an item has it, and then may have another kind.
    let deleted = v1::DeleteItemsRequest { ids: vec!["a".into()], ..Default::default() };
    client.catalog.delete_items(deleted).await.expect("deleted");
    store(&mut client, vec![item("d", &[("brand", integer(7))])]).await;
    server.finish().await;
}

#[tokio::test]
async fn the_bounds_on_fields_hold() {
    let (server, mut client) = started().await;
    let named: Vec<(String, v1::FieldValue)> = (0..257).map(|n| (format!("f{n}"), integer(1))).collect();
    let of_some = |range: std::ops::Range<usize>| v1::UpsertItemsRequest {
        fields: named[range].iter().cloned().collect(),
        ..item("a", &[])
    };
    let with_id =
        |id: &str, item: v1::UpsertItemsRequest| v1::UpsertItemsRequest { id: id.to_owned(), ..item };
    let (code, _) = refused(&mut client, of_some(0..101)).await;
    assert_eq!(code, Code::InvalidArgument, "an item has 100 fields");
    store(
        &mut client,
        vec![of_some(0..100), with_id("b", of_some(100..200)), with_id("c", of_some(200..256))],
    )
    .await;
    refused(&mut client, with_id("d", of_some(256..257))).await;
    // Those that are there are no new ones.
    store(&mut client, vec![with_id("d", of_some(5..105))]).await;
    let many: Vec<String> = (0..101).map(|n| format!("k{n:03}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    // One that no item has any more makes room for another.
    store(&mut client, vec![item("c", &[("f200", integer(1))])]).await;
    store(&mut client, vec![item("c", &[("f200", integer(1)), ("tags", keywords(&many[..100]))])]).await;
    let (code, text) = refused(&mut client, item("c", &[("tags", keywords(&many))])).await;
    assert_eq!(code, Code::InvalidArgument, "{text}");
    server.finish().await;
}
