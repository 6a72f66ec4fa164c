//! Bundles on their way out.

use super::outgoing::{Answers, Outgoing, PIECE_BYTES};
use super::{Services, convert};
use crate::admission::Admitted;
use crate::error::Error;
use lapel_proto::v1;
use tonic::Request;

impl Services {
    /// Begins to send a version's bundle.
    pub(super) async fn begin_download(
        &self,
        request: Request<v1::DownloadHeadRequest>,
    ) -> Result<Answers<v1::DownloadHeadResponse>, Error> {
        let v1::DownloadHeadRequest { name, version } = request.get_ref();
        let status = self.core.registry.get(name, *version)?;
        // One at a time is in memory that nobody is known to have room for.
        let reading = self.core.reading_bundle.lock().await;
        let bundle = self.core.bundle(&status).await?;
        let gone = || {
            let (version, state) = (status.version, status.state.name());
            Error::not_found("bundle", format!("{} (version {version}, {state})", status.name))
        };
        let bundle = bundle.ok_or_else(gone)?;
        let room = Admitted::of(&request)?.answer(bundle.len())?;
        drop(reading);
        let (outgoing, answers) = Outgoing::new(&request);
        let head = convert::head(&status);
        tokio::spawn(async move {
            let sent = send_bundle(head, bundle, &outgoing).await;
            outgoing.end(sent);
        });
        Ok(answers.holding(room))
    }
}

/// Sends a bundle in pieces, the first with the head. No byte of it is in memory twice while it waits to be read.
async fn send_bundle(
    head: v1::Head,
    bundle: Vec<u8>,
    outgoing: &Outgoing<v1::DownloadHeadResponse>,
) -> Result<(), Error> {
    let mut told = Some(head);
    let pieces: Vec<Vec<u8>> = bundle.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect();
    drop(bundle);
    for chunk in pieces {
        outgoing.send(v1::DownloadHeadResponse { head: told.take(), chunk }).await?;
    }
    Ok(())
}
