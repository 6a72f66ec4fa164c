//! Heads that come and go while the server works.

use lapel_client::{Client, bundle_parts, v1};
use lapel_render::render;
use lapel_tests::{TestServer, by_item, external_bundle, ingest, item, set, settled, sport_bundle, weights};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tonic::Code;
use tonic_types::StatusExt;

/// Asks 100 queries a second until told to stop; each must succeed and see one generation whole.
async fn ask(mut client: Client, stop: Arc<AtomicBool>) -> BTreeMap<u64, usize> {
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut by_generation = BTreeMap::new();
    let mut at = 0;
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        at += 1;
        let request = v1::SearchRequest { explain: true, ..by_item(&format!("g{}", at % 100), 5) };
        let answer = client.search.search(request).await.expect("no query fails").into_inner();
        // Generation 7 has the seven shipped heads, generation 8 the new one too.
        let heads = answer.weights.len();
        assert_eq!(heads as u64, answer.generation, "a query sees a head whole or not at all");
        assert_eq!(answer.weights.contains_key("sport"), answer.generation == 8);
        assert_eq!(answer.plan.expect("named").missing, 0, "an active head has every signature");
        assert!(
            answer.results.iter().all(|r| r.explanation.as_ref().is_some_and(|e| e.terms.len() == heads))
        );
        *by_generation.entry(answer.generation).or_insert(0) += 1;
    }
    by_generation
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_registered_under_load_and_survives_a_restart() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 31, 300).await;
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn(ask(server.client().await, stop.clone()));
    let head = client.register_bundle(&sport_bundle()).await.expect("registered");
    assert_eq!(head.state(), v1::HeadState::Backfilling);
    // Until it is active, a head cannot be asked for.
    let early = v1::SearchRequest { weighting: weights(&[("sport", 1.0)], true), ..by_item("g1", 1) };
    assert_eq!(client.search.search(early).await.expect_err("not active").code(), Code::NotFound);
    // Items written during the backfill get the new head's signature as well.
    let late = (0..40).map(|i| item(&format!("late{i}"), &render(32, i))).collect();
    let results = client.upsert(late).await.expect("stored");
    assert!(results.iter().all(|r| r.error.is_none()), "{results:?}");
    let head = settled(&mut client, "sport").await;
    assert_eq!(head.state(), v1::HeadState::Active, "{head:?}");
    assert_eq!(head.backfill.expect("told").items_skipped, 0);
    for i in 0..20 {
        let answer = client.search.search(by_item(&format!("g{i}"), 5)).await.expect("answers").into_inner();
        assert_eq!(answer.generation, 8);
    }
    stop.store(true, Ordering::Relaxed);
    let asked = asking.await.expect("no query failed");
    println!("queries by generation: {asked:?}");
    // How many depends on how fast the machine is.
    assert!(asked.contains_key(&7), "queries went on during the backfill: {asked:?}");
    serves_sport(&mut client).await;
    // The same bundle again is the head that is there.
    let again = client.register_bundle(&sport_bundle()).await.expect("repeated");
    assert_eq!((again.state(), again.bundle_sha256), (v1::HeadState::Active, head.bundle_sha256));
    server.restart().await;
    serves_sport(&mut server.client().await).await;
    server.finish().await;
}

