//! What an item keeps when it comes again, and labels that no head knows.

use lapel_client::{Client, v1};
use lapel_render::render;
use lapel_server::{Precision, UnknownLabels};
use lapel_tests::model::exported;
use lapel_tests::{TestServer, external_bundle, item};
use tonic::Code;

fn labelled(id: &str, labels: &[(&str, &str)]) -> v1::UpsertItemsRequest {
    let labels = labels.iter().map(|(name, label)| ((*name).to_owned(), (*label).to_owned())).collect();
    v1::UpsertItemsRequest { labels, ..item(id, &render(1, 0)) }
}

fn mood(values: [f32; 4]) -> Vec<v1::Signature> {
    vec![v1::Signature { head: "mood".into(), values: values.to_vec() }]
}

/// Stores an item, and says whether it was there.
async fn store(client: &mut Client, item: v1::UpsertItemsRequest) -> bool {
    let results = client.upsert(vec![item]).await.expect("answered");
    assert!(results[0].error.is_none(), "{results:?}");
    results[0].replaced
}

/// Why an item is refused.
async fn refused(client: &mut Client, item: v1::UpsertItemsRequest) -> v1::ItemError {
    let results = client.upsert(vec![item]).await.expect("answered");
    results.into_iter().next().and_then(|result| result.error).expect("refused")
}

async fn stats(client: &mut Client) -> v1::CatalogStatsResponse {
    client.stats().await.expect("counted")
}

#[tokio::test]
async fn a_signature_that_is_kept_is_not_rounded_in_the_store() {
    let mut server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", 4, &["calm", "loud"])).await.expect("registered");
    let first = v1::UpsertItemsRequest { signatures: mood([0.1, 0.2, 0.3, 0.4]), ..item("a", &render(2, 3)) };
    store(&mut client, first).await;
    let given = exported(&mut client).await.expect("exported")["a"].signatures["mood"].clone();
    server.change(|config| config.search.signatures = Some(Precision::F16));
    server.restart().await;
    client = server.client().await;
    assert_ne!(
        exported(&mut client).await.expect("exported")["a"].signatures["mood"],
        given,
        "rounded in memory"
    );
    let keeping = v1::UpsertItemsRequest { keep_others: true, ..item("a", &render(2, 4)) };
    assert!(store(&mut client, keeping).await);
    server.change(|config| config.search.signatures = Some(Precision::F32));
    server.restart().await;
    client = server.client().await;
    assert_eq!(exported(&mut client).await.expect("exported")["a"].signatures["mood"], given);
    server.finish().await;
}

#[tokio::test]
async fn an_item_that_comes_again_keeps_what_is_not_named() {
    let mut server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", 4, &["calm", "loud"])).await.expect("registered");
    let price = v1::FieldValue { kind: Some(v1::field_value::Kind::Number(5.0)) };
    let first = v1::UpsertItemsRequest {
        fields: [("price".to_owned(), price)].into(),
        signatures: mood([1.0, 0.0, 0.0, 0.0]),
        ..labelled("a", &[("color", "red"), ("fit", "slim")])
    };
    let keeping = |labels: &[(&str, &str)]| v1::UpsertItemsRequest {
        keep_others: true,
        image: item("a", &render(2, 3)).image,
        ..labelled("a", labels)
    };
    // The first one of its id is as any other.
    assert!(!store(&mut client, v1::UpsertItemsRequest { keep_others: true, ..first }).await);
    assert!(store(&mut client, keeping(&[("color", "blue")])).await);
    for _ in 0..2 {
        let mut all = exported(&mut client).await.expect("exported");
        let a = all.remove("a").expect("there");
        assert_eq!((a.labels["color"].as_str(), a.labels["fit"].as_str()), ("blue", "slim"));
        assert!(a.fields.contains_key("price") && a.image == keeping(&[]).image);
        assert_eq!(a.signatures["mood"], [1.0, 0.0, 0.0, 0.0]);
        server.restart().await;
        client = server.client().await;
    }
    // What comes without an image leaves that.
    let bare = v1::UpsertItemsRequest {
        image: Vec::new(),
        signatures: mood([0.0, 1.0, 0.0, 0.0]),
        ..keeping(&[("sleeve", "long")])
    };
    assert!(store(&mut client, bare).await);
    let a = exported(&mut client).await.expect("exported").remove("a").expect("there");
    assert_eq!((a.labels.len(), a.signatures["mood"][1]), (3, 1.0));
    assert!(!a.image.is_empty());
    // Labels alone are enough of an item that is there, and of no other.
    let alone = |id: &str| v1::UpsertItemsRequest {
        image: Vec::new(),
        keep_others: true,
        ..labelled(id, &[("fit", "wide")])
    };
    assert!(store(&mut client, alone("a")).await);
    let a = exported(&mut client).await.expect("exported").remove("a").expect("there");
    assert_eq!((a.labels.len(), a.labels["fit"].as_str(), a.signatures["mood"][1]), (3, "wide", 1.0));
    assert!(!a.image.is_empty());
    let error = refused(&mut client, alone("b")).await;
    assert_eq!(Code::from(error.code), Code::InvalidArgument, "{error:?}");
    assert!(error.message.starts_with("image: an item needs an image"), "{error:?}");
    // A whole item keeps nothing.
    assert!(store(&mut client, labelled("a", &[])).await);
    let a = exported(&mut client).await.expect("exported").remove("a").expect("there");
    assert!(a.labels.is_empty() && a.fields.is_empty() && !a.signatures.contains_key("mood"));
    server.finish().await;
}

