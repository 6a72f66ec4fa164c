//! `HeadService`.

use super::incoming::{Incoming, Whole};
use super::outgoing::{Answers, Outgoing};
use super::{Services, convert, paging};
use crate::admission::{Admitted, Held};
use crate::catalogue::{Column, Snapshot};
use crate::core::Registration;
use crate::error::{Choices, Error};
use crate::life::HeadStatus;
use lapel_heads::Attribute;
use lapel_proto::v1;
use lapel_proto::v1::head_service_server::HeadService;
use lapel_proto::v1::register_head_request::Part;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

#[tonic::async_trait]
impl HeadService for Services {
    async fn register_head(
        &self,
        request: Request<Streaming<v1::RegisterHeadRequest>>,
    ) -> Result<Response<v1::RegisterHeadResponse>, Status> {
        let room = Admitted::of(&request)?;
        // The bundle keeps its room until it is registered.
        let (bundle, registration, _held) = self.receive(request.into_inner(), &room).await?;
        let status = self.core.register_head(bundle, registration).await?;
        Ok(Response::new(v1::RegisterHeadResponse { head: Some(convert::head(&status)) }))
    }

    async fn register_head_from_bundle(
        &self,
        request: Request<v1::RegisterHeadFromBundleRequest>,
    ) -> Result<Response<v1::RegisterHeadFromBundleResponse>, Status> {
        let v1::RegisterHeadFromBundleRequest { bundle, sha256, update, hold, request_id, signature } =
            request.into_inner();
        let file = Whole {
            bytes: &bundle,
            sha256: &sha256,
            signature: &signature,
            bytes_field: "bundle".to_owned(),
            hash_field: "sha256".to_owned(),
        };
        let found = file.check(self.core.config.limits.bundle_bytes_max.0, self.core.bundle_key.as_ref())?;
        // The same request as one whose bundle comes in pieces.
        let header = v1::RegisterHeadHeader {
            size_bytes: bundle.len() as u64,
            sha256: found,
            update,
            hold,
            request_id,
            signature,
        };
        let request = convert::request_id("RegisterHead", &header.request_id, &header)?;
        let status = self.core.register_head(bundle, Registration { update, hold, request }).await?;
        Ok(Response::new(v1::RegisterHeadFromBundleResponse { head: Some(convert::head(&status)) }))
    }

    async fn promote_head(
        &self,
        request: Request<v1::PromoteHeadRequest>,
    ) -> Result<Response<v1::PromoteHeadResponse>, Status> {
        let request = request.into_inner();
        let id = convert::request_id("PromoteHead", &request.request_id, &request)?;
        let v1::PromoteHeadRequest { name, version, request_id: _, allow_missing } = request;
        let status = self.core.promote_head(name, version, allow_missing, id).await?;
        Ok(Response::new(v1::PromoteHeadResponse { head: Some(convert::head(&status)) }))
    }

    async fn rollback_head(
        &self,
        request: Request<v1::RollbackHeadRequest>,
    ) -> Result<Response<v1::RollbackHeadResponse>, Status> {
        let request = request.into_inner();
        let id = convert::request_id("RollbackHead", &request.request_id, &request)?;
        let status = self.core.roll_back_head(request.name, id).await?;
        Ok(Response::new(v1::RollbackHeadResponse { head: Some(convert::head(&status)) }))
    }

    async fn cancel_head(
        &self,
        request: Request<v1::CancelHeadRequest>,
    ) -> Result<Response<v1::CancelHeadResponse>, Status> {
        let request = request.into_inner();
        let id = convert::request_id("CancelHead", &request.request_id, &request)?;
        let status = self.core.cancel_head(request.name, id).await?;
        Ok(Response::new(v1::CancelHeadResponse { head: Some(convert::head(&status)) }))
    }

    type WatchHeadStream = Answers<v1::WatchHeadResponse>;

    async fn watch_head(
        &self,
        request: Request<v1::WatchHeadRequest>,
    ) -> Result<Response<Self::WatchHeadStream>, Status> {
        let v1::WatchHeadRequest { name, version } = request.get_ref();
        let changes = self.core.registry.watch(name, *version)?;
        let (outgoing, answers) = Outgoing::new(&request);
        let stopping = self.core.stopping.clone();
        tokio::spawn(async move {
            let watched = watch_until_settled(changes, &outgoing, &stopping).await;
            outgoing.end(watched);
        });
        Ok(Response::new(answers))
    }

