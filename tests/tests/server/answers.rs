//! Lists, and answers that clients with default settings can read.

use lapel_client::v1;
use lapel_proto::v1::admin_service_client::AdminServiceClient;
use lapel_proto::v1::catalog_service_client::CatalogServiceClient;
use lapel_render::render;
use lapel_server::{ByteSize, Config};
use lapel_tests::model::{HEADS, LABELS};
use lapel_tests::{TestServer, external_bundle};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic_types::StatusExt;

/// What clients read of an answer unless they are told otherwise.
const STOCK_BYTES: usize = 4 << 20;

/// A connection of a client that knows nothing of this server's sizes.
async fn channel(server: &TestServer) -> Channel {
    Channel::from_shared(server.address.clone()).expect("an address").connect().await.expect("connects")
}

/// An item without an image.
fn item(id: String, labels: BTreeMap<String, String>) -> v1::UpsertItemsRequest {
    let signature = v1::Signature { head: "mood".into(), values: vec![1.0; HEADS[0].1] };
    v1::UpsertItemsRequest { id, labels, signatures: vec![signature], ..Default::default() }
}

/// Items with so many labels that a message holds no more than some hundreds of them.
fn large_items() -> Vec<v1::UpsertItemsRequest> {
    let long = |n: usize| format!("{n:0>64}");
    let labels: BTreeMap<String, String> = (0..100).map(|n| (long(n), long(n))).collect();
    (0..500).map(|n| item(format!("i{n:03}"), labels.clone())).collect()
}

/// A server with one external head, with some items.
async fn with_items(items: Vec<v1::UpsertItemsRequest>, change: impl FnOnce(&mut Config)) -> TestServer {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        change(config);
    })
    .await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", HEADS[0].1, &LABELS)).await.expect("registered");
    let results = client.upsert(items).await.expect("stored");
    assert!(results.iter().all(|r| r.error.is_none()), "{:?}", results.first());
    server
}

fn filter(attribute: &str, labels: &[&str]) -> v1::LabelFilter {
    let labels = labels.iter().map(|l| (*l).to_owned()).collect();
    v1::LabelFilter { attribute: attribute.into(), labels, allow_unknown: true, exists: None }
}

/// The ids on all pages, and how many pages there were.
async fn listed(
    client: &mut CatalogServiceClient<Channel>,
    filters: &[v1::LabelFilter],
    page_size: u32,
) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut page_token) = (Vec::new(), 0, String::new());
    loop {
        let request = v1::ListItemsRequest { page_size, page_token, filters: filters.to_vec(), filter: None };
        let page = client.list_items(request).await.expect("a page that can be read").into_inner();
        ids.extend(page.items.into_iter().map(|item| item.id));
        (pages, page_token) = (pages + 1, page.next_page_token);
        if page_token.is_empty() {
            return (ids, pages);
        }
    }
}

#[tokio::test]
async fn a_list_holds_what_passes_its_filters_in_order() {
    let labels = |n: usize| {
        let mut labels = BTreeMap::from([("mood".to_owned(), LABELS[n % 3].to_owned())]);
        if n % 50 == 7 {
            labels.insert("find".into(), "rare".into());
        }
        labels
    };
    let items = (0..300).map(|n| item(format!("i{n:03}"), labels(n))).collect();
    let server = with_items(items, |config| config.limits.query_terms_max = 4).await;
    let mut client = CatalogServiceClient::new(channel(&server).await);
    for filters in [
        vec![],
        vec![filter("mood", &["one"])],
        vec![filter("mood", &["one", "three"])],
        vec![filter("find", &["rare"])],
        vec![filter("find", &["rare"]), filter("mood", &["two"])],
        vec![filter("mood", &["nobody's"])],
    ] {
        let passes = |labels: BTreeMap<String, String>| {
            filters.iter().all(|f| labels.get(&f.attribute).is_some_and(|label| f.labels.contains(label)))
        };
        let wanted: Vec<String> =
            (0..300).filter(|n| passes(labels(*n))).map(|n| format!("i{n:03}")).collect();
        for page_size in [1000, 7, 1] {
            assert_eq!(
                listed(&mut client, &filters, page_size).await.0,
                wanted,
                "{filters:?} by {page_size}"
            );
        }
    }
    let ask = |filters| v1::ListItemsRequest { filters, ..Default::default() };
    for (case, filters) in [
        ("filters", vec![filter("mood", &["one"]); 5]),
        ("labels", vec![filter("mood", &["one"; 5])]),
        ("nothing", vec![filter("mood", &[])]),
    ] {
        let refused = client.list_items(ask(filters)).await.expect_err(case);
        assert_eq!(refused.code(), Code::InvalidArgument, "{case}: {refused:?}");
    }
    server.finish().await;
}

