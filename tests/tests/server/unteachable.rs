//! What cannot be taught: requests that are wrong, examples that are too few, too many or contradict each other, and limits.

use crate::teach::{
    by_id, from_examples, from_labels, garment, photos, put, reason, shown, start, store, teach,
};
use lapel_client::{Client, v1};
use lapel_server::ByteSize;
use lapel_tests::{TestServer, by_default, external_bundle};
use std::collections::BTreeMap;
use tonic::Code;
use tonic_types::StatusExt;
use v1::taught_example::Of;
use v1::teach_request::Source;

/// A request, the code that it is refused with, and the field or the reason that is named.
type Refused = (&'static str, v1::TeachRequest, Code, &'static str);

/// Each is refused as it should be.
async fn check(client: &mut Client, cases: Vec<Refused>) {
    for (case, request, code, wanted) in cases {
        let refused = teach(client, request).await.expect_err(case);
        assert_eq!(refused.code(), code, "{case}: {refused:?}");
        let fields = refused.get_error_details().bad_request().map(|bad| bad.field_violations.clone());
        let is_told = reason(&refused) == wanted
            || fields.is_some_and(|fields| fields.iter().any(|fault| fault.field == wanted));
        assert!(is_told, "{case}: {refused:?}");
    }
}

fn photo(label: &str, image: &[u8]) -> v1::TaughtExample {
    shown(label, Of::Image(image.to_vec()))
}

/// A JPEG file of the same picture, with a number in a comment.
fn copy(image: &[u8], number: u8) -> Vec<u8> {
    let (start, rest) = image.split_at(2);
    [start, &[0xFF, 0xFE, 0, 3, number], rest].concat()
}

/// Three photos of two kinds each, and an item without an image.
async fn store_few(client: &mut Client) {
    let mut items = Vec::new();
    for kind in ["dress", "shorts"] {
        items.extend(photos(kind, 3).into_iter().map(|(id, image)| garment(&id, image, Some(kind))));
    }
    client.register_bundle(&external_bundle("mood", 2, &["calm"])).await.expect("registered");
    let signatures = vec![v1::Signature { head: "mood".into(), values: vec![1.0, 0.0] }];
    items.push(v1::UpsertItemsRequest { id: "bare".into(), signatures, ..Default::default() });
    put(client, items).await;
}

#[tokio::test]
async fn requests_that_are_wrong_are_told_what_is() {
    let server = start().await;
    let mut client = server.client().await;
    store_few(&mut client).await;
    let (first, _) = photos("dress", 1).remove(0);
    let dry_id = v1::TeachRequest { dry_run: true, request_id: "r".into(), ..from_labels("kind") };
    let filtered = v1::TeachRequest {
        filter: Some(v1::Filter::default()),
        ..from_examples("kind", vec![by_id("a", &first)])
    };
    let of = |labels: Vec<String>| v1::TeachRequest { labels, ..from_labels("kind") };
    let attribute =
        v1::TeachRequest { source: Some(Source::LabelAttribute("kin".into())), ..from_labels("kind") };
    let long = v1::TeachRequest { description: "x".repeat(901), ..from_labels("kind") };
    let cases = vec![
        (
            "no source",
            v1::TeachRequest { source: None, ..from_labels("kind") },
            Code::InvalidArgument,
            "source",
        ),
        ("no name", from_labels(""), Code::InvalidArgument, "name"),
        ("an id of a dry run", dry_id, Code::InvalidArgument, "request_id"),
        ("a filter of named ones", filtered, Code::InvalidArgument, "filter"),
        ("a long description", long, Code::InvalidArgument, "description"),
        ("one label", of(vec!["dress".into()]), Code::InvalidArgument, "labels"),
        ("10,000 labels", of((0..10_000).map(|n| n.to_string()).collect()), Code::InvalidArgument, "labels"),
        ("an unknown label", of(vec!["dress".into(), "hat".into()]), Code::InvalidArgument, "labels[1]"),
        ("an unknown attribute", attribute, Code::NotFound, "label_attribute"),
        ("a name that is taken", from_labels("category"), Code::AlreadyExists, "NAME_TAKEN"),
    ];
    check(&mut client, cases).await;
    server.finish().await;
}

