//! Exact signatures in files: nobody can tell where a signature is.

use super::*;
use crate::{LoadingSignatures, OpenedRows, RowFile, RowFileError};
use proptest::collection::vec;
use std::io;
use std::path::{Path, PathBuf};

/// Where the signatures of items and of pictures go.
pub(super) fn paths(folder: &Path, key: &str) -> [PathBuf; 2] {
    ["items", "pictures"].map(|of| folder.join(format!("{key}.{of}")))
}

fn open(folder: &Path, key: &str, precision: Precision) -> [OpenedRows; 2] {
    let open = |path: PathBuf| RowFile::open(&path, key, (DIM, precision), Arc::new(|| Ok(())));
    paths(folder, key).map(|path| open(path).expect("opens"))
}

/// An empty column whose files are in a folder.
pub(super) fn in_files(folder: &Path, key: &str, precision: Precision) -> SignatureColumn {
    let mut column = SignatureColumn::new(&key.into(), DIM, precision);
    let [items, pictures] = open(folder, key, precision).map(|opened| opened.file);
    column.set_files(items, pictures);
    column
}

/// Moves at least so many bytes of a column's signatures to files; those of a folder that nobody else can find.
pub(super) fn spill(local: &mut LocalSignatures, key: &str, bytes: usize) {
    let before = local.column(key).expect("there").clone();
    let mut with_files = before.clone();
    if !with_files.has_files() {
        let folder = tempfile::tempdir().expect("folder");
        let [items, pictures] = open(folder.path(), key, Precision::F32).map(|opened| opened.file);
        with_files.set_files(items, pictures);
    }
    let spilled = with_files.spilled(bytes).expect("spilled");
    assert!(local.adopt_rows(&before, &spilled));
}

type Signed = Vec<(String, Vec<f32>)>;

#[derive(Clone, Debug)]
enum Step {
    Put(u64, u64),
    Remove(u64),
    Compact,
    /// Moves some kilobytes of a column; a write comes in between where there is an item for it.
    Spill(usize, usize, Option<u64>),
    /// Codes a column; signatures move in between where that is asked for.
    Code(usize, bool),
    Snapshot,
    /// What is in the files is read anew, in this order, into so many kilobytes of memory a column.
    Restart(u64, usize),
    /// Columns are saved and restored.
    Resume,
}

const ITEMS: u64 = 1300;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let item = || 0..ITEMS + 200;
    let step = prop_oneof![
        8 => (item(), 0u64..100).prop_map(|(item, seed)| Step::Put(item, seed)),
        4 => item().prop_map(Step::Remove),
        1 => Just(Step::Compact),
        4 => (0..3usize, 0usize..100, proptest::option::of(item()))
            .prop_map(|(column, kilobytes, item)| Step::Spill(column, kilobytes, item)),
        1 => (0..3usize, any::<bool>()).prop_map(|(column, moves)| Step::Code(column, moves)),
        2 => Just(Step::Snapshot),
        1 => (0u64..100, 0usize..60).prop_map(|(seed, kilobytes)| Step::Restart(seed, kilobytes)),
        1 => Just(Step::Resume),
    ];
    vec(step, 1..40)
}

/// Columns whose files are in a folder, beside what they should hold.
struct Filed {
    folder: tempfile::TempDir,
    precision: Precision,
    local: LocalSignatures,
    items: BTreeMap<u64, Signed>,
}

