//! Damage in any record of any table, in every format: the store opens, the rest is read, and writes go on.

use super::fixture::{fill, request};
use super::formats::copy_fixture;
use super::*;

/// A folder with a catalogue of a format.
fn catalogue(format: u64, folder: &Path) {
    if format == FORMAT {
        fill(&Store::open(StoreConfig { receipts_max: 100, ..store_in(folder) }).expect("opens"));
    } else {
        copy_fixture(format, folder);
    }
}

/// All that a server reads at its start, and a write of every kind.
fn use_all(folder: &Path, context: &str) {
    for _ in 0..2 {
        let store = Store::open(store_in(folder)).unwrap_or_else(|error| panic!("{context}: {error}"));
        let (items, damage) = store.items().unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(items.len() + damage.records.len() == 3, "{context}: {} and {damage:?}", items.len());
        let (heads, _) = store.heads().unwrap_or_else(|error| panic!("{context}: {error}"));
        store.models().unwrap_or_else(|error| panic!("{context}: {error}"));
        store.generation().unwrap_or_else(|error| panic!("{context}: {error}"));
        for (key, _) in heads {
            store.signatures(&key, 3, |_, _| {}).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
        store.profiles("", 10).unwrap_or_else(|error| panic!("{context}: {error}"));
        // More receipts than are kept, so that the damaged one is among those that go.
        let asked = RequestHash { request: request(), message: request() };
        let receipts = [0, 1, 2, 3].map(|number| Receipt {
            request_id: format!("r{number}"),
            request: asked,
            outcome: Outcome::Upserted(false),
        });
        let revised = ItemChange::Revise { id: "red".into(), record: record(), signatures: Vec::new() };
        let changes = [put("blue", 1.0), revised];
        let written = store.prepare(&changes, &["h".to_owned()], &receipts).commit(|| true);
        assert!(written.unwrap_or_else(|error| panic!("{context}: {error}")));
        let found = store.outcomes(&[("r3", asked)]).expect("read").remove(0);
        assert_eq!(found.expect("its own"), Some(Outcome::Upserted(false)), "{context}");
        let version = ProfileVersion { weights: Default::default(), picked_ids: Vec::new(), saved_ms: 1 };
        let (keys, none) =
            (ProfileKeys { own: "ann", unowned: None }, RequestKey { id: "", request: RequestHash::NONE });
        let saved = store.change_profile::<StoreError>(keys, none, |_, _| {
            Ok(ProfileChange::Save { version, undo_max: 2 })
        });
        assert!(saved.unwrap_or_else(|error| panic!("{context}: {error}")).is_some());
    }
}

#[test]
fn a_damaged_record_of_any_table_and_format_stops_neither_a_start_nor_a_write() {
    let folder = tempfile::tempdir().expect("folder");
    for format in 1..=FORMAT {
        let sound = folder.path().join(format!("sound{format}"));
        std::fs::create_dir_all(&sound).expect("folder");
        catalogue(format, &sound);
        let records = all_records(&sound);
        assert!(records.len() > 10, "format {format}: {records:?}");
        for (at, (table, key)) in records.iter().enumerate() {
            // Bytes without a seal, and a sound seal over what is no record.
            for (how, bytes) in
                [("unsealed", vec![255; 9]), ("sealed", sealed::seal(table, key, vec![255; 9]))]
            {
                let target = folder.path().join(format!("{format}-{at}-{how}"));
                std::fs::create_dir_all(&target).expect("folder");
                std::fs::copy(sound.join(FILE), target.join(FILE)).expect("copied");
                overwrite(&target, table, key, &bytes);
                use_all(&target, &format!("format {format}, {table} {key:?}, {how}"));
                std::fs::remove_dir_all(&target).expect("removed");
            }
        }
    }
}

#[test]
fn a_record_that_no_format_can_read_is_not_taken_for_one_of_the_next() {
    let folder = tempfile::tempdir().expect("folder");
    copy_fixture(2, folder.path());
    // A sound seal over what is a profile's record of format 3, and none of format 2.
    let of_next = sealed::encode(
        "profiles",
        "ann",
        &crate::formats::three::ProfileEntry { version: 1, places: vec![0] },
    );
    overwrite(folder.path(), "profiles", "ann", &of_next);
    let store = Store::open(store_in(folder.path())).expect("opens");
    assert!(store.profile("ann").expect_err("told").is_damage());
}

#[test]
fn a_backup_passes_over_what_is_damaged_and_counts_it() {
    let folder = tempfile::tempdir().expect("folder");
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let store = Store::open(store_in(&from)).expect("opens");
    apply(&store, &[put("a", 1.0), put("b", 2.0), put("c", 3.0)]);
    drop(store);
    overwrite(&from, "items", "a", &[1; 9]);
    overwrite(&from, "images", "b", &[1; 9]);
    let store = Store::open(store_in(&from)).expect("opens");
    overwritten_format(&store);
    let mut backup = Vec::new();
    let written = store.backup(|bytes| {
        backup.extend(bytes);
        Ok::<_, StoreError>(())
    });
    let summary = written.expect("the rest is worth the more");
    assert_eq!((summary.items, summary.damaged), (2, 2));
    let restored = restore(backup.as_slice(), &to, &Disk::default()).expect("restored");
    assert_eq!((restored.items, restored.records), (2, summary.records));
    let copy = Store::open(store_in(&to)).expect("opens: its format is that of the open store");
    let ids: Vec<String> = copy.items().expect("items").0.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["b", "c"]);
    assert_eq!((copy.image("a").expect("read").is_some(), copy.image("b").expect("read")), (true, None));
}

/// Damages the number of the format under a store that is open.
fn overwritten_format(store: &Store) {
    let damaged = store.write::<_, StoreError>(|transaction| {
        transaction.open_table(ABOUT)?.insert("format", [1; 9].as_slice())?;
        Ok(())
    });
    damaged.expect("written");
}