#[tokio::test]
async fn examples_that_cannot_teach_are_told() {
    let server = start().await;
    let mut client = server.client().await;
    store_few(&mut client).await;
    let [first, second] = [0, 1].map(|at| photos("dress", 2)[at].clone());
    let of = |examples: Vec<v1::TaughtExample>| from_examples("kind", examples);
    let unset = v1::TaughtExample { label: "a".into(), of: None };
    let bad = vec![
        photo("a", b"no picture"),
        photo("a", b"none either"),
        by_id("b", &first.0),
        by_id("b", &second.0),
    ];
    let many = |count: usize| -> Vec<v1::TaughtExample> {
        (0..count).map(|n| n.to_string()).map(|n| photo(&n, n.as_bytes())).collect()
    };
    let cases = vec![
        ("none", of(Vec::new()), Code::InvalidArgument, "examples"),
        ("nothing shown", of(vec![unset]), Code::InvalidArgument, "examples.examples[0]"),
        (
            "a contradiction of photos",
            of(vec![photo("a", &first.1), photo("b", &first.1)]),
            Code::InvalidArgument,
            "examples.examples[1].label",
        ),
        (
            "a contradiction of items",
            of(vec![by_id("a", &first.0), by_id("b", &first.0)]),
            Code::InvalidArgument,
            "examples.examples[1].label",
        ),
        (
            "an unknown item",
            of(vec![by_id("a", &first.0), by_id("b", "nobody")]),
            Code::NotFound,
            "examples.examples[1].item_id",
        ),
        (
            "one of each",
            of(vec![by_id("a", &first.0), by_id("b", &second.0)]),
            Code::FailedPrecondition,
            "TOO_FEW_EXAMPLES",
        ),
        ("no pictures", of(bad), Code::FailedPrecondition, "TOO_FEW_EXAMPLES"),
        ("a label for each of 5,000", of(many(5000)), Code::InvalidArgument, "examples"),
    ];
    check(&mut client, cases).await;
    // More than a message may hold is refused before it is read.
    let refused = teach(&mut client, of(many(10_000))).await.expect_err("too many");
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    // Others are enough without an item that has no image, and a label of one.
    let mut examples = vec![by_id("dress", "bare"), photo("shirt", &photos("t-shirt", 1)[0].1)];
    for kind in ["dress", "shorts"] {
        examples.extend(photos(kind, 3).into_iter().map(|(id, _)| by_id(kind, &id)));
    }
    let request = v1::TeachRequest { dry_run: true, ..of(examples) };
    let (_, taught) = teach(&mut client, request).await.expect("taught");
    assert_eq!(taught.left_out, BTreeMap::from([("few".to_owned(), 1), ("no_image".to_owned(), 1)]));
    let labels = taught.worth.expect("examined").labels;
    assert!(labels.iter().map(|of| (of.label.as_str(), of.examples)).eq([("dress", 3), ("shorts", 3)]));
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_one_picture_show_nothing() {
    let server = start().await;
    let mut client = server.client().await;
    let (_, image) = photos("dress", 1).remove(0);
    // Other files, so that it shows only once they are looked at.
    let examples = (0..8u8).map(|n| photo(["a", "b"][usize::from(n % 2)], &copy(&image, n))).collect();
    let (_, taught) = teach(&mut client, from_examples("kind", examples)).await.expect("taught");
    let worth = taught.worth.expect("examined");
    assert!(!worth.has_signal, "{worth:?}");
    assert!(taught.held_because.contains("do not show"), "{}", taught.held_because);
    server.finish().await;
}

#[tokio::test]
async fn limits_are_kept_before_anything_is_looked_at() {
    let server = TestServer::start_with(|config| {
        by_default(config);
        config.model.heads.truncate(1);
        config.limits.teach_labels_max = 2;
        config.limits.teach_examples_max = 2;
    })
    .await;
    let mut client = server.client().await;
    store(&mut client, 3).await;
    let refused = teach(&mut client, from_labels("kind")).await.expect_err("three labels");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("limits.teach_labels_max"), "{}", refused.message());
    let labels = vec!["dress".to_owned(), "trouser".to_owned()];
    let two = v1::TeachRequest { labels, dry_run: true, ..from_labels("kind") };
    let (_, taught) = teach(&mut client, two).await.expect("taught");
    assert_eq!(taught.left_out, BTreeMap::from([("over_limit".to_owned(), 2)]));
    server.finish().await;
    let server = TestServer::start_with(|config| {
        by_default(config);
        config.model.heads.truncate(1);
        config.limits.teach_bytes_max = ByteSize(1);
    })
    .await;
    let mut client = server.client().await;
    store(&mut client, 2).await;
    let refused = teach(&mut client, from_labels("kind")).await.expect_err("too large");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("at most 0 fit"), "{}", refused.message());
    server.finish().await;
}

#[tokio::test]
async fn a_backbone_that_gives_a_map_cannot_be_taught_on() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    let refused = teach(&mut client, from_labels("kind")).await.expect_err("the paper's backbone");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "CANNOT_TEACH"));
    server.finish().await;
}
