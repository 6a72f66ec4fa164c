use crate::{lapel, photo};
use lapel_client::v1;
use lapel_tests::TestServer;

#[tokio::test]
async fn an_id_that_looks_like_a_path_can_be_used() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    let image = std::fs::read(photo()).expect("read");
    let items = ["shop/123/red", "x.jpg"].map(|id| v1::UpsertItemsRequest {
        id: id.to_owned(),
        image: image.clone(),
        ..Default::default()
    });
    let results = client.upsert(items.to_vec()).await.expect("stored");
    assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
    for subject in ["shop/123/red", "x.jpg", "item:shop/123/red"] {
        for verb in ["describe", "search"] {
            let run = lapel(&server.address, &[verb, subject]).await;
            assert_eq!(run.code, Some(0), "{verb} {subject}: {}", run.err);
        }
    }
    let run = lapel(&server.address, &["describe", "photos/nowhere.jpg"]).await;
    assert_eq!(run.code, Some(1), "{}", run.out);
    assert!(run.err.contains("photos/nowhere.jpg is not the name of a file either"), "{}", run.err);
    server.finish().await;
}

#[tokio::test]
async fn results_end_at_the_largest_distance() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    let dress = std::fs::read(photo()).expect("read");
    let jumper = std::fs::read(photo().with_file_name("jumper.jpg")).expect("read");
    let items = [("one", dress.clone()), ("twin", dress), ("stranger", jumper)];
    let items =
        items.map(|(id, image)| v1::UpsertItemsRequest { id: id.to_owned(), image, ..Default::default() });
    client.upsert(items.to_vec()).await.expect("stored");
    let cases: [(&[&str], bool); 2] = [(&[], true), (&["--distance-max", "0.001"], false)];
    for (arguments, found) in cases {
        let run = lapel(&server.address, &[&["search", "item:one"][..], arguments].concat()).await;
        assert_eq!(run.code, Some(0), "{}", run.err);
        assert!(run.out.contains("twin") && run.out.contains("stranger") == found, "{}", run.out);
    }
    let run = lapel(&server.address, &["search", "item:one", "--distance-max=-1"]).await;
    assert_eq!(run.code, Some(1), "{}", run.out);
    assert!(run.err.contains("distance_max"), "{}", run.err);
    server.finish().await;
}
