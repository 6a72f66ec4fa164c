//! External heads with a classifier, and queries of a photo and signatures together.

use crate::shop::node;
use crate::versions::{reason, update};
use lapel_client::{Client, v1};
use lapel_heads::{Attribute, Bundle, Manifest, Weights};
use lapel_render::{render, to_jpeg};
use lapel_tests::{TestServer, by_image, by_item, item, set, weights};
use std::collections::BTreeMap;
use tonic::Code;
use tonic_types::StatusExt;
use v1::filter::Node;

/// An external head of two numbers: the larger tells the mood.
fn mood() -> Vec<u8> {
    let labels = ["calm", "loud"].map(str::to_owned).to_vec();
    let identity = |factor: f32| Weights { shape: vec![2, 2], data: vec![factor, 0.0, 0.0, factor] };
    let manifest = Manifest {
        prototype_counts: BTreeMap::from([("mood".to_owned(), vec![3, 3])]),
        thresholds: BTreeMap::from([("mood".to_owned(), vec![0.6, 0.6])]),
        ..Manifest::external("mood", 2, vec![Attribute { name: "mood".to_owned(), labels }])
    };
    let tensors = BTreeMap::from([
        ("classifier.mood.weight".to_owned(), identity(5.0)),
        ("classifier.mood.bias".to_owned(), Weights { shape: vec![2], data: vec![0.0; 2] }),
        ("prototypes.mood".to_owned(), identity(1.0)),
    ]);
    Bundle { manifest, tensors, graph: None }.to_bytes().expect("written")
}

fn signature(values: [f32; 2]) -> v1::Signature {
    v1::Signature { head: "mood".into(), values: values.to_vec() }
}

/// Three items of one photo and another mood each, and one without any.
async fn started() -> (TestServer, Client) {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let head = client.register_bundle(&mood()).await.expect("registered");
    assert_eq!((head.state(), head.kind()), (v1::HeadState::Active, v1::HeadKind::External));
    let of = |id: &str, signatures: Vec<v1::Signature>| v1::UpsertItemsRequest {
        signatures,
        ..item(id, &render(7, 0))
    };
    let items = vec![
        of("calm", vec![signature([1.0, 0.0])]),
        of("loud", vec![signature([0.0, 3.0])]),
        of("between", vec![signature([1.0, 1.01])]),
        of("without", Vec::new()),
    ];
    let results = client.upsert(items).await.expect("stored");
    assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
    (server, client)
}

/// A search by the photo that all items have and a mood, by that alone.
fn photo_and(also_signatures: Vec<v1::Signature>) -> v1::SearchRequest {
    let source = Some(v1::query::Source::Image(to_jpeg(&render(7, 0).photo)));
    v1::SearchRequest {
        query: Some(v1::Query { source, also_signatures }),
        weighting: weights(&[("mood", 1.0)], true),
        k: 4,
        explain: true,
        ..v1::SearchRequest::default()
    }
}

async fn search(client: &mut Client, request: v1::SearchRequest) -> v1::SearchResponse {
    client.search.search(request).await.expect("answers").into_inner()
}

fn first(answer: &v1::SearchResponse) -> (&str, &v1::AttributeMatch) {
    let result = answer.results.first().expect("a result");
    let attributes = &result.explanation.as_ref().expect("asked for").attributes;
    (result.item_id.as_str(), attributes.iter().find(|of| of.attribute == "mood").expect("explained"))
}

#[tokio::test]
async fn items_are_described_and_filtered_by_an_external_classifier() {
    let (server, mut client) = started().await;
    for (id, wanted) in [
        ("calm", Some(("calm", false))),
        ("loud", Some(("loud", false))),
        ("between", Some(("loud", true))),
        ("without", None),
    ] {
        let source = Some(v1::describe_request::Source::ItemId(id.to_owned()));
        let request = v1::DescribeRequest {
            source,
            include_signatures: false,
            labels_max: 1,
            picture: None,
            head_versions: BTreeMap::new(),
        };
        let answer = client.search.describe(request).await.expect("described").into_inner();
        let found = answer.attributes.iter().find(|of| of.attribute == "mood");
        let found = found.map(|of| (of.labels[0].label.as_str(), of.unsure));
        assert_eq!(found, wanted, "{id}");
    }
    for (label, probability_min, wanted) in [
        ("calm", None, vec!["calm"]),
        ("loud", None, vec!["loud"]),
        ("loud", Some(0.5), vec!["between", "loud"]),
    ] {
        let filter = node(Node::Predicted(v1::PredictedFilter {
            attribute: "mood".into(),
            labels: vec![label.into()],
            probability_min,
            allow_unknown: false,
        }));
        let list = v1::ListItemsRequest { page_size: 10, filter: Some(filter), ..Default::default() };
        let items = client.catalog.list_items(list).await.expect("listed").into_inner().items;
        let found: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(found, wanted, "{label} {probability_min:?}");
    }
    server.finish().await;
}

