//! Bad input gets a clear, typed error and harms nothing.

use lapel_client::{Client, v1};
use lapel_render::{render, to_jpeg};
use lapel_server::ByteSize;
use lapel_tests::{TestServer, by_image, by_item, ingest, item, set, weights};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A PNG that claims to be 50,000 x 50,000 pixels; its checksum is right.
fn huge_png() -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(50_000u32.to_be_bytes());
    chunk.extend(50_000u32.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let crc = chunk.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    });
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(&chunk);
    png.extend((!crc).to_be_bytes());
    png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    png
}

fn bad_images() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let jpeg = to_jpeg(&render(1, 1).photo);
    vec![
        ("empty", Vec::new(), "empty"),
        ("truncated JPEG", jpeg[..jpeg.len() / 3].to_vec(), "cannot be decoded"),
        ("huge PNG", huge_png(), "50000 x 50000"),
        ("GIF", b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), "send JPEG, PNG or WebP"),
        ("text", b"not an image".to_vec(), "send JPEG, PNG or WebP"),
        ("too large", vec![0xff; 300_000], "at most 262144"),
    ]
}

async fn refused(client: &mut Client, request: v1::SearchRequest) -> Status {
    client.search.search(request).await.expect_err("refused")
}

#[tokio::test]
async fn bad_images_are_refused_everywhere() {
    let server = TestServer::start_with(|c| c.limits.image_bytes_max = ByteSize(256 << 10)).await;
    let mut client = server.client().await;
    let mut items = vec![item("first", &render(1, 0))];
    for (case, image, wanted) in bad_images() {
        let source = Some(v1::describe_request::Source::Image(image.clone()));
        let request = v1::DescribeRequest { source, ..v1::DescribeRequest::default() };
        let described = client.search.describe(request).await.expect_err(case);
        let searched = refused(&mut client, by_image(image.clone(), 1)).await;
        for error in [described, searched] {
            assert_eq!(error.code(), Code::InvalidArgument, "{case}: {}", error.message());
            assert!(error.message().contains(wanted), "{case}: {}", error.message());
        }
        items.push(v1::UpsertItemsRequest { id: case.into(), image, ..v1::UpsertItemsRequest::default() });
    }
    // Between two good items, each bad one fails alone.
    items.push(item("last", &render(1, 2)));
    let results = client.upsert(items).await.expect("answered");
    for result in &results {
        let good = ["first", "last"].contains(&result.id.as_str());
        assert_eq!(result.error.is_none(), good, "{result:?}");
    }
    let stats =
        client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await.expect("counted").into_inner();
    assert_eq!(stats.items, 2);
    server.finish().await;
}

/// The heads that the tests' server has.
const HEADS: [&str; 7] = ["collar", "color", "fastening", "general", "neckline", "pattern", "sleeve_length"];

/// A search by one signature.
fn signatures(head: &str, values: Vec<f32>) -> v1::SearchRequest {
    let set = v1::SignatureSet { signatures: vec![v1::Signature { head: head.into(), values }] };
    let source = Some(v1::query::Source::Signatures(set));
    let query = Some(v1::Query { source, also_signatures: Vec::new() });
    v1::SearchRequest { query, k: 3, ..v1::SearchRequest::default() }
}

#[tokio::test]
async fn bad_searches_name_the_field_and_what_would_be_right() {
    let server = TestServer::start_with(|c| c.limits.k_max = 50).await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 10).await;
    let weighted = |by_head: &[(&str, f64)], only| v1::SearchRequest {
        weighting: weights(by_head, only),
        ..by_item("g1", 3)
    };
    let edited = |attribute, label| v1::SearchRequest {
        manipulations: vec![set(attribute, label)],
        ..by_item("g1", 3)
    };
    let all_zero = HEADS.map(|head| (head, 0.0));
    let cases = [
        ("k = 0", by_item("g1", 0), Code::InvalidArgument, "1 to 50"),
        ("k over the limit", by_item("g1", 51), Code::InvalidArgument, "1 to 50"),
        (
            "no query",
            v1::SearchRequest { k: 1, ..v1::SearchRequest::default() },
            Code::InvalidArgument,
            "query",
        ),
        ("unknown item", by_item("nobody", 1), Code::NotFound, "nobody"),
        ("weight NaN", weighted(&[("color", f64::NAN)], false), Code::InvalidArgument, "finite number"),
        ("weight negative", weighted(&[("color", -1.0)], false), Code::InvalidArgument, "0 or more"),
        (
            "weight infinite",
            weighted(&[("color", f64::INFINITY)], false),
            Code::InvalidArgument,
            "finite number",
        ),
        ("all weights zero", weighted(&all_zero, false), Code::InvalidArgument, "above zero"),
        ("only zero", weighted(&[("color", 0.0)], true), Code::InvalidArgument, "above zero"),
        ("unknown head", weighted(&[("colour", 1.0)], false), Code::NotFound, "sleeve_length"),
        (
            "one head twice",
            weighted(&[("general", 1.0), ("category", 2.0)], false),
            Code::InvalidArgument,
            "\"category\" and \"general\" both lead to head",
        ),
        ("unknown attribute", edited("colour", "red"), Code::NotFound, "sleeve_length"),
        ("unknown label", edited("color", "grean"), Code::NotFound, "light-blue"),
        // What is named is looked up before the photo is: this one cannot be read.
        (
            "unknown label beside a photo",
            v1::SearchRequest {
                manipulations: edited("color", "grean").manipulations,
                ..by_image(b"no photo".to_vec(), 1)
            },
            Code::NotFound,
            "light-blue",
        ),
        ("wrong dimension", signatures("color", vec![1.0; 3]), Code::InvalidArgument, "64"),
        ("NaN signature", signatures("color", vec![f32::NAN; 64]), Code::InvalidArgument, "not finite"),
        ("zero signature", signatures("color", vec![0.0; 64]), Code::InvalidArgument, "no direction"),
        ("signature of no head", signatures("colour", vec![1.0; 64]), Code::NotFound, "color"),
    ];
    for (case, request, code, wanted) in cases {
        let error = refused(&mut client, request).await;
        assert_eq!(error.code(), code, "{case}: {}", error.message());
        assert!(error.message().contains(wanted), "{case}: {}", error.message());
        assert!(error.get_error_details().error_info().is_some(), "{case} has a reason");
    }
    // After all of it the server answers as before.
    assert_eq!(client.search.search(by_item("g1", 3)).await.expect("answers").into_inner().results.len(), 3);
    server.finish().await;
}

