//! The record of a request: counted and logged once, when its last byte has gone or its caller has.

use super::traces::{Parent, Traces};
use crate::admission::{Activity, Admitted};
use crate::metrics::Metrics;
use crate::stages::Stages;
use std::sync::Arc;
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
    /// It asks for the server's health, which anybody may: its connection is of no more use for that.
    pub(super) is_health: bool,
    /// `None` until it is known; a request that ends without is one whose caller left.
    pub(super) code: Option<Code>,
    /// What a stream has taken, or who asks for health; that of a call is given back with its work, before its answer is read.
    pub(super) admitted: Option<Admitted>,
    /// Of its connection.
    pub(super) activity: Option<Arc<Activity>>,
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
