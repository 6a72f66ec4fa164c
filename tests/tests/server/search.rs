//! The main job: search, change, weigh, explain, pick.

use lapel_client::{Client, v1};
use lapel_heads::{Bundle, Photo};
use lapel_render::{Garment, render, render_garment, to_jpeg};
use lapel_tests::{TestServer, by_image, by_item, ingest, item, set, settled, sport_bundle, weights};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tonic_types::StatusExt;

async fn search(client: &mut Client, request: v1::SearchRequest) -> v1::SearchResponse {
    client.search.search(request).await.expect("answers").into_inner()
}

fn sum(weights: &BTreeMap<String, f64>) -> f64 {
    weights.values().sum()
}

#[tokio::test]
async fn explanations_add_up_and_weights_sum_to_the_heads_in_play() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let garments = ingest(&mut client, 1, 80).await;
    let query = to_jpeg(&render(2, 3).photo);
    let edited = v1::SearchRequest {
        manipulations: vec![set("color", "red"), set("category", "dress")],
        weighting: weights(&[("color", 4.0), ("pattern", 0.25)], false),
        explain: true,
        ..by_image(query.clone(), 20)
    };
    let answer = search(&mut client, edited).await;
    assert!((sum(&answer.weights) - 7.0).abs() < 1e-9 && answer.weights.len() == 7);
    assert_eq!(answer.results.len(), 20);
    for pair in answer.results.windows(2) {
        assert!(pair[0].distance <= pair[1].distance);
    }
    for result in &answer.results {
        let explanation = result.explanation.as_ref().expect("asked for");
        let total: f64 = explanation.terms.iter().map(|t| t.contribution).sum();
        assert!((total - result.distance).abs() < 1e-5);
        assert!(explanation.terms.iter().all(|t| (t.weight * t.distance - t.contribution).abs() < 1e-9));
        let at: usize = result.item_id[1..].parse().expect("g and a number");
        assert_eq!(result.labels, garments[at].labels);
        for a in &explanation.attributes {
            let changed = a.outcome() == v1::AttributeOutcome::Changed;
            assert_eq!(changed, a.found == a.wanted && ["color", "category"].contains(&a.attribute.as_str()));
            if !a.predicted && !a.found.is_empty() {
                assert_eq!(result.labels.get(&a.attribute), Some(&a.found));
            }
            assert_eq!(a.edited, ["color", "category"].contains(&a.attribute.as_str()));
        }
        let mut edited = explanation.attributes.iter().filter(|a| a.edited);
        let met = edited.clone().all(|a| a.outcome() == v1::AttributeOutcome::Changed);
        assert_eq!(result.matches_all, met, "exactly what was asked for decides");
        assert_eq!(result.matches_predicted, met && edited.any(|a| a.predicted));
    }
    // Equal weights of any size are Eq. 4.
    let heads = ["collar", "color", "fastening", "general", "neckline", "pattern", "sleeve_length"];
    let equal = |weight: f64| {
        let by_head: Vec<_> = heads.iter().map(|h| (*h, weight)).collect();
        v1::SearchRequest { weighting: weights(&by_head, false), ..by_image(query.clone(), 20) }
    };
    let plain = search(&mut client, equal(1.0)).await;
    let same = search(&mut client, equal(3.0)).await;
    let ranks = |a: &v1::SearchResponse| {
        a.results.iter().map(|r| (r.item_id.clone(), r.distance)).collect::<Vec<_>>()
    };
    assert_eq!(ranks(&plain), ranks(&same));
    assert!(plain.weights.values().all(|w| (w - 1.0).abs() < 1e-9));
    server.finish().await;
}

#[tokio::test]
async fn without_weights_each_head_has_its_own_and_a_changed_one_more() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 20).await;
    let heads =
        client.heads.list_heads(v1::ListHeadsRequest::default()).await.expect("answers").into_inner().heads;
    let query = by_image(to_jpeg(&render(2, 3).photo), 5);
    let own = |edited: &str, found: &v1::SearchResponse| {
        let confidence: BTreeMap<_, _> =
            found.head_weights.iter().filter_map(|w| Some((&w.head, w.confidence?))).collect();
        let weight = |h: &v1::Head| match confidence.get(&h.name) {
            Some(p) => h.weight * p.powf(h.confidence_exponent),
            None => h.weight * if h.name == edited { h.changed_weight } else { 1.0 },
        };
        let total: f64 = heads.iter().map(weight).sum();
        heads.iter().map(|h| (h.name.clone(), weight(h) / total * heads.len() as f64)).collect::<Vec<_>>()
    };
    let edited = v1::SearchRequest { manipulations: vec![set("color", "red")], ..query.clone() };
    for (request, edited) in [(query, ""), (edited, "color")] {
        let answer = search(&mut client, request).await;
        let found = &answer.weights;
        for (head, weight) in own(edited, &answer) {
            assert!((found[&head] - weight).abs() < 1e-6, "{head}: {} instead of {weight}", found[&head]);
        }
    }
    assert!(
        heads.iter().all(|h| h.changed_weight > 1.0),
        "the shipped heads count more when they are changed"
    );
    server.finish().await;
}

