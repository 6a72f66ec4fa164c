//! What orchestrators and monitoring ask over plain HTTP: `/live`, `/ready`, `/metrics`.

use crate::core::Core;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections at a time; what comes beyond is closed.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take, which has one request.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Before the system is asked again after it gave no connection.
const RETRY: Duration = Duration::from_millis(50);

#[derive(Clone)]
struct Probes {
    core: Arc<Core>,
    metrics: Arc<Metrics>,
}

/// Answers probes until `end`; whoever is asking then is cut off.
pub(crate) async fn serve(
    listener: TcpListener,
    core: Arc<Core>,
    metrics: Arc<Metrics>,
    end: impl Future<Output = ()>,
) {
    let router = Router::new()
        .route("/live", get(|| async { "alive\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Probes { core, metrics });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).keep_alive(false);
    let (mut open, mut end) = (JoinSet::new(), pin!(end));
    loop {
        let accepted = tokio::select! {
            () = &mut end => return,
            // What has ended is let go.
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if open.len() < CONNECTIONS_MAX => {
                let service = TowerToHyperService::new(router.clone());
                let connection = http.serve_connection(TokioIo::new(stream), service);
                // One that is late or broken is of no interest to anybody.
                open.spawn(async { drop(timeout(CONNECTION_TIME, connection).await) });
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
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
