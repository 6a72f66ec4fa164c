//! Every single step that makes something durable fails once: the server says so, mends itself, and loses nothing.

use lapel_client::{Client, v1};
use lapel_server::{Disk, Server, Step, StepHook};
use lapel_tests::model::{Changes, ModelItems, check_answers, exported, register_heads};
use lapel_tests::{config_in, external_bundle};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;
use tonic::{Code, Status};

/// Lets the n-th step fail; 0: none.
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

struct Running {
    client: Client,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<()>,
}

async fn start(folder: &Path, hook: Arc<FailAt>) -> Option<Running> {
    let mut config = config_in(folder);
    config.model.heads.clear();
    let server = Server::start_on(config, Disk::watched(hook)).await.ok()?;
    let address = format!("http://{}", server.address());
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let _ = server.serve(async { drop(stopped.await) }).await;
    });
    Some(Running { client: Client::connect(&address).await.expect("connects"), stop, serving })
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
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
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
                let request = v1::PromoteHeadRequest { name, version: 2, request_id };
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
    let profile = client.feedback.get_profile(v1::GetProfileRequest { name: "ann".into() }).await;
    let profile = profile.expect("there").into_inner().profile.expect("told");
    assert_eq!(
        (profile.version, profile.weights["mood"]),
        (2, 4.0),
        "{context}: saved twice, not more often"
    );
    check_answers(client, items, &mut ChaCha8Rng::seed_from_u64(8), context).await;
}

/// Runs the scenario with the n-th step failing; true while there was such a step.
async fn run(at: u64, kind: io::ErrorKind) -> (bool, u64) {
    let context = format!("step {at} fails with {kind:?}");
    let folder = tempfile::tempdir().expect("folder");
    let (hook, mut failures) = (FailAt::new(at, kind), 0);
    let server = match start(folder.path(), hook.clone()).await {
        Some(server) => server,
        // A server that cannot start says so; the next start finds nothing half done.
        None => {
            failures += 1;
            start(folder.path(), FailAt::new(0, kind))
                .await
                .unwrap_or_else(|| panic!("{context}: never starts"))
        }
    };
    let items = scenario(&server.client, &mut failures).await;
    check(&mut server.client.clone(), &items, &context).await;
    server.stop().await;
    let met = hook.seen.load(Ordering::SeqCst) >= at;
    let mut again = start(folder.path(), FailAt::new(0, kind)).await.expect("starts again");
    check(&mut again.client, &items, &format!("{context}, after a restart")).await;
    again.stop().await;
    (met, failures)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failing_step_is_told_and_mended() {
    let (mut at, mut told) = (1, 0);
    loop {
        // Two at a time: each waits for its disk most of the time.
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::Other];
        let kind = |at: u64| kinds[at as usize % 2];
        let (one, two) =
            tokio::join!(tokio::spawn(run(at, kind(at))), tokio::spawn(run(at + 1, kind(at + 1))));
        let (one, two) = (one.expect("runs"), two.expect("runs"));
        told += u64::from(one.1 > 0) + u64::from(two.1 > 0);
        if !one.0 || !two.0 {
            break;
        }
        at += 2;
    }
    println!(
        "{at} steps failed one by one; {told} of them were told to a caller, the others were made up for unseen"
    );
    assert!(at > 50, "the scenario takes many steps: {at}");
    assert!(told > at / 4, "{told} failures of {at} steps were told");
}
