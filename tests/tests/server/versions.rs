//! Versions of a head: updated beside the one that serves, promoted, rolled back, cancelled, retired; and heads that
//! cannot go on.

use lapel_client::{Client, v1};
use lapel_heads::Bundle;
use lapel_render::render;
use lapel_tests::{TestServer, by_item, external_bundle, ingest, item, settled, sport_bundle, weights};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tonic::Code;
use tonic_types::StatusExt;

/// The sport head with another weight, by which answers tell it from the first.
pub(crate) fn sport_of_weight(weight: f32) -> Vec<u8> {
    let mut bundle = Bundle::parse(&sport_bundle()).expect("sound");
    bundle.manifest.weight = weight;
    // Its signatures are others, too.
    bundle.tensors.get_mut("fc7.bias").expect("there").data[0] += weight;
    bundle.to_bytes().expect("written")
}

pub(crate) fn update(hold: bool) -> v1::RegisterHeadHeader {
    v1::RegisterHeadHeader { update: true, hold, ..Default::default() }
}

pub(crate) fn promote(version: u32) -> v1::PromoteHeadRequest {
    v1::PromoteHeadRequest { name: "sport".into(), version, ..Default::default() }
}

pub(crate) fn rollback() -> v1::RollbackHeadRequest {
    v1::RollbackHeadRequest { name: "sport".into(), ..Default::default() }
}

pub(crate) fn retire(version: u32) -> v1::RetireHeadRequest {
    v1::RetireHeadRequest { name: "sport".into(), version, ..Default::default() }
}

async fn states(client: &mut Client) -> Vec<(u32, v1::HeadState)> {
    let request = v1::ListHeadsRequest { page_size: 1000, ..Default::default() };
    let heads = client.heads.list_heads(request).await.expect("listed").into_inner().heads;
    heads.iter().filter(|h| h.name == "sport").map(|h| (h.version, h.state())).collect()
}

/// The distance of an item in the signatures of the version that serves.
async fn distance(client: &mut Client, from: &str, to: &str) -> f64 {
    let request =
        v1::SearchRequest { weighting: weights(&[("sport", 1.0)], true), exact: true, ..by_item(from, 1000) };
    let answer = client.search.search(request).await.expect("answers").into_inner();
    assert_eq!(answer.plan.expect("told").missing, 0, "a version that serves is whole");
    answer.results.iter().find(|r| r.item_id == to).expect("found").distance
}

/// The versions whose bundles are in the store, by a backup.
async fn stored(client: &mut Client) -> Vec<u8> {
    let mut pieces = client.admin.backup(v1::BackupRequest {}).await.expect("begun").into_inner();
    let mut backup = Vec::new();
    while let Some(piece) = pieces.message().await.expect("a piece") {
        backup.extend(piece.chunk);
    }
    // A record tells its table and its key, each after its length; the key ends with twelve digits of the bundle's hash.
    let is_stored = |version: &u8| {
        let record = [&b"\x07bundles\x14sport-"[..], version.to_string().as_bytes(), b"-"].concat();
        backup.windows(record.len()).any(|window| window == record)
    };
    (1..=9).filter(is_stored).collect()
}

pub(crate) fn reason(status: &tonic::Status) -> String {
    status.get_error_details().error_info().map(|i| i.reason.clone()).unwrap_or_default()
}

