//! What a clean stop leaves to the next start, and what a start does not take over.

use lapel_client::{Client, v1};
use lapel_render::render;
use lapel_server::{ByteSize, Precision};
use lapel_tests::model::{Changes, HEADS, ModelItems, check_answers, exported, message, register_heads};
use lapel_tests::probes::{heads_restored, signature_bytes};
use lapel_tests::{TestServer, item};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A server that holds so many bytes of signatures in memory (0: all), with its probes.
async fn server_of(memory_bytes: usize) -> TestServer {
    let server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.operation.probes = Some(([127, 0, 0, 1], 0).into());
        config.search.memory_bytes = ByteSize(memory_bytes);
        config.search.signatures = Some(Precision::F32);
    })
    .await;
    register_heads(&mut server.client().await).await.expect("registered");
    server
}

/// Changes items at random, so many times.
async fn change(client: &mut Client, items: &mut ModelItems, random: &mut ChaCha8Rng, times: usize) {
    // Some have several pictures.
    let images: Vec<Vec<u8>> = (0..3).map(|i| item("", &render(45, i)).image).collect();
    let changes = Changes { prefix: "i", ids: 400, items_max: 20, images: &images };
    for _ in 0..times {
        let op = changes.next(random, items);
        op.send(client, "").await.expect("stored");
        op.apply(items);
    }
}

async fn check_all(server: &TestServer, items: &ModelItems, random: &mut ChaCha8Rng, context: &str) {
    let mut client = server.client().await;
    check_answers(&mut client, items, random, context).await;
    assert_eq!(exported(&mut client).await.expect("exported"), *items, "{context}");
}

