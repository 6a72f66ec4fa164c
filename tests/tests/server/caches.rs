//! Caches only save time: damaged or gone, the answers are the same.

use lapel_client::{Client, v1};
use lapel_render::render;
use lapel_server::{ByteSize, Precision};
use lapel_tests::model::{Changes, HEADS, ModelItems, check_answers, exported, register_heads};
use lapel_tests::{TestServer, ingest, item, settled, sport_bundle};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};

/// Flips one bit of a file, at a part of its length.
fn flip(path: &Path, part: f64) {
    let mut bytes = std::fs::read(path).expect("the file");
    let at = ((bytes.len() - 1) as f64 * part) as usize;
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).expect("written");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("the caches").map(|f| f.expect("a file").path()).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_in_every_cached_file_are_healed() {
    flip_every_file(0, &[("column", 2), ("index", 2), ("rows", 0), ("state", 3)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_in_every_file_of_signatures_are_healed() {
    // All of them are in files, and there is no index. The items have a state, too.
    flip_every_file(1, &[("column", 2), ("index", 0), ("rows", 4), ("state", 3)]).await;
}

/// Of a server that holds so many bytes of signatures in memory (0: all), and has so many files of each ending.
async fn flip_every_file(memory_bytes: usize, wanted: &[(&str, usize)]) {
    let mut server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.search.hnsw_items_min = 500;
        config.search.memory_bytes = ByteSize(memory_bytes);
        config.search.signatures = Some(Precision::F32);
    })
    .await;
    let mut client = server.client().await;
    register_heads(&mut client).await.expect("registered");
    let (mut items, mut random) = (ModelItems::new(), ChaCha8Rng::seed_from_u64(3));
    let changes = Changes { prefix: "i", ids: 9000, items_max: 400, images: &[] };
    // Enough for codes and an index, with holes from deleted items.
    while items.len() < 5000 {
        let op = changes.next(&mut random, &items);
        op.send(&mut client, "").await.expect("stored");
        op.apply(&mut items);
    }
    if memory_bytes == 0 {
        all_indexed(&mut client).await;
    }
    server.stop().await;
    let caches = server.data().join("caches");
    let written = files(&caches);
    server.run().await;
    let endings =
        |ending: &str| written.iter().filter(|f| f.extension().is_some_and(|e| e == ending)).count();
    let found: Vec<(&str, usize)> = wanted.iter().map(|(ending, _)| (*ending, endings(ending))).collect();
    assert_eq!(found, wanted, "{written:?}");
    assert!(!written.iter().any(|f| f.to_string_lossy().ends_with("unfinished")), "{written:?}");
    for (case, name) in written.iter().enumerate() {
        for part in [0.0, 0.01, 0.5, 1.0] {
            let context = format!("{} flipped at {part}", name.display());
            if name.extension().is_some_and(|ending| ending == "index") {
                all_indexed(&mut server.client().await).await;
            }
            server.stop().await;
            assert!(name.exists(), "{context}: it was written anew");
            flip(name, part);
            server.run().await;
            let mut client = server.client().await;
            // What is in files is verified as it is read, and taken from the store then.
            all_readable(&mut client).await;
            check_answers(&mut client, &items, &mut random, &context).await;
            if part == 0.5 && case % 2 == 0 {
                let op = changes.next(&mut random, &items);
                op.send(&mut client, "").await.expect("stored");
                op.apply(&mut items);
                check_answers(&mut client, &items, &mut random, &context).await;
            }
        }
    }
    server.stop().await;
    std::fs::remove_dir_all(&caches).expect("removed");
    server.run().await;
    let mut client = server.client().await;
    check_answers(&mut client, &items, &mut random, "without any cache").await;
    assert_eq!(exported(&mut client).await.expect("exported"), items);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_whose_files_are_cut_under_a_server_are_taken_from_the_store() {
    let mut server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.search.memory_bytes = ByteSize(1);
        config.search.signatures = Some(Precision::F32);
    })
    .await;
    let mut client = server.client().await;
    register_heads(&mut client).await.expect("registered");
    let (mut items, mut random) = (ModelItems::new(), ChaCha8Rng::seed_from_u64(4));
    let changes = Changes { prefix: "i", ids: 900, items_max: 300, images: &[] };
    while items.len() < 800 {
        let op = changes.next(&mut random, &items);
        op.send(&mut client, "").await.expect("stored");
        op.apply(&mut items);
    }
    server.restart().await;
    let mut client = server.client().await;
    let caches = server.data().join("caches");
    let rows: Vec<PathBuf> = files(&caches)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "rows"))
        .collect();
    assert_eq!(rows.len(), 4, "{rows:?}");
    let mut refused = 0;
    for part in [2, 1_000_000] {
        for path in &rows {
            let file = std::fs::File::options().write(true).open(path).expect("the file");
            file.set_len(file.metadata().expect("there").len() / part).expect("cut");
        }
        refused += all_readable(&mut client).await;
        check_answers(&mut client, &items, &mut random, "after its files were cut").await;
    }
    assert!(refused > 0, "what was cut off is missed");
    server.finish().await;
}

