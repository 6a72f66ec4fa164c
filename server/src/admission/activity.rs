//! Whether a connection is of use to anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What happens on a connection.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    /// Requests that have a place.
    busy: AtomicUsize,
    /// Milliseconds from when it was opened to when it was last of use.
    last_ms: AtomicU64,
    /// Answers that are open although they were given up.
    given_up: AtomicUsize,
    /// A request has come, and whether there is one at a time (HTTP/1.1).
    asked: AtomicBool,
    is_serial: AtomicBool,
    /// Cancelled to close it.
    closed: CancellationToken,
}

impl Activity {
    /// Of a connection that is opened now.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            busy: AtomicUsize::new(0),
            last_ms: AtomicU64::new(0),
            given_up: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            is_serial: AtomicBool::new(false),
            closed: CancellationToken::new(),
        })
    }

    /// Of a connection that was of no use for so long.
    #[cfg(test)]
    pub(crate) fn idle_for(time: Duration) -> Arc<Self> {
        let mut activity = Self::new();
        if let Some(activity) = Arc::get_mut(&mut activity) {
            activity.opened = activity.opened.checked_sub(time).unwrap_or(activity.opened);
        }
        activity
    }

    /// Notes that a request or an answer goes on.
    pub(crate) fn touch(&self) {
        let ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Relaxed);
    }

    /// Notes that a request has come, on a connection that carries others beside it or none.
    pub(crate) fn asks(&self, is_serial: bool) {
        self.is_serial.store(is_serial, Ordering::Relaxed);
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether a request has come.
    pub(crate) fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Notes that an answer was given up that the transport keeps open; with more than so many the connection is closed, and
    /// with the first one where others wait behind it.
    pub(crate) fn give_up(&self, most: usize) {
        let most = if self.is_serial.load(Ordering::Relaxed) { 0 } else { most };
        if self.given_up.fetch_add(1, Ordering::Relaxed) >= most {
            self.closed.cancel();
        }
    }

    /// Notes that the transport has let an answer go that was given up.
    pub(crate) fn forget_given_up(&self) {
        self.given_up.fetch_sub(1, Ordering::Relaxed);
    }

    /// For how long it has been of no use to anybody; `None` while it is, and once it is told to close.
    pub(crate) fn idle(&self) -> Option<Duration> {
        if self.busy.load(Ordering::Relaxed) > 0 || self.closed.is_cancelled() {
            return None;
        }
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        Some(self.opened.elapsed().saturating_sub(last))
    }

    /// Cancelled when the connection is to be closed.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }
}

/// A request that has a place; until dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        activity.busy.fetch_add(1, Ordering::Relaxed);
        Self(activity.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.touch();
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