#[tokio::test]
async fn a_page_is_no_larger_than_stock_clients_read() {
    let server = with_items(large_items(), |_| {}).await;
    let mut client = CatalogServiceClient::new(channel(&server).await);
    let (ids, pages) = listed(&mut client, &[], 1000).await;
    assert_eq!(ids, (0..500).map(|n| format!("i{n:03}")).collect::<Vec<_>>());
    assert!(pages > 1, "6 MB fit into no page");
    server.finish().await;
}

#[tokio::test]
async fn a_backup_comes_in_pieces_that_stock_clients_read() {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut client = AdminServiceClient::new(channel(&server).await);
    let mut backup = client.backup(v1::BackupRequest {}).await.expect("begins").into_inner();
    let mut bytes = 0;
    while let Some(piece) = backup.message().await.expect("a piece that can be read") {
        bytes += piece.chunk.len();
    }
    assert!(bytes > STOCK_BYTES, "its backbone alone is larger than a message: {bytes}");
    server.finish().await;
}

#[tokio::test]
async fn messages_are_compressed_both_ways_and_bounded_when_they_are_not_any_more() {
    let items = (0..50).map(|n| item(format!("i{n:02}"), BTreeMap::new())).collect();
    let server = with_items(items, |_| {}).await;
    let client = CatalogServiceClient::new(channel(&server).await);
    let mut client =
        client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    let page = client.list_items(v1::ListItemsRequest::default()).await.expect("a page");
    let encoding = page.metadata().get("grpc-encoding").map(|value| value.to_str().expect("text").to_owned());
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert_eq!(page.into_inner().items.len(), 50);
    // A few bytes that become more than a message may have.
    let large = v1::ListItemsRequest { page_token: "x".repeat(64 << 20), ..Default::default() };
    let refused = client.list_items(large).await.expect_err("too large");
    let details = refused.get_error_details();
    assert_eq!(
        details.error_info().map(|info| info.reason.as_str()),
        Some("MESSAGE_TOO_LARGE"),
        "{refused:?}"
    );
    // Without asking for it nothing is compressed.
    let mut plain = CatalogServiceClient::new(channel(&server).await);
    let page = plain.list_items(v1::ListItemsRequest::default()).await.expect("a page");
    assert!(page.metadata().get("grpc-encoding").is_none());
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_gives_its_place_back() {
    let server = with_items(large_items(), |config| {
        config.limits.streams_max = 2;
        config.limits.stall_seconds = 2;
    })
    .await;
    let endpoint = Channel::from_shared(server.address.clone()).expect("an address");
    let connected = endpoint.initial_stream_window_size(65_535_u32).connect().await;
    let mut client = CatalogServiceClient::new(connected.expect("connects"));
    let begun = client.export_items(v1::ExportItemsRequest::default()).await;
    let mut export = begun.expect("there is a place").into_inner();
    let nothing = || tokio_stream::iter(Vec::<v1::UpsertItemsRequest>::new());
    let refused = client.upsert_items(nothing()).await.expect_err("this connection has its one stream");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    // It is still open, and nobody reads it.
    let again = async { while client.upsert_items(nothing()).await.is_err() {} };
    timeout(Duration::from_secs(20), again).await.expect("there is a place again");
    let end = loop {
        match export.message().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert_eq!(end.expect_err("it was given up").code(), Code::DeadlineExceeded);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_in_pieces_that_nobody_reads_are_bounded() {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.limits.image_bytes_max = ByteSize(1 << 20);
        // Four for answers, of which one connection has two at most.
        config.limits.request_bytes_max = ByteSize(8 << 20);
    })
    .await;
    let mut stored = lapel_tests::item("large", &render(7, 0));
    // Comments of 64 KiB each make the file large, and no pixel more.
    let (start, rest) = stored.image.split_at(2);
    let comment = [&[0xFF, 0xFE, 0xFF, 0xFF][..], &[b' '; 0xFFFD]].concat();
    stored.image = [start, &comment.repeat(13), rest].concat();
    let results = server.client().await.upsert(vec![stored]).await.expect("stored");
    assert!(results[0].error.is_none(), "{results:?}");
    let silent = Channel::from_shared(server.address.clone()).expect("an address");
    let silent = silent.initial_stream_window_size(0).connect().await.expect("connects");
    let mut catalog = CatalogServiceClient::new(silent);
    let ask = || v1::StreamItemImageRequest { id: "large".into(), picture: 0 };
    let mut unread = Vec::new();
    for _ in 0..2 {
        unread.push(catalog.stream_item_image(ask()).await.expect("there is room"));
    }
    let refused = catalog.stream_item_image(ask()).await.expect_err("a third of 850 KiB");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("bytes of answers"), "{refused:?}");
    drop(unread);
    let again = async { while catalog.stream_item_image(ask()).await.is_err() {} };
    timeout(Duration::from_secs(20), again).await.expect("what nobody reads any more is given back");
    server.finish().await;
}
