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
