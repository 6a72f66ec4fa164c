//! One result a product, results that differ, an offset and counts, over gRPC.

use lapel_client::{Client, v1};
use lapel_render::{Rendered, render, to_jpeg};
use lapel_tests::{TestServer, by_image, item};
use std::collections::BTreeMap;
use tonic_types::StatusExt;
use v1::field_value::Kind;

const GARMENTS: u64 = 60;

fn keyword(text: &str) -> v1::FieldValue {
    v1::FieldValue { kind: Some(Kind::Keyword(text.to_owned())) }
}

/// The product of a garment: three colours of each, and every tenth belongs to none.
fn product(at: u64) -> Option<v1::FieldValue> {
    (!at.is_multiple_of(10)).then(|| keyword(&format!("p{}", at % 20)))
}

async fn ingest(client: &mut Client) {
    let garments: Vec<Rendered> = (0..GARMENTS).map(|at| render(1, at)).collect();
    let stored = garments.iter().zip(0..).map(|(garment, at)| {
        let mut fields: BTreeMap<String, v1::FieldValue> = BTreeMap::new();
        fields.extend(product(at).map(|product| ("product".to_owned(), product)));
        fields.insert("price".to_owned(), v1::FieldValue { kind: Some(Kind::Number(at as f64 + 0.5)) });
        v1::UpsertItemsRequest { fields, ..item(&format!("g{at}"), garment) }
    });
    let results = client.upsert(stored.collect()).await.expect("stored");
    assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
}

async fn search(client: &mut Client, request: v1::SearchRequest) -> v1::SearchResponse {
    client.search.search(request).await.expect("answers").into_inner()
}

fn number(id: &str) -> u64 {
    id[1..].parse().expect("g and a number")
}

/// All results in their order, taken together by their products.
fn by_hand(all: &[v1::SearchResult], results_max: usize) -> Vec<v1::ResultGroup> {
    let mut groups: Vec<v1::ResultGroup> = Vec::new();
    for result in all {
        let value = product(number(&result.item_id));
        match groups.iter_mut().find(|known| known.value.is_some() && known.value == value) {
            Some(known) if known.results.len() < results_max => known.results.push(result.clone()),
            Some(_) => {}
            None => groups.push(v1::ResultGroup { value, results: vec![result.clone()] }),
        }
    }
    groups
}

fn grouping(field: &str, results_max: u32) -> Option<v1::Grouping> {
    Some(v1::Grouping { field: field.to_owned(), results_max })
}

#[tokio::test]
async fn groups_keep_the_ranking_of_all_that_pass() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client).await;
    let plain =
        v1::SearchRequest { explain: true, ..by_image(to_jpeg(&render(2, 3).photo), GARMENTS as u32) };
    let all = search(&mut client, plain.clone()).await;
    assert_eq!((all.items_passing, all.results.len() as u64), (GARMENTS, GARMENTS));
    for (k, offset, results_max) in [(5, 0, 0), (5, 0, 2), (4, 3, 3), (60, 0, 1)] {
        let group_by = grouping("product", results_max);
        let asked = v1::SearchRequest { k, offset, group_by, ..plain.clone() };
        let answer = search(&mut client, asked).await;
        let wanted = by_hand(&all.results, results_max.max(1) as usize);
        let wanted: Vec<_> = wanted.into_iter().skip(offset as usize).take(k as usize).collect();
        assert!(answer.results.is_empty());
        assert_eq!(answer.groups, wanted, "{k} {offset} {results_max}");
    }
    // A batch has all forms beside each other.
    let grouped = v1::SearchRequest { group_by: grouping("product", 2), k: 5, ..plain.clone() };
    let diversity = Some(v1::Diversity { relevance: 0.5, pool: 30 });
    let diverse = v1::SearchRequest { diversity, k: 8, ..plain.clone() };
    let later = v1::SearchRequest { offset: 6, k: 4, ..plain.clone() };
    let bad = v1::SearchRequest { group_by: grouping("produkt", 1), ..plain };
    let requests = vec![grouped, diverse, later, bad];
    let batch = client.search.search_batch(v1::SearchBatchRequest { requests }).await;
    let results = batch.expect("answers").into_inner().results;
    let answers: Vec<_> = results
        .into_iter()
        .filter_map(|result| match result.outcome {
            Some(v1::search_batch_result::Outcome::Response(answer)) => Some(answer),
            Some(v1::search_batch_result::Outcome::Error(_)) | None => None,
        })
        .collect();
    let [grouped, diverse, later] = answers.as_slice() else { panic!("one of four is refused") };
    assert_eq!(grouped.groups, by_hand(&all.results, 2)[..5]);
    assert_eq!(later.results, all.results[6..10]);
    assert_eq!(diverse.results.len(), 8);
    assert_eq!(diverse.results[0], all.results[0], "the nearest is first");
    assert!(diverse.results.iter().all(|result| all.results[..30].contains(result)), "of the pool");
    server.finish().await;
}

