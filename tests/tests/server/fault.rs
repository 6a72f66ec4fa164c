//! A step that makes something durable fails: the server says so, mends itself, and loses nothing.

use lapel_client::{Client, v1};
use lapel_server::{Disk, Server, Step, StepHook};
use lapel_tests::chance::{seed, so_many};
use lapel_tests::model::{Changes, ModelItems, check_answers, exported, message, register_heads};
use lapel_tests::{config_in, external_bundle};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Steps that fail, each in a run of its own: others each time, all of them by `just fault`.
const POINTS: u64 = 48;

/// Lets the n-th step fail, from 1.
#[derive(Debug)]
struct FailAt {
    at: u64,
    seen: AtomicU64,
    kind: io::ErrorKind,
}

impl FailAt {
    fn new(at: u64, kind: io::ErrorKind) -> Arc<Self> {
        Arc::new(Self { at, seen: AtomicU64::new(0), kind })
    }
}

impl StepHook for FailAt {
    fn before(&self, step: Step) -> io::Result<()> {
        if self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            return Err(io::Error::new(self.kind, format!("{step:?} {} was made to fail", self.at)));
        }
        Ok(())
    }
}

/// Lets one step fail, so many steps after it was told to; 0: none.
#[derive(Debug, Default)]
struct FailAfter(AtomicU64);

impl StepHook for FailAfter {
    fn before(&self, step: Step) -> io::Result<()> {
        let less = |left: u64| left.checked_sub(1);
        match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(1) => Err(io::Error::other(format!("{step:?} was made to fail"))),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Once armed, takes the catalogue's file away before a write, and lets that write fail.
#[derive(Debug)]
struct TakeAway {
    file: PathBuf,
    armed: AtomicBool,
    /// Whether a folder takes the file's place, so that opening fails in another way.
    leaves_folder: bool,
}

impl TakeAway {
    fn aside(&self) -> PathBuf {
        self.file.with_extension("aside")
    }

    fn put_back(&self) {
        if self.leaves_folder {
            std::fs::remove_dir(&self.file).expect("an empty folder");
        }
        std::fs::rename(self.aside(), &self.file).expect("put back");
    }
}

impl StepHook for TakeAway {
    fn before(&self, step: Step) -> io::Result<()> {
        if step != Step::Write || !self.armed.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        std::fs::rename(&self.file, self.aside())?;
        if self.leaves_folder {
            std::fs::create_dir(&self.file)?;
        }
        Err(io::Error::other("the file was taken away"))
    }
}

struct Running {
    address: String,
    client: Client,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<()>,
}

async fn start(folder: &Path, hook: Arc<dyn StepHook>) -> Option<Running> {
    let mut config = config_in(folder);
    config.model.heads.clear();
    let server = Server::start_on(config, Disk::watched(hook)).await.ok()?;
    let address = format!("http://{}", server.address());
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let _ = server.serve(async { drop(stopped.await) }).await;
    });
    let client = Client::connect(&address).await.expect("connects");
    Some(Running { address, client, stop, serving })
}

impl Running {
    async fn stop(self) {
        let _ = self.stop.send(());
        self.serving.await.expect("no panic in the server");
    }
}