#[tokio::test]
async fn a_photo_is_searched_for_together_with_a_signature_and_edited() {
    let (server, mut client) = started().await;
    for (values, wanted) in [([1.0, 0.0], "calm"), ([0.0, 1.0], "loud")] {
        let answer = search(&mut client, photo_and(vec![signature(values)])).await;
        let (id, mood) = first(&answer);
        assert_eq!((id, mood.wanted.as_str(), mood.found.as_str()), (wanted, wanted, wanted));
        assert!(mood.predicted && mood.outcome() == v1::AttributeOutcome::Kept, "{mood:?}");
    }
    // Edited to the other mood: the prototype takes the signature's place.
    let request = v1::SearchRequest {
        manipulations: vec![set("mood", "loud")],
        ..photo_and(vec![signature([1.0, 0.0])])
    };
    let answer = search(&mut client, request.clone()).await;
    let (id, mood) = first(&answer);
    assert_eq!((id, mood.outcome()), ("loud", v1::AttributeOutcome::Changed));
    assert!(answer.results[0].matches_all && answer.results[0].matches_predicted);
    let batch = v1::SearchBatchRequest { requests: vec![request] };
    let batch = client.search.search_batch(batch).await.expect("answers").into_inner();
    let Some(v1::search_batch_result::Outcome::Response(of_batch)) = &batch.results[0].outcome else {
        panic!("refused")
    };
    assert_eq!(of_batch.results[0].item_id, "loud");
    // In the place of an item's own signature.
    let query = Some(v1::Query {
        also_signatures: vec![signature([0.0, 1.0])],
        ..by_item("calm", 4).query.expect("set")
    });
    let request = v1::SearchRequest { query: query.clone(), ..photo_and(Vec::new()) };
    assert_eq!(first(&search(&mut client, request).await).0, "loud");
    // Suggest offers what the query is not.
    let request = v1::SuggestRequest { query: query.clone(), ..v1::SuggestRequest::default() };
    let answer = client.search.suggest(request).await.expect("answers").into_inner();
    let moods = answer.suggestions.into_iter().filter_map(|suggestion| suggestion.manipulation);
    let moods: Vec<String> = moods.filter(|edit| edit.attribute == "mood").map(|edit| edit.label).collect();
    assert!(!moods.contains(&"loud".to_owned()), "{moods:?}");
    // Two picks give weights; the query stays what it is.
    let request = v1::PersonaliseRequest {
        picked_ids: ["calm", "between"].map(str::to_owned).to_vec(),
        query,
        k: 4,
        as_before: true,
        ..v1::PersonaliseRequest::default()
    };
    let answer = client.feedback.personalise(request).await.expect("answers").into_inner();
    let loud = answer.results.iter().find(|result| result.item_id == "loud").expect("shown");
    assert!(loud.distance < 1e-3, "{loud:?}");
    server.finish().await;
}

#[tokio::test]
async fn faults_of_signatures_beside_a_query_are_told_with_their_heads() {
    let (server, mut client) = started().await;
    let of = |head: &str, values: Vec<f32>| v1::Signature { head: head.into(), values };
    for (also, code, field) in [
        (vec![of("color", vec![1.0; 64])], Code::InvalidArgument, "color"),
        (vec![of("moood", vec![1.0; 2])], Code::NotFound, "moood"),
        (vec![of("mood", vec![1.0; 3])], Code::InvalidArgument, "mood"),
        (vec![of("mood", vec![0.0; 2])], Code::InvalidArgument, "mood"),
        (vec![of("mood", vec![f32::NAN, 1.0])], Code::InvalidArgument, "mood"),
        (vec![signature([1.0, 0.0]); 2], Code::InvalidArgument, "mood"),
    ] {
        let photo = photo_and(also.clone());
        let query = v1::Query { also_signatures: also, ..by_item("calm", 1).query.expect("set") };
        let item = v1::SearchRequest { query: Some(query), ..photo_and(Vec::new()) };
        for request in [photo, item] {
            let status = client.search.search(request).await.expect_err("refused");
            assert_eq!(status.code(), code, "{status:?}");
            let told =
                status.get_error_details().bad_request().map(|bad| bad.field_violations[0].field.clone());
            assert_eq!(told, Some(format!("query.also_signatures[{field}]")), "{status:?}");
        }
    }
    // Beside signatures, one of any head that is not among them.
    let set = v1::SignatureSet { signatures: vec![signature([1.0, 0.0])] };
    let beside = |also_signatures: Vec<v1::Signature>| {
        let source = Some(v1::query::Source::Signatures(set.clone()));
        let query = Some(v1::Query { source, also_signatures });
        v1::SearchRequest { query, k: 1, ..v1::SearchRequest::default() }
    };
    let found = search(&mut client, beside(vec![of("color", vec![1.0; 64])])).await;
    assert!(found.weights.contains_key("color") && found.weights.contains_key("mood"), "{:?}", found.weights);
    let twice = client.search.search(beside(vec![signature([1.0, 0.0])])).await.expect_err("refused");
    assert_eq!(twice.code(), Code::InvalidArgument, "{twice:?}");
    // Alone they are no query.
    let query = Some(v1::Query { source: None, also_signatures: vec![signature([1.0, 0.0])] });
    let request = v1::SearchRequest { query, ..by_image(Vec::new(), 1) };
    let alone = client.search.search(request).await.expect_err("refused");
    assert_eq!(alone.code(), Code::InvalidArgument, "{alone:?}");
    server.finish().await;
}

