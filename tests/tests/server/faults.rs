//! Every fault of a request is told at once, with its field; and no message becomes much larger than it came.

use lapel_client::{Client, v1};
use lapel_tests::model::{HEADS, LABELS};
use lapel_tests::{TestServer, by_item, external_bundle, set, settled, weights};
use std::collections::BTreeMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A server with one external head, which tells `mood`, and two items of it.
async fn started() -> (TestServer, Client) {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", HEADS[0].1, &LABELS)).await.expect("registered");
    let item = |id: &str| v1::UpsertItemsRequest {
        id: id.into(),
        labels: [("mood".to_owned(), "one".to_owned())].into(),
        signatures: vec![v1::Signature { head: "mood".into(), values: vec![1.0; HEADS[0].1] }],
        ..v1::UpsertItemsRequest::default()
    };
    let results = client.upsert(vec![item("a"), item("b")]).await.expect("stored");
    assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
    (server, client)
}

fn filter(attribute: &str, labels: &[&str]) -> v1::LabelFilter {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    v1::LabelFilter { attribute: attribute.into(), labels, allow_unknown: false, exists: None }
}

/// The code, the reason, and the fields that are told.
fn told(status: &Status) -> (Code, String, Vec<String>) {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let bad = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    (status.code(), reason, bad.into_iter().map(|violation| violation.field).collect())
}

fn sorted(mut fields: Vec<String>) -> Vec<String> {
    fields.sort();
    fields
}

#[tokio::test]
async fn a_search_hears_of_all_its_faults_of_every_kind() {
    let (server, mut client) = started().await;
    let search = v1::SearchRequest {
        manipulations: vec![set("mod", "one"), set("mood", "ona")],
        weighting: weights(&[("colour", 1.0), ("mood", f64::NAN)], false),
        filters: vec![
            v1::LabelFilter::default(),
            filter("mood", &["one", "tvo", "thre"]),
            filter("sky", &["x"]),
        ],
        plan: 99,
        ..by_item("nobody", 0)
    };
    let status = client.search.search(search.clone()).await.expect_err("refused");
    let (code, reason, fields) = told(&status);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{status:?}");
    let expected = [
        "filters[0]",
        "filters[1].labels[1]",
        "filters[1].labels[2]",
        "filters[2].attribute",
        "k",
        "manipulations[0].attribute",
        "manipulations[1].label",
        "plan",
        "query.item_id",
        "weights.by_head[colour]",
        "weights.by_head[mood]",
    ];
    assert_eq!(sorted(fields), expected, "{status:?}");
    for text in ["\"nobody\"", "attribute \"mood\" has no label \"tvo\"; did you mean \"two\"? it has: "] {
        assert!(status.message().contains(text), "{text} is not in {status:?}");
    }
    // Without a field that is malformed, the names decide; each search of a batch is told the same.
    let names = v1::SearchRequest {
        weighting: weights(&[("colour", 1.0)], false),
        filters: vec![filter("mood", &["tvo"])],
        plan: 0,
        k: 1,
        ..search
    };
    let status = client.search.search(names.clone()).await.expect_err("refused");
    let (code, reason, fields) = told(&status);
    assert_eq!((code, reason.as_str(), fields.len()), (Code::NotFound, "NOT_FOUND", 5), "{status:?}");
    let batch = v1::SearchBatchRequest { requests: vec![names, by_item("a", 1)] };
    let results = client.search.search_batch(batch).await.expect("answers").into_inner().results;
    let outcomes: Vec<_> = results.into_iter().filter_map(|result| result.outcome).collect();
    let [v1::search_batch_result::Outcome::Error(error), v1::search_batch_result::Outcome::Response(_)] =
        outcomes.as_slice()
    else {
        panic!("one fails: {outcomes:?}")
    };
    assert_eq!((error.reason.as_str(), error.message.as_str()), ("NOT_FOUND", status.message()));
    server.finish().await;
}

