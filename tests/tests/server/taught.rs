//! What becomes of a head that was taught: it says what to label next, its next version is compared and promoted, its bundle
//! goes elsewhere, and a repeated request finds it.

use crate::teach::{
    KINDS, by_id, from_examples, from_labels, garment, photos, put, reason, start, store, teach, versions,
};
use lapel_client::{Client, v1};
use lapel_heads::{Bundle, SignatureKind, shipped_folder};
use lapel_tests::settled;
use std::collections::BTreeMap;
use tonic::{Code, Status};
use v1::HeadState::{Active, Standby};

#[tokio::test(flavor = "multi_thread")]
async fn a_taught_head_suggests_what_to_label_and_its_next_version_is_compared_and_promoted() {
    let server = start().await;
    let mut client = server.client().await;
    store(&mut client, 4).await;
    let first = v1::TeachRequest { insist: true, ..from_labels("kind") };
    teach(&mut client, first).await.expect("taught");
    assert_eq!(settled(&mut client, "kind").await.state(), Active);
    let mut unlabelled = BTreeMap::new();
    for kind in KINDS {
        for (id, image) in photos(kind, 10).split_off(4) {
            put(&mut client, vec![garment(&id, image.clone(), None)]).await;
            unlabelled.insert(id, (kind, image));
        }
    }
    let asked = v1::SuggestExamplesRequest { name: "kind".into(), count: 6, ..Default::default() };
    let suggested = client.heads.suggest_examples(asked.clone()).await.expect("suggested").into_inner();
    assert_eq!((suggested.items_considered, suggested.examples.len()), (18, 6));
    for example in &suggested.examples {
        assert!(unlabelled.contains_key(&example.item_id), "{example:?}");
        assert!(KINDS.contains(&example.label.as_str()) && example.other != example.label, "{example:?}");
    }
    let again = client.heads.suggest_examples(asked.clone()).await.expect("suggested").into_inner();
    assert_eq!(again, suggested, "safe to repeat");
    let exclude_ids = vec![suggested.examples[0].item_id.clone()];
    let others = v1::SuggestExamplesRequest { exclude_ids: exclude_ids.clone(), ..asked.clone() };
    let others = client.heads.suggest_examples(others).await.expect("suggested").into_inner();
    assert!(others.items_considered == 17 && others.examples.iter().all(|e| e.item_id != exclude_ids[0]));
    for (wrong, code) in [
        (v1::SuggestExamplesRequest { name: "nothing".into(), ..asked.clone() }, Code::NotFound),
        (v1::SuggestExamplesRequest { version: 9, ..asked.clone() }, Code::NotFound),
        (v1::SuggestExamplesRequest { count: 201, ..asked.clone() }, Code::InvalidArgument),
    ] {
        assert_eq!(client.heads.suggest_examples(wrong).await.expect_err("refused").code(), code);
    }
    // All of them get their labels, and the next version learns from them.
    let labelled = unlabelled.iter().map(|(id, (kind, image))| garment(id, image.clone(), Some(*kind)));
    put(&mut client, labelled.collect()).await;
    let refused = teach(&mut client, from_labels("kind")).await.expect_err("it is there");
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
    let compare = v1::CompareHeadsRequest { name: "kind".into(), ..Default::default() };
    let alone = client.heads.compare_heads(compare.clone()).await.expect_err("no other version");
    assert_eq!(reason(&alone), "NOT_ON_STANDBY");
    let next = v1::TeachRequest { update: true, hold: true, ..from_labels("kind") };
    let (_, taught) = teach(&mut client, next).await.expect("taught");
    assert_eq!(taught.head.expect("registered").version, 2);
    assert_eq!(settled(&mut client, "kind").await.state(), Standby);
    let compared = client.heads.compare_heads(compare).await.expect("compared").into_inner();
    let [of_kind] = compared.attributes.as_slice() else { panic!("{compared:?}") };
    assert_eq!((of_kind.signed_items, of_kind.other_signed_items), (30, 30));
    let examples = |worth: &Option<v1::HeadWorth>| worth.as_ref().map(|worth| worth.examples);
    assert_eq!((examples(&of_kind.worth), examples(&of_kind.other_worth)), (Some(30), Some(30)));
    let promote = v1::PromoteHeadRequest { name: "kind".into(), ..Default::default() };
    client.heads.promote_head(promote).await.expect("promoted");
    assert_eq!(versions(&mut client, "kind").await, [(1, Standby), (2, Active)]);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_learnt_wrong_labels_is_the_one_that_loses() {
    let server = start().await;
    let mut client = server.client().await;
    store(&mut client, 4).await;
    let right = v1::TeachRequest { insist: true, ..from_labels("kind") };
    teach(&mut client, right).await.expect("taught");
    assert_eq!(settled(&mut client, "kind").await.state(), Active);
    // Each kind under the name of the next.
    let names = KINDS.iter().cycle().skip(1);
    let examples = KINDS
        .iter()
        .zip(names)
        .flat_map(|(kind, name)| photos(kind, 4).into_iter().map(move |(id, _)| by_id(name, &id)));
    let wrong = v1::TeachRequest { update: true, hold: true, ..from_examples("kind", examples.collect()) };
    teach(&mut client, wrong).await.expect("taught");
    assert_eq!(settled(&mut client, "kind").await.state(), Standby);
    let share = |worth: &Option<v1::HeadWorth>| {
        worth.as_ref().and_then(|worth| worth.accuracy.as_ref()).expect("told").value
    };
    for (version, other_version) in [(0, 0), (2, 1), (1, 2)] {
        let request =
            v1::CompareHeadsRequest { name: "kind".into(), version, other_version, ..Default::default() };
        let compared = client.heads.compare_heads(request).await.expect("compared").into_inner();
        let [of_kind] = compared.attributes.as_slice() else { panic!("{compared:?}") };
        let mut shares = [share(&of_kind.worth), share(&of_kind.other_worth)];
        let mut alone = [of_kind.gained, of_kind.lost];
        if version == 1 {
            shares.reverse();
            alone.reverse();
        }
        assert!(shares[0] < 0.3 && shares[1] > 0.7, "{version}, {other_version}: {shares:?}");
        assert!(alone[0] < 2 && alone[1] > 6, "{version}, {other_version}: {alone:?}");
    }
    server.finish().await;
}

/// A version's bundle, with the head that it came with.
async fn download(client: &mut Client, name: &str, version: u32) -> Result<(v1::Head, Vec<u8>), Status> {
    let request = v1::DownloadHeadRequest { name: name.into(), version };
    let mut stream = client.heads.download_head(request).await?.into_inner();
    let (mut head, mut bundle) = (None, Vec::new());
    while let Some(message) = stream.message().await? {
        assert!(message.chunk.len() <= 1 << 20);
        assert_eq!(message.head.is_some(), bundle.is_empty(), "with the first piece alone");
        head = head.or(message.head);
        bundle.extend(message.chunk);
    }
    Ok((head.expect("told"), bundle))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taught_head_is_downloaded_and_registered_elsewhere() {
    let server = start().await;
    let mut client = server.client().await;
    store(&mut client, 4).await;
    let request = v1::TeachRequest { description: "three kinds".into(), insist: true, ..from_labels("kind") };
    teach(&mut client, request).await.expect("taught");
    assert_eq!(settled(&mut client, "kind").await.state(), Active);
    let (head, bundle) = download(&mut client, "kind", 0).await.expect("sent");
    assert_eq!((head.version, head.bundle_sha256), (1, Bundle::id(&bundle)));
    let manifest = Bundle::parse(&bundle).expect("sound").manifest;
    assert_eq!(manifest.signature, SignatureKind::Probabilities);
    assert!(manifest.description.starts_with("three kinds"), "{}", manifest.description);
    let (_, shipped) = download(&mut client, "category", 1).await.expect("sent");
    let file = std::fs::read(shipped_folder().join("category.safetensors")).expect("the shipped bundle");
    assert!(shipped == file, "as it was registered");
    for (name, version) in [("nothing", 0), ("kind", 9)] {
        assert_eq!(download(&mut client, name, version).await.expect_err("none").code(), Code::NotFound);
    }
    let elsewhere = start().await;
    let mut other = elsewhere.client().await;
    let registered = other.register_bundle(&bundle).await.expect("registered");
    assert_eq!(registered.bundle_sha256, Bundle::id(&bundle));
    elsewhere.finish().await;
    let retire = v1::RetireHeadRequest { name: "kind".into(), ..Default::default() };
    client.heads.retire_head(retire).await.expect("retired");
    assert_eq!(download(&mut client, "kind", 1).await.expect_err("gone").code(), Code::NotFound);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_answered_with_its_head() {
    let mut server = start().await;
    let mut client = server.client().await;
    store(&mut client, 3).await;
    let request = v1::TeachRequest { request_id: "once".into(), hold: true, ..from_labels("kind") };
    let (_, first) = teach(&mut client, request.clone()).await.expect("taught");
    settled(&mut client, "kind").await;
    server.restart().await;
    let mut client = server.client().await;
    // What taught it need not be there any more.
    let ids = photos("dress", 3).into_iter().map(|(id, _)| id).collect();
    client.catalog.delete_items(v1::DeleteItemsRequest { ids, ..Default::default() }).await.expect("deleted");
    let (told, again) = teach(&mut client, request.clone()).await.expect("answered");
    assert!(told.is_empty() && again.worth.is_none(), "nothing is taught");
    let key =
        |taught: &v1::TaughtHead| taught.head.as_ref().map(|head| (head.version, head.bundle_sha256.clone()));
    assert_eq!(key(&again), key(&first));
    assert_eq!(versions(&mut client, "kind").await, [(1, Standby)]);
    let other = v1::TeachRequest { insist: true, ..request };
    let refused = teach(&mut client, other).await.expect_err("another request");
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    server.finish().await;
}