async fn restored(server: &TestServer) -> u64 {
    heads_restored(server.probes.expect("configured")).await
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for file in std::fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_takes_over_what_a_stop_left_and_nothing_once_somebody_else_has_opened_the_catalogue() {
    for memory_bytes in [0, 1] {
        let mut server = server_of(memory_bytes).await;
        let (mut items, mut random) = (ModelItems::new(), ChaCha8Rng::seed_from_u64(11));
        assert_eq!(restored(&server).await, 0, "there was no stop");
        for _ in 0..3 {
            change(&mut server.client().await, &mut items, &mut random, 12).await;
            server.restart().await;
            assert_eq!(restored(&server).await, HEADS.len() as u64);
            check_all(&server, &items, &mut random, "taken over").await;
        }
        // Nothing has changed since.
        server.restart().await;
        assert_eq!(restored(&server).await, HEADS.len() as u64);
        server.stop().await;
        let (caches, old) = (server.data().join("caches"), tempfile::tempdir().expect("a folder"));
        copy(&caches, old.path());
        server.run().await;
        change(&mut server.client().await, &mut items, &mut random, 6).await;
        server.stop().await;
        std::fs::remove_dir_all(&caches).expect("removed");
        copy(old.path(), &caches);
        server.run().await;
        assert_eq!(restored(&server).await, 0, "the catalogue is not what it was at that stop");
        check_all(&server, &items, &mut random, "with states of an earlier stop").await;
        server.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn states_of_another_bound_of_memory_are_taken_over_where_they_fit_and_of_another_precision_never() {
    let mut server = server_of(1).await;
    let (mut items, mut random) = (ModelItems::new(), ChaCha8Rng::seed_from_u64(12));
    change(&mut server.client().await, &mut items, &mut random, 20).await;
    // Until all are in files.
    while signature_bytes(server.probes.expect("configured"), "memory").await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = HEADS.len() as u64;
    for (memory_bytes, precision, wanted) in [
        (1, Precision::F32, all),
        // What is in files cannot be had without them.
        (0, Precision::F32, 0),
        (1 << 20, Precision::F32, all),
        (0, Precision::F32, all),
        (0, Precision::F16, 0),
        (0, Precision::F32, 0),
        (0, Precision::F32, all),
    ] {
        server.stop().await;
        server.change(|config| {
            config.search.memory_bytes = ByteSize(memory_bytes);
            config.search.signatures = Some(precision);
        });
        server.run().await;
        let context = format!("with a bound of {memory_bytes} bytes and {precision:?}");
        assert_eq!(restored(&server).await, wanted, "{context}");
        if precision == Precision::F32 {
            check_all(&server, &items, &mut random, &context).await;
            change(&mut server.client().await, &mut items, &mut random, 2).await;
        }
    }
    let rows = |path: PathBuf| path.extension().is_some_and(|ending| ending == "rows");
    let files = std::fs::read_dir(server.data().join("caches")).expect("a folder");
    assert!(!files.map(|file| file.expect("a file").path()).any(rows), "nobody needs them");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_signatures_of_an_earlier_stop_are_not_taken_for_those_of_the_last() {
    let mut server = server_of(1).await;
    let (mut items, mut random) = (ModelItems::new(), ChaCha8Rng::seed_from_u64(14));
    change(&mut server.client().await, &mut items, &mut random, 10).await;
    server.stop().await;
    let (caches, old) = (server.data().join("caches"), tempfile::tempdir().expect("a folder"));
    copy(&caches, old.path());
    // A start that reads the store writes other rows to the places that it finds.
    std::fs::remove_file(caches.join("seal")).expect("removed");
    server.change(|config| config.search.memory_bytes = ByteSize(100 << 20));
    server.run().await;
    change(&mut server.client().await, &mut items, &mut random, 10).await;
    server.stop().await;
    std::fs::remove_file(caches.join("seal")).expect("removed");
    server.change(|config| config.search.memory_bytes = ByteSize(1));
    server.run().await;
    server.stop().await;
    for file in std::fs::read_dir(old.path()).expect("a folder") {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|ending| ending == "rows") {
            std::fs::copy(&path, caches.join(path.file_name().expect("a name"))).expect("copied");
        }
    }
    server.run().await;
    assert_eq!(restored(&server).await, 0);
    check_all(&server, &items, &mut random, "with files of an earlier stop").await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_a_start_did_not_read_and_that_is_damaged_is_written_again() {
    let mut server = server_of(0).await;
    let (mut items, mut random) = (ModelItems::new(), ChaCha8Rng::seed_from_u64(13));
    change(&mut server.client().await, &mut items, &mut random, 20).await;
    server.stop().await;
    let signature = items.values().find_map(|item| item.signatures.get("mood")).expect("one has it");
    let wanted: Vec<u8> = signature.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert!(flip(&server.data().join("catalogue.redb"), &wanted) > 0, "it is stored");
    server.run().await;
    assert_eq!(restored(&server).await, HEADS.len() as u64, "the file looks as it was left");
    check_all(&server, &items, &mut random, "with a damaged signature").await;
    let mut client = server.client().await;
    while damaged_records(&mut client).await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await;
    std::fs::remove_dir_all(server.data().join("caches")).expect("removed");
    server.run().await;
    assert_eq!(restored(&server).await, 0);
    check_all(&server, &items, &mut random, "read from the store").await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_start_did_not_read_and_that_is_damaged_is_told_and_nothing_is_taken_over_after_that()
{
    let mut server = server_of(0).await;
    let (mut items, mut random) = (ModelItems::new(), ChaCha8Rng::seed_from_u64(16));
    change(&mut server.client().await, &mut items, &mut random, 20).await;
    let label = "a label that nothing else has";
    let (id, labelled) =
        items.iter_mut().find(|(_, item)| !item.signatures.is_empty()).expect("one has some");
    labelled.labels.insert("note".into(), label.into());
    let id = id.clone();
    let stored = server.client().await.upsert(vec![message(&id, labelled)]).await.expect("stored");
    assert!(stored.iter().all(|one| one.error.is_none()), "{stored:?}");
    server.stop().await;
    assert!(flip(&server.data().join("catalogue.redb"), label.as_bytes()) > 0, "it is stored");
    server.run().await;
    assert_eq!(restored(&server).await, HEADS.len() as u64, "the file looks as it was left");
    check_all(&server, &items, &mut random, "with a damaged record").await;
    let mut client = server.client().await;
    let told = |stats: v1::CatalogStatsResponse| (stats.items, stats.damaged_items);
    let of_memory = (items.len() as u64, vec![id.clone()]);
    while told(stats(&mut client).await) != of_memory {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.restart().await;
    assert_eq!(restored(&server).await, 0, "the store is read");
    let mut client = server.client().await;
    assert_eq!(told(stats(&mut client).await), (items.len() as u64 - 1, vec![id.clone()]));
    // Written again, it is sound.
    let stored = client.upsert(vec![message(&id, &items[&id])]).await.expect("stored");
    assert!(stored.iter().all(|one| one.error.is_none()), "{stored:?}");
    server.restart().await;
    assert_eq!(restored(&server).await, HEADS.len() as u64);
    check_all(&server, &items, &mut random, "written again").await;
    server.finish().await;
}

async fn stats(client: &mut Client) -> v1::CatalogStatsResponse {
    let request = v1::CatalogStatsRequest::default();
    client.catalog.catalog_stats(request).await.expect("told").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_are_not_as_they_were_left_are_read_from_the_store_with_all_signatures() {
    let mut server = server_of(0).await;
    let (mut items, mut random) = (ModelItems::new(), ChaCha8Rng::seed_from_u64(15));
    let old = tempfile::tempdir().expect("a folder");
    for what in ["flipped", "cut", "gone", "of an earlier stop"] {
        change(&mut server.client().await, &mut items, &mut random, 6).await;
        server.stop().await;
        let state = server.data().join("caches").join("items.state");
        let bytes = std::fs::read(&state).expect("left");
        let changed = match what {
            "flipped" => {
                let mut bytes = bytes.clone();
                let at = random.random_range(0..bytes.len());
                bytes[at] ^= 1 << random.random_range(0..8);
                Some(bytes)
            }
            "cut" => Some(bytes[..random.random_range(0..bytes.len())].to_vec()),
            "gone" => None,
            _ => Some(std::fs::read(old.path().join("items.state")).expect("kept")),
        };
        std::fs::write(old.path().join("items.state"), &bytes).expect("kept");
        match changed {
            Some(changed) => std::fs::write(&state, changed).expect("written"),
            None => std::fs::remove_file(&state).expect("removed"),
        }
        server.run().await;
        assert_eq!(restored(&server).await, 0, "{what}");
        check_all(&server, &items, &mut random, what).await;
        assert!(!state.exists(), "it is of no use any more");
    }
    server.restart().await;
    assert_eq!(restored(&server).await, HEADS.len() as u64);
    server.finish().await;
}

/// Flips a bit of these bytes wherever they are in a file, as a disk would, which leaves no time behind. Returns how often they were there.
fn flip(path: &Path, wanted: &[u8]) -> usize {
    let mut bytes = std::fs::read(path).expect("the file");
    let starts = |at: &usize| bytes[*at..].starts_with(wanted);
    let places: Vec<usize> = (0..bytes.len() - wanted.len()).filter(starts).collect();
    places.iter().for_each(|at| bytes[*at] ^= 1);
    let modified = std::fs::metadata(path).expect("there").modified().expect("told");
    std::fs::write(path, &bytes).expect("written");
    std::fs::File::options().write(true).open(path).expect("opened").set_modified(modified).expect("set");
    places.len()
}

/// Records that a backup of this moment lacks.
async fn damaged_records(client: &mut Client) -> u64 {
    let mut backup = client.admin.backup(v1::BackupRequest {}).await.expect("begun").into_inner();
    let mut damaged = 0;
    while let Some(piece) = backup.message().await.expect("a piece") {
        damaged += piece.damaged_records;
    }
    damaged
}
