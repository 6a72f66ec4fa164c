//! `AdminService`.

use super::Services;
use super::outgoing::{Answers, Outgoing, PIECE_BYTES};
use crate::metrics::resident_bytes;
use crate::traffic::MethodTraffic;
use lapel_proto::v1;
use lapel_proto::v1::admin_service_server::AdminService;
use std::time::{Duration, Instant};
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl AdminService for Services {
    async fn server_stats(
        &self,
        _: Request<v1::ServerStatsRequest>,
    ) -> Result<Response<v1::ServerStatsResponse>, Status> {
        let (window, methods) = self.metrics.traffic.told(Instant::now());
        let waiting = self.core.engine.waiting();
        Ok(Response::new(v1::ServerStatsResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: Some(self.metrics.started.into()),
            healthy: self.core.is_healthy(),
            resident_bytes: resident_bytes().and_then(|bytes| bytes.try_into().ok()).unwrap_or(0),
            in_flight: self.metrics.in_flight(),
            window_seconds: window.as_secs_f64(),
            methods: methods.into_iter().map(method_stats).collect(),
            pictures_waiting: waiting
                .into_iter()
                .map(|(queue, count)| (queue.to_owned(), count as u64))
                .collect(),
        }))
    }

    type BackupStream = Answers<v1::BackupResponse>;

    async fn backup(
        &self,
        request: Request<v1::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        // A caller that has stalled is given up by the gate: a store that must be opened anew waits for the backup's end.
        let (outgoing, answers) = Outgoing::new(&request);
        let core = self.core.clone();
        tokio::task::spawn_blocking(move || {
            let mut chunk = Vec::new();
            let send = |chunk: &mut Vec<u8>| {
                outgoing
                    .send_blocking(v1::BackupResponse { chunk: std::mem::take(chunk), damaged_records: 0 })
            };
            let written = core.backup(|bytes| {
                // A record may be cut.
                bytes.chunks(PIECE_BYTES).try_for_each(|piece| {
                    if chunk.len() + piece.len() > PIECE_BYTES {
                        send(&mut chunk)?;
                    }
                    chunk.extend_from_slice(piece);
                    Ok(())
                })
            });
            let sent = written.and_then(|summary| {
                let last = v1::BackupResponse { chunk, damaged_records: summary.damaged };
                outgoing.send_blocking(last).map(|()| summary)
            });
            outgoing.end(sent.map(|summary| {
                tracing::info!(summary.items, summary.records, summary.damaged, "backup sent");
            }));
        });
        Ok(Response::new(answers))
    }
}

fn method_stats(told: MethodTraffic) -> v1::MethodStats {
    let MethodTraffic { method, calls, failures, p50, p99 } = told;
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    v1::MethodStats {
        method: method.to_owned(),
        calls,
        failures: failures.into_iter().map(|(code, count)| (code.to_owned(), count)).collect(),
        p50_ms: ms(p50),
        p99_ms: ms(p99),
    }
}
