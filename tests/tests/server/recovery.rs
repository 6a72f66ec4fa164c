//! Requests that come twice, damaged records, folders that cannot be used, backups.

use lapel_client::{Client, v1};
use lapel_heads::Photo;
use lapel_proto::v1::catalog_service_client::CatalogServiceClient;
use lapel_render::{render, to_jpeg};
use lapel_server::{Disk, Server, restore};
use lapel_tests::model::{Changes, ModelItems, check_answers, exported, register_heads};
use lapel_tests::{TestServer, by_item, config_in, external_bundle, ingest, item};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::io::Read;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;

async fn labels(client: &mut Client, id: &str) -> BTreeMap<String, String> {
    let found = client.catalog.get_item(v1::GetItemRequest { id: id.into() }).await.expect("there");
    found.into_inner().item.expect("told").labels
}

#[tokio::test]
async fn a_request_that_comes_twice_is_carried_out_once() {
    let mut server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut client = server.client().await;
    let mood = external_bundle("mood", 2, &["calm", "loud"]);
    let header = |id: &str| v1::RegisterHeadHeader { request_id: id.into(), ..Default::default() };
    client.register_bundle_as(&mood, header("head")).await.expect("registered");
    let put = |label: &str, request_id: &str| v1::UpsertItemsRequest {
        id: "a".into(),
        labels: BTreeMap::from([("mood".to_owned(), label.to_owned())]),
        signatures: vec![v1::Signature { head: "mood".into(), values: vec![1.0, 0.0] }],
        request_id: request_id.into(),
        ..Default::default()
    };
    let first = client.upsert(vec![put("calm", "one")]).await.expect("stored");
    assert!(first[0].error.is_none() && !first[0].replaced);
    let second = client.upsert(vec![put("loud", "two")]).await.expect("stored");
    assert!(second[0].replaced);
    let delete = |id: &str, request_id: &str| v1::DeleteItemsRequest {
        ids: vec![id.into()],
        request_id: request_id.into(),
    };
    for _ in 0..2 {
        let again = client.upsert(vec![put("calm", "one")]).await.expect("answered");
        assert_eq!(again, first, "the first outcome");
        assert_eq!(labels(&mut client, "a").await["mood"], "loud", "a late repetition undoes nothing");
        let other = client.upsert(vec![put("loud", "one")]).await.expect("answered");
        assert_eq!(other[0].error.as_ref().expect("refused").reason, "REQUEST_ID_REUSED");
        let gone =
            client.catalog.delete_items(delete("nobody", "three")).await.expect("deleted").into_inner();
        assert_eq!(gone.not_found, ["nobody"]);
        server.restart().await;
        client = server.client().await;
    }
    let gone = client.catalog.delete_items(delete("a", "four")).await.expect("deleted").into_inner();
    assert_eq!((gone.deleted, gone.not_found.len()), (1, 0));
    client.upsert(vec![put("calm", "")]).await.expect("stored");
    let again = client.catalog.delete_items(delete("a", "four")).await.expect("answered").into_inner();
    assert_eq!(again, gone);
    assert_eq!(labels(&mut client, "a").await["mood"], "calm", "it was not deleted again");
    // A head that was retired since is not registered again by the repetition.
    client.register_bundle(&external_bundle("other", 2, &["x"])).await.expect("registered");
    let retire = |request_id: &str| v1::RetireHeadRequest {
        name: "mood".into(),
        request_id: request_id.into(),
        ..Default::default()
    };
    client.heads.retire_head(retire("retire")).await.expect("retired");
    let head = client.register_bundle_as(&mood, header("head")).await.expect("answered");
    assert_eq!((head.version, head.state()), (1, v1::HeadState::Retired));
    client.heads.retire_head(retire("retire")).await.expect("answered");
    assert_eq!(client.heads.retire_head(retire("")).await.expect_err("gone").code(), Code::NotFound);
    let bad = client.heads.retire_head(retire(" spaces ")).await.expect_err("no request id");
    assert_eq!(bad.code(), Code::InvalidArgument);
    server.finish().await;
}

