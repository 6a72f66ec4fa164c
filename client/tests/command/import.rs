use crate::{lapel, photo};
use lapel_client::{Client, v1};
use lapel_tests::TestServer;
use std::path::Path;

async fn server() -> TestServer {
    TestServer::start_with(|config| config.model.heads.truncate(1)).await
}

fn put(folder: &Path, name: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::copy(photo(), path).expect("copied");
}

async fn ids(client: &mut Client) -> Vec<String> {
    let request = v1::ListItemsRequest { page_size: 100, ..Default::default() };
    let items = client.catalog.list_items(request).await.expect("listed").into_inner().items;
    items.into_iter().map(|item| item.id).collect()
}

#[tokio::test]
async fn one_bad_photo_is_reported_and_a_second_run_goes_on_where_the_first_ended() {
    let (server, folder) = (server().await, tempfile::tempdir().expect("folder"));
    let shop = folder.path().join("shop");
    for n in [0, 1, 2, 4, 5, 7, 8, 9] {
        put(&shop, &format!("{n}.jpg"));
    }
    std::fs::write(shop.join("3.jpg"), "").expect("written");
    let rows: String = (0..10).map(|n| format!("{n}.jpg,red\n")).collect();
    std::fs::write(shop.join("labels.csv"), format!("image,color\n{rows}")).expect("written");
    let report = folder.path().join("report.jsonl");
    let (shop_text, report_text) = (shop.to_str().expect("UTF-8"), report.to_str().expect("UTF-8"));
    let import = ["items", "import", shop_text, "--report", report_text];
    let run = lapel(&server.address, &import).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(run.out.contains("imported 8 items (0 of them replaced), refused 2"), "{}", run.out);
    assert!(run.out.contains("6.jpg") && run.out.contains("is empty"), "{}", run.out);
    assert!(run.err.contains("2 of 10 items were refused"), "{}", run.err);
    let mut client = server.client().await;
    assert_eq!(ids(&mut client).await, ["0", "1", "2", "4", "5", "7", "8", "9"]);
    put(&shop, "6.jpg");
    let run = lapel(&server.address, &import).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    let told = "imported 1 items (0 of them replaced), refused 1; 8 were stored before";
    assert!(run.out.contains(told), "{}", run.out);
    put(&shop, "3.jpg");
    let run = lapel(&server.address, &import).await;
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert_eq!(ids(&mut client).await.len(), 10);
    server.finish().await;
}

#[tokio::test]
async fn a_photo_that_is_too_large_for_a_message_is_refused_alone() {
    let (server, folder) = (server().await, tempfile::tempdir().expect("folder"));
    let shop = folder.path().join("shop");
    for name in ["a.jpg", "c.jpg"] {
        put(&shop, name);
    }
    std::fs::write(shop.join("b.jpg"), vec![0xff; 13 << 20]).expect("written");
    let report = folder.path().join("report.jsonl");
    let (shop, report_text) = (shop.to_str().expect("UTF-8"), report.to_str().expect("UTF-8"));
    let run = lapel(&server.address, &["items", "import", shop, "--report", report_text]).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(run.out.contains("refused 1") && run.err.contains("1 of 3 items were refused"), "{}", run.out);
    let told = std::fs::read_to_string(&report).expect("a report");
    assert_eq!(told.lines().filter(|line| line.contains("\"stored\":true")).count(), 2, "{told}");
    assert_eq!(ids(&mut server.client().await).await, ["a", "c"]);
    server.finish().await;
}

#[tokio::test]
async fn an_import_goes_on_behind_what_streams_that_were_cut_off_stored() {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.limits.stream_items_max = 3;
    })
    .await;
    let folder = tempfile::tempdir().expect("folder");
    for n in 0..10 {
        put(folder.path(), &format!("{n}.jpg"));
    }
    std::fs::write(folder.path().join("4.jpg"), "no photo").expect("written");
    let run = lapel(&server.address, &["items", "import", folder.path().to_str().expect("UTF-8")]).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(run.out.contains("imported 9 items (0 of them replaced), refused 1"), "{}", run.out);
    assert_eq!(ids(&mut server.client().await).await.len(), 9);
    server.finish().await;
}

/// A photo of more than 4 MiB: with comments, which a JPEG may have between its segments.
fn large_photo() -> Vec<u8> {
    let photo = std::fs::read(photo()).expect("read");
    let comment = [&[0xff, 0xfe, 0xff, 0xff][..], &[b' '; 65_533]].concat();
    [&photo[..2], &comment.repeat(80), &photo[2..]].concat()
}

