//! A server that is killed at any moment, or ends before any durable step, loses nothing that it acknowledged.

mod teaching;

use lapel_client::v1;
use lapel_render::{render, to_jpeg};
use lapel_tests::chance::{seed, so_many};
use lapel_tests::model::{Changes, ModelItems, Op, check_answers, exported, register_heads};
use lapel_tests::{ChildServer, external_bundle, settled, sport_bundle};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinError;

/// Points at which the server is killed.
const POINTS: u64 = 60;
/// Clients that change items, each its own.
const WRITERS: usize = 3;

/// What one client knows of its items: what was acknowledged, and what it was doing when the server ended.
#[derive(Default)]
struct Known {
    items: ModelItems,
    in_flight: Option<Op>,
}

/// What the head and the profile of the operator may be: what was acknowledged, or what was being done.
#[derive(Clone, Debug, Default, PartialEq)]
struct Operated {
    /// Version of the head in service; 0: none.
    serves: u32,
    /// Weight saved in the profile; 0: there is none.
    profile: u32,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_at_any_point() {
    let seed = seed();
    let points = so_many("LAPEL_CRASH_POINTS", POINTS);
    println!("{points} points, LAPEL_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("folder");
    let images: Arc<Vec<Vec<u8>>> = Arc::new((0..6).map(|i| to_jpeg(&render(91, i).photo)).collect());
    let mut known: Vec<Known> = (0..WRITERS).map(|_| Known::default()).collect();
    let (mut operated, mut intended) = (Operated::default(), None);
    let (mut aborted, mut acknowledged) = (0, 0);
    for point in 0..points {
        let context = format!("LAPEL_SEED={seed}, point {point}");
        let mut abort_at = random.random_bool(0.5).then(|| random.random_range(1..400u64));
        // Where memory is bounded there is no index.
        let kept = if random.random_bool(0.5) { "--signature-bytes=4096" } else { "--hnsw-items-min=5" };
        let mut arguments = vec![kept.to_owned()];
        arguments.extend(abort_at.map(|n| format!("--abort-at={n}")));
        let program = env!("CARGO_BIN_EXE_lapel-child-server");
        let mut server = ChildServer::start(program, folder.path(), &arguments).await;
        if point == 0 && prepare(&mut server).await.is_err() {
            // It ended before there was anything to lose.
            drop(server);
            abort_at = None;
            server = ChildServer::start(program, folder.path(), &[]).await;
            prepare(&mut server).await.expect("prepared");
        }
        if check(&mut server, &mut known, &mut operated, intended.clone(), &mut random, &context)
            .await
            .is_none()
        {
            // It aborted while it was looked at: the background works too.
            assert!(abort_at.is_some(), "{context}: the server ended by itself");
            aborted += 1;
            continue;
        }
        let acks = Arc::new(AtomicU64::new(0));
        let enough = random.random_range(1..30u64);
        let mut writers = Vec::new();
        for (writer, known) in known.drain(..).enumerate() {
            let (client, acks, images) = (server.client.clone(), acks.clone(), images.clone());
            let random = ChaCha8Rng::seed_from_u64(random.random());
            writers.push(tokio::spawn(write(client, writer, known, random, acks, images)));
        }
        let operating = operate(server.client.clone(), operated.clone(), random.random(), acks.clone());
        let operating = tokio::spawn(operating);
        let kill = async {
            while abort_at.is_some() || acks.load(Ordering::SeqCst) < enough {
                if server.has_ended() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        kill.await;
        aborted += u64::from(server.has_ended());
        server.kill();
        for writer in writers {
            known.push(writer.await.expect("a writer ends"));
        }
        (operated, intended) = operating.await.expect("the operator ends");
        acknowledged += acks.load(Ordering::SeqCst);
    }
    println!(
        "{points} points, of which {aborted} before a durable step; {acknowledged} requests were acknowledged"
    );
}

async fn prepare(server: &mut ChildServer) -> Result<(), tonic::Status> {
    register_heads(&mut server.client).await
}

/// Changes items until the server is gone.
async fn write(
    mut client: lapel_client::Client,
    writer: usize,
    mut known: Known,
    mut random: ChaCha8Rng,
    acks: Arc<AtomicU64>,
    images: Arc<Vec<Vec<u8>>>,
) -> Known {
    let prefix = format!("w{writer}-");
    let changes = Changes { prefix: &prefix, ids: 20, items_max: 4, images: &images };
    loop {
        let op = changes.next(&mut random, &known.items);
        if let Err(status) = op.send(&mut client, "").await {
            assert_ne!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
            known.in_flight = Some(op);
            return known;
        }
        op.apply(&mut known.items);
        acks.fetch_add(1, Ordering::SeqCst);
    }
}

/// Registers, promotes, rolls back and retires versions of a head and saves a profile until the server is gone; returns
/// what was acknowledged, and what the last request would have led to.
async fn operate(
    mut client: lapel_client::Client,
    mut now: Operated,
    seed: u64,
    acks: Arc<AtomicU64>,
) -> (Operated, Option<Operated>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    loop {
        let heads =
            client.heads.list_heads(v1::ListHeadsRequest { page_size: 1000, ..Default::default() }).await;
        let Ok(heads) = heads else { return (now, None) };
        let of_extra: Vec<v1::Head> =
            heads.into_inner().heads.into_iter().filter(|h| h.name == "extra").collect();
        let standby: Vec<u32> =
            of_extra.iter().filter(|h| h.state() == v1::HeadState::Standby).map(|h| h.version).collect();
        let next = of_extra.last().map_or(1, |h| h.version + 1);
        let mut then = now.clone();
        let name = "extra".to_owned();
        let done = match random.random_range(0..5) {
            0 if standby.len() < 3 => {
                let hold = random.random_bool(0.5) && now.serves > 0;
                then.serves = if hold { now.serves } else { next };
                let bundle = external_bundle(&name, 2 + next as usize % 5, &["a", "b"]);
                let header = v1::RegisterHeadHeader { update: true, hold, ..Default::default() };
                // The same content may be there already; then nothing changes.
                let digest = lapel_client::sha256(&bundle);
                if of_extra.iter().any(|h| {
                    h.bundle_sha256 == digest
                        && matches!(h.state(), v1::HeadState::Active | v1::HeadState::Standby)
                }) {
                    continue;
                }
                client.register_bundle_as(&bundle, header).await.map(|_| ())
            }
            1 if !standby.is_empty() => {
                then.serves = standby[random.random_range(0..standby.len())];
                let request = v1::PromoteHeadRequest {
                    name,
                    version: then.serves,
                    allow_missing: true,
                    ..Default::default()
                };
                client.heads.promote_head(request).await.map(|_| ())
            }
            2 if !standby.is_empty() => {
                let version = standby[random.random_range(0..standby.len())];
                let request = v1::RetireHeadRequest { name, version, ..Default::default() };
                client.heads.retire_head(request).await.map(|_| ())
            }
            3 if random.random_bool(0.2) => client.register_bundle(&sport_bundle()).await.map(|_| ()),
            _ => {
                then.profile = now.profile + 1;
                let request = v1::SaveProfileRequest {
                    name: "ann".into(),
                    weights: BTreeMap::from([("mood".to_owned(), f64::from(then.profile))]),
                    ..Default::default()
                };
                client.feedback.save_profile(request).await.map(|_| ())
            }
        };
        if done.is_err() {
            return (now, Some(then));
        }
        now = then;
        acks.fetch_add(1, Ordering::SeqCst);
    }
}

/// Everything acknowledged is there, a request in flight is there whole or not at all, and searches answer what a scan of
/// what is there gives. `None` when the server ended meanwhile.
async fn check(
    server: &mut ChildServer,
    known: &mut [Known],
    operated: &mut Operated,
    intended: Option<Operated>,
    random: &mut ChaCha8Rng,
    context: &str,
) -> Option<()> {
    let there = exported(&mut server.client).await.ok()?;
    for (writer, known) in known.iter_mut().enumerate() {
        let prefix = format!("w{writer}-");
        let found: ModelItems = there
            .iter()
            .filter(|(id, _)| id.starts_with(&prefix))
            .map(|(id, i)| (id.clone(), i.clone()))
            .collect();
        let mut with = known.items.clone();
        if let Some(op) = &known.in_flight {
            op.apply(&mut with);
        }
        assert!(
            found == known.items || found == with,
            "{context}: writer {writer} was acknowledged {:#?}, was doing {:#?}, and finds {found:#?}",
            known.items,
            known.in_flight
        );
        *known = Known { items: found, in_flight: None };
    }
    let found = operated_now(&mut server.client).await?;
    // Serving and profile are changed by different requests, of which one was in flight.
    assert!(
        found == *operated || Some(&found) == intended.as_ref(),
        "{context}: {operated:?}, {intended:?}, {found:?}"
    );
    *operated = found;
    check_sport(server, &there, context).await?;
    // The child may abort in its background work; what was asserted so far stands.
    let stats =
        server.client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await.ok()?.into_inner();
    assert_eq!(
        (stats.items, stats.damaged_items.len(), stats.lost_records),
        (there.len() as u64, 0, 0),
        "{context}"
    );
    let mut client = server.client.clone();
    let (items, mut own, owned) = (there, ChaCha8Rng::seed_from_u64(random.random()), context.to_owned());
    let answers =
        tokio::spawn(async move { check_answers(&mut client, &items, &mut own, &owned).await }).await;
    if let Err(error) = answers {
        assert!(only_the_connection_broke(error) && server.ends().await, "{context}: the server is there");
        return None;
    }
    Some(())
}

/// Whether a check ended because there was no answer; answers that differ are raised again.
fn only_the_connection_broke(error: JoinError) -> bool {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().map(String::as_str).unwrap_or_default();
    if !text.contains("Status {") {
        std::panic::resume_unwind(panic);
    }
    true
}

async fn operated_now(client: &mut lapel_client::Client) -> Option<Operated> {
    let heads = client.heads.list_heads(v1::ListHeadsRequest { page_size: 1000, ..Default::default() });
    let heads = heads.await.ok()?.into_inner().heads;
    let serving: Vec<u32> = heads
        .iter()
        .filter(|h| h.name == "extra" && h.state() == v1::HeadState::Active)
        .map(|h| h.version)
        .collect();
    assert!(serving.len() <= 1, "one version serves: {serving:?}");
    let profile = client.feedback.get_profile(v1::GetProfileRequest { name: "ann".into() }).await;
    let profile = match profile {
        Ok(profile) => profile.into_inner().profile?.weights["mood"] as u32,
        Err(status) if status.code() == tonic::Code::NotFound => 0,
        Err(_) => return None,
    };
    Some(Operated { serves: serving.first().copied().unwrap_or(0), profile })
}

/// A head that was being backfilled goes on; once it serves, every item with an image has its signature.
async fn check_sport(server: &mut ChildServer, there: &ModelItems, context: &str) -> Option<()> {
    let heads = v1::ListHeadsRequest { page_size: 1000, ..Default::default() };
    let heads = server.client.heads.list_heads(heads).await.ok()?.into_inner().heads;
    if !heads.iter().any(|h| h.name == "sport") {
        return Some(());
    }
    let mut client = server.client.clone();
    let settled = tokio::spawn(async move { settled(&mut client, "sport").await }).await;
    let head = match settled {
        Ok(head) => head,
        Err(error) => {
            assert!(
                only_the_connection_broke(error) && server.ends().await,
                "{context}: the server is there"
            );
            return None;
        }
    };
    assert_eq!(head.state(), v1::HeadState::Active, "{context}: {head:?}");
    let stats =
        server.client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await.ok()?.into_inner();
    let sport = stats.heads.iter().find(|h| h.head == "sport")?;
    let wanted = there.values().filter(|i| !i.image.is_empty()).count() as u64;
    assert_eq!(sport.signatures, wanted, "{context}: signatures of sport");
    Some(())
}
