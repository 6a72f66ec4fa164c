//! Strangers of every kind beside a steady load of good searches: none of these fails, the server's memory stays within a
//! bound, and soon after the strangers have left everything is as it was before.
//!
//! Each kind of stranger comes from an address of its own, and those that call share two connections: what one connection
//! may have is bounded, and two together must not have all either.

mod call;
mod cancelled;
mod crowd;
mod dripping;
mod half_open;
mod idle;
mod load;
mod malformed;
mod observer;
mod oversized;
mod report;
mod silent;
mod slow;
mod target;
mod unread;

pub use crowd::{Deeds, Kind};
pub use load::{Answers, Way};
pub use observer::State;
pub use report::Report;

use crate::{ChildServer, by_image, ingest};
use crowd::crowd;
use load::Load;
use observer::Observer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use target::Target;
use tokio_util::sync::CancellationToken;

/// Garments of the catalogue: more bytes than the windows of a reader hold.
const ITEMS: u64 = 300;
/// Seconds that a caller may stand still on the server: many stall even in a short run.
const STALL_SECONDS: u32 = 10;
/// Until everything is back to normal, at most.
const BACK_MAX: Duration = Duration::from_secs(10);
/// Good searches go on for so long of it; then the server has nothing to do, and shows what is left behind.
const LOAD_AFTER: Duration = Duration::from_secs(8);

/// How long, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The good searches alone.
    pub alone: Duration,
    /// The good searches beside the strangers.
    pub beside: Duration,
    /// Good searches a second.
    pub rate: f64,
    /// Memory that the strangers may cost while they are there, MiB.
    pub memory_mib_max: f64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            alone: Duration::from_secs(10),
            beside: Duration::from_secs(35),
            rate: 30.0,
            // 80 megapixels are decoded at a time (`limits.decoding_pixels_max`): 690 MiB in three copies of three bytes
            // a pixel. The rest is for some 700 connections and their messages.
            memory_mib_max: 1024.0,
        }
    }
}

/// Runs `program` (the crate's `lapel-child-server`), the load, and the strangers.
///
/// # Panics
/// When the server does not start, or does not serve even without strangers.
pub async fn run(program: &str, plan: Plan) -> Report {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let arguments =
        ["--shipped-heads".to_owned(), "--probes".to_owned(), format!("--stall-seconds={STALL_SECONDS}")];
    let mut server = ChildServer::start(program, folder.path(), &arguments).await;
    let observer = Observer { process: server.id(), probes: server.probes.expect("asked for") };
    ingest(&mut server.client, 1, ITEMS).await;
    let photo: Arc<[u8]> = cancelled::photo().into();
    // What is cancelled would be answered. This also takes the memory that the server keeps for such photos.
    server.client.search.search(by_image(photo.to_vec(), 1)).await.expect("a sound photo");
    let load = Arc::new(Load::new(&server.address, ITEMS, plan.rate).await);

    println!("good searches alone for {:?}", plan.alone);
    let alone = load.run(plan.alone).await;
    let before = observer.state().await;

    println!("beside strangers for {:?}", plan.beside);
    let leave = CancellationToken::new();
    let crowds = Kind::ALL.map(|kind| {
        let target = Target::new(&server.address, kind.address(), photo.clone());
        (kind, tokio::spawn(crowd(kind, target, leave.clone())))
    });
    let (beside, memory_mib_most) = observer.peak_during(load.run(plan.beside)).await;
    leave.cancel();
    let mut deeds = Vec::new();
    for (kind, crowd) in crowds {
        deeds.push((kind, crowd.await.expect("no stranger panics")));
    }

    println!("after them");
    let left = Instant::now();
    let after = load.run(LOAD_AFTER).await;
    let (state, is_back) = observer.back_to(&before, left + BACK_MAX).await;
    let back = is_back.then(|| left.elapsed());
    let memory_mib_max = before.memory_mib + plan.memory_mib_max;
    Report { alone, beside, after, deeds, before, memory_mib_max, memory_mib_most, state, back }
}
