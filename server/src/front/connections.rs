//! Connections as they come in: bounded in number, encrypted where that is configured, closed when they stay silent or when
//! others need their places more.

use super::addresses::{AddressPlace, Addresses};
use super::socket::Socket;
use super::tls::Tls;
use crate::admission::{Activity, Origin, Party};
use crate::config::Limits;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;

/// What a client of HTTP/2 says first; one of HTTP/1.1 begins with anything else.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of an HTTP/2 client's greeting: its preface, and the head of the first frame. That of HTTP/1.1 is the head of the
/// first request.
const GREETING_BYTES: usize = PREFACE.len() + 9;
/// Before the system is asked again after it gave no connection, and before another connection is closed to make room.
const RETRY: Duration = Duration::from_millis(50);
/// How often is told that connections cannot be accepted.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Who is at the other end; every request of a connection carries it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(super) address: SocketAddr,
    /// What its requests share.
    pub(super) origin: Origin,
}

/// A connection, open for as long as it holds its places.
pub(crate) struct Connection {
    socket: Socket,
    stream: Stream,
    /// `None` once it has come; from then on the protocol tells whether anybody is there: by its pings in HTTP/2, by the next
    /// request's head in HTTP/1.1.
    greeting: Option<Greeting>,
    peer: Peer,
    /// Ends when the connection is to be closed although its client has not left.
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    _places: (OwnedSemaphorePermit, AddressPlace),
}

/// What a client says first, and until when.
struct Greeting {
    bytes: usize,
    is_http1: bool,
    late: Pin<Box<Sleep>>,
}

enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// Accepts connections until the receiver is dropped. A connection that does not come about costs the others nothing.
pub(crate) fn accept(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: Limits,
) -> mpsc::Receiver<Connection> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        let ended = sender.clone();
        let accepting = Accepting {
            listener,
            tls,
            open: Arc::new(Semaphore::new(limits.connections_max)),
            addresses: Addresses::new(limits.clone()),
            limits,
            sender,
        };
        tokio::select! {
            () = accepting.run() => {}
            () = ended.closed() => {}
        }
    });
    receiver
}

/// Connections that could not be accepted since that was told.
#[derive(Default)]
struct Refused {
    count: u64,
    told: Option<Instant>,
}

impl Refused {
    /// Counts one, and tells how many there were, not again and again while it lasts.
    fn tell(&mut self, error: &io::Error) {
        self.count += 1;
        if self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            tracing::warn!(%error, tries = self.count, "no connection was accepted");
            (self.count, self.told) = (0, Some(Instant::now()));
        }
    }
}

/// What accepts connections.
struct Accepting {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    /// Places for connections.
    open: Arc<Semaphore>,
    addresses: Addresses,
    limits: Limits,
    sender: mpsc::Sender<Connection>,
}

impl Accepting {
    async fn run(&self) {
        let mut refused = Refused::default();
        loop {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    refused.tell(&error);
                    // As with too many open files, where an idle connection has one.
                    self.addresses.close_one(None);
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            let due = Instant::now() + Duration::from_secs(self.limits.greeting_seconds.into());
            let activity = Activity::new();
            let most = self.limits.connections_per_address_max;
            let Some(place) = self.addresses.place(address.ip(), &activity, most) else {
                tracing::debug!(%address, "closed: its address has as many connections as it may");
                continue;
            };
            let Some(permit) = self.permit(&activity).await else { return };
            // It has waited for the server, and not been idle.
            activity.touch();
            let connection = Arc::new(Party::connection(&self.limits));
            let origin = Origin { connection, address: place.party().clone(), activity };
            let peer = Peer { address, origin };
            let (sender, tls) = (self.sender.clone(), self.tls.clone());
            tokio::spawn(async move {
                let closed = peer.origin.activity.closed().clone();
                let opened = closed.run_until_cancelled(opened(stream, tls.as_deref(), due)).await;
                match opened.unwrap_or_else(|| Err(io::ErrorKind::ConnectionAborted.into())) {
                    Ok((socket, stream)) => {
                        let connection = Connection {
                            socket,
                            stream,
                            greeting: Some(Greeting {
                                bytes: 0,
                                is_http1: false,
                                late: Box::pin(sleep_until(due)),
                            }),
                            closed: Box::pin(closed.cancelled_owned()),
                            peer,
                            _places: (permit, place),
                        };
                        drop(sender.send(connection).await);
                    }
                    Err(error) => tracing::info!(%address, %error, "a connection did not come about"),
                }
            });
        }
    }

    /// A place for a newcomer's connection. Where all are taken, one that is of no use is closed for it; while there is
    /// none such, it waits, and so do those behind it.
    async fn permit(&self, newcomer: &Arc<Activity>) -> Option<OwnedSemaphorePermit> {
        loop {
            match self.open.clone().try_acquire_owned() {
                Ok(permit) => return Some(permit),
                Err(TryAcquireError::Closed) => return None,
                Err(TryAcquireError::NoPermits) => self.addresses.close_one(Some(newcomer)),
            }
            // Nobody else takes it meanwhile.
            if let Ok(permit) = timeout(RETRY, self.open.clone().acquire_owned()).await {
                return permit.ok();
            }
        }
    }
}

/// The socket of a connection, and what is read and written, encrypted where that is configured.
async fn opened(stream: TcpStream, tls: Option<&Tls>, due: Instant) -> io::Result<(Socket, Stream)> {
    let socket = Socket::new(stream)?;
    let Some(tls) = tls else { return Ok((socket.clone(), Stream::Plain(socket))) };
    let stream = timeout_at(due, tls.acceptor().accept(socket.clone())).await??;
    Ok((socket, Stream::Tls(Box::new(stream))))
}

impl Connection {
    /// What it goes over.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, greeting, closed, peer, .. } = self.get_mut();
        closing(closed, cx)?;
        let before = buf.filled().len();
        let read = match stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        let Some(expected) = greeting else { return read };
        if peer.origin.activity.has_asked() {
            *greeting = None;
            return read;
        }
        if read.is_pending() {
            return expected.late.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        let came = buf.filled().get(before..).unwrap_or_default();
        let preface = PREFACE.get(expected.bytes..).unwrap_or_default();
        expected.is_http1 |= came.iter().zip(preface).any(|(came, wanted)| came != wanted);
        expected.bytes += came.len();
        if !expected.is_http1 && expected.bytes >= GREETING_BYTES {
            *greeting = None;
        }
        read
    }
}

/// The end of a connection that is to be closed.
fn closing(closed: &mut Pin<Box<WaitForCancellationFutureOwned>>, cx: &mut Context<'_>) -> io::Result<()> {
    if closed.as_mut().poll(cx).is_ready() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // A client that reads nothing keeps the connection from being read, too.
        closing(&mut self.closed, cx)?;
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