#[tokio::test]
async fn several_faults_are_told_at_once_and_lists_name_what_they_refuse() {
    let server = TestServer::start_with(|c| c.limits.k_max = 50).await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 3).await;
    let twice = v1::SearchRequest {
        manipulations: vec![set("color", "red"), set("color", "blue")],
        ..by_item("g1", 3)
    };
    assert_eq!(refused(&mut client, twice).await.code(), Code::InvalidArgument);
    // Several faults are told at once.
    let filters = vec![v1::LabelFilter::default()];
    let both = refused(&mut client, v1::SearchRequest { filters, ..by_item("g1", 0) }).await;
    assert_eq!(both.get_error_details().bad_request().expect("fields").field_violations.len(), 2);
    // No profile of the name, and bad pages.
    let weighting = Some(v1::search_request::Weighting::Profile("nobody".into()));
    assert_eq!(
        refused(&mut client, v1::SearchRequest { weighting, ..by_item("g1", 3) }).await.code(),
        Code::NotFound
    );
    let page = v1::ListItemsRequest { page_size: 5000, ..v1::ListItemsRequest::default() };
    assert_eq!(client.catalog.list_items(page).await.expect_err("refused").code(), Code::InvalidArgument);
    let state = v1::ListHeadsRequest { state: 99, ..v1::ListHeadsRequest::default() };
    let unknown = client.heads.list_heads(state).await.expect_err("refused");
    assert_eq!((unknown.code(), unknown.message().contains("99")), (Code::InvalidArgument, true));
    let active =
        v1::ListHeadsRequest { state: v1::HeadState::Active.into(), ..v1::ListHeadsRequest::default() };
    assert_eq!(client.heads.list_heads(active).await.expect("listed").into_inner().heads.len(), 7);
    // After all of it the server answers as before.
    assert_eq!(client.search.search(by_item("g1", 3)).await.expect("answers").into_inner().results.len(), 3);
    server.finish().await;
}

#[tokio::test]
async fn bad_items_and_picks_are_refused_alone() {
    let server = TestServer::start_with(|c| c.limits.stream_items_max = 8).await;
    let mut client = server.client().await;
    let garment = render(1, 0);
    let mut labelled = item("labelled", &garment);
    labelled.labels.insert("color".into(), " red\n".into());
    let bare = v1::UpsertItemsRequest { id: "bare".into(), ..v1::UpsertItemsRequest::default() };
    let mut given = item("given", &garment);
    given.signatures = vec![v1::Signature { head: "color".into(), values: vec![1.0; 64] }];
    let items = vec![
        item("a", &garment),
        item("a", &render(1, 1)),
        item("", &garment),
        labelled,
        bare,
        given,
        item("b", &garment),
    ];
    let results = client.upsert(items).await.expect("answered");
    let refused: Vec<&str> = results.iter().filter(|r| r.error.is_some()).map(|r| r.id.as_str()).collect();
    assert_eq!(refused, ["a", "", "labelled", "bare", "given"]);
    // The first of the two stands.
    let stored =
        client.catalog.get_item(v1::GetItemRequest { id: "a".into() }).await.expect("there").into_inner();
    assert_eq!(stored.item.expect("there").labels, garment.labels);
    let many = (0..9).map(|i| item(&format!("m{i}"), &garment)).collect();
    assert_eq!(client.upsert(many).await.expect_err("too many").code(), Code::ResourceExhausted);
    let pick = |ids: &[&str]| v1::PersonaliseRequest {
        picked_ids: ids.iter().map(|i| (*i).to_owned()).collect(),
        ..v1::PersonaliseRequest::default()
    };
    for (ids, code) in [
        (&[][..], Code::InvalidArgument),
        (&["a", "a"], Code::InvalidArgument),
        (&["a", "z"], Code::NotFound),
    ] {
        assert_eq!(
            client.feedback.personalise(pick(ids)).await.expect_err("refused").code(),
            code,
            "{ids:?}"
        );
    }
    let none = v1::DeleteItemsRequest::default();
    assert_eq!(client.catalog.delete_items(none).await.expect_err("refused").code(), Code::InvalidArgument);
    server.finish().await;
}

