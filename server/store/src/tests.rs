mod check;
mod damage;
mod fingerprint;
mod fixture;
mod flipped;
mod formats;
mod pictures;
mod profiles;
mod reopening;
mod revising;

use super::*;
use proptest::prelude::*;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};

impl Store {
    /// Every item's record that can be read, by id.
    fn items(&self) -> Result<(Vec<(String, ItemRecord)>, Damage), StoreError> {
        self.all(ITEMS)
    }
}

/// A store in a folder.
fn store_in(folder: &Path) -> StoreConfig {
    StoreConfig { folder: folder.to_owned(), cache_bytes: 1 << 20, receipts_max: 3, disk: Disk::default() }
}

/// Puts other bytes in the place of a record of a catalogue that nobody has open.
fn overwrite(folder: &Path, table: &str, key: &str, bytes: &[u8]) {
    let database = Database::open(folder.join(FILE)).expect("opens");
    let transaction = database.begin_write().expect("begun");
    {
        let definition = TableDefinition::<&str, &[u8]>::new(table);
        let mut table = transaction.open_table(definition).expect("a table");
        table.insert(key, bytes).expect("written");
    }
    transaction.commit().expect("durable");
}

/// Tables and keys of all records of a catalogue that nobody has open.
fn all_records(folder: &Path) -> Vec<(String, String)> {
    use redb::{ReadableTable, TableHandle};
    let database = Database::open(folder.join(FILE)).expect("opens");
    let transaction = database.begin_read().expect("begun");
    let mut found = Vec::new();
    for handle in transaction.list_tables().expect("listed").filter(|handle| handle.name() != "meta") {
        let name = handle.name().to_owned();
        let table = transaction.open_table(TableDefinition::<&str, &[u8]>::new(&name)).expect("a table");
        for entry in table.iter().expect("read") {
            found.push((name.clone(), entry.expect("read").0.value().to_owned()));
        }
    }
    found
}

fn record() -> ItemRecord {
    ItemRecord {
        labels: Labels::new(),
        image: Some(ContentId::of(&[1, 2, 3])),
        parts_case: None,
        updated_ms: 5,
        fields: stock(7),
        more_images: Vec::new(),
    }
}

/// The one field of items that are in stock.
fn stock(pieces: i64) -> Fields {
    Fields::from([("stock".to_owned(), FieldValue::Integer(pieces))])
}

fn put(id: &str, signature: f32) -> ItemChange {
    ItemChange::Put {
        id: id.into(),
        record: record(),
        images: vec![vec![1, 2, 3]],
        signatures: vec![("h".into(), vec![signature, 0.0])],
        pictures: Vec::new(),
        replaces: Some(1),
    }
}

fn apply(store: &Store, changes: &[ItemChange]) {
    assert!(store.prepare(changes, &["h".to_owned()], &[]).commit(|| true).expect("applied"));
}

fn signatures(store: &Store, dim: usize) -> (Vec<(String, Vec<f32>)>, Damage) {
    let mut found = Vec::new();
    let damage = store.signatures("h", dim, |id, v| found.push((id.to_owned(), v.to_vec()))).expect("read");
    (found, damage)
}

#[test]
fn changes_survive_reopening_and_deletes_leave_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    {
        let store = Store::open(store_in(folder.path())).expect("opens");
        apply(&store, &[put("a", 1.0), put("b", 2.0)]);
        apply(&store, &[ItemChange::Delete { id: "a".into(), pictures: 1 }, put("b", 3.0)]);
        let refused = store.prepare(&[put("c", 1.0)], &["h".to_owned()], &[]).commit(|| false);
        assert!(!refused.expect("no fault"), "what is not agreed to is not written");
        assert!(
            matches!(Store::open(store_in(folder.path())), Err(StoreError::InUse { .. })),
            "opened twice"
        );
        store.reopen().expect("opened anew");
    }
    let store = Store::open(store_in(folder.path())).expect("opens");
    assert_eq!(store.items().expect("items").0.len(), 1);
    assert_eq!(store.image("a").expect("read"), None);
    assert_eq!(store.image("b").expect("read"), Some(vec![1, 2, 3]));
    assert_eq!(signatures(&store, 2).0, [("b".to_owned(), vec![3.0, 0.0])]);
    assert_eq!(signatures(&store, 3).1.records, [("signatures/h".to_owned(), "b".to_owned())]);
    store.drop_data(&["h".into()]).expect("dropped");
    assert!(store.signature_tables().expect("listed").is_empty());
}

#[test]
fn a_file_that_was_cut_off_is_refused_with_what_to_do_and_stays() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    apply(&store, &(0..50).map(|i| put(&format!("i{i}"), 1.0)).collect::<Vec<_>>());
    drop(store);
    let file = folder.path().join(FILE);
    let whole = std::fs::read(&file).expect("read");
    let text = b"no database".repeat(10_000);
    for bytes in [&whole[..0], &whole[..100], &whole[..5000], &whole[..whole.len() / 2], &text] {
        std::fs::write(&file, bytes).expect("written");
        let refused = Store::open(store_in(folder.path())).err().expect("refused");
        let said = refused.to_string();
        assert!(matches!(refused, StoreError::Broken { .. }), "{} bytes: {said}", bytes.len());
        assert!(said.contains("catalogue.redb") && said.contains("restore a backup"), "{said}");
        assert_eq!(std::fs::read(&file).expect("read"), bytes, "nothing is made in its place");
    }
    std::fs::write(&file, &whole).expect("written");
    assert_eq!(Store::open(store_in(folder.path())).expect("opens").items().expect("items").0.len(), 50);
}

