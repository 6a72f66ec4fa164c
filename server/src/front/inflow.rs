//! What the messages of all requests take: bytes that have come in are counted until their request is over.

use crate::config::Limits;
use crate::error::Error;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::codegen::Bytes;

/// What bytes are counted in.
const UNIT: usize = 1 << 10;

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

/// A request's body that takes room for what comes in, and fails when there is none.
pub(super) struct Counted<B> {
    body: B,
    taken: Taken,
    bytes: usize,
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, taken: Taken) -> Self {
        Self { body, taken, bytes: 0 }
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
