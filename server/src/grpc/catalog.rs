//! `CatalogService`.

use super::{Services, convert, paging};
use crate::core::{NewItem, Upserted};
use crate::error::Error;
use lapel_heads::photo_format;
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
/// Bytes of images from which on a batch is full; two batches are in memory at a time.
const BATCH_BYTES: usize = 32 << 20;

/// The outcome of a batch: one result an item, in their order.
type Batch = Result<Vec<Result<Upserted, Error>>, Error>;

#[tonic::async_trait]
impl CatalogService for Services {
    async fn upsert_items(
        &self,
        request: Request<Streaming<v1::UpsertItemsRequest>>,
    ) -> Result<Response<v1::UpsertItemsResponse>, Status> {
        let mut stream = request.into_inner();
        let most = self.core.config.limits.stream_items_max;
        let mut upsert = Upsert {
            services: self,
            ids: HashSet::new(),
            results: Vec::new(),
            batch: Vec::new(),
            images: (0, 0),
            running: None,
        };
        while let Some(message) = stream.message().await? {
            if upsert.results.len() == most {
                // What came before is complete and durable before the caller hears of it.
                upsert.finish().await?;
                return Err(Error::Exhausted(format!(
                    "a stream has at most {most} items; those were stored"
                ))
                .into());
            }
            upsert.take(message).await?;
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
        let item = snapshot.items().slot(&id).and_then(|slot| snapshot.items().get(slot));
        let item = item.ok_or_else(|| Error::not_found("item", id))?;
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
        Ok(Response::new(v1::GetItemImageResponse { image, content_type }))
    }

    async fn delete_items(
        &self,
        request: Request<v1::DeleteItemsRequest>,
    ) -> Result<Response<v1::DeleteItemsResponse>, Status> {
        let mut ids = request.into_inner().ids;
        let most = self.core.config.limits.stream_items_max;
        if ids.is_empty() || ids.len() > most {
            return Err(Error::invalid(
                "ids",
                format!("{} ids are given; 1 to {most} are accepted", ids.len()),
            )
            .into());
        }
        ids.sort();
        ids.dedup();
        let asked = ids.len();
        let not_found = self.core.delete(ids).await?;
        Ok(Response::new(v1::DeleteItemsResponse { deleted: (asked - not_found.len()) as u64, not_found }))
    }

    async fn list_items(
        &self,
        request: Request<v1::ListItemsRequest>,
    ) -> Result<Response<v1::ListItemsResponse>, Status> {
        let v1::ListItemsRequest { page_size, page_token, filters } = request.into_inner();
        let size = paging::page_size(page_size)?;
        let snapshot = self.core.snapshot();
        let items = snapshot.items();
        let passes = |labels: &lapel_heads::Labels| {
            filters.iter().all(|f| labels.get(&f.attribute).is_some_and(|label| f.labels.contains(label)))
        };
        let found = items.after(&page_token).filter_map(|slot| items.get(slot));
        let page = found.filter(|item| passes(&item.record.labels)).take(size + 1).collect();
        let (page, next_page_token) = paging::cut(page, size, |item| item.id.to_string());
        let items = page.into_iter().map(|item| convert::item(&snapshot, item)).collect();
        Ok(Response::new(v1::ListItemsResponse { items, next_page_token }))
    }

    async fn catalog_stats(
        &self,
        _: Request<v1::CatalogStatsRequest>,
    ) -> Result<Response<v1::CatalogStatsResponse>, Status> {
        let snapshot = self.core.snapshot();
        let items = snapshot.items().len() as u64;
        let labels = snapshot.items().labels().map(|(attribute, by_label)| {
            let count =
                |(label, slots): (&String, &std::sync::Arc<RoaringBitmap>)| (label.clone(), slots.len());
            (attribute.clone(), v1::LabelCounts { counts: by_label.iter().map(count).collect() })
        });
        let coverage = snapshot.columns().iter().map(|c| v1::HeadCoverage {
            head: c.head().name().to_owned(),
            signatures: c.count(),
            missing: items - c.count(),
        });
        Ok(Response::new(v1::CatalogStatsResponse {
            items,
            labels: labels.collect(),
            heads: coverage.collect(),
            generation: snapshot.generation,
        }))
    }
}

/// One stream: a batch is filled while the one before is embedded and committed.
struct Upsert<'a> {
    services: &'a Services,
    ids: HashSet<String>,
    /// One a message so far; those of unfinished batches are still without an outcome.
    results: Vec<v1::UpsertResult>,
    /// Items with the places of their results.
    batch: Vec<(usize, NewItem)>,
    /// Images of the batch, and their bytes.
    images: (usize, usize),
    running: Option<(Vec<usize>, JoinHandle<Batch>)>,
}

impl Upsert<'_> {
    async fn take(&mut self, message: v1::UpsertItemsRequest) -> Result<(), Error> {
        let v1::UpsertItemsRequest { id, image, labels, signatures, signatures_only } = message;
        let twice = !self.ids.insert(id.clone());
        let error = twice.then(|| {
            convert::item_error(Error::invalid(
                "id",
                format!("{id:?} came before in this stream; send an id once"),
            ))
        });
        self.results.push(v1::UpsertResult { id: id.clone(), replaced: false, error });
        if !twice {
            if !image.is_empty() {
                self.images = (self.images.0 + 1, self.images.1 + image.len());
            }
            let image = (!image.is_empty()).then_some(image);
            let signatures = convert::signatures(signatures);
            let item = NewItem { id, image, labels, signatures, signatures_only };
            self.batch.push((self.results.len() - 1, item));
        }
        let (images, bytes) = self.images;
        let is_full = self.batch.len() >= BATCH || images >= BATCH_IMAGES || bytes >= BATCH_BYTES;
        if is_full { self.flush().await } else { Ok(()) }
    }

    /// Waits until everything taken is durable.
    async fn finish(&mut self) -> Result<(), Error> {
        while self.running.is_some() || !self.batch.is_empty() {
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
            self.images = (0, 0);
            let core = self.services.core.clone();
            self.running = Some((places, tokio::spawn(async move { core.upsert(items).await })));
        }
        Ok(())
    }
}
