//! Profiles, their versions, and whose they are.

use super::*;
use redb::ReadableTableMetadata;
use std::collections::BTreeMap;

const NONE: RequestKey<'_> = RequestKey { id: "", request: RequestHash::NONE };

fn version(weight: f64, picks: usize) -> ProfileVersion {
    let picked_ids = (0..picks).map(|at| format!("{at:060}")).collect();
    ProfileVersion { weights: BTreeMap::from([("color".to_owned(), weight)]), picked_ids, saved_ms: 1 }
}

fn change(store: &Store, own: &str, unowned: Option<&str>, change: ProfileChange) -> Option<ProfileRecord> {
    let keys = ProfileKeys { own, unowned };
    store.change_profile::<StoreError>(keys, NONE, |_, _| Ok(change)).expect("changed")
}

fn save(store: &Store, key: &str, weight: f64) -> ProfileRecord {
    let saved = ProfileChange::Save { version: version(weight, 0), undo_max: 20 };
    change(store, key, None, saved).expect("saved")
}

fn stored_bytes(store: &Store, table: Table, key: &str) -> usize {
    let bytes = |transaction: &ReadTransaction| {
        Ok(transaction.open_table(table)?.get(key)?.map_or(0, |sealed| sealed.value().len()))
    };
    store.read(bytes).expect("read")
}

fn versions(store: &Store) -> u64 {
    store.read(|transaction| Ok(transaction.open_table(PROFILE_VERSIONS)?.len()?)).expect("counted")
}

#[test]
fn a_save_writes_one_version_and_no_more() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    let keys = ProfileKeys { own: "ann", unowned: None };
    let key = RequestKey { id: "r", request: RequestHash::NONE };
    for weight in 1..=30u32 {
        let saved = ProfileChange::Save { version: version(f64::from(weight), 100), undo_max: 20 };
        let key = if weight == 30 { key } else { NONE };
        store.change_profile::<StoreError>(keys, key, |_, _| Ok(saved)).expect("saved");
    }
    let found = store.profile("ann").expect("read").expect("there");
    assert_eq!((found.version, found.undo_steps, found.current), (30, 20, version(30.0, 100)));
    assert_eq!(versions(&store), 21, "older ones are gone");
    let one = stored_bytes(&store, PROFILE_VERSIONS, "ann\u{1e}00000000000000000029");
    assert!((6000..8000).contains(&one), "{one} bytes of a version");
    assert!(stored_bytes(&store, PROFILES, "ann") < 100, "the versions are not in its record");
    assert!(stored_bytes(&store, RECEIPTS, "r") < one + 100, "nor in the receipt");
    for weight in (10..30u32).rev() {
        let undone = change(&store, "ann", None, ProfileChange::Undo).expect("there");
        assert_eq!(undone.current.weights["color"], f64::from(weight));
    }
    assert_eq!(store.profile("ann").expect("read").map(|p| (p.version, p.undo_steps)), Some((50, 0)));
    assert_eq!(change(&store, "ann", None, ProfileChange::Delete), None);
    assert_eq!(versions(&store), 0);
}

#[test]
fn a_profile_of_nobody_becomes_that_of_whoever_changes_it() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    let (shop, other) = ("\u{1f}shop\u{1f}ann", "\u{1f}other\u{1f}ann");
    save(&store, "ann", 1.0);
    save(&store, "ann", 2.0);
    save(&store, "anna", 9.0);
    let saved = ProfileChange::Save { version: version(3.0, 0), undo_max: 20 };
    let saved = change(&store, shop, Some("ann"), saved).expect("saved");
    assert_eq!((saved.version, saved.undo_steps), (3, 2), "its versions come along");
    assert_eq!(store.profile("ann").expect("read"), None, "it is the shop's alone");
    let undone = change(&store, shop, Some("ann"), ProfileChange::Undo).expect("there");
    assert_eq!(undone.current.weights["color"], 2.0);
    let saved = ProfileChange::Save { version: version(5.0, 0), undo_max: 20 };
    assert_eq!(change(&store, other, Some("ann"), saved).map(|p| p.version), Some(1), "another ann");
    // One of nobody that a subject already has by that name is left alone.
    save(&store, "ann", 7.0);
    change(&store, shop, Some("ann"), ProfileChange::Delete);
    assert_eq!(store.profile(shop).expect("read"), None);
    assert_eq!(store.profile("ann").expect("read").map(|p| p.version), Some(1));
    change(&store, shop, Some("ann"), ProfileChange::Keep);
    assert_eq!(store.profile(shop).expect("read").map(|p| p.version), Some(1), "as it was, and the shop's");
    save(&store, "ann", 8.0);
    change(&store, "\u{1f}third\u{1f}ann", Some("ann"), ProfileChange::Delete);
    assert_eq!(store.profile("ann").expect("read"), None);
    assert_eq!(store.profile("anna").expect("read").map(|p| p.current.weights["color"]), Some(9.0));
}

