//! Nobody takes all of the server, whatever he does not send, read or end: the others find places and room.

use futures_util::{FutureExt, StreamExt, stream};
use lapel_client::v1;
use lapel_client::v1::catalog_service_client::CatalogServiceClient;
use lapel_server::ByteSize;
use lapel_tests::probes::in_flight;
use lapel_tests::raw::{code, message, open, status};
use lapel_tests::{TestServer, by_item, ingest};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

/// Longer than anything here takes.
const WAIT: Duration = Duration::from_secs(30);
/// Where calls go that need nothing but a place.
const STATS: &str = "lapel.v1.CatalogService/CatalogStats";
const DESCRIBE: &str = "lapel.v1.SearchService/Describe";
/// What a client of HTTP/2 says first, with empty settings.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn endpoint(server: &TestServer) -> Endpoint {
    Endpoint::from_shared(server.address.clone()).expect("an address")
}

async fn channel(server: &TestServer) -> Channel {
    endpoint(server).connect().await.expect("connects")
}

/// A server with little room: eight MiB for calls and as many for streams, of which one connection has four at most. All
/// are of one address here, which has no more.
async fn start_with_little_room() -> TestServer {
    TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.limits.image_bytes_max = ByteSize(1 << 20);
        config.limits.request_bytes_max = ByteSize(16 << 20);
        config.operation.probes = Some(([127, 0, 0, 1], 0).into());
    })
    .await
}

/// Waits until so many requests have begun.
async fn begun(server: &TestServer, count: usize) {
    let probes = server.probes.expect("configured");
    let all = async { while in_flight(probes).await < count as u64 {} };
    timeout(WAIT, all).await.expect("all of them have begun");
}

/// An item that takes room and is no picture.
fn sevens(id: String) -> v1::UpsertItemsRequest {
    v1::UpsertItemsRequest { id, image: vec![7; 900 << 10], ..v1::UpsertItemsRequest::default() }
}