/// Every item has the head's signature, and its attribute can be described and asked for.
async fn serves_sport(client: &mut Client) {
    let stats =
        client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await.expect("counted").into_inner();
    assert_eq!(stats.generation, 8);
    assert!(stats.heads.iter().all(|h| h.signatures == 340 && h.missing == 0), "{:?}", stats.heads);
    let source = Some(v1::describe_request::Source::ItemId("g1".into()));
    let request = v1::DescribeRequest { source, ..v1::DescribeRequest::default() };
    let seen = client.search.describe(request).await.expect("described").into_inner();
    assert!(seen.attributes.iter().any(|a| a.attribute == "sport"));
    // T-shirts that are asked for with a football number come back with one more often than they are.
    let filter = v1::LabelFilter {
        attribute: "category".into(),
        labels: vec!["t-shirt".into()],
        ..Default::default()
    };
    let request = v1::SearchRequest {
        manipulations: vec![set("sport", "football")],
        weighting: weights(&[("sport", 1.0)], true),
        filters: vec![filter],
        ..by_item("g1", 5)
    };
    let answer = client.search.search(request).await.expect("answers").into_inner();
    assert_eq!(answer.manipulations[0].head, "sport");
    let labels: Vec<_> = answer.results.iter().filter_map(|r| r.labels.get("sport")).collect();
    let football = labels.iter().filter(|l| **l == "football").count() as f64 / labels.len() as f64;
    let sports = &stats.labels["sport"].counts;
    let usual = sports["football"] as f64 / sports.values().sum::<u64>() as f64;
    assert!(labels[0] == "football" && football > 3.0 * usual, "{labels:?}, usually {usual:.3}");
}

#[tokio::test]
async fn an_external_head_takes_signatures_that_come_with_the_items() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 41, 10).await;
    let head =
        client.register_bundle(&external_bundle("mood", 4, &["calm", "loud"])).await.expect("registered");
    assert_eq!((head.state(), head.kind()), (v1::HeadState::Active, v1::HeadKind::External));
    let signature = |values: Vec<f32>| v1::Signature { head: "mood".into(), values };
    let with = |id: &str, label: &str, values: Vec<f32>| v1::UpsertItemsRequest {
        labels: BTreeMap::from([("mood".to_owned(), label.to_owned())]),
        signatures: vec![signature(values)],
        ..item(id, &render(42, 0))
    };
    let mut wrong = with("wrong", "calm", vec![1.0, 0.0]);
    wrong.signatures.push(signature(vec![1.0; 4]));
    let bare = v1::UpsertItemsRequest { image: Vec::new(), ..with("bare", "loud", vec![0.0, 2.0, 0.0, 0.0]) };
    let items = vec![with("calm", "calm", vec![5.0, 0.0, 0.0, 0.0]), bare, wrong];
    let results = client.upsert(items).await.expect("answered");
    assert!(results[0].error.is_none() && results[1].error.is_none(), "{results:?}");
    assert_eq!(results[2].error.as_ref().expect("refused").reason, "INVALID_FIELD");
    let stats =
        client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await.expect("counted").into_inner();
    let coverage =
        |head: &str| stats.heads.iter().find(|h| h.head == head).map(|h| (h.signatures, h.missing));
    assert_eq!((coverage("mood"), coverage("color")), (Some((2, 10)), Some((11, 1))));
    // Searched alone: those with a signature by their distance, the others by the expected one, said so.
    let source = Some(v1::query::Source::Signatures(v1::SignatureSet {
        signatures: vec![signature(vec![1.0, 0.0, 0.0, 0.0])],
    }));
    let query = Some(v1::Query { source, also_signatures: Vec::new() });
    let request = v1::SearchRequest { query, k: 12, explain: true, ..v1::SearchRequest::default() };
    let answer = client.search.search(request).await.expect("answers").into_inner();
    assert_eq!((answer.results[0].item_id.as_str(), answer.results[0].distance), ("calm", 0.0));
    assert_eq!(answer.plan.expect("named").missing, 10);
    let missing = |r: &v1::SearchResult| r.explanation.as_ref().expect("asked for").terms[0].missing;
    assert!(!missing(&answer.results[0]) && missing(&answer.results[5]));
    // Root mean square of the distances 0 and sqrt(2).
    assert!((answer.results[5].distance - 1.0).abs() < 1e-6);
    assert_eq!(answer.results[11].item_id, "bare", "farther than expected");
    // Its labels can be asked for as any other head's.
    let request = v1::SearchRequest {
        manipulations: vec![set("mood", "loud")],
        weighting: weights(&[("mood", 1.0)], true),
        ..by_item("calm", 1)
    };
    let answer = client.search.search(request).await.expect("answers").into_inner();
    assert_eq!(answer.results[0].item_id, "bare");
    server.finish().await;
}

