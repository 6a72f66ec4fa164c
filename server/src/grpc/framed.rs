//! What stands between the transport and a service: uploads are handed on frame by frame, and answers are watched on their
//! way.

use super::flow::{Flow, Noted};
use super::frames::{Frames, Uploaded};
use crate::front::Room;
use futures_util::future::BoxFuture;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tower::Service;

/// The methods whose messages are read by [`Frames`].
const UPLOADS: [&str; 2] =
    ["/lapel.v1.CatalogService/UpsertItems", "/lapel.v1.CatalogService/UpsertItemsStream"];

/// A service whose uploads come as [`Frames`] and whose answers note their [`Flow`].
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
        let room = head.extensions.get::<Room>().cloned();
        // Another compression is refused before the handler is called.
        let has_gzip = head.headers.get("grpc-encoding").is_some_and(|encoding| encoding == "gzip");
        let passed = move |bytes| {
            if let Some(room) = &room {
                room.release(bytes);
            }
        };
        head.extensions.insert(Uploaded::new(Frames::new(body, has_gzip, self.most, passed)));
        Request::from_parts(head, Body::empty())
    }
}

impl<S: NamedService> NamedService for Framed<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Framed<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_upload = UPLOADS.contains(&request.uri().path());
        let mut request = if is_upload { self.uploaded(request) } else { request };
        let flow = Flow::default();
        request.extensions_mut().insert(flow.clone());
        let answering = self.service.call(request);
        Box::pin(async move { Ok(answering.await?.map(|body| Body::new(Noted::new(body, flow)))) })
    }
}
