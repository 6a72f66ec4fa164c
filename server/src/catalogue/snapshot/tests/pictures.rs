//! Items with several pictures in a snapshot: what they hold and lack, and what a start reads of them.

use super::*;
use crate::catalogue::LoadingColumn;
use crate::store::{ContentId, StoredImage, picture_key};
use crate::testing::network_head;
use lapel_heads::{Attribute, Manifest};

fn column() -> Column {
    let labels = ["calm", "glad", "wild"].map(str::to_owned).to_vec();
    let manifest = Manifest::external("mood", 3, vec![Attribute { name: "mood".into(), labels }]);
    Column::new("k", network_head(manifest), Precision::F32)
}

fn catalogue() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.add_reserve(column());
    snapshot.activate("k");
    snapshot
}

fn values(angle: f32) -> Vec<f32> {
    vec![angle.cos(), angle.sin(), 0.0]
}

/// The signature of an item by itself: none where no picture has one. Here it need not be their mean.
fn own(angles: &[Option<f32>]) -> Option<Vec<f32>> {
    angles.iter().any(Option::is_some).then(|| values(angles.iter().flatten().sum::<f32>() + 9.0))
}

fn record_of(id: &str, angles: &[Option<f32>]) -> ItemRecord {
    let image = |number: usize| ContentId::of(format!("{id} {number} {:?}", angles.get(number)).as_bytes());
    let more = (1..angles.len()).map(|number| StoredImage { content: image(number), parts_case: None });
    ItemRecord { image: (!angles.is_empty()).then(|| image(0)), more_images: more.collect(), ..record(0) }
}

/// An item with as many pictures as there are angles; a head saw nothing in those without.
fn pictured(id: &str, angles: &[Option<f32>]) -> ItemChange {
    let of_picture = |angle: &Option<f32>| angle.iter().map(|a| ("k".to_owned(), values(*a))).collect();
    let pictures = angles.iter().filter(|_| angles.len() > 1).map(of_picture).collect();
    ItemChange::Put {
        id: id.into(),
        record: record_of(id, angles),
        images: Vec::new(),
        signatures: own(angles).map(|values| ("k".to_owned(), values)).into_iter().collect(),
        pictures,
        replaces: Some(8),
    }
}

type Model = BTreeMap<String, Vec<Option<f32>>>;

fn check(snapshot: &Snapshot, model: &Model) -> Result<(), TestCaseError> {
    let column = &snapshot.columns()[0];
    let mut lacking = Vec::new();
    for (id, angles) in model {
        let slot = snapshot.items().slot(id).expect("there");
        prop_assert_eq!(snapshot.signature(column, slot).map(Cow::into_owned), own(angles));
        let several: &[Option<f32>] = if angles.len() > 1 { angles } else { &[] };
        prop_assert_eq!(snapshot.items().pictures().of_item(slot).len(), several.len());
        for (number, angle) in (0u32..9).zip(several.iter().chain(std::iter::repeat(&None))) {
            let found = snapshot.picture_signature(column, slot, number).map(Cow::into_owned);
            prop_assert_eq!(found, angle.map(values), "picture {} of {}", number, id);
        }
        if !angles.is_empty() && (own(angles).is_none() || several.contains(&None)) {
            lacking.push(slot);
        }
    }
    lacking.sort_unstable();
    prop_assert_eq!(snapshot.computable(column), lacking);
    prop_assert_eq!(column.count() as usize, model.values().filter(|angles| own(angles).is_some()).count());
    let all: usize = model.values().map(Vec::len).filter(|count| *count > 1).sum();
    prop_assert_eq!(snapshot.items().pictures().len() as usize, all);
    Ok(())
}

/// A snapshot that is read from the store, row by row in any order.
fn loaded(model: &Model, is_reversed: bool) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let item = |(id, angles): (&String, &Vec<Option<f32>>)| {
        Arc::new(Item::new(&id.as_str().into(), &record_of(id, angles)))
    };
    snapshot.load_items(model.iter().map(item).collect(), &[]);
    let mut rows = vec![("nobody".to_owned(), values(1.0)), (picture_key("nobody", 0), values(1.0))];
    for (id, angles) in model {
        rows.extend(own(angles).map(|values| (id.clone(), values)));
        let pictures = (0..).zip(angles).filter(|_| angles.len() > 1);
        rows.extend(
            pictures.filter_map(|(number, angle)| Some((picture_key(id, number), values((*angle)?)))),
        );
        // What is left of one that the item does not have any more.
        rows.push((picture_key(id, 12), values(2.0)));
    }
    if is_reversed {
        rows.reverse();
    }
    let mut column = LoadingColumn::new(column());
    {
        let mut lookup = snapshot.items().lookup();
        rows.iter().for_each(|(key, values)| column.load((snapshot.items(), &mut lookup), key, values));
    }
    snapshot.add_loaded(column);
    snapshot.activate("k");
    snapshot
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pictures_agree_with_a_plain_map_and_are_loaded_as_they_were(
        writes in proptest::collection::vec(
            (0u8..12, 0u8..8, proptest::collection::vec(proptest::option::weighted(0.8, 0f32..6.2), 0..5)), 1..80
        ),
        is_reversed in any::<bool>(),
    ) {
        let (mut snapshot, mut model) = (catalogue(), Model::new());
        for (item, kind, angles) in writes {
            let id = format!("i{item}");
            match kind {
                0 => {
                    model.remove(&id);
                    snapshot.apply(&[ItemChange::Delete { id, pictures: 8 }]);
                }
                1 => {
                    snapshot.compact((true, true), 3);
                }
                // Its price changes.
                2 => {
                    if let Some(angles) = model.get(&id) {
                        let record = ItemRecord { updated_ms: 8, ..record_of(&id, angles) };
                        snapshot.apply(&[ItemChange::Revise { id, record, signatures: Vec::new() }]);
                    }
                }
                _ => {
                    snapshot.apply(&[pictured(&id, &angles)]);
                    model.insert(id, angles);
                }
            }
        }
        check(&snapshot, &model)?;
        check(&loaded(&model, is_reversed), &model)?;
    }
}

#[test]
fn what_was_computed_of_a_picture_is_taken_while_the_item_has_it() {
    let mut snapshot = catalogue();
    snapshot.apply(&[pictured("a", &[None, Some(1.0)])]);
    let slot = snapshot.items().slot("a").expect("there");
    let item = snapshot.items().get(slot).expect("there").clone();
    let picture =
        |s: &Snapshot, number: u32| s.picture_signature(&s.columns()[0], slot, number).map(Cow::into_owned);
    assert!(snapshot.add_picture_signature("k", (slot, &item), (0, &values(2.0))));
    assert!(!snapshot.add_picture_signature("k", (slot, &item), (2, &values(2.0))), "there is no third");
    assert!(!snapshot.add_picture_signature("gone", (slot, &item), (0, &values(2.0))));
    assert!(snapshot.add_signature("k", (slot, &item), &values(3.0)));
    assert_eq!((picture(&snapshot, 0), picture(&snapshot, 1)), (Some(values(2.0)), Some(values(1.0))));
    assert!(snapshot.computable(&snapshot.columns()[0]).is_empty());
    // Another second picture, the same first one.
    let old = item;
    snapshot.apply(&[pictured("a", &[None, Some(4.0)])]);
    assert!(!snapshot.add_picture_signature("k", (slot, &old), (0, &values(5.0))));
    assert!(!snapshot.add_signature("k", (slot, &old), &values(5.0)));
    assert_eq!((picture(&snapshot, 0), picture(&snapshot, 1)), (None, Some(values(4.0))));
}