#[tokio::test]
async fn a_request_id_belongs_to_its_method() {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", 2, &["calm", "loud"])).await.expect("registered");
    let held = v1::RegisterHeadHeader { update: true, hold: true, ..Default::default() };
    let update = external_bundle("mood", 2, &["calm", "loud", "sad"]);
    client.register_bundle_as(&update, held).await.expect("registered");
    let (name, request_id) = ("mood".to_owned(), "one".to_owned());
    let promote = v1::PromoteHeadRequest {
        name: name.clone(),
        version: 2,
        request_id: request_id.clone(),
        allow_missing: false,
    };
    client.heads.promote_head(promote.clone()).await.expect("promoted");
    // The same fields in the same places, but it asks for something else.
    let retire = v1::RetireHeadRequest { name, version: 2, request_id };
    let refused = client.heads.retire_head(retire).await.expect_err("the id was that of another request");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let details = refused.get_error_details();
    assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("REQUEST_ID_REUSED"));
    let again = client.heads.promote_head(promote).await.expect("answered").into_inner().head;
    assert_eq!(again.expect("told").state(), v1::HeadState::Active);
    server.finish().await;
}

/// A picture that no encoder makes small.
fn noise(seed: u64) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rgb = (0..300 * 300 * 3).map(|_| random.random::<u8>()).collect();
    to_jpeg(&Photo::from_rgb(300, 300, rgb).expect("a photo"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_one_moment_with_all_of_its_images() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    let item = |n: u64, seed: u64| v1::UpsertItemsRequest {
        id: format!("n{n:02}"),
        image: noise(seed),
        ..Default::default()
    };
    let results = client.upsert((0..32).map(|n| item(n, n)).collect()).await.expect("stored");
    assert!(results.iter().all(|r| r.error.is_none()), "{results:?}");
    // A reader with small windows, so that most of the export lies before it when the catalogue changes.
    let endpoint = Channel::from_shared(server.address.clone()).expect("an address");
    let endpoint = endpoint.initial_stream_window_size(65_535_u32).initial_connection_window_size(65_535_u32);
    let mut reader = CatalogServiceClient::new(endpoint.connect().await.expect("connects"));
    let mut export =
        reader.export_items(v1::ExportItemsRequest::default()).await.expect("begins").into_inner();
    let first = export.message().await.expect("an item").expect("the first");
    assert_eq!(first.item.expect("told").id, "n00");
    client.upsert(vec![item(30, 130)]).await.expect("stored");
    let gone = v1::DeleteItemsRequest { ids: vec!["n31".into()], ..Default::default() };
    client.catalog.delete_items(gone).await.expect("deleted");
    for n in 1..32 {
        let exported = export.message().await.expect("an item").expect("all of the moment");
        let told = exported.item.expect("told");
        assert_eq!((told.id, told.has_image), (format!("n{n:02}"), true));
        assert_eq!(exported.image, noise(n), "n{n:02} has the image of the moment");
        assert_eq!(exported.content_type, "image/jpeg");
    }
    assert!(export.message().await.expect("its end").is_none());
    server.finish().await;
}

#[tokio::test]
async fn labels_are_changed_alone() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 51, 12).await;
    let relabel = |id: &str| v1::UpsertItemsRequest {
        id: id.into(),
        labels: BTreeMap::from([("color".to_owned(), "ultraviolet".to_owned())]),
        labels_only: true,
        ..Default::default()
    };
    let before = client.search.search(by_item("g3", 5)).await.expect("answers").into_inner();
    let mut both = relabel("g4");
    both.signatures_only = true;
    let results = client.upsert(vec![relabel("g3"), relabel("nobody"), both]).await.expect("answered");
    assert!(results[0].error.is_none() && results[0].replaced, "{results:?}");
    assert_eq!(results[1].error.as_ref().expect("refused").reason, "NOT_FOUND");
    assert_eq!(results[2].error.as_ref().expect("refused").reason, "INVALID_FIELD");
    for _ in 0..2 {
        assert_eq!(labels(&mut client, "g3").await["color"], "ultraviolet");
        let image = v1::GetItemImageRequest { id: "g3".into(), picture: 0 };
        assert!(!client.catalog.get_item_image(image).await.expect("there").into_inner().image.is_empty());
        let after = client.search.search(by_item("g3", 5)).await.expect("answers").into_inner();
        let ids = |a: &v1::SearchResponse| a.results.iter().map(|r| r.item_id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&before), ids(&after), "its signatures are the same");
        server.restart().await;
        client = server.client().await;
    }
    server.finish().await;
}

