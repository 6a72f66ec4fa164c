//! Filters, counts and facets: every answer against plain loops over a model of the catalogue, and faults with their paths.

use crate::shop::{
    Piece, Pieces, all, counted, facets, field, keyword, node, number, passes, piece, started, tree,
};
use lapel_client::{Client, v1};
use lapel_tests::by_item;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use v1::field_filter::Condition;
use v1::field_range::Lower;
use v1::filter::Node;

fn check_facets(found: &[v1::Facet], pieces: &[&Piece], context: &str) {
    let asked = facets();
    assert_eq!(found.len(), asked.len(), "{context}");
    for (found, asked) in found.iter().zip(&asked) {
        let mut wanted = counted(pieces, asked);
        if !asked.bounds.is_empty() {
            // Buckets say more of numbers than how many different ones there are.
            wanted.values = found.values;
        }
        assert_eq!(*found, wanted, "{context}");
    }
}

/// Compares a list, a count, and searches by both scans with the model.
async fn check(client: &mut Client, pieces: &Pieces, filter: &v1::Filter, query: &[f32], context: &str) {
    let passing: Vec<(&String, &Piece)> =
        pieces.iter().filter(|(id, piece)| passes(id, piece, filter)).collect();
    let ids: Vec<&String> = passing.iter().map(|(id, _)| *id).collect();
    let of_passing: Vec<&Piece> = passing.iter().map(|(_, piece)| *piece).collect();
    let filter = Some(filter.clone());
    let list = v1::ListItemsRequest { page_size: 1000, filter: filter.clone(), ..Default::default() };
    let list = client.catalog.list_items(list).await.expect("listed").into_inner().items;
    assert_eq!(list.iter().map(|item| &item.id).collect::<Vec<_>>(), ids, "{context}");
    for item in &list {
        assert_eq!(item.fields, pieces[&item.id].fields, "{context}: {}", item.id);
    }
    let count = v1::CountItemsRequest { filter: filter.clone(), facets: facets() };
    let count = client.catalog.count_items(count).await.expect("counted").into_inner();
    assert_eq!((count.items, count.items_total), (ids.len() as u64, pieces.len() as u64), "{context}");
    check_facets(&count.facets, &of_passing, context);
    let signatures = vec![v1::Signature { head: "mood".into(), values: query.to_vec() }];
    let source = Some(v1::query::Source::Signatures(v1::SignatureSet { signatures }));
    let mut nearest = Vec::new();
    for (plan, k) in [
        (v1::PlanKind::ExactScan, 500),
        (v1::PlanKind::CodeScan, 500),
        (v1::PlanKind::ExactScan, 5),
        (v1::PlanKind::CodeScan, 5),
    ] {
        let search = v1::SearchRequest {
            query: Some(v1::Query { source: source.clone(), also_signatures: Vec::new() }),
            filter: filter.clone(),
            k,
            plan: plan.into(),
            facets: facets(),
            result_facets: facets(),
            ..Default::default()
        };
        let answer = client.search.search(search).await.expect("answers").into_inner();
        let mut found: Vec<&String> = answer.results.iter().map(|result| &result.item_id).collect();
        let results: Vec<&Piece> = found.iter().map(|id| &pieces[*id]).collect();
        check_facets(&answer.facets, &of_passing, context);
        check_facets(&answer.result_facets, &results, context);
        assert_eq!(answer.items_passing, ids.len() as u64, "{context}");
        let distances: Vec<f64> = answer.results.iter().map(|result| result.distance).collect();
        if nearest.is_empty() {
            nearest.clone_from(&distances);
        }
        let wanted = ids.len().min(k as usize);
        assert_eq!(distances.len(), wanted, "{context}: {plan:?}");
        let same = |(found, wanted): (&f64, &f64)| (found - wanted).abs() < 1e-6;
        assert!(distances.iter().zip(&nearest).all(same), "{context}: {plan:?}: {distances:?}, {nearest:?}");
        if wanted == ids.len() {
            found.sort();
            assert_eq!(found, ids, "{context}: {plan:?}");
        }
    }
}

