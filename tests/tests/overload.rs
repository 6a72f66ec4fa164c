//! Offered four times what it can take, the server goes on at its pace, keeps the latency of what it accepts, and refuses
//! the rest at once; and what callers have left takes no memory. It measures time and memory, so it is no part of the usual
//! run: `just overload`.

use lapel_client::{Client, v1};
use lapel_heads::Photo;
use lapel_render::{render, to_jpeg};
use lapel_tests::{TestServer, by_image, ingest, memory_mib};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::Code;

/// How long each load lasts.
const LOAD: Duration = Duration::from_secs(10);
/// Searches in flight where each follows the one before.
const IN_FLIGHT: usize = 8;
/// Connections that they share.
const CONNECTIONS: usize = 8;

/// What became of a load.
struct Outcome {
    answered: Vec<Duration>,
    refused: Vec<Duration>,
}

impl Outcome {
    fn rate(&self) -> f64 {
        self.answered.len() as f64 / LOAD.as_secs_f64()
    }
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}

struct Load {
    clients: Vec<Client>,
    searches: Vec<v1::SearchRequest>,
}

impl Load {
    /// Sends a search; whether it was answered and how long that took since it was `due`.
    async fn send(&self, number: usize, due: Instant) -> (bool, Duration) {
        let mut client = self.clients[number % CONNECTIONS].clone();
        let search = self.searches[number % self.searches.len()].clone();
        match client.search.search(search).await {
            Ok(_) => (true, due.elapsed()),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                (false, due.elapsed())
            }
        }
    }

    /// As many as are answered when a few callers send one after the other.
    async fn closed(self: &Arc<Self>) -> Outcome {
        let mut callers = JoinSet::new();
        let end = Instant::now() + LOAD;
        for caller in 0..IN_FLIGHT {
            let load = self.clone();
            callers.spawn(async move {
                let mut ended = Vec::new();
                while Instant::now() < end {
                    ended.push(load.send(caller + ended.len() * IN_FLIGHT, Instant::now()).await);
                }
                ended
            });
        }
        told(callers.join_all().await.into_iter().flatten())
    }

    /// As many as are due, whatever became of those before.
    async fn open(self: &Arc<Self>, rate: f64) -> Outcome {
        let mut searches = JoinSet::new();
        let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        for number in 0..(rate * LOAD.as_secs_f64()) as usize {
            let due = pace.tick().await.into_std();
            let load = self.clone();
            searches.spawn(async move { load.send(number, due).await });
        }
        told(searches.join_all().await.into_iter())
    }
}

fn told(ended: impl Iterator<Item = (bool, Duration)>) -> Outcome {
    let (answered, refused): (Vec<_>, Vec<_>) = ended.partition(|(answered, _)| *answered);
    let times = |ended: Vec<(bool, Duration)>| ended.into_iter().map(|(_, time)| time).collect();
    Outcome { answered: times(answered), refused: times(refused) }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures time: `just overload`"]
async fn four_times_what_it_can_take_leaves_it_at_its_pace() {
    let server = TestServer::start().await;
    ingest(&mut server.client().await, 1, 500).await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(server.client().await);
    }
    let searches = (0..64).map(|n| by_image(to_jpeg(&render(8, n).photo), 10)).collect();
    let load = Arc::new(Load { clients, searches });
    load.closed().await;
    // Client and server are in this one.
    let process = std::process::id();
    let memory = memory_mib(process);
    let mut shares = Vec::new();
    for round in 1..=3 {
        let before = load.closed().await;
        let mut over = load.open(4.0 * before.rate()).await;
        let after = load.closed().await;
        assert!(before.refused.is_empty() && !over.refused.is_empty());
        let (peak, good) = (before.rate().max(after.rate()), over.rate());
        // A query waits for those that have a place before it, and for one batch that runs.
        let bound = Duration::from_secs_f64((32.0 + 8.0) / before.rate().min(after.rate()));
        let (accepted, refused) = (p99(&mut over.answered), p99(&mut over.refused));
        println!(
            "round {round}: {peak:.0} a second at most; offered {:.0}: {good:.0} answered, p99 {accepted:.0?} \
             (bound {bound:.0?}); the others refused, p99 {refused:.0?}; {:.0} MiB more",
            4.0 * before.rate(),
            memory_mib(process) - memory
        );
        shares.push((good / peak, accepted.as_secs_f64() / bound.as_secs_f64()));
    }
    // Neighbours on the machine may spoil one round.
    shares.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(shares[1].0 >= 0.8, "shares of the peak: {shares:?}");
    shares.sort_by(|a, b| a.1.total_cmp(&b.1));
    assert!(shares[1].1 <= 1.5, "shares of the bound: {shares:?}");
    assert!(memory_mib(process) - memory < 200.0, "memory is bounded");
    server.finish().await;
}

/// Cancelled searches by photos of 40 megapixels, and how many are under way at a time.
const CANCELLED: usize = 500;
const CANCELLED_AT_ONCE: usize = 10;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures memory: `just overload`"]
async fn cancelled_photos_of_40_megapixels_leave_no_memory_behind() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 20).await;
    let photo = Photo::from_rgb(8000, 5000, vec![200; 8000 * 5000 * 3]).expect("sized");
    let search = by_image(to_jpeg(&photo), 1);
    drop(photo);
    client.search.search(search.clone()).await.expect("answers");
    let process = std::process::id();
    let (before, mut peak) = (memory_mib(process), 0.0f64);
    let (start, mut cancelled) = (Instant::now(), 0);
    while cancelled < CANCELLED {
        assert!(start.elapsed() < Duration::from_secs(600), "{cancelled} in ten minutes");
        let mut leaving = JoinSet::new();
        for _ in 0..CANCELLED_AT_ONCE {
            let (mut client, search) = (client.clone(), search.clone());
            leaving.spawn(async move {
                let answer = client.search.search(search);
                // In time are those that are refused for want of a place.
                tokio::time::timeout(Duration::from_millis(50), answer).await.is_err()
            });
        }
        cancelled += leaving.join_all().await.into_iter().filter(|late| *late).count();
        peak = peak.max(memory_mib(process));
    }
    let left = Instant::now();
    // Refused while the last of them still have places.
    while client.search.search(search.clone()).await.is_err() {
        assert!(left.elapsed() < Duration::from_secs(10), "back to normal");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The allocator gives pages back after some seconds.
    while memory_mib(process) > before + 100.0 && left.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let after = memory_mib(process);
    println!("{before:.0} MiB before, {peak:.0} at most, {after:.0} after {:.0?}", left.elapsed());
    assert!(after <= before + 100.0, "{after} MiB after {before}");
    server.finish().await;
}
