//! What comes in of a request: it is counted for as long as it is in memory, and has to come without long pauses.

use crate::admission::Admitted;
use crate::error::Error;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::codegen::Bytes;

/// The pace at which a message has to come, about: photos over a slow line do.
const BYTES_PER_SECOND_MIN: usize = 16 << 10;
/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// A byte of gzip gives at most so many.
const INFLATED_MAX: usize = 1032;

/// A part of a body, or that there is none.
type Part = Option<Result<Frame<Bytes>, Status>>;

/// Where in its messages a body is.
#[derive(Clone, Copy, Debug)]
enum At {
    /// So many bytes of a prefix have come.
    Prefix { bytes: [u8; PREFIX], have: usize },
    /// So many bytes of a message are to come; `inflated` is what it takes besides once it is decompressed.
    Message { left: usize, inflated: usize },
}

const START: At = At::Prefix { bytes: [0; PREFIX], have: 0 };

/// A request's body that counts what comes in, and fails when there is no room for it, or when nothing comes.
///
/// No part that it gives reaches beyond a message, so that whoever reads it has no more than one message in memory that is
/// not held. A stream's message waits until there is room for all of it; a call's is refused when there is no more.
pub(super) struct Counted<B> {
    body: B,
    /// `None`: what asks for health is small, and nobody counts it.
    admitted: Option<Admitted>,
    /// Bytes of one message.
    message_max: usize,
    /// Longest that nothing may come.
    stall: Duration,
    at: At,
    /// Bytes that came and are not read.
    rest: Bytes,
    /// Bytes of the present message that came, and how long its caller was waited for.
    came: usize,
    waited: Duration,
    /// A call has one message.
    is_whole: bool,
    /// Its places are taken.
    has_entered: bool,
    /// Waits for room.
    room: Option<BoxFuture<'static, Result<(), Error>>>,
    /// While nothing is there, so that only the caller's time counts.
    silent: Option<Silence>,
}

/// Time in which nothing comes.
struct Silence {
    since: Instant,
    /// The server's work on what came, until then.
    worked: Duration,
    /// How long it may last, and what ends then.
    patience: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(admitted: Option<&Admitted>, patience: Duration) -> Self {
        Self { since: Instant::now(), worked: worked(admitted), patience, timer: Box::pin(sleep(patience)) }
    }

    /// How long the caller has kept silent. While the server works on what came, the caller waits for it or is not read.
    fn of_caller(&self, admitted: Option<&Admitted>) -> Duration {
        let of_server = worked(admitted).saturating_sub(self.worked);
        self.since.elapsed().saturating_sub(of_server)
    }

    /// Ends when the caller has kept silent for too long.
    fn poll(&mut self, cx: &mut Context<'_>, admitted: Option<&Admitted>) -> Poll<()> {
        loop {
            std::task::ready!(self.timer.as_mut().poll(cx));
            let left = self.patience.saturating_sub(self.of_caller(admitted));
            if left.is_zero() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(Instant::now() + left);
        }
    }
}

