//! A server that is killed at any moment of teaching: the version before goes on serving, and the new one is there as if nothing
//! had happened, or not at all, and comes of the same request repeated.

use lapel_client::{Client, v1};
use lapel_render::render;
use lapel_tests::chance::{seed, so_many};
use lapel_tests::{ChildServer, item, settled};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Streaming;
use v1::HeadState::{Active, Backfilling, Draining, Retired, Standby};
use v1::teach_request::Source;
use v1::teach_response::Event;

/// Points at which the server is killed, in every stage by turns.
const POINTS: u64 = 24;
/// Photos of the catalogue: more than are looked at together, so that progress is told in between.
const ITEMS: u64 = 40;
/// The head that is taught, and the attribute whose labels teach it.
const HEAD: &str = "cut";
const ATTRIBUTE: &str = "fit";
/// The version that serves before.
const FIRST: u32 = 1;
/// Most that a number of a signature may differ by where it was computed in another batch.
const ROUNDING: f32 = 1e-4;

/// What the server does for a teaching, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Looking,
    Fitting,
    Registering,
    /// The head is registered; it is promoted at the end.
    Backfilling,
}

const STAGES: [Stage; 4] = [Stage::Looking, Stage::Fitting, Stage::Registering, Stage::Backfilling];

/// How far a teaching was told to be.
struct Seen {
    stage: Stage,
    /// When each stage was told of.
    begun: BTreeMap<Stage, Instant>,
    /// Examples that were looked at, and of those how many the feature cache had.
    done: u64,
    from_cache: u64,
}

