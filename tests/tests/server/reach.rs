//! What is attainable of a search's edits, and the edits that are suggested, against plain loops over the labels of
//! rendered garments.

use lapel_client::{Client, v1};
use lapel_heads::Labels;
use lapel_render::Rendered;
use lapel_tests::{TestServer, by_item, ingest, set};
use std::collections::BTreeSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const ITEMS: u64 = 120;

async fn search(client: &mut Client, request: v1::SearchRequest) -> v1::SearchResponse {
    client.search.search(request).await.expect("answers").into_inner()
}

async fn suggest(client: &mut Client, request: v1::SuggestRequest) -> v1::SuggestResponse {
    client.search.suggest(request).await.expect("answers").into_inner()
}

fn like(id: &str) -> Option<v1::Query> {
    by_item(id, 1).query
}

/// The condition that an item carries a label.
fn label(edit: &v1::Manipulation) -> v1::LabelFilter {
    v1::LabelFilter {
        attribute: edit.attribute.clone(),
        labels: vec![edit.label.clone()],
        ..v1::LabelFilter::default()
    }
}

/// The same as a tree.
fn tree(edit: &v1::Manipulation) -> v1::Filter {
    v1::Filter { node: Some(v1::filter::Node::Label(label(edit))) }
}

/// How many garments carry all these labels.
fn carrying<'a>(garments: &[Rendered], wanted: impl IntoIterator<Item = &'a v1::Manipulation>) -> u64 {
    let wanted: Vec<_> = wanted.into_iter().collect();
    let has = |labels: &Labels| wanted.iter().all(|edit| labels.get(&edit.attribute) == Some(&edit.label));
    garments.iter().filter(|garment| has(&garment.labels)).count() as u64
}

/// What is still wanted after a change.
fn left(wanted: &[v1::Manipulation], change: &v1::AttainableChange) -> Vec<v1::Manipulation> {
    let kept = wanted.iter().filter(|edit| !change.given_up.contains(edit));
    let one = |edit: &v1::Manipulation| match &change.replaced {
        Some(replaced) if replaced == edit => set(&edit.attribute, &change.replacement),
        _ => edit.clone(),
    };
    kept.map(one).collect()
}

/// The most wanted labels that some garment carries at once.
fn most_together(garments: &[Rendered], wanted: &[v1::Manipulation]) -> usize {
    let has = |garment: &Rendered| {
        wanted.iter().filter(|edit| garment.labels.get(&edit.attribute) == Some(&edit.label)).count()
    };
    garments.iter().map(has).max().unwrap_or(0)
}

/// A wanted label an attribute, each as some garment has it.
fn wanted(garments: &[Rendered], round: usize) -> Vec<v1::Manipulation> {
    let attributes = ["color", "pattern", "sleeve_length", "collar"];
    let one = |(at, attribute): (usize, &&str)| {
        let garment = &garments[(round * 17 + at * 29) % garments.len()];
        Some(set(attribute, garment.labels.get(*attribute)?))
    };
    attributes.iter().enumerate().filter_map(one).collect()
}

#[tokio::test]
async fn what_is_attainable_is_what_the_labels_say() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let garments = ingest(&mut client, 41, ITEMS).await;
    let (mut given_up, mut replaced) = (0, 0);
    for round in 0..30 {
        let wanted = wanted(&garments, round);
        if wanted.is_empty() {
            continue;
        }
        let ask = || v1::SearchRequest { manipulations: wanted.clone(), ..by_item("g3", 1) };
        let answer = search(&mut client, ask()).await;
        let told = answer.attainability.expect("it has edits");
        assert_eq!(told.items, carrying(&garments, &wanted), "{wanted:?}");
        assert_eq!(told.items, answer.items_with_all_labels, "nothing is filtered");
        let most = most_together(&garments, &wanted);
        assert_eq!(told.changes.is_empty(), told.items > 0 || most == 0, "{wanted:?}: {told:?}");
        for change in &told.changes {
            let left = left(&wanted, change);
            assert_eq!(change.items, carrying(&garments, &left), "{change:?}");
            if change.replaced.is_some() {
                assert!(change.given_up.is_empty() && change.prototype_distance > 0.0, "{change:?}");
                replaced += 1;
            } else {
                assert_eq!(left.len(), most, "as little is given up as can be: {change:?}");
                given_up += 1;
            }
            // The same search, of those alone.
            let filters = left.iter().map(label).collect();
            let of_those = search(&mut client, v1::SearchRequest { filters, ..ask() }).await;
            let first = &of_those.results[0];
            assert_eq!(first.item_id, change.best_item_id, "{change:?}");
            assert!((first.distance - change.best_distance).abs() < 1e-9, "{change:?}");
        }
    }
    assert!(given_up > 0 && replaced > 0, "{given_up} {replaced}");
    let plain = search(&mut client, by_item("g3", 1)).await;
    assert_eq!(plain.attainability, None, "nothing is changed");
    server.finish().await;
}

