//! Columns that are saved and restored: nobody can tell.

use super::pictures::Shop;
use super::*;
use crate::{BLOCK, PictureMode, RowFiles};
use std::path::Path;

fn saved(column: &SignatureColumn) -> Vec<u8> {
    let mut state = Vec::new();
    column.save(&mut state).expect("memory");
    state
}

/// The column of a state, whose files are in a folder where there is one.
fn restored(state: &[u8], key: &str, precision: Precision, folder: Option<&Path>) -> SignatureColumn {
    let files = folder.map(|folder| {
        let [items, pictures] = rows::paths(folder, key);
        RowFiles { items, pictures, before_write: Arc::new(|| Ok(())) }
    });
    SignatureColumn::new(&key.into(), DIM, precision).restore(&mut &*state, files).expect("as it was")
}

/// Puts a column in the place of the one that it is restored from, whose files nobody else reads.
pub(super) fn resume(local: &mut LocalSignatures, key: &str, precision: Precision, folder: Option<&Path>) {
    let column = local.column(key).expect("there").clone();
    let (before, state) = (Seen::of(&column), saved(&column));
    let bytes = column.bytes();
    local.drop_column(key);
    drop(column);
    let column = restored(&state, key, precision, folder);
    assert!(saved(&column) == state && Seen::of(&column) == before && column.bytes() == bytes);
    assert!(column.count() == 0 || !column.is_indexed());
    local.add_column(column);
}

/// All that can be seen of a column, to the bit.
#[derive(PartialEq)]
struct Seen {
    codec: Option<crate::codes::Codec>,
    wants_coding: bool,
    items: Vec<Option<SeenSlot>>,
    pictures: Vec<Option<SeenSlot>>,
    own: Vec<bool>,
    counts: [u64; 2],
}

/// A signature and its codes.
type SeenSlot = (Vec<u32>, Option<(Vec<u8>, usize, Vec<u8>)>);

impl Seen {
    fn of(column: &SignatureColumn) -> Self {
        let slots = |column: &SignatureColumn| 0..(column.block_count() * BLOCK) as Slot;
        let pictures = column.of_pictures();
        Self {
            codec: column.codec().map(|codec| (**codec).clone()),
            wants_coding: column.wants_coding(1),
            items: slots(column).map(|slot| seen(column, slot)).collect(),
            pictures: slots(pictures).map(|slot| seen(pictures, slot)).collect(),
            own: slots(pictures).map(|slot| column.has_picture(slot)).collect(),
            counts: [column.count(), pictures.count()],
        }
    }
}

fn seen(column: &SignatureColumn, slot: Slot) -> Option<SeenSlot> {
    let signature = column.get(slot)?.iter().map(|value| value.to_bits()).collect();
    let codes = column.item_codes(slot);
    Some((signature, codes.map(|codes| (codes.group.to_vec(), codes.at, codes.finer.to_vec()))))
}

/// The answers of both scans, picture by picture and by the mean.
fn answers(local: &LocalSignatures, seed: u64, k: usize) -> Vec<Result<SignatureAnswer, SignaturesError>> {
    let mut queries = Vec::new();
    for pictures in [PictureMode::Nearest, PictureMode::Mean] {
        for plan in [PlanKind::ExactScan, PlanKind::CodeScan] {
            let asked = query(seed, &[1.5, 1.0, 0.5], k);
            queries.push(SignatureQuery { pictures, plan: Some(plan), ..asked });
        }
    }
    search(local, &queries, 1, &|| false)
}

/// An item, how many pictures it has (0: it is removed) and what they are made of.
type Write = (u64, u64, u64);

fn writes() -> impl Strategy<Value = Vec<Write>> {
    proptest::collection::vec((0u64..60, 0u64..9, 0u64..3), 1..60)
}

