//! The gate that every request passes: who asks, whether there is room, until when, and what became of it.

use super::caller::Caller;
use super::connections::Peer;
use super::inflow::{Counted, Inflow, Pace};
use super::places::{Places, Taken};
use super::record::{Record, Recorded};
use super::roles::{Needs, needs};
use super::tokens::{Token, Tokens};
use super::traces::Traces;
use crate::config::Limits;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::stages::Stages;
use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tower::{Layer, Service};

/// The header with a request's id, the caller's or ours.
const REQUEST_ID: &str = "x-request-id";
/// Longest id that is taken over from a caller.
const REQUEST_ID_LEN_MAX: usize = 64;
/// By so much our own deadline comes before the caller's, so that the caller reads our answer.
const DEADLINE_MARGIN: Duration = Duration::from_millis(5);
/// The least share of the caller's time that is left to the request.
const DEADLINE_SHARE: f64 = 0.9;
/// What callers call that this server does not have.
const OTHER: &str = "other";
/// As headers: the codes with which the transport refuses a message that is too large, or would be when decompressed.
const TOO_LARGE: [&str; 2] = ["11", "8"];

/// What requests have to pass.
pub(crate) struct Gate {
    /// `None`: everybody may do everything.
    pub(crate) tokens: ArcSwapOption<Tokens>,
    pub(crate) metrics: Arc<Metrics>,
    in_flight: Places,
    /// Whoever watches the server's health.
    watchers: Places,
    inflow: Inflow,
    /// Bytes of one message.
    message_max: usize,
    /// How long a caller may stand still.
    stall: Duration,
    slow: Duration,
    traces: Option<Arc<Traces>>,
}

impl Gate {
    pub(crate) fn new(
        tokens: Option<Tokens>,
        limits: &Limits,
        slow: Duration,
        traces: Option<Arc<Traces>>,
    ) -> Self {
        Self {
            tokens: ArcSwapOption::from_pointee(tokens),
            metrics: Arc::default(),
            in_flight: Places::of_server(limits),
            watchers: Places::of_health(limits),
            inflow: Inflow::new(limits),
            message_max: limits.message_bytes_max(),
            stall: limits.stall(),
            slow,
            traces,
        }
    }

    /// Lets a request through: the record gets its caller and its places. A method that is not known is refused like
    /// one that the caller may not call: what is let through is written down in `roles`, and nothing else is.
    fn admit(
        &self,
        needs: Option<Needs>,
        request: &mut Request<Body>,
        record: &mut Record,
    ) -> Result<(), Error> {
        let peer = request.extensions().get::<Peer>();
        if let Some(Needs { roles: [], lasts }) = needs {
            if lasts {
                record.places.fill(places(&self.watchers, peer, None, true)?);
            }
            return Ok(());
        }
        let token = self.identify(request.headers())?;
        record.caller = token.as_ref().map(|t| t.name.clone()).unwrap_or_default();
        let Some(Needs { roles, lasts }) = needs else { return Err(Error::UnknownMethod) };
        if token.as_ref().is_some_and(|t| !roles.iter().any(|role| t.has(*role))) {
            let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
            return Err(Error::Forbidden { roles: names.join(" or ") });
        }
        record.places.fill(places(&self.in_flight, peer, token.as_deref(), lasts)?);
        if is_compressed(request.headers()) {
            record.room.reserve_message()?;
        }
        request.extensions_mut().insert(Caller::new(token.as_deref()));
        Ok(())
    }

    /// Whose token a request shows; `None` where everybody may do everything.
    fn identify(&self, headers: &HeaderMap) -> Result<Option<Arc<Token>>, Error> {
        let tokens = self.tokens.load();
        let Some(tokens) = &*tokens else { return Ok(None) };
        let token = bearer(headers).and_then(|secret| tokens.find(secret));
        Ok(Some(token.ok_or(Error::Unauthenticated)?.clone()))
    }

    async fn pass<S>(self: Arc<Self>, mut request: Request<Body>, mut service: S) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let started = Instant::now();
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let (service_name, method) = path.split_once('/').unwrap_or((&path, ""));
        let found = needs(service_name, method);
        let request_id = request_id(request.headers());
        let peer = request.extensions().get::<Peer>().map(|p| p.address.to_string());
        let mut record = Record {
            method: if found.is_some() { interned(&path) } else { OTHER },
            request_id: request_id.clone(),
            caller: String::new(),
            peer: peer.unwrap_or_default(),
            started,
            stages: Stages::default(),
            metrics: self.metrics.clone(),
            slow: self.slow,
            lasts: found.is_some_and(|needs| needs.lasts),
            code: None,
            places: Taken::default(),
            room: self.inflow.request(),
            traces: self.traces.clone().map(|traces| (traces, Traces::parent(request.headers()))),
        };
        self.metrics.begins();
        let told = HeaderValue::try_from(request_id).ok();
        let answer = match self.admit(found, &mut request, &mut record) {
            Err(error) => Status::from(error).into_http(),
            Ok(()) => {
                // The secret is nobody's business further in.
                request.headers_mut().remove("authorization");
                if record.lasts {
                    // What is streamed is pictures and files, which are compressed already: doing it again, on a thread
                    // that serves connections, would hold up the others.
                    request.headers_mut().remove("grpc-accept-encoding");
                }
                let pace = Pace { lasts: record.lasts, stall: self.stall };
                request.extensions_mut().insert(record.room.clone());
                request.extensions_mut().insert(record.places.clone());
                let request = request.map(|body| Body::new(Counted::new(body, record.room.clone(), pace)));
                let deadline = time_left(request.headers());
                let stages = record.stages.clone();
                let answering = async move { stages.of(service.call(request)).await };
                until(deadline, AssertUnwindSafe(answering).catch_unwind()).await
            }
        };
        let (mut head, body) = self.reasoned(answer).into_parts();
        record.note(&head.headers);
        head.headers.extend(told.map(|id| (tonic::codegen::http::HeaderName::from_static(REQUEST_ID), id)));
        Response::from_parts(head, Body::new(Recorded::new(body, record)))
    }

    /// The transport refuses a message beyond the bound by itself; here it gets the reason that every refusal has.
    fn reasoned(&self, answer: Response<Body>) -> Response<Body> {
        let headers = answer.headers();
        let too_large = headers.get("grpc-status").is_some_and(|code| TOO_LARGE.iter().any(|c| code == c));
        if too_large && !headers.contains_key("grpc-status-details-bin") {
            return Status::from(Error::MessageTooLarge { most: self.message_max }).into_http();
        }
        answer
    }
}

