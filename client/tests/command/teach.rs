//! Heads that are taught: from labels, fields, a table and photos, with what to label next, and their versions beside each other.

use crate::{Run, lapel, sound};
use lapel_client::v1;
use lapel_tests::{TestServer, by_default};
use std::path::{Path, PathBuf};

/// Garments of a kind in the shop, and how many of them are labelled.
const OF_A_KIND: usize = 12;
const LABELLED: usize = 8;
/// Kinds of garments, each with its label.
const KINDS: [(&str, &str); 2] = [("coat", "over"), ("trouser", "bottom")];

/// The demo's photo of a garment.
fn garment(id: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/wardrobe/images/{id}.jpg"))
}

/// The ids and labels of the garments.
fn garments() -> impl Iterator<Item = (String, &'static str, usize)> {
    let of_kind = |(kind, label): (&'static str, &'static str)| {
        (1..=OF_A_KIND).map(move |n| (format!("{kind}-{n:02}"), label, n))
    };
    KINDS.into_iter().flat_map(of_kind)
}

/// A server on the shipped backbone with one of its heads, and garments of which some are labelled.
async fn shop(folder: &Path) -> TestServer {
    let server = TestServer::start_with(|config| {
        by_default(config);
        config.model.heads.truncate(1);
    })
    .await;
    let mut table = "image,layer,field:kind:keyword\n".to_owned();
    for (id, label, n) in garments() {
        std::fs::copy(garment(&id), folder.join(format!("{id}.jpg"))).expect("copied");
        let stored = if n <= LABELLED { label } else { "" };
        table += &format!("{id}.jpg,{stored},{label}\n");
    }
    std::fs::write(folder.join("labels.csv"), table).expect("written");
    sound(&server, &["items", "import", folder.to_str().expect("UTF-8")]).await;
    server
}

async fn refused(server: &TestServer, arguments: &[&str], code: i32) -> String {
    let run = lapel(&server.address, arguments).await;
    assert_eq!(run.code, Some(code), "{arguments:?}: {}{}", run.out, run.err);
    run.err
}

