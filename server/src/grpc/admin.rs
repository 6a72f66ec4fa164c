//! `AdminService`.

use super::Services;
use super::outgoing::{Answers, Outgoing, PIECE_BYTES};
use lapel_proto::v1;
use lapel_proto::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl AdminService for Services {
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