/// The weight of the sport head in a search, which must come about as the answer says.
async fn sport_weight(client: &mut Client, request: v1::SearchRequest) -> v1::HeadWeight {
    let answer = search(client, request).await;
    let before = |w: &v1::HeadWeight| w.given_weight.unwrap_or(w.own_weight) * w.factor;
    let total: f64 = answer.head_weights.iter().map(before).sum();
    assert_eq!(answer.head_weights.len(), answer.weights.len());
    for w in &answer.head_weights {
        let weight = before(w) / total * answer.weights.len() as f64;
        assert!((w.weight - weight).abs() < 1e-9 && w.weight == answer.weights[&w.head], "{w:?}");
    }
    answer.head_weights.into_iter().find(|w| w.head == "sport").expect("in play")
}

#[tokio::test]
async fn the_answer_says_how_confidence_edits_and_given_weights_led_to_its_weights() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 20).await;
    let mut bundle = Bundle::parse(&sport_bundle()).expect("sound");
    let manifest = &mut bundle.manifest;
    (manifest.weight, manifest.changed_weight, manifest.confidence) = (3.0, 2.5, 2.0);
    client.register_bundle(&bundle.to_bytes().expect("written")).await.expect("registered");
    assert_eq!(settled(&mut client, "sport").await.confidence_exponent, 2.0);
    let photo = to_jpeg(&render(2, 3).photo);
    let source = Some(v1::describe_request::Source::Image(photo.clone()));
    let request = v1::DescribeRequest { source, labels_max: 1, ..Default::default() };
    let seen = client.search.describe(request).await.expect("described").into_inner().attributes;
    let p = seen.iter().find(|a| a.attribute == "sport").expect("told").labels[0].probability;
    let plain = by_image(photo, 3);
    let edited = v1::SearchRequest { manipulations: vec![set("sport", "football")], ..plain.clone() };
    let own = sport_weight(&mut client, plain.clone()).await;
    let confidence = own.confidence.expect("it plays a part");
    assert!((confidence - f64::from(p)).abs() < 1e-4, "{confidence}, described with {p}");
    assert!((own.factor - confidence * confidence).abs() < 1e-9 && own.own_weight == 3.0 && !own.edited);
    let asked = sport_weight(&mut client, edited.clone()).await;
    assert_eq!((asked.confidence, asked.edited, asked.factor, asked.given_weight), (None, true, 2.5, None));
    let profile = v1::SaveProfileRequest {
        name: "fan".into(),
        weights: BTreeMap::from([("sport".into(), 2.0)]),
        ..Default::default()
    };
    client.feedback.save_profile(profile).await.expect("saved");
    let by_profile = Some(v1::search_request::Weighting::Profile("fan".into()));
    let by_request = weights(&[("sport", 2.0)], false);
    for (request, weighting, factor) in [
        (&plain, &by_profile, 1.0),
        (&edited, &by_profile, 2.5),
        (&plain, &by_request, 1.0),
        (&edited, &by_request, 1.0),
    ] {
        let request = v1::SearchRequest { weighting: weighting.clone(), ..request.clone() };
        let is_edited = !request.manipulations.is_empty();
        let given = sport_weight(&mut client, request).await;
        assert_eq!((given.confidence, given.edited, given.factor), (None, is_edited, factor));
        assert_eq!(given.given_weight, Some(2.0));
    }
    // Weights from picks are taken as they are.
    let request = v1::PersonaliseRequest {
        picked_ids: vec!["g1".into(), "g2".into()],
        manipulations: vec![set("sport", "football")],
        ..Default::default()
    };
    let picked = client.feedback.personalise(request).await.expect("answers").into_inner();
    assert_eq!(picked.head_weights.len(), picked.weights.len());
    assert!(picked.head_weights.iter().all(|w| w.given_weight.is_some() && w.factor == 1.0), "{picked:?}");
    server.finish().await;
}

