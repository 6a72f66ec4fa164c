//! `CatalogService`.

use super::export::{Export, content_type, send_image};
use super::frames::Frames;
use super::outgoing::{Answers, MESSAGE_BYTES, Outgoing, readable};
use super::upload::Upload;
use super::{Services, convert, filters, paging, predicted, stats};
use crate::admission::Admitted;
use crate::core::RequestId;
use crate::engine::EngineError;
use crate::error::{Error, Faults};
use crate::stages::carried;
use lapel_proto::v1;
use lapel_proto::v1::catalog_service_server::CatalogService;
use prost::{Message, Name};
use tonic::{Code, Request, Response, Status, Streaming};

/// What an id takes in a list beside itself.
const ID_BYTES: usize = 4;

#[tonic::async_trait]
impl CatalogService for Services {
    async fn upsert_items(
        &self,
        request: Request<Streaming<v1::UpsertItemsRequest>>,
    ) -> Result<Response<v1::UpsertItemsResponse>, Status> {
        let (room, mut frames) = (Admitted::of(&request)?, Frames::of(&request)?);
        let mut upload = Upload::new(self.core.clone(), room.clone(), None);
        receive(&mut upload, &mut frames, &room, |item: v1::UpsertItemsRequest| item).await?;
        Ok(Response::new(upload.into_answer()))
    }

    async fn upsert_item(
        &self,
        request: Request<v1::UpsertItemRequest>,
    ) -> Result<Response<v1::UpsertItemResponse>, Status> {
        let v1::UpsertItemRequest { item } = request.into_inner();
        let item = convert::new_item(item.unwrap_or_default(), true)?;
        let outcome = self.core.upsert(vec![item]).await?.pop();
        let upserted =
            outcome.unwrap_or_else(|| Err(Error::Internal("an item was left without an outcome".into())))?;
        Ok(Response::new(v1::UpsertItemResponse { replaced: upserted.replaced }))
    }

    type UpsertItemsStreamStream = Answers<v1::UpsertItemsStreamResponse>;

    async fn upsert_items_stream(
        &self,
        request: Request<Streaming<v1::UpsertItemsStreamRequest>>,
    ) -> Result<Response<Self::UpsertItemsStreamStream>, Status> {
        let (room, mut frames) = (Admitted::of(&request)?, Frames::of(&request)?);
        let (outgoing, answers) = Outgoing::new(&request);
        let mut upload = Upload::new(self.core.clone(), room.clone(), Some(outgoing));
        tokio::spawn(carried(async move {
            let item = |message: v1::UpsertItemsStreamRequest| message.item.unwrap_or_default();
            let received = receive(&mut upload, &mut frames, &room, item).await;
            upload.end(received);
        }));
        Ok(Response::new(answers))
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
        let v1::GetItemImageRequest { id, picture } = request.into_inner();
        let image = self.core.image(&id, picture).await?;
        let image = image.ok_or_else(|| no_image(id, picture))?;
        let content_type = content_type(&image, self.core.config.photo_limits())?;
        let answer = v1::GetItemImageResponse { image, content_type };
        let mut answer = Response::new(readable(answer, || "read it by StreamItemImage".to_owned())?);
        // It is compressed already.
        answer.disable_compression();
        Ok(answer)
    }

    type StreamItemImageStream = Answers<v1::StreamItemImageResponse>;

