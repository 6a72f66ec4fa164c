//! `CatalogService`.

use super::outgoing::{Answers, Outgoing};
use super::status::cut_short;
use super::{Services, asked, convert, paging};
use crate::admission::{Admitted, Held};
use crate::catalogue::{Item, Snapshot};
use crate::core::{NewItem, RequestId, Upserted};
use crate::error::{Error, Faults};
use crate::search::checked_filter;
use crate::stages::carried;
use crate::store::{Moment, StoreError};
use lapel_heads::{PhotoLimits, photo_format};
use lapel_proto::v1;
use lapel_proto::v1::catalog_service_server::CatalogService;
use roaring::RoaringBitmap;
use std::collections::HashSet;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, Streaming};

/// Items with images that are embedded and committed together.
const BATCH_IMAGES: usize = 64;
/// Items, with images or without, that are committed together.
const BATCH: usize = 1024;
/// Bytes of messages from which on a batch is full; two batches are in memory at a time.
const BATCH_BYTES: usize = 32 << 20;
/// The share of all room that a batch may take at most, so that a stream does not fill it by itself.
const BATCH_SHARE: usize = 8;

/// The outcome of a batch: one result an item, in their order.
type Batch = Result<Vec<Result<Upserted, Error>>, Error>;

#[tonic::async_trait]
impl CatalogService for Services {
    async fn upsert_items(
        &self,
        request: Request<Streaming<v1::UpsertItemsRequest>>,
    ) -> Result<Response<v1::UpsertItemsResponse>, Status> {
        let room = Admitted::of(&request)?;
        let mut stream = request.into_inner();
        let limits = &self.core.config.limits;
        let most = limits.stream_items_max;
        let mut upsert = Upsert {
            services: self,
            ids: HashSet::new(),
            results: Vec::new(),
            batch: Vec::new(),
            held: Vec::new(),
            images: 0,
            bytes: 0,
            bytes_max: BATCH_BYTES.min(limits.request_bytes_max.0 / BATCH_SHARE),
            running: None,
        };
        loop {
            let message = tokio::select! {
                biased;
                message = stream.message() => message,
                // Somebody waits for room, perhaps this stream's next message: what is kept here is stored, however
                // little it is.
                () = room.crowded(), if upsert.keeps() => {
                    upsert.finish().await?;
                    continue;
                }
            };
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(cause) => return Err(upsert.cut_short(&cause).await?),
            };
            if upsert.results.len() == most {
                // What came before is complete and durable before the caller hears of it.
                upsert.finish().await?;
                return Err(Error::Exhausted(format!(
                    "a stream has at most {most} items; those were stored"
                ))
                .into());
            }
            let bytes = convert::in_memory(&message);
            let mut held = room.hold(bytes);
            if held.is_err() {
                // What this stream itself holds is free again once it is durable.
                upsert.finish().await?;
                held = room.hold(bytes);
            }
            match held {
                Ok(held) => upsert.take(message, bytes, held).await?,
                Err(full) => return Err(upsert.cut_short(&full.into()).await?),
            }
        }
        upsert.finish().await?;
        Ok(Response::new(v1::UpsertItemsResponse { results: upsert.results }))
    }

    async fn get_item(
        &self,
        request: Request<v1::GetItemRequest>,
    ) -> Result<Response<v1::GetItemResponse>, Status> {
        let id = request.into_inner().id;
        let snapshot = self.core.snapshot();
        let item = snapshot.item(&id).map_err(Error::from)?;
        Ok(Response::new(v1::GetItemResponse { item: Some(convert::item(&snapshot, item)) }))
    }

    async fn get_item_image(
        &self,
        request: Request<v1::GetItemImageRequest>,
    ) -> Result<Response<v1::GetItemImageResponse>, Status> {
        let id = request.into_inner().id;
        let image = self.core.image(&id).await?;
        let image = image.ok_or_else(|| Error::not_found("item with an image", id))?;
        let format = photo_format(&image, self.core.config.photo_limits()).map_err(Error::from)?;
        let content_type = format.to_mime_type().to_owned();
        let mut answer = Response::new(v1::GetItemImageResponse { image, content_type });
        // It is compressed already.
        answer.disable_compression();
        Ok(answer)
    }

    async fn delete_items(
        &self,
        request: Request<v1::DeleteItemsRequest>,
    ) -> Result<Response<v1::DeleteItemsResponse>, Status> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let request_id = convert::request_id("DeleteItems", &request.request_id, &request);
        let request_id = faults.gather("request_id", request_id)?.unwrap_or_else(RequestId::none);
        let v1::DeleteItemsRequest { mut ids, request_id: _ } = request;
        let most = self.core.config.limits.stream_items_max;
        if ids.is_empty() || ids.len() > most {
            faults.refuse("ids", format!("{} ids are given; 1 to {most} are accepted", ids.len()));
        }
        faults.end()?;
        ids.sort();
        ids.dedup();
        let asked = ids.len();
        let not_found = self.core.delete(ids, request_id).await?;
        Ok(Response::new(v1::DeleteItemsResponse { deleted: (asked - not_found.len()) as u64, not_found }))
    }

    async fn list_items(
        &self,
        request: Request<v1::ListItemsRequest>,
    ) -> Result<Response<v1::ListItemsResponse>, Status> {
        let v1::ListItemsRequest { page_size, page_token, filters } = request.into_inner();
        let (snapshot, core) = (self.core.snapshot(), self.core.clone());
        let page = self.core.in_turn(move || {
            let mut faults = Faults::default();
            let size = faults.gather("page_size", paging::page_size(page_size))?.unwrap_or_default();
            let filters = asked::filters(&snapshot, filters, &core.config.limits, &mut faults);
            faults.end()?;
            let filter = checked_filter(&snapshot, &filters)?;
            let found = snapshot.items().list(&filter, &page_token, size + 1).into_iter();
            let found: Vec<v1::Item> = found.map(|item| convert::item(&snapshot, item)).collect();
            let (items, next_page_token) = paging::cut(found, size, |item| item.id.clone());
            Ok::<_, Error>(v1::ListItemsResponse { items, next_page_token })
        });
        Ok(Response::new(page.await??))
    }

    type ExportItemsStream = Answers<v1::ExportItemsResponse>;

    async fn export_items(
        &self,
        request: Request<v1::ExportItemsRequest>,
    ) -> Result<Response<Self::ExportItemsStream>, Status> {
        let (snapshot, moment) = self.core.moment().await?;
        let (outgoing, answers) = Outgoing::new(&request, self.core.config.limits.stall());
        let v1::ExportItemsRequest { after, no_images } = request.into_inner();
        let limits = self.core.config.photo_limits();
        tokio::task::spawn_blocking(move || {
            let images = (!no_images).then_some((moment.as_ref(), limits));
            let items = snapshot.items();
            let sent = items
                .after(&after)
                .filter_map(|slot| items.get(slot))
                .try_for_each(|item| outgoing.send_blocking(export(&snapshot, item, images)?));
            outgoing.end(sent);
        });
        Ok(Response::new(answers))
    }

    async fn catalog_stats(
        &self,
        _: Request<v1::CatalogStatsRequest>,
    ) -> Result<Response<v1::CatalogStatsResponse>, Status> {
        let (snapshot, cached_features) = (self.core.snapshot(), self.core.features_cached());
        let stats =
            self.core.in_turn(move || v1::CatalogStatsResponse { cached_features, ..stats(&snapshot) });
        Ok(Response::new(stats.await?))
    }
}