impl Filed {
    fn new(precision: Precision) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut local = LocalSignatures::default();
        KEYS.iter().for_each(|key| local.add_column(in_files(folder.path(), key, precision)));
        let mut filed = Self { folder, precision, local, items: BTreeMap::new() };
        (0..ITEMS).for_each(|item| filed.put(item, 0));
        filed
    }

    fn put(&mut self, item: u64, seed: u64) {
        let given = signatures(item + 10_000 * seed, |seen, h| (seen + h) % 5 != 0);
        let before = self.items.contains_key(&item).then(|| labels(item));
        put(&mut self.local, item, before.as_ref(), &given);
        let rounded = |(key, values): (String, Vec<f32>)| (key, self.precision.rounded(&values).into_owned());
        self.items.insert(item, given.into_iter().map(rounded).collect());
    }

    fn remove(&mut self, item: u64) {
        if self.items.remove(&item).is_none() {
            return;
        }
        let (id, labels) = (id(item), labels(item));
        let signatures = NewSignatures::Only(&[]);
        let goes = Change { id: &id, before: Some(facts(&labels)), after: None, signatures, pictures: &[] };
        self.local.apply(&[goes]).expect("all can be read");
    }

    fn column(&self, at: usize) -> SignatureColumn {
        self.local.column(KEYS[at]).expect("there").clone()
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Put(item, seed) => self.put(item, seed),
            Step::Remove(item) => self.remove(item),
            Step::Compact => {
                while let Some((from, to)) = self.local.items().gap() {
                    let id = self.local.items().id(from).expect("live");
                    let labels = labels(id[1..].parse().expect("a number"));
                    self.local.shift((from, to), facts(&labels));
                }
                self.local.truncate();
            }
            Step::Spill(at, kilobytes, item) => {
                let before = self.column(at);
                let spilled = before.spilled(kilobytes << 10).expect("room");
                let freed = before.bytes().rows - spilled.bytes().rows;
                assert!(freed >= before.bytes().rows.min(kilobytes << 10));
                if let Some(item) = item {
                    self.put(item, 7);
                }
                let groups = self.column(at).bytes().rows;
                assert!(self.local.adopt_rows(&before, &spilled));
                assert!(item.is_some() || self.column(at).bytes().rows == groups - freed);
            }
            Step::Code(at, moves) => {
                let before = self.column(at);
                let coded = before.coded();
                if moves {
                    self.take(&Step::Spill(at, 20, None));
                }
                assert!(self.local.adopt_codes(&before, &coded));
                assert_eq!(self.column(at).bytes().codes, coded.bytes().codes);
            }
            Step::Snapshot => {}
            Step::Restart(seed, kilobytes) => self.restart(seed, kilobytes << 10),
            Step::Resume => {
                for key in KEYS {
                    state::resume(&mut self.local, key, self.precision, Some(self.folder.path()));
                }
            }
        }
    }

    fn restart(&mut self, seed: u64, memory_bytes: usize) {
        for key in KEYS {
            let there = self.local.column(key).expect("there");
            let empty = SignatureColumn::new(&key.into(), DIM, self.precision);
            let mut rows: Vec<(Slot, Vec<f32>)> = self
                .local
                .items()
                .live()
                .iter()
                .filter_map(|slot| Some((slot, there.get(slot)?.into_owned())))
                .collect();
            rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            // The files are left.
            self.local.drop_column(key);
            let files = open(self.folder.path(), key, self.precision);
            let mut loading = LoadingSignatures::with_files(empty, files, memory_bytes);
            rows.iter().for_each(|(slot, row)| assert_eq!(loading.set(*slot, row), None));
            let column = loading.into_column();
            assert!(column.bytes().rows <= memory_bytes, "{} bytes", column.bytes().rows);
            self.local.add_column(column);
        }
    }
}

