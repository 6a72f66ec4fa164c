//! Exports that are read slowly, or not at all.

use super::crowd::End;
use super::target::Target;
use lapel_client::v1;
use lapel_client::v1::catalog_service_client::CatalogServiceClient;
use std::time::Duration;
use tokio::time::{interval, sleep};

/// Between two items of whoever reads slowly.
const ITEM_EVERY: Duration = Duration::from_secs(1);
/// How long the others keep an answer that they do not read: longer than the server lets them.
const UNREAD: Duration = Duration::from_secs(30);

pub(super) async fn visit(server: Target, number: u64) -> End {
    let mut client = CatalogServiceClient::new(server.channel);
    let Ok(answer) = client.export_items(v1::ExportItemsRequest::default()).await else {
        return End::Refused;
    };
    let mut items = answer.into_inner();
    if number.is_multiple_of(2) {
        sleep(UNREAD).await;
        return End::Left;
    }
    let mut next = interval(ITEM_EVERY);
    loop {
        next.tick().await;
        match items.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return End::Answered,
            Err(_) => return End::Refused,
        }
    }
}
