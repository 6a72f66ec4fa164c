//! Connections as they come in: bounded in number, encrypted where that is configured, closed when they stay silent.

use super::addresses::{AddressPlace, Addresses};
use super::places::Places;
use super::tls::Tls;
use crate::config::Limits;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// Bytes of an HTTP/2 client's greeting: its preface, and the head of the first frame.
const GREETING_BYTES: usize = 24 + 9;
/// Before the system is asked again after it gave no connection.
const RETRY: Duration = Duration::from_millis(50);

/// Who is at the other end; every request of a connection carries it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(super) address: SocketAddr,
    /// Its requests in flight.
    pub(super) in_flight: Places,
}

/// A connection, open for as long as it holds its places.
pub(crate) struct Connection {
    stream: Stream,
    /// `None` once it has come; from then on the protocol's own pings tell whether anybody is there.
    greeting: Option<Greeting>,
    peer: Peer,
    _places: (OwnedSemaphorePermit, AddressPlace),
}

/// What a client says first, and until when.
struct Greeting {
    bytes: usize,
    late: Pin<Box<Sleep>>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Accepts connections until the receiver is dropped. A connection that does not come about costs the others nothing.
pub(crate) fn accept(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: Limits,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        let open = Arc::new(Semaphore::new(limits.connections_max));
        let addresses = Addresses::default();
        loop {
            let permit = tokio::select! {
                permit = open.clone().acquire_owned() => permit,
                () = sender.closed() => return,
            };
            let Ok(permit) = permit else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "no connection was accepted");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            let Some(place) = addresses.place(address.ip(), limits.connections_per_address_max) else {
                tracing::debug!(%address, "closed: its address has as many connections as it may");
                continue;
            };
            let due = Instant::now() + Duration::from_secs(limits.greeting_seconds.into());
            let peer = Peer { address, in_flight: Places::of_connection(&limits) };
            let (sender, tls) = (sender.clone(), tls.clone());
            tokio::spawn(async move {
                match encrypted(stream, tls.as_deref(), due).await {
                    Ok(stream) => {
                        let greeting = Some(Greeting { bytes: 0, late: Box::pin(sleep_until(due)) });
                        let connection = Connection { stream, greeting, peer, _places: (permit, place) };
                        drop(sender.send(Ok(connection)).await);
                    }
                    Err(error) => tracing::info!(%address, %error, "a connection did not come about"),
                }
            });
        }
    });
    ReceiverStream::new(receiver)
}

async fn encrypted(stream: TcpStream, tls: Option<&Tls>, due: Instant) -> io::Result<Stream> {
    // Small answers would otherwise wait 40 ms for the peer's delayed acknowledgement.
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Stream::Plain(stream)) };
    let stream = timeout_at(due, tls.acceptor().accept(stream)).await??;
    Ok(Stream::Tls(Box::new(stream)))
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, greeting, .. } = self.get_mut();
        let before = buf.filled().len();
        let read = match stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        let Some(expected) = greeting else { return read };
        if read.is_pending() {
            return expected.late.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        expected.bytes += buf.filled().len() - before;
        if expected.bytes >= GREETING_BYTES {
            *greeting = None;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
