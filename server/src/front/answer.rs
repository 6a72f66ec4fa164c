//! Answers on their way to callers: what waits is counted, and whoever reads nothing for too long is given up.
//!
//! The transport does not ask for the rest of an answer that nobody reads, so that the answer itself never learns of it.
//! [`Unread`] looks at all of them from time to time.

use super::record::Record;
use crate::admission::{Activity, Grant};
use crate::error::Error;
use http_body::{Body as _, Frame, SizeHint};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};

/// Bytes that the transport gets at a time: of what it has, it does not say whether it is read. Whoever reads so many within
/// `limits.stall_seconds` reads slowly, and is waited for.
const PIECE: usize = 16 << 10;
/// The first piece of an answer. The transport takes it whole even where the caller's window has a single byte, and the next
/// one only when it is read: what is longer waits here, and is looked at. What is shorter may be with the transport as a
/// whole when nobody reads it; so few bytes for each of a connection's streams are bounded well enough.
const FIRST_PIECE: usize = 1 << 10;
/// Answers of one connection that are open although they were given up. With more it is closed: the transport keeps a piece
/// of each.
const GIVEN_UP_MAX: usize = 8;

/// The trailer with the status.
const STATUS: &str = "grpc-status";

/// Where an answer comes from.
pub(super) enum Source {
    /// A call's: it is there.
    Whole { frames: VecDeque<Frame<Bytes>>, room: Option<Grant> },
    /// It is made while it is read.
    Stream(Body),
    /// That of a watch, which has no end: it ends well when it is told to.
    Watch(Body, Pin<Box<WaitForCancellationFutureOwned>>),
    /// It has ended.
    Ended,
}

impl Source {
    /// A watch that ends when `farewell` is said.
    pub(super) fn watch(body: Body, farewell: &CancellationToken) -> Self {
        Self::Watch(body, Box::pin(farewell.clone().cancelled_owned()))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self {
            Self::Whole { frames, .. } => Poll::Ready(frames.pop_front().map(Ok)),
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
            Self::Watch(body, farewell) => {
                // What there is to be told comes before the end.
                let told = Pin::new(body).poll_frame(cx);
                if told.is_pending() && farewell.as_mut().poll(cx).is_ready() {
                    *self = Self::Ended;
                    let ok = HeaderValue::from(Code::Ok as i32);
                    let trailers = HeaderMap::from_iter([(HeaderName::from_static(STATUS), ok)]);
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                told
            }
            Self::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { frames, .. } => frames.is_empty(),
            Self::Stream(body) | Self::Watch(body, _) => body.is_end_stream(),
            Self::Ended => true,
        }
    }
}

/// An answer, until its last byte has gone or it is given up.
struct Going {
    source: Source,
    /// What is left of a frame that goes in pieces, and bytes of the piece that the transport has.
    rest: Bytes,
    with_transport: usize,
    /// Bytes of the next piece at most.
    piece_max: usize,
    /// `None` for a file of the console.
    record: Option<Record>,
    activity: Option<Arc<Activity>>,
    /// When something of it went last. Nothing while the caller waits for it.
    went: Option<Instant>,
}

impl Going {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // The next piece is asked for, so the one before has gone.
        if let Source::Whole { room: Some(room), .. } = &mut self.source {
            room.release(std::mem::take(&mut self.with_transport));
        }
        if self.rest.is_empty() {
            self.went = None;
            match std::task::ready!(self.source.poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => {
                        if let (Some(record), Some(trailers)) = (&mut self.record, other.trailers_ref()) {
                            record.note(trailers);
                        }
                        self.went();
                        return Poll::Ready(Some(Ok(other)));
                    }
                },
                ended => return Poll::Ready(ended),
            }
        }
        self.went();
        let piece = self.rest.split_to(self.rest.len().min(self.piece_max));
        self.piece_max = PIECE;
        self.with_transport = piece.len();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn went(&mut self) {
        self.went = Some(Instant::now());
        let is_health = self.record.as_ref().is_some_and(|record| record.is_health);
        if let Some(activity) = self.activity.as_ref().filter(|_| !is_health) {
            activity.touch();
        }
    }
}

