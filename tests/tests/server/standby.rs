//! Versions of heads that answer single requests (`head_versions`), and promotion of those that lack signatures.

use crate::versions::{promote, reason, retire, rollback, sport_of_weight, update};
use lapel_client::{Client, v1};
use lapel_render::{render, to_jpeg};
use lapel_tests::{
    TestServer, by_image, by_item, external_bundle, ingest, set, settled, sport_bundle, weights,
};
use std::collections::BTreeMap;
use tonic::{Code, Status};
use v1::HeadState::{Active, Standby};

fn named(versions: &[(&str, u32)]) -> BTreeMap<String, u32> {
    versions.iter().map(|(name, version)| ((*name).to_owned(), *version)).collect()
}

fn with(request: &v1::SearchRequest, versions: &[(&str, u32)]) -> v1::SearchRequest {
    v1::SearchRequest { head_versions: named(versions), ..request.clone() }
}

async fn search(client: &mut Client, request: v1::SearchRequest) -> Result<v1::SearchResponse, Status> {
    Ok(client.search.search(request).await?.into_inner())
}

/// What an answer says of the items, whatever the generation.
type Told = (Vec<v1::SearchResult>, Vec<v1::ManipulationEffect>, Vec<v1::HeadWeight>, u64);

async fn told(client: &mut Client, request: v1::SearchRequest) -> Told {
    let answer = search(client, request).await.expect("answers");
    (answer.results, answer.manipulations, answer.head_weights, answer.items_passing)
}

async fn described(client: &mut Client, versions: &[(&str, u32)]) -> Result<v1::DescribeResponse, Status> {
    let request = v1::DescribeRequest {
        source: Some(v1::describe_request::Source::ItemId("g1".into())),
        include_signatures: true,
        labels_max: 30,
        head_versions: named(versions),
        ..Default::default()
    };
    let answer = client.search.describe(request).await?.into_inner();
    Ok(v1::DescribeResponse { generation: 0, ..answer })
}

async fn suggested(client: &mut Client, versions: &[(&str, u32)]) -> Result<v1::SuggestResponse, Status> {
    let request = v1::SuggestRequest {
        query: by_item("g1", 1).query,
        suggestions_max: 50,
        head_versions: named(versions),
        ..Default::default()
    };
    let answer = client.search.suggest(request).await?.into_inner();
    Ok(v1::SuggestResponse { generation: 0, ..answer })
}

async fn personalised(
    client: &mut Client,
    versions: &[(&str, u32)],
) -> Result<v1::PersonaliseResponse, Status> {
    let request = v1::PersonaliseRequest {
        picked_ids: vec!["g1".into(), "g2".into()],
        k: 30,
        head_versions: named(versions),
        ..Default::default()
    };
    let answer = client.feedback.personalise(request).await?.into_inner();
    // How it was found may differ.
    Ok(v1::PersonaliseResponse { generation: 0, plan: None, ..answer })
}

/// Two versions of the sport head, of which the first serves.
async fn two_versions() -> (TestServer, Client) {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 31, 60).await;
    client.register_bundle(&sport_bundle()).await.expect("registered");
    assert_eq!(settled(&mut client, "sport").await.state(), Active);
    client.register_bundle_as(&sport_of_weight(5.0), update(true)).await.expect("registered");
    assert_eq!(settled(&mut client, "sport").await.state(), Standby);
    (server, client)
}