/// Searches until told to stop; none may fail, whatever happens to the head.
async fn ask(mut client: Client, stop: Arc<AtomicBool>) -> usize {
    let (mut pace, mut asked) = (tokio::time::interval(Duration::from_millis(5)), 0);
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let answer = client.search.search(by_item("g1", 5)).await.expect("no query fails").into_inner();
        assert_eq!(answer.weights.len(), 8, "one version of each head");
        assert_eq!(answer.plan.expect("told").missing, 0);
        asked += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_built_beside_promoted_rolled_back_and_retired() {
    use v1::HeadState::{Active, Retired, Standby};
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 31, 60).await;
    client.register_bundle(&sport_bundle()).await.expect("registered");
    assert_eq!(settled(&mut client, "sport").await.state(), Active);
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn(ask(server.client().await, stop.clone()));
    let first = distance(&mut client, "g1", "g2").await;
    let second = sport_of_weight(5.0);
    let refused = client.register_bundle(&second).await.expect_err("not said to be an update");
    assert_eq!(refused.code(), Code::AlreadyExists);
    let head = client.register_bundle_as(&second, update(true)).await.expect("registered");
    assert_eq!((head.version, head.state()), (2, v1::HeadState::Backfilling));
    // Items written meanwhile get the signatures of both versions.
    let late = client.upsert((0..20).map(|i| item(&format!("late{i}"), &render(32, i))).collect()).await;
    assert!(late.expect("stored").iter().all(|r| r.error.is_none()));
    let head = settled(&mut client, "sport").await;
    assert_eq!((head.version, head.state()), (2, Standby), "it was held");
    assert_eq!(states(&mut client).await, [(1, Active), (2, Standby)]);
    assert!((distance(&mut client, "g1", "g2").await - first).abs() < 1e-6, "the first serves on");
    let promoted = client.heads.promote_head(promote(0)).await.expect("promoted").into_inner().head;
    let promoted = promoted.expect("told");
    assert_eq!((promoted.version, promoted.state(), promoted.weight), (2, Active, 5.0));
    assert_eq!(states(&mut client).await, [(1, Standby), (2, Active)]);
    let changed = distance(&mut client, "g1", "g2").await;
    assert!((changed - first).abs() > 1e-4, "the second answers: {changed} {first}");
    // Again is no error, and what does not stand by cannot be promoted.
    client.heads.promote_head(promote(2)).await.expect("it serves already");
    assert_eq!(client.heads.promote_head(promote(9)).await.expect_err("unknown").code(), Code::NotFound);
    // Items written now still get both, so that the roll-back is whole.
    ingest_one(&mut client, "after").await;
    let back = client.heads.rollback_head(rollback()).await.expect("rolled back").into_inner().head;
    assert_eq!(back.expect("told").version, 1);
    assert!((distance(&mut client, "g1", "g2").await - first).abs() < 1e-6);
    distance(&mut client, "g1", "after").await;
    let serves = client.heads.retire_head(retire(1)).await.expect_err("it serves");
    assert_eq!(reason(&serves), "VERSION_SERVES");
    stop.store(true, Ordering::Relaxed);
    assert!(asking.await.expect("no query failed") > 20);
    server.restart().await;
    let mut client = server.client().await;
    assert_eq!(states(&mut client).await, [(1, Active), (2, Standby)], "after a restart");
    assert!((distance(&mut client, "g1", "g2").await - first).abs() < 1e-6);
    client.heads.rollback_head(rollback()).await.expect("the other one served before, too");
    assert!((distance(&mut client, "g1", "g2").await - changed).abs() < 1e-6);
    client.heads.retire_head(retire(1)).await.expect("retired");
    let nothing = client.heads.rollback_head(rollback()).await.expect_err("retired versions are gone");
    assert_eq!(reason(&nothing), "NOTHING_TO_ROLL_BACK");
    assert_eq!(states(&mut client).await, [(1, Retired), (2, Active)]);
    client.heads.retire_head(retire(0)).await.expect("retired");
    assert_eq!(states(&mut client).await, [(1, Retired), (2, Retired)]);
    // The name is free, and versions count on.
    let third = client.register_bundle(&sport_bundle()).await.expect("registered");
    assert_eq!(third.version, 3);
    server.finish().await;
}

