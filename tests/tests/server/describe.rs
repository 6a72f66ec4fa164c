//! Describe: what the server sees in photos.

use lapel_client::{Client, v1};
use lapel_heads::Bundle;
use lapel_render::{Rendered, render, to_jpeg};
use lapel_tests::{TestServer, by_image, ingest, item, set, settled, sport_bundle, validation_photos};
use std::collections::BTreeMap;

async fn describe(client: &mut Client, image: Vec<u8>) -> v1::DescribeResponse {
    let source = Some(v1::describe_request::Source::Image(image));
    let request = v1::DescribeRequest {
        source,
        include_signatures: true,
        labels_max: 1,
        picture: None,
        ..Default::default()
    };
    client.search.describe(request).await.expect("described").into_inner()
}

#[tokio::test]
async fn an_item_is_described_like_its_photo() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let garments = ingest(&mut client, 5, 12).await;
    for (i, garment) in garments.iter().enumerate() {
        let by_image = describe(&mut client, to_jpeg(&garment.photo)).await;
        let source = Some(v1::describe_request::Source::ItemId(format!("g{i}")));
        let request = v1::DescribeRequest {
            source,
            include_signatures: true,
            labels_max: 1,
            picture: None,
            ..Default::default()
        };
        let by_item = client.search.describe(request).await.expect("described").into_inner();
        assert_eq!(by_item.stored_labels, garment.labels);
        assert_eq!(by_item.attributes.len(), by_image.attributes.len());
        assert_eq!(by_item.parts, by_image.parts);
        // A picture embedded alone and one embedded in a batch give the same signature to rounding.
        for (a, b) in by_image.signatures.iter().zip(&by_item.signatures) {
            assert_eq!(a.head, b.head);
            let length: f32 = a.values.iter().map(|v| v * v).sum();
            assert!((length - 1.0).abs() < 1e-4);
            assert!(a.values.iter().zip(&b.values).all(|(x, y)| (x - y).abs() < 1e-4), "{}", a.head);
        }
        for attribute in &by_image.attributes {
            let p = attribute.labels[0].probability;
            assert!((0.0..=1.0).contains(&p));
        }
    }
    server.finish().await;
}

#[tokio::test]
async fn a_prediction_below_its_labels_threshold_is_unsure_and_decides_nothing() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let garments: Vec<_> = (0..60).map(|i| render(5, i)).collect();
    let unlabelled = |(i, garment): (usize, &Rendered)| v1::UpsertItemsRequest {
        labels: BTreeMap::new(),
        ..item(&format!("g{i}"), garment)
    };
    client.upsert(garments.iter().enumerate().map(unlabelled).collect()).await.expect("stored");
    // Whoever wears no sport's sign is shown where that is certain, the others always.
    let mut bundle = Bundle::parse(&sport_bundle()).expect("sound");
    let labels = &bundle.manifest.attributes[0].labels;
    let thresholds = labels.iter().map(|label| f32::from(u8::from(label == "none"))).collect();
    bundle.manifest.thresholds.insert("sport".into(), thresholds);
    client.register_bundle(&bundle.to_bytes().expect("written")).await.expect("registered");
    assert_eq!(settled(&mut client, "sport").await.state(), v1::HeadState::Active);

    // Of the other heads no bundle brings thresholds: one half it is.
    let is_unsure = |attribute: &str, label: &str, p: f32| match attribute {
        "sport" => label == "none" && p < 1.0,
        _ => p < 0.5,
    };
    let mut told = BTreeMap::new();
    let (mut unsure, mut sure) = (0, 0);
    for (i, garment) in garments.iter().enumerate() {
        let seen = describe(&mut client, to_jpeg(&garment.photo)).await;
        for attribute in seen.attributes {
            let likeliest = &attribute.labels[0];
            let wanted = is_unsure(&attribute.attribute, &likeliest.label, likeliest.probability);
            assert_eq!(attribute.unsure, wanted, "{i}: {attribute:?}");
            if attribute.attribute == "sport" {
                *(if wanted { &mut unsure } else { &mut sure }) += 1;
                told.insert(format!("g{i}"), likeliest.clone());
            }
        }
    }
    assert!(unsure >= 10 && sure >= 1, "{unsure} unsure, {sure} sure");

    let request = v1::SearchRequest {
        manipulations: vec![set("sport", "none")],
        explain: true,
        ..by_image(to_jpeg(&garments[0].photo), 60)
    };
    let answer = client.search.search(request).await.expect("answers").into_inner();
    assert_eq!(answer.results.len(), 60);
    for result in &answer.results {
        let explanation = result.explanation.as_ref().expect("asked for");
        let found = explanation.attributes.iter().find(|a| a.attribute == "sport").expect("an attribute");
        let Some(likeliest) = told.get(&result.item_id) else {
            assert!(found.found.is_empty(), "trousers have no chest: {found:?}");
            continue;
        };
        // Beside the limit, a picture embedded alone may differ from one in a batch by rounding.
        if likeliest.probability > 0.9999 {
            continue;
        }
        assert!(found.predicted && !found.found.is_empty(), "{found:?}");
        assert_eq!(found.unsure, likeliest.label == "none", "{found:?}");
        if found.unsure {
            assert_eq!(found.outcome(), v1::AttributeOutcome::Unknown);
            assert!(!result.matches_all, "a guess does not give what was asked for");
        }
    }
    assert!(answer.results.iter().flat_map(|r| &r.explanation).flat_map(|e| &e.attributes).any(|a| a.unsure));
    server.finish().await;
}