#[tokio::test]
async fn a_large_photo_goes_up_and_comes_down_in_an_export_and_by_itself() {
    let (server, folder) = (server().await, tempfile::tempdir().expect("folder"));
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    put(&folder.path().join("shop"), "small.jpg");
    let large = large_photo();
    assert!(large.len() > 5 << 20);
    std::fs::write(path("shop/large.jpg"), &large).expect("written");
    for (verb, what) in [("import", path("shop")), ("export", path("exported"))] {
        let run = lapel(&server.address, &["items", verb, &what]).await;
        assert_eq!(run.code, Some(0), "{verb}: {}{}", run.out, run.err);
    }
    assert!(std::fs::read(path("exported/images/large.jpg")).expect("exported") == large);
    let run = lapel(&server.address, &["items", "image", "large", &path("one.jpg")]).await;
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(std::fs::read(path("one.jpg")).expect("saved") == large);
    let run = lapel(&server.address, &["items", "import", &path("exported")]).await;
    assert!(run.out.contains("imported 2 items (2 of them replaced)"), "{}{}", run.out, run.err);
    server.finish().await;
}

#[tokio::test]
async fn photos_of_one_name_in_several_folders_are_all_kept() {
    let (server, folder) = (server().await, tempfile::tempdir().expect("folder"));
    for name in ["summer/000.jpg", "summer/001.jpg", "winter/000.jpg", "winter/._000.jpg"] {
        put(folder.path(), name);
    }
    let run = lapel(&server.address, &["items", "import", folder.path().to_str().expect("UTF-8")]).await;
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.err.contains("2 ids are the paths below the folder"), "{}", run.err);
    assert!(run.err.contains("passed over, hidden: winter/._000.jpg"), "{}", run.err);
    let mut client = server.client().await;
    assert_eq!(ids(&mut client).await, ["001", "summer/000", "winter/000"]);
    server.finish().await;
}

#[tokio::test]
async fn one_bad_line_of_an_export_leaves_the_others() {
    let (server, folder) = (server().await, tempfile::tempdir().expect("folder"));
    let (photos, exported) = (folder.path().join("photos"), folder.path().join("exported"));
    for name in ["a.jpg", "b.jpg", "c.jpg", "d.jpg"] {
        put(&photos, name);
    }
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (photos, folder_text) = (path(&photos), path(&exported));
    assert_eq!(lapel(&server.address, &["items", "import", &photos]).await.code, Some(0));
    assert_eq!(lapel(&server.address, &["items", "export", &folder_text]).await.code, Some(0));
    assert_eq!(lapel(&server.address, &["items", "delete", "a", "b", "c", "d"]).await.code, Some(0));
    let file = exported.join("items.jsonl");
    let text = std::fs::read_to_string(&file).expect("read");
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1] = "{\"id\": \"b\", ";
    std::fs::write(&file, format!("{}\n\n", lines.join("\n"))).expect("written");
    std::fs::remove_file(exported.join("images/c.jpg")).expect("removed");
    let run = lapel(&server.address, &["items", "import", &folder_text]).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(run.out.contains("items.jsonl, line 2") && run.out.contains("c.jpg"), "{}", run.out);
    let mut client = server.client().await;
    assert_eq!(ids(&mut client).await, ["a", "d"]);
    server.finish().await;
}

#[tokio::test]
async fn signatures_that_are_not_of_the_lines_are_not_sent() {
    let (server, folder) = (server().await, tempfile::tempdir().expect("folder"));
    let (photos, exported) = (folder.path().join("photos"), folder.path().join("exported"));
    for name in ["a.jpg", "b.jpg", "c.jpg"] {
        put(&photos, name);
    }
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (photos, folder_text) = (path(&photos), path(&exported));
    assert_eq!(lapel(&server.address, &["items", "import", &photos]).await.code, Some(0));
    assert_eq!(lapel(&server.address, &["items", "export", &folder_text]).await.code, Some(0));
    assert_eq!(lapel(&server.address, &["items", "delete", "a", "b", "c"]).await.code, Some(0));
    let lines = exported.join("items.jsonl");
    let text = std::fs::read_to_string(&lines).expect("read");
    let (_, others) = text.split_once('\n').expect("lines");
    std::fs::write(&lines, others).expect("written");
    let run = lapel(&server.address, &["items", "import", &folder_text]).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(
        run.err.contains(".npy has 3 rows") && run.err.contains("items.jsonl has 2 lines"),
        "{}",
        run.err
    );
    assert!(ids(&mut server.client().await).await.is_empty());
    // A file that is cut off is left out, and an item that has nothing else is refused.
    let bare = text.replace("images/c.jpg", "").replace("\"image\":\"\"", "\"image\":null");
    assert_ne!(bare, text);
    std::fs::write(&lines, bare).expect("written");
    let mut files = std::fs::read_dir(exported.join("signatures")).expect("read");
    let file = files.next().expect("a head").expect("read").path();
    let bytes = std::fs::read(&file).expect("read");
    std::fs::write(&file, &bytes[..bytes.len() - 9]).expect("written");
    let run = lapel(&server.address, &["items", "import", &folder_text]).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(run.err.contains("left out, since it cannot be read") && run.err.contains(".npy"), "{}", run.err);
    assert!(run.err.contains("1 of 3 items were refused"), "{}", run.err);
    assert_eq!(ids(&mut server.client().await).await, ["a", "b"]);
    server.finish().await;
}