#[tokio::test]
async fn a_whole_catalogue_is_given_signatures_of_a_new_head() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 41, 10).await;
    client.register_bundle(&external_bundle("mood", 4, &["calm", "loud"])).await.expect("registered");
    let sign = |id: &str, head: &str, values: Vec<f32>| v1::UpsertItemsRequest {
        id: id.to_owned(),
        signatures: vec![v1::Signature { head: head.to_owned(), values }],
        signatures_only: true,
        ..v1::UpsertItemsRequest::default()
    };
    let before = client.catalog.get_item(v1::GetItemRequest { id: "g3".into() }).await.expect("there");
    let mut messages: Vec<_> =
        (0..10).map(|i| sign(&format!("g{i}"), "mood", vec![1.0, i as f32, 0.0, 0.0])).collect();
    messages.push(sign("nobody", "mood", vec![1.0; 4]));
    let results = client.upsert(messages).await.expect("answered");
    assert!(results[..10].iter().all(|r| r.error.is_none() && r.replaced), "{results:?}");
    assert_eq!(results[10].error.as_ref().expect("refused").reason, "NOT_FOUND");
    let labelled = v1::UpsertItemsRequest {
        labels: BTreeMap::from([("mood".to_owned(), "calm".to_owned())]),
        ..sign("g1", "mood", vec![1.0; 4])
    };
    let results = client.upsert(vec![labelled, sign("g2", "color", vec![1.0; 64])]).await.expect("answered");
    for refused in &results {
        assert_eq!(refused.error.as_ref().expect("refused").reason, "INVALID_FIELD", "{results:?}");
    }
    for _ in 0..2 {
        let stats = client
            .catalog
            .catalog_stats(v1::CatalogStatsRequest::default())
            .await
            .expect("counted")
            .into_inner();
        assert!(stats.heads.iter().all(|h| (h.signatures, h.missing) == (10, 0)), "{:?}", stats.heads);
        let after = client.catalog.get_item(v1::GetItemRequest { id: "g3".into() }).await.expect("there");
        let (before, after) = (before.get_ref().item.clone(), after.into_inner().item.expect("there"));
        let before = before.expect("there");
        assert_eq!((before.labels, before.has_image), (after.labels, after.has_image));
        assert!(after.heads.contains(&"mood".to_owned()));
        let alone = v1::SearchRequest { weighting: weights(&[("mood", 1.0)], true), ..by_item("g3", 2) };
        let found = client.search.search(alone).await.expect("answers").into_inner().results;
        assert_eq!((found[0].item_id.as_str(), found[1].item_id.as_str()), ("g3", "g4"));
        server.restart().await;
        client = server.client().await;
    }
    server.finish().await;
}

#[tokio::test]
async fn heads_retire_and_their_names_are_free_again() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 41, 10).await;
    let retire = |name: &str| v1::RetireHeadRequest { name: name.to_owned(), ..Default::default() };
    let gone = client.heads.retire_head(retire("pattern")).await.expect("retired").into_inner();
    assert_eq!(gone.head.expect("told").state(), v1::HeadState::Retired);
    assert_eq!(client.heads.retire_head(retire("pattern")).await.expect_err("gone").code(), Code::NotFound);
    let answer = client.search.search(by_item("g0", 3)).await.expect("answers").into_inner();
    assert_eq!((answer.weights.len(), answer.generation), (6, 8));
    server.restart().await;
    let mut client = server.client().await;
    let answer = client.search.search(by_item("g0", 3)).await.expect("answers").into_inner();
    assert_eq!((answer.weights.len(), answer.generation), (6, 8), "a retired head stays retired");
    // A new head of the name, with the items of old.
    let head = client.register_bundle(&external_bundle("pattern", 3, &["plain"])).await.expect("registered");
    assert_eq!(head.state(), v1::HeadState::Active);
    for name in ["collar", "color", "fastening", "general", "neckline", "sleeve_length"] {
        client.heads.retire_head(retire(name)).await.expect("retired");
    }
    let last = client.heads.retire_head(retire("pattern")).await.expect_err("the last");
    assert_eq!(last.get_error_details().error_info().expect("a reason").reason, "LAST_HEAD");
    server.finish().await;
}