#[test]
fn receipts_are_kept_up_to_their_number() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    let asked =
        |what: &[u8]| RequestHash { request: ContentId::of(what), message: ContentId::of(b"message") };
    let request = asked(b"red");
    for number in 0..5 {
        let receipt =
            Receipt { request_id: format!("r{number}"), request, outcome: Outcome::Upserted(number > 2) };
        assert!(store.prepare(&[put("a", 1.0)], &[], &[receipt]).commit(|| true).expect("applied"));
    }
    let by_message = RequestHash { request: ContentId::of(b"other"), message: request.request };
    let ask = |id: &str, request| store.outcomes(&[(id, request)]).expect("read").remove(0);
    assert_eq!(ask("r1", request).expect("fine"), None, "forgotten");
    assert_eq!(ask("r2", request).expect("fine"), Some(Outcome::Upserted(false)));
    assert_eq!(ask("r4", request).expect("fine"), Some(Outcome::Upserted(true)));
    assert_eq!(ask("", request).expect("fine"), None);
    assert!(matches!(ask("r4", asked(b"blue")), Err(StoreError::RequestId(_))));
    assert!(
        matches!(ask("r4", by_message), Err(StoreError::RequestId(_))),
        "only older ones may be of the message"
    );
}

#[test]
fn a_backup_is_the_catalogue_and_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(&folder.path().join("a"))).expect("opens");
    apply(&store, &(0..50).map(|i| put(&format!("i{i}"), i as f32)).collect::<Vec<_>>());
    let mut backup = Vec::new();
    let written = store.backup(|bytes| {
        backup.extend(bytes);
        Ok::<_, StoreError>(())
    });
    let summary = written.expect("backed up");
    assert_eq!(summary.items, 50);
    apply(&store, &[ItemChange::Delete { id: "i7".into(), pictures: 1 }]);
    let restored = folder.path().join("b");
    assert_eq!(restore(backup.as_slice(), &restored, &Disk::default()).expect("restored"), summary);
    {
        let other = Store::open(store_in(&restored)).expect("opens");
        let items = other.items().expect("items").0;
        assert!(items.len() == 50 && items.iter().all(|(_, item)| *item == record()), "fields and all");
        assert_eq!(signatures(&other, 2).0.len(), 50);
        assert_eq!(other.image("i7").expect("read"), Some(vec![1, 2, 3]));
    }
    let again = restore(backup.as_slice(), &restored, &Disk::default());
    assert!(matches!(again, Err(BackupError::NotEmpty { .. })));
    for (at, case) in (0..backup.len()).step_by(97).enumerate() {
        let target = folder.path().join(format!("damaged{at}"));
        let mut flipped = backup.clone();
        flipped[case] ^= 4;
        assert!(restore(flipped.as_slice(), &target, &Disk::default()).is_err(), "byte {case}");
        assert!(restore(&backup[..case], &target, &Disk::default()).is_err(), "cut at {case}");
        assert!(!target.join(FILE).exists() && !target.join("catalogue.restoring").exists());
    }
}

/// A backup has no trace of tables without a record; the restored catalogue has them all the same.
#[test]
fn a_restored_catalogue_without_records_is_used_as_a_new_one() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(&folder.path().join("a"))).expect("opens");
    let mut backup = Vec::new();
    let written = store.backup(|bytes| {
        backup.extend(bytes);
        Ok::<_, StoreError>(())
    });
    assert_eq!(written.expect("backed up").items, 0);
    let restored = folder.path().join("b");
    restore(backup.as_slice(), &restored, &Disk::default()).expect("restored");
    let asked = RequestHash { request: ContentId::of(b"asked"), message: ContentId::of(b"asked") };
    for wanted in [None, Some(Outcome::Upserted(false))] {
        let store = Store::open(store_in(&restored)).expect("opens");
        let found = store.outcomes(&[("r", asked)]).expect("read").remove(0);
        assert_eq!(found.expect("its own"), wanted);
        assert_eq!(store.items().expect("items").0.len(), usize::from(wanted.is_some()));
        assert!(store.profiles("", 10).expect("listed").is_empty());
        assert!(store.profile("ann").expect("read").is_none());
        assert!(store.heads().expect("heads").0.is_empty() && store.models().expect("models").0.is_empty());
        assert_eq!(store.image("nobody").expect("read"), None);
        let outcome = Outcome::Upserted(false);
        let receipt = Receipt { request_id: "r".into(), request: asked, outcome };
        let written = store.prepare(&[put("a", 1.0)], &["h".to_owned()], &[receipt]).commit(|| true);
        assert!(written.expect("written"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Any bytes are refused and leave nothing behind.
    #[test]
    fn any_bytes_are_no_backup(bytes in proptest::collection::vec(any::<u8>(), 0..200), with_head in any::<bool>()) {
        let folder = tempfile::tempdir().expect("folder");
        let head = if with_head { b"LAPELBAK\x01\0\0\0".to_vec() } else { Vec::new() };
        prop_assert!(restore([head, bytes].concat().as_slice(), folder.path(), &Disk::default()).is_err());
        prop_assert!(!folder.path().join(FILE).exists());
    }
}

/// Flips a bit of a file.
fn flip(path: &Path, at: u64, bit: u8) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).expect("the file");
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut byte)).expect("a byte");
    byte[0] ^= 1 << bit;
    file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&byte)).expect("written");
}