/// Everything that is there, read one by one and all at once.
fn check(local: &LocalSignatures, items: &BTreeMap<u64, Signed>) {
    let ids: Vec<Arc<str>> = items.keys().map(|item| id(*item)).collect();
    let ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
    let rows = local.rows(&ids, &KEYS).expect("all can be read");
    for (row, signed) in rows.iter().zip(items.values()) {
        for (key, found) in KEYS.iter().zip(row) {
            assert_eq!(found.as_deref(), signature_of(signed, key));
        }
    }
    for key in KEYS {
        let column = local.column(key).expect("there");
        let count = items.values().filter(|signed| signature_of(signed, key).is_some()).count();
        assert_eq!(column.count(), count as u64);
        let blocks = (0..column.block_count()).filter_map(|number| column.block(number));
        let present = blocks.flat_map(|block| block.present().map(u64::count_ones)).sum::<u32>();
        assert_eq!(present as usize, count);
    }
    assert_eq!((local.items().len(), local.faults()), (items.len(), 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_moves_where_all_see_what_was_written(
        steps in steps(), precision in prop_oneof![Just(Precision::F32), Just(Precision::F16)],
        seed in 0u64..1000, k in 1usize..40,
    ) {
        let mut filed = Filed::new(precision);
        let mut snapshots: Vec<(LocalSignatures, BTreeMap<u64, Signed>)> = Vec::new();
        for step in &steps {
            match step {
                Step::Snapshot => snapshots.push((filed.local.clone(), filed.items.clone())),
                // A file is used by one: those who read it are gone.
                Step::Restart(..) | Step::Resume => snapshots.clear(),
                _ => {}
            }
            filed.take(step);
        }
        snapshots.push((filed.local, filed.items));
        for (local, items) in &snapshots {
            check(local, items);
        }
        let (local, _) = &snapshots[snapshots.len() - 1];
        let query = query(seed, &[3.0, 1.0, 0.5], k);
        let answer = by_plan(local, &query, PlanKind::ExactScan);
        // What is at the same place in memory has the same distances to the last bit.
        let mut held = LocalSignatures::default();
        held.load_items(local.items().clone());
        for column in local.columns() {
            let mut empty = LoadingSignatures::new(SignatureColumn::new(column.key(), DIM, precision));
            for slot in local.items().live() {
                if let Some(row) = column.get(slot) {
                    empty.set(slot, &row);
                }
            }
            held.add_column(empty.into_column());
        }
        prop_assert_eq!(&answer, &by_plan(&held, &query, PlanKind::ExactScan));
        if local.columns().iter().any(|column| column.codec().is_some()) {
            let found = by_plan(local, &query, PlanKind::CodeScan);
            for hit in &found.hits {
                let exact = answer.hits.iter().find(|other| other.id == hit.id);
                prop_assert!(exact.is_none_or(|exact| exact == hit));
            }
        }
        prop_assert_eq!(local.faults(), 0);
    }
}

#[test]
fn what_cannot_be_read_is_an_error_until_it_is_rewritten() {
    let folder = tempfile::tempdir().expect("folder");
    let mut local = catalogue(2500, |item, h| item % 7 != h);
    let before = local.column("color").expect("there").clone();
    let mut column = before.clone();
    let [items, pictures] = open(folder.path(), "color", Precision::F32).map(|opened| opened.file);
    column.set_files(items, pictures);
    assert!(local.adopt_rows(&before, &column.spilled(usize::MAX).expect("room")));
    code(&mut local);
    let query = query(3, &[1.0, 1.0, 1.0], 10);
    let right = by_plan(&local, &query, PlanKind::ExactScan);
    local.column("color").expect("there").follow_index(&|| false).expect("built");
    // Half of the file goes.
    let path = folder.path().join("color.items");
    let file = std::fs::File::options().write(true).open(&path).expect("there");
    file.set_len(file.metadata().expect("there").len() / 2).expect("shortened");
    for plan in [PlanKind::ExactScan, PlanKind::CodeScan] {
        let query = SignatureQuery { plan: Some(plan), k: 2000, ..query.clone() };
        assert_eq!(search(&local, &[query], 2, &|| false), [Err(SignaturesError::Unreadable)]);
    }
    let ids: Vec<Arc<str>> = (0..2500).map(id).collect();
    let ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
    assert_eq!(local.rows(&ids, &["color"]), Err(SignaturesError::Unreadable));
    // A write that would lose its neighbours is refused, and leaves everything as it was.
    let (last, labels_of) = (id(2498), labels(2498));
    let given = [("color".to_owned(), unit(vec![1.0; DIM]))];
    let facts_of = Some(facts(&labels_of));
    let signatures_of = NewSignatures::Also(&given);
    let change =
        Change { id: &last, before: facts_of, after: facts_of, signatures: signatures_of, pictures: &[] };
    assert_eq!(local.apply(&[change]), Err(SignaturesError::Unreadable));
    let column = local.column("color").expect("there");
    column.check_rows();
    let index_is_current = column.is_indexed();
    let mut mended = 0;
    let ids_by_slot = local.items().clone();
    while !local
        .mend("color", 7, |damaged| {
            let DamagedSlot::Item(slot) = damaged else { return Err("there are no pictures") };
            mended += 1;
            let item: u64 = ids_by_slot.id(slot).expect("live")[1..].parse().expect("a number");
            Ok(signature_of(&signatures(item, |item, h| item % 7 != h), "color").map(<[f32]>::to_vec))
        })
        .expect("all is there")
    {}
    assert!(!local.column("color").expect("there").is_damaged());
    assert!(mended > 1000 && mended < 1500, "{mended}");
    let column = local.column("color").expect("there");
    assert!(index_is_current && !column.is_indexed() && column.count() == before.count());
    assert_eq!(by_plan(&local, &query, PlanKind::ExactScan), right);
    column.follow_index(&|| false).expect("patched");
    let rows = local.rows(&ids, &["color"]).expect("all can be read");
    for (item, row) in (0..).zip(rows) {
        let signed = signatures(item, |item, h| item % 7 != h);
        assert_eq!(row[0].as_deref(), signature_of(&signed, "color"));
    }
    // And what was rewritten can leave memory again.
    let rows = local.column("color").expect("there").bytes().rows;
    assert!(rows > 0);
    spill(&mut local, "color", usize::MAX);
    assert_eq!(local.column("color").expect("there").bytes().rows, 0);
    assert_eq!(by_plan(&local, &query, PlanKind::ExactScan), right);
}

#[test]
fn a_full_disk_leaves_signatures_where_they_are() {
    let local = catalogue(2000, |_, _| true);
    let folder = tempfile::tempdir().expect("folder");
    let before = local.column("color").expect("there").clone();
    let mut column = before.clone();
    let writes = AtomicUsize::new(0);
    // The header and some groups.
    let before_write = move || match writes.fetch_add(1, Ordering::Relaxed) {
        0..12 => Ok(()),
        _ => Err(io::ErrorKind::StorageFull.into()),
    };
    let before_write: crate::BeforeWrite = Arc::new(before_write);
    let open = |of: &str| {
        let path = folder.path().join(of);
        RowFile::open(&path, "color", (DIM, Precision::F32), before_write.clone()).expect("opens").file
    };
    column.set_files(open("items"), open("pictures"));
    assert!(matches!(column.spilled(usize::MAX), Err(RowFileError::DiskFull)));
    assert_eq!(column.bytes(), crate::ColumnBytes { filed: 0, ..before.bytes() });
    assert!(column.spilled(0).is_ok_and(|same| same.bytes() == column.bytes()));
}