fn stats(snapshot: &Snapshot) -> v1::CatalogStatsResponse {
    let items = snapshot.items().len() as u64;
    let labels = snapshot.items().labels().map(|(attribute, by_label)| {
        let count = |(label, slots): (&String, &std::sync::Arc<RoaringBitmap>)| (label.clone(), slots.len());
        (attribute.clone(), v1::LabelCounts { counts: by_label.iter().map(count).collect() })
    });
    let coverage = snapshot.columns().iter().map(|c| v1::HeadCoverage {
        head: c.head().name().to_owned(),
        signatures: c.count(),
        missing: items - c.count(),
    });
    v1::CatalogStatsResponse {
        items,
        labels: labels.collect(),
        heads: coverage.collect(),
        generation: snapshot.generation,
        damaged_items: snapshot.damage().0.iter().cloned().collect(),
        lost_records: snapshot.damage().1,
        ..v1::CatalogStatsResponse::default()
    }
}

/// An item with its signatures, and its image where images are wanted.
fn export(
    snapshot: &Snapshot,
    item: &Item,
    images: Option<(Option<&Moment>, PhotoLimits)>,
) -> Result<v1::ExportItemsResponse, Error> {
    let (mut image, mut content_type) = (Vec::new(), String::new());
    if let Some((moment, limits)) = images.filter(|_| item.record.has_image()) {
        image = moment.ok_or(StoreError::Reopening)?.image(&item.id)?;
        content_type = photo_format(&image, limits).map(|f| f.to_mime_type().to_owned()).unwrap_or_default();
    }
    let rows = snapshot.active_signatures(&[&item.id])?.into_iter().flatten();
    let signatures = snapshot.columns().iter().zip(rows).filter_map(|(column, values)| {
        Some(v1::Signature { head: column.head().name().to_owned(), values: values?.into_owned() })
    });
    Ok(v1::ExportItemsResponse {
        item: Some(convert::item(snapshot, item)),
        content_type,
        image,
        signatures: signatures.collect(),
    })
}