#[tokio::test]
async fn facets_count_what_passes_and_what_is_shown() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client).await;
    let bound = |number: f64| v1::FieldValue { kind: Some(Kind::Number(number)) };
    let of = |field: &str, bounds: &[f64]| v1::FacetRequest {
        of: Some(v1::facet_request::Of::Field(field.to_owned())),
        bounds: bounds.iter().map(|at| bound(*at)).collect(),
        values_max: 60,
        ..v1::FacetRequest::default()
    };
    let asked = v1::SearchRequest {
        facets: vec![of("price", &[10.0, 30.0])],
        result_facets: vec![of("product", &[])],
        offset: 2,
        ..by_image(to_jpeg(&render(2, 3).photo), 7)
    };
    let answer = search(&mut client, asked).await;
    let [prices] = answer.facets.as_slice() else { panic!("one was asked for") };
    assert_eq!(prices.bucket_counts, [10, 20, 30]);
    assert_eq!((prices.least.clone(), prices.greatest.clone()), (Some(bound(0.5)), Some(bound(59.5))));
    let [products] = answer.result_facets.as_slice() else { panic!("one was asked for") };
    let shown = products.counts.iter().map(|count| count.items).sum::<u64>() + products.missing;
    assert_eq!((shown, answer.results.len()), (7, 7));
    server.finish().await;
}

#[tokio::test]
async fn all_that_is_wrong_is_told_with_its_path() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client).await;
    let plain = by_image(to_jpeg(&render(2, 3).photo), 10);
    let diversity = |relevance, pool| Some(v1::Diversity { relevance, pool });
    let cases: Vec<(v1::SearchRequest, &str)> = vec![
        (v1::SearchRequest { group_by: grouping("produkt", 1), ..plain.clone() }, "group_by.field"),
        (v1::SearchRequest { group_by: grouping("price", 1), ..plain.clone() }, "group_by.field"),
        (v1::SearchRequest { group_by: grouping("", 1), ..plain.clone() }, "group_by.field"),
        (v1::SearchRequest { group_by: grouping("product", 101), ..plain.clone() }, "group_by.results_max"),
        (v1::SearchRequest { diversity: diversity(f64::NAN, 20), ..plain.clone() }, "diversity.relevance"),
        (v1::SearchRequest { diversity: diversity(1.5, 20), ..plain.clone() }, "diversity.relevance"),
        (v1::SearchRequest { diversity: diversity(0.5, 9), ..plain.clone() }, "diversity.pool"),
        (v1::SearchRequest { diversity: diversity(0.5, 100_000), ..plain.clone() }, "diversity.pool"),
        (v1::SearchRequest { diversity: diversity(0.5, 12), offset: 5, ..plain.clone() }, "offset"),
        (v1::SearchRequest { offset: 10_000, ..plain.clone() }, "offset"),
        (v1::SearchRequest { offset: u32::MAX, ..plain.clone() }, "offset"),
        (v1::SearchRequest { paged: true, offset: 1, ..plain.clone() }, "paged"),
        (v1::SearchRequest { paged: true, diversity: diversity(0.5, 0), ..plain.clone() }, "paged"),
        (v1::SearchRequest { page_token: b"x".to_vec(), ..plain }, "page_token"),
    ];
    for (at, (request, field)) in cases.into_iter().enumerate() {
        let status = client.search.search(request).await.expect_err("refused");
        let wanted = if at == 0 { tonic::Code::NotFound } else { tonic::Code::InvalidArgument };
        assert_eq!(status.code(), wanted, "case {at}: {status:?}");
        let violations = status.get_error_details().bad_request().expect("told").field_violations.clone();
        let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, [field], "case {at}");
    }
    server.finish().await;
}