#[tokio::test]
async fn trousers_have_no_parts_and_no_collar() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let (mut lower, mut right) = (0, 0);
    for index in 0..60 {
        let garment = render(11, index);
        if !matches!(garment.truth["category"].as_str(), "trouser" | "jean" | "shorts" | "skirt") {
            continue;
        }
        lower += 1;
        let seen = describe(&mut client, to_jpeg(&garment.photo)).await;
        if seen.parts.as_ref().expect("always").case == "lower_body" {
            right += 1;
            assert!(seen.parts.expect("always").rects.is_empty());
            assert!(
                seen.attributes
                    .iter()
                    .all(|a| !matches!(a.attribute.as_str(), "collar" | "neckline" | "sleeve_length"))
            );
        }
    }
    assert!(lower >= 8 && right * 10 >= lower * 8, "{right} of {lower}");
    server.finish().await;
}

/// Accuracy by attribute over labelled pictures: right, all, and the most frequent label's count.
async fn accuracy(
    client: &mut Client,
    pictures: impl Iterator<Item = (Vec<u8>, lapel_heads::Labels)>,
) -> BTreeMap<String, (usize, usize, usize)> {
    let mut counts: BTreeMap<String, BTreeMap<String, (usize, usize)>> = BTreeMap::new();
    for (image, labels) in pictures {
        let seen = describe(client, image).await;
        for attribute in seen.attributes {
            if let Some(truth) = labels.get(&attribute.attribute) {
                let count = counts.entry(attribute.attribute).or_default().entry(truth.clone()).or_default();
                count.0 += usize::from(&attribute.labels[0].label == truth);
                count.1 += 1;
            }
        }
    }
    let sums = counts.into_iter().map(|(attribute, by_label)| {
        let right = by_label.values().map(|c| c.0).sum();
        let all = by_label.values().map(|c| c.1).sum();
        (attribute, (right, all, by_label.values().map(|c| c.1).max().unwrap_or(0)))
    });
    sums.collect()
}

fn check(counts: &BTreeMap<String, (usize, usize, usize)>, lead: f64) {
    for (attribute, (right, all, most)) in counts {
        let share = |n: &usize| 100.0 * *n as f64 / *all as f64;
        println!(
            "{attribute:<14} {:>5.1} % of {all} (most frequent label {:.1} %)",
            share(right),
            share(most)
        );
    }
    for attribute in ["category", "color", "pattern", "sleeve_length", "collar"] {
        let (right, all, most) = counts[attribute];
        let (accuracy, majority) = (right as f64 / all as f64, most as f64 / all as f64);
        assert!(accuracy > majority + lead, "{attribute}: {accuracy:.3} against {majority:.3}");
    }
}

#[tokio::test]
async fn rendered_garments_are_told_apart() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let pictures = (0..120).map(|i| {
        let garment = render(0xface, i);
        (to_jpeg(&garment.photo), garment.truth)
    });
    check(&accuracy(&mut client, pictures).await, 0.15);
    server.finish().await;
}

#[tokio::test]
async fn real_validation_photos_are_told_apart() {
    let Some(photos) = validation_photos() else { return };
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let pictures =
        photos.iter().step_by(2).map(|p| (std::fs::read(&p.path).expect("a photo"), p.labels.clone()));
    check(&accuracy(&mut client, pictures).await, 0.10);
    server.finish().await;
}
