//! Uploads that send an item and nothing more.

use super::crowd::End;
use super::target::Target;
use futures_util::{StreamExt, stream};
use lapel_client::v1;
use lapel_client::v1::catalog_service_client::CatalogServiceClient;

/// Bytes that the server keeps for a batch that never becomes full. They are no image, so the catalogue stays as it is.
const KEPT: usize = 64 << 10;

/// Stays until the server gives it up.
pub(super) async fn visit(server: Target) -> End {
    let image = vec![7; KEPT];
    let item = v1::UpsertItemsRequest { id: "stranger".into(), image, ..v1::UpsertItemsRequest::default() };
    let items = stream::iter([item]).chain(stream::pending());
    End::of(&CatalogServiceClient::new(server.channel).upsert_items(items).await)
}