    async fn list_heads(
        &self,
        request: Request<v1::ListHeadsRequest>,
    ) -> Result<Response<v1::ListHeadsResponse>, Status> {
        let v1::ListHeadsRequest { page_size, page_token, state } = request.into_inner();
        let size = paging::page_size(page_size)?;
        let wanted = v1::HeadState::try_from(state).map_err(|_| unknown_state(state))?;
        let of_state = |s: &HeadStatus| {
            wanted == v1::HeadState::Unspecified || convert::head_state(&s.state).0 == wanted
        };
        // A token names the last version of the page before: its name may hold any character, its number none of these.
        let last = match page_token.rsplit_once('@') {
            Some((name, version)) => (name, version.parse::<u32>().unwrap_or(u32::MAX)),
            None => (page_token.as_str(), u32::MAX),
        };
        let after = |s: &HeadStatus| page_token.is_empty() || (s.name.as_str(), s.version) > last;
        let found = self.core.registry.all().into_iter().filter(|s| after(s) && of_state(s));
        let found: Vec<v1::Head> = found.take(size + 1).map(|status| convert::head(&status)).collect();
        let (heads, next_page_token) = paging::cut(found, size, |h| format!("{}@{}", h.name, h.version));
        Ok(Response::new(v1::ListHeadsResponse {
            heads,
            next_page_token,
            backbone: self.core.model()?.fingerprint().to_owned(),
            generation: self.core.snapshot().generation,
        }))
    }

    async fn get_head(
        &self,
        request: Request<v1::GetHeadRequest>,
    ) -> Result<Response<v1::GetHeadResponse>, Status> {
        let v1::GetHeadRequest { name, version } = request.into_inner();
        let status = self.core.registry.get(&name, version)?;
        Ok(Response::new(v1::GetHeadResponse { head: Some(convert::head(&status)) }))
    }

    async fn retire_head(
        &self,
        request: Request<v1::RetireHeadRequest>,
    ) -> Result<Response<v1::RetireHeadResponse>, Status> {
        let request = request.into_inner();
        let id = convert::request_id("RetireHead", &request.request_id, &request)?;
        let status = self.core.retire_head(request.name, request.version, id).await?;
        Ok(Response::new(v1::RetireHeadResponse { head: Some(convert::head(&status)) }))
    }

    async fn list_labels(
        &self,
        request: Request<v1::ListLabelsRequest>,
    ) -> Result<Response<v1::ListLabelsResponse>, Status> {
        let v1::ListLabelsRequest { attribute: only, page_size, page_token } = request.into_inner();
        let size = match page_size {
            0 => usize::MAX,
            asked => paging::page_size(asked)?,
        };
        let snapshot = self.core.snapshot();
        let all = snapshot
            .columns()
            .iter()
            .flat_map(|c| c.head().manifest().attributes.iter().map(move |a| (c, a)));
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        if !only.is_empty() && !all.iter().any(|(_, a)| a.name == only) {
            let valid = Choices::of(&only, all.iter().map(|(_, a)| a.name.as_str()));
            return Err(Error::NotFound { what: "attribute", name: only, valid }.into());
        }
        let is_chosen = |a: &Attribute| (only.is_empty() || a.name == only) && a.name > page_token;
        let chosen = all.into_iter().filter(|(_, a)| is_chosen(a)).take(size.saturating_add(1));
        let items_min = self.core.config.search.prototype_items_min;
        let found = chosen.map(|(column, a)| labels(&snapshot, column, a, items_min)).collect();
        let (attributes, next_page_token) = paging::cut(found, size, |a| a.attribute.clone());
        let generation = snapshot.generation;
        Ok(Response::new(v1::ListLabelsResponse { attributes, generation, next_page_token }))
    }

    type TeachStream = Answers<v1::TeachResponse>;

    async fn teach(&self, request: Request<v1::TeachRequest>) -> Result<Response<Self::TeachStream>, Status> {
        Ok(Response::new(self.begin_teaching(request).await?))
    }

    async fn suggest_examples(
        &self,
        request: Request<v1::SuggestExamplesRequest>,
    ) -> Result<Response<v1::SuggestExamplesResponse>, Status> {
        Ok(Response::new(self.suggest_to_label(request.into_inner()).await?))
    }

    async fn compare_heads(
        &self,
        request: Request<v1::CompareHeadsRequest>,
    ) -> Result<Response<v1::CompareHeadsResponse>, Status> {
        Ok(Response::new(self.compare_versions(request.into_inner()).await?))
    }

    async fn change_labels(
        &self,
        request: Request<v1::ChangeLabelsRequest>,
    ) -> Result<Response<v1::ChangeLabelsResponse>, Status> {
        Ok(Response::new(self.relabel(request.into_inner()).await?))
    }

