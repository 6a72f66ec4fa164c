//! What the messages of all requests take: bytes are counted for as long as they are in memory, and have to come in
//! without long pauses.

use crate::config::Limits;
use crate::error::Error;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::Status;
use tonic::codegen::Bytes;

/// What bytes are counted in.
const UNIT: usize = 1 << 10;
/// The pace at which a single message has to come, about: photos over a slow line do.
const BYTES_PER_SECOND_MIN: usize = 16 << 10;

/// Room for the messages of all requests.
pub(super) struct Inflow {
    all: Arc<Semaphore>,
    /// Units of one message. A request has about one that is not read yet.
    message_max: usize,
}

impl Inflow {
    pub(super) fn new(limits: &Limits) -> Self {
        let units = (limits.request_bytes_max.0 / UNIT).min(Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(units)), message_max: limits.message_bytes_max().div_ceil(UNIT) }
    }

    /// The room of a request; it has taken none so far.
    pub(super) fn request(&self) -> Room {
        Room { all: self.all.clone(), message_max: self.message_max, unread: Arc::default() }
    }
}

/// The room that a request takes for what has come in. It is given back with the last copy, but for what is held.
#[derive(Clone)]
pub(crate) struct Room {
    all: Arc<Semaphore>,
    message_max: usize,
    unread: Arc<Mutex<Unread>>,
}

/// Bytes that no handler has taken yet, and their room.
#[derive(Default)]
struct Unread {
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
    /// For the message that is being decompressed.
    _reserved: Option<OwnedSemaphorePermit>,
}

/// Room of something that is kept; given back when dropped.
pub(crate) struct Held {
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Room {
    /// The room of a request that has passed the gate.
    ///
    /// # Errors
    /// [`Error::Internal`] for one that has not.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Error> {
        let room = request.extensions().get::<Self>().cloned();
        room.ok_or_else(|| Error::Internal("a request that has not passed the gate".into()))
    }

    /// Takes room for a message as large as one may be: what comes compressed is larger once it is read.
    pub(super) fn reserve_message(&self) -> Result<(), Error> {
        let permit = self.take(self.message_max)?;
        self.lock()._reserved = Some(permit);
        Ok(())
    }

    /// Takes room for bytes that have come in.
    fn grow(&self, bytes: usize) -> Result<(), Error> {
        let mut unread = self.lock();
        let bytes = unread.bytes.saturating_add(bytes);
        let taken = unread.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = self.take(bytes.div_ceil(UNIT).min(self.message_max).saturating_sub(taken))?;
        unread.bytes = bytes;
        match unread.permit.as_mut() {
            Some(permit) => permit.merge(more),
            None => unread.permit = Some(more),
        }
        Ok(())
    }

    /// Holds room for a part of a stream that is kept while the stream goes on. What came as this part is counted here
    /// and no longer as unread.
    ///
    /// # Errors
    /// [`Error::Exhausted`] when there is no room.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Held, Error> {
        let mut unread = self.lock();
        let wanted = bytes.div_ceil(UNIT);
        let here = unread.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits).min(wanted);
        let more = self.take(wanted - here)?;
        unread.bytes = unread.bytes.saturating_sub(bytes);
        let moved = unread.permit.as_mut().and_then(|permit| permit.split(here));
        Ok(Held { _permits: [moved, Some(more)] })
    }

    /// Gives back the room of a part of a stream that is not kept, or is counted elsewhere.
    pub(crate) fn release(&self, bytes: usize) {
        let mut unread = self.lock();
        unread.bytes = unread.bytes.saturating_sub(bytes);
        let left = unread.bytes.div_ceil(UNIT);
        if let Some(permit) = unread.permit.as_mut() {
            drop(permit.split(permit.num_permits().saturating_sub(left)));
        }
    }

    fn take(&self, units: usize) -> Result<OwnedSemaphorePermit, Error> {
        let full = || {
            Error::Exhausted(
                "the server has as many bytes of requests in flight as it may; try again in a moment".into(),
            )
        };
        let units = u32::try_from(units).map_err(|_| full())?;
        self.all.clone().try_acquire_many_owned(units).map_err(|_| full())
    }

    fn lock(&self) -> MutexGuard<'_, Unread> {
        // Counts and permits are changed together, without a step between that could panic.
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a caller has to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// A stream: its messages come when there is something to say. Otherwise one message, which is there already.
    pub(super) lasts: bool,
    /// Longest that nothing may come.
    pub(super) stall: Duration,
}

