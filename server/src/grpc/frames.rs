//! Messages of an upload, one frame after the other. The transport's own reader ends at the first message that it cannot
//! read; here that message is told by itself, and those after it come.
//!
//! A frame is a flag (1: compressed), the message's length in 4 bytes, and the message.

use crate::error::Error;
use flate2::read::GzDecoder;
use http_body::{Body as _, Frame};
use prost::bytes::{Buf, Bytes, BytesMut};
use prost::{Message, Name};
use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tonic::body::Body;
use tonic::{Code, Request, Status};

/// Bytes before a message.
const HEAD: usize = 5;

/// Why a message of an upload is none. The next one is not affected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is larger than a message may be, as it comes or once it is decompressed, or has too many fields.
    TooLarge,
    /// It is no message of its kind, or its compression is unsound.
    Unreadable(String),
}

/// The body of an upload. [`Frames::next`] may be dropped at any time; what has come is kept.
pub(super) struct Frames {
    body: Body,
    /// Whether messages may be compressed, by gzip.
    has_gzip: bool,
    /// Largest message.
    most: usize,
    /// What has come and is not read.
    buffer: BytesMut,
    /// The flag and the length of the message whose bytes come next.
    head: Option<(u8, usize)>,
    /// Bytes still to come of a message that is too large.
    skipping: usize,
}

/// The frames of a request, on their way to its handler.
#[derive(Clone)]
pub(super) struct Uploaded(Arc<Mutex<Option<Frames>>>);

impl Uploaded {
    pub(super) fn new(frames: Frames) -> Self {
        Self(Arc::new(Mutex::new(Some(frames))))
    }
}

impl Frames {
    /// The frames of a body, with messages of up to `most` bytes, compressed ones too where it `has_gzip`.
    pub(super) fn new(body: Body, has_gzip: bool, most: usize) -> Self {
        Self { body, has_gzip, most, buffer: BytesMut::new(), head: None, skipping: 0 }
    }

    /// The frames of a request, which are there once.
    ///
    /// # Errors
    /// [`Error::Internal`] for a request that did not come by frames.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        let uploaded = request.extensions().get::<Uploaded>();
        let frames = uploaded.and_then(|u| u.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        frames.ok_or_else(|| Error::Internal("an upload that did not come by frames".into()))
    }

    /// The next message, or why it cannot be read; `None` at the end of the stream.
    ///
    /// # Errors
    /// The status of a stream that ends before its end: its caller has left or stands still, or it ends within a message.
    pub(super) async fn next<M: Message + Name + Default>(
        &mut self,
    ) -> Result<Option<Result<M, Fault>>, Status> {
        loop {
            if let Some(message) = self.cut() {
                return Ok(Some(message));
            }
            let frame = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await;
            match frame.transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => self.buffer.extend_from_slice(&data),
                // Trailers, of which a caller's have no meaning.
                Some(Err(_)) => {}
                None if self.buffer.is_empty() && self.head.is_none() && self.skipping == 0 => {
                    return Ok(None);
                }
                None => return Err(Status::invalid_argument("the stream ends within a message")),
            }
        }
    }

    /// The next message of what has come, where it is whole.
    fn cut<M: Message + Name + Default>(&mut self) -> Option<Result<M, Fault>> {
        if self.head.is_none() && self.skipping == 0 {
            if self.buffer.len() < HEAD {
                return None;
            }
            let (flag, length) = (self.buffer.get_u8(), self.buffer.get_u32() as usize);
            if length > self.most {
                self.skipping = length;
            } else {
                self.buffer.reserve(length.saturating_sub(self.buffer.len()));
                self.head = Some((flag, length));
            }
        }
        if self.skipping > 0 {
            let passing = self.skipping.min(self.buffer.len());
            self.buffer.advance(passing);
            self.skipping -= passing;
            return (self.skipping == 0).then_some(Err(Fault::TooLarge));
        }
        let (flag, length) = self.head.filter(|(_, length)| self.buffer.len() >= *length)?;
        self.head = None;
        let bytes = self.buffer.split_to(length).freeze();
        Some(self.read(flag, bytes))
    }

    fn read<M: Message + Name + Default>(&self, flag: u8, bytes: Bytes) -> Result<M, Fault> {
        let bytes = match flag {
            0 => bytes,
            1 if self.has_gzip => decompressed(&bytes, self.most)?,
            1 => return Err(Fault::Unreadable("it is compressed, and no grpc-encoding says how".into())),
            flag => {
                return Err(Fault::Unreadable(format!("its compression flag is {flag}; 0 and 1 are known")));
            }
        };
        lapel_proto::decode(bytes).map_err(|status| match status.code() {
            Code::OutOfRange => Fault::TooLarge,
            _ => Fault::Unreadable(status.message().to_owned()),
        })
    }
}

