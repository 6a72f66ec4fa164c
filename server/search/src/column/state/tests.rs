//! The bytes of a state, and what they are refused for; what columns do that were restored: `local/tests/state.rs`.

use super::*;
use crate::{
    Budget, ItemIndex, LocalSignatures, PlanKind, Precision, SearchTerm, SignatureQuery, Signatures, Tuning,
};
use lapel_values::{Fields, ItemFacts, Labels};
use proptest::prelude::*;

const DIM: usize = 2;
/// Slots that have a signature, or had one.
const SLOTS: Slot = 70;

fn empty(precision: Precision) -> SignatureColumn {
    SignatureColumn::new(&"key".into(), DIM, precision)
}

fn signature(of: Slot) -> Vec<f32> {
    let angle = of as f32 / 11.0;
    vec![angle.sin(), angle.cos()]
}

/// With a codec and pictures; two groups of items, one of which is in a file, where there is a folder for it.
fn column(precision: Precision, files: Option<&RowFiles>) -> SignatureColumn {
    let mut column = empty(precision);
    for slot in 0..SLOTS {
        column.set(slot, Some(&signature(slot)));
    }
    for slot in 0..5 {
        column.set_picture(slot, &signature(100 + slot));
    }
    column.lend(7, &[4, 5, 6]);
    column.set(9, None);
    column = column.coded();
    column.set(3, Some(&signature(200)));
    if let Some(RowFiles { items, pictures, before_write }) = files {
        let open =
            |path| RowFile::open(path, "key", (DIM, precision), before_write.clone()).expect("opens").file;
        column.set_files(open(items), open(pictures));
        column = column.spilled(usize::MAX).expect("room");
        column.set(66, Some(&signature(300)));
    }
    column
}

fn files(folder: &tempfile::TempDir) -> RowFiles {
    let path = |of| folder.path().join(of);
    RowFiles { items: path("items"), pictures: path("pictures"), before_write: Arc::new(|| Ok(())) }
}

fn saved(column: &SignatureColumn) -> Vec<u8> {
    let mut state = Vec::new();
    column.save(&mut state).expect("memory");
    state
}

fn is_refused(state: &[u8], precision: Precision) -> bool {
    let restored = empty(precision).restore(&mut &*state, None);
    matches!(restored, Err(RestoreError::Damaged | RestoreError::Other))
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let folder = tempfile::tempdir().expect("folder");
    for (precision, files) in [(Precision::F32, None), (Precision::F16, Some(files(&folder)))] {
        let mut state = saved(&column(precision, files.as_ref()));
        assert!(!is_refused(&state, precision));
        assert!((0..state.len()).all(|length| is_refused(&state[..length], precision)));
        for at in 0..state.len() {
            for bit in 0..8 {
                state[at] ^= 1 << bit;
                assert!(is_refused(&state, precision), "bit {bit} of byte {at}");
                state[at] ^= 1 << bit;
            }
        }
        state.push(0);
        assert!(is_refused(&state, precision));
    }
}

#[test]
fn sections_of_two_states_do_not_make_one() {
    let (a, mut other) = (column(Precision::F32, None), column(Precision::F32, None));
    other.set(0, Some(&signature(1)));
    let (a, b) = (saved(&a), saved(&other));
    assert_eq!(a.len(), b.len());
    // Heads and codecs are the same; the first sum that tells them apart is that of the slots of items.
    let differ = a.iter().zip(&b).position(|(a, b)| a != b).expect("they differ");
    let mixed = |at: usize| [&a[..at], &b[at..]].concat();
    assert!(!is_refused(&mixed(differ), Precision::F32));
    assert!((differ + 1..a.len()).all(|at| mixed(at) == a || is_refused(&mixed(at), Precision::F32)));
}

#[test]
fn a_state_is_of_its_column() {
    let state = saved(&column(Precision::F32, None));
    for (key, dim, precision) in [
        ("kez", DIM, Precision::F32),
        ("keys", DIM, Precision::F32),
        ("", DIM, Precision::F32),
        ("key", DIM + 1, Precision::F32),
        ("key", DIM, Precision::F16),
    ] {
        let other = SignatureColumn::new(&key.into(), dim, precision);
        assert!(
            matches!(other.restore(&mut &*state, None), Err(RestoreError::Other)),
            "{key} {dim} {precision:?}"
        );
    }
}

#[test]
fn a_disk_that_fails_is_told_from_a_state_that_is_damaged() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
    let state = saved(&column(Precision::F32, None));
    let mut failing = state[..100].chain(Failing);
    assert!(matches!(empty(Precision::F32).restore(&mut failing, None), Err(RestoreError::Io(_))));
    let mut room = [0; 100];
    assert!(column(Precision::F32, None).save(&mut room.as_mut_slice()).is_err());
}

#[test]
fn signatures_in_files_need_the_files() {
    let folder = tempfile::tempdir().expect("folder");
    let files = files(&folder);
    let state = saved(&column(Precision::F32, Some(&files)));
    let restore = |files| empty(Precision::F32).restore(&mut &*state, files);
    assert!(matches!(restore(None), Err(RestoreError::NoFiles)));
    let swapped = RowFiles { items: files.pictures.clone(), pictures: files.items.clone(), ..files.clone() };
    assert!(matches!(restore(Some(swapped)), Err(RestoreError::Files(RowFileError::UnknownPlaces))));
    let there = restore(Some(files.clone())).expect("the files are as they were");
    assert!((0..SLOTS).all(|slot| there.get(slot).is_some() == (slot != 9)));
    assert!(saved(&there) == state && there.drift.1 > 0);
    drop(there);
    std::fs::remove_file(&files.items).expect("there");
    assert!(matches!(restore(Some(files)), Err(RestoreError::Files(RowFileError::UnknownPlaces))));
}