/// Flips a bit shortly after the last place where some bytes are found in the catalogue's file.
fn damage(folder: &std::path::Path, text: &[u8], skip: usize) {
    let path = folder.join("catalogue.redb");
    let mut bytes = Vec::new();
    std::fs::File::open(&path).and_then(|mut f| f.read_to_end(&mut bytes)).expect("the file");
    // Every copy of the value: which of them is read is the database's own affair.
    let places: Vec<usize> =
        bytes.windows(text.len()).enumerate().filter(|(_, w)| *w == text).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place + skip] ^= 1;
    }
    std::fs::write(path, bytes).expect("written");
}

#[tokio::test]
async fn damaged_records_are_told_and_the_rest_is_served() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    let garments = ingest(&mut client, 51, 12).await;
    let mut marked = item("g5", &garments[5]);
    marked.labels.insert("mark".into(), "here-it-is".into());
    client.upsert(vec![marked.clone()]).await.expect("stored");
    let image = item("g7", &garments[7]).image;
    server.stop().await;
    damage(server.data(), b"here-it-is", 3);
    // From the middle: the photos' headers are the same.
    damage(server.data(), &image[image.len() / 2..][..60], 20);
    server.run().await;
    let mut client = server.client().await;
    let found = client.catalog.get_item(v1::GetItemRequest { id: "g5".into() }).await.expect_err("damaged");
    assert_eq!(found.code(), Code::DataLoss, "{found:?}");
    assert_eq!(found.get_error_details().error_info().expect("a reason").reason, "DAMAGED_RECORD");
    assert!(found.message().contains("g5"), "{}", found.message());
    let by = client.search.search(by_item("g5", 3)).await.expect_err("damaged");
    assert_eq!(by.code(), Code::DataLoss);
    let stats =
        client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await.expect("counted").into_inner();
    assert_eq!((stats.items, stats.damaged_items, stats.lost_records), (11, vec!["g5".to_owned()], 0));
    let everything = v1::ExportItemsRequest::default();
    let mut export = client.catalog.export_items(everything).await.expect("begun").into_inner();
    let (mut exported, mut without) = (0, Vec::new());
    while let Some(one) = export.message().await.expect("it goes on behind what is damaged") {
        let item = one.item.expect("an item");
        assert_eq!(item.has_image, !one.image.is_empty(), "{}", item.id);
        exported += 1;
        without.extend(one.image_error.map(|error| (item.id, error.reason)));
    }
    assert_eq!((exported, without), (11, vec![("g7".to_owned(), "DAMAGED_RECORD".to_owned())]));
    let picture = v1::GetItemImageRequest { id: "g7".into(), picture: 0 };
    assert_eq!(client.catalog.get_item_image(picture).await.expect_err("damaged").code(), Code::DataLoss);
    let answer = client.search.search(by_item("g7", 12)).await.expect("the rest is served").into_inner();
    assert_eq!(answer.results.len(), 11);
    let mut backup = client.admin.backup(v1::BackupRequest {}).await.expect("begun").into_inner();
    let (mut bytes, mut damaged) = (Vec::new(), 0);
    while let Some(piece) = backup.message().await.expect("what is damaged ends no backup") {
        bytes.extend(piece.chunk);
        damaged += piece.damaged_records;
    }
    assert_eq!(damaged, 2, "the record of g5 and the image of g7");
    let folder = tempfile::tempdir().expect("folder");
    let restored = restore(bytes.as_slice(), folder.path(), &Disk::default()).expect("restored");
    assert_eq!(restored.items, 11);
    // Written again, they are whole again.
    let results = client.upsert(vec![marked, item("g7", &garments[7])]).await.expect("stored");
    assert!(results.iter().all(|r| r.error.is_none() && r.replaced), "{results:?}");
    assert_eq!(labels(&mut client, "g5").await["mark"], "here-it-is");
    server.restart().await;
    let mut client = server.client().await;
    let stats =
        client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await.expect("counted").into_inner();
    assert_eq!((stats.items, stats.damaged_items.len()), (12, 0));
    server.finish().await;
}