#[tokio::test]
async fn a_request_that_keeps_others_is_another_one_and_no_write_of_parts() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    let keeping = |request_id: &str, keep_others| v1::UpsertItemsRequest {
        request_id: request_id.into(),
        keep_others,
        ..labelled("a", &[("color", "red")])
    };
    store(&mut client, labelled("a", &[("fit", "slim")])).await;
    for _ in 0..2 {
        assert!(store(&mut client, keeping("one", true)).await);
        assert_eq!(refused(&mut client, keeping("one", false)).await.reason, "REQUEST_ID_REUSED");
    }
    let part = v1::UpsertItemsRequest { image: Vec::new(), ..keeping("", true) };
    let mask = |path: &str| Some(prost_types::FieldMask { paths: vec![path.to_owned()] });
    for (case, bad) in [
        ("a mask", v1::UpsertItemsRequest { update_mask: mask("labels"), ..part.clone() }),
        ("labels", v1::UpsertItemsRequest { labels_only: true, ..part.clone() }),
        ("signatures", v1::UpsertItemsRequest { signatures_only: true, ..part }),
    ] {
        let error = refused(&mut client, bad).await;
        assert_eq!(Code::from(error.code), Code::InvalidArgument, "{case}: {error:?}");
        assert!(error.message.contains("keep_others"), "{case}: {error:?}");
    }
    server.finish().await;
}

#[tokio::test]
async fn an_item_grows_no_larger_than_it_may_by_what_it_keeps() {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.limits.item_labels_max = 2;
    })
    .await;
    let mut client = server.client().await;
    store(&mut client, labelled("a", &[("color", "red"), ("fit", "slim")])).await;
    let keeping = |label| v1::UpsertItemsRequest { keep_others: true, ..labelled("a", &[(label, "some")]) };
    let error = refused(&mut client, keeping("sleeve")).await;
    assert!(error.message.contains("there are 3 labels; at most 2"), "{error:?}");
    store(&mut client, keeping("fit")).await;
    server.finish().await;
}

#[tokio::test]
async fn labels_that_the_head_does_not_know_are_counted() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    client.register_bundle(&external_bundle("mood", 4, &["calm", "loud"])).await.expect("registered");
    for (id, label) in [("a", "mandarn"), ("b", "mandarn"), ("c", "Polo"), ("d", "polo")] {
        store(&mut client, labelled(id, &[("collar", label), ("mood", "wild"), ("cut", "low")])).await;
    }
    let told = stats(&mut client).await.unknown_labels;
    let label = |label: &str, items| v1::UnknownLabel { label: label.to_owned(), items };
    let wanted = v1::UnknownLabels {
        attribute: "collar".into(),
        head: "collar".into(),
        labels: vec![label("mandarn", 2), label("Polo", 1)],
        labels_total: 2,
    };
    assert_eq!(told, [wanted]);
    // They are told once, on the first page.
    let request = v1::CatalogStatsRequest { page_size: 1, ..Default::default() };
    let page = client.catalog.catalog_stats(request).await.expect("counted").into_inner();
    let request = v1::CatalogStatsRequest { page_size: 1, page_token: page.next_page_token };
    let next = client.catalog.catalog_stats(request).await.expect("counted").into_inner();
    assert_eq!((page.unknown_labels.len(), next.unknown_labels.len()), (1, 0));
    server.finish().await;
}

#[tokio::test]
async fn labels_that_the_head_does_not_know_are_refused_where_that_is_configured() {
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.catalog.unknown_labels = UnknownLabels::Refuse;
    })
    .await;
    let mut client = server.client().await;
    let error = refused(&mut client, labelled("a", &[("collar", "mandarn"), ("cut", "low")])).await;
    assert_eq!((Code::from(error.code), error.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    assert!(error.message.starts_with("labels[collar]: attribute \"collar\" has no label"), "{error:?}");
    assert!(error.message.contains("did you mean \"mandarin\"?"), "{error:?}");
    store(&mut client, labelled("a", &[("collar", "mandarin"), ("cut", "low")])).await;
    let relabelled = v1::UpsertItemsRequest {
        labels_only: true,
        image: Vec::new(),
        ..labelled("a", &[("collar", "mandarn")])
    };
    assert_eq!(refused(&mut client, relabelled).await.reason, "INVALID_FIELD");
    assert!(stats(&mut client).await.unknown_labels.is_empty());
    server.finish().await;
}