/// The same head with another weight.
fn mood_of_weight(weight: f32) -> Vec<u8> {
    let mut bundle = Bundle::parse(&mood()).expect("sound");
    bundle.manifest.weight = weight;
    bundle.to_bytes().expect("written")
}

/// Writes to items that are there.
async fn write(client: &mut Client, items: Vec<v1::UpsertItemsRequest>) {
    let results = client.upsert(items).await.expect("answered");
    assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
}

#[tokio::test]
async fn an_update_stands_by_and_is_compared_once_its_signatures_are_sent() {
    use v1::HeadState::{Active, Standby};
    let (server, mut client) = started().await;
    let next = mood_of_weight(2.0);
    for _ in 0..2 {
        let head = client.register_bundle_as(&next, update(false)).await.expect("registered");
        assert_eq!((head.version, head.state()), (2, Standby), "it has no signatures");
    }
    let found = search(&mut client, photo_and(vec![signature([1.0, 0.0])])).await;
    assert_eq!(first(&found).0, "calm", "the first version serves on");
    let asked = v1::SuggestExamplesRequest { name: "mood".into(), version: 2, ..Default::default() };
    let unsigned = client.heads.suggest_examples(asked).await.expect_err("no signatures");
    assert_eq!(reason(&unsigned), "NO_SIGNATURES");
    assert!(unsigned.message().contains("signatures_only"), "{unsigned:?}");

    let compare = v1::CompareHeadsRequest { name: "mood".into(), ..Default::default() };
    let unlabelled = client.heads.compare_heads(compare.clone()).await.expect_err("no labels");
    assert_eq!(reason(&unlabelled), "NO_LABELLED_ITEMS", "{unlabelled:?}");
    let labelled = |id: &str| v1::UpsertItemsRequest {
        id: id.into(),
        labels: BTreeMap::from([("mood".to_owned(), id.to_owned())]),
        labels_only: true,
        ..Default::default()
    };
    write(&mut client, vec![labelled("calm"), labelled("loud")]).await;
    let unsigned = client.heads.compare_heads(compare.clone()).await.expect_err("no signatures");
    assert_eq!((unsigned.code(), reason(&unsigned).as_str()), (Code::FailedPrecondition, "NO_SIGNATURES"));
    let told = "version 2 of \"mood\" has signatures of 0 of the 2 labelled items";
    assert!(unsigned.message().starts_with(told), "{unsigned:?}");
    let itself = v1::CompareHeadsRequest { other_version: 2, ..compare.clone() };
    let refused = client.heads.compare_heads(itself).await.expect_err("the same version");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");

    let signed = |id: &str, values: [f32; 2]| v1::UpsertItemsRequest {
        id: id.into(),
        signatures: vec![v1::Signature { head: "mood@2".into(), values: values.to_vec() }],
        signatures_only: true,
        ..Default::default()
    };
    let items = vec![signed("calm", [0.0, 1.0]), signed("loud", [0.0, 1.0]), signed("between", [1.0, 0.0])];
    write(&mut client, items).await;
    let compared = client.heads.compare_heads(compare).await.expect("compared").into_inner();
    let [of_mood] = compared.attributes.as_slice() else { panic!("{compared:?}") };
    assert_eq!((of_mood.gained, of_mood.lost), (0, 1), "calm looks loud to the second version");
    let promote = v1::PromoteHeadRequest { name: "mood".into(), ..Default::default() };
    let head = client.heads.promote_head(promote).await.expect("promoted").into_inner().head.expect("told");
    assert_eq!((head.version, head.state()), (2, Active));
    server.finish().await;
}

#[tokio::test]
async fn a_head_of_which_no_version_serves_is_told_with_those_that_stand_by() {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut client = server.client().await;
    client.register_bundle_as(&mood(), update(true)).await.expect("registered");
    let compare = v1::CompareHeadsRequest { name: "mood".into(), ..Default::default() };
    let refused = client.heads.compare_heads(compare).await.expect_err("none serves");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "NOT_IN_SERVICE"));
    let told =
        "no version of \"mood\" is active; there are: 1 (on standby); name the two to compare in `version`";
    assert!(refused.message().starts_with(told), "{refused:?}");
    server.finish().await;
}