/// How long the server has worked on what came.
fn worked(admitted: Option<&Admitted>) -> Duration {
    admitted.map_or(Duration::ZERO, Admitted::worked)
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Counted<B> {
    pub(super) fn new(body: B, admitted: Option<Admitted>, message_max: usize, stall: Duration) -> Self {
        Self {
            body,
            admitted,
            message_max,
            stall,
            at: START,
            rest: Bytes::new(),
            came: 0,
            waited: Duration::ZERO,
            is_whole: false,
            has_entered: false,
            room: None,
            silent: None,
        }
    }

    fn lasts(&self) -> bool {
        self.admitted.as_ref().is_some_and(Admitted::lasts)
    }

    /// How long the next bytes may take: never longer than callers may keep silent. A message gets no new time with every
    /// byte either, or one that drips would hold its room for days; between the messages of a stream there may be a pause.
    fn patience(&self) -> Duration {
        let is_between = self.lasts() && matches!(self.at, At::Prefix { have: 0, .. });
        if is_between {
            return self.stall;
        }
        let due = self.stall + Duration::from_secs((self.came / BYTES_PER_SECOND_MIN) as u64);
        due.saturating_sub(self.waited).min(self.stall)
    }

    /// The next part of the body, however long it is.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        let part = Pin::new(&mut self.body).poll_frame(cx);
        if part.is_pending() {
            let (patience, admitted) = (self.patience(), self.admitted.as_ref());
            let silent = self.silent.get_or_insert_with(|| Silence::new(admitted, patience));
            return silent.poll(cx, admitted).map(|()| Some(Err(Error::Stalled.into())));
        }
        if let Some(silent) = self.silent.take() {
            self.waited += silent.of_caller(self.admitted.as_ref());
        }
        part
    }

    /// What follows in the bytes that are there, up to the end of a prefix or of a message.
    fn next_part(&mut self) -> Result<Bytes, Error> {
        if self.is_whole {
            return Err(Error::invalid("message", "a call has one message; more came"));
        }
        match self.at {
            At::Prefix { mut bytes, have } => {
                let part = self.rest.split_to(self.rest.len().min(PREFIX - have));
                if have == 0 {
                    (self.came, self.waited) = (0, Duration::ZERO);
                }
                let have = have + part.len();
                bytes[have - part.len()..have].copy_from_slice(&part);
                self.came += part.len();
                self.at = At::Prefix { bytes, have };
                if have == PREFIX {
                    self.begin(bytes)?;
                }
                Ok(part)
            }
            At::Message { left, inflated } => {
                let part = self.rest.split_to(self.rest.len().min(left));
                self.came += part.len();
                let left = left - part.len();
                self.at = At::Message { left, inflated };
                if !self.lasts() {
                    self.grow(part.len())?;
                }
                if left == 0 {
                    self.end(inflated)?;
                }
                Ok(part)
            }
        }
    }

    /// A message is announced.
    fn begin(&mut self, [compressed, length @ ..]: [u8; PREFIX]) -> Result<(), Error> {
        let left = u32::from_be_bytes(length) as usize;
        let inflated =
            if compressed == 0 { 0 } else { left.saturating_mul(INFLATED_MAX).min(self.message_max) };
        self.at = At::Message { left, inflated };
        // One that is too large is refused, or passed over, by whoever reads the prefix.
        if let Some(admitted) = self.admitted.as_ref().filter(|a| a.lasts() && left <= self.message_max) {
            let bytes = left + inflated;
            if !admitted.next_message(bytes) {
                self.room = Some(Box::pin(admitted.next_message_when_free(bytes)));
            }
        }
        if left == 0 { self.end(0) } else { Ok(()) }
    }

    /// A message is whole.
    fn end(&mut self, inflated: usize) -> Result<(), Error> {
        self.at = START;
        if !self.lasts() {
            self.is_whole = true;
            self.grow(inflated)?;
        }
        Ok(())
    }

    fn grow(&self, bytes: usize) -> Result<(), Error> {
        self.admitted.as_ref().map_or(Ok(()), |admitted| admitted.grow(bytes))
    }

    /// Takes the places of a call of which everything has come: before that it costs others nothing.
    fn enter(&mut self) -> Result<(), Error> {
        let waits = !self.has_entered && self.is_whole && self.rest.is_empty();
        match &self.admitted {
            Some(admitted) if waits && !admitted.lasts() => {
                self.has_entered = true;
                admitted.enter()
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Part> {
        let this = &mut *self;
        loop {
            if let Some(room) = &mut this.room {
                let taken = std::task::ready!(room.as_mut().poll(cx));
                // It has ended, well or not, and must not be asked again.
                this.room = None;
                taken?;
            }
            if !this.rest.is_empty() {
                let part = this.next_part()?;
                if this.body.is_end_stream() {
                    this.enter()?;
                }
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            match std::task::ready!(this.poll_body(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if let Some(admitted) = &this.admitted {
                            admitted.comes();
                        }
                        this.rest = data;
                    }
                    Err(trailers) => {
                        this.enter()?;
                        return Poll::Ready(Some(Ok(trailers)));
                    }
                },
                None => {
                    this.enter()?;
                    return Poll::Ready(None);
                }
                failed => return Poll::Ready(failed),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // The parts are other ones than the body's, their sum is not.
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests;
