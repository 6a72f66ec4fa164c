//! What stands between the transport and a service with uploads: their bodies are handed on frame by frame.

use super::frames::{Frames, Uploaded};
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::Request;
use tonic::server::NamedService;
use tower::Service;

/// The methods whose messages are read by [`Frames`].
const UPLOADS: [&str; 2] =
    ["/lapel.v1.CatalogService/UpsertItems", "/lapel.v1.CatalogService/UpsertItemsStream"];

/// A service whose uploads come as [`Frames`].
#[derive(Clone)]
pub(crate) struct Framed<S> {
    service: S,
    /// Largest message.
    most: usize,
}

impl<S> Framed<S> {
    pub(crate) fn new(service: S, most: usize) -> Self {
        Self { service, most }
    }

    /// Takes an upload's body away: its handler reads it from the extensions of the request, whose own stream is empty.
    fn uploaded(&self, request: Request<Body>) -> Request<Body> {
        let (mut head, body) = request.into_parts();
        // Another compression is refused before the handler is called.
        let has_gzip = head.headers.get("grpc-encoding").is_some_and(|encoding| encoding == "gzip");
        head.extensions.insert(Uploaded::new(Frames::new(body, has_gzip, self.most)));
        Request::from_parts(head, Body::empty())
    }
}

impl<S: NamedService> NamedService for Framed<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Framed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_upload = UPLOADS.contains(&request.uri().path());
        let request = if is_upload { self.uploaded(request) } else { request };
        self.service.call(request)
    }
}
