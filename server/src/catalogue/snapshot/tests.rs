mod pictures;

use super::*;
use crate::catalogue::{BLOCK, Precision};
use crate::store::ItemRecord;
use crate::testing::external_head;
use lapel_heads::{Labels, Signature, SignatureSum};
use lapel_search::Filter;
use lapel_values::{FieldValue, Fields};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn labels(label: u8) -> Labels {
    if label == 0 { Labels::new() } else { Labels::from([("style".into(), format!("s{label}"))]) }
}

/// An item whose only field is the number of its label.
fn record(label: u8) -> ItemRecord {
    let fields = Fields::from([("label".to_owned(), FieldValue::Integer(label.into()))]);
    ItemRecord {
        labels: labels(label),
        fields,
        image: None,
        parts_case: None,
        updated_ms: 0,
        more_images: Vec::new(),
    }
}

fn put(id: &str, label: u8, signatures: Vec<(String, Vec<f32>)>) -> ItemChange {
    let record = record(label);
    ItemChange::Put {
        id: id.into(),
        record,
        images: Vec::new(),
        signatures,
        pictures: Vec::new(),
        replaces: Some(1),
    }
}

fn delete(id: &str) -> ItemChange {
    ItemChange::Delete { id: id.into(), pictures: 1 }
}

fn vector(angle: f32) -> Vec<f32> {
    vec![angle.cos(), angle.sin()]
}

proptest! {
    /// Random writes against a plain map, with compaction now and then: items, labels, fields, signatures, sums and
    /// prototypes agree, the sums bit for bit.
    #[test]
    fn snapshots_agree_with_a_plain_map(
        writes in proptest::collection::vec((0u8..30, 0u8..6, proptest::option::of(0f32..6.2)), 1..200)
    ) {
        let mut snapshot = Snapshot::default();
        snapshot.add_reserve(Column::new("k", external_head("style", 2, &["s1", "s2"]), Precision::F32));
        snapshot.activate("k");
        let mut model: BTreeMap<String, (u8, Option<f32>)> = BTreeMap::new();
        for (id, label, angle) in writes {
            let id = format!("i{id}");
            if label == 3 {
                prop_assert_eq!(snapshot.items().slot(&id).is_some(), model.remove(&id).is_some());
                snapshot.apply(&[delete(&id)]);
                continue;
            }
            if label == 4 {
                snapshot.compact((true, true), 3);
                continue;
            }
            if label == 5 {
                // Its label and its field change, and its signature where one is given.
                let signatures = angle.iter().map(|a| ("k".to_owned(), vector(*a))).collect();
                snapshot.apply(&[ItemChange::Revise { id: id.clone(), record: record(1), signatures }]);
                if let Some(there) = model.get_mut(&id) {
                    *there = (1, angle.or(there.1));
                }
                continue;
            }
            let signatures: Vec<_> = angle.iter().map(|a| ("k".to_owned(), vector(*a))).collect();
            snapshot.apply(&[put(&id, label, signatures)]);
            model.insert(id, (label, angle));
        }
        let column = &snapshot.columns()[0];
        prop_assert_eq!(snapshot.items().len(), model.len());
        prop_assert_eq!(snapshot.items().live().len() as usize, model.len());
        prop_assert_eq!(column.count() as usize, model.values().filter(|m| m.1.is_some()).count());
        for (id, (label, angle)) in &model {
            let slot = snapshot.items().slot(id).expect("there");
            prop_assert_eq!(snapshot.items().get(slot).expect("there").record().labels, labels(*label));
            prop_assert_eq!(snapshot.signature(column, slot).map(std::borrow::Cow::into_owned), angle.map(vector));
        }
        for label in [1u8, 2] {
            let name = format!("s{label}");
            let members: Vec<_> = model.values().filter(|m| m.0 == label).collect();
            let carried = snapshot.items().with_label("style", &name).map_or(0, roaring::RoaringBitmap::len);
            prop_assert_eq!(carried as usize, members.len());
            let any_of = vec![FieldValue::Integer(label.into())];
            let of_field = Filter::Field { field: "label".into(), any_of };
            prop_assert_eq!(snapshot.items().count(&of_field) as usize, members.len());
            let sum = column.prototypes().sum("style", &name).expect("a known label");
            let wanted: Vec<_> = members.iter().filter_map(|m| m.1).collect();
            prop_assert_eq!(sum.count() as usize, wanted.len());
            let mut anew = SignatureSum::new(2);
            wanted.iter().for_each(|angle| anew.add(&vector(*angle)));
            prop_assert_eq!(sum, &anew);
        }
    }
}

