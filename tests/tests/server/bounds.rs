//! Past its bounds the server says so at once; deadlines are kept; it stops in order; it tells how it is.

use lapel_client::{Client, v1};
use lapel_render::{render, to_jpeg};
use lapel_server::ByteSize;
use lapel_tests::probes::{get, searches_begun};
use lapel_tests::{TestServer, by_image, by_item, ingest};
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// Many searches by photo at once, on one connection.
async fn at_once(client: &Client, count: u64) -> Vec<Result<(), Status>> {
    let images: Vec<Vec<u8>> = (0..4).map(|n| to_jpeg(&render(8, n).photo)).collect();
    let mut running = JoinSet::new();
    for number in 0..count {
        let (mut client, image) = (client.clone(), images[number as usize % images.len()].clone());
        running.spawn(async move { client.search.search(by_image(image, 3)).await.map(drop) });
    }
    running.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_each_bound_are_refused_at_once_and_told_to_retry() {
    for whose in ["the server", "this connection"] {
        let server = TestServer::start_with(|config| {
            config.model.heads.truncate(1);
            let limits = &mut config.limits;
            let bound = match whose {
                "the server" => &mut limits.requests_max,
                _ => &mut limits.requests_per_connection_max,
            };
            *bound = 8;
        })
        .await;
        // Eight may be under way; the connection takes more streams than that, so that the others are told.
        let outcomes = at_once(&server.client().await, 60).await;
        let served = outcomes.iter().filter(|o| o.is_ok()).count();
        assert!(served >= 8, "{whose}: {served} of 60");
        for refused in outcomes.iter().filter_map(|o| o.as_ref().err()) {
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
            assert!(refused.message().starts_with(whose), "{refused:?}");
            assert!(refused.get_error_details().retry_info().is_some(), "{refused:?}");
        }
        assert!(served < 60, "{whose}: some are refused");
        // Whoever was refused is served when there is room, and nothing has leaked.
        for _ in 0..20 {
            at_once(&server.client().await, 8).await.into_iter().for_each(|o| o.expect("there is room"));
        }
        server.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_announced_takes_its_room_and_a_long_upload_takes_it_part_by_part() {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.limits.request_bytes_max = ByteSize(12 << 20);
    })
    .await;
    let mut client = server.client().await;
    let refused = client.register_bundle(&vec![0; 40 << 20]).await.expect_err("there is no room for it");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.get_error_details().retry_info().is_some(), "{refused:?}");
    // Four times as much as there is room for, in one stream.
    let items = (0..52).map(|n| v1::UpsertItemsRequest {
        id: format!("l{n}"),
        image: vec![7; 900 << 10],
        ..v1::UpsertItemsRequest::default()
    });
    let results = client.upsert(items.collect()).await.expect("it waits for its own batches");
    assert_eq!(results.iter().filter(|r| r.error.is_some()).count(), 52, "sevens are no image");
    server.finish().await;
}

#[tokio::test]
async fn a_deadline_that_passes_is_told_as_such() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    let image = to_jpeg(&render(8, 1).photo);
    let late = |time| {
        let mut request = Request::new(by_image(image.clone(), 3));
        request.set_timeout(time);
        request
    };
    let status = client.search.search(late(Duration::from_micros(200))).await.expect_err("too late");
    // The client's own clock may be first; it then says that it cancelled.
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()), "{status:?}");
    client.search.search(late(Duration::from_secs(60))).await.expect("in time");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_tell_and_metrics_count() {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(2);
        config.operation.probes = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let probes = server.probes.expect("configured");
    assert_eq!(get(probes, "/live").await.0, "HTTP/1.1 200 OK");
    assert_eq!(get(probes, "/ready").await, ("HTTP/1.1 200 OK".into(), "ready\n".into()));
    let mut client = server.client().await;
    ingest(&mut client, 51, 3).await;
    for _ in 0..4 {
        client.search.search(by_item("g1", 2)).await.expect("answers");
    }
    client.search.search(by_item("nobody", 2)).await.expect_err("unknown");
    client.search.describe(v1::DescribeRequest::default()).await.expect_err("nothing to describe");
    let (_, text) = get(probes, "/metrics").await;
    for line in [
        "lapel_items 3",
        "lapel_healthy 1",
        "lapel_heads{state=\"active\"} 2",
        "lapel_requests_total{method=\"lapel.v1.SearchService/Search\",code=\"OK\"} 4",
        "lapel_requests_total{method=\"lapel.v1.SearchService/Search\",code=\"NOT_FOUND\"} 1",
        "lapel_requests_total{method=\"lapel.v1.SearchService/Describe\",code=\"INVALID_ARGUMENT\"} 1",
        "lapel_request_seconds_count{method=\"lapel.v1.SearchService/Search\"} 5",
        "lapel_stage_seconds_count{stage=\"search\"} 4",
        "lapel_stage_seconds_count{stage=\"commit\"} 1",
        "lapel_requests_in_flight 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert_eq!(get(probes, "/elsewhere").await.0, "HTTP/1.1 404 Not Found");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_run_when_it_is_told_to_stop_are_finished() {
    let mut server = TestServer::start_with(|config| {
        config.model.heads.truncate(2);
        config.limits.query_images_max = 96;
        config.operation.probes = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let client = server.client().await;
    let before = server.started();
    let count = 48;
    let running = tokio::spawn(async move { at_once(&client, count).await });
    // One that has not reached the server when it closes its connections is not its to finish.
    let probes = server.probes.expect("configured");
    while searches_begun(probes).await < count {
        assert!(!running.is_finished(), "some are still under way");
    }
    let address = server.address.clone();
    server.stop().await;
    for outcome in running.await.expect("no panic") {
        outcome.expect("it was under way");
    }
    assert!(before.elapsed() < Duration::from_secs(20), "it does not wait for the limit");
    assert!(Client::connect(&address).await.is_err(), "nobody listens any more");
}
