//! Measures what a backfill costs the queries that run beside it, and how fast it is, with the feature cache and without; or
//! what teaching a head does.

mod teach;

use clap::Parser;
use lapel_client::{Client, v1};
use lapel_tests::photos::rendered;
use lapel_tests::steady::{Searches, ask, print_beside};
use lapel_tests::{ChildServer, by_item, settled, sport_bundle};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Options {
    /// Items to ingest.
    #[arg(long, default_value_t = 20_000)]
    items: u64,
    /// Different pictures among them.
    #[arg(long, default_value_t = 2_000)]
    pictures: u64,
    /// Queries a second.
    #[arg(long, default_value_t = 100)]
    rate: u64,
    /// Windows without a backfill, and as many with one.
    #[arg(long, default_value_t = 6)]
    windows: usize,
    /// Seconds of a window.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Measure how long it takes to teach a head, on the model of the default configuration, in place of backfills.
    #[arg(long)]
    teach: bool,
    /// With `--teach`: also without features, once. The backfill then takes as long as the photos did when they came.
    #[arg(long, requires = "teach")]
    cold: bool,
    /// With `--teach`: the folder of the catalogue, which is made where it is not there, and kept.
    #[arg(long, requires = "teach")]
    data: Option<PathBuf>,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir().expect("a temporary folder");
    if options.teach {
        let folder = options.data.as_deref().unwrap_or(folder.path());
        return teach::measure(folder, &options).await;
    }
    let mut server = start(folder.path(), 0, &[]).await;
    ingest(&server.client, &options, 0).await;
    if options.windows > 0 {
        windows(&server, &options).await;
    }
    println!("without the feature cache: {:.0} items a second", backfill(&mut server.client).await.0);
    retire(&mut server.client, "sport").await;
    server.kill();
    let mut server = start(folder.path(), FEATURES, &[]).await;
    println!("while the cache is filled: {:.0} items a second", backfill(&mut server.client).await.0);
    retire(&mut server.client, "sport").await;
    let (rate, cached) = backfill(&mut server.client).await;
    println!("with the feature cache: {rate:.0} items a second ({cached} from the cache)");
}

/// Bytes of a feature cache that holds every photo.
const FEATURES: u64 = 16 << 30;

async fn start(folder: &Path, features: u64, more: &[&str]) -> ChildServer {
    let program = std::env::current_exe().expect("a path").with_file_name("lapel-child-server");
    let mut arguments = vec!["--shipped-heads".to_owned(), format!("--features={features}")];
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    ChildServer::start(&program.to_string_lossy(), folder, &arguments).await
}

fn id(number: u64) -> String {
    format!("item{number:06}")
}

/// The `number`-th search.
fn search(number: u64, items: u64) -> v1::SearchRequest {
    by_item(&id(number * 7919 % items), 10)
}

/// Items of an upload.
const UPLOADED: u64 = 512;

/// Stores the items from one on.
async fn ingest(client: &Client, options: &Options, from: u64) {
    let photos = rendered(5, options.pictures);
    let start = Instant::now();
    for first in (from..options.items).step_by(UPLOADED as usize) {
        let numbers = first..(first + UPLOADED).min(options.items);
        let item = |n: u64| photos[(n % options.pictures) as usize].item(id(n), n);
        let results = client.clone().upsert(numbers.map(item).collect()).await.expect("stored");
        assert!(results.iter().all(|r| r.error.is_none()));
    }
    let seconds = start.elapsed().as_secs_f64();
    let count = options.items - from;
    println!("ingested {count} photos, {:.0} a second", count as f64 / seconds);
}

/// Queries in alternating windows, with and without a backfill beside them.
async fn windows(server: &ChildServer, options: &Options) {
    let mut searches: [Searches; 2] = Default::default();
    let mut client = server.client.clone();
    for window in 0..options.windows * 2 {
        let busy = window % 2 == 1;
        if busy {
            client.register_bundle(&sport_bundle()).await.expect("registered");
        }
        let over = tokio::time::sleep(Duration::from_secs(options.seconds));
        let request = |number| search(number, options.items);
        let found = ask(&server.address, options.rate, request, over).await;
        searches[usize::from(busy)].add(found);
        if busy {
            let request = v1::CancelHeadRequest { name: "sport".into(), ..Default::default() };
            client.heads.cancel_head(request).await.expect("the backfill still ran");
        }
    }
    let [alone, beside] = searches;
    print_beside("a backfill", &alone, &beside);
}

/// A whole backfill with queries beside it: items a second, and how many came from the cache.
async fn backfill(client: &mut Client) -> (f64, u64) {
    let over = Arc::new(AtomicBool::new(false));
    let (mut asking, told) = (client.clone(), over.clone());
    let queries = tokio::spawn(async move {
        let mut timer = tokio::time::interval(Duration::from_millis(10));
        while !told.load(Ordering::Relaxed) {
            timer.tick().await;
            asking.search.search(by_item("item000007", 10)).await.expect("no query fails");
        }
    });
    let start = Instant::now();
    client.register_bundle(&sport_bundle()).await.expect("registered");
    let head = settled(client, "sport").await;
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(head.state(), v1::HeadState::Active, "{head:?}");
    over.store(true, Ordering::Relaxed);
    queries.await.expect("no query fails");
    let progress = head.backfill.expect("told");
    (progress.items_done as f64 / seconds, progress.items_from_cache)
}

async fn retire(client: &mut Client, name: &str) {
    let request = v1::RetireHeadRequest { name: name.to_owned(), ..Default::default() };
    client.heads.retire_head(request).await.expect("retired");
}
