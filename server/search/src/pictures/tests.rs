use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Writes = Vec<(u32, u32, u8)>;

fn writes() -> impl Strategy<Value = Writes> {
    proptest::collection::vec((0u32..20, 0u32..9, 0u8..4), 1..80)
}

/// An index after some writes, and how many pictures each item has that has several.
fn written(writes: Writes) -> (PictureIndex, BTreeMap<Slot, u32>) {
    let (mut index, mut model) = (PictureIndex::default(), BTreeMap::<Slot, u32>::new());
    for (item, count, kind) in writes {
        match kind {
            0 if !model.contains_key(&(item + 20)) => {
                index.follow_item((item, item + 20));
                if let Some(count) = model.remove(&item) {
                    model.insert(item + 20, count);
                }
            }
            1 => {
                while let Some(gap) = index.gap() {
                    index.shift(gap);
                }
                index.truncate();
            }
            _ => {
                let had = index.of_item(item).to_vec();
                let PictureSlots { now, freed } = index.resize(item, count);
                assert_eq!(&now, index.of_item(item));
                let kept = now.len().min(had.len());
                assert_eq!((&now[..kept], &freed[..]), (&had[..kept], &had[kept..]));
                model.insert(item, count);
            }
        }
        model.retain(|_, count| *count > 1);
    }
    (index, model)
}

proptest! {
    /// Items with other numbers of pictures, items and pictures that move: every picture has one slot, which knows it.
    #[test]
    fn every_picture_has_a_slot_that_knows_it(
        writes in writes(), passing in proptest::collection::btree_set(0u32..40, 0..30),
    ) {
        let (index, model) = written(writes);
        let all: BTreeSet<Slot> = model.keys().flat_map(|item| index.of_item(*item)).copied().collect();
        prop_assert_eq!(all.len() as u32, model.values().sum::<u32>());
        prop_assert_eq!((index.len(), index.is_empty()), (all.len() as u64, all.is_empty()));
        prop_assert!(index.several().iter().eq(model.keys().copied()));
        for (item, count) in &model {
            let slots = index.of_item(*item);
            prop_assert_eq!(slots.len() as u32, *count);
            for (number, slot) in (0..).zip(slots) {
                prop_assert_eq!(index.place(*slot), Some(PicturePlace { item: *item, number }));
            }
        }
        let passing: RoaringBitmap = passing.into_iter().collect();
        let (found, count) = index.passing(&passing, 1);
        let wanted = model.iter().filter(|(item, _)| passing.contains(**item));
        let wanted: RoaringBitmap = wanted.flat_map(|(item, _)| index.of_item(*item)).copied().collect();
        prop_assert_eq!((count, found), (wanted.len(), bits(&wanted, index.blocks())));
    }

    /// What is made of the places is the same index, and goes on as it would have.
    #[test]
    fn an_index_comes_back_from_its_places(
        writes in writes(), changed in any::<prop::sample::Index>(), (item, number) in (0u32..40, 0u32..9),
    ) {
        let (mut index, _) = written(writes);
        let mut places = index.places();
        let mut again = PictureIndex::of_places(&places).expect("sound");
        let all = |index: &PictureIndex| {
            let of_item: Vec<Vec<Slot>> = (0..40).map(|item| index.of_item(item).to_vec()).collect();
            let bits: Vec<Bits> = (0..index.blocks()).map(|block| index.live_bits(block)).collect();
            (index.places(), of_item, bits, index.several().clone(), index.len(), index.free(), index.gap())
        };
        prop_assert_eq!(all(&again), all(&index));
        prop_assert_eq!(again.resize(item, number), index.resize(item, number));
        prop_assert_eq!(all(&again), all(&index));
        // One place more, or another one.
        if !places.is_empty() {
            let at = changed.index(places.len());
            places[at] = Some(PicturePlace { item, number });
            prop_assert_eq!(PictureIndex::of_places(&places).is_some(), is_sound(&places));
        }
    }
}

/// Whether every item has at least two pictures, numbered from 0 on.
fn is_sound(places: &[Option<PicturePlace>]) -> bool {
    let mut numbers = BTreeMap::<Slot, Vec<u32>>::new();
    places.iter().flatten().for_each(|place| numbers.entry(place.item).or_default().push(place.number));
    numbers.values_mut().all(|numbers| {
        numbers.sort_unstable();
        numbers.len() > 1 && numbers.iter().copied().eq(0..numbers.len() as u32)
    })
}

#[test]
fn places_that_cannot_be_make_no_index() {
    let place = |item, number| Some(PicturePlace { item, number });
    for (places, is_sound) in [
        (vec![], true),
        (vec![None, None], true),
        (vec![place(7, 1), None, place(7, 0), place(3, 0), place(3, 1)], true),
        (vec![place(7, 0)], false),
        (vec![place(7, 0), place(7, 0)], false),
        (vec![place(7, 0), place(7, 2)], false),
        (vec![place(7, 1), place(7, 2)], false),
        (vec![place(7, 0), place(7, 1), place(7, 1)], false),
        (vec![place(u32::MAX, 0), place(u32::MAX, u32::MAX)], false),
    ] {
        assert_eq!(PictureIndex::of_places(&places).is_some(), is_sound, "{places:?}");
    }
}
