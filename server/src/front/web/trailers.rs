//! Answers as gRPC-web has them: browsers show no trailers, so that they come as the last message of the body.

use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::HeaderMap;

/// The first byte of the message that has the trailers.
const TRAILERS: u8 = 0x80;
/// Bytes before a message: what it is, and its length.
const PREFIX: usize = 5;

/// The body of an answer, with its trailers as the last message.
pub(super) struct TrailersInBody(pub(super) Body);

impl http_body::Body for TrailersInBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.0).poll_frame(cx);
        frame.map_ok(|frame| match frame.into_trailers() {
            Ok(trailers) => Frame::data(message(&trailers)),
            Err(data) => data,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // The trailers come on top.
        SizeHint::default()
    }
}

/// Trailers as a message: a line each, as in HTTP/1.1.
fn message(trailers: &HeaderMap) -> Bytes {
    let mut message = vec![0; PREFIX];
    for (name, value) in trailers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            message.extend_from_slice(part);
        }
    }
    // The transport's bound on trailers is far below.
    let length = u32::try_from(message.len() - PREFIX).unwrap_or(u32::MAX);
    let prefix = std::iter::once(TRAILERS).chain(length.to_be_bytes());
    message.iter_mut().zip(prefix).for_each(|(to, byte)| *to = byte);
    message.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use tonic::codegen::http::HeaderValue;

    /// A body of frames.
    struct Frames(VecDeque<Frame<Bytes>>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    #[tokio::test]
    async fn trailers_come_as_the_last_message() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("5"));
        trailers.insert("grpc-message", HeaderValue::from_static("no%20item"));
        let frames =
            VecDeque::from([Frame::data(Bytes::from_static(b"a message")), Frame::trailers(trailers)]);
        let mut body = TrailersInBody(Body::new(Frames(frames)));
        let mut came = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            came.push(frame.expect("sound").into_data().expect("data alone"));
        }
        let lines = b"grpc-status: 5\r\ngrpc-message: no%20item\r\n";
        let last = [&[0x80, 0, 0, 0, u8::try_from(lines.len()).expect("few")][..], lines].concat();
        assert_eq!(came, [Bytes::from_static(b"a message"), Bytes::from(last)]);
    }
}