/// A place among the calls or the streams of the server, the connection and the token each.
fn places(
    server: &Places,
    peer: Option<&Peer>,
    token: Option<&Token>,
    lasts: bool,
) -> Result<Vec<OwnedSemaphorePermit>, Error> {
    let all = [
        (Some(server), "the server"),
        (peer.map(|p| &p.in_flight), "this connection"),
        (token.map(|t| &t.in_flight), "this token"),
    ];
    all.into_iter().filter_map(|(places, whose)| Some(places?.take(lasts, whose))).collect()
}

/// The answer of a handler, or what is said in its place when it panicked or came too late.
async fn until(
    time_left: Option<Duration>,
    answering: impl Future<Output = std::thread::Result<Result<Response<Body>, Infallible>>>,
) -> Response<Body> {
    let answered = match time_left {
        Some(time) => match tokio::time::timeout(time, answering).await {
            Ok(answered) => answered,
            Err(_) => return Status::from(Error::Late).into_http(),
        },
        None => answering.await,
    };
    match answered {
        Ok(Ok(answer)) => answer,
        Ok(Err(never)) => match never {},
        Err(_) => Status::from(Error::Internal("a handler panicked".into())).into_http(),
    }
}

/// Whether messages may be larger than the bytes that come.
fn is_compressed(headers: &HeaderMap) -> bool {
    headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity")
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get("authorization")?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

/// The caller's id where it is one, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let sound =
        |id: &&str| (1..=REQUEST_ID_LEN_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    let given = headers.get(REQUEST_ID).and_then(|v| v.to_str().ok()).filter(sound);
    given.map_or_else(
        || {
            let mut bytes = [0; 8];
            // Ids need not be unguessable; without random bytes they are only less distinct.
            let _ = getrandom::fill(&mut bytes);
            format!("{:016x}", u64::from_le_bytes(bytes))
        },
        str::to_owned,
    )
}

/// What is left of the caller's deadline, less what the answer needs to arrive in time.
fn time_left(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    let time = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(time.saturating_sub(DEADLINE_MARGIN).max(time.mul_f64(DEADLINE_SHARE)))
}

/// One copy of each method's path: there are only as many as the protocol has.
fn interned(path: &str) -> &'static str {
    static KNOWN: LazyLock<Mutex<BTreeSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match known.get(path) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(path.to_owned().into_boxed_str());
            known.insert(kept);
            kept
        }
    }
}

/// Puts the gate before services.
#[derive(Clone)]
pub(crate) struct GateLayer(pub(crate) Arc<Gate>);

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, service: S) -> Gated<S> {
        Gated { gate: self.0.clone(), service }
    }
}

/// Services behind the gate.
#[derive(Clone)]
pub(crate) struct Gated<S> {
    gate: Arc<Gate>,
    service: S,
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that is ready is used up; the next call finds a fresh one.
        let next = self.service.clone();
        let ready = std::mem::replace(&mut self.service, next);
        let gate = self.gate.clone();
        Box::pin(async move { Ok(gate.pass(request, ready).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_leave_time_for_the_answer() {
        let left = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            time_left(&headers)
        };
        assert_eq!(left("1S"), Some(Duration::from_millis(995)));
        assert_eq!(left("10m"), Some(Duration::from_millis(9)));
        assert_eq!(left("2H"), Some(Duration::from_secs(7200) - DEADLINE_MARGIN));
        for unsound in ["", "S", "1", "1x", "-1S", "123456789S"] {
            assert_eq!(left(unsound), None, "{unsound:?}");
        }
    }

    #[test]
    fn ids_are_taken_over_where_they_are_sound() {
        let id = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::try_from(text).expect("a header"));
            request_id(&headers)
        };
        assert_eq!(id("order-17"), "order-17");
        for unsound in ["", "two words", &"x".repeat(65)] {
            assert_eq!(id(unsound).len(), 16, "{unsound:?}");
        }
    }
}
