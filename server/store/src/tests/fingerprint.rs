//! What a catalogue's file is left as, and what a check of its signatures finds.

use super::*;
use std::time::SystemTime;

/// Opens the store, has it changed, closes it, and hides when that was.
fn left(folder: &Path, change: impl FnOnce(&Store)) -> Fingerprint {
    let store = Store::open(store_in(folder)).expect("opens");
    change(&store);
    let closed = store.close().expect("sound");
    assert_eq!(closed, Fingerprint::of(folder).expect("there"), "closing was the last that happened to it");
    assert!(matches!(store.items(), Err(StoreError::Reopening)), "it is closed");
    assert!(store.close().is_some_and(|again| again == closed));
    drop(store);
    let file = OpenOptions::new().write(true).open(folder.join(FILE)).expect("opens");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
    Fingerprint::of(folder).expect("there")
}

#[test]
fn every_transaction_changes_the_fingerprint_whatever_the_time() {
    let folder = tempfile::tempdir().expect("folder");
    let mut all = vec![left(folder.path(), |store| apply(store, &[put("a", 1.0), put("b", 2.0)]))];
    assert_eq!(all[0], Fingerprint::of(folder.path()).expect("there"));
    // As many records as before, of the same lengths.
    for signature in [3.0, 1.0, 3.0] {
        all.push(left(folder.path(), |store| apply(store, &[put("a", signature)])));
    }
    let by_head = SignaturesByHead::from([("h".to_owned(), vec![("a".to_owned(), vec![3.0, 0.0])])]);
    all.push(left(folder.path(), |store| store.add_signatures(&by_head).expect("added")));
    all.push(left(folder.path(), |store| store.drop_data(&["h".to_owned()]).expect("dropped")));
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one), "change {at}");
    }
}

#[test]
fn a_store_that_failed_is_left_without_a_fingerprint() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    apply(&store, &[put("a", 1.0)]);
    store.health.set(StoreHealth::Failed);
    assert!(store.close().is_none());
}
