//! Measures a server end to end over gRPC: ingest of signatures with queries going on, agreement with the exact scan,
//! latency and throughput of searches by item id. Client and server share the machine, as two processes.

use clap::Parser;
use lapel_client::{Client, v1};
use lapel_server::bench::{Generator, Sample, Shape, WeightKind};
use lapel_tests::{by_item, external_bundle, weights};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Labels of an attribute.
const LABELS: usize = 16;

#[derive(Parser)]
struct Options {
    /// Items to ingest.
    #[arg(long, default_value_t = 100_000)]
    items: usize,
    /// External heads.
    #[arg(long, default_value_t = 6)]
    heads: usize,
    /// Numbers of a signature.
    #[arg(long, default_value_t = 64)]
    dim: usize,
    /// Items of one upsert stream.
    #[arg(long, default_value_t = 10_000)]
    stream: usize,
    /// Queries compared with the exact scan, a kind of weights.
    #[arg(long, default_value_t = 100)]
    queries: usize,
    /// Searches of each measurement of throughput.
    #[arg(long, default_value_t = 20_000)]
    searches: usize,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the catalogue is made, on a disk with room for it; a temporary folder otherwise.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Leave the catalogue behind, and say where.
    #[arg(long)]
    keep: bool,
    /// Settings of the server, as environment variables: LAPEL__SEARCH__MEMORY_BYTES=1GiB.
    #[arg(long, value_parser = setting)]
    set: Vec<(String, String)>,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let above = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&above).expect("a folder that can be made");
    let mut folder = tempfile::tempdir_in(above).expect("a temporary folder");
    if options.keep {
        folder.disable_cleanup(true);
        println!("catalogue: {}", folder.path().join("data").display());
    }
    let (mut server, address) = start(folder.path(), &options.set);
    let mut client = Client::connect(&address).await.expect("connects");
    let labels: Vec<String> = (0..LABELS).map(label).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    for head in 0..options.heads {
        client
            .register_bundle(&external_bundle(&name(head), options.dim, &labels))
            .await
            .expect("registered");
    }
    let generator = Generator::new(Shape {
        items: options.items,
        heads: options.heads,
        dim: options.dim,
        labels: LABELS,
        zipf: 1.0,
        correlation: 0.3,
        spread: (0.3, 0.9),
        variants: 0.2,
        missing: 0.0,
        seed: options.seed,
    })
    .expect("a sound shape");
    ingest(&client, &generator, &options).await;
    let ingested = Instant::now();
    coded(&mut client, options.heads).await;
    println!("searchable by codes {:.2} s after the last item", ingested.elapsed().as_secs_f64());
    print_space(server.0.id(), &folder.path().join("data"));
    add_a_head(&mut client, &generator, &labels, &options).await;
    agree(&mut client, &options).await;
    for (connections, in_flight) in [(1, 1), (1, 8), (2, 8), (4, 16)] {
        throughput(&address, &options, (connections, in_flight), Some(server.0.id())).await;
    }
    let caches = folder.path().join("data/caches");
    server.end_orderly();
    for case in ["with its caches", "after a kill", "without any cache"] {
        if case == "without any cache" {
            std::fs::remove_dir_all(&caches).expect("removed");
        }
        let began = Instant::now();
        let (again, address) = start(folder.path(), &options.set);
        let serving = began.elapsed().as_secs_f64();
        let mut client = Client::connect(&address).await.expect("connects");
        coded(&mut client, options.heads).await;
        println!(
            "start {case}: serving after {serving:.2} s, by codes after {:.2} s",
            began.elapsed().as_secs_f64()
        );
        print_space(again.0.id(), &folder.path().join("data"));
        drop(again);
    }
}

/// A process that does not outlive this one's interest.
struct Killed(Child);

impl Killed {
    /// Ends it as an operator would, so that it writes its caches.
    fn end_orderly(&mut self) {
        let told =
            Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status().expect("kill runs");
        assert!(told.success());
        self.0.wait().expect("it ends");
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn setting(given: &str) -> Result<(String, String), String> {
    let (name, value) = given.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What a server takes: memory of its own, pages of files that it maps, and its files.
fn print_space(process: u32, data: &Path) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        line.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    let (own, mapped) = (kib("RssAnon:") / 1024.0, kib("RssFile:") / 1024.0);
    println!(
        "memory: {own:.0} MiB of its own, {mapped:.0} MiB of mapped files; on disk {:.0} MiB",
        disk_mib(data)
    );
}

/// Mebibytes that the files below a folder take.
fn disk_mib(folder: &Path) -> f64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk_mib(&entry.path()),
        Ok(found) => found.blocks() as f64 * 512.0 / 1048576.0,
        Err(_) => 0.0,
    };
    entries.map(of).sum()
}

