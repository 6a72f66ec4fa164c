//! Labels of an attribute are renamed, merged and retired on a running server, and rolled back.

use crate::teach::{KINDS, from_labels, photos, reason, start, store, teach, versions};
use lapel_client::{Client, v1};
use lapel_tests::{external_bundle, settled};
use std::collections::BTreeMap;
use tonic::{Code, Status};
use v1::HeadState::{Active, Standby};
use v1::label_change::Change;

fn rename(from: &str, to: &str) -> Change {
    Change::Rename(v1::LabelRename { from: from.into(), to: to.into() })
}

fn merge(from: &[&str], into: &str) -> Change {
    let from = from.iter().map(|label| (*label).to_owned()).collect();
    Change::Merge(v1::LabelMerge { from, into: into.into() })
}

fn request(attribute: &str, changes: Vec<Change>) -> v1::ChangeLabelsRequest {
    let changes = changes.into_iter().map(|change| v1::LabelChange { change: Some(change) }).collect();
    v1::ChangeLabelsRequest { attribute: attribute.into(), changes, ..Default::default() }
}

async fn change(
    client: &mut Client,
    request: v1::ChangeLabelsRequest,
) -> Result<v1::ChangeLabelsResponse, Status> {
    Ok(client.heads.change_labels(request).await?.into_inner())
}

/// The probabilities of kinds that the active head gives an item.
async fn seen(client: &mut Client, id: &str) -> BTreeMap<String, f32> {
    let source = Some(v1::describe_request::Source::ItemId(id.into()));
    let request = v1::DescribeRequest { source, labels_max: 10, ..Default::default() };
    let answer = client.search.describe(request).await.expect("described").into_inner();
    let kind = answer.attributes.into_iter().find(|a| a.attribute == "kind").expect("a head of kinds");
    kind.labels.into_iter().map(|label| (label.label, label.probability)).collect()
}

fn near(found: f32, wanted: f32) -> bool {
    (found - wanted).abs() < 1e-3
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_merged_renamed_and_rolled_back() {
    let server = start().await;
    let mut client = server.client().await;
    store(&mut client, 6).await;
    let first = v1::TeachRequest { insist: true, ..from_labels("kind") };
    teach(&mut client, first).await.expect("taught");
    assert_eq!(settled(&mut client, "kind").await.state(), Active);
    let id = photos("dress", 1).remove(0).0;
    let before = seen(&mut client, &id).await;

    let changes = vec![merge(&["trouser", "shorts"], "legs"), rename("dress", "gown")];
    let asked = v1::ChangeLabelsRequest { request_id: "once".into(), ..request("kind", changes) };
    let answer = change(&mut client, asked.clone()).await.expect("changed");
    let told = |label: &str, new_label: &str| v1::ChangedLabel {
        label: label.into(),
        new_label: new_label.into(),
        items: 6,
    };
    assert_eq!(answer.labels, [told("trouser", "legs"), told("shorts", "legs"), told("dress", "gown")]);
    assert_eq!(answer.head.expect("registered").version, 2);
    assert_eq!(settled(&mut client, "kind").await.state(), Active);
    let merged = seen(&mut client, &id).await;
    assert_eq!(merged.len(), 2, "{merged:?}");
    assert!(near(merged["legs"], before["trouser"] + before["shorts"]), "{merged:?} {before:?}");
    assert!(near(merged["gown"], before["dress"]), "{merged:?} {before:?}");
    // What an edit asks for has a prototype, although no item carries the new label yet.
    let edit = v1::SearchRequest {
        manipulations: vec![lapel_tests::set("kind", "legs")],
        ..lapel_tests::by_item(&id, 3)
    };
    assert_eq!(client.search.search(edit).await.expect("found").into_inner().results.len(), 3);

    let again = change(&mut client, asked).await.expect("answered");
    assert_eq!(again.head.expect("the first outcome").version, 2);
    assert_eq!(versions(&mut client, "kind").await, [(1, Standby), (2, Active)]);
    let back = v1::RollbackHeadRequest { name: "kind".into(), ..Default::default() };
    client.heads.rollback_head(back).await.expect("rolled back");
    let after = seen(&mut client, &id).await;
    assert!(KINDS.iter().all(|kind| near(after[*kind], before[*kind])), "{after:?} {before:?}");

    let retire = request("kind", vec![Change::Retire("shorts".into())]);
    let held = v1::ChangeLabelsRequest { hold: true, ..retire };
    assert_eq!(change(&mut client, held).await.expect("changed").head.expect("registered").version, 3);
    assert_eq!(settled(&mut client, "kind").await.state(), Standby);
    assert_eq!(seen(&mut client, &id).await.len(), 3, "it waits");
    let promote = v1::PromoteHeadRequest { name: "kind".into(), version: 3, ..Default::default() };
    client.heads.promote_head(promote).await.expect("promoted");
    let retired = seen(&mut client, &id).await;
    let rest = 1.0 - before["shorts"];
    assert!(!retired.contains_key("shorts") && near(retired["dress"] * rest, before["dress"]), "{retired:?}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_told() {
    let server = start().await;
    let mut client = server.client().await;
    store(&mut client, 3).await;
    let first = v1::TeachRequest { insist: true, ..from_labels("kind") };
    teach(&mut client, first).await.expect("taught");
    assert_eq!(settled(&mut client, "kind").await.state(), Active);
    client.register_bundle(&external_bundle("mood", 2, &["calm", "loud"])).await.expect("registered");
    let split = Change::Split(v1::LabelSplit { from: "dress".into(), into: vec!["gown".into()] });
    let all_but_one = KINDS[1..].iter().map(|kind| Change::Retire((*kind).into())).collect();
    let nothing = v1::ChangeLabelsRequest {
        changes: vec![v1::LabelChange { change: None }],
        ..request("kind", Vec::new())
    };
    for (asked, code, why, text) in [
        (request("kinds", vec![rename("dress", "gown")]), Code::NotFound, "NOT_FOUND", "kinds"),
        (request("kind", Vec::new()), Code::InvalidArgument, "INVALID_FIELD", "changes"),
        (nothing, Code::InvalidArgument, "INVALID_FIELD", "changes[0]"),
        (
            request("kind", vec![rename("gown", "robe")]),
            Code::InvalidArgument,
            "INVALID_FIELD",
            "changes[0].rename.from",
        ),
        (
            request("kind", vec![rename("dress", "shorts")]),
            Code::InvalidArgument,
            "INVALID_FIELD",
            "changes[0].rename.to",
        ),
        (
            request("kind", vec![merge(&["dress", "dress"], "gown")]),
            Code::InvalidArgument,
            "INVALID_FIELD",
            "changes[0].merge.from[1]",
        ),
        (request("kind", all_but_one), Code::InvalidArgument, "INVALID_FIELD", "fewer than two"),
        (request("kind", vec![split]), Code::FailedPrecondition, "CANNOT_SPLIT", "lapel teach"),
        (
            request("mood", vec![rename("calm", "quiet")]),
            Code::FailedPrecondition,
            "EXTERNAL_SIGNATURES",
            "hold",
        ),
    ] {
        let refused = change(&mut client, asked.clone()).await.expect_err("refused");
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, why), "{asked:?}: {refused:?}");
        assert!(refused.message().contains(text), "{asked:?}: {refused:?}");
    }
    let held = v1::ChangeLabelsRequest { hold: true, ..request("mood", vec![rename("calm", "quiet")]) };
    change(&mut client, held).await.expect("changed");
    assert_eq!(versions(&mut client, "mood").await, [(1, Active), (2, Standby)]);
    server.finish().await;
}
