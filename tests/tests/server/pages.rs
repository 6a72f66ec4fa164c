//! Pages of a search over gRPC, beside writes, across a restart, and with tokens that are none.

use lapel_client::{Client, v1};
use lapel_render::{render, to_jpeg};
use lapel_tests::{TestServer, by_image, ingest, item, settled, sport_bundle};
use std::collections::BTreeSet;
use tonic::Code;

async fn search(client: &mut Client, request: v1::SearchRequest) -> v1::SearchResponse {
    client.search.search(request).await.expect("answers").into_inner()
}

fn ids(answer: &v1::SearchResponse) -> Vec<String> {
    answer.results.iter().map(|result| result.item_id.clone()).collect()
}

/// The request of the next page: the same without its query.
fn next(request: &v1::SearchRequest, token: Vec<u8>) -> v1::SearchRequest {
    v1::SearchRequest { query: None, page_token: token, ..request.clone() }
}

#[tokio::test]
async fn pages_go_on_beside_writes_and_across_a_restart() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 60).await;
    let photo = to_jpeg(&render(2, 3).photo);
    let whole = search(&mut client, by_image(photo.clone(), 60)).await;
    let asked = v1::SearchRequest { paged: true, ..by_image(photo, 7) };
    let (mut request, mut came, mut touched) = (asked.clone(), Vec::new(), BTreeSet::new());
    let mut page = 0;
    loop {
        let answer = search(&mut client, request).await;
        assert!(answer.results.len() <= 7);
        assert_eq!(answer.head_weights, whole.head_weights, "the weights stay those of the first page");
        for result in &answer.results {
            let place = (result.distance, result.item_id.clone());
            assert!(came.last().is_none_or(|last| *last < place), "{place:?}");
            came.push(place);
        }
        if answer.next_page_token.is_empty() {
            break;
        }
        request = next(&asked, answer.next_page_token);
        // One is replaced, one goes, one comes.
        let (replaced, gone, new) = (format!("g{}", 3 * page), format!("g{}", 59 - page), format!("n{page}"));
        let stored = vec![item(&replaced, &render(3, page)), item(&new, &render(2, page))];
        let results = client.upsert(stored).await.expect("stored");
        assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
        let deleted = v1::DeleteItemsRequest { ids: vec![gone.clone()], ..Default::default() };
        client.catalog.delete_items(deleted).await.expect("deleted");
        touched.extend([replaced, gone, new]);
        page += 1;
        if page == 3 {
            server.restart().await;
            client = server.client().await;
        }
    }
    let untouched =
        |ids: Vec<String>| -> Vec<String> { ids.into_iter().filter(|id| !touched.contains(id)).collect() };
    assert_eq!(untouched(came.into_iter().map(|(_, id)| id).collect()), untouched(ids(&whole)));
    server.finish().await;
}

#[tokio::test]
async fn a_token_is_of_one_request() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 40).await;
    let asked = v1::SearchRequest { paged: true, explain: true, ..by_image(to_jpeg(&render(2, 3).photo), 5) };
    let first = search(&mut client, asked.clone()).await;
    let whole = search(&mut client, v1::SearchRequest { k: 15, paged: false, ..asked.clone() }).await;
    assert_eq!(first.results, whole.results[..5]);
    assert!(whole.next_page_token.is_empty(), "nothing was asked for");
    let token = first.next_page_token;
    let second = search(&mut client, next(&asked, token.clone())).await;
    assert_eq!(second.results, whole.results[5..10]);
    // A query beside the token changes nothing, and neither does what is asked for besides.
    let beside = v1::SearchRequest { page_token: token.clone(), paged: false, ..asked.clone() };
    let same = search(&mut client, beside).await;
    assert_eq!((same.results, same.next_page_token), (second.results, Vec::new()));
    let mut flipped = token.clone();
    flipped[token.len() / 2] ^= 1;
    let others = [
        next(&asked, flipped),
        next(&asked, token[1..].to_vec()),
        next(&asked, vec![1; 1000]),
        v1::SearchRequest { k: 6, ..next(&asked, token.clone()) },
        v1::SearchRequest { explain: false, ..next(&asked, token.clone()) },
        v1::SearchRequest { exclude_ids: vec!["g1".to_owned()], ..next(&asked, token.clone()) },
        v1::SearchRequest { offset: 3, ..next(&asked, token) },
    ];
    for (at, request) in others.into_iter().enumerate() {
        let status = client.search.search(request).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "case {at}: {status:?}");
        assert!(status.message().contains("page_token"), "case {at}: {status:?}");
    }
    server.finish().await;
}

#[tokio::test]
async fn pages_end_where_a_head_in_play_is_gone_and_at_the_window() {
    let server = TestServer::start_with(|config| {
        (config.limits.window_max, config.limits.k_max) = (12, 12);
    })
    .await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 30).await;
    client.register_bundle(&sport_bundle()).await.expect("registered");
    settled(&mut client, "sport").await;
    let asked = v1::SearchRequest { paged: true, ..by_image(to_jpeg(&render(2, 3).photo), 5) };
    let first = search(&mut client, asked.clone()).await;
    let second = search(&mut client, next(&asked, first.next_page_token.clone())).await;
    let beyond = next(&asked, second.next_page_token);
    let status = client.search.search(beyond).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("pages go to 12"), "{status:?}");
    let retired = v1::RetireHeadRequest { name: "sport".to_owned(), ..Default::default() };
    client.heads.retire_head(retired).await.expect("retired");
    let gone = client.search.search(next(&asked, first.next_page_token)).await.expect_err("refused");
    assert_eq!(gone.code(), Code::FailedPrecondition, "{gone:?}");
    server.finish().await;
}
