//! Items with several pictures, over gRPC: written, searched by the nearest or the mean, described, read, exported.

use lapel_client::{Client, v1};
use lapel_render::{Rendered, render, to_jpeg};
use lapel_tests::{TestServer, by_image, by_item, ingest, item, settled, sport_bundle, weights};
use std::collections::BTreeMap;
use tonic::Code;

const SEED: u64 = 61;

/// The photos of an item's pictures: garments that are not in the catalogue otherwise.
fn photos(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|at| to_jpeg(&render(SEED, 1000 + at).photo)).collect()
}

/// An item with these photos.
fn pictured(id: &str, photos: &[Vec<u8>]) -> v1::UpsertItemsRequest {
    let garment: Rendered = render(SEED, 1000);
    v1::UpsertItemsRequest {
        image: photos[0].clone(),
        more_images: photos[1..].to_vec(),
        ..item(id, &garment)
    }
}

async fn describe(
    client: &mut Client,
    source: v1::describe_request::Source,
    picture: Option<u32>,
) -> Result<v1::DescribeResponse, tonic::Status> {
    let request = v1::DescribeRequest {
        source: Some(source),
        include_signatures: true,
        labels_max: 1,
        picture,
        ..Default::default()
    };
    Ok(client.search.describe(request).await?.into_inner())
}

fn of_item(id: &str) -> v1::describe_request::Source {
    v1::describe_request::Source::ItemId(id.into())
}

fn by_head(described: &v1::DescribeResponse) -> BTreeMap<&str, &[f32]> {
    described.signatures.iter().map(|s| (s.head.as_str(), s.values.as_slice())).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}

async fn found(client: &mut Client, id: &str, request: v1::SearchRequest) -> (usize, v1::SearchResult) {
    let answer = client.search.search(request).await.expect("answered").into_inner();
    let mut results = answer.results.into_iter().enumerate();
    results.find(|(_, result)| result.item_id == id).expect("among the results")
}

#[tokio::test]
async fn an_item_is_found_by_any_of_its_pictures_or_by_their_mean() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, SEED, 20).await;
    let photos = photos(3);
    let results = client.upsert(vec![pictured("several", &photos)]).await.expect("stored");
    assert!(results[0].error.is_none(), "{results:?}");
    for round in 0..2 {
        let mut seen = Vec::new();
        for (number, photo) in (0u32..).zip(&photos) {
            let alone = v1::describe_request::Source::Image(photo.clone());
            let photo_seen = describe(&mut client, alone, None).await.expect("described");
            let as_picture =
                describe(&mut client, of_item("several"), Some(number)).await.expect("described");
            assert_eq!(as_picture.parts, photo_seen.parts, "picture {number}");
            for (head, values) in by_head(&photo_seen) {
                let near = distance(values, by_head(&as_picture)[head]);
                assert!(near < 1e-3, "{head} of picture {number}: {near}");
            }
            seen.push(as_picture);
            let nearest = v1::SearchRequest { explain: true, ..by_image(photo.clone(), 30) };
            let (rank, result) = found(&mut client, "several", nearest.clone()).await;
            assert_eq!((rank, result.picture), (0, number), "round {round}");
            assert!(result.distance < 0.01, "{result:?}");
            let terms = &result.explanation.expect("asked for").terms;
            let sum: f64 = terms.iter().map(|term| term.contribution).sum();
            assert!((sum - result.distance).abs() < 1e-9, "terms are those of the picture");
            let mean = v1::SearchRequest { pictures: v1::PictureMode::Mean.into(), ..nearest.clone() };
            let (_, by_mean) = found(&mut client, "several", mean).await;
            assert!(by_mean.distance > result.distance && by_mean.picture == 0, "{by_mean:?}");
            // Items with one picture are the same either way.
            for id in ["g3", "g11"] {
                let near = found(&mut client, id, nearest.clone()).await.1.distance;
                let mean = v1::SearchRequest { pictures: v1::PictureMode::Mean.into(), ..nearest.clone() };
                assert_eq!(near, found(&mut client, id, mean).await.1.distance, "{id}");
            }
        }
        // As it is found: the mean of its pictures, by head.
        let whole = describe(&mut client, of_item("several"), None).await.expect("described");
        for (head, values) in by_head(&whole) {
            let pictures: Vec<&[f32]> =
                seen.iter().filter_map(|seen| by_head(seen).get(head).copied()).collect();
            let sum: Vec<f32> =
                (0..values.len()).map(|at| pictures.iter().map(|p| p[at]).sum::<f32>()).collect();
            let length = sum.iter().map(|v| v * v).sum::<f32>().sqrt();
            let mean: Vec<f32> = sum.iter().map(|v| v / length).collect();
            assert!(distance(values, &mean) < 1e-4, "{head}");
        }
        // By its id it is like its mean.
        for mode in [v1::PictureMode::Nearest, v1::PictureMode::Mean] {
            let like_itself = v1::SearchRequest { pictures: mode.into(), ..by_item("several", 5) };
            let (rank, itself) = found(&mut client, "several", like_itself).await;
            assert!(rank == 0 && itself.distance < 1e-3, "{itself:?}");
        }
        if round == 0 {
            server.restart().await;
            client = server.client().await;
        }
    }
    let refused = client.search.search(v1::SearchRequest { pictures: 9, ..by_item("several", 5) }).await;
    assert_eq!(refused.expect_err("no mode").code(), Code::InvalidArgument);
    server.finish().await;
}