#[tokio::test]
async fn an_edit_is_never_told_as_done_while_its_head_weighs_nothing() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 30).await;
    let edited = v1::SearchRequest { manipulations: vec![set("color", "red")], ..by_item("g4", 5) };
    for weighting in [weights(&[("color", 0.0)], false), weights(&[("pattern", 1.0)], true)] {
        let request = v1::SearchRequest { weighting, ..edited.clone() };
        let refused = client.search.search(request).await.expect_err("refused");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        let details = refused.get_error_details();
        let violations = &details.bad_request().expect("fields").field_violations;
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert_eq!(violations[0].field, "manipulations[0]");
        assert!(violations[0].description.contains("\"color\""), "{violations:?}");
    }
    // A profile says what counts in general; the edit is weighed as if it did not name the head.
    let profile = v1::SaveProfileRequest {
        name: "colour-blind".into(),
        weights: BTreeMap::from([("color".into(), 0.0), ("pattern".into(), 2.0)]),
        ..Default::default()
    };
    client.feedback.save_profile(profile).await.expect("saved");
    let weighting = Some(v1::search_request::Weighting::Profile("colour-blind".into()));
    let plain = v1::SearchRequest { weighting: weighting.clone(), ..by_item("g4", 5) };
    assert!(!search(&mut client, plain).await.weights.contains_key("color"));
    let answer = search(&mut client, v1::SearchRequest { weighting, ..edited.clone() }).await;
    let own = search(&mut client, edited).await;
    let color = |answer: &v1::SearchResponse| {
        let found = answer.head_weights.iter().find(|w| w.head == "color").expect("in play");
        (found.own_weight, found.given_weight, found.edited, found.factor)
    };
    assert_eq!(color(&answer), color(&own));
    assert!(color(&answer).1.is_none() && answer.manipulations.len() == 1);
    server.finish().await;
}

#[tokio::test]
async fn an_item_finds_itself_and_exclusion_leaves_it_out() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 30).await;
    let itself = search(&mut client, by_item("g4", 3)).await;
    assert_eq!((itself.results[0].item_id.as_str(), itself.results[0].distance), ("g4", 0.0));
    let others =
        search(&mut client, v1::SearchRequest { exclude_ids: vec!["g4".into()], ..by_item("g4", 30) }).await;
    assert!(others.results.len() == 29 && others.results.iter().all(|r| r.item_id != "g4"));
    let filter = v1::LabelFilter {
        attribute: "category".into(),
        labels: vec!["t-shirt".into(), "shirt".into()],
        ..v1::LabelFilter::default()
    };
    let few = search(&mut client, v1::SearchRequest { filters: vec![filter], ..by_item("g4", 30) }).await;
    assert!(!few.results.is_empty());
    assert!(few.results.iter().all(|r| ["t-shirt", "shirt"].contains(&r.labels["category"].as_str())));
    // The signatures that Describe gives, sent back, are the same query.
    let source = Some(v1::describe_request::Source::ItemId("g4".into()));
    let request = v1::DescribeRequest {
        source,
        include_signatures: true,
        labels_max: 1,
        picture: None,
        ..Default::default()
    };
    let signatures = client.search.describe(request).await.expect("described").into_inner().signatures;
    let source = Some(v1::query::Source::Signatures(v1::SignatureSet { signatures }));
    let query = Some(v1::Query { source, also_signatures: Vec::new() });
    let raw = v1::SearchRequest { query, k: 3, ..v1::SearchRequest::default() };
    let raw = search(&mut client, raw).await;
    for (a, b) in raw.results.iter().zip(&itself.results) {
        assert!(a.item_id == b.item_id && (a.distance - b.distance).abs() < 1e-4);
    }
    server.finish().await;
}

#[tokio::test]
async fn a_batch_answers_each_search_and_one_failure_stays_alone() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 20).await;
    let requests =
        vec![by_item("g1", 3), by_item("nobody", 3), by_item("g2", 0), by_image(b"no image".to_vec(), 1)];
    let answer =
        client.search.search_batch(v1::SearchBatchRequest { requests }).await.expect("answers").into_inner();
    let reasons: Vec<_> = answer
        .results
        .into_iter()
        .map(|r| match r.outcome.expect("set") {
            v1::search_batch_result::Outcome::Response(r) => r.results[0].item_id.clone(),
            v1::search_batch_result::Outcome::Error(e) => e.reason,
        })
        .collect();
    assert_eq!(reasons, ["g1", "NOT_FOUND", "INVALID_FIELD", "BAD_IMAGE"]);
    server.finish().await;
}

