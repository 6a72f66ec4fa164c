//! Calls whose body is bytes, whether they are messages or not, and answers that are read or not.

use futures_util::Stream;
use http_body::{Body as _, Frame};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response, Version};
use tonic::codegen::{Bytes, Service};
use tonic::transport::{Channel, Error};
use tonic::{Code, Status};

/// A message as it is sent: uncompressed, its length as announced, and as much of it as there is.
#[must_use]
pub fn message(announced: u32, bytes: &[u8]) -> Bytes {
    Bytes::from([&[0][..], &announced.to_be_bytes(), bytes].concat())
}

/// Calls a method, as `service/method`, with a body that comes in pieces. The answer is not read.
///
/// # Errors
/// When the connection fails before there is one.
pub async fn open(
    channel: Channel,
    path: &str,
    encoding: Option<&str>,
    pieces: impl Stream<Item = Bytes> + Send + 'static,
) -> Result<Response<Body>, Error> {
    let mut headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
    headers.extend(encoding.map(|encoding| ("grpc-encoding", encoding)));
    post(channel, &format!("/{path}"), &headers, pieces).await
}

/// Sends a body that comes in pieces, with the given headers. The answer is not read.
///
/// # Errors
/// When the connection fails before there is one.
pub async fn post(
    mut channel: Channel,
    path: &str,
    headers: &[(&str, &str)],
    pieces: impl Stream<Item = Bytes> + Send + 'static,
) -> Result<Response<Body>, Error> {
    let mut request = Request::post(path).version(Version::HTTP_2);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::new(Pieces(Box::pin(pieces)))).expect("a request");
    poll_fn(|cx| channel.poll_ready(cx)).await?;
    channel.call(request).await
}

/// Reads an answer to its end; its status, which a refusal has in its headers and an answer after its messages. `None` where
/// the answer was cut off.
pub async fn status(answer: Response<Body>) -> Option<Status> {
    let (head, mut body) = answer.into_parts();
    let mut headers: HeaderMap = head.headers;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match frame {
            Ok(frame) => headers.extend(frame.into_trailers().unwrap_or_default()),
            Err(_) => break,
        }
    }
    Status::from_header_map(&headers)
}

/// Reads an answer to its end; `None` where it was cut off.
pub async fn body(answer: Response<Body>) -> Option<Vec<u8>> {
    let (mut body, mut bytes) = (answer.into_body(), Vec::new());
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        bytes.extend_from_slice(&frame.ok()?.into_data().unwrap_or_default());
    }
    Some(bytes)
}

/// The code of a call's answer.
pub async fn code(answer: Result<Response<Body>, Error>) -> Option<Code> {
    Some(status(answer.ok()?).await?.code())
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
