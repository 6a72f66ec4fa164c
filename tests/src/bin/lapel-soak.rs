//! A mixed load for some time, beside which the server's memory and open files are watched. Stops by itself.

use clap::Parser;
use lapel_client::{Client, v1};
use lapel_tests::photos::{TestPhoto, rendered};
use lapel_tests::{ChildServer, by_image, by_item, memory_mib, settled, sport_bundle};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Options {
    /// Minutes to run.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Different ids.
    #[arg(long, default_value_t = 1000)]
    items: u64,
    /// Mebibytes for pages of the catalogue's file: few, so that they are all in use soon.
    #[arg(long, default_value_t = 16)]
    page_cache_mib: usize,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What the clients did.
#[derive(Default)]
struct Done {
    items: AtomicU64,
    searches: AtomicU64,
    heads: AtomicU64,
    backups: AtomicU64,
    failed: AtomicU64,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = std::env::current_exe().expect("a path").with_file_name("lapel-child-server");
    let arguments = [
        "--shipped-heads".to_owned(),
        format!("--features={}", 64 << 20),
        format!("--page-cache-mib={}", options.page_cache_mib),
    ];
    let server = ChildServer::start(&program.to_string_lossy(), folder.path(), &arguments).await;
    let photos: Arc<Vec<TestPhoto>> = Arc::new(rendered(options.seed, 200));
    let done = Arc::new(Done::default());
    let end = Instant::now() + Duration::from_secs(60 * options.minutes);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..4u64 {
        let random = ChaCha8Rng::seed_from_u64(options.seed * 100 + client);
        let load = Load {
            client: server.client.clone(),
            photos: photos.clone(),
            done: done.clone(),
            items: options.items,
            end,
        };
        clients.spawn(load.mixed(random));
    }
    let load = Load { client: server.client.clone(), photos, done: done.clone(), items: options.items, end };
    clients.spawn(load.heads());
    println!("minute  memory MiB  open files  file MiB   items  searches  heads  backups  failed");
    let (start, mut samples) = (Instant::now(), Vec::new());
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(30)).await;
        let (memory, files) = (memory_mib(server.id()), open_files(server.id()));
        let file = std::fs::metadata(folder.path().join("data/catalogue.redb")).map_or(0, |m| m.len() >> 20);
        let [items, searches, heads, backups, failed] =
            [&done.items, &done.searches, &done.heads, &done.backups, &done.failed]
                .map(|c| c.load(Ordering::Relaxed));
        println!(
            "{:6.1}  {memory:10.0}  {files:10}  {file:8}  {items:6}  {searches:8}  {heads:5}  {backups:7}  {failed:6}",
            start.elapsed().as_secs_f64() / 60.0
        );
        samples.push((memory, files));
    }
    clients.join_all().await;
    let third = samples.len() / 3;
    let most = |part: &[(f64, usize)]| part.iter().fold((0.0f64, 0), |a, s| (a.0.max(s.0), a.1.max(s.1)));
    let (middle, last) = (most(&samples[third..2 * third]), most(&samples[2 * third..]));
    println!("most in the second third: {middle:?}; in the last: {last:?}");
    assert_eq!(done.failed.load(Ordering::Relaxed), 0, "no request fails");
    assert!(
        last.0 <= middle.0 * 1.05 + 8.0 && last.1 <= middle.1 + 4,
        "memory and open files stay as they are"
    );
}

struct Load {
    client: Client,
    photos: Arc<Vec<TestPhoto>>,
    done: Arc<Done>,
    items: u64,
    end: Instant,
}

impl Load {
    async fn mixed(mut self, mut random: ChaCha8Rng) {
        let mut number = random.random::<u32>() as u64;
        while Instant::now() < self.end {
            let id = format!("item{}", random.random_range(0..self.items));
            let photo = &self.photos[random.random_range(0..self.photos.len())];
            number += 1;
            let outcome = match random.random_range(0..100) {
                0..20 => self.client.upsert(vec![photo.item(id, number)]).await.map(|r| {
                    self.done.items.fetch_add(1, Ordering::Relaxed);
                    assert!(r[0].error.is_none(), "{r:?}");
                }),
                20..30 => {
                    let ids = vec![id];
                    let request = v1::DeleteItemsRequest { ids, request_id: format!("d{number}") };
                    self.client.catalog.delete_items(request).await.map(drop)
                }
                30..35 => {
                    let weights =
                        BTreeMap::from([("color".to_owned(), f64::from(random.random_range(1..100)))]);
                    let name = format!("p{}", random.random_range(0..50));
                    let request = v1::SaveProfileRequest { name, weights, ..Default::default() };
                    self.client.feedback.save_profile(request).await.map(drop)
                }
                35..45 => {
                    let image = photo.item(String::new(), number).image;
                    self.searched();
                    self.client.search.search(by_image(image, 20)).await.map(drop)
                }
                _ => {
                    self.searched();
                    self.client.search.search(by_item(&id, 20)).await.map(drop)
                }
            };
            match outcome {
                // The item is not there now.
                Err(status) if status.code() == tonic::Code::NotFound => {}
                Err(status) => {
                    println!("failed: {status:?}");
                    self.done.failed.fetch_add(1, Ordering::Relaxed);
                }
                Ok(()) => {}
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn searched(&self) {
        self.done.searches.fetch_add(1, Ordering::Relaxed);
    }

    /// A head comes and goes, and now and then a backup is taken.
    async fn heads(mut self) {
        let mut round = 0u64;
        while Instant::now() < self.end {
            self.client.register_bundle(&sport_bundle()).await.expect("registered");
            let head = settled(&mut self.client, "sport").await;
            assert_eq!(head.state(), v1::HeadState::Active, "{head:?}");
            let request = v1::RetireHeadRequest { name: "sport".into(), ..Default::default() };
            self.client.heads.retire_head(request).await.expect("retired");
            self.done.heads.fetch_add(1, Ordering::Relaxed);
            round += 1;
            if round.is_multiple_of(3) {
                let mut pieces =
                    self.client.admin.backup(v1::BackupRequest {}).await.expect("begun").into_inner();
                while pieces.message().await.expect("a piece").is_some() {}
                self.done.backups.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    }
}

fn open_files(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}
