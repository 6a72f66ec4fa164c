//! What orchestrators and monitoring ask over plain HTTP: `/live`, `/ready`, `/metrics`.

use crate::core::Core;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::future::Future;
use std::sync::Arc;
use tokio::net::TcpListener;

#[derive(Clone)]
struct Probes {
    core: Arc<Core>,
    metrics: Arc<Metrics>,
}

/// Answers probes until `end`.
pub(crate) async fn serve(
    listener: TcpListener,
    core: Arc<Core>,
    metrics: Arc<Metrics>,
    end: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/live", get(|| async { "alive\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Probes { core, metrics });
    axum::serve(listener, router).with_graceful_shutdown(end).await
}

/// Whether traffic should come here: not while stopping, not while the model or the store does not work.
async fn ready(State(probes): State<Probes>) -> (StatusCode, &'static str) {
    if probes.core.stopping.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if !probes.core.is_healthy() {
        (StatusCode::SERVICE_UNAVAILABLE, "the model or the store does not work; the log says more\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

async fn metrics_text(State(probes): State<Probes>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], probes.metrics.text(&probes.core))
}