fn name(head: usize) -> String {
    format!("head{head:02}")
}

fn label(label: usize) -> String {
    format!("label{label:02}")
}

fn id(at: usize) -> String {
    format!("item{at:08}")
}

/// The server beside this program, on a free port; its address is in its log.
fn start(folder: &Path, settings: &[(String, String)]) -> (Killed, String) {
    let program = std::env::current_exe().expect("a path").with_file_name("lapel-server");
    let child = Command::new(&program)
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(folder.join("data"))
        .arg("serve")
        .env("LAPEL__LIMITS__STREAM_ITEMS_MAX", "1000000")
        .env("RUST_LOG", "info")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{} does not start: {e}; build it first", program.display()));
    let mut child = Killed(child);
    let mut lines = BufReader::new(child.0.stderr.take().expect("piped")).lines();
    while let Some(line) = lines.next().transpose().expect("readable") {
        if let Some((_, address)) = line.split_once("serving address=") {
            let address = format!("http://{}", address.trim());
            // The rest is read on, so that the server never waits for a reader.
            std::thread::spawn(move || lines.for_each(drop));
            return (child, address);
        }
        eprintln!("{line}");
    }
    panic!("the server ended before it served");
}

fn message(at: usize, sample: Sample) -> v1::UpsertItemsRequest {
    let labels = sample.labels.iter().enumerate().map(|(head, l)| (name(head), label(*l)));
    let signatures = sample.signatures.into_iter().enumerate();
    v1::UpsertItemsRequest {
        id: id(at),
        image: Vec::new(),
        labels: labels.collect(),
        signatures: signatures
            .filter_map(|(head, values)| Some(v1::Signature { head: name(head), values: values? }))
            .collect(),
        ..Default::default()
    }
}

/// Only the bench's heads, each with its weight.
fn request(at: usize, k: u32, of: &[f64]) -> v1::SearchRequest {
    let names: Vec<String> = (0..of.len()).map(name).collect();
    let by_name: Vec<(&str, f64)> = names.iter().map(String::as_str).zip(of.iter().copied()).collect();
    v1::SearchRequest { weighting: weights(&by_name, true), ..by_item(&id(at), k) }
}

async fn ingest(client: &Client, generator: &Generator, options: &Options) {
    let (mut sending, mut seconds) = (client.clone(), 0.0);
    let stop = Arc::new(AtomicBool::new(false));
    let queries = tokio::spawn(query_on(client.clone(), options.heads, stop.clone()));
    for first in (0..options.items).step_by(options.stream) {
        let count = options.stream.min(options.items - first);
        let samples = generator.items(first, count).into_iter().enumerate();
        let messages: Vec<_> = samples.map(|(at, sample)| message(first + at, sample)).collect();
        let start = Instant::now();
        let results = sending.upsert(messages).await.expect("stored");
        seconds += start.elapsed().as_secs_f64();
        assert!(
            results.iter().all(|r| r.error.is_none()),
            "{:?}",
            results.iter().find(|r| r.error.is_some())
        );
    }
    stop.store(true, Ordering::Relaxed);
    let mut times = queries.await.expect("no panic");
    times.sort_by(f64::total_cmp);
    println!(
        "ingest: {:.0} items a second with {} heads, durable; meanwhile {} searches, p50 {:.2} ms, p99 {:.2} ms",
        options.items as f64 / seconds,
        options.heads,
        times.len(),
        percentile(&times, 0.5),
        percentile(&times, 0.99)
    );
}

/// Ten searches a second for the first item, until told to stop; milliseconds of each.
async fn query_on(mut client: Client, heads: usize, stop: Arc<AtomicBool>) -> Vec<f64> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        if client.search.search(request(0, 10, &vec![1.0; heads])).await.is_ok() {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    times
}

/// Teaches the running server one more head, with a signature for every item.
async fn add_a_head(client: &mut Client, generator: &Generator, labels: &[&str], options: &Options) {
    let head = name(options.heads);
    let message = |(at, sample): (usize, Sample)| v1::UpsertItemsRequest {
        id: id(at),
        signatures: vec![v1::Signature {
            head: head.clone(),
            values: sample.signatures.into_iter().next().flatten().unwrap_or_default(),
        }],
        signatures_only: true,
        ..v1::UpsertItemsRequest::default()
    };
    // What is sent is made beforehand, a stream at a time: making it is the bench's own work.
    let mut making = Duration::ZERO;
    let start = Instant::now();
    client.register_bundle(&external_bundle(&head, options.dim, labels)).await.expect("registered");
    for first in (0..options.items).step_by(options.stream) {
        let made = Instant::now();
        let count = options.stream.min(options.items - first);
        let samples = generator.items(first, count).into_iter().enumerate();
        let messages: Vec<_> = samples.map(|(at, sample)| message((first + at, sample))).collect();
        making += made.elapsed();
        let results = client.upsert(messages).await.expect("stored");
        assert!(results.iter().all(|r| r.error.is_none()));
    }
    let durable = (start.elapsed() - making).as_secs_f64();
    let one_head = v1::SearchRequest { weighting: weights(&[(&head, 1.0)], true), ..by_item(&id(0), 10) };
    coded_for(client, one_head).await;
    println!(
        "a head added to {} items with their signatures: durable after {durable:.2} s, searchable by codes after {:.2} s",
        options.items,
        (start.elapsed() - making).as_secs_f64()
    );
    client
        .heads
        .retire_head(v1::RetireHeadRequest { name: head, ..Default::default() })
        .await
        .expect("retired");
}

