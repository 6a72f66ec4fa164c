//! Writes to a database with a flipped bit in one of its pages.

use super::*;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;

const ITEMS: usize = 1500;
const PAGE: usize = 4096;

fn id_of(number: usize) -> String {
    format!("item-{number:05}")
}

/// Changes of a few items that lie close together, with whether each leaves an image.
fn changes(random: &mut rand_chacha::ChaCha8Rng) -> Vec<(ItemChange, bool)> {
    let first = random.random_range(0..ITEMS - 30);
    let mut ids: Vec<usize> =
        (0..random.random_range(1..4)).map(|_| first + random.random_range(0..30)).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut change = |number| {
        let id = id_of(number);
        if random.random_bool(0.25) {
            (ItemChange::Delete { id, pictures: 1 }, false)
        } else {
            (put(&id, 2.0), true)
        }
    };
    ids.into_iter().map(&mut change).collect()
}

/// The one place of a bit in a page that holds items, their images or signatures: most often in its head, which tells where they are.
fn flip(bytes: &mut [u8], random: &mut rand_chacha::ChaCha8Rng) {
    let holds_items = |page: &[u8]| matches!(page[0], 1 | 2) && page.windows(5).any(|w| w == b"item-");
    let pages: Vec<usize> =
        (0..bytes.len() / PAGE).filter(|at| holds_items(&bytes[at * PAGE..][..PAGE])).collect();
    let within = if random.random_bool(0.7) { 200 } else { PAGE };
    let place = pages[random.random_range(0..pages.len())] * PAGE + random.random_range(0..within);
    bytes[place] ^= 1 << random.random_range(0..8);
}

#[test]
fn a_catalogue_with_a_flipped_bit_can_be_opened_whatever_is_written_to_it() {
    let folder = tempfile::tempdir().expect("folder");
    {
        let store = Store::open(store_in(folder.path())).expect("opens");
        let puts: Vec<ItemChange> = (0..ITEMS).map(|at| put(&id_of(at), 1.0)).collect();
        puts.chunks(300).for_each(|puts| apply(&store, puts));
    }
    let file = folder.path().join(FILE);
    let sound = std::fs::read(&file).expect("read");
    let (mut refused, mut accepted) = (0, 0);
    for seed in 0..300 {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = sound.clone();
        flip(&mut bytes, &mut random);
        std::fs::write(&file, &bytes).expect("written");
        let opened =
            || Store::open(store_in(folder.path())).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let mut store = opened();
        let mut has_image = BTreeMap::new();
        for _ in 0..random.random_range(1..12) {
            let (changes, leave): (Vec<_>, Vec<_>) = changes(&mut random).into_iter().unzip();
            match store.prepare(&changes, &["h".to_owned()], &[]).commit(|| true) {
                Ok(true) => {
                    accepted += 1;
                    has_image.extend(changes.iter().map(|change| change.id().to_owned()).zip(leave));
                }
                Err(error) if error.is_damage() => refused += 1,
                other => panic!("seed {seed}: {other:?}"),
            }
            if store.health() == StoreHealth::Failed {
                store.reopen().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                assert!(store.opened());
            }
            if random.random_bool(0.1) {
                drop(store);
                store = opened();
            }
        }
        drop(store);
        let store = opened();
        for (id, has_image) in has_image {
            match store.image(&id) {
                Ok(found) => assert_eq!(found.is_some(), has_image, "seed {seed}, {id}"),
                Err(error) => assert!(error.is_damage(), "seed {seed}, {id}: {error}"),
            }
        }
    }
    assert!(refused > 15 && accepted > 1000, "{refused} refused, {accepted} accepted");
}

#[test]
fn a_catalogue_with_a_flipped_bit_can_be_opened_after_it_was_to_be_compacted() {
    let folder = tempfile::tempdir().expect("folder");
    {
        let store = Store::open(store_in(folder.path())).expect("opens");
        let puts: Vec<ItemChange> = (0..2 * ITEMS).map(|at| put(&id_of(at), 1.0)).collect();
        puts.chunks(300).for_each(|puts| apply(&store, puts));
        let delete = |at| ItemChange::Delete { id: id_of(at), pictures: 1 };
        let deletes: Vec<ItemChange> = (0..ITEMS).map(delete).collect();
        deletes.chunks(300).for_each(|deletes| apply(&store, deletes));
    }
    let file = folder.path().join(FILE);
    let sound = std::fs::read(&file).expect("read");
    let mut refused = 0;
    // Few flips lie where compaction meets them: four of 600, three of these.
    for seed in 1100..1300 {
        let mut bytes = sound.clone();
        flip(&mut bytes, &mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
        std::fs::write(&file, &bytes).expect("written");
        match compact(folder.path()) {
            Ok((before, after)) => assert!(after < before, "seed {seed}"),
            Err(error) => {
                assert!(error.is_damage(), "seed {seed}: {error}");
                refused += 1;
            }
        }
        assert!(Store::open(store_in(folder.path())).is_ok(), "seed {seed}");
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("folder").count(),
            2,
            "seed {seed}: a copy is left"
        );
    }
    assert!(refused > 0);
}