#[tokio::test]
async fn a_head_is_taught_corrected_and_taught_again() {
    let folder = tempfile::tempdir().expect("folder");
    let server = shop(folder.path()).await;
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let teach = ["teach", "layer", "--from-labels", "layer"];
    let run = sound(&server, &[&teach[..], &["--dry-run"]].concat()).await;
    assert!(run.out.contains("accuracy") && run.out.contains("nothing was registered"), "{}", run.out);
    assert!(!sound(&server, &["heads", "list"]).await.out.contains("layer"));
    let run = sound(&server, &teach).await;
    for told in ["layer version 1 is active", " 16 ", "50.0 %", "over", "bottom", "next: lapel search PHOTO"]
    {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
    assert!(run.err.contains("looking at examples"), "a line where there is no terminal: {}", run.err);
    let run = sound(&server, &["describe", "item:coat-12"]).await;
    assert!(run.out.lines().any(|line| line.contains("layer") && line.contains("over")), "{}", run.out);

    let (sheet, next) = (path("sheet.html"), path("next.csv"));
    let suggest = ["teach", "layer", "--suggest", "3", "--html", &sheet, "--csv-out", &next];
    let run = sound(&server, &suggest).await;
    assert!(run.out.contains(&format!("lapel items update {next} --merge")), "{}", run.out);
    assert!(!run.out.contains("--csv TABLE"), "all that it was taught from is stored: {}", run.out);
    let page = std::fs::read_to_string(&sheet).expect("a page");
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 3);
    assert!(page.contains("<textarea") && !page.contains("<script"));
    let table = std::fs::read_to_string(&next).expect("a table");
    let ids: Vec<&str> = table.lines().skip(1).filter_map(|row| row.strip_suffix(',')).collect();
    assert!(table.starts_with("id,layer\n") && ids.len() == 3, "{table}");
    let unlabelled: Vec<String> = garments().filter(|(_, _, n)| *n > LABELLED).map(|(id, ..)| id).collect();
    assert!(ids.iter().all(|id| unlabelled.iter().any(|other| other == id)), "{table}");
    assert!(refused(&server, &suggest, 1).await.contains("perhaps with labels in it"));

    let label = if ids[0].starts_with("coat") { "over" } else { "bottom" };
    let filled = table.replacen(&format!("{},", ids[0]), &format!("{},{label}", ids[0]), 1);
    std::fs::write(&next, filled).expect("written");
    let run = sound(&server, &["items", "label", &next, "--merge"]).await;
    assert!(run.out.contains("updated 1 items, refused 0"), "{}", run.out);
    assert!(run.err.contains("passed over: 2 rows without a value"), "{}", run.err);
    refused(&server, &["items", "update", &next], 1).await;
    refused(&server, &teach, 1).await;
    let run = sound(&server, &[&teach[..], &["--update", "--hold"]].concat()).await;
    for told in ["layer version 2 is standby", " 17 ", "lapel heads compare layer 2"] {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
    server.finish().await;
}

#[tokio::test]
async fn versions_are_compared_and_downloaded() {
    let folder = tempfile::tempdir().expect("folder");
    let server = shop(folder.path()).await;
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    sound(&server, &["teach", "layer", "--from-labels", "layer"]).await;
    let again = ["teach", "layer", "--from-field", "kind", "--update", "--hold", "--description", "by kind"];
    let run = sound(&server, &again).await;
    assert!(
        run.out.contains("layer version 2 is standby: by kind") && run.out.contains(" 24 "),
        "{}",
        run.out
    );
    let run = sound(&server, &["heads", "compare", "layer"]).await;
    for told in ["layer:", "the one on standby", "the one that serves", "accuracy", "told right by"] {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
    let run = sound(&server, &["heads", "compare", "layer", "2", "1", "--where", "kind = over"]).await;
    assert!(run.out.contains("version 2") && run.out.contains("version 1"), "{}", run.out);
    // The one on standby answers where it is asked for, and is shown beside the other before it serves.
    let run = sound(&server, &["search", "item:coat-12", "--head-version", "layer=2", "--explain"]).await;
    assert!(run.out.contains("layer") && run.out.contains("coat-"), "{}", run.out);
    sound(&server, &["describe", "item:coat-12", "--head-version", "layer=2"]).await;
    refused(&server, &["describe", "item:coat-12", "--head-version", "layer=9"], 1).await;
    refused(&server, &["search", "item:coat-12", "--head-version", "layer=two"], 1).await;
    let run = sound(&server, &["heads", "promote", "layer", "--of", "2", "--allow-missing"]).await;
    for told in ["layer:", "version 2", "the one that serves", "accuracy", "told right by", "active"] {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
    let run = sound(&server, &["heads", "promote", "layer", "--json"]).await;
    assert!(serde_json::from_str::<serde_json::Value>(&run.out).is_ok(), "{}", run.out);
    let file = path("layer.safetensors");
    sound(&server, &["heads", "download", "layer", &file, "--of", "2"]).await;
    let (head, bundle) = server.client().await.bundle("layer", 2).await.expect("sent");
    assert_eq!((head.version, head.description.as_str()), (2, "by kind"));
    assert!(std::fs::read(&file).expect("a file") == bundle);
    assert!(!folder.path().join("layer.safetensors.unfinished").exists());
    sound(&server, &["heads", "download", "layer", &file, "--version", "1"]).await;
    assert!(std::fs::read(&file).expect("a file") != bundle, "replaced");
    assert!(refused(&server, &["heads", "download", "layer", &path("")], 1).await.contains("is a folder"));
    sound(&server, &["heads", "download", "layer", &file, "--of", "2"]).await;
    sound(&server, &["heads", "retire", "layer", "--all-versions"]).await;
    let run = sound(&server, &["heads", "register", &file]).await;
    assert!(run.out.contains("by kind"), "{}", run.out);
    server.finish().await;
}

#[tokio::test]
async fn labels_of_a_head_and_of_items_are_changed() {
    let folder = tempfile::tempdir().expect("folder");
    let server = shop(folder.path()).await;
    sound(&server, &["teach", "layer", "--from-labels", "layer"]).await;
    let change = ["labels", "change", "layer", "--rename", "over=outer"];
    let run = sound(&server, &change).await;
    for told in ["over", "outer", " 8 ", "layer version 2 is active"] {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
    assert!(run.err.contains("8 items keep labels") && run.err.contains("--items"), "{}", run.err);
    let why = refused(&server, &change, 1).await;
    assert!(why.contains("changes[0].rename.from") || why.contains("there is no label"), "{why}");
    let labels = ["heads", "labels", "layer", "--json"];
    assert!(sound(&server, &labels).await.out.contains("outer"));
    // The head has its labels, the items follow, now or when the command is repeated.
    let with_items = [&change[..], &["--items"]].concat();
    let why = refused(&server, &with_items, 1).await;
    for told in ["8 items carry labels of layer that change (over 8)", "rollback", "give --yes"] {
        assert!(why.contains(told), "{told}: {why}");
    }
    let backup = folder.path().join("before.csv");
    let saved = ["--yes", "--backup", backup.to_str().expect("UTF-8")];
    let run = sound(&server, &[&with_items[..], &saved].concat()).await;
    assert!(run.err.contains("has these labels already") && run.err.contains("--merge"), "{}", run.err);
    let table = std::fs::read_to_string(&backup).expect("a table");
    assert!(table.starts_with("id,layer\n") && table.matches(",over\n").count() == 8, "{table}");
    assert!(refused(&server, &[&with_items[..], &saved].concat(), 1).await.contains("name another file"));
    for misspelt in [&["--rename", "bottm=outer"][..], &["--retire", "bottm"], &["--merge", "bottm,x=outer"]]
    {
        let arguments = [&["labels", "change", "layer"][..], misspelt, &["--items", "--yes"]].concat();
        let why = refused(&server, &arguments, 1).await;
        assert!(why.contains("did you mean \"bottom\"? there are: bottom, outer"), "{why}");
    }
    let mut client = server.client().await;
    for (label, carriers) in [("outer", 8), ("over", 0), ("bottom", 8)] {
        let filter = v1::LabelFilter {
            attribute: "layer".into(),
            labels: vec![label.into()],
            allow_unknown: true,
            ..Default::default()
        };
        let request = v1::ListItemsRequest { filters: vec![filter], ..Default::default() };
        let items = client.catalog.list_items(request).await.expect("listed").into_inner().items;
        assert_eq!(items.len(), carriers, "{label}");
    }
    let document = |run: Run| serde_json::from_str::<serde_json::Value>(&run.out).expect("one document");
    let told = document(sound(&server, &[&with_items[..], &["--json"]].concat()).await);
    assert!(told["change"].is_null() && told["items"]["results"] == serde_json::json!([]), "{told}");
    let why = refused(&server, &["labels", "change", "layer", "--retire", "outer"], 1).await;
    assert!(why.contains("fewer than two"), "{why}");
    refused(&server, &["labels", "change", "layer"], 2).await;
    refused(&server, &["labels", "change", "layer", "--rename", "over"], 1).await;
    sound(&server, &["heads", "rollback", "layer"]).await;
    assert!(sound(&server, &labels).await.out.contains("over"));
    let lower = ["labels", "change", "layer", "--rename", "bottom=lower", "--items", "--yes", "--json"];
    let told = document(sound(&server, &lower).await);
    assert_eq!(told["change"]["head"]["state"], "HEAD_STATE_ACTIVE", "{told}");
    assert_eq!(told["items"]["results"].as_array().map(Vec::len), Some(8), "{told}");
    let run = sound(&server, &["items", "update", backup.to_str().expect("UTF-8"), "--merge"]).await;
    assert!(run.out.contains("updated 8 items, refused 0"), "{}", run.out);
    server.finish().await;
}

#[tokio::test]
async fn photos_teach_without_being_stored() {
    let folder = tempfile::tempdir().expect("folder");
    let server = TestServer::start_with(|config| {
        by_default(config);
        config.model.heads.truncate(1);
    })
    .await;
    for (id, label, _) in garments().filter(|(_, _, n)| *n <= LABELLED) {
        std::fs::create_dir_all(folder.path().join(label)).expect("made");
        std::fs::copy(garment(&id), folder.path().join(label).join(format!("{id}.jpg"))).expect("copied");
    }
    let photos = folder.path().to_str().expect("UTF-8");
    let run = sound(&server, &["teach", "layer", "--photos", photos, "--json"]).await;
    let taught: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!(taught["head"]["state"], "HEAD_STATE_ACTIVE", "{taught}");
    assert_eq!(taught["worth"]["examples"], "16", "{taught}");
    assert!(sound(&server, &["items", "stats"]).await.out.contains("0 items"));
    std::fs::write(folder.path().join("over/large.jpg"), vec![0xff; 12 << 20]).expect("written");
    let why = refused(&server, &["teach", "more", "--photos", photos], 1).await;
    assert!(why.contains("nothing was sent") && why.contains("--from-labels more"), "{why}");
    server.finish().await;
}

#[tokio::test]
async fn what_tells_nothing_waits_until_it_is_promoted() {
    let folder = tempfile::tempdir().expect("folder");
    let server = shop(folder.path()).await;
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    // Coats, every other one of which is said to be something else.
    let rows: String =
        (1..=OF_A_KIND).map(|n| format!("coat-{n:02},{}\n", if n % 2 == 0 { "a" } else { "b" })).collect();
    std::fs::write(path("odd.csv"), format!("id,label\n{rows}coat-01,\n")).expect("written");
    let run = sound(&server, &["teach", "odd", "--csv", &path("odd.csv")]).await;
    for told in
        ["odd version 1 is standby", "no signal", "it does not serve: ", "lapel heads promote odd --of 1"]
    {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
    assert!(run.err.contains("1 rows of"), "{}", run.err);
    let run = sound(&server, &["heads", "promote", "odd"]).await;
    assert!(run.out.contains("active"), "{}", run.out);
    assert!(run.err.contains("not compared with the version that serves"), "{}", run.err);
    server.finish().await;
}

#[tokio::test]
async fn what_cannot_be_taught_is_told() {
    let folder = tempfile::tempdir().expect("folder");
    let server = shop(folder.path()).await;
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let table = path("table.csv");
    std::fs::write(&table, "id,label\nnowhere,a\ncoat-01,b\n").expect("written");
    assert!(refused(&server, &["teach", "odd", "--csv", &table], 1).await.contains("nowhere"));
    std::fs::write(&table, "id,color\ncoat-01,b\n").expect("written");
    assert!(refused(&server, &["teach", "odd", "--csv", &table], 1).await.contains("no column of labels"));
    refused(&server, &["teach", "odd", "--from-labels", "layer", "--label", "over"], 1).await;
    refused(&server, &["teach", "odd", "--suggest", "3"], 1).await;
    let why = refused(
        &server,
        &["teach", "odd", "--words", "over", "--words", "under=a photo of a vest, folded"],
        1,
    )
    .await;
    assert!(why.contains("no text tower"), "{why}");
    assert!(
        refused(&server, &["teach", "odd", "--words", "over", "--words", "=x"], 1)
            .await
            .contains("LABEL=CAPTION")
    );
    let usage: [&[&str]; 6] = [
        &[],
        &["--from-labels", "layer", "--from-field", "kind"],
        &["--csv", &table, "--where", "kind = over"],
        &["--suggest", "3", "--hold"],
        &["--words", "over,under", "--label", "over"],
        &["--from-labels", "layer", "--html", "sheet.html"],
    ];
    for arguments in usage {
        refused(&server, &[&["teach", "odd"][..], arguments].concat(), 2).await;
    }
    server.finish().await;
    // The paper's backbone gives a map.
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let why = refused(&server, &["teach", "odd", "--from-labels", "layer"], 1).await;
    assert!(why.contains("FailedPrecondition") || why.contains("lapel-train"), "{why}");
    server.finish().await;
}
