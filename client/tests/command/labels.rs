//! Labels and signatures that come later: imports that keep what they do not name, signatures from NumPy files, labels that
//! no head knows, and heads that retire.

use crate::{Run, lapel, photo};
use lapel_client::v1;
use lapel_tests::{TestServer, external_bundle};
use std::path::Path;

async fn sound(server: &TestServer, arguments: &[&str]) -> Run {
    let run = lapel(&server.address, arguments).await;
    assert_eq!(run.code, Some(0), "{arguments:?}: {}{}", run.out, run.err);
    run
}

/// What a run that fails says.
async fn fails(server: &TestServer, arguments: &[&str]) -> String {
    let run = lapel(&server.address, arguments).await;
    assert_eq!(run.code, Some(1), "{arguments:?}: {}{}", run.out, run.err);
    run.out + &run.err
}

async fn item(server: &TestServer, id: &str) -> v1::Item {
    let request = v1::GetItemRequest { id: id.to_owned() };
    let answer = server.client().await.catalog.get_item(request).await.expect("read").into_inner();
    answer.item.expect("an item")
}

/// A server with a head of collars and an external one of moods, and photos `a`, `b` and `c` with a table.
async fn shop(folder: &Path, table: &str) -> TestServer {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mood = external_bundle("mood", 2, &["calm", "loud"]);
    server.client().await.register_bundle(&mood).await.expect("registered");
    std::fs::create_dir_all(folder).expect("made");
    for name in ["a.jpg", "b.jpg", "c.jpg"] {
        std::fs::copy(photo(), folder.join(name)).expect("copied");
    }
    std::fs::write(folder.join("labels.csv"), table).expect("written");
    sound(&server, &["items", "import", folder.to_str().expect("UTF-8")]).await;
    server
}

/// A NumPy file of rows of two numbers.
fn npy(descr: &str, order: &str, rows: usize, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({rows}, 2), }}\n");
    let length = u16::try_from(header.len()).expect("short").to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), numbers].concat()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[tokio::test]
async fn an_import_deletes_nothing_that_it_does_not_speak_of() {
    let folder = tempfile::tempdir().expect("folder");
    let shop_folder = folder.path().join("shop");
    let path = shop_folder.to_str().expect("UTF-8").to_owned();
    let table = "image,collar,field:price:number\na.jpg,polo,5\nb.jpg,mandarin,6\nc.jpg,,\n";
    let server = shop(&shop_folder, table).await;
    std::fs::write(shop_folder.join("labels.csv"), "image,color\na.jpg,red\nb.jpg,\nc.jpg,blue\n")
        .expect("written");
    let run = sound(&server, &["items", "import", &path]).await;
    assert!(run.out.contains("imported 3 items (3 of them replaced)"), "{}", run.out);
    let a = item(&server, "a").await;
    assert_eq!((a.labels["collar"].as_str(), a.labels["color"].as_str()), ("polo", "red"));
    assert!(a.fields.contains_key("price"));
    assert_eq!(item(&server, "b").await.labels.len(), 1);
    sound(&server, &["items", "import", &path, "--replace"]).await;
    let a = item(&server, "a").await;
    assert_eq!((a.labels.len(), a.fields.len()), (1, 0));
    server.finish().await;
}