#[test]
fn files_are_used_from_then_on_even_where_nothing_is_in_them() {
    let folder = tempfile::tempdir().expect("folder");
    let state = saved(&column(Precision::F32, None));
    let restored = empty(Precision::F32).restore(&mut &*state, Some(files(&folder))).expect("sound");
    assert!(restored.has_files() && restored.of_pictures().has_files());
    let spilled = restored.spilled(usize::MAX).expect("room");
    assert_eq!((spilled.bytes().rows, spilled.bytes().codes), (0, restored.bytes().codes));
    assert!((0..SLOTS).all(|slot| spilled.get(slot) == restored.get(slot)));
}

/// Where the sums of a state are.
fn sums(state: &[u8]) -> Vec<usize> {
    let (mut sums, mut sum, mut at) = (Vec::new(), crc32fast::Hasher::new(), 0);
    while at < state.len() {
        if state[at..].starts_with(&sum.clone().finalize().to_ne_bytes()) {
            sums.push(at);
            at += 4;
        } else {
            sum.update(&state[at..=at]);
            at += 1;
        }
    }
    sums
}

/// The state with sums of what it holds at the places where they are.
fn resealed(mut state: Vec<u8>, sums: &[usize]) -> Vec<u8> {
    let (mut sum, mut from) = (crc32fast::Hasher::new(), 0);
    for at in sums {
        sum.update(&state[from..*at]);
        state[*at..*at + 4].copy_from_slice(&sum.clone().finalize().to_ne_bytes());
        from = at + 4;
    }
    state
}

/// Reads, searches and changes all there is.
fn use_all(column: &SignatureColumn) {
    let last = (column.block_count() * BLOCK) as Slot;
    (0..last).for_each(|slot| drop((column.get(slot), column.picture(slot))));
    assert!(column.wants_coding(1) || column.codec().is_some() || column.count() == 0);
    let (labels, fields) = (Labels::new(), Fields::new());
    let facts = ItemFacts { labels: &labels, fields: &fields, pictures: 1 };
    let mut local = LocalSignatures::default();
    local.load_items(ItemIndex::of((0..SLOTS).map(|slot| Some((format!("{slot}").as_str().into(), facts)))));
    local.add_column(column.clone());
    let term = SearchTerm { column: "key".into(), vector: signature(5), weight: 1.0, expected: 1.0 };
    let query = |plan| SignatureQuery {
        terms: vec![term.clone()],
        k: 7,
        plan: Some(plan),
        ..SignatureQuery::default()
    };
    let budget = Budget { tuning: &Tuning::of_this_machine(), threads: 1, is_abandoned: &|| false };
    drop(local.search(&[query(PlanKind::ExactScan), query(PlanKind::CodeScan)], &budget));
    let mut changed = column.coded();
    changed.set(0, Some(&signature(8)));
    changed.set_picture(0, &signature(8));
    changed.adopt(column, &column.coded());
    assert_eq!(changed.get(0).as_deref(), Some(&*signature(8)));
}

#[test]
fn what_cannot_be_is_refused_though_its_sums_are_right() {
    let folder = tempfile::tempdir().expect("folder");
    let state = saved(&column(Precision::F32, Some(&files(&folder))));
    let sums = sums(&state);
    let slots = sums[1] + 4;
    let block = sums[2] + 4;
    let put = |at: usize, value: u64| {
        let mut state = state.clone();
        state[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        resealed(state, &sums)
    };
    assert_eq!(put(slots, u64::from_ne_bytes(*state[slots..].first_chunk().expect("there"))), state);
    for (what, at, value) in [
        ("bytes of the codec", 32, u64::MAX),
        ("bytes of the codec", 32, 1),
        ("version", slots, u64::MAX),
        ("version", slots, 0),
        ("count", slots + 8, 3),
        ("errors", slots + 24, u64::MAX),
        ("blocks", slots + 32, u64::MAX),
        ("blocks", slots + 32, BLOCKS_MAX),
        ("blocks", slots + 32, 0),
        ("block of another version", block, u64::MAX),
        ("present", block + 8, 0),
        ("present without rows", block + 24, 1),
        ("kind of a group", block + 136, 3),
        ("rows that are nowhere", block + 136, 0),
        ("a loan to no picture", state.len() - 12, 1 << 63),
    ] {
        assert!(is_refused(&put(at, value), Precision::F32), "{what}: {value}");
    }
    for (what, at, value) in [
        ("place", block + 136, (u64::from(u32::MAX) << 32) | 2),
        ("the place of the header", block + 136, 2),
        ("epoch", block + 144, u64::MAX),
    ] {
        let restored = empty(Precision::F32).restore(&mut &*put(at, value), Some(files(&folder)));
        assert!(matches!(restored, Err(RestoreError::Files(RowFileError::UnknownPlaces))), "{what}: {value}");
    }
    let restored = empty(Precision::F32).restore(&mut &*state, Some(files(&folder)));
    assert!(
        restored.is_ok_and(|column| (0..SLOTS).all(|slot| column.has(slot) == column.get(slot).is_some()))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn nothing_that_is_read_makes_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000), keeps in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        is_filed in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("folder");
        let files = is_filed.then(|| files(&folder));
        let state = saved(&column(Precision::F32, files.as_ref()));
        prop_assert!(is_refused(&bytes, Precision::F32));
        // Behind a beginning that is right.
        let begun = [&state[..keeps.index(state.len())], &bytes].concat();
        prop_assert!(is_refused(&begun, Precision::F32));
        // With sums that are right.
        let (sums, mut changed) = (sums(&state), state);
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        if let Ok(column) = empty(Precision::F32).restore(&mut &*resealed(changed, &sums), files) {
            use_all(&column);
        }
    }
}