/// A search by one head.
fn by_signature(head: &str, dim: usize) -> v1::SearchRequest {
    let signature = v1::Signature { head: head.to_owned(), values: vec![1.0; dim] };
    let set = v1::SignatureSet { signatures: vec![signature] };
    v1::SearchRequest {
        query: Some(v1::Query {
            source: Some(v1::query::Source::Signatures(set)),
            also_signatures: Vec::new(),
        }),
        k: 1,
        ..Default::default()
    }
}

/// Searches all signatures until they can be read, and returns how often they could not.
async fn all_readable(client: &mut Client) -> u64 {
    let mut refused = 0;
    for (head, dim) in HEADS {
        let request = v1::SearchRequest { exact: true, ..by_signature(head, dim) };
        while let Err(status) = client.search.search(request.clone()).await {
            assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
            refused += 1;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    refused
}

/// Waits until the indexes of all heads answer.
async fn all_indexed(client: &mut Client) {
    for (head, dim) in HEADS {
        indexed(client, head, dim).await;
    }
}

/// Waits until the index of a head answers.
async fn indexed(client: &mut Client, head: &str, dim: usize) {
    let request = v1::SearchRequest { plan: v1::PlanKind::Hnsw.into(), ..by_signature(head, dim) };
    let kind = |answer: v1::SearchResponse| answer.plan.expect("told").kind();
    while kind(client.search.search(request.clone()).await.expect("answers").into_inner())
        != v1::PlanKind::Hnsw
    {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn sport_signatures(client: &mut Client) -> Vec<Vec<f32>> {
    let request = v1::ExportItemsRequest { no_images: true, ..Default::default() };
    let mut stream = client.catalog.export_items(request).await.expect("begun").into_inner();
    let mut all = Vec::new();
    while let Some(exported) = stream.message().await.expect("an item") {
        let sport = exported.signatures.into_iter().find(|s| s.head == "sport");
        all.push(sport.expect("every item has one").values);
    }
    all
}

async fn taught(client: &mut Client) -> v1::BackfillProgress {
    client.register_bundle(&sport_bundle()).await.expect("registered");
    let head = settled(client, "sport").await;
    assert_eq!(head.state(), v1::HeadState::Active, "{head:?}");
    head.backfill.expect("told")
}

async fn forget(client: &mut Client) {
    let request = v1::RetireHeadRequest { name: "sport".into(), ..Default::default() };
    client.heads.retire_head(request).await.expect("retired");
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_features_give_the_same_signatures_and_damaged_ones_are_computed_anew() {
    let mut server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        // Room for 60 photos of 110 KiB.
        config.features.budget_bytes = ByteSize(60 * 111_500);
    })
    .await;
    let mut client = server.client().await;
    ingest(&mut client, 31, 40).await;
    let stats =
        client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await.expect("counted").into_inner();
    assert_eq!(stats.cached_features, 40);
    let progress = taught(&mut client).await;
    assert_eq!((progress.items_done, progress.items_from_cache), (40, 40));
    let cached = sport_signatures(&mut client).await;
    forget(&mut client).await;
    server.stop().await;
    let features = files(&server.data().join("features")).remove(0);
    for record in 0..5 {
        flip(&features, 0.02 + 0.2 * f64::from(record));
    }
    server.run().await;
    let mut client = server.client().await;
    let progress = taught(&mut client).await;
    assert_eq!((progress.items_done, progress.items_from_cache), (40, 35), "five records were damaged");
    assert_eq!(progress.items_skipped, 0);
    let healed = sport_signatures(&mut client).await;
    forget(&mut client).await;
    server.stop().await;
    std::fs::remove_dir_all(server.data().join("features")).expect("removed");
    server.run().await;
    let mut client = server.client().await;
    assert_eq!(taught(&mut client).await.items_from_cache, 0);
    let plain = sport_signatures(&mut client).await;
    for (found, wanted) in cached.iter().chain(&healed).zip(plain.iter().chain(&plain)) {
        let distance = lapel_heads::distance(found, wanted);
        assert!(distance < 2e-3, "half precision is all that differs: {distance}");
    }
    // More than the budget: the oldest make room.
    forget(&mut client).await;
    let more = (0..50).map(|i| item(&format!("more{i}"), &render(44, i))).collect();
    assert!(client.upsert(more).await.expect("stored").iter().all(|r| r.error.is_none()));
    let stats =
        client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await.expect("counted").into_inner();
    assert_eq!(stats.cached_features, 60);
    let bytes = std::fs::metadata(files(&server.data().join("features")).remove(0)).expect("there").len();
    assert!(bytes <= 60 * 111_500, "the budget is kept: {bytes}");
    assert_eq!(taught(&mut client).await.items_from_cache, 60);
    server.finish().await;
}