/// Waits until the planner can scan codes of the bench's heads.
async fn coded(client: &mut Client, heads: usize) {
    coded_for(client, request(0, 10, &vec![1.0; heads])).await;
}

async fn coded_for(client: &mut Client, ask: v1::SearchRequest) {
    let start = Instant::now();
    let wanted = v1::PlanKind::CodeScan;
    let ask = v1::SearchRequest { plan: wanted.into(), ..ask };
    while start.elapsed() < Duration::from_secs(300) {
        let answer = client.search.search(ask.clone()).await.expect("answers").into_inner();
        if answer.plan.expect("named").kind() == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no codes after {:?}", start.elapsed());
}

async fn agree(client: &mut Client, options: &Options) {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed ^ 5);
    for kind in [WeightKind::Uniform, WeightKind::Dirichlet, WeightKind::Extreme, WeightKind::OneHot] {
        let (mut found, mut wanted) = (0, 0);
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..options.queries {
            let ask =
                request(rng.random_range(0..options.items), 10, &kind.draw(options.heads, &[], &mut rng));
            let mut answers = Vec::new();
            for (which, exact) in [(0, true), (1, false)] {
                let start = Instant::now();
                let answer = client.search.search(v1::SearchRequest { exact, ..ask.clone() }).await;
                times[which].push(start.elapsed().as_secs_f64() * 1e3);
                answers.push(answer.expect("answers").into_inner().results);
            }
            let last = answers[0].last().map_or(0.0, |r| r.distance);
            found += answers[1].iter().filter(|r| r.distance <= last + 1e-9).count();
            wanted += answers[0].len();
        }
        times.iter_mut().for_each(|t| t.sort_by(f64::total_cmp));
        println!(
            "{}: recall@10 {:.4}; p50 {:.2} ms, p99 {:.2} ms; exact p50 {:.2} ms",
            kind.name(),
            f64::from(found as u32) / f64::from(wanted as u32),
            percentile(&times[1], 0.5),
            percentile(&times[1], 0.99),
            percentile(&times[0], 0.5)
        );
    }
}

async fn throughput(
    address: &str,
    options: &Options,
    (connections, in_flight): (usize, usize),
    server: Option<u32>,
) {
    let cpu_before = server.and_then(cpu_seconds).zip(cpu_seconds(std::process::id()));
    let start = Instant::now();
    let mut running = JoinSet::new();
    for at in 0..connections {
        let client = Client::connect(address).await.expect("connects");
        for lane in 0..in_flight / connections {
            let (mut client, items, heads) = (client.clone(), options.items, options.heads);
            let searches = options.searches;
            let mut rng = ChaCha8Rng::seed_from_u64((at * 1000 + lane) as u64);
            running.spawn(async move {
                let mut times = Vec::new();
                for _ in 0..searches / in_flight {
                    let start = Instant::now();
                    let ask = request(rng.random_range(0..items), 10, &vec![1.0; heads]);
                    client.search.search(ask).await.expect("answers");
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
                times
            });
        }
    }
    let mut times: Vec<f64> = running.join_all().await.into_iter().flatten().collect();
    let seconds = start.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let cpu_after = server.and_then(cpu_seconds).zip(cpu_seconds(std::process::id()));
    let share = cpu_before.zip(cpu_after).map_or(String::new(), |((s0, c0), (s1, c1))| {
        format!("; processor: server {:.2}, client {:.2} cores", (s1 - s0) / seconds, (c1 - c0) / seconds)
    });
    println!(
        "{connections} connection(s), {in_flight} in flight: {:.0} searches by item a second, p50 {:.2} ms, p99 {:.2} ms{share}",
        times.len() as f64 / seconds,
        percentile(&times, 0.5),
        percentile(&times, 0.99)
    );
}

/// Processor time of a process so far, where the system tells.
fn cpu_seconds(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