/// One stream: a batch is filled while the one before is embedded and committed.
struct Upsert<'a> {
    services: &'a Services,
    ids: HashSet<String>,
    /// One a message so far; those of unfinished batches are still without an outcome.
    results: Vec<v1::UpsertResult>,
    /// Items with the places of their results.
    batch: Vec<(usize, NewItem)>,
    /// The room of the batch's messages.
    held: Vec<Held>,
    /// Images of the batch, and bytes of its messages.
    images: usize,
    bytes: usize,
    /// Bytes of a full batch.
    bytes_max: usize,
    running: Option<(Vec<usize>, JoinHandle<Batch>)>,
}

impl Upsert<'_> {
    async fn take(&mut self, message: v1::UpsertItemsRequest, bytes: usize, held: Held) -> Result<(), Error> {
        let once = self.ids.insert(message.id.clone());
        self.results.push(v1::UpsertResult { id: message.id.clone(), ..v1::UpsertResult::default() });
        match convert::new_item(message, once) {
            Err(error) => {
                if let Some(result) = self.results.last_mut() {
                    result.error = Some(convert::item_error(error));
                }
            }
            Ok(item) => {
                self.images += usize::from(item.image.is_some());
                self.bytes += bytes;
                self.held.push(held);
                self.batch.push((self.results.len() - 1, item));
            }
        }
        let is_full =
            self.batch.len() >= BATCH || self.images >= BATCH_IMAGES || self.bytes >= self.bytes_max;
        if is_full { self.flush().await } else { Ok(()) }
    }

    /// Whether anything is kept that is not durable.
    fn keeps(&self) -> bool {
        self.running.is_some() || !self.batch.is_empty()
    }

    /// What the caller hears when the stream cannot be read on: what came before is stored and told.
    async fn cut_short(&mut self, cause: &Status) -> Result<Status, Error> {
        self.finish().await?;
        let stored = self.results.iter().filter(|result| result.error.is_none()).count();
        Ok(cut_short(cause, self.results.len() + 1, stored))
    }

    /// Waits until everything taken is durable.
    async fn finish(&mut self) -> Result<(), Error> {
        while self.keeps() {
            self.flush().await?;
        }
        Ok(())
    }

    /// Waits for the running batch and starts the filled one.
    async fn flush(&mut self) -> Result<(), Error> {
        if let Some((places, running)) = self.running.take() {
            for (place, outcome) in places.into_iter().zip(running.await??) {
                match outcome {
                    Ok(upserted) => self.results[place].replaced = upserted.replaced,
                    Err(error) => self.results[place].error = Some(convert::item_error(error)),
                }
            }
        }
        if !self.batch.is_empty() {
            let (places, items) = std::mem::take(&mut self.batch).into_iter().unzip();
            (self.images, self.bytes) = (0, 0);
            let (core, held) = (self.services.core.clone(), std::mem::take(&mut self.held));
            let stored = async move {
                let outcome = core.upsert(items).await;
                // Not the caller decides how long they are in memory: it may have left.
                drop(held);
                outcome
            };
            self.running = Some((places, tokio::spawn(carried(stored))));
        }
        Ok(())
    }
}
