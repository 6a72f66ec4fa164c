use crate::{lapel, photo};
use lapel_tests::TestServer;

#[tokio::test]
async fn an_export_touches_no_files_of_others_and_is_imported_as_it_is_or_not_at_all() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::create_dir_all(path("photos")).expect("made");
    std::fs::copy(photo(), path("photos/a.jpg")).expect("copied");
    let run = lapel(&server.address, &["items", "import", &path("photos")]).await;
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    std::fs::create_dir_all(path("mine/images")).expect("made");
    std::fs::write(path("mine/images/a.jpg"), "MINE").expect("written");
    let run = lapel(&server.address, &["items", "export", &path("mine")]).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(run.err.contains("name an empty folder"), "{}", run.err);
    assert_eq!(std::fs::read_to_string(path("mine/images/a.jpg")).expect("read"), "MINE");
    std::fs::create_dir_all(path("exported")).expect("made");
    std::fs::write(path("exported/.DS_Store"), "").expect("written");
    let run = lapel(&server.address, &["items", "export", &path("exported")]).await;
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    let (exported, report) = (path("exported"), path("report.jsonl"));
    for option in ["--prefix", "--labels", "--split"] {
        let run =
            lapel(&server.address, &["items", "import", &exported, option, "x", "--report", &report]).await;
        assert_eq!(run.code, Some(1), "{option}: {}{}", run.out, run.err);
        assert!(run.err.contains(&format!("import it without {option}")), "{}", run.err);
    }
    std::fs::rename(path("exported/items.jsonl"), path("exported/items.unfinished")).expect("renamed");
    let run = lapel(&server.address, &["items", "import", &exported, "--report", &report]).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(run.err.contains("an export that was cut off"), "{}", run.err);
    assert!(!folder.path().join("report.jsonl").exists(), "nothing was begun");
    server.finish().await;
}
