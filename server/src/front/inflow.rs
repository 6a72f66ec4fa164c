//! What comes in of a request: it is counted for as long as it is in memory, and has to come without long pauses.

use crate::admission::Admitted;
use crate::error::Error;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
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
    /// Runs while nothing is there, so that only the caller's time counts.
    silent: Option<(Instant, Pin<Box<Sleep>>)>,
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

    /// How long the next bytes may take. A message gets no new time with every byte, or one that drips would hold its room
    /// for days; between the messages of a stream there may be a pause.
    fn patience(&self) -> Duration {
        let is_between = self.lasts() && matches!(self.at, At::Prefix { have: 0, .. });
        if is_between {
            return self.stall;
        }
        let due = self.stall + Duration::from_secs((self.came / BYTES_PER_SECOND_MIN) as u64);
        due.saturating_sub(self.waited)
    }

    /// The next part of the body, however long it is.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        let part = Pin::new(&mut self.body).poll_frame(cx);
        if part.is_pending() {
            let patience = self.patience();
            let silent =
                self.silent.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(patience))));
            return silent.1.as_mut().poll(cx).map(|()| Some(Err(Error::Stalled.into())));
        }
        if let Some((since, _)) = self.silent.take() {
            self.waited += since.elapsed();
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
                std::task::ready!(room.as_mut().poll(cx))?;
                this.room = None;
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
                    Ok(data) => this.rest = data,
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
mod tests {
    use super::*;
    use crate::admission::Admission;
    use crate::config::{ByteSize, Limits};
    use std::collections::VecDeque;
    use std::future::poll_fn;

    /// A body of which nothing comes after these parts; it ends with them or never.
    struct Parts(VecDeque<Bytes>, bool);

    impl Body for Parts {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Part> {
            match self.0.pop_front() {
                Some(part) => Poll::Ready(Some(Ok(Frame::data(part)))),
                None if self.1 => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn limits() -> Limits {
        Limits {
            image_bytes_max: ByteSize(1 << 20),
            request_bytes_max: ByteSize(1 << 20),
            ..Limits::default()
        }
    }

    /// Bytes of a message with its prefix.
    fn message(compressed: bool, announced: u32, bytes: &[u8]) -> Vec<u8> {
        [&[u8::from(compressed)][..], &announced.to_be_bytes(), bytes].concat()
    }

    fn counted(admitted: &Admitted, stall: Duration, parts: &[&[u8]], ends: bool) -> Counted<Parts> {
        let parts = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect();
        Counted::new(Parts(parts, ends), Some(admitted.clone()), limits().message_bytes_max(), stall)
    }

    async fn next(body: &mut Counted<Parts>) -> Option<Result<Bytes, Status>> {
        let part = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        part.map(|part| part.map(|frame| frame.into_data().unwrap_or_default()))
    }

    #[tokio::test]
    async fn a_caller_that_sends_nothing_is_given_up() {
        let admission = Admission::new(&limits());
        let requests = [admission.call(None, None), admission.stream(None, None)];
        for admitted in requests.map(|request| request.expect("a place")) {
            let mut body = counted(&admitted, Duration::from_millis(10), &[], false);
            let status = next(&mut body).await.expect("a status").expect_err("it stalled");
            assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        }
    }

    #[tokio::test]
    async fn a_message_that_drips_gets_no_new_time_with_every_byte() {
        let admission = Admission::new(&limits());
        let stall = Duration::from_secs(60);
        let requests = [admission.call(None, None), admission.stream(None, None)];
        for admitted in requests.map(|request| request.expect("a place")) {
            let mut body = counted(&admitted, stall, &[&message(false, 1 << 20, b"12")], false);
            for _ in 0..2 {
                next(&mut body).await.expect("a part").expect("sound");
            }
            body.waited = stall / 2;
            assert!(body.patience() <= stall / 2);
            body.came = 100 * BYTES_PER_SECOND_MIN;
            assert_eq!(body.patience(), stall / 2 + Duration::from_secs(100));
        }
    }

    #[tokio::test]
    async fn parts_end_with_their_message() {
        let admission = Admission::new(&limits());
        let admitted = admission.stream(None, None).expect("a place");
        let both = [message(false, 3, b"one"), message(false, 0, b""), message(false, 4, b"four")].concat();
        let mut body = counted(&admitted, Duration::from_secs(60), &[&both[..2], &both[2..]], true);
        let mut parts = Vec::new();
        while let Some(part) = next(&mut body).await {
            parts.push(part.expect("sound").len());
        }
        assert_eq!(parts, [2, 3, 3, 5, 5, 4]);
    }

    #[tokio::test]
    async fn a_call_has_its_places_when_all_of_it_has_come() {
        let limits = Limits { requests_max: 1, ..limits() };
        let admission = Admission::new(&limits);
        let admitted = admission.call(None, None).expect("a place");
        let whole = message(false, 3, b"one");
        let mut body = counted(&admitted, Duration::from_secs(60), &[&whole], true);
        for _ in 0..2 {
            next(&mut body).await.expect("a part").expect("sound");
        }
        let other = admission.call(None, None).expect("nobody has the place");
        assert!(next(&mut body).await.is_none());
        assert!(other.enter().is_err(), "now somebody has");
        let mut body = counted(&other, Duration::from_secs(60), &[&whole, b"x"], false);
        for _ in 0..2 {
            next(&mut body).await.expect("a part").expect("sound");
        }
        let status = next(&mut body).await.expect("a status").expect_err("there is one message");
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    }

    #[tokio::test]
    async fn a_stream_waits_for_room_and_a_call_is_refused() {
        let admission = Admission::new(&limits());
        // Two MiB, all of which one message takes.
        let size = limits().message_bytes_max();
        let (first, second) = (admission.stream(None, None), admission.stream(None, None));
        let (first, second) = (first.expect("a place"), second.expect("a place"));
        let announced = message(false, size as u32, b"");
        let mut holds = counted(&first, Duration::from_secs(60), &[&announced], false);
        next(&mut holds).await.expect("a part").expect("sound");
        let mut waits = counted(&second, Duration::from_secs(60), &[&announced, b"x"], false);
        next(&mut waits).await.expect("a part").expect("its prefix");
        let waiting = tokio::spawn(async move { next(&mut waits).await.map(|part| part.is_ok()) });
        first.crowded().await;
        drop((holds, first));
        assert_eq!(waiting.await.expect("no panic"), Some(true));
        let call = admission.call(None, None).expect("a place");
        let parts = [&announced[..], &vec![0; size / 2], &vec![0; size / 2]];
        let _taken = admission.call(None, None).map(|other| other.grow(size / 2 - 1).map(|()| other));
        let mut body = counted(&call, Duration::from_secs(60), &parts, true);
        for _ in 0..2 {
            next(&mut body).await.expect("a part").expect("there is room");
        }
        let status = next(&mut body).await.expect("a status").expect_err("there is none");
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn what_comes_compressed_takes_the_room_of_what_it_may_become_when_it_has_come() {
        let admission = Admission::new(&limits());
        let half_open = admission.call(None, None).expect("a place");
        let mut body =
            counted(&half_open, Duration::from_secs(60), &[&message(true, 1 << 20, b"little")], false);
        for _ in 0..2 {
            next(&mut body).await.expect("a part").expect("sound");
        }
        let whole = admission.call(None, None).expect("a place");
        let zeros = [0; 1500];
        let mut body = counted(&whole, Duration::from_secs(60), &[&message(true, 1500, &zeros)], true);
        for _ in 0..2 {
            next(&mut body).await.expect("a part").expect("the half-open one takes what has come");
        }
        let size = limits().message_bytes_max();
        let third = admission.call(None, None).expect("a place");
        assert!(
            third.grow(size - 1500 * 1033 + 1).is_err(),
            "1500 bytes may become {INFLATED_MAX} times as many"
        );
        assert!(third.grow(size / 8).is_ok());
    }
}
