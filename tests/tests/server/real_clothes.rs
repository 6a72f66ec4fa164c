//! The model that serves by default, on the photos of real clothes that come with the project.

use lapel_client::{Client, Upload, v1};
use lapel_heads::{BACKBONE_FILE, EXTRACT_PARTS_FILE, Photo, shipped_folder};
use lapel_render::to_jpeg;
use lapel_tests::{TestServer, by_default, by_image, by_item, ingest, season_bundle, set, settled, watched};
use lapel_wardrobe::LabelledPhoto;
use std::path::PathBuf;

const ATTRIBUTES: [&str; 11] = [
    "category",
    "collar",
    "color",
    "fabric",
    "fastening",
    "fit",
    "length",
    "neckline",
    "pattern",
    "pocket",
    "sleeve_length",
];

fn examples() -> PathBuf {
    shipped_folder().join("../../examples")
}

fn photos() -> Vec<LabelledPhoto> {
    let photos = lapel_wardrobe::read(&examples().join("wardrobe")).expect("the photos of the demo");
    assert!((300..=400).contains(&photos.len()), "{}", photos.len());
    photos
}

fn query(name: &str) -> Vec<u8> {
    std::fs::read(examples().join("queries").join(name)).expect("a query")
}

/// Stores photos without their labels, so that nothing but what the model sees can be found.
async fn store_unlabelled(client: &mut Client, photos: &[LabelledPhoto]) {
    for photos in photos.chunks(64) {
        let item = |p: &LabelledPhoto| v1::UpsertItemsRequest {
            id: p.name.clone(),
            image: std::fs::read(&p.path).expect("a photo"),
            ..Default::default()
        };
        let results = client.upsert(photos.iter().map(item).collect()).await.expect("stored");
        assert!(results.iter().all(|r| r.error.is_none()), "{results:?}");
    }
}

#[tokio::test]
async fn a_photo_is_described_by_one_head_an_attribute() {
    let server = TestServer::start_with(by_default).await;
    let mut client = server.client().await;
    let source = Some(v1::describe_request::Source::Image(query("dress.jpg")));
    let request = v1::DescribeRequest {
        source,
        include_signatures: true,
        labels_max: 30,
        picture: None,
        ..Default::default()
    };
    let seen = client.search.describe(request).await.expect("described").into_inner();
    let mut heads: Vec<&str> = seen.signatures.iter().map(|s| s.head.as_str()).collect();
    heads.sort_unstable();
    assert_eq!(heads, ATTRIBUTES);
    for signature in &seen.signatures {
        let length: f32 = signature.values.iter().map(|v| v * v).sum();
        assert!((length - 1.0).abs() < 1e-4, "{}: {length}", signature.head);
    }
    let label = |attribute: &str| {
        let found = seen.attributes.iter().find(|a| a.attribute == attribute).expect("described");
        let sum: f32 = found.labels.iter().map(|l| l.probability).sum();
        assert!((sum - 1.0).abs() < 1e-3, "{attribute}: {sum}");
        found.labels[0].label.clone()
    };
    assert_eq!((label("category"), label("sleeve_length")), ("dress".to_owned(), "long".to_owned()));
    server.finish().await;
}

#[tokio::test]
async fn a_photo_of_one_colour_shows_no_garment_and_nothing_sure() {
    let server = TestServer::start_with(by_default).await;
    let mut client = server.client().await;
    ingest(&mut client, 5, 3).await;
    for value in [0, 128, 255] {
        let blank = to_jpeg(&Photo::from_rgb(300, 400, vec![value; 300 * 400 * 3]).expect("sized"));
        let source = Some(v1::describe_request::Source::Image(blank.clone()));
        let request = v1::DescribeRequest { source, ..Default::default() };
        let seen = client.search.describe(request).await.expect("described").into_inner();
        assert!(!seen.parts.expect("always").segmented, "{value}");
        assert!(!seen.attributes.is_empty() && seen.attributes.iter().all(|a| a.unsure), "{value}");
        let request = v1::SearchRequest { explain: true, ..by_image(blank, 3) };
        let answer = client.search.search(request).await.expect("answers").into_inner();
        assert_eq!(answer.results.len(), 3);
        let explained = answer.results.iter().flat_map(|r| &r.explanation).flat_map(|e| &e.attributes);
        assert!(explained.clone().all(|a| a.wanted.is_empty()), "{:?}", explained.collect::<Vec<_>>());
    }
    server.finish().await;
}

