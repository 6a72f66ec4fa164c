//! What browsers get on the port of gRPC: gRPC-web, which passes the gate as gRPC, and the console.
//!
//! The protocol is spoken here and not by a crate, since it is little, since answers go through in the pieces in which the
//! gate counts them, and since messages in base64 would be counted as something else than they are.

mod console;
mod origins;
mod session;
mod trailers;

use self::origins::{Asking, Origins};
use self::session::Sessions;
use self::trailers::TrailersInBody;
use super::gate::Gate;
use super::headers::bearer;
use super::roles::Role;
use super::tokens::TokensError;
use crate::config::Config;
use futures_util::future::BoxFuture;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use tower::{Layer, Service};

/// Kinds of content that gRPC-web has here.
const WEB: [&str; 2] = ["application/grpc-web", "application/grpc-web+proto"];

/// What browsers get.
pub(crate) struct Web {
    origins: Origins,
    base_path: String,
    has_console: bool,
    sessions: Sessions,
    /// Only this machine reaches the server.
    is_local: bool,
    gate: Arc<Gate>,
}

/// What a request's kind of content says of it.
enum Content {
    /// gRPC-web.
    Web,
    /// gRPC-web in base64, or with something else in it than the protocol's messages.
    OtherWeb,
    /// gRPC.
    Native,
    Other,
}

impl Content {
    fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split_once(';').map_or(kind, |(kind, _)| kind).trim().to_ascii_lowercase();
        if WEB.contains(&kind.as_str()) {
            Self::Web
        } else if kind.starts_with("application/grpc-web") {
            Self::OtherWeb
        } else if kind.starts_with("application/grpc") {
            Self::Native
        } else {
            Self::Other
        }
    }
}

impl Web {
    /// On an address; what comes through the gate passes `gate`.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn new(config: &Config, address: SocketAddr, gate: Arc<Gate>) -> Result<Self, TokensError> {
        let web = &config.web;
        Ok(Self {
            origins: Origins::new(web.origins.clone()),
            base_path: web.base_path.clone(),
            has_console: web.console && console::is_there(),
            sessions: Sessions::new(&format!("{}/", web.base_path), config.tls.is_some())?,
            is_local: address.ip().is_loopback(),
            gate,
        })
    }

    /// The console's path, where it is served.
    pub(crate) fn console_path(&self) -> Option<String> {
        self.has_console.then(|| format!("{}/", self.base_path))
    }

    async fn answer<S>(&self, mut request: Request<Body>, service: S) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send,
    {
        // A proxy on the way may go by another one than the server.
        if request.version() == Version::HTTP_11 && request.headers().get_all(HOST).iter().count() != 1 {
            return plain(StatusCode::BAD_REQUEST, "a request in HTTP/1.1 has one Host header\n");
        }
        // With tokens, a page that has none can do nothing, whatever it counts as.
        let only_local = self.is_local && self.gate.tokens.load().is_none();
        let asking = self.origins.asking(&request, only_local);
        if matches!(asking, Asking::Stranger) {
            return Asking::refused();
        }
        if let Some(answer) = asking.preflight(&request) {
            return answer;
        }
        let is_below = self.strip_base(request.uri_mut());
        let method = request.method().clone();
        let answer = match Content::of(request.headers()) {
            Content::Web if method == Method::POST => web_call(request, service).await,
            Content::OtherWeb if method == Method::POST => {
                let text = "gRPC-web is spoken in binary: send application/grpc-web+proto";
                as_web(Status::unimplemented(text).into_http(), request.headers().get(CONTENT_TYPE).cloned())
            }
            _ if method == Method::GET || method == Method::HEAD => self.console(&request, is_below),
            Content::Other if method == Method::POST && is_below && self.has_console => {
                match request.uri().path() {
                    "/sign-in" => self.sign_in(request.headers()),
                    "/sign-out" => done(self.sessions.end()),
                    _ => native(request, service).await,
                }
            }
            _ => native(request, service).await,
        };
        asking.allowed(answer)
    }

    /// Takes the base path off; whether it was there. Calls need not have it.
    fn strip_base(&self, uri: &mut Uri) -> bool {
        if self.base_path.is_empty() {
            return true;
        }
        let whole = uri.path_and_query().map_or("", PathAndQuery::as_str);
        let rest = whole.strip_prefix(&self.base_path).filter(|rest| rest.starts_with('/'));
        let Some(Ok(rest)) = rest.map(PathAndQuery::try_from) else { return false };
        let mut parts = std::mem::take(uri).into_parts();
        parts.path_and_query = Some(rest);
        // One that was whole before is whole with another path.
        *uri = Uri::from_parts(parts).unwrap_or_default();
        true
    }

    /// A file of the console.
    fn console(&self, request: &Request<Body>, is_below: bool) -> Response<Body> {
        let path = request.uri().path();
        if self.has_console && !is_below && path == self.base_path {
            let mut answer = plain(StatusCode::PERMANENT_REDIRECT, "the console's path ends with a slash\n");
            let to = HeaderValue::try_from(format!("{}/", self.base_path)).ok();
            answer.headers_mut().extend(to.map(|to| (LOCATION, to)));
            return answer;
        }
        let file = path.strip_prefix('/').filter(|_| self.has_console && is_below).and_then(|path| {
            console::file(path, request.method(), request.headers(), self.may_search(request.headers()))
        });
        file.unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "there is nothing here\n"))
    }

    /// Whether a browser has shown a token that may search; everybody has where there are no tokens.
    fn may_search(&self, headers: &HeaderMap) -> bool {
        let tokens = self.gate.tokens.load();
        let Some(tokens) = &*tokens else { return true };
        let shown = bearer(headers).and_then(|secret| tokens.find(secret));
        let token = shown.or_else(|| self.sessions.token(headers, tokens));
        token.is_some_and(|token| token.has(Role::Search))
    }

    /// A cookie for a browser that shows a token.
    fn sign_in(&self, headers: &HeaderMap) -> Response<Body> {
        let tokens = self.gate.tokens.load();
        let Some(tokens) = &*tokens else { return done(None) };
        match bearer(headers).and_then(|secret| tokens.find(secret)) {
            None => plain(StatusCode::UNAUTHORIZED, "The server does not know this token.\n"),
            Some(token) if token.has(Role::Search) => done(self.sessions.begin(token)),
            Some(_) => plain(StatusCode::FORBIDDEN, "The console takes a token with the role \"search\".\n"),
        }
    }
}