#[tokio::test]
async fn a_plan_that_does_not_exist_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 3).await;
    let error = refused(&mut client, v1::SearchRequest { plan: 99, ..by_item("g1", 2) }).await;
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("plan"), "{}", error.message());
    // Plans that cannot run for so few items give way to one that can.
    for plan in [v1::PlanKind::CodeScan, v1::PlanKind::Hnsw] {
        let asked = v1::SearchRequest { plan: plan.into(), ..by_item("g1", 2) };
        let answer = client.search.search(asked).await.expect("answers").into_inner();
        assert_eq!(answer.plan.expect("named").kind(), v1::PlanKind::ExactScan);
    }
    server.finish().await;
}

#[tokio::test]
async fn a_message_beyond_every_limit_is_refused_and_the_server_goes_on() {
    let server = TestServer::start_with(|c| c.limits.image_bytes_max = ByteSize(1 << 20)).await;
    let mut client = server.client().await;
    let error = refused(&mut client, by_image(vec![0xff; 5 << 20], 1)).await;
    assert_eq!(error.code(), Code::OutOfRange, "{}", error.message());
    let details = error.get_error_details();
    assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("MESSAGE_TOO_LARGE"));
    ingest(&mut client, 1, 2).await;
    assert_eq!(client.search.search(by_item("g1", 2)).await.expect("answers").into_inner().results.len(), 2);
    server.finish().await;
}

#[tokio::test]
async fn an_upload_goes_on_behind_a_message_that_is_too_large() {
    let server = TestServer::start_with(|c| c.limits.image_bytes_max = ByteSize(1 << 20)).await;
    let mut client = server.client().await;
    let large = v1::UpsertItemsRequest {
        id: "large".into(),
        image: vec![0xff; 3 << 20],
        ..v1::UpsertItemsRequest::default()
    };
    let unlike = v1::UpsertItemsRequest {
        id: "unlike".into(),
        image: b"no image".to_vec(),
        ..v1::UpsertItemsRequest::default()
    };
    let items = vec![item("first", &render(1, 0)), unlike, large, item("after", &render(1, 1))];
    let results = client.upsert(items).await.expect("answered");
    let told: Vec<_> = results
        .iter()
        .map(|r| (r.message, r.id.as_str(), r.error.as_ref().map_or("", |e| e.reason.as_str())))
        .collect();
    assert_eq!(
        told,
        [(1, "first", ""), (2, "unlike", "BAD_IMAGE"), (3, "", "MESSAGE_TOO_LARGE"), (4, "after", "")]
    );
    for (id, there) in [("first", true), ("unlike", false), ("large", false), ("after", true)] {
        let found = client.catalog.get_item(v1::GetItemRequest { id: id.into() }).await;
        assert_eq!(found.is_ok(), there, "{id}: {found:?}");
    }
    server.finish().await;
}

#[tokio::test]
async fn more_queries_than_the_model_takes_are_refused_at_once_and_told_to_retry() {
    // Of which one connection has half.
    let server = TestServer::start_with(|c| c.limits.query_images_max = 4).await;
    let client = server.client().await;
    let image = to_jpeg(&render(1, 1).photo);
    let describe = |image: Vec<u8>| {
        let mut client = client.clone();
        async move {
            let source = Some(v1::describe_request::Source::Image(image));
            client.search.describe(v1::DescribeRequest { source, ..v1::DescribeRequest::default() }).await
        }
    };
    let running: Vec<_> = (0..30).map(|_| tokio::spawn(describe(image.clone()))).collect();
    let (mut described, mut refused) = (0, 0);
    for outcome in running {
        match outcome.await.expect("no panic") {
            Ok(_) => described += 1,
            Err(error) => {
                assert_eq!(error.code(), Code::ResourceExhausted, "{}", error.message());
                assert!(error.get_error_details().retry_info().is_some());
                refused += 1;
            }
        }
    }
    assert!(described >= 2 && refused >= 1, "{described} described, {refused} refused");
    describe(image).await.expect("there is room again");
    server.finish().await;
}