/// What a teaching that nobody disturbs leads to.
struct Undisturbed {
    lengths: BTreeMap<Stage, Duration>,
    bundle_sha256: String,
    /// The catalogue while the version before serves, and while the new one does.
    before: Vec<v1::ExportItemsResponse>,
    after: Vec<v1::ExportItemsResponse>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teaching_that_is_cut_off_goes_on_or_is_gone() {
    let seed = seed();
    let points = so_many("LAPEL_TEACHING_POINTS", POINTS);
    println!("{points} points of teaching, LAPEL_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("folder");
    let undisturbed = undisturbed(folder.path()).await;
    println!("undisturbed: {:?}", undisturbed.lengths);
    let mut outcomes: BTreeMap<(Stage, &str), u64> = BTreeMap::new();
    let mut server = start(folder.path()).await;
    for point in 0..points {
        let stage = STAGES[point as usize % STAGES.len()];
        let share = random.random_range(0.0..1.2);
        let context = format!("LAPEL_SEED={seed}, point {point}, at {share:.2} of {stage:?}");
        if stage == Stage::Looking {
            server.kill();
            forget_features(folder.path());
            server = start(folder.path()).await;
        }
        let request = request("the version after", &format!("point {point}"));
        let mut stream = server.client.heads.teach(request.clone()).await.expect("begun").into_inner();
        let seen = follow(&mut stream, stage, undisturbed.lengths[&stage].mul_f64(share)).await;
        server.kill();
        server = start(folder.path()).await;
        let outcome = bring_to_its_end(&mut server.client, request, &seen, &undisturbed, &context).await;
        *outcomes.entry((stage, outcome)).or_default() += 1;
    }
    println!("cut off in, and found: {outcomes:?}");
}

async fn start(folder: &Path) -> ChildServer {
    let arguments = ["--default-model".to_owned(), format!("--features={}", 64 << 20)];
    ChildServer::start(env!("CARGO_BIN_EXE_lapel-child-server"), folder, &arguments).await
}

/// Takes half of the feature cache from a stopped server, so that those photos have to be looked at again. One record may be
/// left in part.
fn forget_features(folder: &Path) {
    for entry in std::fs::read_dir(folder.join("data/features")).expect("the feature cache") {
        let path = entry.expect("a file").path();
        let file = std::fs::OpenOptions::new().write(true).open(path).expect("opened");
        let len = file.metadata().expect("its length").len();
        file.set_len(len / 2).expect("cut");
    }
}

fn request(description: &str, request_id: &str) -> v1::TeachRequest {
    v1::TeachRequest {
        name: HEAD.into(),
        source: Some(Source::LabelAttribute(ATTRIBUTE.into())),
        update: true,
        // Whatever so few photos show, it shall serve.
        insist: true,
        description: description.into(),
        request_id: request_id.into(),
        ..Default::default()
    }
}

/// Stores the photos and teaches both versions; the second one from photos of which half have to be looked at.
async fn undisturbed(folder: &Path) -> Undisturbed {
    let mut server = start(folder).await;
    let photo = |index: u64| {
        let garment = render(17, index);
        let labels = garment.truth.clone();
        v1::UpsertItemsRequest { labels, ..item(&format!("g{index:02}"), &garment) }
    };
    let results = server.client.upsert((0..ITEMS).map(photo).collect()).await.expect("stored");
    assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
    let (_, head) = teach(&mut server.client, request("the version before", "")).await;
    assert_eq!(head.version, FIRST);
    let before = exported(&mut server.client).await;
    server.kill();
    forget_features(folder);
    let mut server = start(folder).await;
    let (seen, head) = teach(&mut server.client, request("the version after", "")).await;
    let ends = STAGES.iter().skip(1).map(|stage| seen.begun[stage]).chain([Instant::now()]);
    let lengths = STAGES.iter().zip(ends).map(|(stage, end)| (*stage, end - seen.begun[stage])).collect();
    assert!(seen.done == ITEMS && seen.from_cache <= ITEMS / 2, "{} of {}", seen.from_cache, seen.done);
    let after = exported(&mut server.client).await;
    take_back(&mut server.client, head.version).await;
    Undisturbed { lengths, bundle_sha256: head.bundle_sha256, before, after }
}

/// Teaches a head until it serves.
async fn teach(client: &mut Client, request: v1::TeachRequest) -> (Seen, v1::Head) {
    let mut stream = client.heads.teach(request).await.expect("begun").into_inner();
    let seen = follow(&mut stream, Stage::Backfilling, Duration::ZERO).await;
    let head = settled(client, HEAD).await;
    assert_eq!(head.state(), Active, "{head:?}");
    (seen, head)
}

/// Follows a teaching until some time after a stage has begun.
async fn follow(stream: &mut Streaming<v1::TeachResponse>, stage: Stage, wait: Duration) -> Seen {
    let begun = BTreeMap::from([(Stage::Looking, Instant::now())]);
    let mut seen = Seen { stage: Stage::Looking, begun, done: 0, from_cache: 0 };
    loop {
        let due = seen.begun.get(&stage).map(|begun| *begun + wait);
        tokio::select! {
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return seen,
            message = stream.message(), if seen.stage < Stage::Backfilling => {
                let message = message.expect("the server is there").expect("the result is last");
                seen.take(&message.event.expect("one is set"));
            }
        }
    }
}

impl Seen {
    fn take(&mut self, event: &Event) {
        let stage = match event {
            Event::Progress(progress) => {
                (self.done, self.from_cache) = (progress.examples_done, progress.examples_from_cache);
                match progress.step() {
                    v1::TeachStep::Unspecified | v1::TeachStep::Looking => Stage::Looking,
                    v1::TeachStep::Fitting => Stage::Fitting,
                    v1::TeachStep::Registering => Stage::Registering,
                }
            }
            Event::Taught(_) => Stage::Backfilling,
        };
        // A short stage may be over before it is told of.
        for passed in STAGES.into_iter().filter(|passed| *passed <= stage) {
            self.begun.entry(passed).or_insert_with(Instant::now);
        }
        self.stage = stage;
    }
}

/// Finds the version before in service, and the new one whole, on its way, or not there at all; then has it taught by the same
/// request, compares everything with the undisturbed run, and takes it back. Says what was found.
async fn bring_to_its_end(
    client: &mut Client,
    request: v1::TeachRequest,
    seen: &Seen,
    undisturbed: &Undisturbed,
    context: &str,
) -> &'static str {
    let versions = alive(client).await;
    let new = versions.iter().find(|(version, _)| **version != FIRST).map(|(_, state)| *state);
    let first = versions.get(&FIRST).copied();
    let found = match (first, new) {
        (Some(Active), None) => {
            check_same(&exported(client).await, &undisturbed.before, context);
            let (again, _) = teach(client, request.clone()).await;
            assert_eq!(again.done, ITEMS, "{context}");
            assert!(again.from_cache >= seen.done, "{context}: {} of {}", again.from_cache, seen.done);
            "none"
        }
        (Some(Active), Some(Backfilling)) => "a backfill",
        (Some(Standby), Some(Active)) => "in service",
        other => panic!("{context}: {other:?}"),
    };
    let head = settled(client, HEAD).await;
    let is_whole = head.state() == Active && head.bundle_sha256 == undisturbed.bundle_sha256;
    assert!(is_whole, "{context}: {head:?} in place of {}", undisturbed.bundle_sha256);
    assert_eq!(alive(client).await, BTreeMap::from([(FIRST, Standby), (head.version, Active)]), "{context}");
    let mut stream = client.heads.teach(request).await.expect("answered").into_inner();
    let answer = stream.message().await.expect("answered").and_then(|answer| answer.event);
    let Some(Event::Taught(repeated)) = &answer else { panic!("{context}: {answer:?}") };
    assert_eq!(repeated.head.as_ref().map(|head| head.version), Some(head.version), "{context}");
    check_coverage(client, context).await;
    check_same(&exported(client).await, &undisturbed.after, context);
    take_back(client, head.version).await;
    found
}

/// The versions whose data is there.
async fn alive(client: &mut Client) -> BTreeMap<u32, v1::HeadState> {
    let request = v1::ListHeadsRequest { page_size: 1000, ..Default::default() };
    let heads = client.heads.list_heads(request).await.expect("listed").into_inner().heads;
    let is_alive = |head: &&v1::Head| head.name == HEAD && !matches!(head.state(), Draining | Retired);
    heads.iter().filter(is_alive).map(|head| (head.version, head.state())).collect()
}

async fn exported(client: &mut Client) -> Vec<v1::ExportItemsResponse> {
    let mut stream =
        client.catalog.export_items(v1::ExportItemsRequest::default()).await.expect("begun").into_inner();
    let mut items = Vec::new();
    while let Some(item) = stream.message().await.expect("exported") {
        items.push(item);
    }
    items
}

/// Items with their photos are the same, and so are the signatures of the heads that serve, but for their last bits.
fn check_same(found: &[v1::ExportItemsResponse], wanted: &[v1::ExportItemsResponse], context: &str) {
    assert_eq!(found.len(), wanted.len(), "{context}: items");
    let unsigned =
        |item: &v1::ExportItemsResponse| v1::ExportItemsResponse { signatures: Vec::new(), ..item.clone() };
    for (found, wanted) in found.iter().zip(wanted) {
        let (item, was) = (&found.item, &wanted.item);
        assert!(unsigned(found) == unsigned(wanted), "{context}: {item:?} was {was:?}");
        assert_eq!(found.signatures.len(), wanted.signatures.len(), "{context}: {item:?}");
        for (found, wanted) in found.signatures.iter().zip(&wanted.signatures) {
            let mut numbers = found.values.iter().zip(&wanted.values);
            let is_same = found.head == wanted.head
                && found.values.len() == wanted.values.len()
                && numbers.all(|(found, wanted)| (found - wanted).abs() < ROUNDING);
            assert!(is_same, "{context}: {item:?} has {found:?} in place of {wanted:?}");
        }
    }
}

/// Every item has its signature, and nothing is damaged.
async fn check_coverage(client: &mut Client, context: &str) {
    let stats = client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await;
    let stats = stats.expect("counted").into_inner();
    let signed = stats.heads.iter().find(|of_head| of_head.head == HEAD).map(|of_head| of_head.signatures);
    let (damaged, lost) = (stats.damaged_items.len(), stats.lost_records);
    assert_eq!((stats.items, signed, damaged, lost), (ITEMS, Some(ITEMS), 0, 0), "{context}");
}

/// Puts the version before back in service, and drops the new one.
async fn take_back(client: &mut Client, version: u32) {
    let request = v1::RollbackHeadRequest { name: HEAD.into(), ..Default::default() };
    client.heads.rollback_head(request).await.expect("rolled back");
    let request = v1::RetireHeadRequest { name: HEAD.into(), version, ..Default::default() };
    client.heads.retire_head(request).await.expect("retired");
}
