//! What shows whether a server is as it was.

use crate::memory_mib;
use crate::probes::in_flight;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::time::interval;

/// Between two looks at a server.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Memory that strangers may leave behind.
const LEFT_MIB_MAX: f64 = 100.0;

/// A server at one moment.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Memory of its process.
    pub memory_mib: f64,
    /// Sockets that it has open.
    pub sockets: usize,
    /// Requests that have not ended.
    pub in_flight: u64,
}

impl State {
    /// Whether a server without work is as it was at an earlier moment.
    #[must_use]
    pub fn is_back_to(&self, before: &Self) -> bool {
        self.in_flight == 0
            && self.sockets <= before.sockets
            && self.memory_mib <= before.memory_mib + LEFT_MIB_MAX
    }
}

/// Looks at a server from outside.
pub(super) struct Observer {
    pub(super) process: u32,
    pub(super) probes: SocketAddr,
}

impl Observer {
    pub(super) async fn state(&self) -> State {
        // The probe's own connection is closed by the time the sockets are counted, or soon after.
        let in_flight = in_flight(self.probes).await;
        State { memory_mib: memory_mib(self.process), sockets: sockets(self.process), in_flight }
    }

    /// The most memory that the server has while something goes on.
    pub(super) async fn peak_during<T>(&self, work: impl Future<Output = T>) -> (T, f64) {
        let mut work = pin!(work);
        let (mut look, mut most) = (interval(LOOK_EVERY), 0.0f64);
        loop {
            tokio::select! {
                done = &mut work => return (done, most),
                _ = look.tick() => most = most.max(memory_mib(self.process)),
            }
        }
    }

    /// Looks until the server is as it was or time is up; its state then, and whether it is.
    pub(super) async fn back_to(&self, before: &State, until: Instant) -> (State, bool) {
        let mut look = interval(LOOK_EVERY);
        loop {
            look.tick().await;
            let state = self.state().await;
            let is_back = state.is_back_to(before);
            if is_back || Instant::now() >= until {
                return (state, is_back);
            }
        }
    }
}

/// Open sockets of a process, listeners among them.
fn sockets(process: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}
