//! What was acknowledged is there after a restart, and after a kill.

use lapel_client::v1;
use lapel_render::{render, to_jpeg};
use lapel_tests::{ChildServer, TestServer, by_default, by_item, ingest, item, sport_bundle};
use std::collections::BTreeMap;
use std::path::Path;

#[tokio::test]
async fn everything_survives_a_restart() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    let garments = ingest(&mut client, 51, 25).await;
    let deleted = v1::DeleteItemsRequest { ids: vec!["g3".into(), "nobody".into()], ..Default::default() };
    let gone = client.catalog.delete_items(deleted).await.expect("deleted").into_inner();
    assert_eq!((gone.deleted, gone.not_found), (1, vec!["nobody".to_owned()]));
    let replaced = client.upsert(vec![item("g4", &render(52, 0))]).await.expect("stored");
    assert!(replaced[0].replaced);
    let save = v1::SaveProfileRequest {
        name: "ann".into(),
        weights: BTreeMap::from([("color".to_owned(), 3.0)]),
        picked_ids: vec!["g1".into()],
        ..Default::default()
    };
    let saved = client.feedback.save_profile(save.clone()).await.expect("saved").into_inner();
    let more = v1::SaveProfileRequest { weights: BTreeMap::from([("color".to_owned(), 1.0)]), ..save };
    client.feedback.save_profile(more).await.expect("saved");
    let before = client.search.search(by_item("g7", 24)).await.expect("answers").into_inner();
    server.restart().await;
    let mut client = server.client().await;
    let after = client.search.search(by_item("g7", 24)).await.expect("answers").into_inner();
    assert_eq!(before.results, after.results);
    assert_eq!(before.generation, after.generation);
    let image = v1::GetItemImageRequest { id: "g9".into(), picture: 0 };
    let image = client.catalog.get_item_image(image).await.expect("there").into_inner();
    assert_eq!((image.image, image.content_type.as_str()), (to_jpeg(&garments[9].photo), "image/jpeg"));
    let undo = v1::UndoProfileRequest { name: "ann".into(), version: 2, ..Default::default() };
    let undone =
        client.feedback.undo_profile(undo).await.expect("undone").into_inner().profile.expect("told");
    assert_eq!(undone.weights, saved.profile.expect("told").weights);
    // Pages cover every item once, in order.
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListItemsRequest { page_size: 7, page_token, filters: Vec::new(), filter: None };
        let page = client.catalog.list_items(request).await.expect("listed").into_inner();
        ids.extend(page.items.into_iter().map(|i| i.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut wanted: Vec<String> = (0..25).filter(|i| *i != 3).map(|i| format!("g{i}")).collect();
    wanted.sort();
    assert_eq!(ids, wanted);
    server.finish().await;
}

async fn child(folder: &Path) -> ChildServer {
    ChildServer::start(env!("CARGO_BIN_EXE_lapel-child-server"), folder, &["--shipped-heads".into()]).await
}

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    let folder = tempfile::tempdir().expect("folder");
    let mut acknowledged: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for round in 0..3u64 {
        let mut server = child(folder.path()).await;
        let stats = server
            .client
            .catalog
            .catalog_stats(v1::CatalogStatsRequest::default())
            .await
            .expect("counted")
            .into_inner();
        assert!(stats.items >= acknowledged.len() as u64, "round {round}");
        for (id, labels) in &acknowledged {
            let found = server
                .client
                .catalog
                .get_item(v1::GetItemRequest { id: id.clone() })
                .await
                .expect("still there");
            let found = found.into_inner().item.expect("told");
            assert_eq!(&found.labels, labels, "round {round}: {id}");
            assert_eq!(found.heads.len(), stats.heads.len(), "round {round}: {id} has every signature");
        }
        assert_eq!(stats.heads.iter().any(|h| h.head == "sport"), round > 0, "round {round}");
        for i in 0..6 {
            let (id, garment) = (format!("r{round}-{i}"), render(60 + round, i));
            let results = server.client.upsert(vec![item(&id, &garment)]).await.expect("stored");
            assert!(results[0].error.is_none());
            acknowledged.insert(id, garment.labels);
        }
        if round == 0 {
            server.client.register_bundle(&sport_bundle()).await.expect("registered");
            let head = lapel_tests::settled(&mut server.client, "sport").await;
            assert_eq!(head.state(), v1::HeadState::Active);
        }
        // A write is under way when the kill comes; it may be there afterwards or not, but not in part.
        let mut client = server.client.clone();
        let late = (0..30).map(|i| item(&format!("late{round}-{i}"), &render(70, i))).collect();
        let writing = tokio::spawn(async move { client.upsert(late).await });
        tokio::task::yield_now().await;
        server.kill();
        assert!(writing.await.expect("no panic").is_err());
    }
}

#[tokio::test]
async fn a_backfill_that_was_killed_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let mut server = child(folder.path()).await;
    ingest(&mut server.client, 81, 120).await;
    let head = server.client.register_bundle(&sport_bundle()).await.expect("registered");
    assert_eq!(head.state(), v1::HeadState::Backfilling);
    server.kill();
    let mut server = child(folder.path()).await;
    let head = lapel_tests::settled(&mut server.client, "sport").await;
    assert_eq!(head.state(), v1::HeadState::Active);
    let stats = server
        .client
        .catalog
        .catalog_stats(v1::CatalogStatsRequest::default())
        .await
        .expect("counted")
        .into_inner();
    let sport = stats.heads.iter().find(|h| h.head == "sport").expect("active");
    assert_eq!((sport.signatures, sport.missing), (120, 0));
    server.kill();
}

#[tokio::test]
async fn an_empty_catalogue_takes_no_more_disk_than_the_readme_says() {
    let server = TestServer::start_with(by_default).await;
    let megabytes = std::fs::metadata(server.data().join("catalogue.redb")).expect("there").len() / 1_000_000;
    assert!(megabytes <= 17, "{megabytes} MB");
    server.finish().await;
}
