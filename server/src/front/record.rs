//! The record of a request: counted and logged once, when its last byte has gone or its caller has.

use super::inflow::Room;
use super::places::Taken;
use super::traces::{Parent, Traces};
use crate::metrics::Metrics;
use crate::stages::Stages;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tonic::Code;
use tonic::codegen::http::HeaderMap;

/// What is told of a request.
pub(super) struct Record {
    pub(super) method: &'static str,
    pub(super) request_id: String,
    /// The token's name; empty without one.
    pub(super) caller: String,
    pub(super) peer: String,
    pub(super) started: Instant,
    pub(super) stages: Stages,
    pub(super) metrics: Arc<Metrics>,
    /// From so much time on it is slow, unless it lasts as long as its caller wants.
    pub(super) slow: Duration,
    pub(super) lasts: bool,
    /// `None` until it is known; a request that ends without is one whose caller left.
    pub(super) code: Option<Code>,
    /// Given back when the request is over, as is what its message takes.
    pub(super) places: Taken,
    pub(super) room: Room,
    /// Where its spans go, and what they lie below.
    pub(super) traces: Option<(Arc<Traces>, Parent)>,
}

impl Record {
    pub(super) fn note(&mut self, headers: &HeaderMap) {
        let status = headers.get("grpc-status").and_then(|v| v.to_str().ok()?.parse::<i32>().ok());
        self.code = status.map(Code::from).or(self.code);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let status = self.code.unwrap_or(Code::Cancelled);
        let code = name(status);
        if let Some((traces, parent)) = &self.traces {
            traces.tell(self, parent, status, code);
        }
        let times = self.stages.times();
        self.metrics.ended(self.method, code, took, &times);
        let ms = (took.as_secs_f64() * 1e4).round() / 10.0;
        let Self { method, request_id, caller, peer, .. } = self;
        let stages = self.stages.text();
        if took >= self.slow && !self.lasts {
            let plan = self.stages.plan().unwrap_or_default();
            tracing::warn!(target: "lapel::request", method, code, ms, request_id, caller, peer, stages, plan, "slow");
        } else {
            tracing::info!(target: "lapel::request", method, code, ms, request_id, caller, peer, stages);
        }
    }
}

/// A code's name in logs and metrics.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A body that carries the record of its request to its end.
pub(super) struct Recorded<B> {
    body: B,
    record: Record,
}

impl<B> Recorded<B> {
    pub(super) fn new(body: B, record: Record) -> Self {
        Self { body, record }
    }
}

impl<B: Body + Unpin> Body for Recorded<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.record.note(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