/// Searches that read a head in all their ways.
fn searches() -> Vec<v1::SearchRequest> {
    let only = || weights(&[("sport", 1.0)], true);
    let seen = v1::PredictedFilter {
        attribute: "sport".into(),
        labels: vec!["football".into()],
        probability_min: Some(0.0),
        ..Default::default()
    };
    let seen = v1::Filter { node: Some(v1::filter::Node::Predicted(seen)) };
    let plain = v1::SearchRequest { exact: true, explain: true, ..by_item("g1", 30) };
    let photo = v1::SearchRequest { exact: true, ..by_image(to_jpeg(&render(2, 3).photo), 30) };
    vec![
        v1::SearchRequest { weighting: only(), ..plain.clone() },
        v1::SearchRequest { weighting: only(), ..photo },
        v1::SearchRequest { manipulations: vec![set("sport", "football")], ..plain.clone() },
        v1::SearchRequest { filter: Some(seen), ..plain },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_on_standby_answers_as_it_will_once_it_serves() {
    let (server, mut client) = two_versions().await;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for request in searches() {
        first.push(told(&mut client, request.clone()).await);
        second.push(told(&mut client, with(&request, &[("sport", 2)])).await);
        assert_eq!(told(&mut client, request.clone()).await, first[first.len() - 1], "for one request alone");
        let serving = told(&mut client, with(&request, &[("sport", 1)])).await;
        assert_eq!(serving, first[first.len() - 1], "as if it were not named");
    }
    assert_ne!(first[0], second[0]);
    assert_ne!(first[2], second[2]);
    let of_first = described(&mut client, &[]).await.expect("described");
    let of_second = described(&mut client, &[("sport", 2)]).await.expect("described");
    assert_ne!(of_first.signatures, of_second.signatures);
    let suggested_first = suggested(&mut client, &[]).await.expect("suggested");
    let suggested_second = suggested(&mut client, &[("sport", 2)]).await.expect("suggested");
    assert_ne!(suggested_first, suggested_second);
    let picked_first = personalised(&mut client, &[]).await.expect("weighed");
    let picked_second = personalised(&mut client, &[("sport", 2)]).await.expect("weighed");
    assert_ne!(picked_first.pair_distances, picked_second.pair_distances);
    let generation = search(&mut client, by_item("g1", 1)).await.expect("answers").generation;
    let viewed = search(&mut client, with(&by_item("g1", 1), &[("sport", 2)])).await.expect("answers");
    assert_eq!(viewed.generation, generation);

    // In a batch each search has the versions that it asks for, in its place.
    let asked = searches();
    let requests = vec![
        with(&asked[0], &[("sport", 2)]),
        asked[0].clone(),
        with(&asked[0], &[("sport", 9)]),
        with(&asked[2], &[("sport", 2)]),
    ];
    let batch = v1::SearchBatchRequest { requests };
    let batch = client.search.search_batch(batch).await.expect("answered").into_inner();
    let results: Vec<Option<Vec<v1::SearchResult>>> = batch
        .results
        .into_iter()
        .map(|result| match result.outcome.expect("told") {
            v1::search_batch_result::Outcome::Response(answer) => Some(answer.results),
            v1::search_batch_result::Outcome::Error(_) => None,
        })
        .collect();
    let wanted = [Some(&second[0].0), Some(&first[0].0), None, Some(&second[2].0)];
    assert!(results.iter().map(Option::as_ref).eq(wanted), "{results:?}");

    client.heads.promote_head(promote(2)).await.expect("promoted");
    for (at, request) in searches().into_iter().enumerate() {
        assert_eq!(told(&mut client, request.clone()).await, second[at], "search {at}");
        assert_eq!(told(&mut client, with(&request, &[("sport", 1)])).await, first[at], "search {at}");
    }
    assert_eq!(described(&mut client, &[]).await.expect("described"), of_second);
    assert_eq!(described(&mut client, &[("sport", 1)]).await.expect("described"), of_first);
    assert_eq!(suggested(&mut client, &[]).await.expect("suggested"), suggested_second);
    assert_eq!(suggested(&mut client, &[("sport", 1)]).await.expect("suggested"), suggested_first);
    assert_eq!(personalised(&mut client, &[]).await.expect("weighed"), picked_second);
    assert_eq!(personalised(&mut client, &[("sport", 1)]).await.expect("weighed"), picked_first);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_version_go_on_as_long_as_it_is_there() {
    let (server, mut client) = two_versions().await;
    let asked = v1::SearchRequest {
        weighting: weights(&[("sport", 1.0)], true),
        paged: true,
        head_versions: named(&[("sport", 2)]),
        ..by_image(to_jpeg(&render(2, 3).photo), 10)
    };
    let whole = v1::SearchRequest { k: 20, paged: false, exact: true, ..asked.clone() };
    let whole = search(&mut client, whole).await.expect("answers");
    let first = search(&mut client, asked.clone()).await.expect("answers");
    let page_token = first.next_page_token.clone();
    let next = v1::SearchRequest { query: None, page_token, ..asked };
    let other = search(&mut client, with(&next, &[])).await.expect_err("a token of another request");
    assert_eq!(other.code(), Code::InvalidArgument);
    // The version that comes into service meanwhile is still the one that is asked for.
    for serves in [1, 2] {
        client.heads.promote_head(promote(serves)).await.expect("it is there");
        let second = search(&mut client, next.clone()).await.expect("answers");
        let ids = first.results.iter().chain(&second.results).map(|result| result.item_id.as_str());
        assert!(
            ids.eq(whole.results.iter().map(|result| result.item_id.as_str())),
            "version {serves} serves"
        );
    }
    client.heads.rollback_head(rollback()).await.expect("rolled back");
    client.heads.retire_head(retire(2)).await.expect("retired");
    let gone = search(&mut client, next).await.expect_err("the version is gone");
    assert_eq!((gone.code(), reason(&gone).as_str()), (Code::FailedPrecondition, "PAGE_EXPIRED"), "{gone:?}");
    let anew = search(&mut client, with(&by_item("g1", 1), &[("sport", 2)])).await.expect_err("gone");
    assert_eq!(
        (anew.code(), reason(&anew).as_str()),
        (Code::FailedPrecondition, "NOT_ON_STANDBY"),
        "{anew:?}"
    );
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_cannot_answer_are_refused() {
    let (server, mut client) = two_versions().await;
    let many: Vec<String> = (0..2000).map(|n| format!("h{n}")).collect();
    let many: Vec<(&str, u32)> = many.iter().map(|name| (name.as_str(), 1)).collect();
    let cases: [(&[(&str, u32)], Code); 5] = [
        (&[("sport", 9)], Code::NotFound),
        (&[("nothing", 1)], Code::NotFound),
        (&[("sport", 2), ("nothing", 1)], Code::NotFound),
        (&[("sport", 0)], Code::InvalidArgument),
        (many.as_slice(), Code::InvalidArgument),
    ];
    for (versions, code) in cases {
        let searched = search(&mut client, with(&by_item("g1", 1), versions)).await.expect_err("refused");
        assert_eq!(searched.code(), code, "{searched:?}");
        assert_eq!(described(&mut client, versions).await.expect_err("refused").code(), code);
        assert_eq!(suggested(&mut client, versions).await.expect_err("refused").code(), code);
        assert_eq!(personalised(&mut client, versions).await.expect_err("refused").code(), code);
    }
    server.finish().await;
}

#[tokio::test]
async fn a_version_that_lacks_signatures_is_promoted_only_when_that_is_allowed() {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", 2, &["calm"])).await.expect("registered");
    let message = |id: &str, head: &str, values: Vec<f32>, only: bool| v1::UpsertItemsRequest {
        id: id.into(),
        signatures: vec![v1::Signature { head: head.into(), values }],
        signatures_only: only,
        ..Default::default()
    };
    let items =
        vec![message("a", "mood", vec![1.0, 0.0], false), message("b", "mood", vec![0.0, 1.0], false)];
    client.upsert(items).await.expect("stored");
    let next = external_bundle("mood", 3, &["calm"]);
    let head = client.register_bundle_as(&next, update(true)).await.expect("registered");
    assert_eq!((head.version, head.state()), (2, Standby));
    let one = client.upsert(vec![message("a", "mood@2", vec![1.0, 0.0, 0.0], true)]).await.expect("stored");
    assert!(one[0].error.is_none(), "{one:?}");
    let asked = |allow_missing| v1::PromoteHeadRequest {
        name: "mood".into(),
        version: 2,
        request_id: format!("missing-{allow_missing}"),
        allow_missing,
    };
    for _ in 0..2 {
        let lacks = client.heads.promote_head(asked(false)).await.expect_err("one item lacks a signature");
        assert_eq!((lacks.code(), reason(&lacks).as_str()), (Code::FailedPrecondition, "INCOMPLETE"));
        assert!(
            lacks.message().contains("1 items have") && lacks.message().contains("and 2 one"),
            "{lacks:?}"
        );
    }
    // It can be looked at before, with what it lacks.
    let viewed = search(&mut client, with(&by_item("a", 2), &[("mood", 2)])).await.expect("answers");
    assert_eq!(viewed.plan.expect("told").missing, 1);
    for _ in 0..2 {
        let promoted = client.heads.promote_head(asked(true)).await.expect("promoted").into_inner().head;
        assert_eq!(promoted.expect("told").state(), Active);
    }
    // The version before has more, and comes back without more ado.
    let back = v1::PromoteHeadRequest { name: "mood".into(), version: 1, ..Default::default() };
    client.heads.promote_head(back).await.expect("promoted");
    let two = client.upsert(vec![message("b", "mood@2", vec![0.0, 1.0, 0.0], true)]).await.expect("stored");
    assert!(two[0].error.is_none(), "{two:?}");
    let whole = v1::PromoteHeadRequest { name: "mood".into(), version: 2, ..Default::default() };
    client.heads.promote_head(whole).await.expect("nothing is missing any more");
    server.finish().await;
}