#[tokio::test]
async fn signatures_come_from_a_numpy_file() {
    let folder = tempfile::tempdir().expect("folder");
    let server = shop(&folder.path().join("shop"), "image,collar\na.jpg,polo\nb.jpg,\nc.jpg,\n").await;
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let ids = write("ids.txt", b"a\nb\nnowhere\nc\n");
    let values = [3.0, 4.0, 1.0, 0.0, 1.0, 1.0, 0.0, 2.0];
    let sound_file = write("sound.npy", &npy("<f4", "False", 4, &f32s(&values)));
    let told = fails(&server, &["items", "signatures", "mood", &sound_file, "--ids", &ids]).await;
    assert!(told.contains("updated 3 items, refused 1") && told.contains("nowhere"), "{told}");
    let a = item(&server, "a").await;
    assert!(a.heads.contains(&"mood".to_owned()) && a.has_image && a.labels["collar"] == "polo");
    let doubles: Vec<u8> =
        [0.0_f64, 0.0, f64::NAN, 1.0, 1e300, 0.0, 0.6, 0.8].iter().flat_map(|v| v.to_le_bytes()).collect();
    let ids_of_four = write("four.txt", b"a\nb\nc\nd\n");
    let doubles = write("doubles.npy", &npy("<f8", "False", 4, &doubles));
    let told = fails(&server, &["items", "signatures", "mood@1", &doubles, "--ids", &ids_of_four]).await;
    for why in ["refused 4", "all zero", "not finite"] {
        assert!(told.contains(why), "{why}: {told}");
    }
    let few = write("few.txt", b"a\nb\n");
    let twice = write("twice.txt", b"a\nb\na\nc\n");
    let gap = write("gap.txt", b"a\n\nb\nc\n");
    let numbers = f32s(&values);
    let cases = [
        ("mood", sound_file.clone(), few, "has 4 rows and"),
        ("mood", sound_file.clone(), twice, "line 3 has the id"),
        ("mood", sound_file.clone(), gap, "line 2 is empty"),
        ("collar", sound_file.clone(), ids.clone(), "have 2 numbers and signatures of the head collar have"),
        ("moody", sound_file.clone(), ids.clone(), "moody"),
        ("mood", write("order.npy", &npy("<f4", "True", 4, &numbers)), ids.clone(), "Fortran order"),
        ("mood", write("type.npy", &npy("<i4", "False", 4, &numbers)), ids.clone(), "integers"),
        ("mood", write("cut.npy", &npy("<f4", "False", 5, &numbers)), ids.clone(), "its 5 rows of 2 numbers"),
        ("mood", write("none.npy", &npy("<f4", "False", 0, &[])), write("none.txt", b""), "no rows"),
        ("mood", write("text.npy", b"0.5,0.5\n0.1,0.2\n"), ids.clone(), "no NPY file"),
        ("mood", folder.path().to_str().expect("UTF-8").to_owned(), ids.clone(), "no regular file"),
    ];
    for (head, file, ids, why) in cases {
        let told = fails(&server, &["items", "signatures", head, &file, "--ids", &ids]).await;
        assert!(told.contains(why), "{why}: {told}");
    }
    server.finish().await;
}

#[tokio::test]
async fn labels_that_no_head_knows_are_listed() {
    let folder = tempfile::tempdir().expect("folder");
    let table = "image,collar\na.jpg,mandarn\nb.jpg,mandarn\nc.jpg,polo\n";
    let server = shop(&folder.path().join("shop"), table).await;
    let run = sound(&server, &["items", "stats"]).await;
    assert!(run.out.contains("does not know") && run.out.contains("mandarn 2"), "{}", run.out);
    server.finish().await;
}

#[tokio::test]
async fn all_versions_of_a_head_retire_only_where_that_is_said() {
    let folder = tempfile::tempdir().expect("folder");
    let server = shop(&folder.path().join("shop"), "image,collar\na.jpg,polo\nb.jpg,\nc.jpg,\n").await;
    let told = fails(&server, &["heads", "retire", "mood"]).await;
    assert!(told.contains("--all-versions") && told.contains("--of VERSION"), "{told}");
    let told = fails(&server, &["heads", "retire", "mood", "--of", "0"]).await;
    assert!(told.contains("--all-versions"), "{told}");
    let run = sound(&server, &["heads", "list"]).await;
    assert!(run.out.contains("mood"), "{}", run.out);
    let both = lapel(&server.address, &["heads", "retire", "mood", "--of", "1", "--all-versions"]).await;
    assert_eq!(both.code, Some(2), "{}", both.err);
    let run = sound(&server, &["heads", "retire", "mood", "--all-versions"]).await;
    assert!(run.out.contains("retired"), "{}", run.out);
    server.finish().await;
}