type Shared = Mutex<Option<Going>>;

fn lock(answer: &Shared) -> MutexGuard<'_, Option<Going>> {
    // An answer that panicked is dropped with its connection's task.
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of an answer, with the record of its request.
pub(super) struct Answer {
    /// `None` in it once the answer was given up.
    going: Arc<Shared>,
    /// That it was given up is told.
    is_told: bool,
    activity: Option<Arc<Activity>>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        // The record ends with the answer, even if somebody looks at it at this moment.
        let going = lock(&self.going).take();
        if let (None, Some(activity)) = (going, &self.activity) {
            activity.forget_given_up();
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match lock(&self.going).as_mut() {
            Some(going) => return going.poll_frame(cx),
            None if self.is_told => return Poll::Ready(None),
            None => {}
        }
        // Whoever reads on after all is told why there is no more.
        self.is_told = true;
        let mut trailers = HeaderMap::new();
        let told = Status::from(Error::Stalled).add_header(&mut trailers);
        Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.going).as_ref().is_some_and(|going| going.rest.is_empty() && going.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// All answers that are on their way.
#[derive(Default)]
pub(super) struct Unread(Mutex<Vec<Weak<Shared>>>);

impl Unread {
    /// The body of an answer; it is looked at from now on.
    pub(super) fn answer(&self, source: Source, record: Record) -> Answer {
        let activity = record.activity.clone();
        self.going(source, Some(record), activity)
    }

    /// The body of a file; it is looked at from now on.
    pub(super) fn file(&self, body: Body, activity: Option<Arc<Activity>>) -> Answer {
        self.going(Source::Stream(body), None, activity)
    }

    fn going(&self, source: Source, record: Option<Record>, activity: Option<Arc<Activity>>) -> Answer {
        let went = Some(Instant::now());
        let (rest, piece_max) = (Bytes::new(), FIRST_PIECE);
        let going =
            Going { source, rest, with_transport: 0, piece_max, record, activity: activity.clone(), went };
        let going = Arc::new(Mutex::new(Some(going)));
        self.lock().push(Arc::downgrade(&going));
        Answer { going, is_told: false, activity }
    }

    /// Gives up the answers of which nothing was read for so long: what they hold is let go, and their records end.
    pub(super) fn give_up(&self, stall: Duration) {
        self.lock().retain(|answer| answer.strong_count() > 0);
        let all: Vec<Arc<Shared>> = self.lock().iter().filter_map(Weak::upgrade).collect();
        for answer in all {
            // One that is locked goes on at this moment.
            let Ok(mut going) = answer.try_lock() else { continue };
            let stalled = |going: &mut Going| going.went.is_some_and(|went| went.elapsed() >= stall);
            let Some(mut stalled) = going.take_if(stalled) else { continue };
            drop(going);
            if let Some(record) = &mut stalled.record {
                record.code = Some(Code::DeadlineExceeded);
            }
            if let Some(activity) = &stalled.activity {
                activity.give_up(GIVEN_UP_MAX);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All frames of a call's answer.
///
/// # Errors
/// What its encoding failed with.
pub(super) async fn frames(mut body: Body) -> Result<VecDeque<Frame<Bytes>>, Status> {
    let mut frames = VecDeque::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        frames.push_back(frame?);
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Admission, Admitted};
    use crate::config::{ByteSize, Limits};
    use crate::metrics::Metrics;
    use crate::stages::Stages;

    fn record() -> Record {
        Record {
            method: "method",
            request_id: String::new(),
            caller: String::new(),
            peer: String::new(),
            started: Instant::now(),
            stages: Stages::default(),
            metrics: Arc::new(Metrics::default()),
            slow: Duration::from_secs(1),
            lasts: false,
            is_health: false,
            code: None,
            admitted: None,
            activity: Some(Activity::new()),
            traces: None,
        }
    }

    fn call() -> Admitted {
        let limits = Limits { request_bytes_max: ByteSize(1 << 20), ..Limits::default() };
        Admission::new(&limits).call(None, None).expect("there is a place")
    }

    fn whole(bytes: usize, room: Grant) -> Source {
        let status = HeaderMap::from_iter([(HeaderName::from_static(STATUS), HeaderValue::from(0))]);
        let frames = [Frame::data(Bytes::from(vec![7; bytes])), Frame::trailers(status)];
        Source::Whole { frames: VecDeque::from(frames), room: Some(room) }
    }

    async fn next(answer: &mut Answer) -> Option<Result<Frame<Bytes>, Status>> {
        poll_fn(|cx| Pin::new(&mut *answer).poll_frame(cx)).await
    }

    #[tokio::test]
    async fn an_answer_goes_in_pieces_and_gives_its_room_back() {
        let (call, unread, size) = (call(), Unread::default(), FIRST_PIECE + 2 * PIECE + 1);
        let room = call.answer(size).expect("there is room");
        let mut answer = unread.answer(whole(size, room), record());
        let mut pieces = Vec::new();
        while let Some(frame) = next(&mut answer).await {
            let frame = frame.expect("sound");
            pieces.push(frame.data_ref().map_or(0, Bytes::len));
        }
        assert_eq!(pieces, [FIRST_PIECE, PIECE, PIECE, 1, 0]);
        assert!(answer.is_end_stream());
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_is_given_up_and_many_close_their_connection() {
        let (call, unread, activity) = (call(), Unread::default(), Activity::new());
        let mut answers: Vec<Answer> = (0..=GIVEN_UP_MAX)
            .map(|_| {
                let mut record = record();
                record.activity = Some(activity.clone());
                unread.answer(whole(10, call.answer(10).expect("it is small")), record)
            })
            .collect();
        unread.give_up(Duration::from_secs(600));
        assert!(next(&mut answers[0]).await.expect("a frame").is_ok());
        unread.give_up(Duration::ZERO);
        assert!(activity.closed().is_cancelled());
        let end = next(&mut answers[0]).await.expect("a status").expect("given up");
        let status = end.trailers_ref().and_then(Status::from_header_map).expect("a status");
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(next(&mut answers[0]).await.is_none());
    }

    #[tokio::test]
    async fn an_answer_that_is_read_slowly_is_waited_for() {
        let (call, unread) = (call(), Unread::default());
        let mut answer = unread.answer(whole(3 * PIECE, call.answer(3 * PIECE).expect("room")), record());
        let long = Duration::from_secs(60);
        let long_ago = Instant::now().checked_sub(2 * long).expect("the machine ran then");
        for _ in 0..2 {
            lock(&answer.going).as_mut().expect("it goes").went = Some(long_ago);
            // A part of its message is read, and not all of it.
            assert!(next(&mut answer).await.expect("a piece").expect("sound").is_data());
            unread.give_up(long);
            assert!(lock(&answer.going).is_some(), "something was read");
        }
        lock(&answer.going).as_mut().expect("it goes").went = Some(long_ago);
        unread.give_up(long);
        assert!(lock(&answer.going).is_none(), "nothing was read since");
    }

    #[tokio::test]
    async fn a_stream_that_has_nothing_to_say_is_not_given_up() {
        let unread = Unread::default();
        let silent = Body::new(Pending);
        let farewell = CancellationToken::new();
        let mut watch = unread.answer(Source::watch(silent, &farewell), record());
        let asked = poll_fn(|cx| Poll::Ready(Pin::new(&mut watch).poll_frame(cx).is_pending())).await;
        assert!(asked);
        unread.give_up(Duration::ZERO);
        farewell.cancel();
        let end = next(&mut watch).await.expect("a frame").expect("it ends well");
        assert_eq!(end.trailers_ref().and_then(|trailers| trailers.get(STATUS)?.to_str().ok()), Some("0"));
        assert!(next(&mut watch).await.is_none());
    }

    /// A body that has nothing to say.
    struct Pending;

    impl http_body::Body for Pending {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Pending
        }
    }
}
