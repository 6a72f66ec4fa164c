mod known;

use super::*;
use crate::kernels::GROUP;
use half::f16;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

const DIM: usize = 5;

fn open(path: &Path, precision: Precision) -> OpenedRows {
    RowFile::open(path, "key", (DIM, precision), Arc::new(|| Ok(()))).expect("opens")
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("key.rows");
    (folder, path)
}

/// A disk that takes nothing while it is full.
fn filling_disk() -> (Arc<AtomicBool>, BeforeWrite) {
    let is_full = Arc::new(AtomicBool::new(false));
    let asked = is_full.clone();
    let before_write = move || match asked.load(Ordering::Relaxed) {
        true => Err(io::ErrorKind::StorageFull.into()),
        false => Ok(()),
    };
    (is_full, Arc::new(before_write))
}

/// The rows of a group, each number made of `seed`, in both precisions the same.
fn rows_of(seed: u32) -> Vec<f32> {
    (0..GROUP * DIM)
        .map(|at| (seed % 1000) as f32 + at as f32 / 1024.0)
        .map(|v| f16::from_f32(v).to_f32())
        .collect()
}

fn store(file: &Arc<RowFile>, group: u32, rows: &[f32], present: u64) -> Result<Place, RowFileError> {
    match file.layout.precision {
        Precision::F32 => file.store(group, Rows::F32(rows), present),
        Precision::F16 => {
            let rows: Vec<f16> = rows.iter().map(|v| f16::from_f32(*v)).collect();
            file.store(group, Rows::F16(&rows), present)
        }
    }
}

fn floats(rows: Rows<'_>) -> Vec<f32> {
    match rows {
        Rows::F32(rows) => rows.to_vec(),
        Rows::F16(rows) => rows.iter().map(|v| v.to_f32()).collect(),
    }
}

/// The row at a position, read both ways.
fn row(place: &Place, at: usize) -> Option<Vec<f32>> {
    let faults = place.file().faults();
    let alone = place.with_row(at, floats);
    assert_eq!(alone.is_none(), place.file().faults() > faults, "what cannot be read is counted");
    if alone.is_some() {
        let group = place.read(1 << at);
        assert_eq!(alone.as_deref(), Some(&floats(group.rows())[at * DIM..][..DIM]));
    }
    alone
}

fn has(place: &Place, rows: &[f32], present: u64) -> bool {
    let present = (0..GROUP).filter(|at| present >> at & 1 == 1);
    present.into_iter().all(|at| row(place, at).as_deref() == Some(&rows[at * DIM..][..DIM]))
}

#[derive(Clone, Debug)]
enum Step {
    /// A group is written to a place.
    Store(u32, u32, u64),
    /// A row of a group that nobody else reads is written in its place.
    Write(u32, usize, u32),
    Drop(u32),
    /// A snapshot is taken of everything; the number is how many may be there.
    Snapshot(usize),
    Trim,
    Reopen,
    /// As it is known where everything lies.
    ReopenKnown,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u32..6, any::<u32>(), any::<u64>()).prop_map(|(g, seed, present)| Step::Store(g, seed, present)),
        6 => (0u32..6, 0..GROUP, any::<u32>()).prop_map(|(g, at, seed)| Step::Write(g, at, seed)),
        2 => (0u32..6).prop_map(Step::Drop),
        2 => (0usize..4).prop_map(Step::Snapshot),
        1 => Just(Step::Trim),
        1 => Just(Step::Reopen),
        1 => Just(Step::ReopenKnown),
    ];
    vec(step, 1..60)
}

type Held = BTreeMap<u32, (Arc<Place>, Vec<f32>, u64)>;