#[test]
fn a_list_is_bounded_by_number_and_by_bytes() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    for number in 0..5 {
        save(&store, &format!("p{number}"), 1.0);
    }
    let list = |after: &str, count| -> Vec<String> {
        store.profiles(after, count).expect("listed").into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(list("", 3), ["p0", "p1", "p2"]);
    assert_eq!(list("p2", 3), ["p3", "p4"]);
    for number in 0..3 {
        let large = ProfileChange::Save { version: version(1.0, 100_000), undo_max: 0 };
        change(&store, &format!("q{number}"), None, large);
    }
    assert_eq!(list("p4", 10), ["q0", "q1"], "more than an answer holds");
}

#[test]
fn a_damaged_profile_is_told_passed_over_and_mended_by_a_save() {
    let folder = tempfile::tempdir().expect("folder");
    let open = || Store::open(store_in(folder.path())).expect("opens");
    let listed = |store: &Store| store.profiles("", 10).expect("listed").len();
    {
        let store = open();
        (1..=3u32).for_each(|weight| drop(save(&store, "ann", f64::from(weight))));
        save(&store, "zoe", 1.0);
    }
    // The version that it holds.
    overwrite(folder.path(), "profile_versions", "ann\u{1e}00000000000000000002", &[1; 9]);
    {
        let store = open();
        assert!(store.profile("ann").expect_err("told").is_damage());
        assert_eq!(listed(&store), 1, "the others are listed");
        let saved = save(&store, "ann", 4.0);
        assert_eq!((saved.version, saved.undo_steps, listed(&store)), (4, 2, 2));
    }
    // An earlier one: undo goes past it.
    overwrite(folder.path(), "profile_versions", "ann\u{1e}00000000000000000001", &[1; 9]);
    {
        let store = open();
        let undone = change(&store, "ann", None, ProfileChange::Undo).expect("there");
        assert_eq!((undone.version, undone.current.weights["color"]), (5, 1.0));
    }
    // Its record.
    overwrite(folder.path(), "profiles", "ann", &[1; 9]);
    let store = open();
    assert!(store.profile("ann").expect_err("told").is_damage());
    let keys = ProfileKeys { own: "ann", unowned: None };
    let asked = store.change_profile::<StoreError>(keys, NONE, |old, _| old.map(|_| ProfileChange::Undo));
    assert!(asked.expect_err("whoever decides is told").is_damage());
    let saved = save(&store, "ann", 6.0);
    assert_eq!((saved.version, saved.undo_steps, versions(&store)), (1, 0, 2), "it begins anew");
    assert_eq!(listed(&store), 2);
}

#[test]
fn profiles_are_written_when_items_are() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    store.reopen().expect("opened anew");
    let keys = ProfileKeys { own: "ann", unowned: None };
    let saved = || ProfileChange::Save { version: version(1.0, 0), undo_max: 1 };
    let refused = store.change_profile::<StoreError>(keys, NONE, |_, _| Ok(saved()));
    assert!(matches!(refused, Err(StoreError::Reopening)), "the memory does not follow yet");
    assert!(store.opened());
    assert!(store.change_profile::<StoreError>(keys, NONE, |_, _| Ok(saved())).is_ok());
}
