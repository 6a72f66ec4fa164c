//! A largest distance: results end there, by whichever plan and method they are asked for.

use lapel_client::{Client, v1};
use lapel_tests::{TestServer, by_item, ingest, weights};
use tonic::{Code, Status};
use tonic_types::StatusExt;

const ITEMS: u32 = 40;

async fn search(client: &mut Client, request: v1::SearchRequest) -> v1::SearchResponse {
    client.search.search(request).await.expect("answers").into_inner()
}

/// The first k of the results that are not farther than `most`.
fn within(all: &[v1::SearchResult], most: f64, k: usize) -> Vec<v1::SearchResult> {
    all.iter().filter(|result| result.distance <= most).take(k).cloned().collect()
}

#[tokio::test]
async fn results_end_at_the_largest_distance_whatever_the_plan() {
    let server = TestServer::start_with(|c| c.search.hnsw_items_min = 10).await;
    let mut client = server.client().await;
    ingest(&mut client, 1, u64::from(ITEMS)).await;
    for weighting in [None, weights(&[("color", 1.0)], true)] {
        let ask = |k| v1::SearchRequest { weighting: weighting.clone(), explain: true, ..by_item("g4", k) };
        let all = search(&mut client, ask(ITEMS)).await.results;
        assert_eq!((all.len(), all[0].distance), (ITEMS as usize, 0.0));
        for (at, k) in [(0, ITEMS), (7, ITEMS), (7, 3), (39, ITEMS)] {
            let most = all[at].distance;
            let plans = [v1::PlanKind::Unspecified, v1::PlanKind::ExactScan, v1::PlanKind::Hnsw];
            for plan in plans {
                let near = v1::SearchRequest { distance_max: Some(most), plan: plan.into(), ..ask(k) };
                let answer = search(&mut client, near).await;
                assert_eq!(answer.results, within(&all, most, k as usize), "{plan:?}, {k} up to {most}");
                assert_eq!(answer.plan.map(|plan| plan.scanned > 0), Some(true), "{plan:?}");
            }
        }
    }
    server.finish().await;
}

#[tokio::test]
async fn a_batch_and_a_personalised_search_end_there_too() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 1, u64::from(ITEMS)).await;
    let all = search(&mut client, by_item("g4", ITEMS)).await.results;
    let most = all[5].distance;
    let near = |distance_max| v1::SearchRequest { distance_max, ..by_item("g4", ITEMS) };
    let requests = vec![near(Some(most)), near(Some(f64::NAN)), near(None)];
    let answer = client.search.search_batch(v1::SearchBatchRequest { requests }).await.expect("answers");
    let outcomes = answer.into_inner().results.into_iter().map(|r| match r.outcome.expect("set") {
        v1::search_batch_result::Outcome::Response(response) => Ok(response.results),
        v1::search_batch_result::Outcome::Error(error) => Err(error.reason),
    });
    let expected = [Ok(within(&all, most, ITEMS as usize)), Err("INVALID_FIELD".to_owned()), Ok(all)];
    assert_eq!(outcomes.collect::<Vec<_>>(), expected);
    let picks = |distance_max| v1::PersonaliseRequest {
        picked_ids: vec!["g1".into(), "g2".into()],
        k: ITEMS,
        distance_max,
        ..v1::PersonaliseRequest::default()
    };
    let all = client.feedback.personalise(picks(None)).await.expect("answers").into_inner();
    let most = all.results[5].distance;
    let near = client.feedback.personalise(picks(Some(most))).await.expect("answers").into_inner();
    assert_eq!(near.results, within(&all.results, most, ITEMS as usize));
    assert_eq!((near.weights, near.plan.is_some()), (all.weights, true));
    server.finish().await;
}

#[tokio::test]
async fn a_largest_distance_that_is_none_is_refused_beside_other_faults() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 3).await;
    let fields = |error: &Status| -> Vec<String> {
        let violations = error.get_error_details().bad_request().expect("fields").field_violations.clone();
        violations.into_iter().map(|violation| violation.field).collect()
    };
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1] {
        let request = v1::SearchRequest { distance_max: Some(bad), ..by_item("g1", 0) };
        let error = client.search.search(request).await.expect_err("refused");
        assert_eq!(
            (error.code(), fields(&error)),
            (Code::InvalidArgument, ["k", "distance_max"].map(str::to_owned).to_vec())
        );
        let request = v1::PersonaliseRequest {
            picked_ids: vec!["g1".into()],
            distance_max: Some(bad),
            ..v1::PersonaliseRequest::default()
        };
        let error = client.feedback.personalise(request).await.expect_err("refused");
        assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["distance_max".to_owned()]));
    }
    // 0 with a sign is 0.
    let request = v1::SearchRequest { distance_max: Some(-0.0), ..by_item("g1", 3) };
    assert_eq!(search(&mut client, request).await.results[0].item_id, "g1");
    server.finish().await;
}