#[test]
fn compaction_gives_back_what_deleted_items_took() {
    let mut snapshot = Snapshot::default();
    snapshot.add_reserve(Column::new("k", external_head("style", 2, &["s1"]), Precision::F32));
    snapshot.activate("k");
    let count = 4 * BLOCK;
    for i in 0..count {
        snapshot.apply(&[put(&format!("{i:05}"), 1, vec![("k".into(), vector(i as f32))])]);
    }
    let kept = |i: &usize| i.is_multiple_of(10);
    for i in (0..count).filter(|i| !kept(i)) {
        snapshot.apply(&[delete(&format!("{i:05}"))]);
    }
    let before = snapshot.clone();
    while snapshot.compact((true, true), 64) == 64 {}
    assert_eq!((before.items().blocks(), snapshot.items().blocks()), (4, 1));
    assert_eq!(snapshot.signatures().columns()[0].block_count(), 1);
    assert_eq!(snapshot.items().free(), 0);
    for state in [&before, &snapshot] {
        for i in (0..count).filter(kept) {
            let slot = state.items().slot(&format!("{i:05}")).expect("there");
            assert_eq!(
                state.signature(&state.columns()[0], slot).as_deref(),
                Some(vector(i as f32).as_slice())
            );
        }
    }
    let sum = |s: &Snapshot| s.columns()[0].prototypes().sum("style", "s1").cloned();
    assert_eq!(sum(&before), sum(&snapshot));
    assert_eq!(
        snapshot.items().with_label("style", "s1").map(roaring::RoaringBitmap::len),
        Some(count as u64 / 10 + 1)
    );
}

#[test]
fn an_older_snapshot_does_not_change() {
    let mut snapshot = Snapshot::default();
    snapshot.add_reserve(Column::new("k", external_head("style", 2, &["s1"]), Precision::F32));
    snapshot.activate("k");
    for i in 0..BLOCK + 5 {
        snapshot.apply(&[put(&format!("{i}"), 1, vec![("k".into(), vector(0.1))])]);
    }
    let old = snapshot.clone();
    snapshot.apply(&[delete("7")]);
    snapshot.apply(&[put("8", 0, vec![("k".into(), vector(1.0))])]);
    let slot = old.items().slot("8").expect("there");
    assert!(old.items().slot("7").is_some() && snapshot.items().slot("7").is_none());
    assert_eq!(old.signature(&old.columns()[0], slot).as_deref(), Some(vector(0.1).as_slice()));
    assert_eq!(snapshot.signature(&snapshot.columns()[0], slot).as_deref(), Some(vector(1.0).as_slice()));
}

#[test]
fn activation_leaves_the_computing_heads_as_they_are() {
    let mut snapshot = Snapshot::default();
    snapshot.add_reserve(Column::new("k", external_head("style", 2, &["s1"]), Precision::F32));
    let before = snapshot.computing().clone();
    snapshot.activate("k");
    assert!(Arc::ptr_eq(&before, snapshot.computing()));
    assert_eq!(snapshot.heads().len(), 1);
}

#[test]
fn another_version_answers_in_a_view_and_the_state_stays_as_it_is() {
    let mut snapshot = Snapshot::default();
    for (key, version) in [("k1", 1), ("k2", 2)] {
        let column = Column::new(key, external_head("style", 2, &["s1"]), Precision::F32);
        snapshot.add_reserve(column.of_version(version));
    }
    snapshot.activate("k1");
    let signatures = vec![("k1".to_owned(), vector(0.1)), ("k2".to_owned(), vector(1.0))];
    snapshot.apply(&[put("a", 1, signatures)]);
    let view = snapshot.with_versions(&["k2".to_owned()]);
    let keys = |s: &Snapshot| s.columns().iter().map(|c| c.key().to_string()).collect::<Vec<_>>();
    assert_eq!((keys(&snapshot), keys(&view)), (vec!["k1".to_owned()], vec!["k2".to_owned()]));
    assert_eq!(view.generation, snapshot.generation);
    assert_eq!(view.column("style").map(Column::head_version), Some(2));
    let signature = |s: &Snapshot| {
        let rows = s.active_signatures(&["a"]).expect("read");
        rows.into_iter().flatten().map(|row| row.map(std::borrow::Cow::into_owned)).collect::<Vec<_>>()
    };
    assert_eq!(signature(&view), [Some(vector(1.0))]);
    assert_eq!(signature(&snapshot), [Some(vector(0.1))]);
    assert_eq!(keys(&view.with_versions(&["k2".to_owned()])), ["k2"], "it serves there already");
}

#[test]
fn the_expected_distance_is_the_root_mean_square() {
    let mut snapshot = Snapshot::default();
    snapshot.add_reserve(Column::new("k", external_head("style", 2, &["s1"]), Precision::F32));
    snapshot.activate("k");
    let angles = [0.1f32, 0.9, 2.0, 4.0];
    for (i, angle) in angles.iter().enumerate() {
        snapshot.apply(&[put(&format!("{i}"), 0, vec![("k".into(), vector(*angle))])]);
    }
    let query = Signature::new(vector(1.3)).expect("unit");
    let squares = angles.iter().map(|a| lapel_heads::distance(query.values(), &vector(*a)).powi(2));
    let wanted = (squares.sum::<f32>() / angles.len() as f32).sqrt();
    assert!((snapshot.columns()[0].expected_distance(query.values()) - wanted).abs() < 1e-5);
}
