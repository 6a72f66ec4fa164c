//! Connections, served: in HTTP/2, or in HTTP/1.1 as browsers without encryption and many proxies speak it.

use super::connections::{Connection, Peer};
use super::socket::Socket;
use crate::config::Limits;
use hyper::body::Incoming;
use hyper::service::{Service as HyperService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, Version};
use tower::Service;

/// Pings on connections that say nothing, and how long their answer may take: dead peers give their places back.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// Bytes that a client may send of one request before they are read, at least and at most, and about those of all requests of
/// a connection.
const STREAM_WINDOWS: [u32; 2] = [1 << 16, 1 << 20];
const CONNECTION_WINDOW: u32 = 64 << 20;
/// How often it is looked whether a connection is of use to anybody still.
const LOOKED_EVERY: Duration = Duration::from_millis(500);
/// How long a connection without a running request has to leave once the server stops, and how long nothing may come on it.
const PARTING: Duration = Duration::from_secs(3);
/// Bytes of a request's head in HTTP/1.1, and of its body that are read ahead. In HTTP/2 the transport's own bounds do.
const HEAD_MAX: usize = 32 << 10;

/// Bytes of a request's headers in HTTP/2, of which a connection may have many that go on.
const HEADERS_MAX: u32 = 8 << 10;

/// Serves connections until `stop` ends, then until the last of their requests has. Dropped earlier, it leaves them be.
pub(crate) async fn serve<S>(
    mut connections: mpsc::Receiver<Connection>,
    service: S,
    limits: &Limits,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let protocols = protocols(limits);
    let patience =
        Patience { age: Duration::from_secs(limits.connection_age_seconds.into()), stall: limits.stall() };
    let (stopping, open) = (CancellationToken::new(), TaskTracker::new());
    let mut stop = pin!(stop);
    loop {
        let connection = tokio::select! {
            () = &mut stop => break,
            connection = connections.recv() => connection,
        };
        let Some(connection) = connection else { break };
        let (peer, service) = (connection.peer().clone(), service.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let mut service = service.clone();
            peer.origin.activity.asks(request.version() < Version::HTTP_2);
            request.extensions_mut().insert(peer.clone());
            async move {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(request.map(Body::new)).await
            }
        });
        open.spawn(served(protocols.clone(), connection, service, patience, stopping.clone()));
    }
    // Nobody is let in any more.
    drop(connections);
    stopping.cancel();
    open.close();
    open.wait().await;
}

/// How much clients may send in advance, and how long they may take.
fn protocols(limits: &Limits) -> Builder<TokioExecutor> {
    // More streams than a connection may have in flight: the gate's answer says more than a stream that waits.
    let streams = 2 * limits.requests_per_connection_max + limits.streams_max;
    // Uploads that wait for room are not read. All that one connection may have leave a part of its window to others.
    let waiting = u32::try_from(limits.streams_max.div_ceil(2)).unwrap_or(u32::MAX).saturating_add(1);
    let window = (CONNECTION_WINDOW / waiting).clamp(STREAM_WINDOWS[0], STREAM_WINDOWS[1]);
    let window_of_all = window.saturating_mul(waiting).min(i32::MAX as u32);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(HEAD_MAX)
        // From the end of a request to the end of the next one's head. That of the first is a connection's greeting.
        .header_read_timeout(limits.stall());
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .max_concurrent_streams(u32::try_from(streams).ok())
        .max_header_list_size(HEADERS_MAX)
        .initial_stream_window_size(window)
        .initial_connection_window_size(window_of_all);
    builder
}

/// How long connections are borne.
#[derive(Clone, Copy)]
struct Patience {
    /// Until one is asked to leave once its requests have ended.
    age: Duration,
    /// Until one is closed whose client has left in the midst of an answer.
    stall: Duration,
}

/// Serves a connection to its end. When it is old, or the server stops, its client is asked to leave when its requests have
/// ended.
async fn served<S>(
    protocols: Builder<TokioExecutor>,
    connection: Connection,
    service: S,
    patience: Patience,
    stopping: CancellationToken,
) where
    S: HyperService<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let (socket, peer) = (connection.socket().clone(), connection.peer().clone());
    let mut serving = pin!(protocols.serve_connection(TokioIo::new(connection), service));
    let mut asked = pin!(asked_to_leave(patience.age, &stopping));
    let mut useless = pin!(of_no_use(&socket, &peer, patience.stall, &stopping));
    let mut is_asked = false;
    let ended = loop {
        tokio::select! {
            ended = &mut serving => break ended,
            () = &mut asked, if !is_asked => {
                is_asked = true;
                serving.as_mut().graceful_shutdown();
            }
            // Dropped with what it still did.
            () = &mut useless => return,
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Ends when a connection is old, or the server stops.
async fn asked_to_leave(age: Duration, stopping: &CancellationToken) {
    // That it is told to stop first, or is old first, comes to the same.
    let _ = tokio::time::timeout(age, stopping.cancelled()).await;
}

/// Ends when a connection is of no use to anybody, though the protocol may not see it: HTTP/1.1 does not read on while an
/// answer is under way, and HTTP/2 waits for the answer to a ping before it closes.
async fn of_no_use(socket: &Socket, peer: &Peer, stall: Duration, stopping: &CancellationToken) {
    let activity = &peer.origin.activity;
    let (mut left, mut stopped): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        tokio::time::sleep(LOOKED_EVERY).await;
        // What a client has sent before it left may still be read.
        left = socket.has_left().then(|| left.unwrap_or_else(Instant::now));
        let is_gone = left.is_some_and(|left| left.elapsed() >= stall);
        stopped = stopping.is_cancelled().then(|| stopped.unwrap_or_else(Instant::now));
        // A request may have begun right before.
        let has_had_time = stopped.is_some_and(|stopped| stopped.elapsed() >= PARTING);
        let may_part = has_had_time && activity.idle().is_some_and(|idle| idle >= PARTING);
        if is_gone || may_part || activity.closed().is_cancelled() {
            return;
        }
    }
}