/// A request's body that takes room for what comes in, and fails when there is none, or when nothing comes.
pub(super) struct Counted<B> {
    body: B,
    room: Room,
    bytes: usize,
    pace: Pace,
    started: Instant,
    /// Runs while nothing is there, so that only the caller's time counts.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, room: Room, pace: Pace) -> Self {
        Self { body, room, bytes: 0, pace, started: Instant::now(), waiting: None }
    }

    /// How long the next bytes may take. A single message gets no new time with every byte, or one that drips would hold
    /// its place for days.
    fn patience(&self) -> Duration {
        if self.pace.lasts {
            return self.pace.stall;
        }
        let due = self.pace.stall + Duration::from_secs((self.bytes / BYTES_PER_SECOND_MIN) as u64);
        due.saturating_sub(self.started.elapsed())
    }
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending() {
            let patience = self.patience();
            let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
            return waiting.as_mut().poll(cx).map(|()| Some(Err(Error::Stalled.into())));
        }
        self.waiting = None;
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.bytes = self.bytes.saturating_add(data.len());
            if let Err(full) = self.room.grow(data.len()) {
                return Poll::Ready(Some(Err(full.into())));
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ByteSize;
    use std::future::poll_fn;

    /// A body of which nothing ever comes.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Pending
        }
    }

    fn silent(pace: Pace) -> Counted<Silent> {
        Counted::new(Silent, Inflow::new(&Limits::default()).request(), pace)
    }

    #[tokio::test]
    async fn a_caller_that_sends_nothing_is_given_up() {
        for lasts in [false, true] {
            let mut body = silent(Pace { lasts, stall: Duration::from_millis(10) });
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let status = frame.expect("a frame").expect_err("it stalled");
            assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        }
    }

    #[tokio::test]
    async fn a_message_that_drips_gets_no_new_time_with_every_byte() {
        let stall = Duration::from_secs(60);
        let mut body = silent(Pace { lasts: false, stall });
        body.bytes = 1000;
        assert!(body.patience() <= stall);
        body.bytes = 100 * BYTES_PER_SECOND_MIN;
        let patience = body.patience();
        assert!(patience > stall + Duration::from_secs(90) && patience <= stall + Duration::from_secs(100));
    }
    #[test]
    fn what_is_in_memory_is_counted_and_what_was_seen_is_not() {
        const MIB: usize = 1 << 20;
        let limits = Limits {
            image_bytes_max: ByteSize(MIB),
            request_bytes_max: ByteSize(4 * MIB),
            ..Limits::default()
        };
        let inflow = Inflow::new(&limits);
        let free = || inflow.all.available_permits() * UNIT;
        let room = inflow.request();
        for _ in 0..10 {
            room.grow(MIB).expect("there is room");
            assert_eq!(free(), 3 * MIB);
            room.release(MIB);
        }
        assert_eq!(free(), 4 * MIB);
        let mut held = Vec::new();
        for kept in 1..=4 {
            room.grow(MIB).expect("there is room");
            held.push(room.hold(MIB).expect("it has come in, so it has its room"));
            assert_eq!(free(), (4 - kept) * MIB);
        }
        assert!(room.grow(1).is_err() && room.hold(1).is_err() && inflow.request().grow(1).is_err());
        drop(room);
        assert_eq!(free(), 0, "what is kept outlives its request");
        drop(held);
        assert_eq!(free(), 4 * MIB);
        inflow.request().hold(3 * MIB).map(drop).expect("announced before it comes");
        let compressed = inflow.request();
        compressed.reserve_message().expect("there is room");
        assert_eq!(free(), 2 * MIB, "an image and its margin");
        drop(compressed);
        assert!(inflow.request().hold(5 * MIB).is_err());
    }
}