/// Repeats a request with its id until the server has mended itself. Every failure must be one that says so.
async fn persist<T, F: Future<Output = Result<T, Status>>>(
    mut request: impl FnMut() -> F,
    failures: &mut u64,
) -> T {
    for _ in 0..2000 {
        match request().await {
            Ok(done) => return done,
            Err(status) => {
                let told = [Code::Unavailable, Code::ResourceExhausted];
                assert!(told.contains(&status.code()), "an honest failure: {status:?}");
                *failures += 1;
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    panic!("the server does not mend itself");
}

/// A little of everything that is stored. Returns the items that must be there.
async fn scenario(client: &Client, failures: &mut u64) -> ModelItems {
    let (mut items, mut random) = (ModelItems::new(), ChaCha8Rng::seed_from_u64(7));
    persist(|| async { register_heads(&mut client.clone()).await }, failures).await;
    let changes = Changes { prefix: "i", ids: 12, items_max: 5, images: &[] };
    let bundle = |version: usize| external_bundle("extra", version + 1, &["a"]);
    for round in 0..7 {
        let op = changes.next(&mut random, &items);
        let id = format!("op{round}");
        persist(|| async { op.send(&mut client.clone(), &id).await }, failures).await;
        op.apply(&mut items);
        let weights = BTreeMap::from([("mood".to_owned(), f64::from(round + 1))]);
        let save = v1::SaveProfileRequest {
            name: "ann".into(),
            weights,
            request_id: format!("save{round}"),
            ..Default::default()
        };
        let head = |part: &str| (format!("{part}{round}"), "extra".to_owned());
        match round {
            0 | 3 => {
                persist(|| async { client.clone().feedback.save_profile(save.clone()).await }, failures)
                    .await;
            }
            1 | 2 => {
                let header = v1::RegisterHeadHeader {
                    update: true,
                    hold: round == 2,
                    request_id: head("register").0,
                    ..Default::default()
                };
                let bundle = bundle(round as usize);
                let register = || async { client.clone().register_bundle_as(&bundle, header.clone()).await };
                let head = persist(register, failures).await;
                assert_eq!(head.version, round as u32);
            }
            4 => {
                let (request_id, name) = head("promote");
                let request = v1::PromoteHeadRequest { name, version: 2, request_id, allow_missing: true };
                persist(|| async { client.clone().heads.promote_head(request.clone()).await }, failures)
                    .await;
            }
            5 => {
                let (request_id, name) = head("rollback");
                let request = v1::RollbackHeadRequest { name, request_id };
                persist(|| async { client.clone().heads.rollback_head(request.clone()).await }, failures)
                    .await;
            }
            _ => {
                let (request_id, name) = head("retire");
                let request = v1::RetireHeadRequest { name, version: 2, request_id };
                persist(|| async { client.clone().heads.retire_head(request.clone()).await }, failures).await;
            }
        }
    }
    items
}

async fn check(client: &mut Client, items: &ModelItems, context: &str) {
    assert_eq!(&exported(client).await.expect("exported"), items, "{context}");
    let heads = v1::ListHeadsRequest { page_size: 1000, ..Default::default() };
    let heads = client.heads.list_heads(heads).await.expect("listed").into_inner();
    let extra: Vec<_> =
        heads.heads.iter().filter(|h| h.name == "extra").map(|h| (h.version, h.state())).collect();
    assert_eq!(extra, [(1, v1::HeadState::Active), (2, v1::HeadState::Retired)], "{context}");
    // What a request leaves to do may fail after its answer: profiles are read from the store, which then mends itself.
    let ann = v1::GetProfileRequest { name: "ann".into() };
    let profile = persist(|| async { client.clone().feedback.get_profile(ann.clone()).await }, &mut 0).await;
    let profile = profile.into_inner().profile.expect("told");
    assert_eq!(
        (profile.version, profile.weights["mood"]),
        (2, 4.0),
        "{context}: saved twice, not more often"
    );
    check_answers(client, items, &mut ChaCha8Rng::seed_from_u64(8), context).await;
}

/// Runs the scenario with a step failing, and starts again.
async fn run(hook: &Arc<FailAt>, context: &str, failures: &mut u64) {
    let folder = tempfile::tempdir().expect("folder");
    let sound = || FailAt::new(u64::MAX, io::ErrorKind::Other);
    let server = match start(folder.path(), hook.clone()).await {
        Some(server) => server,
        // A server that cannot start says so; the next start finds nothing half done.
        None => {
            *failures += 1;
            start(folder.path(), sound()).await.unwrap_or_else(|| panic!("{context}: never starts"))
        }
    };
    let items = scenario(&server.client, failures).await;
    check(&mut server.client.clone(), &items, context).await;
    server.stop().await;
    let mut again = start(folder.path(), sound()).await.expect("starts again");
    check(&mut again.client, &items, &format!("{context}, after a restart")).await;
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_steps_are_told_and_mended() {
    let (seed, points) = (seed(), so_many("LAPEL_FAULT_POINTS", POINTS));
    let (none_fails, failures) = (FailAt::new(u64::MAX, io::ErrorKind::Other), &mut 0);
    run(&none_fails, "no step fails", failures).await;
    let steps = none_fails.seen.load(Ordering::SeqCst);
    assert_eq!(*failures, 0, "without a fault nothing is told");
    assert!(steps > 50, "the scenario takes many steps: {steps}");
    let mut chosen: Vec<u64> = (1..=steps).collect();
    chosen.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    chosen.truncate(points.try_into().expect("few"));
    println!("{} of {steps} steps, LAPEL_SEED={seed}", chosen.len());
    let mut told = 0;
    // Two at a time: each waits for its disk most of the time.
    for pair in chosen.chunks(2) {
        let one = |at: u64| {
            tokio::spawn(async move {
                let kind = [io::ErrorKind::StorageFull, io::ErrorKind::Other][(at ^ seed) as usize % 2];
                let (hook, mut failures) = (FailAt::new(at, kind), 0);
                let context = format!("LAPEL_SEED={seed}, step {at} fails with {kind:?}");
                run(&hook, &context, &mut failures).await;
                failures
            })
        };
        for run in pair.iter().copied().map(one).collect::<Vec<_>>() {
            told += usize::from(run.await.expect("runs") > 0);
        }
    }
    println!("{told} of them were told to a caller, the others were made up for unseen");
    assert!(told > chosen.len() / 4, "{told} failures of {} steps were told", chosen.len());
}

/// Waits until the server says that it is in this state of health.
async fn until(health: &mut HealthClient<Channel>, wanted: ServingStatus) {
    for _ in 0..500 {
        let check = HealthCheckRequest { service: String::new() };
        let answer = health.check(check).await.expect("answers").into_inner();
        if answer.status() == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never says {wanted:?}");
}

/// A store whose file cannot be opened anew stays failed and says so, serves what is in memory, makes no other file, and
/// mends itself once the file is there again.
async fn take_away(leaves_folder: bool) {
    let folder = tempfile::tempdir().expect("folder");
    let file = config_in(folder.path()).data.join("catalogue.redb");
    let hook = Arc::new(TakeAway { file: file.clone(), armed: AtomicBool::new(false), leaves_folder });
    let server = start(folder.path(), hook.clone()).await.expect("starts");
    let mut client = server.client.clone();
    let channel = Channel::from_shared(server.address.clone()).expect("an address").connect().await;
    let mut health = HealthClient::new(channel.expect("connects"));
    register_heads(&mut client).await.expect("registered");
    let (mut items, mut random) = (ModelItems::new(), ChaCha8Rng::seed_from_u64(9));
    let changes = Changes { prefix: "i", ids: 12, items_max: 5, images: &[] };
    for round in 0..6 {
        let op = changes.next(&mut random, &items);
        op.send(&mut client, &format!("op{round}")).await.expect("stored");
        op.apply(&mut items);
    }
    let last = changes.next(&mut random, &items);
    hook.armed.store(true, Ordering::SeqCst);
    let refused = last.send(&mut client, "last").await.expect_err("its write fails");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    until(&mut health, ServingStatus::NotServing).await;
    // Long enough to be opened anew several times.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(exported(&mut client).await.expect("from memory"), items);
        assert!(!file.is_file(), "no empty catalogue takes its place");
        let refused = last.send(&mut client, "last").await.expect_err("nothing can be written");
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    }
    until(&mut health, ServingStatus::NotServing).await;
    hook.put_back();
    let mut failures = 0;
    persist(|| async { last.send(&mut client.clone(), "last").await }, &mut failures).await;
    last.apply(&mut items);
    until(&mut health, ServingStatus::Serving).await;
    assert_eq!(exported(&mut client).await.expect("exported"), items);
    server.stop().await;
    let mut again =
        start(folder.path(), FailAt::new(u64::MAX, io::ErrorKind::Other)).await.expect("starts again");
    assert_eq!(exported(&mut again.client).await.expect("exported"), items, "after a restart");
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_opened_anew_says_so_until_it_can() {
    take_away(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_that_is_gone_for_a_moment_is_not_replaced() {
    take_away(false).await;
}

/// Two items change places, and then a step of the stop fails, each in turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_whose_steps_fail_costs_the_next_start_time_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut items = ModelItems::new();
    for fails_at in 1.. {
        let hook = Arc::new(FailAfter::default());
        let mut running = start(folder.path(), hook.clone()).await.expect("starts");
        if fails_at == 1 {
            register_heads(&mut running.client).await.expect("registered");
            let changes = Changes { prefix: "i", ids: 40, items_max: 30, images: &[] };
            while items.len() < 20 {
                let op = changes.next(&mut random, &items);
                op.send(&mut running.client, "").await.expect("stored");
                op.apply(&mut items);
            }
        }
        check_answers(&mut running.client, &items, &mut random, &format!("after step {fails_at} - 1 failed"))
            .await;
        let ids: Vec<String> = items.keys().take(2).cloned().collect();
        let request = v1::DeleteItemsRequest { ids: ids.clone(), ..Default::default() };
        running.client.catalog.delete_items(request).await.expect("deleted");
        // Into the first free slot, which the other had.
        let order = if fails_at % 2 == 0 { [&ids[0], &ids[1]] } else { [&ids[1], &ids[0]] };
        for id in order {
            let stored = running.client.upsert(vec![message(id, &items[id])]).await.expect("stored");
            assert!(stored.iter().all(|one| one.error.is_none()), "{stored:?}");
        }
        hook.0.store(fails_at, Ordering::SeqCst);
        running.stop().await;
        if hook.0.load(Ordering::SeqCst) > 0 {
            assert!(fails_at > 15, "a stop has more steps");
            break;
        }
    }
    let again = start(folder.path(), Arc::new(FailAfter::default())).await.expect("starts");
    assert_eq!(exported(&mut again.client.clone()).await.expect("exported"), items);
    again.stop().await;
}