/// What gzip made smaller, up to `most` bytes of it.
fn decompressed(bytes: &[u8], most: usize) -> Result<Bytes, Fault> {
    let mut whole = Vec::new();
    let read = GzDecoder::new(bytes).take(most as u64 + 1).read_to_end(&mut whole);
    read.map_err(|error| Fault::Unreadable(format!("its compression is unsound: {error}")))?;
    if whole.len() > most { Err(Fault::TooLarge) } else { Ok(whole.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use lapel_proto::v1::{GetItemRequest, Signature, UpsertItemsRequest};
    use std::collections::VecDeque;
    use std::io::Write;
    use std::task::{Context, Poll};

    /// Bytes as a connection hands them over.
    struct Pieces(VecDeque<Result<Bytes, Status>>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop_front().map(|piece| piece.map(Frame::data)))
        }
    }

    const MOST: usize = 100;

    fn frames(bytes: &[u8], size: usize, end: Option<Status>) -> Frames {
        let pieces = bytes.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece)));
        let body = Body::new(Pieces(pieces.chain(end.map(Err)).collect()));
        Frames::new(body, true, MOST)
    }

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        [&[flag][..], &length, message].concat()
    }

    fn item(id: &str) -> Vec<u8> {
        GetItemRequest { id: id.into() }.encode_to_vec()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("in memory");
        encoder.finish().expect("in memory")
    }

    /// What comes of a stream: ids, or words on what is none, and how it ends.
    async fn told(mut frames: Frames) -> (Vec<String>, Result<(), Status>) {
        let mut told = Vec::new();
        loop {
            match frames.next::<GetItemRequest>().await {
                Ok(None) => return (told, Ok(())),
                Err(status) => return (told, Err(status)),
                Ok(Some(Ok(message))) => told.push(message.id),
                Ok(Some(Err(Fault::TooLarge))) => told.push("too large".into()),
                Ok(Some(Err(Fault::Unreadable(_)))) => told.push("unreadable".into()),
            }
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_leaves_what_comes_after_it() {
        let stream = [
            framed(0, &item("a")),
            framed(0, b"\xff\xff\xff"),
            framed(0, &item("b")),
            framed(0, &item(&"x".repeat(MOST))),
            framed(0, &[]),
            framed(1, &gzip(&item("c"))),
            framed(1, b"no gzip"),
            framed(1, &gzip(&item(&"y".repeat(10 * MOST)))),
            framed(2, &item("d")),
            framed(0, &item("e")),
        ]
        .concat();
        let wanted =
            ["a", "unreadable", "b", "too large", "", "c", "unreadable", "too large", "unreadable", "e"];
        for size in [1, 2, 7, 64, stream.len()] {
            let (told, end) = told(frames(&stream, size, None)).await;
            assert_eq!(told, wanted, "in pieces of {size}");
            end.expect("it ends where a message does");
        }
    }

    #[tokio::test]
    async fn what_is_skipped_is_not_kept() {
        let large = framed(0, &item(&"x".repeat(1000 * MOST)));
        let stream = [large, framed(0, &item("a"))].concat();
        let mut frames = frames(&stream, 16, None);
        let first = frames.next::<GetItemRequest>().await.expect("it goes on").expect("a message");
        assert_eq!(first, Err(Fault::TooLarge));
        assert!(frames.buffer.capacity() < 10 * MOST, "{}", frames.buffer.capacity());
        assert_eq!(told(frames).await.0, ["a"]);
    }

    #[tokio::test]
    async fn a_message_of_very_many_fields_is_too_large() {
        let many = UpsertItemsRequest {
            signatures: vec![Signature::default(); lapel_proto::FIELDS_MAX + 1],
            ..UpsertItemsRequest::default()
        };
        let stream = [framed(0, &many.encode_to_vec()), framed(0, &item("a"))].concat();
        let mut frames = frames(&stream, 1000, None);
        frames.most = stream.len();
        let first = frames.next::<UpsertItemsRequest>().await.expect("it goes on").expect("a message");
        assert_eq!(first, Err(Fault::TooLarge));
        assert_eq!(told(frames).await.0, ["a"]);
    }

    #[tokio::test]
    async fn a_message_without_compression_announced_is_not_unpacked() {
        let mut frames = frames(&framed(1, &gzip(&item("a"))), 64, None);
        frames.has_gzip = false;
        assert_eq!(told(frames).await.0, ["unreadable"]);
    }

    #[tokio::test]
    async fn a_stream_that_ends_too_early_is_no_whole_one() {
        let whole = framed(0, &item("a"));
        let too_large = framed(0, &item(&"x".repeat(MOST)));
        for cut in [&whole[..3], &whole[..HEAD], &whole[..whole.len() - 1], &too_large[..50]] {
            let (told, end) = told(frames(cut, 4, None)).await;
            assert!(told.is_empty(), "{told:?}");
            assert_eq!(end.expect_err("within a message").code(), tonic::Code::InvalidArgument);
        }
        let left = Status::cancelled("the caller has left");
        let (told, end) = told(frames(&whole, 64, Some(left))).await;
        assert_eq!((told, end.expect_err("cut").code()), (vec!["a".to_owned()], tonic::Code::Cancelled));
    }
}