#[tokio::test]
async fn an_unknown_label_is_told_with_its_attribute() {
    let (server, mut client) = started().await;
    let edited = v1::SearchRequest { manipulations: vec![set("mood", "thre")], ..by_item("a", 1) };
    let filtered = v1::SearchRequest { filters: vec![filter("mood", &["thre"])], ..by_item("a", 1) };
    for search in [edited, filtered] {
        let status = client.search.search(search).await.expect_err("refused");
        let text = "attribute \"mood\" has no label \"thre\"; did you mean \"three\"? it has: ";
        assert_eq!((status.code(), status.message().starts_with(text)), (Code::NotFound, true), "{status:?}");
        let details = status.get_error_details();
        let facts = &details.error_info().expect("a reason").metadata;
        let fact = |name: &str| facts.get(name).map(String::as_str);
        assert_eq!(
            (fact("what"), fact("name"), fact("attribute")),
            (Some("label"), Some("thre"), Some("mood"))
        );
    }
    server.finish().await;
}

#[tokio::test]
async fn picks_profiles_lists_and_deletions_hear_of_all_their_faults() {
    let (server, mut client) = started().await;
    let picks = v1::PersonaliseRequest {
        picked_ids: ["a", "x", "a", "y"].map(str::to_owned).to_vec(),
        manipulations: vec![set("mood", "ona")],
        filters: vec![filter("sky", &["x"])],
        k: 1_000_000,
        ..v1::PersonaliseRequest::default()
    };
    let status = client.feedback.personalise(picks).await.expect_err("refused");
    let (code, _, fields) = told(&status);
    let expected = [
        "filters[0].attribute",
        "k",
        "manipulations[0].label",
        "picked_ids[1]",
        "picked_ids[2]",
        "picked_ids[3]",
    ];
    assert_eq!((code, sorted(fields)), (Code::InvalidArgument, expected.map(str::to_owned).to_vec()));
    let profile = v1::SaveProfileRequest {
        name: " ".into(),
        weights: [("colour".to_owned(), 0.0)].into(),
        picked_ids: vec!["x".repeat(300)],
        request_id: "\n".into(),
    };
    let status = client.feedback.save_profile(profile).await.expect_err("refused");
    let expected = ["name", "picked_ids[0]", "request_id", "weights", "weights[colour]"];
    assert_eq!(sorted(told(&status).2), expected, "{status:?}");
    let deletion = v1::DeleteItemsRequest { request_id: "\n".into(), ..v1::DeleteItemsRequest::default() };
    let status = client.catalog.delete_items(deletion).await.expect_err("refused");
    assert_eq!(sorted(told(&status).2), ["ids", "request_id"], "{status:?}");
    let page = v1::ListItemsRequest {
        page_size: 5000,
        filters: vec![filter("sky", &["x"])],
        ..v1::ListItemsRequest::default()
    };
    let status = client.catalog.list_items(page).await.expect_err("refused");
    assert_eq!(sorted(told(&status).2), ["filters[0].attribute", "page_size"], "{status:?}");
    let item = v1::UpsertItemsRequest {
        id: "c".into(),
        signatures_only: true,
        labels_only: true,
        request_id: "\n".into(),
        ..v1::UpsertItemsRequest::default()
    };
    let results = client.upsert(vec![item]).await.expect("answered");
    let message = &results[0].error.as_ref().expect("refused").message;
    assert!(message.contains("request_id: ") && message.contains("labels_only: "), "{message}");
    server.finish().await;
}

/// What a client sees that sends more in a message than it may hold.
fn is_too_large(status: &Status) -> bool {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    status.code() == Code::OutOfRange && reason == Some("MESSAGE_TOO_LARGE")
}

