//! Items with several pictures: a table's rows become one item, which is described, exported and imported with all of them.

use crate::{Run, lapel, photo};
use lapel_tests::TestServer;
use std::path::Path;

/// A folder of photos with a table in which two rows are of one item.
fn shop(folder: &Path) {
    std::fs::create_dir_all(folder.join("images")).expect("made");
    for (from, to) in [("dress", "front"), ("shirt", "back"), ("dress", "alone")] {
        let from = photo().with_file_name(format!("{from}.jpg"));
        std::fs::copy(from, folder.join(format!("images/{to}.jpg"))).expect("copied");
    }
    let table = "image,id,category\nfront.jpg,coat,dress\nback.jpg,coat,\nalone.jpg,alone,dress\n";
    std::fs::write(folder.join("labels.csv"), table).expect("written");
}

fn sound(run: &Run) {
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
}

#[tokio::test]
async fn pictures_of_an_item_come_and_go_together() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    shop(&folder.path().join("shop"));
    let refused = lapel(&server.address, &["items", "import", &path("shop")]).await;
    assert_eq!(refused.code, Some(1), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("--pictures"), "{}", refused.err);
    let imported = lapel(&server.address, &["items", "import", &path("shop"), "--pictures"]).await;
    sound(&imported);
    assert!(imported.out.contains("imported 2 items"), "{}", imported.out);
    let file = |name: &str| std::fs::read(folder.path().join(name)).expect("read");
    for round in ["first", "second"] {
        for (picture, name) in [("0", "front"), ("1", "back")] {
            let saved = path("saved.jpg");
            sound(&lapel(&server.address, &["items", "image", "coat", &saved, "--picture", picture]).await);
            assert_eq!(file("saved.jpg"), file(&format!("shop/images/{name}.jpg")), "{round}");
            sound(&lapel(&server.address, &["describe", "item:coat", "--picture", picture]).await);
        }
        let run = lapel(&server.address, &["describe", "item:coat", "--picture", "2"]).await;
        assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
        for pictures in ["nearest", "mean"] {
            let query = path("shop/images/back.jpg");
            sound(&lapel(&server.address, &["search", &query, "--pictures", pictures]).await);
        }
        if round == "first" {
            sound(&lapel(&server.address, &["items", "export", &path("exported")]).await);
            let lines = std::fs::read_to_string(folder.path().join("exported/items.jsonl")).expect("read");
            assert!(lines.contains(r#""more_images":["images/coat~1.jpg"]"#), "{lines}");
            assert_eq!(file("exported/images/coat~1.jpg"), file("shop/images/back.jpg"));
            sound(&lapel(&server.address, &["items", "delete", "coat", "alone"]).await);
            sound(&lapel(&server.address, &["items", "import", &path("exported")]).await);
        }
    }
    server.finish().await;
}
