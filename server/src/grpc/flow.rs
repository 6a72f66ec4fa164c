//! The way of an answer to its caller: in small pieces, so that whoever reads slowly is told from whoever does not read.

use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tonic::Status;
use tonic::codegen::Bytes;

/// Bytes that the transport takes at a time.
const PIECE: usize = 16 << 10;

/// When a caller last took a part of its answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow(Arc<Mutex<Option<Instant>>>);

impl Flow {
    /// That of a request's answer; without a body that notes it, nothing is ever taken.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long nothing has been taken, from `since` on.
    pub(super) fn standstill(&self, since: Instant) -> Duration {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map_or(since, |last| last.max(since)).elapsed()
    }
}

/// A body that notes when the transport takes a piece of it, which it does as its caller reads.
pub(super) struct Noted<B> {
    body: B,
    flow: Flow,
    /// What is left of a message.
    rest: Bytes,
}

impl<B> Noted<B> {
    pub(super) fn new(body: B, flow: Flow) -> Self {
        Self { body, flow, rest: Bytes::new() }
    }

    fn next_piece(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(PIECE);
        Frame::data(self.rest.split_to(length))
    }
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for Noted<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.flow.note();
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.next_piece())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let Poll::Ready(Some(Ok(frame))) = frame else { return frame };
        match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                Poll::Ready(Some(Ok(self.next_piece())))
            }
            Err(trailers) => Poll::Ready(Some(Ok(trailers))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        // In this order: no lower bound may pass the upper one.
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole.set_lower(hint.lower().saturating_add(rest));
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tonic::codegen::http::HeaderMap;

    /// Two messages and trailers.
    struct Answer(Vec<Frame<Bytes>>);

    impl Body for Answer {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop().map(Ok))
        }
    }

    #[tokio::test]
    async fn an_answer_comes_in_pieces_each_of_which_is_noted() {
        let flow = Flow::default();
        let before = Instant::now();
        assert!(flow.0.lock().expect("no panic").is_none());
        let frames = vec![
            Frame::trailers(HeaderMap::new()),
            Frame::data(Bytes::from_static(b"end")),
            Frame::data(Bytes::from(vec![7; 2 * PIECE + 1])),
        ];
        let mut body = Noted::new(Answer(frames), flow.clone());
        let mut lengths = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            lengths.push(frame.expect("no error").into_data().map_or(0, |data| data.len()));
        }
        assert_eq!(lengths, [PIECE, PIECE, 1, 3, 0]);
        assert!(flow.0.lock().expect("no panic").is_some_and(|last| last >= before));
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(flow.standstill(later), Duration::ZERO, "what was before does not count");
    }
}
