//! Filters on predicted labels: the items that pass are those of which Describe says as much.

use crate::shop::{all, node};
use lapel_client::{Client, v1};
use lapel_heads::Bundle;
use lapel_render::render;
use lapel_tests::{TestServer, by_item, external_bundle, item, settled, sport_bundle};
use std::collections::{BTreeMap, BTreeSet};
use tonic::Code;
use tonic_types::StatusExt;
use v1::filter::Node;

/// The likeliest label, its probability and whether it is unsure, by item and attribute.
type Seen = BTreeMap<String, BTreeMap<String, (String, f32, bool)>>;

async fn put(client: &mut Client, numbers: std::ops::Range<u64>) {
    let unlabelled = |number: u64| v1::UpsertItemsRequest {
        labels: BTreeMap::new(),
        ..item(&format!("g{number}"), &render(5, number))
    };
    let results = client.upsert(numbers.map(unlabelled).collect()).await.expect("stored");
    assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
}

/// What Describe says of every item.
async fn described(client: &mut Client) -> Seen {
    let list = v1::ListItemsRequest { page_size: 1000, ..Default::default() };
    let items = client.catalog.list_items(list).await.expect("listed").into_inner().items;
    let mut seen = Seen::new();
    for item in items {
        let source = Some(v1::describe_request::Source::ItemId(item.id.clone()));
        let request = v1::DescribeRequest {
            source,
            include_signatures: false,
            labels_max: 1,
            picture: None,
            ..Default::default()
        };
        let answer = client.search.describe(request).await.expect("described").into_inner();
        let of_item = answer.attributes.into_iter().map(|of| {
            let likeliest = of.labels.into_iter().next().expect("one label");
            (of.attribute, (likeliest.label, likeliest.probability, of.unsure))
        });
        seen.insert(item.id, of_item.collect());
    }
    seen
}

fn predicted(attribute: &str, labels: &[&str], probability_min: Option<f32>) -> v1::Filter {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    let attribute = attribute.to_owned();
    node(Node::Predicted(v1::PredictedFilter { attribute, labels, probability_min, allow_unknown: false }))
}

/// Ids of the items that pass by what Describe says of them.
fn passing(seen: &Seen, attribute: &str, label: &str, least: Option<f32>) -> Vec<String> {
    let passes = |of_item: &BTreeMap<String, (String, f32, bool)>| {
        of_item.get(attribute).is_some_and(|(likeliest, probability, unsure)| {
            likeliest == label && least.map_or(!unsure, |least| *probability >= least)
        })
    };
    seen.iter().filter(|(_, of_item)| passes(of_item)).map(|(id, _)| id.clone()).collect()
}

async fn listed(client: &mut Client, filter: v1::Filter) -> Vec<String> {
    let list = v1::ListItemsRequest { page_size: 1000, filter: Some(filter), ..Default::default() };
    let items = client.catalog.list_items(list).await.expect("listed").into_inner().items;
    items.into_iter().map(|item| item.id).collect()
}

/// Compares lists and counts of every attribute and label that is seen with Describe; returns how many items passed.
async fn check(client: &mut Client, context: &str) -> usize {
    let seen = described(client).await;
    let found = seen.values().flatten().map(|(attribute, (label, ..))| (attribute.clone(), label.clone()));
    let found: BTreeSet<(String, String)> = found.collect();
    let mut passed = 0;
    for (attribute, label) in found {
        for least in [None, Some(0.0), Some(0.7)] {
            let filter = predicted(&attribute, &[&label], least);
            let wanted = passing(&seen, &attribute, &label, least);
            let context = format!("{context}: {attribute} {label} {least:?}");
            assert_eq!(listed(client, filter.clone()).await, wanted, "{context}");
            let count = v1::CountItemsRequest { filter: Some(filter), facets: Vec::new() };
            let count = client.catalog.count_items(count).await.expect("counted").into_inner();
            assert_eq!(count.items, wanted.len() as u64, "{context}");
            passed += wanted.len();
        }
    }
    passed
}

