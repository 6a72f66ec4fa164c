//! Calls whose answers, small and large, are not read.

use super::crowd::End;
use super::target::Target;
use crate::by_item;
use crate::raw::{message, open};
use futures_util::stream;
use lapel_client::v1::{ListItemsRequest, SearchRequest};
use prost::Message;
use std::time::Duration;
use tokio::time::sleep;

/// Longer than the server keeps an answer that nobody reads.
const UNREAD: Duration = Duration::from_secs(30);

pub(super) async fn visit(server: Target, number: u64) -> End {
    let (path, asked) = if number.is_multiple_of(2) {
        let items = ListItemsRequest { page_size: 3, ..ListItemsRequest::default() };
        ("lapel.v1.CatalogService/ListItems", items.encode_to_vec())
    } else {
        // More than the window of a stranger.
        let search = SearchRequest { explain: true, ..by_item("g0", 300) };
        ("lapel.v1.SearchService/Search", search.encode_to_vec())
    };
    let asked = stream::iter([message(asked.len() as u32, &asked)]);
    let Ok(_answer) = open(server.channel, path, None, asked).await else { return End::Refused };
    sleep(UNREAD).await;
    End::Left
}