async fn ingest_one(client: &mut Client, id: &str) {
    let results = client.upsert(vec![item(id, &render(33, 1))]).await.expect("stored");
    assert!(results[0].error.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_is_cancelled_and_the_version_that_serves_is_not_touched() {
    use v1::HeadState::{Active, Retired};
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.register_bundle(&sport_bundle()).await.expect("registered on an empty catalogue");
    ingest(&mut client, 31, 200).await;
    let none = v1::CancelHeadRequest { name: "sport".into(), ..Default::default() };
    let nothing = client.heads.cancel_head(none.clone()).await.expect_err("nothing runs");
    assert_eq!(reason(&nothing), "NO_BACKFILL");
    client.register_bundle_as(&sport_of_weight(5.0), update(false)).await.expect("registered");
    let other =
        client.register_bundle_as(&sport_of_weight(6.0), update(false)).await.expect_err("one at a time");
    assert_eq!(reason(&other), "BACKFILL_RUNNING");
    let ended = client.heads.cancel_head(none).await.expect("cancelled").into_inner().head.expect("told");
    assert_eq!((ended.version, ended.state()), (2, Retired));
    assert_eq!(states(&mut client).await, [(1, Active), (2, Retired)]);
    distance(&mut client, "g1", "g2").await;
    let head = client.register_bundle_as(&sport_of_weight(6.0), update(false)).await.expect("registered");
    assert_eq!(head.version, 3);
    let head = settled(&mut client, "sport").await;
    assert_eq!((head.version, head.state()), (3, Active), "it promotes itself");
    let backfill = head.backfill.expect("told");
    assert_eq!((backfill.items_done, backfill.items_skipped), (200, 0));
    assert!(backfill.items_per_second > 0.0 && backfill.seconds_left == Some(0.0));
    server.finish().await;
}

/// A head whose numbers overflow on real pictures, although not on the probe.
fn overflowing() -> Vec<u8> {
    let mut bundle = Bundle::parse(&sport_bundle()).expect("sound");
    let fc6 = bundle.tensors.get_mut("fc6.weight").expect("there");
    let inputs = fc6.shape[1];
    for (at, weight) in fc6.data.iter_mut().enumerate() {
        // The probe is zero at every 101st input.
        *weight = if (at % inputs).is_multiple_of(101) { 60_000.0 } else { 0.0 };
    }
    bundle.tensors.get_mut("fc6.bias").expect("there").data.fill(0.0);
    bundle.tensors.get_mut("fc7.weight").expect("there").data.fill(3e38);
    bundle.to_bytes().expect("written")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_overflows_fails_alone_and_the_version_before_serves_again() {
    use v1::HeadState::{Active, Failed, Retired};
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 31, 40).await;
    client.register_bundle(&overflowing()).await.expect("it passes the probe");
    let head = settled(&mut client, "sport").await;
    assert_eq!(head.state(), Failed, "{head:?}");
    assert!(head.failure.contains("not finite"), "{}", head.failure);
    let answer = client.search.search(by_item("g1", 5)).await.expect("the others serve").into_inner();
    assert_eq!(answer.weights.len(), 7);
    // On an empty catalogue nothing is noticed, so it serves until pictures come.
    let everything = (0..40).map(|i| format!("g{i}")).collect();
    let request = v1::DeleteItemsRequest { ids: everything, ..Default::default() };
    client.catalog.delete_items(request).await.expect("deleted");
    client.register_bundle(&sport_bundle()).await.expect("registered");
    let broken = client.register_bundle_as(&overflowing(), update(false)).await.expect("registered");
    assert_eq!((broken.version, broken.state()), (3, Active));
    ingest(&mut client, 34, 40).await;
    // The failure is handled beside the write that showed it.
    while states(&mut client).await != [(1, Failed), (2, Active), (3, Failed)] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    distance(&mut client, "g1", "g2").await;
    server.restart().await;
    let mut client = server.client().await;
    assert_eq!(states(&mut client).await, [(1, Failed), (2, Active), (3, Failed)]);
    // What failed is kept until it is retired.
    assert_eq!(stored(&mut client).await, [1, 2, 3]);
    client.heads.retire_head(retire(3)).await.expect("retired");
    assert_eq!(states(&mut client).await, [(1, Failed), (2, Active), (3, Retired)]);
    assert_eq!(stored(&mut client).await, [1, 2]);
    server.finish().await;
}

#[tokio::test]
async fn a_slow_head_is_refused_before_it_holds_up_the_others() {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.limits.head_ms_max = 1;
    })
    .await;
    let mut client = server.client().await;
    let mut bundle = Bundle::parse(&sport_bundle()).expect("sound");
    let times = 1024 / bundle.manifest.hidden;
    bundle.manifest.hidden *= times;
    for name in ["fc6.weight", "fc6.bias"] {
        let tensor = bundle.tensors.get_mut(name).expect("there");
        tensor.shape[0] *= times;
        tensor.data = tensor.data.repeat(times);
    }
    let fc7 = bundle.tensors.get_mut("fc7.weight").expect("there");
    let rows = fc7.data.chunks_exact(fc7.shape[1]).flat_map(|row| row.repeat(times)).collect();
    fc7.shape[1] *= times;
    fc7.data = rows;
    let refused = client.register_bundle(&bundle.to_bytes().expect("written")).await.expect_err("too slow");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "HEAD_TOO_SLOW"),
        "{refused:?}"
    );
    assert!(refused.message().contains("limits.head_ms_max"), "{}", refused.message());
    server.finish().await;
}

