//! A call whose body is bytes, whether they are messages or not.

use super::crowd::End;
use futures_util::{Stream, stream};
use http_body::{Body as _, Frame};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, Version};
use tonic::codegen::{Bytes, Service};
use tonic::transport::Channel;

/// A message as it is sent: uncompressed, its length as announced, and as much of it as there is.
pub(super) fn message(announced: u32, bytes: &[u8]) -> Bytes {
    Bytes::from([&[0][..], &announced.to_be_bytes(), bytes].concat())
}

/// Calls a method of `SearchService` with one piece of a body and nothing after it.
pub(super) async fn call(channel: Channel, method: &str, piece: Bytes) -> End {
    call_with(channel, method, stream::iter([piece])).await
}

/// Calls a method of `SearchService` with a body that comes in pieces.
pub(super) async fn call_with(
    mut channel: Channel,
    method: &str,
    pieces: impl Stream<Item = Bytes> + Send + 'static,
) -> End {
    let request = Request::post(format!("/lapel.v1.SearchService/{method}"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Pieces(Box::pin(pieces))))
        .expect("a request");
    if poll_fn(|cx| channel.poll_ready(cx)).await.is_err() {
        return End::Refused;
    }
    let answered = match channel.call(request).await {
        Ok(answer) => is_ok(answer).await,
        Err(_) => false,
    };
    if answered { End::Answered } else { End::Refused }
}

/// Whether an answer is one, and no refusal. The status of a refusal comes with the headers, that of an answer after it.
async fn is_ok(answer: Response<Body>) -> bool {
    let (head, mut body) = answer.into_parts();
    let mut headers = head.headers;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        headers.extend(frame.into_trailers().unwrap_or_default());
    }
    headers.get("grpc-status").is_some_and(|status| status == "0")
}

/// A body of pieces.
struct Pieces<S>(S);

impl<S: Stream<Item = Bytes> + Unpin> http_body::Body for Pieces<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = Pin::new(&mut self.0).poll_next(cx);
        piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