#[tokio::test]
async fn unsound_bundles_are_refused_and_change_nothing() {
    let server =
        TestServer::start_with(|c| c.limits.bundle_bytes_max = lapel_server::ByteSize(4 << 20)).await;
    let mut client = server.client().await;
    ingest(&mut client, 41, 5).await;
    let before = client.search.search(by_item("g0", 5)).await.expect("answers").into_inner();
    let sport = sport_bundle();
    let parsed = lapel_heads::Bundle::parse(&sport).expect("sound");
    let changed = |change: &dyn Fn(&mut lapel_heads::Bundle)| {
        let mut bundle = parsed.clone();
        change(&mut bundle);
        bundle.to_bytes().expect("written")
    };
    let other_backbone = changed(&|b| b.manifest.backbone = Some("resnet/layer4/0".into()));
    let wrong_shape = changed(&|b| b.manifest.hidden = 31);
    let nan = changed(&|b| b.tensors.get_mut("fc7.bias").expect("there").data[0] = f32::NAN);
    let same_name = changed(&|b| b.manifest.description = "another".into());
    let taken_name = changed(&|b| b.manifest.name = "color".into());
    let taken_attribute = external_bundle("tint", 3, &["x"]);
    let taken_attribute = {
        let mut bundle = lapel_heads::Bundle::parse(&taken_attribute).expect("sound");
        bundle.manifest.attributes[0].name = "color".into();
        bundle.to_bytes().expect("written")
    };
    let mut flipped = sport.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    let cases = [
        ("other backbone", bundle_parts(&other_backbone), Code::FailedPrecondition),
        ("wrong shape", bundle_parts(&wrong_shape), Code::InvalidArgument),
        ("NaN weights", bundle_parts(&nan), Code::InvalidArgument),
        ("changed content", bundle_parts(&flipped), Code::InvalidArgument),
        ("not safetensors", bundle_parts(b"hello"), Code::InvalidArgument),
        ("nothing", bundle_parts(b""), Code::InvalidArgument),
        ("a taken name", bundle_parts(&taken_name), Code::AlreadyExists),
        ("a taken attribute", bundle_parts(&taken_attribute), Code::AlreadyExists),
        ("too large", bundle_parts(&vec![0; (4 << 20) + 1]), Code::InvalidArgument),
        ("no header", bundle_parts(&sport)[1..].to_vec(), Code::InvalidArgument),
        ("cut short", bundle_parts(&sport)[..1].to_vec(), Code::InvalidArgument),
        (
            "wrong hash",
            [bundle_parts(&same_name)[..1].to_vec(), bundle_parts(&sport)[1..].to_vec()].concat(),
            Code::InvalidArgument,
        ),
    ];
    for (case, parts, code) in cases {
        let error = client.register_parts(parts).await.expect_err(case);
        assert_eq!(error.code(), code, "{case}: {}", error.message());
        assert!(error.get_error_details().error_info().is_some(), "{case} has a reason");
    }
    client.register_bundle(&sport).await.expect("registered");
    assert_eq!(settled(&mut client, "sport").await.state(), v1::HeadState::Active);
    let taken = client.register_bundle(&same_name).await.expect_err("the same name with other content");
    assert_eq!(taken.code(), Code::AlreadyExists);
    client
        .heads
        .retire_head(v1::RetireHeadRequest { name: "sport".into(), ..Default::default() })
        .await
        .expect("retired");
    let after = client.search.search(by_item("g0", 5)).await.expect("answers").into_inner();
    assert_eq!(before.results, after.results);
    server.finish().await;
}