#[tokio::test]
async fn lists_counts_searches_and_facets_are_those_of_plain_loops() {
    let (server, mut client) = started().await;
    let mut pieces = Pieces::new();
    for seed in 0..3 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // From the second round on, items are replaced and some are deleted.
        let ids: Vec<String> = pieces.keys().filter(|_| random.random_bool(0.3)).cloned().collect();
        if !ids.is_empty() {
            ids.iter().for_each(|id| drop(pieces.remove(id)));
            let deleted = v1::DeleteItemsRequest { ids, ..Default::default() };
            client.catalog.delete_items(deleted).await.expect("deleted");
        }
        let mut messages = Vec::new();
        for _ in 0..100 {
            let (id, piece) = (format!("i{:03}", random.random_range(0..150)), piece(&mut random));
            if messages.iter().any(|message: &v1::UpsertItemsRequest| message.id == id) {
                continue;
            }
            messages.push(v1::UpsertItemsRequest {
                id: id.clone(),
                labels: piece.labels.clone(),
                fields: piece.fields.clone(),
                signatures: vec![v1::Signature { head: "mood".into(), values: piece.signature.clone() }],
                ..Default::default()
            });
            pieces.insert(id, piece);
        }
        let results = client.upsert(messages).await.expect("stored");
        assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
        for round in 0..25 {
            let filter = tree(&mut random, 3);
            let query: Vec<f32> = (0..4).map(|_| random.random_range(-1.0..1.0)).collect();
            let context = format!("seed {seed}, round {round}, {filter:?}");
            check(&mut client, &pieces, &filter, &query, &context).await;
        }
    }
    server.finish().await;
}

/// The code of a refusal and the fields that it tells.
fn told(status: &Status) -> (Code, Vec<String>) {
    let bad = status.get_error_details().bad_request().map(|bad| bad.field_violations.clone());
    let fields = bad.unwrap_or_default().into_iter().map(|violation| violation.field).collect();
    (status.code(), fields)
}

#[tokio::test]
async fn every_method_tells_the_path_of_each_bad_node() {
    let (server, mut client) = started().await;
    let item = |id: &str| v1::UpsertItemsRequest {
        id: id.into(),
        fields: [("price".to_owned(), number(3.0))].into(),
        signatures: vec![v1::Signature { head: "mood".into(), values: vec![1.0; 4] }],
        ..Default::default()
    };
    client.upsert(vec![item("a"), item("b")]).await.expect("stored");
    let wrong = v1::FieldRange { lower: Some(Lower::From(keyword("cheap"))), upper: None };
    let filter = Some(all(vec![
        field("price", Condition::Exists(true)),
        node(Node::Any(v1::FilterList { filters: vec![field("price", Condition::Range(wrong))] })),
        field("prise", Condition::Exists(true)),
        v1::Filter::default(),
        node(Node::Ids(v1::IdFilter::default())),
    ]));
    let paths = [
        "filter.all[1].any[0].field.range.from",
        "filter.all[2].field.field",
        "filter.all[3]",
        "filter.all[4].ids",
    ];
    let search = v1::SearchRequest { filter: filter.clone(), ..by_item("a", 1) };
    let search = client.search.search(search).await.expect_err("refused");
    let picked_ids = vec!["a".to_owned(), "b".to_owned()];
    let picks = v1::PersonaliseRequest { picked_ids, k: 1, filter: filter.clone(), ..Default::default() };
    let picks = client.feedback.personalise(picks).await.expect_err("refused");
    let list = v1::ListItemsRequest { page_size: 1, filter: filter.clone(), ..Default::default() };
    let list = client.catalog.list_items(list).await.expect_err("refused");
    let count = v1::CountItemsRequest { filter: filter.clone(), facets: Vec::new() };
    let count = client.catalog.count_items(count).await.expect_err("refused");
    let delete = v1::DeleteItemsByFilterRequest { filter, dry_run: true, ..Default::default() };
    let delete = client.catalog.delete_items_by_filter(delete).await.expect_err("refused");
    for (method, status) in
        [("search", search), ("picks", picks), ("list", list), ("count", count), ("delete", delete)]
    {
        let (code, fields) = told(&status);
        assert_eq!((code, fields), (Code::InvalidArgument, paths.map(str::to_owned).to_vec()), "{method}");
    }
    // A name alone that is not there is told with those that there are, also in a facet.
    let facet = v1::FacetRequest {
        of: Some(v1::facet_request::Of::Field("prise".into())),
        ..v1::FacetRequest::default()
    };
    let count = v1::CountItemsRequest { filter: None, facets: vec![facet.clone()] };
    let status = client.catalog.count_items(count).await.expect_err("refused");
    assert_eq!(told(&status), (Code::NotFound, vec!["facets[0].field".to_owned()]));
    assert!(status.message().contains("\"price\""), "{status:?}");
    let search = v1::SearchRequest { result_facets: vec![facet], ..by_item("a", 1) };
    let status = client.search.search(search).await.expect_err("refused");
    assert_eq!(told(&status), (Code::NotFound, vec!["result_facets[0].field".to_owned()]));
    server.finish().await;
}