#[tokio::test]
async fn an_external_head_is_filled_before_it_is_promoted() {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", 2, &["calm"])).await.expect("registered");
    let message = |id: &str, head: &str, values: Vec<f32>, only: bool| v1::UpsertItemsRequest {
        id: id.into(),
        signatures: vec![v1::Signature { head: head.into(), values }],
        signatures_only: only,
        ..Default::default()
    };
    client
        .upsert(vec![
            message("a", "mood", vec![1.0, 0.0], false),
            message("b", "mood", vec![0.0, 1.0], false),
        ])
        .await
        .expect("stored");
    let head = client
        .register_bundle_as(&external_bundle("mood", 3, &["calm"]), update(true))
        .await
        .expect("registered");
    assert_eq!((head.version, head.state()), (2, v1::HeadState::Standby));
    let results = client
        .upsert(vec![
            message("a", "mood@2", vec![1.0, 0.0, 0.0], true),
            message("b", "mood@2", vec![0.0, 0.6, 0.8], true),
            message("b", "mood", vec![0.0, 1.0, 0.0], true),
        ])
        .await
        .expect("answered");
    assert!(results[0].error.is_none() && results[1].error.is_none(), "{results:?}");
    assert!(results[2].error.is_some(), "the version that serves has two numbers");
    client
        .heads
        .promote_head(v1::PromoteHeadRequest { name: "mood".into(), ..Default::default() })
        .await
        .expect("promoted");
    let found = client.search.search(by_item("a", 2)).await.expect("answers").into_inner();
    assert_eq!(found.plan.expect("told").missing, 0);
    assert!((found.results[1].distance - std::f64::consts::SQRT_2).abs() < 1e-6);
    server.finish().await;
}

/// A server with two versions of an external head, of which the second serves.
async fn two_moods() -> (TestServer, Client) {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", 2, &["calm"])).await.expect("registered");
    let second = client
        .register_bundle_as(&external_bundle("mood", 3, &["calm"]), update(false))
        .await
        .expect("registered");
    assert_eq!((second.version, second.state()), (2, v1::HeadState::Active), "there is nothing to backfill");
    (server, client)
}

#[tokio::test]
async fn a_request_that_changed_nothing_is_not_carried_out_by_a_late_repetition() {
    use v1::HeadState::{Active, Standby};
    let (mut server, mut client) = two_moods().await;
    let promote = v1::PromoteHeadRequest { request_id: "promote".into(), name: "mood".into(), ..promote(2) };
    let second = external_bundle("mood", 3, &["calm"]);
    let again = v1::RegisterHeadHeader { request_id: "again".into(), ..update(false) };
    client.heads.promote_head(promote.clone()).await.expect("it serves already");
    client.register_bundle_as(&second, again.clone()).await.expect("it is there already");
    let rollback = v1::RollbackHeadRequest { name: "mood".into(), request_id: "back".into() };
    client.heads.rollback_head(rollback).await.expect("rolled back");
    server.restart().await;
    let mut client = server.client().await;
    let late = client.heads.promote_head(promote).await.expect("answered").into_inner().head.expect("told");
    assert_eq!((late.version, late.state()), (2, Standby), "as it is now");
    let late = client.register_bundle_as(&second, again).await.expect("answered");
    assert_eq!((late.version, late.state()), (2, Standby));
    let serves = v1::GetHeadRequest { name: "mood".into(), version: 0 };
    let serves = client.heads.get_head(serves).await.expect("there").into_inner().head.expect("told");
    assert_eq!((serves.version, serves.state()), (1, Active));
    server.finish().await;
}

#[tokio::test]
async fn a_hold_that_cannot_be_had_is_refused_with_what_to_do() {
    let (server, mut client) = two_moods().await;
    let third = external_bundle("mood", 4, &["calm"]);
    let held = client.register_bundle_as(&third, update(true)).await.expect("registered");
    assert_eq!(held.state(), v1::HeadState::Standby);
    client.register_bundle_as(&third, update(true)).await.expect("the same again");
    let refused = client.register_bundle_as(&third, update(false)).await.expect_err("it stands by");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "OTHER_HOLD"));
    assert_eq!(refused.message(), "version 3 of \"mood\" is on standby; promote it");
    let serving = external_bundle("mood", 3, &["calm"]);
    client.register_bundle_as(&serving, update(true)).await.expect("it serves already");
    server.finish().await;
}

#[tokio::test]
async fn a_missing_version_is_told_with_those_there_are() {
    let (server, mut client) = two_moods().await;
    let retire = v1::RetireHeadRequest { name: "mood".into(), version: 99, ..Default::default() };
    let retired = client.heads.retire_head(retire).await.expect_err("no such version");
    let watch = v1::WatchHeadRequest { name: "mood".into(), version: 99 };
    let watched = client.heads.watch_head(watch).await.expect_err("no such version");
    for refused in [retired, watched] {
        assert_eq!(refused.code(), Code::NotFound);
        assert_eq!(refused.message(), "head \"mood\" has no version 99; it has: 1, 2");
        let info = refused.get_error_details().error_info().expect("a reason").clone();
        let fact = |name: &str| info.metadata.get(name).map(String::as_str);
        assert_eq!((fact("what"), fact("name"), fact("head")), (Some("version"), Some("99"), Some("mood")));
    }
    server.finish().await;
}