#[tokio::test]
async fn what_is_attainable_is_so_among_what_passes() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let garments = ingest(&mut client, 41, ITEMS).await;
    let owned = |attribute: &str| garments.iter().find_map(|garment| garment.labels.get(attribute));
    let color = set("color", owned("color").expect("some garment has it"));
    let sleeves = set("sleeve_length", owned("sleeve_length").expect("some garment has it"));
    for (filters, filter) in [(vec![label(&color)], None), (Vec::new(), Some(tree(&color)))] {
        let manipulations = vec![sleeves.clone()];
        let request = v1::SearchRequest { manipulations, filters, filter, ..by_item("g5", 1) };
        let told = search(&mut client, request).await.attainability.expect("it has edits");
        assert_eq!(told.items, carrying(&garments, [&color, &sleeves]));
        for change in &told.changes {
            let left = left(std::slice::from_ref(&sleeves), change);
            assert_eq!(change.items, carrying(&garments, left.iter().chain([&color])), "{change:?}");
        }
    }
    server.finish().await;
}

#[tokio::test]
async fn suggestions_lead_somewhere_and_come_nearest_first() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let garments = ingest(&mut client, 43, ITEMS).await;
    // Labels of some are withheld.
    let is_whole = |garment: &Rendered| ["category", "color"].iter().all(|a| garment.labels.contains_key(*a));
    let at = garments.iter().position(is_whole).expect("some garment has both");
    let (id, own) = (format!("g{at}"), &garments[at].labels);
    let category = set("category", &own["category"]);
    let request =
        v1::SuggestRequest { query: like(&id), suggestions_max: 50, ..v1::SuggestRequest::default() };
    let answer = suggest(&mut client, request.clone()).await;
    assert_eq!(answer.kept.get("category"), Some(&category.label));
    assert!(!answer.suggestions.is_empty());
    for pair in answer.suggestions.windows(2) {
        assert!(pair[0].best_distance <= pair[1].best_distance);
    }
    for one in &answer.suggestions {
        let edit = one.manipulation.as_ref().expect("set");
        assert_ne!(own.get(&edit.attribute), Some(&edit.label), "it is shown already");
        let kept = [&category].into_iter().filter(|kept| kept.attribute != edit.attribute);
        let required: Vec<v1::Manipulation> = kept.chain([edit]).cloned().collect();
        assert_eq!(one.items, carrying(&garments, &required), "{one:?}");
        let edited = v1::SearchRequest {
            manipulations: vec![edit.clone()],
            filters: required.iter().map(label).collect(),
            ..by_item(&id, 1)
        };
        let first = &search(&mut client, edited).await.results[0];
        assert_eq!(first.item_id, one.best_item_id, "{one:?}");
        assert!((first.distance - one.best_distance).abs() < 1e-9, "{one:?}");
    }
    let few = suggest(&mut client, v1::SuggestRequest { suggestions_max: 3, ..request.clone() }).await;
    assert_eq!(few.suggestions, answer.suggestions[..3]);
    // An edit that is made is not suggested again, and what is suggested goes together with it.
    let made = answer.suggestions[0].manipulation.clone().expect("set");
    let more = v1::SuggestRequest { manipulations: vec![made.clone()], ..request.clone() };
    for one in suggest(&mut client, more).await.suggestions {
        let edit = one.manipulation.expect("set");
        assert_ne!(edit.attribute, made.attribute);
        let kept = [&category]
            .into_iter()
            .filter(|kept| ![&edit.attribute, &made.attribute].contains(&&kept.attribute));
        assert_eq!(one.items, carrying(&garments, kept.chain([&edit, &made])));
    }
    // Only what passes counts.
    let color = set("color", &own["color"]);
    let some = v1::SuggestRequest { filter: Some(tree(&color)), keep: vec!["pattern".into()], ..request };
    let answer = suggest(&mut client, some).await;
    let kept: BTreeSet<&str> = answer.kept.keys().map(String::as_str).collect();
    assert!(kept.is_subset(&BTreeSet::from(["pattern"])));
    for one in answer.suggestions {
        let edit = one.manipulation.expect("set");
        assert_ne!(edit.attribute, "color", "none of another color passes");
        let kept = answer.kept.iter().map(|(attribute, label)| set(attribute, label));
        let mut required: Vec<_> = kept.filter(|kept| kept.attribute != edit.attribute).collect();
        required.extend([edit, color.clone()]);
        assert_eq!(one.items, carrying(&garments, &required));
    }
    server.finish().await;
}

#[tokio::test]
async fn faults_of_a_suggestion_are_told_together() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 43, 3).await;
    let fields = |error: &Status| -> Vec<String> {
        let violations = error.get_error_details().bad_request().expect("fields").field_violations.clone();
        violations.into_iter().map(|violation| violation.field).collect()
    };
    let bad = v1::SuggestRequest {
        manipulations: vec![set("colour", "red")],
        keep: vec!["color".into(), "colour".into()],
        suggestions_max: 1_000_000,
        ..v1::SuggestRequest::default()
    };
    let error = client.search.suggest(bad).await.expect_err("refused");
    assert_eq!(error.code(), Code::InvalidArgument);
    let told: BTreeSet<String> = fields(&error).into_iter().collect();
    let expected = ["keep[1]", "manipulations[0].attribute", "query", "suggestions_max"];
    assert_eq!(told, BTreeSet::from(expected.map(str::to_owned)));
    let unknown = v1::SuggestRequest {
        query: like("g0"),
        keep: vec!["colour".into()],
        ..v1::SuggestRequest::default()
    };
    let error = client.search.suggest(unknown).await.expect_err("refused");
    assert_eq!(error.code(), Code::NotFound);
    server.finish().await;
}
