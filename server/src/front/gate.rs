//! The gate that every request passes: who asks, whether there is room, until when, and what became of it.

use super::answer::{Source, Unread, frames};
use super::caller::Caller;
use super::compression::{compressed_frame, reads_gzip};
use super::connections::Peer;
use super::headers::{REQUEST_ID, bearer, request_id, time_left};
use super::inflow::Counted;
use super::record::Record;
use super::roles::{Needs, needs};
use super::tokens::{Token, Tokens};
use super::traces::Traces;
use crate::admission::{Admission, Admitted};
use crate::config::Limits;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::stages::Stages;
use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body::Frame;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::response::Parts;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

/// Between two looks at the answers that are on their way.
const UNREAD_EVERY: Duration = Duration::from_secs(1);
/// How long the message of who asks for health may take, which is a few bytes.
const HEALTH_STALL: Duration = Duration::from_secs(5);
/// What callers call that this server does not have.
const OTHER: &str = "other";
/// As headers: the codes with which the transport refuses a message that is too large, or would be when decompressed.
const TOO_LARGE: [&str; 2] = ["11", "8"];
/// The transport's words for a call without a message, or with a part of one. It takes them for the server's fault.
const UNFINISHED: [&str; 2] = ["Missing request message.", "Unexpected EOF decoding stream."];

/// What requests have to pass.
pub(crate) struct Gate {
    /// `None`: everybody may do everything.
    pub(crate) tokens: ArcSwapOption<Tokens>,
    pub(crate) metrics: Arc<Metrics>,
    /// Cancelled once whoever watches the server's health has been told that it ends.
    pub(crate) farewell: CancellationToken,
    admission: Arc<Admission>,
    unread: Unread,
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
            farewell: CancellationToken::new(),
            admission: Admission::new(limits),
            unread: Unread::default(),
            message_max: limits.message_bytes_max(),
            stall: limits.stall(),
            slow,
            traces,
        }
    }

    /// Gives answers up that nobody reads, for as long as it runs.
    pub(crate) async fn give_up_unread(self: Arc<Self>) {
        let mut timer = tokio::time::interval(UNREAD_EVERY.min(self.stall));
        loop {
            timer.tick().await;
            self.unread.give_up(self.stall);
        }
    }

    /// Lets a request through: the record gets its caller, and the request what it takes; who asks for health needs no token. A
    /// method that is not known is refused like one that the caller may not call: what is let through is written down in
    /// `roles`, and nothing else is.
    fn admit(
        &self,
        needs: Option<Needs>,
        request: &mut Request<Body>,
        record: &mut Record,
    ) -> Result<Option<Admitted>, Error> {
        let origin = request.extensions().get::<Peer>().map(|peer| peer.origin.clone());
        if let Some(Needs { roles: [], lasts }) = needs {
            record.admitted = Some(self.admission.health(lasts, origin.as_ref())?);
            return Ok(None);
        }
        let token = self.identify(request.headers())?;
        record.caller = token.as_ref().map(|t| t.name.clone()).unwrap_or_default();
        let Some(Needs { roles, lasts }) = needs else { return Err(Error::UnknownMethod) };
        if token.as_ref().is_some_and(|t| !roles.iter().any(|role| t.has(*role))) {
            let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
            return Err(Error::Forbidden { roles: names.join(" or ") });
        }
        let party = token.as_ref().map(|token| &token.party);
        let admitted = if lasts {
            let admitted = self.admission.stream(origin.as_ref(), party)?;
            record.admitted = Some(admitted.clone());
            admitted
        } else {
            self.admission.call(origin.as_ref(), party)?
        };
        request.extensions_mut().insert(Caller::new(token.as_deref()));
        request.extensions_mut().insert(admitted.clone());
        Ok(Some(admitted))
    }

    /// Whose token a request shows; `None` where everybody may do everything.
    fn identify(&self, headers: &HeaderMap) -> Result<Option<Arc<Token>>, Error> {
        let tokens = self.tokens.load();
        let Some(tokens) = &*tokens else { return Ok(None) };
        let token = bearer(headers).and_then(|secret| tokens.find(secret));
        Ok(Some(token.ok_or(Error::Unauthenticated)?.clone()))
    }

    async fn pass<S>(self: Arc<Self>, mut request: Request<Body>, service: S) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send,
    {
        let path = request.uri().path();
        let path = path.strip_prefix('/').unwrap_or(path).to_owned();
        let (service_name, method) = path.split_once('/').unwrap_or((&path, ""));
        let found = needs(service_name, method);
        let mut record = self.record(&request, found, &path);
        self.metrics.begins();
        let told = HeaderValue::try_from(record.request_id.clone()).ok();
        let reads_gzip = reads_gzip(request.headers());
        let (answer, admitted) = match self.admit(found, &mut request, &mut record) {
            Err(error) => (Status::from(error).into_http(), None),
            Ok(admitted) => {
                let answer = self.answered(request, service, admitted.as_ref(), &record.stages).await;
                (answer, admitted)
            }
        };
        let answer = self.reasoned(answer, record.is_health);
        if record.is_health && !record.lasts {
            // Whoever does not read that the server is well takes no place from others.
            record.admitted = None;
        }
        let (mut head, source) = if record.lasts {
            let (head, body) = answer.into_parts();
            let source =
                if record.is_health { Source::watch(body, &self.farewell) } else { Source::Stream(body) };
            (head, source)
        } else {
            whole(answer, admitted, reads_gzip).await
        };
        record.note(&head.headers);
        head.headers.extend(told.map(|id| (HeaderName::from_static(REQUEST_ID), id)));
        Response::from_parts(head, Body::new(self.unread.answer(source, record)))
    }

    /// A file of the console on its way, given up like an answer that nobody reads.
    pub(super) fn file(&self, file: Response<Body>, peer: Option<&Peer>) -> Response<Body> {
        let activity = peer.map(|peer| peer.origin.activity.clone());
        file.map(|body| Body::new(self.unread.file(body, activity)))
    }

    /// The record of a request that has just come.
    fn record(&self, request: &Request<Body>, found: Option<Needs>, path: &str) -> Record {
        let peer = request.extensions().get::<Peer>();
        Record {
            method: if found.is_some() { interned(path) } else { OTHER },
            request_id: request_id(request.headers()),
            caller: String::new(),
            peer: peer.map(|p| p.address.to_string()).unwrap_or_default(),
            started: Instant::now(),
            stages: Stages::default(),
            metrics: self.metrics.clone(),
            slow: self.slow,
            lasts: found.is_some_and(|needs| needs.lasts),
            is_health: found.is_some_and(|needs| needs.roles.is_empty()),
            code: None,
            admitted: None,
            activity: peer.map(|p| p.origin.activity.clone()),
            traces: self.traces.clone().map(|traces| (traces, Traces::parent(request.headers()))),
        }
    }

    /// What the service answers, in time.
    async fn answered<S>(
        &self,
        mut request: Request<Body>,
        mut service: S,
        admitted: Option<&Admitted>,
        stages: &Stages,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send,
    {
        // The secret is nobody's business further in.
        request.headers_mut().remove("authorization");
        let deadline = match time_left(request.headers()) {
            Ok(deadline) => deadline,
            Err(error) => return Status::from(error).into_http(),
        };
        let message_max = self.message_max;
        let stall = if admitted.is_some() { self.stall } else { self.stall.min(HEALTH_STALL) };
        let counted = |body| Body::new(Counted::new(body, admitted.cloned(), message_max, stall));
        let request = request.map(counted);
        let answering = stages.of(async move { service.call(request).await });
        let answering = async move {
            match admitted.cloned() {
                Some(admitted) => admitted.run(answering).await,
                None => answering.await,
            }
        };
        until(deadline, AssertUnwindSafe(answering).catch_unwind()).await
    }

    /// The transport refuses a message beyond the bound, one that is not whole or that it cannot read, by itself; here that
    /// gets the reason that every refusal has. A message about health has a bound of its own, which the transport's refusal
    /// names.
    fn reasoned(&self, answer: Response<Body>, is_health: bool) -> Response<Body> {
        let headers = answer.headers();
        let too_large = headers.get("grpc-status").is_some_and(|code| TOO_LARGE.iter().any(|c| code == c));
        if headers.contains_key("grpc-status-details-bin") {
            return answer;
        }
        if too_large && !is_health {
            return Status::from(Error::MessageTooLarge { most: self.message_max }).into_http();
        }
        match unreadable(headers) {
            Some(why) => Status::from(Error::invalid("message", why)).into_http(),
            None => answer,
        }
    }
}

