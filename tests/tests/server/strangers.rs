//! Callers who mean no good, or have stopped meaning anything: they cost the others nothing.

use futures_util::{StreamExt, stream};
use lapel_client::{Client, v1};
use lapel_proto::v1::catalog_service_client::CatalogServiceClient;
use lapel_tests::probes::in_flight;
use lapel_tests::{TestServer, by_item, external_bundle, ingest};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

/// Longer than anything here takes.
const WAIT: Duration = Duration::from_secs(20);
/// What a client of HTTP/2 says first, with empty settings.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Kinds of frames, and the flag of an answer to them.
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;

async fn socket(server: &TestServer) -> TcpStream {
    TcpStream::connect(server.address.trim_start_matches("http://")).await.expect("connects")
}

/// Greets, answers pings and asks for nothing, until the server closes the connection.
async fn idle(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(GREETING).await?;
    let mut head = [0; 9];
    loop {
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await?;
        if flags & ACK == 0 {
            match kind {
                SETTINGS => stream.write_all(&[0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0]).await?,
                PING => {
                    stream.write_all(&[0, 0, 8, PING, ACK, 0, 0, 0, 0]).await?;
                    stream.write_all(&payload).await?;
                }
                _ => {}
            }
        }
    }
}

/// A connection of an address of this machine.
async fn channel_from(server: &TestServer, address: Ipv4Addr) -> Option<Channel> {
    let endpoint = Endpoint::from_shared(server.address.clone()).expect("an address");
    endpoint.local_address(Some(address.into())).connect().await.ok()
}

async fn is_served(channel: Option<Channel>) -> bool {
    let Some(channel) = channel else { return false };
    let asking =
        async { CatalogServiceClient::new(channel).catalog_stats(v1::CatalogStatsRequest::default()).await };
    timeout(WAIT, asking).await.is_ok_and(|answer| answer.is_ok())
}

#[tokio::test]
async fn connections_that_say_nothing_give_their_places_back() {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.limits.connections_max = 4;
        config.limits.greeting_seconds = 1;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(socket(&server).await);
    }
    silent[0].write_all(&GREETING[..20]).await.expect("sent");
    assert!(is_served(channel_from(&server, Ipv4Addr::LOCALHOST).await).await, "its turn comes");
    for stream in &mut silent {
        // How it is closed is the system's affair; that it is, is ours.
        let _ = timeout(WAIT, stream.read_to_end(&mut Vec::new())).await.expect("closed");
    }
    server.finish().await;
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.limits.connections_max = 8;
        config.limits.connections_per_address_max = 4;
    })
    .await;
    let mut open = JoinSet::new();
    for _ in 0..12 {
        open.spawn(idle(socket(&server).await));
    }
    for _ in 0..8 {
        let _ = timeout(WAIT, open.join_next()).await.expect("closed: it has four already");
    }
    let other = Ipv4Addr::new(127, 0, 0, 2);
    assert!(is_served(channel_from(&server, other).await).await, "others are served");
    // Its places come back with its connections.
    open.shutdown().await;
    let again = async { while !is_served(channel_from(&server, Ipv4Addr::LOCALHOST).await).await {} };
    timeout(WAIT, again).await.expect("served again");
    server.finish().await;
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end() {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.limits.connection_age_seconds = 1;
    })
    .await;
    let ended = timeout(WAIT, idle(socket(&server).await)).await;
    assert!(ended.expect("closed").is_err(), "the server ends it");
    server.finish().await;
}

