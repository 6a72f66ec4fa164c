//! `AdminService`.

use super::Services;
use crate::error::Error;
use lapel_proto::v1;
use lapel_proto::v1::admin_service_server::AdminService;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Bytes of a backup in one message, about; a record is not cut for it.
const CHUNK: usize = 1 << 20;
/// How long a caller may read nothing of a backup.
const STALL_MAX: Duration = Duration::from_secs(60);

#[tonic::async_trait]
impl AdminService for Services {
    type BackupStream = ReceiverStream<Result<v1::BackupResponse, Status>>;

    async fn backup(&self, _: Request<v1::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        // A caller that reads slowly slows the reading down, not the memory up; one that has stalled is given up, since
        // a store that must be opened anew waits for it.
        let (sender, receiver) = mpsc::channel(4);
        let (core, runtime) = (self.core.clone(), tokio::runtime::Handle::current());
        tokio::task::spawn_blocking(move || {
            let mut chunk = Vec::new();
            let send = |chunk: &mut Vec<u8>| {
                let full = std::mem::take(chunk);
                let sending = sender.send(Ok(v1::BackupResponse { chunk: full }));
                let sent = runtime.block_on(async { tokio::time::timeout(STALL_MAX, sending).await });
                match sent {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) => Err(Error::Internal("the caller of a backup has left".into())),
                    Err(_) => {
                        Err(Error::Exhausted(format!("nothing of the backup was read for {STALL_MAX:?}")))
                    }
                }
            };
            let written = core.backup(|mut bytes| {
                chunk.append(&mut bytes);
                if chunk.len() >= CHUNK { send(&mut chunk) } else { Ok(()) }
            });
            match written.and_then(|summary| send(&mut chunk).map(|()| summary)) {
                Ok(summary) => tracing::info!(summary.items, summary.records, "backup sent"),
                // A caller that has left, or stalled, may not hear of it.
                Err(error) => drop(sender.try_send(Err(error.into()))),
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
