//! Places among the requests in flight.
//!
//! Calls, which are answered at once, and streams, which wait for their callers, have places of their own: streams that
//! stand still take none from a search.

use crate::config::Limits;
use crate::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of whoever bounds its requests: the server, a connection, or a token.
#[derive(Clone, Debug)]
pub(super) struct Places {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Places {
    fn new(calls: usize, streams: usize) -> Self {
        Self { calls: Arc::new(Semaphore::new(calls)), streams: Arc::new(Semaphore::new(streams)) }
    }

    pub(super) fn of_server(limits: &Limits) -> Self {
        Self::new(limits.requests_max, limits.streams_max)
    }

    /// For those who watch the server's health, who need no token and must not take a stream from those who have one.
    pub(super) fn of_health(limits: &Limits) -> Self {
        Self::new(0, limits.streams_max)
    }

    pub(super) fn of_connection(limits: &Limits) -> Self {
        Self::new(limits.requests_per_connection_max, streams_of_one(limits))
    }

    pub(super) fn of_token(limits: &Limits) -> Self {
        Self::new(limits.requests_per_token_max, streams_of_one(limits))
    }

    /// A place for a stream (`lasts`) or a call, given back when dropped; `whose` it would be is told where there is none.
    pub(super) fn take(&self, lasts: bool, whose: &str) -> Result<OwnedSemaphorePermit, Error> {
        let (places, what) = if lasts { (&self.streams, "streams") } else { (&self.calls, "requests") };
        places.clone().try_acquire_owned().map_err(|_| {
            Error::Exhausted(format!("{whose} has as many {what} in flight as it may; try again in a moment"))
        })
    }
}

/// The places that a request has taken. They are given back with the last copy, or when they are told to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken(Arc<Mutex<Vec<OwnedSemaphorePermit>>>);

impl Taken {
    /// Those of a request; one that has not passed the gate has none.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    pub(super) fn fill(&self, places: Vec<OwnedSemaphorePermit>) {
        *self.lock() = places;
    }

    /// Gives them back although the request is not over: nothing is done for it any more.
    pub(crate) fn give_back(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<OwnedSemaphorePermit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody takes more than half of the server's streams.
fn streams_of_one(limits: &Limits) -> usize {
    limits.streams_max.div_ceil(2)
}