/// Wherever a bit is flipped: what is read is what was written, or is said to be damaged.
#[test]
fn flipped_bits_are_found_and_the_rest_is_read() {
    let folder = tempfile::tempdir().expect("folder");
    let sound = folder.path().join("sound");
    let count = 300;
    let image = |i: usize| vec![i as u8; 700];
    let wanted = |i: usize| ItemRecord {
        updated_ms: i as u64,
        fields: if i.is_multiple_of(2) { stock(i as i64) } else { fixture::fields() },
        ..record()
    };
    {
        let store = Store::open(store_in(&sound)).expect("opens");
        let put = |i: usize| ItemChange::Put {
            id: format!("item{i:04}"),
            record: wanted(i),
            images: vec![image(i)],
            signatures: vec![("h".into(), vec![i as f32, 1.0])],
            pictures: Vec::new(),
            replaces: None,
        };
        apply(&store, &(0..count).map(put).collect::<Vec<_>>());
    }
    let bytes = std::fs::read(sound.join(FILE)).expect("the file");
    let (mut unopened, mut told, mut read) = (0, 0, 0);
    for case in 0..150u64 {
        let at = case.wrapping_mul(0x9E37_79B9_7F4A_7C15) % bytes.len() as u64;
        let target = folder.path().join("flipped");
        std::fs::create_dir_all(&target).expect("folder");
        std::fs::write(target.join(FILE), &bytes).expect("copied");
        flip(&target.join(FILE), at, (case % 8) as u8);
        let store = match Store::open(store_in(&target)) {
            Ok(store) => store,
            Err(_) => {
                unopened += 1;
                continue;
            }
        };
        let Ok((items, damage)) = store.items() else {
            told += 1;
            continue;
        };
        let number =
            |id: &str| id.strip_prefix("item").and_then(|n| n.parse::<usize>().ok()).expect("its own id");
        for (id, record) in &items {
            assert_eq!(*record, wanted(number(id)), "case {case}: a record is what was written");
        }
        assert!(
            items.len() as u64 + damage.records.len() as u64 + damage.lost >= count as u64,
            "case {case}: {damage:?}"
        );
        assert!(items.len() + 100 > count, "case {case}: most is read: {} of {count}", items.len());
        let mut damaged = !damage.is_none();
        for i in 0..count {
            match store.image(&format!("item{i:04}")) {
                Ok(Some(found)) => assert_eq!(found, image(i), "case {case}"),
                Ok(None) | Err(_) => damaged = true,
            }
        }
        let found = store.signatures("h", 2, |id, v| assert_eq!(v, [number(id) as f32, 1.0], "case {case}"));
        damaged |= !found.is_ok_and(|d| d.is_none());
        told += u64::from(damaged);
        read += u64::from(!damaged);
    }
    println!(
        "of 150 flips {unopened} kept the file from opening, {told} were told, {read} touched nothing that is read"
    );
}

#[test]
fn a_backup_with_bytes_behind_its_end_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(&folder.path().join("a"))).expect("opens");
    apply(&store, &[put("i", 1.0)]);
    let mut backup = Vec::new();
    let written = store.backup(|bytes| {
        backup.extend(bytes);
        Ok::<_, StoreError>(())
    });
    written.expect("backed up");
    let restored = folder.path().join("b");
    for rest in [&b"x"[..], &backup[..], &backup[backup.len() / 2..]] {
        let refused = restore([&backup[..], rest].concat().as_slice(), &restored, &Disk::default());
        let refused = refused.expect_err("there is more").to_string();
        assert!(refused.contains("bytes follow its end"), "{refused}");
        assert!(!restored.join(FILE).exists() && !restored.join("catalogue.restoring").exists());
    }
    restore(backup.as_slice(), &restored, &Disk::default()).expect("restored");
}

#[test]
fn a_start_removes_what_a_compaction_that_was_cut_off_has_left() {
    let folder = tempfile::tempdir().expect("folder");
    drop(Store::open(store_in(folder.path())).expect("opens"));
    let left = folder.path().join(format!("{FILE}.unfinished"));
    std::fs::copy(folder.path().join(FILE), &left).expect("copied");
    drop(Store::open(store_in(folder.path())).expect("opens"));
    assert!(!left.exists());
    compact(folder.path()).expect("compacted");
    assert!(!left.exists());
}
