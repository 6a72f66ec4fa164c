//! Searches at a steady rate, for measurements of what runs beside them.

use lapel_client::{Client, v1};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What became of searches.
#[derive(Default)]
pub struct Searches {
    /// Milliseconds from when each was due to its end.
    latencies_ms: Vec<f64>,
    failed: u64,
}

impl Searches {
    /// Takes in what became of others.
    pub fn add(&mut self, other: Self) {
        self.latencies_ms.extend(other.latencies_ms);
        self.failed += other.failed;
    }

    /// The milliseconds of all, the failed ones included, in ascending order.
    fn sorted_ms(&self) -> Vec<f64> {
        let mut sorted = self.latencies_ms.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// The latency within which this share of them ended; 0 where there are none.
fn quantile(sorted_ms: &[f64], share: f64) -> f64 {
    let last = sorted_ms.len().saturating_sub(1);
    sorted_ms.get((last as f64 * share) as usize).copied().unwrap_or_default()
}

/// Prints how long searches took alone, and beside `what`.
pub fn print_beside(what: &str, alone: &Searches, beside: &Searches) {
    let sorted_ms = [alone, beside].map(Searches::sorted_ms);
    for (name, share) in [("median", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        let [alone, beside] = sorted_ms.each_ref().map(|sorted| quantile(sorted, share));
        println!("{name}: {alone:.2} ms alone, {beside:.2} ms beside {what}, ratio {:.2}", beside / alone);
    }
    let (failed, busy) = (alone.failed + beside.failed, beside.latencies_ms.len());
    println!("{failed} failed searches of {}, {busy} of them beside {what}", alone.latencies_ms.len() + busy);
}

/// An open loop: `rate` searches a second are sent when they are due, until `over`, and their time counts from then. `request`
/// makes the n-th.
///
/// # Panics
/// When the server cannot be reached.
pub async fn ask(
    address: &str,
    rate: u64,
    request: impl Fn(u64) -> v1::SearchRequest,
    over: impl Future<Output = ()>,
) -> Searches {
    let client = Client::connect(address).await.expect("connects");
    let every = Duration::from_nanos(1_000_000_000 / rate);
    let (start, failed) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    let mut over = std::pin::pin!(over);
    for number in 0.. {
        let due = start + every * number as u32;
        tokio::select! {
            () = &mut over => break,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        let (mut client, failed, request) = (client.clone(), failed.clone(), request(number));
        tasks.spawn(async move {
            if client.search.search(request).await.is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
            }
            due.elapsed().as_secs_f64() * 1e3
        });
    }
    let latencies_ms = tasks.join_all().await;
    Searches { latencies_ms, failed: failed.load(Ordering::Relaxed) }
}