/// Calls, so many on each of two connections, that go on until the set is dropped; they have begun when this returns.
async fn calls(
    server: &TestServer,
    each: usize,
    path: &'static str,
    encoding: Option<&'static str>,
    begun: &[u8],
) -> JoinSet<Option<Code>> {
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        let channel = channel(server).await;
        for _ in 0..each {
            let begun = stream::iter([message(1 << 20, begun)]).filter(|piece| {
                let is_there = piece.len() > 5;
                async move { is_there }
            });
            let pieces = begun.chain(stream::pending());
            let channel = channel.clone();
            calls.spawn(async move { code(open(channel, path, encoding, pieces).await).await });
        }
    }
    self::begun(server, 2 * each).await;
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_calls_of_two_connections_take_no_place_from_others() {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.limits.requests_max = 8;
        config.limits.requests_per_connection_max = 8;
        config.operation.probes = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let mut client = server.client().await;
    ingest(&mut client, 7, 3).await;
    let half_open = calls(&server, 8, DESCRIBE, None, b"begun").await;
    for _ in 0..3 {
        client.search.search(by_item("g1", 2)).await.expect("there is a place");
    }
    drop(half_open);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_messages_take_no_room_before_they_come() {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.limits.request_bytes_max = ByteSize(24 << 20);
        config.operation.probes = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let mut client = server.client().await;
    ingest(&mut client, 7, 3).await;
    // Were each of them to take the room of a message at once, two would fit.
    let half_open = calls(&server, 8, DESCRIBE, Some("gzip"), b"").await;
    let mut packed = client.clone();
    packed.catalog = packed.catalog.send_compressed(CompressionEncoding::Gzip);
    packed.catalog.get_item(v1::GetItemRequest { id: "g1".into() }).await.expect("there is room");
    drop(half_open);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_one_connection_leave_half_to_others() {
    let server = start_with_little_room().await;
    let one = channel(&server).await;
    let mut half_sent = JoinSet::new();
    for _ in 0..9 {
        let pieces = stream::iter([message(1 << 20, &vec![7; 900 << 10])]).chain(stream::pending());
        let one = one.clone();
        half_sent.spawn(async move {
            let answer = open(one, DESCRIBE, None, pieces).await.expect("answered");
            status(answer).await.expect("a status")
        });
    }
    // Four of 900 KiB fit, and no fifth.
    for _ in 0..5 {
        let refused = timeout(WAIT, half_sent.join_next()).await.expect("refused").expect("one");
        let refused = refused.expect("no panic");
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
        assert!(refused.message().contains("bytes of requests"), "{refused:?}");
        assert!(refused.get_error_details().retry_info().is_some(), "{refused:?}");
    }
    // Streams have room of their own, and other addresses have theirs.
    let results =
        server.client().await.upsert(vec![sevens("u".into())]).await.expect("there is room for a stream");
    assert!(results[0].error.is_some(), "sevens are no image");
    let other = endpoint(&server).local_address(Some(Ipv4Addr::new(127, 0, 0, 2).into()));
    let other = other.connect().await.expect("connects");
    let picture = Some(v1::describe_request::Source::Image(vec![7; 900 << 10]));
    let described = v1::search_service_client::SearchServiceClient::new(other)
        .describe(v1::DescribeRequest { source: picture, ..v1::DescribeRequest::default() })
        .await
        .expect_err("sevens are no image");
    assert_eq!(described.code(), Code::InvalidArgument, "{described:?}");
    drop(half_sent);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_find_no_room_wait_for_it() {
    // Less than the uploads have under way together.
    let server = start_with_little_room().await;
    let client = server.client().await;
    let mut uploads = JoinSet::new();
    for upload in 0..12 {
        let mut client = client.clone();
        uploads.spawn(async move {
            let items = (0..10).map(|n| sevens(format!("{upload}-{n}")));
            client.upsert(items.collect()).await
        });
    }
    while let Some(upload) = timeout(4 * WAIT, uploads.join_next()).await.expect("none waits for ever") {
        let results = upload.expect("no panic").expect("it waits for its room");
        assert_eq!(results.iter().filter(|result| result.error.is_some()).count(), 10, "sevens are no image");
    }
    server.finish().await;
}

/// An upload that keeps a part of a batch, and sends nothing more, does not keep the room of others.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_stands_still_gives_its_room_to_one_that_waits() {
    let server = start_with_little_room().await;
    let client = server.client().await;
    let mut idle = JoinSet::new();
    for upload in 0..4 {
        let (mut client, item) = (client.clone(), sevens(format!("idle-{upload}")));
        let items = stream::iter([item]).chain(stream::pending());
        idle.spawn(async move { client.catalog.upsert_items(items).await.map(drop) });
    }
    begun(&server, 4).await;
    let more = (0..8).map(|n| sevens(format!("more-{n}"))).collect();
    let upload = timeout(WAIT, client.clone().upsert(more)).await.expect("it gets its room");
    assert_eq!(upload.expect("stored").len(), 8);
    drop(idle);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_keep_no_place_and_are_given_up() {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.limits.requests_max = 4;
        config.limits.stall_seconds = 2;
        config.operation.probes = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let probes = server.probes.expect("configured");
    let mut unread = Vec::new();
    for _ in 0..2 {
        // Nothing of an answer may be sent.
        let silent = endpoint(&server).initial_stream_window_size(0).connect().await.expect("connects");
        for _ in 0..6 {
            let asked = stream::iter([message(0, b"")]);
            unread.push(
                timeout(WAIT, open(silent.clone(), STATS, None, asked)).await.expect("there is a place"),
            );
        }
    }
    let asked = CatalogServiceClient::new(channel(&server).await)
        .catalog_stats(v1::CatalogStatsRequest::default())
        .await;
    asked.expect("there is a place");
    let ended = async { while in_flight(probes).await > 0 {} };
    timeout(WAIT, ended).await.expect("given up");
    drop(unread);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_export_that_is_not_read_is_given_up_and_a_watch_is_not() {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.limits.stall_seconds = 2;
        config.operation.probes = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let probes = server.probes.expect("configured");
    let silent = endpoint(&server).initial_stream_window_size(0).connect().await.expect("connects");
    // All of it is made at once, so that nobody waits for the caller but the transport.
    ingest(&mut server.client().await, 7, 2).await;
    let mut catalog = CatalogServiceClient::new(silent);
    let export = catalog.export_items(v1::ExportItemsRequest::default()).await;
    let _unread = export.expect("begun");
    let watch = HealthClient::new(channel(&server).await).watch(HealthCheckRequest::default()).await;
    let mut watch = watch.expect("begun").into_inner();
    watch.message().await.expect("told").expect("how it is");
    let ended = async { while in_flight(probes).await != 1 {} };
    timeout(WAIT, ended).await.expect("one is given up, the other has nothing to say");
    drop(watch);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_about_health_is_small() {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut health = HealthClient::new(channel(&server).await);
    let refused =
        health.check(HealthCheckRequest { service: "s".repeat(2000) }).await.expect_err("too large");
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    health.check(HealthCheckRequest::default()).await.expect("answers");
    // Announced, and not sent: refused before it comes.
    let pieces = stream::iter([message(1 << 20, b"")]).chain(stream::pending());
    let one = channel(&server).await;
    let answer = async { code(open(one, "grpc.health.v1.Health/Check", None, pieces).await).await };
    assert_eq!(timeout(WAIT, answer).await.expect("at once"), Some(Code::OutOfRange));
    server.finish().await;
}

/// Greets from an address and then says nothing.
async fn greeted(server: &TestServer, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("bound");
    let address = server.address.trim_start_matches("http://").parse().expect("an address");
    let mut stream = socket.connect(address).await.expect("connects");
    stream.write_all(GREETING).await.expect("sent");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_for_new_ones() {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.limits.connections_max = 8;
        config.limits.connections_per_address_max = 4;
    })
    .await;
    let mut idle = Vec::new();
    for address in [2, 3] {
        for _ in 0..4 {
            idle.push(greeted(&server, Ipv4Addr::new(127, 0, 0, address)).await);
        }
    }
    for address in [4, 5] {
        let newcomer = endpoint(&server).local_address(Some(Ipv4Addr::new(127, 0, 0, address).into()));
        let asking = async {
            let channel = newcomer.connect().await.expect("connects");
            CatalogServiceClient::new(channel).catalog_stats(v1::CatalogStatsRequest::default()).await
        };
        timeout(WAIT, asking).await.expect("its turn comes").expect("served");
    }
    drop(idle);
    server.finish().await;
}

/// A connection with a stream is of use and is not closed for a new one.
#[tokio::test(flavor = "multi_thread")]
async fn connections_in_use_are_not_closed_for_new_ones() {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.limits.connections_max = 2;
    })
    .await;
    let mut catalog = CatalogServiceClient::new(channel(&server).await);
    let nothing = v1::UpsertItemsStreamRequest { item: Some(v1::UpsertItemsRequest::default()) };
    let items = stream::iter([nothing]).chain(stream::pending());
    let mut upload = catalog.upsert_items_stream(items).await.expect("begun").into_inner();
    upload.message().await.expect("told").expect("that it is no item");
    let mut idle = greeted(&server, Ipv4Addr::new(127, 0, 0, 1)).await;
    let newcomer = timeout(WAIT, async {
        CatalogServiceClient::new(channel(&server).await)
            .catalog_stats(v1::CatalogStatsRequest::default())
            .await
    });
    newcomer.await.expect("its turn comes").expect("served");
    // How it is closed is the system's affair; that it is, is ours.
    let _ = timeout(WAIT, idle.read_to_end(&mut Vec::new())).await.expect("the idle one was closed");
    assert!(upload.message().now_or_never().is_none(), "the other goes on");
    drop((upload, catalog));
    server.finish().await;
}

/// Whoever asks for health needs no token, and keeps nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_ask_for_health_alone_make_room_for_new_ones() {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.limits.connections_max = 2;
    })
    .await;
    let mut watches = Vec::new();
    for _ in 0..2 {
        let mut health = HealthClient::new(channel(&server).await);
        let mut watch = health.watch(HealthCheckRequest::default()).await.expect("watched").into_inner();
        watch.message().await.expect("told").expect("how it is");
        watches.push((health, watch));
    }
    let newcomer = timeout(WAIT, async {
        CatalogServiceClient::new(channel(&server).await)
            .catalog_stats(v1::CatalogStatsRequest::default())
            .await
    });
    newcomer.await.expect("its turn comes").expect("served");
    drop(watches);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_health_does_not_hold_up_the_end() {
    let mut server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.operation.drain_seconds = 600;
    })
    .await;
    let mut health = HealthClient::new(channel(&server).await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.expect("watched").into_inner();
    let first = watch.message().await.expect("told").expect("how it is");
    assert_eq!(first.status(), ServingStatus::Serving);
    let told = async {
        let mut last = first;
        while let Some(next) = watch.message().await.expect("it ends well") {
            last = next;
        }
        last.status()
    };
    let (last, ()) = timeout(WAIT, async { tokio::join!(told, server.stop()) }).await.expect("it ends");
    assert_eq!(last, ServingStatus::NotServing);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_any_size_are_compressed_for_whoever_reads_gzip() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(2)).await;
    let mut client = server.client().await;
    ingest(&mut client, 7, 3).await;
    let reading = client.search.clone().accept_compressed(CompressionEncoding::Gzip);
    for (searches, mut client) in [(1, reading.clone()), (100, reading), (100, client.search.clone())] {
        let search = v1::SearchRequest { explain: true, ..by_item("g1", 3) };
        let request = v1::SearchBatchRequest { requests: vec![search; searches] };
        let answer = client.search_batch(request).await.expect("answers");
        assert_eq!(answer.into_inner().results.len(), searches);
    }
    server.finish().await;
}