fn write(shop: &mut Shop, writes: &[Write]) {
    for (item, count, seed) in writes {
        if *count == 0 { shop.remove(*item) } else { shop.put(*item, count.saturating_sub(3).max(1), *seed) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Two catalogues with pictures, in memory and in files, are written alike; one of them is saved and restored in between.
    #[test]
    fn who_was_restored_goes_on_like_who_was_not(
        (first, then) in (writes(), writes()), precision in prop_oneof![Just(Precision::F32), Just(Precision::F16)],
        (is_coded, is_coded_later, is_compact) in (any::<bool>(), any::<bool>(), any::<bool>()),
        (seed, k) in (0u64..1000, 1usize..12),
    ) {
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("folder"));
        let mut shops = [(); 2].map(|()| Shop::new());
        for (shop, folder) in shops.iter_mut().zip(&folders) {
            KEYS.iter().for_each(|key| shop.local.add_column(rows::in_files(folder.path(), key, precision)));
            write(shop, &first);
            if is_coded {
                code(&mut shop.local);
            }
        }
        KEYS.iter().for_each(|key| resume(&mut shops[1].local, key, precision, Some(folders[1].path())));
        let found = shops.each_ref().map(|shop| answers(&shop.local, seed, k));
        prop_assert!(found[0].iter().all(Result::is_ok) && found[0] == found[1]);
        for shop in &mut shops {
            write(shop, &then);
            if is_compact {
                shop.compact();
            }
            if is_coded_later {
                code(&mut shop.local);
            }
        }
        let found = shops.each_ref().map(|shop| answers(&shop.local, seed, k));
        prop_assert!(found[0].iter().all(Result::is_ok) && found[0] == found[1]);
        for (a, b) in shops[0].local.columns().iter().zip(KEYS.iter().filter_map(|key| shops[1].local.column(key))) {
            prop_assert!(Seen::of(a) == Seen::of(b));
        }
    }
}

#[test]
fn all_in_memory_needs_no_files() {
    let mut local = catalogue(2500, |item, h| item % 7 != h);
    code(&mut local);
    let before = answers(&local, 3, 10);
    for key in ["color", "shape"] {
        resume(&mut local, key, Precision::F32, None);
    }
    assert!(answers(&local, 3, 10) == before);
    // Its index is built anew, and follows.
    let column = local.column("color").expect("there").clone();
    column.follow_index(&|| false).expect("built");
    assert!(column.is_indexed());
    put(&mut local, 2500, None, &signatures(2500, |_, _| true));
    let column = local.column("color").expect("there");
    assert!(!column.is_indexed());
    column.follow_index(&|| false).expect("patched");
    assert!(column.is_indexed());
}

#[test]
fn a_place_that_was_overwritten_since_is_noticed_and_mended() {
    let folder = tempfile::tempdir().expect("folder");
    let mut local = catalogue(2500, |_, _| true);
    let memory = local.column("color").expect("there").clone();
    let mut column = rows::in_files(folder.path(), "color", Precision::F32);
    local.items().live().iter().for_each(|slot| drop(column.set(slot, memory.get(slot).as_deref())));
    local.add_column(column);
    rows::spill(&mut local, "color", usize::MAX);
    let state = saved(local.column("color").expect("there"));
    let before = answers(&local, 3, 10);
    // Two groups are written while somebody else reads them, and come to their places anew.
    let mut column = local.column("color").expect("there").clone();
    for slot in [700, 70] {
        column.set(slot, Some(&near(1, 1, 0.4)));
    }
    local.drop_column("color");
    drop(column.spilled(usize::MAX).expect("room"));
    drop(column);
    local.add_column(restored(&state, "color", Precision::F32, Some(folder.path())));
    assert!(answers(&local, 3, 2000).iter().all(|answer| *answer == Err(SignaturesError::Unreadable)));
    let column = local.column("color").expect("there");
    column.check_rows();
    assert!(column.is_damaged());
    let mut found = 0;
    let mend = |damaged| {
        let DamagedSlot::Item(slot) = damaged else { return Err("there are no pictures") };
        found += 1;
        Ok(memory.get(slot).map(std::borrow::Cow::into_owned))
    };
    assert_eq!(local.mend("color", 100, mend), Ok(true));
    assert_eq!(found, 128, "two groups");
    assert!(!local.column("color").expect("there").is_damaged() && answers(&local, 3, 10) == before);
}