async fn register(client: &mut Client, threshold: f32, update: bool) {
    let mut bundle = Bundle::parse(&sport_bundle()).expect("sound");
    let thresholds = vec![threshold; bundle.manifest.attributes[0].labels.len()];
    bundle.manifest.thresholds.insert("sport".into(), thresholds);
    let header = v1::RegisterHeadHeader { update, ..Default::default() };
    let bytes = bundle.to_bytes().expect("written");
    client.register_bundle_as(&bytes, header).await.expect("registered");
    assert_eq!(settled(client, "sport").await.state(), v1::HeadState::Active);
}

#[tokio::test]
async fn items_pass_as_describe_sees_them_through_writes_and_new_heads() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, 0..40).await;
    let seen = described(&mut client).await;
    let (label, ..) = &seen["g0"]["category"];
    // All of these are the first to ask.
    let first = (0..6).map(|_| {
        let (mut client, filter) = (client.clone(), predicted("category", &[label], Some(0.0)));
        async move { listed(&mut client, filter).await }
    });
    for ids in futures_util::future::join_all(first).await {
        assert_eq!(ids, passing(&seen, "category", label, Some(0.0)));
    }
    assert!(check(&mut client, "first").await > 40, "every item passes by its likeliest labels at least");
    put(&mut client, 30..50).await;
    let ids = (0..10).map(|number| format!("g{number}")).collect();
    let deleted = v1::DeleteItemsRequest { ids, ..Default::default() };
    client.catalog.delete_items(deleted).await.expect("deleted");
    check(&mut client, "after writes").await;
    register(&mut client, 0.0, false).await;
    let sure = check(&mut client, "a new head").await;
    register(&mut client, 1.0, true).await;
    assert!(check(&mut client, "another version").await < sure, "fewer predictions are sure");
    server.finish().await;
}

#[tokio::test]
async fn searches_and_deletions_take_them_and_faults_are_told_with_their_paths() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, 0..30).await;
    client.register_bundle(&external_bundle("mood", 4, &["one"])).await.expect("registered");
    let seen = described(&mut client).await;
    let (label, ..) = &seen["g0"]["category"];
    let wanted = passing(&seen, "category", label, Some(0.0));
    let filter = predicted("category", &[label], Some(0.0));
    let search = v1::SearchRequest { filter: Some(filter.clone()), ..by_item("g0", 30) };
    let answer = client.search.search(search.clone()).await.expect("answers").into_inner();
    let mut found: Vec<String> = answer.results.into_iter().map(|result| result.item_id).collect();
    found.sort();
    assert_eq!(found, wanted);
    let batch = v1::SearchBatchRequest { requests: vec![search; 2] };
    let batch = client.search.search_batch(batch).await.expect("answers").into_inner();
    for result in batch.results {
        let Some(v1::search_batch_result::Outcome::Response(answer)) = result.outcome else {
            panic!("refused")
        };
        assert_eq!(answer.items_passing, wanted.len() as u64);
    }
    let deletion = v1::DeleteItemsByFilterRequest {
        filter: Some(filter.clone()),
        expected_items: Some(wanted.len() as u64),
        ..Default::default()
    };
    let dry = v1::DeleteItemsByFilterRequest { dry_run: true, ..deletion.clone() };
    for deletion in [dry, deletion] {
        let deleted = client.catalog.delete_items_by_filter(deletion).await.expect("deleted").into_inner();
        assert_eq!(deleted.first_ids, wanted);
    }
    assert!(listed(&mut client, filter).await.is_empty());

    for (bad, path, code) in [
        (predicted("moood", &["one"], None), "filter.all[0].predicted.attribute", Code::NotFound),
        (predicted("category", &["dres"], None), "filter.all[0].predicted.labels[0]", Code::NotFound),
        (predicted("mood", &["one"], None), "filter.all[0].predicted.attribute", Code::FailedPrecondition),
        (
            predicted("category", &["dress"], Some(1.5)),
            "filter.all[0].predicted.probability_min",
            Code::InvalidArgument,
        ),
    ] {
        let count = v1::CountItemsRequest { filter: Some(all(vec![bad])), facets: Vec::new() };
        let status = client.catalog.count_items(count).await.expect_err("refused");
        assert_eq!(status.code(), code, "{status:?}");
        let told = status.get_error_details().bad_request().map(|bad| bad.field_violations[0].field.clone());
        assert_eq!(told.as_deref(), Some(path), "{status:?}");
    }
    server.finish().await;
}
