//! Wanted and unwanted picks.

use lapel_client::{Client, v1};
use lapel_tests::model::LABELS;
use lapel_tests::{TestServer, external_bundle, settled};
use tonic::Code;
use tonic_types::StatusExt;

const HEADS: [&str; 2] = ["mood", "place"];

/// A unit vector of two numbers at this angle, under each head.
fn at(angles: [f32; 2]) -> Vec<v1::Signature> {
    let signature = |(head, angle): (&str, f32)| v1::Signature {
        head: head.to_owned(),
        values: vec![angle.cos(), angle.sin()],
    };
    HEADS.into_iter().zip(angles).map(signature).collect()
}

/// A server with two external heads of two numbers. Two wanted items are as near each other under both; the unwanted one is
/// near them in mood and far in place.
async fn started() -> (TestServer, Client) {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut client = server.client().await;
    for head in HEADS {
        client.register_bundle(&external_bundle(head, 2, &LABELS)).await.expect("registered");
        assert_eq!(settled(&mut client, head).await.state(), v1::HeadState::Active);
    }
    let item = |(id, angles): (&str, [f32; 2])| v1::UpsertItemsRequest {
        id: id.into(),
        signatures: at(angles),
        ..v1::UpsertItemsRequest::default()
    };
    let items = [("a", [0.0, 0.0]), ("b", [0.5, 0.5]), ("u", [0.25, 2.5]), ("v", [2.0, 0.2])];
    let results = client.upsert(items.into_iter().map(item).collect()).await.expect("stored");
    assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
    (server, client)
}

fn ids(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn picks(wanted: &[&str], unwanted: &[&str]) -> v1::PersonaliseRequest {
    let (picked_ids, unwanted_ids) = (ids(wanted), ids(unwanted));
    v1::PersonaliseRequest { picked_ids, unwanted_ids, k: 10, ..v1::PersonaliseRequest::default() }
}

/// The results' ids in their own order: two of the items are equally far.
fn shown(answer: &v1::PersonaliseResponse) -> Vec<&str> {
    let mut ids: Vec<&str> = answer.results.iter().map(|result| result.item_id.as_str()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn an_unwanted_item_raises_the_head_that_tells_it_apart() {
    let (server, mut client) = started().await;
    let paper = v1::PersonaliseRequest { as_before: true, ..picks(&["a", "b"], &["u"]) };
    let paper = client.feedback.personalise(paper).await.expect("answers").into_inner();
    assert!(paper.weights.values().all(|weight| (weight - 1.0).abs() < 1e-6), "{paper:?}");
    let answer = client.feedback.personalise(picks(&["a", "b"], &["u"])).await.expect("answers").into_inner();
    assert!(answer.weights["place"] > 3.0 * answer.weights["mood"], "{answer:?}");
    assert!((answer.weights.values().sum::<f64>() - 2.0).abs() < 1e-9);
    assert!(answer.unwanted_distances["place"] > answer.unwanted_distances["mood"], "{answer:?}");
    assert!((answer.wanted_distances["place"] - answer.pair_distances["place"]).abs() < 1e-9);
    // It is not shown, by either.
    assert_eq!((shown(&answer), shown(&paper)), (vec!["a", "b", "v"], vec!["a", "b", "v"]));
    // Without an unwanted one both are Eq. 5.
    let plain = client.feedback.personalise(picks(&["a", "b"], &[])).await.expect("answers").into_inner();
    assert_eq!((plain.weights, plain.results.len()), (paper.weights, 4));
    assert!(plain.unwanted_distances.is_empty());
    // One wanted item beside an unwanted one gives weights; alone it takes the query's place.
    let single = client.feedback.personalise(picks(&["a"], &["u"])).await.expect("answers").into_inner();
    assert!(single.weights["place"] > single.weights["mood"] && single.replaced_query_item_id.is_empty());
    let alone = client.feedback.personalise(picks(&["a"], &[])).await.expect("answers").into_inner();
    assert_eq!((alone.replaced_query_item_id.as_str(), alone.picks_share), ("a", 1.0));
    server.finish().await;
}

#[tokio::test]
async fn the_mean_of_the_picks_is_searched_for_beside_the_query() {
    let (server, mut client) = started().await;
    let signatures = v1::SignatureSet { signatures: at([0.0, 0.0]) };
    let source = Some(v1::query::Source::Signatures(signatures));
    let query = Some(v1::Query { source, also_signatures: Vec::new() });
    let asked = v1::PersonaliseRequest { query, ..picks(&["b", "v"], &[]) };
    let distance = |answer: &v1::PersonaliseResponse, id: &str| {
        answer.results.iter().find(|result| result.item_id == id).expect("shown").distance
    };
    let moved = client.feedback.personalise(asked.clone()).await.expect("answers").into_inner();
    let paper = v1::PersonaliseRequest { as_before: true, ..asked.clone() };
    let paper = client.feedback.personalise(paper).await.expect("answers").into_inner();
    assert_eq!(
        (moved.picks_share, paper.picks_share, &moved.weights),
        (lapel_heads::PICKS_SHARE, 0.0, &paper.weights)
    );
    // The query is item a itself.
    assert!(distance(&paper, "a") < 1e-6 && distance(&moved, "a") > 0.1, "{moved:?}");
    assert!(distance(&moved, "b") < distance(&paper, "b"));
    let without = v1::PersonaliseRequest { query: None, ..asked };
    let without = client.feedback.personalise(without).await.expect("answers").into_inner();
    assert_eq!(without.picks_share, 1.0);
    server.finish().await;
}

#[tokio::test]
async fn bad_unwanted_items_are_told_by_their_places() {
    let (server, mut client) = started().await;
    let refused = [
        (picks(&["a"], &["x", "u", "u", "a"]), Code::InvalidArgument, vec![0, 2, 3]),
        (picks(&["a"], &["u", "x"]), Code::NotFound, vec![1]),
        (picks(&["a"], &["a"]), Code::InvalidArgument, vec![0]),
    ];
    for (request, code, places) in refused {
        let status = client.feedback.personalise(request).await.expect_err("refused");
        let details = status.get_error_details();
        let bad = details.bad_request().expect("fields").field_violations.clone();
        let mut fields: Vec<String> = bad.into_iter().map(|violation| violation.field).collect();
        fields.sort();
        let expected: Vec<String> = places.into_iter().map(|at| format!("unwanted_ids[{at}]")).collect();
        assert_eq!((status.code(), fields), (code, expected), "{status:?}");
    }
    let many: Vec<String> = (0..101).map(|i| format!("i{i}")).collect();
    let request = v1::PersonaliseRequest { unwanted_ids: many, ..picks(&["a"], &[]) };
    let status = client.feedback.personalise(request).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    server.finish().await;
}
