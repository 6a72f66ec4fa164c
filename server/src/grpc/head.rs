//! `HeadService`.

use super::{Services, convert, paging};
use crate::catalogue::{Column, Snapshot};
use crate::error::Error;
use crate::heads::{HeadState, HeadStatus};
use lapel_heads::{Attribute, HeadKind, sha256_hex};
use lapel_proto::v1;
use lapel_proto::v1::head_service_server::HeadService;
use lapel_proto::v1::register_head_request::Part;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

#[tonic::async_trait]
impl HeadService for Services {
    async fn register_head(
        &self,
        request: Request<Streaming<v1::RegisterHeadRequest>>,
    ) -> Result<Response<v1::RegisterHeadResponse>, Status> {
        let bundle = self.receive(request.into_inner()).await?;
        let status = self.core.register_head(bundle).await?;
        Ok(Response::new(v1::RegisterHeadResponse { head: Some(head(&status)) }))
    }

    type WatchHeadStream = ReceiverStream<Result<v1::WatchHeadResponse, Status>>;

    async fn watch_head(
        &self,
        request: Request<v1::WatchHeadRequest>,
    ) -> Result<Response<Self::WatchHeadStream>, Status> {
        let mut changes = self.core.registry.watch(&request.into_inner().name)?;
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            loop {
                let status = changes.borrow_and_update().clone();
                let settled = status.state.is_settled();
                let told = sender.send(Ok(v1::WatchHeadResponse { head: Some(head(&status)) })).await;
                if settled || told.is_err() || changes.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_heads(
        &self,
        request: Request<v1::ListHeadsRequest>,
    ) -> Result<Response<v1::ListHeadsResponse>, Status> {
        let v1::ListHeadsRequest { page_size, page_token, state } = request.into_inner();
        let size = paging::page_size(page_size)?;
        let wanted = v1::HeadState::try_from(state).map_err(|_| unknown_state(state))?;
        let of_state = |s: &HeadStatus| wanted == v1::HeadState::Unspecified || state_of(s).0 == wanted;
        let after = self.core.registry.all().into_iter().filter(|s| s.name > page_token && of_state(s));
        let (page, next_page_token) =
            paging::cut(after.take(size + 1).collect(), size, |s: &HeadStatus| s.name.clone());
        Ok(Response::new(v1::ListHeadsResponse {
            heads: page.iter().map(head).collect(),
            next_page_token,
            backbone: self.core.backbone_fingerprint().to_owned(),
            generation: self.core.snapshot().generation,
        }))
    }

    async fn get_head(
        &self,
        request: Request<v1::GetHeadRequest>,
    ) -> Result<Response<v1::GetHeadResponse>, Status> {
        let status = self.core.registry.get(&request.into_inner().name)?;
        Ok(Response::new(v1::GetHeadResponse { head: Some(head(&status)) }))
    }

    async fn retire_head(
        &self,
        request: Request<v1::RetireHeadRequest>,
    ) -> Result<Response<v1::RetireHeadResponse>, Status> {
        let status = self.core.retire_head(&request.into_inner().name).await?;
        Ok(Response::new(v1::RetireHeadResponse { head: Some(head(&status)) }))
    }

    async fn list_labels(
        &self,
        request: Request<v1::ListLabelsRequest>,
    ) -> Result<Response<v1::ListLabelsResponse>, Status> {
        let only = request.into_inner().attribute;
        let snapshot = self.core.snapshot();
        let all = snapshot
            .columns()
            .iter()
            .flat_map(|c| c.head().manifest().attributes.iter().map(move |a| (c, a)));
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        let valid: Vec<String> = all.iter().map(|(_, a)| a.name.clone()).collect();
        if !only.is_empty() && !valid.contains(&only) {
            return Err(Error::NotFound { what: "attribute", name: only, valid }.into());
        }
        let chosen = all.into_iter().filter(|(_, a)| only.is_empty() || a.name == only);
        let items_min = self.core.config.search.prototype_items_min;
        let attributes = chosen.map(|(column, a)| labels(&snapshot, column, a, items_min)).collect();
        Ok(Response::new(v1::ListLabelsResponse { attributes, generation: snapshot.generation }))
    }
}

impl Services {
    /// The announced bundle, whole and of the announced hash.
    async fn receive(&self, mut stream: Streaming<v1::RegisterHeadRequest>) -> Result<Vec<u8>, Status> {
        let first = stream.message().await?.and_then(|m| m.part);
        let Some(Part::Header(header)) = first else {
            return Err(
                Error::invalid("header", "the first message announces the bundle's size and hash").into()
            );
        };
        let most = self.core.config.limits.bundle_bytes_max.0;
        if header.size_bytes > most as u64 {
            let size = header.size_bytes;
            return Err(Error::Exhausted(format!(
                "the bundle has {size} bytes; at most {most} are accepted"
            ))
            .into());
        }
        let mut bytes = Vec::new();
        while let Some(message) = stream.message().await? {
            match message.part {
                Some(Part::Chunk(chunk)) => bytes.extend_from_slice(&chunk),
                Some(Part::Header(_)) => {
                    return Err(Error::invalid("header", "the bundle is announced twice").into());
                }
                None => return Err(Error::invalid("part", "each further message carries a chunk").into()),
            }
            if bytes.len() as u64 > header.size_bytes {
                let wanted = format!("more bytes came than the {} announced", header.size_bytes);
                return Err(Error::invalid("chunk", wanted).into());
            }
        }
        if bytes.len() as u64 != header.size_bytes {
            let wanted = format!("{} bytes came; {} were announced", bytes.len(), header.size_bytes);
            return Err(Error::invalid("chunk", wanted).into());
        }
        let found = sha256_hex(&bytes);
        if !found.eq_ignore_ascii_case(&header.sha256) {
            let wanted = format!("the bytes that came have SHA-256 {found}; {} was announced", header.sha256);
            return Err(Error::invalid("header.sha256", wanted).into());
        }
        Ok(bytes)
    }
}

/// A head's state, and why it failed.
fn state_of(status: &HeadStatus) -> (v1::HeadState, &str) {
    match &status.state {
        HeadState::Registering => (v1::HeadState::Registering, ""),
        HeadState::Validating => (v1::HeadState::Validating, ""),
        HeadState::Warming => (v1::HeadState::Warming, ""),
        HeadState::Backfilling => (v1::HeadState::Backfilling, ""),
        HeadState::Active => (v1::HeadState::Active, ""),
        HeadState::Draining => (v1::HeadState::Draining, ""),
        HeadState::Retired => (v1::HeadState::Retired, ""),
        HeadState::Failed(reason) => (v1::HeadState::Failed, reason.as_str()),
    }
}

fn unknown_state(number: i32) -> Error {
    Error::invalid("state", format!("{number} is no state; 0 (all) to {} are", v1::HeadState::Failed as i32))
}

fn head(status: &HeadStatus) -> v1::Head {
    let manifest = status.head.as_ref().map(|h| h.manifest());
    let kind = manifest.map_or(v1::HeadKind::Unspecified, |m| match m.kind {
        HeadKind::Network => v1::HeadKind::Network,
        HeadKind::External => v1::HeadKind::External,
    });
    let (state, failure) = state_of(status);
    v1::Head {
        name: status.name.clone(),
        bundle_sha256: status.bundle_sha256.clone(),
        kind: kind.into(),
        region: manifest.map(|m| m.region.name().to_owned()).unwrap_or_default(),
        dim: manifest.map_or(0, |m| m.dim as u32),
        attributes: manifest
            .map(|m| m.attributes.iter().map(|a| a.name.clone()).collect())
            .unwrap_or_default(),
        state: state.into(),
        failure: failure.to_owned(),
        backfill: Some(v1::BackfillProgress {
            items_total: status.progress.total,
            items_done: status.progress.done,
            items_skipped: status.progress.skipped,
            items_per_second: status.progress.per_second,
        }),
        register_time: convert::timestamp(status.registered_ms),
        description: manifest.map(|m| m.description.clone()).unwrap_or_default(),
        context: manifest.is_some_and(|m| m.context),
        weight: manifest.map_or(1.0, |m| f64::from(m.weight)),
        changed_weight: manifest.map_or(1.0, |m| f64::from(m.changed_weight)),
    }
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
            items: snapshot.items().with_label(&attribute.name, label).map_or(0, |slots| slots.len()),
        }
    };
    v1::AttributeLabels {
        attribute: attribute.name.clone(),
        head: column.head().name().to_owned(),
        labels: attribute.labels.iter().map(label).collect(),
    }
}