#[tokio::test]
async fn a_message_of_very_many_empty_fields_is_refused_before_it_is_decoded() {
    let (server, mut client) = started().await;
    let most = lapel_proto::FIELDS_MAX;
    let batch = |count| v1::SearchBatchRequest { requests: vec![v1::SearchRequest::default(); count] };
    let status = client.search.search_batch(batch(most + 1)).await.expect_err("refused");
    assert!(is_too_large(&status), "{status:?}");
    assert!(status.message().contains(&most.to_string()), "{status:?}");
    // What passes is refused for what it asks.
    let status = client.search.search_batch(batch(most)).await.expect_err("refused");
    assert_eq!(told(&status).2, ["requests"], "{status:?}");
    let filters = vec![filter("mood", &["one"]); most];
    let search = v1::SearchRequest { filters, ..by_item("a", 1) };
    let status = client.search.search(search).await.expect_err("refused");
    assert!(is_too_large(&status), "{status:?}");
    let ids = vec![String::new(); most + 1];
    let status = client
        .catalog
        .delete_items(v1::DeleteItemsRequest { ids, ..v1::DeleteItemsRequest::default() })
        .await
        .expect_err("refused");
    assert!(is_too_large(&status), "{status:?}");
    // In a stream it is an error of its item, and the next one is taken.
    let item = v1::UpsertItemsRequest {
        id: "c".into(),
        signatures: vec![v1::Signature::default(); most],
        ..v1::UpsertItemsRequest::default()
    };
    let results = client.upsert(vec![item, v1::UpsertItemsRequest::default()]).await.expect("answered");
    let told: Vec<_> =
        results.iter().map(|r| (r.message, r.error.as_ref().map_or("", |e| e.reason.as_str()))).collect();
    assert_eq!(told, [(1, "MESSAGE_TOO_LARGE"), (2, "INVALID_FIELD")]);
    let answer = client.search.search(by_item("a", 1)).await.expect("the server goes on").into_inner();
    assert_eq!(answer.results.len(), 1);
    server.finish().await;
}

#[tokio::test]
async fn what_is_larger_than_it_may_ever_be_is_not_to_be_tried_again() {
    let (server, mut client) = started().await;
    let header = v1::RegisterHeadHeader { size_bytes: 1 << 63, ..v1::RegisterHeadHeader::default() };
    let part = Some(v1::register_head_request::Part::Header(header));
    let parts = vec![v1::RegisterHeadRequest { part }];
    let status = client.heads.register_head(tokio_stream::iter(parts)).await.expect_err("refused");
    let (code, _, fields) = told(&status);
    assert_eq!((code, fields), (Code::InvalidArgument, vec!["header.size_bytes".to_owned()]), "{status:?}");
    assert!(status.get_error_details().retry_info().is_none(), "{status:?}");
    server.finish().await;
}

/// A search by a signature of the external head alone.
fn by_mood(values: Vec<f32>) -> v1::Query {
    let signatures = vec![v1::Signature { head: "mood".into(), values }];
    let source = Some(v1::query::Source::Signatures(v1::SignatureSet { signatures }));
    v1::Query { source, also_signatures: Vec::new() }
}

#[tokio::test]
async fn picks_and_profiles_weigh_the_heads_that_a_query_has_alone() {
    let (server, mut client) = started().await;
    client.register_bundle(&external_bundle("place", 2, &LABELS)).await.expect("registered");
    assert_eq!(settled(&mut client, "place").await.state(), v1::HeadState::Active);
    let saved = v1::SaveProfileRequest {
        name: "ann".into(),
        weights: [("mood".to_owned(), 3.0), ("place".to_owned(), 1.0)].into(),
        ..Default::default()
    };
    client.feedback.save_profile(saved).await.expect("saved");
    let profile = Some(v1::search_request::Weighting::Profile("ann".into()));
    let query = Some(by_mood(vec![1.0; HEADS[0].1]));
    let search = v1::SearchRequest { query: query.clone(), k: 1, ..v1::SearchRequest::default() };
    let by_profile = v1::SearchRequest { weighting: profile, ..search.clone() };
    let found = client.search.search(by_profile).await.expect("answers").into_inner();
    assert_eq!(found.weights, BTreeMap::from([("mood".to_owned(), 1.0)]));
    let picks = v1::PersonaliseRequest {
        picked_ids: ["a", "b"].map(str::to_owned).to_vec(),
        query,
        k: 1,
        ..v1::PersonaliseRequest::default()
    };
    let found = client.feedback.personalise(picks.clone()).await.expect("answers").into_inner();
    assert_eq!(found.weights, BTreeMap::from([("mood".to_owned(), 1.0)]));
    // A profile that is not there is a fault beside two picks too.
    let unknown = v1::PersonaliseRequest { profile: "nobody".into(), ..picks };
    let status = client.feedback.personalise(unknown).await.expect_err("refused");
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    let by_hand = v1::SearchRequest { weighting: weights(&[("place", 1.0)], false), ..search };
    let status = client.search.search(by_hand).await.expect_err("refused");
    let (code, reason, fields) = told(&status);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "QUERY_WITHOUT_SIGNATURE"), "{status:?}");
    assert_eq!(fields, ["weights.by_head[place]"]);
    server.finish().await;
}