#[tokio::test]
async fn pictures_are_read_and_exported_and_go_with_the_item() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, SEED, 3).await;
    let photos = photos(4);
    client.upsert(vec![pictured("several", &photos)]).await.expect("stored");
    for round in 0..2 {
        let got = client.catalog.get_item(v1::GetItemRequest { id: "several".into() }).await.expect("there");
        assert_eq!(got.into_inner().item.expect("told").images, 4);
        for (picture, photo) in (0u32..).zip(&photos) {
            let request = v1::GetItemImageRequest { id: "several".into(), picture };
            let image = client.catalog.get_item_image(request).await.expect("there").into_inner();
            assert_eq!(image.image, *photo);
            assert_eq!(client.image("several", picture).await.expect("in pieces").image, *photo);
        }
        for (all_images, in_pieces) in [(true, false), (true, true), (false, true)] {
            let request = v1::ExportItemsRequest { all_images, in_pieces, ..Default::default() };
            let mut stream = client.catalog.export_items(request).await.expect("begun").into_inner();
            let (mut ids, mut images) = (Vec::new(), BTreeMap::<(String, u32), Vec<u8>>::new());
            while let Some(message) = stream.message().await.expect("goes on") {
                ids.extend(message.item.map(|item| item.id));
                let id: &String = ids.last().expect("an item comes first");
                images.entry((id.clone(), message.picture)).or_default().extend(message.image);
            }
            assert_eq!(ids, ["g0", "g1", "g2", "several"]);
            assert_eq!(images.len(), if all_images { 7 } else { 4 });
            let of_item = images.iter().filter(|((id, _), _)| id == "several").map(|(_, image)| image);
            assert!(of_item.eq(photos.iter().take(if all_images { 4 } else { 1 })));
        }
        if round == 0 {
            server.restart().await;
            client = server.client().await;
        }
    }
    // Fewer pictures leave nothing behind.
    client.upsert(vec![pictured("several", &photos[2..3])]).await.expect("stored");
    for picture in 1..4 {
        let request = v1::GetItemImageRequest { id: "several".into(), picture };
        assert_eq!(client.catalog.get_item_image(request).await.expect_err("gone").code(), Code::NotFound);
        let described = describe(&mut client, of_item("several"), Some(picture)).await;
        assert_eq!(described.expect_err("gone").code(), Code::NotFound);
    }
    let (rank, result) = found(&mut client, "several", by_image(photos[2].clone(), 4)).await;
    assert!((rank, result.picture) == (0, 0) && result.distance < 0.01, "{result:?}");
    let far = found(&mut client, "several", by_image(photos[1].clone(), 4)).await.1;
    assert!(far.distance > 0.01, "{far:?}");
    let delete = v1::DeleteItemsRequest { ids: vec!["several".into()], ..Default::default() };
    client.catalog.delete_items(delete).await.expect("deleted");
    assert_eq!(client.image("several", 0).await.expect_err("gone").code(), Code::NotFound);
    server.finish().await;
}

#[tokio::test]
async fn what_is_no_set_of_pictures_is_refused() {
    let server = TestServer::start_with(|config| config.limits.item_pictures_max = 3).await;
    let mut client = server.client().await;
    let photos = photos(4);
    let bad = vec![photos[0].clone(), b"no picture".to_vec()];
    let without = v1::UpsertItemsRequest { image: Vec::new(), ..pictured("a", &photos[..2]) };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["labels".into()] });
    let part = v1::UpsertItemsRequest { update_mask, image: Vec::new(), ..pictured("a", &photos[..2]) };
    let cases = [("too many", pictured("a", &photos)), ("bad", pictured("a", &bad)), ("no first", without)];
    for (what, message) in cases.into_iter().chain([("of parts", part)]) {
        let results = client.upsert(vec![message]).await.expect("answered");
        let error = results[0].error.as_ref().unwrap_or_else(|| panic!("{what}: {results:?}"));
        assert_eq!(error.code, Code::InvalidArgument as i32, "{what}: {error:?}");
    }
    assert!(client.catalog.get_item(v1::GetItemRequest { id: "a".into() }).await.is_err());
    let image = v1::describe_request::Source::Image(photos[0].clone());
    let refused = describe(&mut client, image, Some(0)).await.expect_err("it has no numbers");
    assert_eq!(refused.code(), Code::InvalidArgument);
    server.finish().await;
}

#[tokio::test]
async fn a_new_head_looks_at_every_picture() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, SEED, 6).await;
    let photos = photos(3);
    client.upsert(vec![pictured("several", &photos)]).await.expect("stored");
    client.register_bundle(&sport_bundle()).await.expect("registered");
    assert_eq!(settled(&mut client, "sport").await.state(), v1::HeadState::Active);
    for (number, photo) in (0u32..).zip(&photos) {
        let alone = v1::describe_request::Source::Image(photo.clone());
        let photo_seen = describe(&mut client, alone, None).await.expect("described");
        let picture = describe(&mut client, of_item("several"), Some(number)).await.expect("described");
        let near = distance(by_head(&photo_seen)["sport"], by_head(&picture)["sport"]);
        assert!(near < 1e-3, "picture {number}: {near}");
        let asked = by_image(photo.clone(), 7);
        let request = v1::SearchRequest { weighting: weights(&[("sport", 1.0)], true), ..asked };
        assert!(found(&mut client, "several", request).await.1.distance < 0.01, "picture {number}");
    }
    server.finish().await;
}