fn check(held: &Held) {
    for (place, rows, present) in held.values() {
        assert!(has(place, rows, *present));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_is_done_everybody_reads_what_was_written_for_them(
        steps in steps(), precision in prop_oneof![Just(Precision::F32), Just(Precision::F16)],
    ) {
        let (_folder, path) = folder();
        let (is_full, before_write) = filling_disk();
        let open = || RowFile::open(&path, "key", (DIM, precision), before_write.clone()).expect("opens");
        let mut file = open().file;
        let mut now = Held::new();
        let mut snapshots: Vec<Held> = Vec::new();
        let mut most = 0;
        for step in steps {
            match step {
                Step::Store(group, seed, present) => {
                    let rows = rows_of(seed);
                    let place = store(&file, group, &rows, present).expect("stored");
                    now.insert(group, (Arc::new(place), rows, present));
                }
                Step::Write(group, at, seed) => {
                    let Some((place, rows, present)) = now.get_mut(&group) else { continue };
                    let Some(place) = Arc::get_mut(place) else { continue };
                    let signature = rows_of(seed)[..DIM].to_vec();
                    place.write(at, &signature).expect("written");
                    rows[at * DIM..][..DIM].copy_from_slice(&signature);
                    *present |= 1 << at;
                }
                Step::Drop(group) => {
                    now.remove(&group);
                }
                Step::Snapshot(count) => {
                    snapshots.push(now.clone());
                    while snapshots.len() > count {
                        snapshots.remove(0);
                    }
                }
                Step::Trim => file.trim().expect("trimmed"),
                Step::Reopen => {
                    snapshots.clear();
                    let wanted: BTreeMap<_, _> =
                        std::mem::take(&mut now).into_iter().map(|(g, (_, rows, present))| (g, (rows, present))).collect();
                    drop(file);
                    let mut opened = open();
                    for (group, (rows, present)) in wanted {
                        let mut place = opened.found.take(group).expect("found");
                        // What it has is not written again.
                        is_full.store(true, Ordering::Relaxed);
                        for at in (0..GROUP).filter(|at| present >> at & 1 == 1) {
                            prop_assert!(place.write(at, &rows[at * DIM..][..DIM]).is_ok());
                        }
                        is_full.store(false, Ordering::Relaxed);
                        place.forget_found();
                        now.insert(group, (Arc::new(place), rows, present));
                    }
                    // What is left was given up before.
                    file = opened.file;
                }
                Step::ReopenKnown => {
                    snapshots.clear();
                    let wanted: Vec<_> = std::mem::take(&mut now).into_iter().collect();
                    let known: Vec<_> = wanted.iter().map(|(group, (place, ..))| known::known(*group, place)).collect();
                    let wanted: Vec<_> = wanted.into_iter().map(|(g, (_, rows, present))| (g, rows, present)).collect();
                    drop(file);
                    let (reopened, places) =
                        RowFile::open_known(&path, "key", (DIM, precision), before_write.clone(), &known).expect("as it was");
                    for ((group, rows, present), place) in wanted.into_iter().zip(places) {
                        now.insert(group, (Arc::new(place), rows, present));
                    }
                    file = reopened;
                }
            }
            check(&now);
            snapshots.iter().for_each(check);
            let places: std::collections::BTreeSet<u32> = snapshots
                .iter()
                .chain([&now])
                .flat_map(|held| held.values().map(|(place, ..)| place.number()))
                .collect();
            prop_assert_eq!(file.bytes(), (places.len() * file.layout.place_bytes) as u64);
            most = most.max(places.len());
        }
        // One more than ever were in use at once: a group has its new place before it gives up the old one.
        let bytes = std::fs::metadata(&path).expect("there").len();
        prop_assert!(bytes <= ((most + 2) * file.layout.place_bytes) as u64);
    }

    #[test]
    fn a_damaged_file_is_noticed_and_never_believed(
        flips in vec((any::<prop::sample::Index>(), 0u8..8), 1..4), reopens in any::<bool>(),
    ) {
        let (_folder, path) = folder();
        let mut opened = open(&path, Precision::F16);
        let groups: Vec<(Place, Vec<f32>)> = (0..3)
            .map(|group| {
                let rows = rows_of(group * 7);
                (store(&opened.file, group, &rows, u64::MAX).expect("stored"), rows)
            })
            .collect();
        let mut bytes = std::fs::read(&path).expect("read");
        for (at, bit) in &flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        let written = File::options().write(true).open(&path).expect("there");
        written.write_all_at(&bytes, 0).expect("damaged");
        if reopens {
            let rows: Vec<Vec<f32>> = groups.into_iter().map(|(_, rows)| rows).collect();
            drop(opened);
            opened = open(&path, Precision::F16);
            for (group, rows) in (0..).zip(rows) {
                let Some(place) = opened.found.take(group) else { continue };
                for at in 0..GROUP {
                    let read = row(&place, at);
                    prop_assert!(read.is_none_or(|read| read == rows[at * DIM..][..DIM]));
                }
            }
        } else {
            for (place, rows) in &groups {
                let read: Vec<_> = (0..GROUP).map(|at| row(place, at)).collect();
                for (at, read) in read.iter().enumerate() {
                    prop_assert!(read.as_ref().is_none_or(|read| *read == rows[at * DIM..][..DIM]));
                }
                prop_assert_eq!(place.is_damaged(), read.iter().any(Option::is_none));
            }
        }
    }
}

#[test]
fn a_file_that_others_shorten_ends_nothing_but_the_reads() {
    let (_folder, path) = folder();
    let opened = open(&path, Precision::F32);
    let rows = rows_of(3);
    let count = 200_000 / opened.file.layout.place_bytes as u32;
    let places: Vec<Place> =
        (0..count).map(|group| store(&opened.file, group, &rows, u64::MAX).expect("stored")).collect();
    assert!(places.iter().all(|place| has(place, &rows, u64::MAX)));
    let others = File::options().write(true).open(&path).expect("there");
    others.set_len(8192).expect("shortened");
    let readable = places.iter().filter(|place| has(place, &rows, u64::MAX)).count();
    assert!(readable < places.len() && places.iter().any(Place::is_damaged), "{readable}");
    // Damaged places are not used again, and others are whole, whatever the map had there.
    let damaged: Vec<u32> = places.iter().filter(|place| place.is_damaged()).map(Place::number).collect();
    drop(places);
    for group in 0..2 * count {
        let place = store(&opened.file, group, &rows, u64::MAX).expect("stored");
        assert!(has(&place, &rows, u64::MAX) && !damaged.contains(&place.number()));
        std::mem::forget(place);
    }
}

#[test]
fn a_full_disk_is_an_error_that_leaves_nothing_behind() {
    let (_folder, path) = folder();
    let (is_full, before_write) = filling_disk();
    let opened = RowFile::open(&path, "key", (DIM, Precision::F32), before_write).expect("opens");
    let rows = rows_of(1);
    let place = store(&opened.file, 0, &rows, u64::MAX).expect("stored");
    let bytes = opened.file.bytes();
    is_full.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        assert!(matches!(store(&opened.file, 1, &rows, u64::MAX), Err(RowFileError::DiskFull)));
        assert!(matches!(opened.file.reserve(1), Err(RowFileError::DiskFull)));
    }
    assert!(opened.file.bytes() == bytes && has(&place, &rows, u64::MAX));
    is_full.store(false, Ordering::Relaxed);
    assert!(has(&store(&opened.file, 1, &rows, u64::MAX).expect("stored"), &rows, u64::MAX));
    let fault = || Err(io::ErrorKind::StorageFull.into());
    let other = path.with_extension("other");
    let refused =
        RowFile::open(&other, "key", (DIM, Precision::F32), Arc::new(fault)).map(|opened| opened.file);
    assert!(matches!(refused, Err(RowFileError::DiskFull)));
}