#[tokio::test]
async fn one_head_is_searched_by_its_index() {
    let server = TestServer::start_with(|c| c.search.hnsw_items_min = 10).await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 60).await;
    let one = |exact| v1::SearchRequest {
        weighting: weights(&[("color", 1.0)], true),
        exact,
        plan: v1::PlanKind::Hnsw.into(),
        ..by_item("g7", 5)
    };
    let exact = search(&mut client, one(true)).await;
    assert_eq!(exact.plan.expect("named").kind(), v1::PlanKind::ExactScan);
    // The index follows in the background; until it has, the scan answers, and always the same.
    let mut by_index = false;
    for _ in 0..5000 {
        let answer = search(&mut client, one(false)).await;
        assert_eq!(answer.results, exact.results);
        assert_eq!(answer.weights.len(), 1);
        by_index = answer.plan.expect("named").kind() == v1::PlanKind::Hnsw;
        if by_index {
            break;
        }
    }
    assert!(by_index, "the index never caught up");
    server.finish().await;
}

#[tokio::test]
async fn picks_that_agree_only_on_colour_raise_its_weight() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    // Red garments that differ in everything else.
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut items = Vec::new();
    let looks = [
        ("t-shirt", "plain", "none", "short", "none"),
        ("shirt", "striped", "shirt", "long", "button"),
        ("hoodie", "polka-dot", "hood", "long", "zip"),
        ("dress", "marl", "none", "sleeveless", "belt"),
        ("top", "herringbone", "none", "spaghetti", "laces"),
    ];
    for (i, (category, pattern, collar, sleeve_length, fastening)) in looks.into_iter().enumerate() {
        let garment = Garment::sample_category(category, &mut rng).expect("a category");
        let (collar, sleeve_length) = (Some(collar), Some(sleeve_length));
        let garment =
            Garment { pattern, collar, sleeve_length, fastening, fabric: "woven", sport: "none", ..garment };
        let garment = Garment { color: "red", ..garment };
        items.push(item(&format!("red{i}"), &render_garment(&garment, &mut rng)));
    }
    client.upsert(items).await.expect("stored");
    ingest(&mut client, 9, 60).await;
    let picked_ids: Vec<String> = (0..looks.len()).map(|i| format!("red{i}")).collect();
    let request =
        v1::PersonaliseRequest { picked_ids: picked_ids.clone(), k: 10, ..v1::PersonaliseRequest::default() };
    let answer = client.feedback.personalise(request).await.expect("answers").into_inner();
    println!("weights {:?}", answer.weights);
    assert!((sum(&answer.weights) - answer.weights.len() as f64).abs() < 1e-9);
    let color = answer.weights["color"];
    assert!(answer.weights.iter().all(|(head, w)| head == "color" || *w < color), "{:?}", answer.weights);
    assert!(answer.replaced_query_item_id.is_empty() && answer.results.len() == 10);
    // A single pick becomes the query, and the weights stay.
    let request =
        v1::PersonaliseRequest { picked_ids: vec!["red1".into()], k: 3, ..v1::PersonaliseRequest::default() };
    let one = client.feedback.personalise(request).await.expect("answers").into_inner();
    assert_eq!((one.replaced_query_item_id.as_str(), one.results[0].item_id.as_str()), ("red1", "red1"));
    assert!((sum(&one.weights) - one.weights.len() as f64).abs() < 1e-9);
    assert!(one.weights["color"] < color, "one pick says nothing about weights");
    // Saved, the weights rank a later search as they ranked here.
    let request = v1::SaveProfileRequest {
        name: "red lover".into(),
        weights: answer.weights.clone(),
        picked_ids,
        ..Default::default()
    };
    client.feedback.save_profile(request).await.expect("saved");
    let weighting = Some(v1::search_request::Weighting::Profile("red lover".into()));
    let by_profile = search(&mut client, v1::SearchRequest { weighting, ..by_item("g3", 5) }).await;
    assert!(by_profile.weights.iter().all(|(head, w)| (w - answer.weights[head]).abs() < 1e-9));
    server.finish().await;
}

#[tokio::test]
async fn a_photo_in_another_format_or_size_is_the_same_query() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 40).await;
    let photo: Photo = render(1, 6).photo;
    let picture =
        image::RgbImage::from_raw(photo.width(), photo.height(), photo.rgb().to_vec()).expect("sized");
    let large = image::imageops::resize(&picture, 576, 768, image::imageops::FilterType::Triangle);
    for format in [image::ImageFormat::Png, image::ImageFormat::WebP, image::ImageFormat::Jpeg] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        large.write_to(&mut bytes, format).expect("encoded");
        let answer = search(&mut client, by_image(bytes.into_inner(), 1)).await;
        assert_eq!(answer.results[0].item_id, "g6", "{format:?}");
    }
    server.finish().await;
}