    async fn stream_item_image(
        &self,
        request: Request<v1::StreamItemImageRequest>,
    ) -> Result<Response<Self::StreamItemImageStream>, Status> {
        let v1::StreamItemImageRequest { id, picture } = request.get_ref().clone();
        let image = self.core.image(&id, picture).await?;
        let image = image.ok_or_else(|| no_image(id, picture))?;
        let content_type = content_type(&image, self.core.config.photo_limits())?;
        let room = Admitted::of(&request)?.answer(image.len())?;
        let (outgoing, answers) = Outgoing::new(&request);
        tokio::spawn(async move {
            let sent = send_image(image, content_type, &outgoing).await;
            outgoing.end(sent);
        });
        Ok(Response::new(answers.holding(room)))
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
        // Any of them may have to be said again.
        let bytes: usize = ids.iter().map(|id| id.len() + ID_BYTES).sum();
        if bytes > MESSAGE_BYTES {
            let wanted =
                format!("the ids take {bytes} bytes; up to {MESSAGE_BYTES} are accepted, as an answer has");
            faults.refuse("ids", wanted);
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
        let v1::ListItemsRequest { page_size, page_token, filters: listed, filter } = request.into_inner();
        let snapshot = self.core.predicting(&predicted::attributes(filter.as_ref())).await?;
        let core = self.core.clone();
        let page = self.core.in_turn(move |is_abandoned| {
            let mut faults = Faults::default();
            let size = faults.gather("page_size", paging::page_size(page_size))?.unwrap_or_default();
            let filter = filters::filter(&snapshot, &core.config, listed, filter, &mut faults);
            faults.end()?;
            let found = snapshot.items().list(&filter, &page_token, size + 1, is_abandoned).into_iter();
            // No more than a page and one item is made: items may be large.
            let mut bytes = 0;
            let fits = |item: &v1::Item| {
                let is_open = bytes <= paging::PAGE_BYTES;
                bytes += item.encoded_len();
                is_open
            };
            let found: Vec<v1::Item> =
                found.map(|item| convert::item(&snapshot, item)).take_while(fits).collect();
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
        let (outgoing, answers) = Outgoing::new(&request);
        let v1::ExportItemsRequest { after, no_images, in_pieces, all_images } = request.into_inner();
        let limits = self.core.config.photo_limits();
        tokio::task::spawn_blocking(move || {
            let (snapshot, moment) = (snapshot.as_ref(), moment.as_ref());
            let export = Export { snapshot, moment, limits, no_images, in_pieces, all_images };
            let sent = export.send(&after, &outgoing);
            outgoing.end(sent);
        });
        Ok(Response::new(answers))
    }

    async fn catalog_stats(
        &self,
        request: Request<v1::CatalogStatsRequest>,
    ) -> Result<Response<v1::CatalogStatsResponse>, Status> {
        let request = request.into_inner();
        let (snapshot, core) = (self.core.snapshot(), self.core.clone());
        let page = self
            .core
            .in_turn(move |_| stats::page(&snapshot, &core.config.catalog, &request, core.features_cached()));
        Ok(Response::new(page.await??))
    }

    async fn count_items(
        &self,
        request: Request<v1::CountItemsRequest>,
    ) -> Result<Response<v1::CountItemsResponse>, Status> {
        Ok(Response::new(self.count_passing(request.into_inner()).await?))
    }

    async fn delete_items_by_filter(
        &self,
        request: Request<v1::DeleteItemsByFilterRequest>,
    ) -> Result<Response<v1::DeleteItemsByFilterResponse>, Status> {
        Ok(Response::new(self.delete_passing(request.into_inner()).await?))
    }
}

fn no_image(id: String, picture: u32) -> Error {
    match picture {
        0 => Error::not_found("item with an image", id),
        number => Error::not_found("item with so many images", format!("{id} (picture {number})")),
    }
}

/// Whether a stream was ended on our side, so that its caller hears why; otherwise it is the transport that lost it.
fn is_heard(cause: &Status) -> bool {
    matches!(cause.code(), Code::DeadlineExceeded | Code::ResourceExhausted | Code::InvalidArgument)
}

/// Takes an upload to its end; `item` opens a message.
async fn receive<M: Message + Name + Default>(
    upload: &mut Upload,
    frames: &mut Frames,
    room: &Admitted,
    item: impl Fn(M) -> v1::UpsertItemsRequest,
) -> Result<(), Status> {
    let cut_off = upload.cut_off();
    loop {
        let next = tokio::select! {
            biased;
            () = cut_off.cancelled() => {
                return Err(upload.cut_short(&Error::from(EngineError::Stopped).into()).await?);
            }
            next = frames.next::<M>() => next,
            // Somebody waits for room, perhaps this stream's next message: what is kept here is stored, however little it is.
            () = room.crowded(), if upload.keeps() => {
                upload.finish().await?;
                continue;
            }
            settled = upload.settle(), if upload.has_unsettled() => {
                settled?;
                continue;
            }
        };
        let message = match next {
            Ok(Some(message)) => message.map(&item),
            Ok(None) => break,
            Err(cause) if is_heard(&cause) => return Err(upload.cut_short(&cause).await?),
            // The caller has left. No further batch is begun for it.
            Err(cause) => return Err(cause),
        };
        if let Err(full) = upload.check_room() {
            return Err(upload.cut_short(&full.into()).await?);
        }
        let message = match message {
            Ok(message) => message,
            Err(fault) => {
                room.forget_message();
                upload.refuse(fault);
                continue;
            }
        };
        let bytes = convert::in_memory(&message);
        let mut held = room.hold(bytes);
        if held.is_err() {
            // What this stream itself holds is free again once it is durable.
            upload.finish().await?;
            held = room.hold(bytes);
        }
        match held {
            Ok(held) => upload.take(message, bytes, held).await?,
            Err(full) => return Err(upload.cut_short(&full.into()).await?),
        }
    }
    Ok(upload.finish().await?)
}