/// A call in gRPC-web: it goes on as gRPC, and its answer comes back as gRPC-web.
async fn web_call<S>(mut request: Request<Body>, service: S) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
    S::Future: Send,
{
    let headers = request.headers_mut();
    headers.remove(CONTENT_LENGTH);
    let kind = headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    as_web(called(request, service).await, kind)
}

/// An answer in gRPC-web, of the same kind of content as its request.
fn as_web(answer: Response<Body>, kind: Option<HeaderValue>) -> Response<Body> {
    let mut answer = answer.map(|body| Body::new(TrailersInBody(body)));
    if let Some(kind) = kind {
        answer.headers_mut().insert(CONTENT_TYPE, kind);
    }
    answer
}

/// A call in gRPC, which is spoken over HTTP/2 alone.
async fn native<S>(request: Request<Body>, service: S) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
    S::Future: Send,
{
    if request.version() == Version::HTTP_2 {
        return called(request, service).await;
    }
    if request.method() == Method::POST {
        let text =
            "over HTTP/1.1 this server speaks gRPC-web: send application/grpc-web+proto; gRPC takes HTTP/2\n";
        return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "calls are POSTs\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS, POST"));
    answer
}

async fn called<S>(request: Request<Body>, mut service: S) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
    S::Future: Send,
{
    match service.call(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// An answer in words, which may be another one for who asks with a token or from another page.
fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::new(axum::body::Body::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// That something was done, with a cookie.
fn done(cookie: Option<HeaderValue>) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    answer
}

/// Puts what browsers get before the gate.
#[derive(Clone)]
pub(crate) struct WebLayer(pub(crate) Arc<Web>);

impl<S> Layer<S> for WebLayer {
    type Service = WebService<S>;

    fn layer(&self, service: S) -> WebService<S> {
        WebService { web: self.0.clone(), service }
    }
}

/// Services that browsers reach.
#[derive(Clone)]
pub(crate) struct WebService<S> {
    web: Arc<Web>,
    service: S,
}

impl<S> Service<Request<Body>> for WebService<S>
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
        let web = self.web.clone();
        Box::pin(async move { Ok(web.answer(request, ready).await) })
    }
}