#[tokio::test]
async fn any_attribute_can_be_asked_for_and_the_category_stays() {
    let server = TestServer::start_with(by_default).await;
    let mut client = server.client().await;
    let photos = photos();
    store_unlabelled(&mut client, &photos).await;
    let truth = |id: &str, attribute: &str| {
        let photo = photos.iter().find(|p| p.name == id).expect("an item");
        photo.labels.get(attribute).cloned()
    };
    let mut shares = Vec::new();
    for (attribute, label) in
        [("category", "skirt"), ("sleeve_length", "short"), ("color", "black"), ("length", "normal")]
    {
        let request = v1::SearchRequest {
            manipulations: vec![set(attribute, label)],
            ..by_image(query("dress.jpg"), 5)
        };
        let answer = client.search.search(request).await.expect("found").into_inner();
        assert_eq!(answer.manipulations[0].head, attribute, "every attribute has a head of its own");
        assert!(!answer.manipulations[0].prototype_from_catalog, "nothing in the catalogue is labelled");
        let carrying = |name: &str, wanted: &str| {
            answer.results.iter().filter(|r| truth(&r.item_id, name).as_deref() == Some(wanted)).count()
        };
        let kept = if attribute == "category" { 5 } else { carrying("category", "dress") };
        shares.push((attribute, carrying(attribute, label), kept));
    }
    println!("asked, category kept of five: {shares:?}");
    assert!(shares[0].1 >= 4, "skirts were asked for: {shares:?}");
    assert!(shares.iter().map(|s| s.1).sum::<usize>() >= 10, "{shares:?}");
    assert!(shares[1..].iter().map(|s| s.2).sum::<usize>() >= 7, "{shares:?}");
    server.finish().await;
}

#[tokio::test]
async fn the_readmes_own_head_is_added_to_the_running_server_and_asked_for() {
    let server = TestServer::start_with(by_default).await;
    let mut client = server.client().await;
    let photos: Vec<_> = photos().into_iter().step_by(6).collect();
    store_unlabelled(&mut client, &photos).await;
    client.register_bundle(&season_bundle()).await.expect("made for the shipped backbone");
    assert_eq!(settled(&mut client, "season").await.state(), v1::HeadState::Active);
    let request = v1::SearchRequest {
        manipulations: vec![set("season", "winter")],
        ..by_image(query("dress.jpg"), 10)
    };
    let answer = client.search.search(request).await.expect("found").into_inner();
    assert_eq!(answer.weights.len(), ATTRIBUTES.len() + 1);
    assert_eq!(answer.manipulations[0].head, "season");
    // What it was asked for is there more often than among all: warm fabrics.
    let is_warm = |id: &str| {
        let fabric = photos.iter().find(|p| p.name == id).and_then(|p| p.labels.get("fabric"));
        fabric.is_some_and(|f| ["knit", "sweat", "quilted", "fleece"].contains(&f.as_str()))
    };
    let found = answer.results.iter().filter(|r| is_warm(&r.item_id)).count();
    let all = photos.iter().filter(|p| is_warm(&p.name)).count();
    println!("warm: {found} of {}, {all} of {} in all", answer.results.len(), photos.len());
    assert!(found * photos.len() > all * answer.results.len(), "{found}, {all} of {}", photos.len());
    server.finish().await;
}

#[tokio::test]
async fn a_catalogue_of_the_papers_model_moves_to_views_and_back() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 41, 12).await;
    let file = |name: &str| std::fs::read(shipped_folder().join(name)).expect("shipped");
    let mut files = vec![
        Upload::unsigned(v1::GenerationFile::Backbone, file(BACKBONE_FILE)),
        Upload::unsigned(v1::GenerationFile::ExtractParts, file(EXTRACT_PARTS_FILE)),
    ];
    for attribute in ATTRIBUTES {
        files.push(Upload::unsigned(v1::GenerationFile::Head, file(&format!("{attribute}.safetensors"))));
    }
    client.build_generation(&files, false).await.expect("accepted");
    watched(&mut client).await;
    let answer = client.search.search(by_item("g1", 5)).await.expect("found").into_inner();
    assert_eq!(answer.weights.len(), ATTRIBUTES.len(), "{:?}", answer.weights);
    let back = client.generations.switch_generation(v1::SwitchGenerationRequest::default()).await;
    back.expect("switched back");
    let answer = client.search.search(by_item("g1", 5)).await.expect("found").into_inner();
    assert_eq!(answer.weights.len(), 7);
    server.finish().await;
}