#[test]
fn a_file_is_used_by_one_and_for_what_it_is_of() {
    let (_folder, path) = folder();
    let rows = rows_of(9);
    let first = open(&path, Precision::F32);
    let place = store(&first.file, 4, &rows, u64::MAX).expect("stored");
    let second = open(&path, Precision::F32);
    assert!(second.found.is_empty(), "it is another file");
    let other = store(&second.file, 4, &rows_of(2), u64::MAX).expect("stored");
    assert!(has(&place, &rows, u64::MAX) && has(&other, &rows_of(2), u64::MAX));
    drop((first, place, second, other));
    let found = |key, shape| {
        let opened = RowFile::open(&path, key, shape, Arc::new(|| Ok(()))).expect("opens");
        opened.found.len()
    };
    assert_eq!(found("key", (DIM, Precision::F32)), 1, "that of the second");
    assert_eq!(found("other", (DIM, Precision::F32)), 0);
    let again = open(&path, Precision::F32);
    drop(store(&again.file, 4, &rows, u64::MAX).expect("stored"));
    drop(again);
    assert_eq!(found("key", (DIM, Precision::F16)), 0);
    assert_eq!(found("key", (DIM + 1, Precision::F32)), 0);
    for dim in [0, usize::MAX, SEGMENTS_MAX << 20] {
        let refused = RowFile::open(&path, "key", (dim, Precision::F32), Arc::new(|| Ok(())));
        assert!(matches!(refused.map(|opened| opened.file), Err(RowFileError::Dimension(_))));
    }
}

#[test]
fn places_go_on_in_the_next_segment() {
    let (_folder, path) = folder();
    let dim = 60_000;
    let opened = RowFile::open(&path, "key", (dim, Precision::F32), Arc::new(|| Ok(()))).expect("opens");
    let signature = |seed: u32| vec![seed as f32; dim];
    let mut places: Vec<Place> = (0..9).map(|group| opened.file.reserve(group).expect("room")).collect();
    for (seed, place) in (0..).zip(&mut places) {
        place.write(63, &signature(seed)).expect("written");
    }
    assert!(opened.file.layout.segment(places[8].number()).0 > 1);
    for (seed, place) in (0..).zip(&places) {
        assert_eq!(place.with_row(63, floats), Some(signature(seed)));
    }
    drop((places, opened));
    let mut opened = RowFile::open(&path, "key", (dim, Precision::F32), Arc::new(|| Ok(()))).expect("opens");
    for group in 0..9 {
        let place = opened.found.take(group).expect("found");
        assert_eq!(place.with_row(63, floats), Some(signature(group)));
        assert_eq!(place.with_row(62, floats), None, "it was never written");
    }
}
