//! What the messages of all requests take: bytes that have come in are counted until their request is over, and have to
//! come in without long pauses.

use crate::config::Limits;
use crate::error::Error;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
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
    room: Arc<Semaphore>,
    /// Units of one message. A stream has about one in memory at a time.
    message_max: usize,
}

impl Inflow {
    pub(super) fn new(limits: &Limits) -> Self {
        let units = (limits.request_bytes_max.0 / UNIT).min(Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(units)), message_max: limits.message_bytes_max().div_ceil(UNIT) }
    }

    /// The room that a request takes; nothing so far.
    pub(super) fn request(&self) -> Taken {
        Taken { room: self.room.clone(), message_max: self.message_max, permit: Arc::default() }
    }
}

/// The room that a request has taken. It is given back with the last copy.
#[derive(Clone)]
pub(super) struct Taken {
    room: Arc<Semaphore>,
    message_max: usize,
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Taken {
    /// Takes room for a request of which so many bytes have come in.
    fn grow(&self, bytes: usize) -> Result<(), Error> {
        // Permits are merged whole.
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = bytes.div_ceil(UNIT).min(self.message_max).saturating_sub(taken);
        let full = || {
            Error::Exhausted(
                "the server has as many bytes of requests in flight as it may; try again in a moment".into(),
            )
        };
        let more = u32::try_from(wanted).map_err(|_| full())?;
        let more = self.room.clone().try_acquire_many_owned(more).map_err(|_| full())?;
        match permit.as_mut() {
            Some(permit) => permit.merge(more),
            None => *permit = Some(more),
        }
        Ok(())
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
    taken: Taken,
    bytes: usize,
    pace: Pace,
    started: Instant,
    /// Runs while nothing is there, so that only the caller's time counts.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, taken: Taken, pace: Pace) -> Self {
        Self { body, taken, bytes: 0, pace, started: Instant::now(), waiting: None }
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
            if let Err(full) = self.taken.grow(self.bytes) {
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
}
