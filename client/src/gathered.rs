//! Answers that come in several messages, put together.

use crate::{Client, sha256, v1};
use tonic::Status;

impl Client {
    /// One of an item's images, by its number from 0 on, of any size.
    ///
    /// # Errors
    /// The server's status; DATA_LOSS where fewer bytes came than were announced.
    pub async fn image(&mut self, id: &str, picture: u32) -> Result<v1::GetItemImageResponse, Status> {
        let request = v1::StreamItemImageRequest { id: id.to_owned(), picture };
        let mut pieces = self.catalog.stream_item_image(request).await?.into_inner();
        let (mut whole, mut size) = (v1::GetItemImageResponse::default(), 0);
        while let Some(piece) = pieces.message().await? {
            if whole.image.is_empty() {
                (whole.content_type, size) = (piece.content_type, piece.size_bytes);
            }
            whole.image.extend_from_slice(&piece.chunk);
        }
        if whole.image.len() as u64 != size {
            return Err(Status::data_loss(format!("{} of {size} bytes of an image came", whole.image.len())));
        }
        Ok(whole)
    }

    /// A version of a head and its bundle, as it was registered; of version 0, the one that serves, or else the newest.
    ///
    /// # Errors
    /// The server's status; DATA_LOSS where other bytes came than the head was made of.
    pub async fn bundle(&mut self, name: &str, version: u32) -> Result<(v1::Head, Vec<u8>), Status> {
        let request = v1::DownloadHeadRequest { name: name.to_owned(), version };
        let mut pieces = self.heads.download_head(request).await?.into_inner();
        let (mut head, mut bundle) = (None, Vec::new());
        while let Some(piece) = pieces.message().await? {
            let v1::DownloadHeadResponse { head: told, chunk } = piece;
            head = head.or(told);
            bundle.extend_from_slice(&chunk);
        }
        let head: v1::Head = head.ok_or_else(|| Status::internal("the answer has no head"))?;
        if sha256(&bundle) != head.bundle_sha256.to_lowercase() {
            return Err(Status::data_loss(format!(
                "the {} bytes that came are not the bundle",
                bundle.len()
            )));
        }
        Ok((head, bundle))
    }

    /// The statistics of the catalogue, from all pages.
    ///
    /// # Errors
    /// The server's status.
    pub async fn stats(&mut self) -> Result<v1::CatalogStatsResponse, Status> {
        let mut whole = self.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await?.into_inner();
        while !whole.next_page_token.is_empty() {
            let page_token = std::mem::take(&mut whole.next_page_token);
            let request = v1::CatalogStatsRequest { page_token, ..v1::CatalogStatsRequest::default() };
            let page = self.catalog.catalog_stats(request).await?.into_inner();
            for (attribute, counts) in page.labels {
                whole.labels.entry(attribute).or_default().counts.extend(counts.counts);
            }
            whole.damaged_items.extend(page.damaged_items);
            whole.next_page_token = page.next_page_token;
        }
        Ok(whole)
    }

    /// The labels of an attribute, or where it is empty of all active heads, from all pages.
    ///
    /// # Errors
    /// The server's status.
    pub async fn labels(&mut self, attribute: &str) -> Result<v1::ListLabelsResponse, Status> {
        let request = |page_token| v1::ListLabelsRequest {
            attribute: attribute.to_owned(),
            page_token,
            ..v1::ListLabelsRequest::default()
        };
        let mut whole = self.heads.list_labels(request(String::new())).await?.into_inner();
        while !whole.next_page_token.is_empty() {
            let token = std::mem::take(&mut whole.next_page_token);
            let page = self.heads.list_labels(request(token)).await?.into_inner();
            whole.attributes.extend(page.attributes);
            whole.next_page_token = page.next_page_token;
        }
        Ok(whole)
    }
}
