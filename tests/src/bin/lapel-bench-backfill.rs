//! Measures what a backfill costs the queries that run beside it, and how fast it is, with the feature cache and without.

use clap::Parser;
use lapel_client::{Client, v1};
use lapel_tests::photos::rendered;
use lapel_tests::{ChildServer, by_item, settled, sport_bundle};
use std::path::Path;
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
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = start(folder.path(), 0).await;
    ingest(&server.client, &options).await;
    if options.windows > 0 {
        windows(&server, &options).await;
    }
    println!("without the feature cache: {:.0} items a second", backfill(&mut server.client).await.0);
    retire(&mut server.client).await;
    server.kill();
    let mut server = start(folder.path(), 16 << 30).await;
    println!("while the cache is filled: {:.0} items a second", backfill(&mut server.client).await.0);
    retire(&mut server.client).await;
    let (rate, cached) = backfill(&mut server.client).await;
    println!("with the feature cache: {rate:.0} items a second ({cached} from the cache)");
}

async fn start(folder: &Path, features: u64) -> ChildServer {
    let program = std::env::current_exe().expect("a path").with_file_name("lapel-child-server");
    let arguments = ["--shipped-heads".to_owned(), format!("--features={features}")];
    ChildServer::start(&program.to_string_lossy(), folder, &arguments).await
}

async fn ingest(client: &Client, options: &Options) {
    let photos = rendered(5, options.pictures);
    let start = Instant::now();
    for first in (0..options.items).step_by(512) {
        let numbers = first..(first + 512).min(options.items);
        let item = |n: u64| photos[(n % options.pictures) as usize].item(format!("item{n:06}"), n);
        let results = client.clone().upsert(numbers.map(item).collect()).await.expect("stored");
        assert!(results.iter().all(|r| r.error.is_none()));
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("ingested {} photos, {:.0} a second", options.items, options.items as f64 / seconds);
}

/// Queries in alternating windows, with and without a backfill beside them.
async fn windows(server: &ChildServer, options: &Options) {
    let mut latencies: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    let mut failed = 0;
    let mut client = server.client.clone();
    for window in 0..options.windows * 2 {
        let busy = window % 2 == 1;
        if busy {
            client.register_bundle(&sport_bundle()).await.expect("registered");
        }
        let (found, errors) = ask(&server.address, options).await;
        latencies[usize::from(busy)].extend(found);
        failed += errors;
        if busy {
            let request = v1::CancelHeadRequest { name: "sport".into(), ..Default::default() };
            client.heads.cancel_head(request).await.expect("the backfill still ran");
        }
    }
    let mut at = |busy: usize, part: f64| {
        latencies[busy].sort_by(f64::total_cmp);
        latencies[busy][((latencies[busy].len() - 1) as f64 * part) as usize]
    };
    for (name, part) in [("median", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        let (idle, busy) = (at(0, part), at(1, part));
        println!("{name}: {idle:.2} ms without a backfill, {busy:.2} ms with one, ratio {:.2}", busy / idle);
    }
    println!("{failed} failed queries of {}", latencies[0].len() + latencies[1].len());
}

/// An open loop: queries are sent when they are due, and their time counts from then.
async fn ask(address: &str, options: &Options) -> (Vec<f64>, u64) {
    let client = Client::connect(address).await.expect("connects");
    let every = Duration::from_nanos(1_000_000_000 / options.rate);
    let start = Instant::now() + Duration::from_millis(300);
    let mut tasks = tokio::task::JoinSet::new();
    let failed = Arc::new(std::sync::atomic::AtomicU64::new(0));
    for number in 0..options.rate * options.seconds {
        let due = start + every * number as u32;
        tokio::time::sleep_until(due.into()).await;
        let (mut client, failed) = (client.clone(), failed.clone());
        let id = format!("item{:06}", number * 7919 % options.items);
        tasks.spawn(async move {
            if client.search.search(by_item(&id, 10)).await.is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
            }
            due.elapsed().as_secs_f64() * 1e3
        });
    }
    (tasks.join_all().await, failed.load(Ordering::Relaxed))
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

async fn retire(client: &mut Client) {
    let request = v1::RetireHeadRequest { name: "sport".into(), ..Default::default() };
    client.heads.retire_head(request).await.expect("retired");
}