#[tokio::test]
async fn a_lost_signature_is_computed_again() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 51, 12).await;
    let request = v1::DescribeRequest {
        source: Some(v1::describe_request::Source::ItemId("g5".into())),
        include_signatures: true,
        ..Default::default()
    };
    let color = |answer: v1::DescribeResponse| {
        answer.signatures.into_iter().find(|s| s.head == "color").map(|s| s.values)
    };
    let before =
        color(client.search.describe(request.clone()).await.expect("described").into_inner()).expect("there");
    let bytes: Vec<u8> = before.iter().flat_map(|v| v.to_le_bytes()).collect();
    server.stop().await;
    damage(server.data(), &bytes, 30);
    server.run().await;
    let mut client = server.client().await;
    // It is healed in the background; until then the item has none.
    let after = loop {
        let answer = client.search.describe(request.clone()).await.expect("described").into_inner();
        match color(answer) {
            Some(after) => break after,
            None => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    };
    // From cached features, which are kept in half precision.
    assert!(lapel_heads::distance(&before, &after) < 2e-3);
    server.finish().await;
}

#[tokio::test]
async fn folders_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("folder");
    let mut config = config_in(folder.path());
    config.model.heads.clear();
    let first = Server::start(config.clone()).await.expect("starts");
    let second = Server::start(config.clone()).await.err().expect("the folder is in use").to_string();
    assert!(second.contains("another server") && second.contains("data"), "{second}");
    drop(first);
    // A file where the folder should be, and a place where nothing can be made, even by root.
    std::fs::write(folder.path().join("file"), "x").expect("written");
    for place in [folder.path().join("file"), "/proc/lapel".into(), "/sys/lapel".into()] {
        let mut config = config.clone();
        config.data = place.clone();
        let error = Server::start(config).await.err().expect("it cannot be used").to_string();
        assert!(error.contains(&place.display().to_string()), "{error}");
        assert!(error.contains("may write"), "{error}");
    }
    // A file that is no catalogue is not touched.
    let other = folder.path().join("other");
    std::fs::create_dir_all(&other).expect("folder");
    std::fs::write(other.join("catalogue.redb"), "this is no database").expect("written");
    let mut config = config.clone();
    config.data = other.clone();
    assert!(Server::start(config).await.is_err());
    let left = std::fs::read_to_string(other.join("catalogue.redb")).expect("there");
    assert_eq!(left, "this is no database");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_while_serving_is_one_moment_and_restores() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(2)).await;
    let mut client = server.client().await;
    register_heads(&mut client).await.expect("registered");
    let (mut items, mut random) = (ModelItems::new(), ChaCha8Rng::seed_from_u64(4));
    let images: Vec<Vec<u8>> = (0..3).map(|i| item("", &render(45, i)).image).collect();
    let changes = Changes { prefix: "i", ids: 200, items_max: 20, images: &images };
    for _ in 0..40 {
        let op = changes.next(&mut random, &items);
        op.send(&mut client, "").await.expect("stored");
        op.apply(&mut items);
    }
    let mut pieces = client.admin.backup(v1::BackupRequest {}).await.expect("begun").into_inner();
    let mut backup = pieces.message().await.expect("a piece").expect("a piece").chunk;
    // Writes after its beginning are not in it.
    let others = Changes { prefix: "later", ids: 50, items_max: 5, images: &[] };
    for _ in 0..10 {
        others.next(&mut random, &ModelItems::new()).send(&mut client, "").await.expect("stored");
    }
    while let Some(piece) = pieces.message().await.expect("a piece") {
        backup.extend(piece.chunk);
    }
    let folder = tempfile::tempdir().expect("folder");
    let mut config = config_in(folder.path());
    config.model.heads.truncate(2);
    let summary = restore(backup.as_slice(), &config.data, &Disk::default()).expect("restored");
    assert_eq!(summary.items, items.len() as u64);
    let restored = Server::start(config).await.expect("starts");
    let address = format!("http://{}", restored.address());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(restored.serve(async { drop(stopped.await) }));
    let mut copy = Client::connect(&address).await.expect("connects");
    assert_eq!(exported(&mut copy).await.expect("exported"), items);
    check_answers(&mut copy, &items, &mut random, "the restored catalogue").await;
    let heads = |client: &mut Client| {
        let mut client = client.clone();
        async move {
            let answer = client.heads.list_heads(v1::ListHeadsRequest::default()).await.expect("listed");
            answer
                .into_inner()
                .heads
                .into_iter()
                .map(|h| (h.name, h.version, h.bundle_sha256))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(heads(&mut copy).await, heads(&mut client).await);
    stop.send(()).expect("it serves");
    serving.await.expect("no panic").expect("serves to its end");
    server.finish().await;
}