    type DownloadHeadStream = Answers<v1::DownloadHeadResponse>;

    async fn download_head(
        &self,
        request: Request<v1::DownloadHeadRequest>,
    ) -> Result<Response<Self::DownloadHeadStream>, Status> {
        Ok(Response::new(self.begin_download(request).await?))
    }
}

impl Services {
    /// The announced bundle, whole and of the announced hash, and how to register it.
    async fn receive(
        &self,
        mut stream: Streaming<v1::RegisterHeadRequest>,
        room: &Admitted,
    ) -> Result<(Vec<u8>, Registration, Held), Status> {
        let first = stream.message().await?.and_then(|m| m.part);
        let Some(Part::Header(header)) = first else {
            return Err(
                Error::invalid("header", "the first message announces the bundle's size and hash").into()
            );
        };
        let request = convert::request_id("RegisterHead", &header.request_id, &header)?;
        let registration = Registration { update: header.update, hold: header.hold, request };
        let most = self.core.config.limits.bundle_bytes_max.0;
        let mut incoming =
            Incoming::announced(header.size_bytes, header.sha256, header.signature, most, room)?;
        while let Some(message) = stream.message().await? {
            match message.part {
                Some(Part::Chunk(chunk)) => incoming.take(&chunk)?,
                Some(Part::Header(_)) => {
                    return Err(Error::invalid("header", "the bundle is announced twice").into());
                }
                None => return Err(Error::invalid("part", "each further message carries a chunk").into()),
            }
        }
        let (bundle, held) = incoming.finish(self.core.bundle_key.as_ref())?;
        Ok((bundle, registration, held))
    }
}

/// Tells a head's state and every change of it, until nothing more happens to it, the caller leaves or the server stops.
async fn watch_until_settled(
    mut changes: watch::Receiver<HeadStatus>,
    outgoing: &Outgoing<v1::WatchHeadResponse>,
    stopping: &CancellationToken,
) -> Result<(), Error> {
    loop {
        let status = changes.borrow_and_update().clone();
        outgoing.send(v1::WatchHeadResponse { head: Some(convert::head(&status)) }).await?;
        if status.state.is_settled() {
            return Ok(());
        }
        let goes_on = tokio::select! {
            changed = changes.changed() => changed.is_ok(),
            () = outgoing.closed() => false,
            () = stopping.cancelled() => false,
        };
        if !goes_on {
            return Ok(());
        }
    }
}

fn unknown_state(number: i32) -> Error {
    Error::invalid("state", format!("{number} is no state; 0 (all) to {} are", v1::HeadState::Standby as i32))
}

fn labels(
    snapshot: &Snapshot,
    column: &Column,
    attribute: &Attribute,
    items_min: u64,
) -> v1::AttributeLabels {
    let label = |label: &String| {
        let prototype = column.prototypes().prototype(column.head(), &attribute.name, label, items_min);
        v1::LabelInfo {
            label: label.clone(),
            prototype_count: prototype.as_ref().map_or(0, |p| p.count),
            prototype_from_catalog: prototype.is_some_and(|p| p.from_catalogue),
            items: snapshot.items().with_label(&attribute.name, label).map_or(0, roaring::RoaringBitmap::len),
        }
    };
    v1::AttributeLabels {
        attribute: attribute.name.clone(),
        head: column.head().name().to_owned(),
        labels: attribute.labels.iter().map(label).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::{HeadState, Progress};
    use std::time::Duration;
    use tokio_stream::StreamExt;

    #[tokio::test]
    async fn a_watch_ends_when_its_caller_leaves_although_nothing_changes() {
        let backfilling = HeadStatus {
            key: "length-1".into(),
            name: "length".into(),
            version: 1,
            bundle_sha256: String::new(),
            backbone: None,
            head: None,
            state: HeadState::Backfilling,
            progress: Progress::default(),
            promotes_itself: true,
            served_ms: 0,
            registered_ms: 1,
        };
        let (_changes, receiver) = watch::channel(backfilling);
        let (outgoing, mut answers) = Outgoing::new(&Request::new(()));
        let watching =
            tokio::spawn(
                async move { watch_until_settled(receiver, &outgoing, &CancellationToken::new()).await },
            );
        let first = answers.next().await.expect("it is told").expect("a state");
        assert_eq!(first.head.expect("a head").name, "length");
        drop(answers);
        let ended = tokio::time::timeout(Duration::from_secs(600), watching).await;
        assert!(ended.expect("the watch ends").expect("no panic").is_ok());
    }
}
