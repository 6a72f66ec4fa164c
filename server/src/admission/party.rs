//! Those who share the server: connections, tokens and addresses, none of which has more than its part.

use super::pool::Kind;
use crate::config::Limits;
use crate::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The places of whoever bounds its requests: the server, a connection, or a token.
///
/// Calls, which are answered at once, and streams, which wait for their callers, have places of their own: streams that
/// stand still take none from a search.
#[derive(Clone, Debug)]
pub(super) struct Places {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Places {
    pub(super) fn new(calls: usize, streams: usize) -> Self {
        Self { calls: Arc::new(Semaphore::new(calls)), streams: Arc::new(Semaphore::new(streams)) }
    }

    /// A place for a stream (`lasts`) or a call, given back when dropped; `whose` it would be is told where there is none.
    pub(super) fn take(&self, lasts: bool, whose: &str) -> Result<OwnedSemaphorePermit, Error> {
        let places = if lasts { &self.streams } else { &self.calls };
        places.clone().try_acquire_owned().map_err(|_| full(lasts, whose))
    }

    /// The refusal of a call, where there is no place for one now.
    pub(super) fn refuse_call(&self, whose: &str) -> Result<(), Error> {
        if self.calls.available_permits() == 0 { Err(full(false, whose)) } else { Ok(()) }
    }
}

fn full(lasts: bool, whose: &str) -> Error {
    let what = if lasts { "streams" } else { "requests" };
    Error::Exhausted(format!("{whose} has as many {what} in flight as it may; try again in a moment"))
}

/// Whoever has a part of the server.
#[derive(Debug)]
pub(crate) struct Party {
    whose: &'static str,
    places: Places,
    /// For who asks for the server's health.
    health: Places,
    /// Pictures of queries that wait for the model.
    pictures: Arc<Semaphore>,
    /// Bytes by [`Kind`].
    bytes: [AtomicUsize; 3],
    /// Streams that wait until it has given some of them back.
    waiting: watch::Sender<usize>,
}

/// Those to whom a request belongs.
pub(super) type Parties = Arc<[Arc<Party>]>;

impl Party {
    /// A connection.
    pub(crate) fn connection(limits: &Limits) -> Self {
        Self::bounded("this connection", limits.requests_per_connection_max, limits)
    }

    /// A token.
    pub(crate) fn token(limits: &Limits) -> Self {
        Self::bounded("this token", limits.requests_per_token_max, limits)
    }

    /// An address, whose connections are bounded: behind a proxy it is everybody, so that it shares in bytes alone, and in
    /// what needs no token.
    pub(crate) fn address(limits: &Limits) -> Self {
        let all = Semaphore::MAX_PERMITS;
        let health = Places::new(limits.requests_max.div_ceil(2), limits.streams_max.div_ceil(2));
        Self { health, ..Self::new("this address", Places::new(all, all), all) }
    }

    fn bounded(whose: &'static str, calls: usize, limits: &Limits) -> Self {
        // Nobody takes more than half of the server's streams, nor of its queue for the model.
        let places = Places::new(calls, limits.streams_max.div_ceil(2));
        Self::new(whose, places, limits.query_images_max.div_ceil(2))
    }

    fn new(whose: &'static str, places: Places, pictures: usize) -> Self {
        let (bytes, waiting) = (Default::default(), watch::Sender::new(0));
        let (health, pictures) = (Places::new(0, 0), Arc::new(Semaphore::new(pictures)));
        Self { whose, places, health, pictures, bytes, waiting }
    }

    /// Those that wait until it has given bytes back.
    pub(super) fn waiting(&self) -> &watch::Sender<usize> {
        &self.waiting
    }

    pub(super) fn whose(&self) -> &'static str {
        self.whose
    }

    pub(super) fn bytes(&self, kind: Kind) -> &AtomicUsize {
        &self.bytes[kind as usize]
    }

    pub(super) fn place(&self, lasts: bool) -> Result<OwnedSemaphorePermit, Error> {
        self.places.take(lasts, self.whose)
    }

    /// A place for one who asks for the server's health, of an address.
    pub(super) fn health(&self, lasts: bool) -> Result<OwnedSemaphorePermit, Error> {
        self.health.take(lasts, self.whose)
    }

    pub(super) fn refuse_call(&self) -> Result<(), Error> {
        self.places.refuse_call(self.whose)
    }

    /// A place for a picture of a query, if this party has one left.
    pub(super) fn picture(&self) -> Option<OwnedSemaphorePermit> {
        self.pictures.clone().try_acquire_owned().ok()
    }
}
