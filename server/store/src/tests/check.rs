//! Checks of what a start did not read.

use super::*;

/// All that a check finds in pieces of `count`, and how many there were.
fn all(mut check: impl FnMut((&str, usize)) -> Checked, count: usize) -> (Vec<String>, usize) {
    let (mut damaged, mut from, mut pieces) = (Vec::new(), Some(String::new()), 0);
    while let Some(first) = from {
        let found = check((&first, count));
        damaged.extend(found.damaged);
        (from, pieces) = (found.next, pieces + 1);
    }
    (damaged, pieces)
}

#[test]
fn a_check_reads_everything_piece_by_piece_and_tells_what_is_damaged() {
    let folder = tempfile::tempdir().expect("folder");
    let ids: Vec<String> = (0..7).map(|at| format!("i{at}")).collect();
    {
        let store = Store::open(store_in(folder.path())).expect("opens");
        apply(&store, &ids.iter().map(|id| put(id, 1.0)).collect::<Vec<_>>());
    }
    for table in ["signatures/h", "items"] {
        overwrite(folder.path(), table, "i2", &[1; 12]);
        overwrite(folder.path(), table, "i6", b"");
    }
    let store = Store::open(store_in(folder.path())).expect("opens");
    let wanted = vec!["i2".to_owned(), "i6".to_owned()];
    for count in 1..9 {
        let pieces = ids.len().div_ceil(count);
        let found = all(|range| store.check_signatures(("h", 2), range).expect("read"), count);
        assert_eq!(found, (wanted.clone(), pieces));
        assert_eq!(all(|range| store.check_items(range).expect("read"), count), (wanted.clone(), pieces));
    }
    let damaged = store.check_signatures(("h", 3), ("", 9)).expect("read").damaged;
    assert_eq!(damaged, ids, "of another dimension");
    assert_eq!(store.check_signatures(("other", 2), ("", 9)).expect("read"), Checked::default());
}

#[test]
fn a_damaged_record_is_sound_once_it_is_written_again() {
    let folder = tempfile::tempdir().expect("folder");
    {
        let store = Store::open(store_in(folder.path())).expect("opens");
        apply(&store, &[put("a", 1.0), put("b", 2.0)]);
    }
    let before = items_of(folder.path());
    overwrite(folder.path(), "items", "a", &[7; 3]);
    let store = Store::open(store_in(folder.path())).expect("opens");
    let packed = PackedRecord::of(&before[0].1);
    store.write_records(&[("a".into(), packed)]).expect("written");
    assert_eq!(store.check_items(("", 9)).expect("read"), Checked::default());
    drop(store);
    assert_eq!(items_of(folder.path()), before);
}

fn items_of(folder: &Path) -> Vec<(String, ItemRecord)> {
    let (items, damage) = Store::open(store_in(folder)).expect("opens").items().expect("read");
    assert!(damage.is_none());
    items
}