/// What the transport says of a message that it cannot read, as the server's fault, which it takes it for: faults of the
/// server itself have details.
fn unreadable(headers: &HeaderMap) -> Option<String> {
    let status = Status::from_header_map(headers).filter(|status| status.code() == Code::Internal)?;
    if UNFINISHED.contains(&status.message()) {
        return Some("the call ended before its message was whole".to_owned());
    }
    Some(format!("it cannot be read: {}", status.message()))
}

/// The answer of a call, all of it, compressed where that gains something. Its request gives everything back before the
/// caller reads it: only its bytes are counted until then.
async fn whole(answer: Response<Body>, admitted: Option<Admitted>, reads_gzip: bool) -> (Parts, Source) {
    let (mut head, body) = answer.into_parts();
    let mut frames = match frames(body).await {
        Ok(frames) => frames,
        Err(status) => return refused(status),
    };
    if reads_gzip
        && let Some(message) = frames.front_mut()
        && let Some(compressed) = compressed_frame(message).await
    {
        *message = compressed;
        head.headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
    }
    let bytes = frames.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
    match admitted.map(|admitted| admitted.answer(bytes)).transpose() {
        Ok(room) => (head, Source::Whole { frames, room }),
        Err(full) => refused(full.into()),
    }
}

/// A refusal in the place of an answer.
fn refused(status: Status) -> (Parts, Source) {
    let (head, _) = status.into_http::<Body>().into_parts();
    (head, Source::Ended)
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
