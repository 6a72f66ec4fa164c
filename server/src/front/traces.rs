//! Traces: a span a request, below it one for each stage, sent to an OpenTelemetry collector.

use super::record::Record;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use std::time::{Instant, SystemTime};
use tonic::Code;
use tonic::codegen::http::{HeaderMap, HeaderName};

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent to {endpoint}: {source}")]
pub struct TracesError {
    endpoint: String,
    source: ExporterBuildError,
}

/// Where spans go.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The caller's span, which a request's own one lies below.
pub(super) type Parent = Context;

impl Traces {
    /// Sends spans to a collector, `http://HOST:PORT`, over OTLP. A collector that does not answer costs no request
    /// anything; its spans are lost.
    pub(crate) fn to(endpoint: &str) -> Result<Self, TracesError> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter.map_err(|source| TracesError { endpoint: endpoint.to_owned(), source })?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name("lapel-server").build())
            .build();
        Ok(Self { tracer: provider.tracer("lapel"), provider })
    }

    /// The caller's span, by the header `traceparent`.
    pub(super) fn parent(headers: &HeaderMap) -> Parent {
        TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
    }

    /// Sends what became of a request.
    pub(super) fn tell(&self, record: &Record, parent: &Parent, code: Code, name: &'static str) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let at = |instant: Instant| wall - now.saturating_duration_since(instant);
        let mut attributes = vec![
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", record.method),
            KeyValue::new("rpc.response.status_code", name),
            KeyValue::new("lapel.request_id", record.request_id.clone()),
        ];
        attributes.extend(record.stages.plan().map(|plan| KeyValue::new("lapel.plan", plan)));
        let mut span = self
            .tracer
            .span_builder(record.method)
            .with_kind(SpanKind::Server)
            .with_start_time(at(record.started))
            .with_attributes(attributes)
            .start_with_context(&self.tracer, parent);
        // As the conventions for servers have it: what the caller did wrong is no error here.
        let ours =
            [Code::Unknown, Code::DeadlineExceeded, Code::Unimplemented, Code::Internal, Code::Unavailable];
        if ours.contains(&code) || code == Code::DataLoss {
            span.set_status(Status::error(name));
        }
        let below = Context::new().with_remote_span_context(span.span_context().clone());
        for part in record.stages.parts() {
            let stage = self.tracer.span_builder(part.stage.name()).with_start_time(at(part.start));
            let mut stage = stage.start_with_context(&self.tracer, &below);
            stage.end_with_timestamp(at(part.start + part.time));
        }
        span.end_with_timestamp(wall);
    }

    /// Sends what has not been sent yet. Waits for it.
    pub(crate) fn end(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