/// Uploads on one connection that send nothing.
fn idle_uploads(client: &Client, count: usize) -> JoinSet<tonic::Status> {
    let mut uploads = JoinSet::new();
    for _ in 0..count {
        let mut client = client.clone();
        uploads.spawn(async move {
            let nothing = stream::pending::<v1::UpsertItemsRequest>();
            client.catalog.upsert_items(nothing).await.expect_err("it never ends by itself")
        });
    }
    uploads
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_take_no_place_from_a_search_and_are_ended() {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.limits.requests_max = 8;
        config.limits.streams_max = 16;
        config.limits.stall_seconds = 3;
        config.operation.probes = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let mut client = server.client().await;
    ingest(&mut client, 7, 3).await;
    let mut uploads = idle_uploads(&client, 8);
    let probes = server.probes.expect("configured");
    let begun = async { while in_flight(probes).await < 8 {} };
    timeout(WAIT, begun).await.expect("all of them have begun");
    client.search.search(by_item("g1", 2)).await.expect("there is a place");
    for _ in 0..8 {
        let ended = timeout(WAIT, uploads.join_next()).await.expect("ended").expect("one").expect("no panic");
        assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended:?}");
        let details = ended.get_error_details();
        assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("STALLED"));
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_more_than_half_of_the_streams() {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.limits.streams_max = 4;
    })
    .await;
    let (one, other) = (server.client().await, server.client().await);
    let mut uploads = idle_uploads(&one, 3);
    let refused = timeout(WAIT, uploads.join_next()).await.expect("one is refused").expect("one");
    let refused = refused.expect("no panic");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().starts_with("this connection"), "{refused:?}");
    let results = other.clone().upsert(Vec::new()).await.expect("there is a place for others");
    assert!(results.is_empty());
    uploads.shutdown().await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_health_is_bounded_and_asking_is_not() {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.limits.streams_max = 2;
    })
    .await;
    let channel = channel_from(&server, Ipv4Addr::LOCALHOST).await.expect("connects");
    let mut health = HealthClient::new(channel);
    let watching = health.watch(HealthCheckRequest::default()).await.expect("the first").into_inner();
    let refused = health.watch(HealthCheckRequest::default()).await.expect_err("half of two is one");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    health.check(HealthCheckRequest::default()).await.expect("asking is free");
    drop((watching, health));
    server.finish().await;
}

/// Items without images, each of which is quickly stored.
fn moods(prefix: &str, count: usize) -> Vec<v1::UpsertItemsRequest> {
    let item = |number| v1::UpsertItemsRequest {
        id: format!("{prefix}{number}"),
        signatures: vec![v1::Signature { head: "mood".into(), values: vec![1.0, 0.0] }],
        ..v1::UpsertItemsRequest::default()
    };
    (0..count).map(item).collect()
}

async fn with_moods(change: impl FnOnce(&mut lapel_server::Config)) -> (TestServer, Client) {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        change(config);
    })
    .await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", 2, &["calm"])).await.expect("registered");
    (server, client)
}

