//! Items with several pictures: their images and signatures come, change and go with them.

use super::*;
use std::collections::BTreeMap;

const HEADS: [&str; 2] = ["h", "other"];

fn image(item: u8, number: u32, seed: u8) -> Vec<u8> {
    vec![item, number as u8, seed]
}

fn values(item: u8, number: u32, seed: u8) -> Vec<f32> {
    vec![f32::from(item), number as f32 + f32::from(seed) / 8.0]
}

/// The head `other` has no signature of one picture in three.
fn of_picture(item: u8, number: u32, seed: u8) -> Vec<(String, Vec<f32>)> {
    let heads = if (number + u32::from(seed)).is_multiple_of(3) { &HEADS[..1] } else { &HEADS[..] };
    heads.iter().map(|head| ((*head).to_owned(), values(item, number, seed))).collect()
}

/// An item with so many pictures that had so many.
fn put_several(item: u8, count: u32, seed: u8, replaces: Option<u32>) -> ItemChange {
    let images: Vec<Vec<u8>> = (0..count).map(|number| image(item, number, seed)).collect();
    let mut contents = images.iter().map(|image| ContentId::of(image));
    let first = contents.next();
    let more_images = contents.map(|content| StoredImage { content, parts_case: None }).collect();
    let pictures = (0..count).filter(|_| count > 1).map(|number| of_picture(item, number, seed)).collect();
    ItemChange::Put {
        id: format!("i{item}"),
        record: ItemRecord { image: first, more_images, ..record() },
        images,
        signatures: HEADS.map(|head| (head.to_owned(), values(item, 100, seed))).to_vec(),
        pictures,
        replaces,
    }
}

/// Every row of a head, by key.
fn rows(store: &Store, head: &str) -> Vec<(String, Vec<f32>)> {
    let mut found = Vec::new();
    store.signatures(head, 2, |key, values| found.push((key.to_owned(), values.to_vec()))).expect("read");
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn check(store: &Store, model: &BTreeMap<u8, (u32, u8)>) {
    for head in HEADS {
        let mut wanted = Vec::new();
        for (item, (count, seed)) in model {
            let id = format!("i{item}");
            wanted.push((id.clone(), values(*item, 100, *seed)));
            for number in (0..*count).filter(|_| *count > 1) {
                let of_head = of_picture(*item, number, *seed).into_iter().find(|(key, _)| key == head);
                wanted.extend(of_head.map(|(_, values)| (picture_key(&id, number), values)));
            }
        }
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(rows(store, head), wanted, "{head}");
    }
    for item in 0..4 {
        let held = model.get(&item);
        for number in 0..PICTURES_MAX {
            let wanted =
                held.filter(|(count, _)| number < *count).map(|(_, seed)| image(item, number, *seed));
            assert_eq!(store.picture(&format!("i{item}"), number).expect("read"), wanted, "{item} {number}");
        }
    }
    let moment = store.moment().expect("open");
    for (item, (count, seed)) in model.iter().filter(|(_, (count, _))| *count > 0) {
        let last = moment.image(&format!("i{item}"), count - 1).expect("there");
        assert_eq!(last, image(*item, count - 1, *seed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// More pictures, fewer, none: nothing stays that the item does not have, over restarts and in a backup.
    #[test]
    fn what_is_stored_is_what_the_item_has(
        writes in proptest::collection::vec((0u8..4, 0u32..9, 0u8..4, any::<bool>()), 1..12)
    ) {
        let folder = tempfile::tempdir().expect("folder");
        let heads = HEADS.map(str::to_owned);
        let mut model = BTreeMap::<u8, (u32, u8)>::new();
        {
            let store = Store::open(store_in(&folder.path().join("a"))).expect("opens");
            // Two a transaction, so that one follows on another of the same item.
            for pair in writes.chunks(2) {
                let mut changes = Vec::new();
                for (item, count, seed, goes) in pair {
                    let had = model.get(item).map(|(count, _)| *count);
                    if *goes {
                        model.remove(item);
                        let pictures = had.unwrap_or(PICTURES_MAX);
                        changes.push(ItemChange::Delete { id: format!("i{item}"), pictures });
                    } else {
                        model.insert(*item, ((*count).min(PICTURES_MAX), *seed));
                        changes.push(put_several(*item, (*count).min(PICTURES_MAX), *seed, had));
                    }
                }
                assert!(store.prepare(&changes, &heads, &[]).commit(|| true).expect("written"));
                check(&store, &model);
            }
        }
        let store = Store::open(store_in(&folder.path().join("a"))).expect("opens");
        check(&store, &model);
        let mut backup = Vec::new();
        let written = store.backup(|bytes| {
            backup.extend(bytes);
            Ok::<_, StoreError>(())
        });
        prop_assert_eq!(written.expect("backed up").items, model.len() as u64);
        let restored = folder.path().join("b");
        restore(backup.as_slice(), &restored, &Disk::default()).expect("restored");
        let other = Store::open(store_in(&restored)).expect("opens");
        check(&other, &model);
        let pictures = |store: &Store| -> Vec<u32> {
            store.items().expect("items").0.iter().map(|(_, item)| item.pictures()).collect()
        };
        prop_assert_eq!(pictures(&other), model.values().map(|(count, _)| *count).collect::<Vec<_>>());
    }
}

#[test]
fn a_damaged_picture_is_that_picture_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let heads = HEADS.map(str::to_owned);
    {
        let store = Store::open(store_in(folder.path())).expect("opens");
        let changes = [put_several(1, 3, 1, None)];
        assert!(store.prepare(&changes, &heads, &[]).commit(|| true).expect("written"));
    }
    let key = picture_key("i1", 1);
    overwrite(folder.path(), "images", &key, &[1, 2, 3, 4, 5]);
    overwrite(folder.path(), "signatures/h", &key, &[1, 2, 3, 4, 5]);
    let store = Store::open(store_in(folder.path())).expect("opens");
    assert!(store.picture("i1", 1).is_err() && store.moment().expect("open").image("i1", 1).is_err());
    assert_eq!(store.picture("i1", 2).expect("read"), Some(image(1, 2, 1)));
    let mut found = Vec::new();
    let damage = store.signatures("h", 2, |key, _| found.push(of_key(key).1)).expect("read");
    assert_eq!(damage.records, [("signatures/h".to_owned(), key.clone())]);
    assert_eq!(found, [None, Some(0), Some(2)]);
    // The next write heals it, whatever it knows of what was there.
    let changes = [put_several(1, 1, 2, Some(PICTURES_MAX))];
    assert!(store.prepare(&changes, &heads, &[]).commit(|| true).expect("written"));
    check(&store, &BTreeMap::from([(1, (1, 2))]));
}
