use crate::lapel;
use lapel_tests::TestServer;

#[tokio::test]
async fn the_status_tells_of_calls() {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let counted = lapel(&server.address, &["items", "count"]).await;
    assert_eq!(counted.code, Some(0), "{}", counted.err);
    let run = lapel(&server.address, &["status"]).await;
    assert_eq!(run.code, Some(0), "{}", run.err);
    for told in ["healthy", "MiB", "CatalogService/CountItems", "p99"] {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
    server.finish().await;
}

#[tokio::test]
async fn a_backup_to_a_folder_is_refused_and_leaves_nothing() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let folder = tempfile::tempdir().expect("folder");
    let target = folder.path().join("backups");
    std::fs::create_dir(&target).expect("made");
    let run = lapel(&server.address, &["backup", target.to_str().expect("UTF-8")]).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(run.err.contains("is a folder"), "{}", run.err);
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("read").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    server.finish().await;
}