async fn stored(client: &mut Client) -> u64 {
    client.stats().await.expect("counted").items
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_cancelled_upload_nothing_more_is_stored() {
    let (server, mut client) =
        with_moods(|config| config.operation.probes = Some(([127, 0, 0, 1], 0).into())).await;
    let probes = server.probes.expect("configured");
    let registered = async { while in_flight(probes).await > 0 {} };
    timeout(WAIT, registered).await.expect("nothing else is under way");
    let mut uploading = client.clone();
    let upload = tokio::spawn(async move {
        let unfinished = stream::iter(moods("c", 20)).chain(stream::pending());
        uploading.catalog.upsert_items(unfinished).await
    });
    let begun = async { while in_flight(probes).await < 1 {} };
    timeout(WAIT, begun).await.expect("it has begun");
    // What is sent on a connection comes in its order: the items have come when this is answered.
    for _ in 0..3 {
        assert_eq!(stored(&mut client).await, 0, "no batch is full");
    }
    upload.abort();
    let ended = async { while in_flight(probes).await > 0 {} };
    timeout(WAIT, ended).await.expect("its place is given back");
    // A write after it is committed after whatever it has begun.
    let results = client.upsert(moods("after", 1)).await.expect("stored");
    assert!(results[0].error.is_none(), "{results:?}");
    assert_eq!(stored(&mut client).await, 1);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_acknowledged_while_it_goes_on() {
    let (server, mut client) = with_moods(|_| {}).await;
    let message = |item| v1::UpsertItemsStreamRequest { item: Some(item) };
    let mut items = moods("s", 5);
    items.insert(2, v1::UpsertItemsRequest { id: "bare".into(), ..Default::default() });
    let unfinished = stream::iter(items.into_iter().map(message)).chain(stream::pending());
    let begun = client.catalog.upsert_items_stream(unfinished).await.expect("begun");
    let mut acknowledgements = begun.into_inner();
    let (mut results, mut known) = (Vec::new(), 0);
    while known < 6 {
        let told = timeout(WAIT, acknowledgements.message()).await.expect("in time");
        let told = told.expect("no error").expect("it goes on");
        results.extend(told.results);
        known = told.acknowledged;
        assert_eq!(results.len() as u64, known);
    }
    let refused: Vec<_> =
        results.iter().filter(|r| r.error.is_some()).map(|r| (r.message, r.id.as_str())).collect();
    assert_eq!(refused, [(3, "bare")]);
    assert_eq!(results.iter().map(|r| r.message).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    // Acknowledged is durable, and there for whoever asks.
    assert_eq!(stored(&mut client).await, 5);
    drop(acknowledgements);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_full_has_acknowledged_what_it_took() {
    let (server, mut client) = with_moods(|config| config.limits.stream_items_max = 4).await;
    let items = moods("f", 6).into_iter().map(|item| v1::UpsertItemsStreamRequest { item: Some(item) });
    let begun = client.catalog.upsert_items_stream(stream::iter(items)).await.expect("begun");
    let (mut acknowledgements, mut known) = (begun.into_inner(), 0);
    let status = loop {
        match acknowledgements.message().await {
            Ok(told) => known = told.expect("it has no good end").acknowledged,
            Err(status) => break status,
        }
    };
    assert_eq!((known, status.code()), (4, Code::ResourceExhausted), "{status:?}");
    assert_eq!(stored(&mut client).await, 4);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_full_tells_what_was_stored() {
    let (server, mut client) = with_moods(|config| config.limits.stream_items_max = 4).await;
    let labels_only = |id: &str| v1::UpsertItemsRequest {
        id: id.to_owned(),
        labels_only: true,
        ..v1::UpsertItemsRequest::default()
    };
    let mut items: Vec<_> = ["a", "b", "c"].map(labels_only).into();
    items.extend(moods("f", 3));
    let status = client.upsert(items).await.expect_err("too many");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().expect("a reason");
    let fact = |name: &str| info.metadata.get(name).map(String::as_str);
    assert_eq!(
        (info.reason.as_str(), fact("message"), fact("stored")),
        ("LIMIT_REACHED", Some("5"), Some("1"))
    );
    assert!(status.message().contains("of the 4 before it 1 were stored"), "{status:?}");
    assert_eq!(stored(&mut client).await, 1);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_outlasts_the_server_hears_what_is_stored() {
    let (mut server, mut client) = with_moods(|config| config.operation.drain_seconds = 0).await;
    let message = |item| v1::UpsertItemsStreamRequest { item: Some(item) };
    let unfinished = stream::iter(moods("d", 3).into_iter().map(message)).chain(stream::pending());
    let begun = client.catalog.upsert_items_stream(unfinished).await.expect("begun");
    let (mut acknowledgements, mut known) = (begun.into_inner(), 0);
    while known < 3 {
        let told = timeout(WAIT, acknowledgements.message()).await.expect("in time");
        known = told.expect("no error").expect("it goes on").acknowledged;
    }
    server.stop().await;
    let ended = timeout(WAIT, acknowledgements.message()).await.expect("in time");
    let status = ended.expect_err("it was cut off");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().expect("it was told, not only cut off");
    let fact = |name: &str| info.metadata.get(name).map(String::as_str);
    assert_eq!((info.reason.as_str(), fact("message"), fact("stored")), ("STOPPING", Some("4"), Some("3")));
    drop(acknowledgements);
    server.finish().await;
}
