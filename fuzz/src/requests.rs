//! Messages of every method, sent to a real server.

use lapel_proto::FILE_DESCRIPTOR_SET;
use lapel_tests::{TestServer, external_bundle, ingest};
use prost::Message;
use prost::bytes::{Buf, BufMut, Bytes};
use prost_types::FileDescriptorSet;
use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_stream::StreamExt;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Requests after which the server begins anew: what they stored would slow it down.
const FRESH_AFTER: u32 = 20_000;
/// A method that needs longer hangs. Watching ends on its own where nothing is under way.
const LATEST: Duration = Duration::from_secs(30);

/// Sends messages: the method's name and a newline, as in `SearchService/Search`, then the message's bytes. Methods that
/// read a stream get one message for each piece that is led by its length in two bytes.
///
/// # Panics
/// When the server answers with an internal error, cuts the connection, or does not answer.
pub fn requests(bytes: &[u8]) {
    static FIXTURE: OnceLock<Mutex<Fixture>> = OnceLock::new();
    let Some(at) = bytes.iter().position(|b| *b == b'\n') else { return };
    let Ok(method) = std::str::from_utf8(&bytes[..at]) else { return };
    let fixture = FIXTURE.get_or_init(|| Mutex::new(Fixture::new()));
    let mut fixture = fixture.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(streams) = fixture.streams_of(method) else { return };
    let body = &bytes[at + 1..];
    let messages = if streams { pieces(body) } else { vec![Bytes::copy_from_slice(body)] };
    if let Err(status) = fixture.send(method, messages) {
        let fault = matches!(
            status.code(),
            Code::Internal
                | Code::Unknown
                | Code::Unavailable
                | Code::DataLoss
                | Code::Unimplemented
                | Code::DeadlineExceeded
        );
        assert!(!fault, "{method}: {status:?}");
        assert!(!status.message().is_empty(), "{method} says nothing: {status:?}");
    }
}

/// The bytes of a stream's messages, each led by its length.
///
/// # Panics
/// When a message is longer than two bytes tell.
#[must_use]
pub fn streamed(messages: &[Vec<u8>]) -> Vec<u8> {
    let piece = |message: &Vec<u8>| {
        let len = u16::try_from(message.len()).expect("a short message");
        [&len.to_be_bytes()[..], message].concat()
    };
    messages.iter().flat_map(piece).collect()
}

fn pieces(mut rest: &[u8]) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk() {
        let (piece, after) = after.split_at(usize::from(u16::from_be_bytes(*len)).min(after.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = after;
    }
    pieces
}

/// A server with a few items, and everything to reach it.
struct Fixture {
    runtime: Runtime,
    /// The server and a connection to it.
    running: Option<(TestServer, Channel)>,
    sent: u32,
    methods: Vec<String>,
    reading_streams: HashSet<String>,
}

impl Fixture {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
        let (mut methods, mut reading_streams) = (Vec::new(), HashSet::new());
        for service in files.file.iter().flat_map(|file| &file.service) {
            for method in &service.method {
                let name = format!("{}/{}", service.name(), method.name());
                if method.client_streaming() {
                    reading_streams.insert(name.clone());
                }
                methods.push(name);
            }
        }
        Self { runtime: runtime.expect("a runtime"), running: None, sent: 0, methods, reading_streams }
    }

    /// Whether a method reads a stream; `None` for no method.
    fn streams_of(&self, method: &str) -> Option<bool> {
        self.methods.iter().any(|m| m == method).then(|| self.reading_streams.contains(method))
    }

    fn send(&mut self, method: &str, messages: Vec<Bytes>) -> Result<(), Status> {
        self.sent += 1;
        if self.sent.is_multiple_of(FRESH_AFTER)
            && let Some((server, _)) = self.running.take()
        {
            self.runtime.block_on(server.finish());
        }
        let Self { runtime, running, .. } = self;
        runtime.block_on(async {
            if running.is_none() {
                *running = Some(start().await);
            }
            let channel = running.as_ref().map(|(_, channel)| channel.clone()).expect("it runs");
            let mut grpc = Grpc::new(channel);
            grpc.ready().await.expect("the connection stands");
            let path = PathAndQuery::try_from(format!("/lapel.v1.{method}")).expect("a path");
            let mut request = Request::new(tokio_stream::iter(messages));
            request.set_timeout(LATEST);
            let mut answers = grpc.streaming(request, path, Raw).await?.into_inner();
            while let Some(answer) = answers.next().await {
                answer?;
            }
            Ok(())
        })
    }
}

/// A server with three items, two shipped heads and one whose signatures come from outside.
async fn start() -> (TestServer, Channel) {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(2);
        config.limits.image_pixels_max = 1 << 20;
    })
    .await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 3).await;
    client.register_bundle(&external_bundle("style", 2, &["boho", "plain"])).await.expect("registered");
    let channel = Channel::from_shared(server.address.clone()).expect("an address");
    let channel = channel.connect().await.expect("connects");
    (server, channel)
}

/// Messages as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        bytes.advance(bytes.remaining());
        Ok(Some(()))
    }
}
