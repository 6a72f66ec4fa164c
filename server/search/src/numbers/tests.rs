use super::leaf::{LEAF_MAX, Leaf};
use super::*;
use lapel_values::{FieldValue, Finite};
use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL};
use proptest::prelude::*;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// The index and the same entries as a plain set.
struct Both {
    numbers: Numbers,
    entries: BTreeSet<Entry>,
    present: RoaringBitmap,
}

impl Both {
    /// Entries of as many slots, whose keys are below `keys` or the largest.
    fn of(slots: Slot, keys: u64, random: &mut ChaCha8Rng) -> Self {
        let key = |random: &mut ChaCha8Rng| {
            if random.random_bool(0.01) { u64::MAX } else { random.random_range(0..keys) }
        };
        let entries: Vec<Entry> = (0..slots).map(|slot| (key(random), slot)).collect();
        Self {
            numbers: Numbers::of(entries.clone()),
            entries: entries.into_iter().collect(),
            present: (0..slots).collect(),
        }
    }

    fn insert(&mut self, key: u64, slot: Slot) {
        if self.present.insert(slot) {
            self.numbers.insert(key, slot);
            self.entries.insert((key, slot));
        }
    }

    fn remove(&mut self, (key, slot): Entry) {
        self.numbers.remove(key, slot);
        self.entries.remove(&(key, slot));
        self.present.remove(slot);
    }

    fn check(&self, from: u64, to: u64) -> Result<(), TestCaseError> {
        let inside = |(key, _): &&Entry| (from..=to).contains(key);
        let wanted: RoaringBitmap = self.entries.iter().filter(inside).map(|(_, slot)| *slot).collect();
        prop_assert!(self.numbers.range(from, to, &self.present) == wanted, "{from} to {to}");
        prop_assert_eq!(self.numbers.range_len(from, to), wanted.len());
        Ok(())
    }

    /// Counts among all entries, and among those of slots of which this share passes.
    fn check_counts(&self, share: f64, bounds: &[u64], random: &mut ChaCha8Rng) -> Result<(), TestCaseError> {
        let slots: RoaringBitmap = (0..10_000).filter(|_| random.random_bool(share)).collect();
        let (words, found) = (bits(&slots, 10), slots.intersection_len(&self.present));
        for passing in [None, Some((words.as_slice(), found))] {
            let passes = |(_, slot): &&Entry| passing.is_none() || slots.contains(*slot);
            let keys: Vec<u64> = self.entries.iter().filter(passes).map(|(key, _)| *key).collect();
            let counts = self.numbers.counts(bounds, passing);
            prop_assert_eq!(counts.ends, keys.first().copied().zip(keys.last().copied()));
            prop_assert_eq!(counts.values as usize, keys.chunk_by(|a, b| a == b).count());
            let mut wanted = vec![0; bounds.len() + 1];
            keys.iter().for_each(|key| wanted[bounds.partition_point(|bound| bound <= key)] += 1);
            prop_assert_eq!(counts.buckets, wanted);
        }
        Ok(())
    }

    /// Fences are where they should be, and their sets have what is below them.
    fn check_fences(&self) -> Result<(), TestCaseError> {
        let fences = &self.numbers.fences;
        let everything = vec![[u64::MAX; GROUPS]; 10];
        let mut last = 0;
        for fence in 0..fences.len() {
            let key = fences.key(fence).expect("a fence");
            prop_assert!(fence == 0 || key > last);
            last = key;
            let below = self.entries.iter().filter(|(other, _)| *other < key);
            let wanted: RoaringBitmap = below.map(|(_, slot)| *slot).collect();
            let mut found = vec![[0; GROUPS]; 10];
            fences.toggle(fence, &mut found);
            prop_assert_eq!(set(&found), wanted.clone());
            prop_assert_eq!(fences.count(fence), Some(wanted.len()));
            prop_assert_eq!(fences.common(fence, &everything), wanted.len());
        }
        for gap in 0..=fences.len() {
            let (from, to) = self.numbers.gap(gap);
            let inside: Vec<u64> =
                self.entries.iter().map(|(key, _)| *key).filter(|key| (from..=to).contains(key)).collect();
            let is_single_key = inside.first() == inside.last();
            // Neighbours of a gap that was written are looked at, not those behind them.
            prop_assert!(inside.len() as u64 <= self.numbers.gap_max() || is_single_key);
        }
        if !fences.is_empty() {
            let keys: Vec<u64> = self.entries.iter().map(|(key, _)| *key).collect();
            let single = keys.chunk_by(|a, b| a == b).filter(|same| same.len() == 1).count();
            prop_assert_eq!(fences.common_single(&everything) as usize, single);
        }
        Ok(())
    }

    fn check_leaves(&self) -> Result<(), TestCaseError> {
        let entries =
            |leaf: &Leaf| leaf.keys().iter().copied().zip(leaf.slots().iter().copied()).collect::<Vec<_>>();
        let all: Vec<Entry> = self.numbers.leaves.iter().flat_map(entries).collect();
        prop_assert_eq!(all, self.entries.iter().copied().collect::<Vec<_>>());
        prop_assert!(self.numbers.leaves.iter().all(|leaf| (1..=LEAF_MAX).contains(&leaf.len())));
        for (key, slot) in self.entries.iter().step_by(61) {
            let mut found = self.numbers.leaves.slots(*key, *key).flatten();
            prop_assert!(found.any(|other| other == slot), "{key} of {slot} lies where it is not looked for");
        }
        Ok(())
    }
}

fn finite() -> impl Strategy<Value = f64> {
    let any = NORMAL | SUBNORMAL | POSITIVE | NEGATIVE;
    prop_oneof![4 => any, 1 => Just(0.0), 1 => Just(f64::MIN), 1 => Just(f64::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Few different keys and many, through leaves that split, shrink and merge.
    #[test]
    fn ranges_agree_with_a_sorted_list(
        seed in any::<u64>(), slots in 0u32..5000, keys in prop_oneof![1u64..20, 1000u64..1_000_000], near in 0u64..20
    ) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut both = Both::of(slots, keys, &mut random);
        let ranges: Vec<(u64, u64)> = (0..8)
            .map(|_| (random.random_range(0..keys), random.random_range(0..keys)))
            .chain([(0, u64::MAX), (0, 0), (u64::MAX, u64::MAX), (0, keys / 2), (1, u64::MAX - 1), (1, 0)])
            .collect();
        // Many writes at one place fill a leaf.
        for slot in 5000..8000 {
            both.insert(near % keys + u64::from(random.random_bool(0.5)), slot);
        }
        both.check_leaves()?;
        both.check_fences()?;
        for (from, to) in &ranges {
            both.check(*from, *to)?;
        }
        let bounds: BTreeSet<u64> = ranges.iter().take(5).map(|(from, _)| *from).collect();
        let bounds: Vec<u64> = bounds.into_iter().collect();
        for share in [0.0, 0.001, 0.1, 0.5, 1.0] {
            both.check_counts(share, &bounds, &mut random)?;
        }
        let goes: Vec<Entry> = both.entries.iter().copied().filter(|_| random.random_bool(0.9)).collect();
        for entry in goes {
            both.remove(entry);
        }
        both.check_leaves()?;
        both.check_fences()?;
        for (from, to) in ranges {
            both.check(from, to)?;
        }
        for share in [0.01, 0.5] {
            both.check_counts(share, &bounds, &mut random)?;
        }
        let keys = [near % keys, keys, u64::MAX, near % keys];
        let found = both.numbers.any_of(keys.into_iter(), &both.present);
        let wanted = both.entries.iter().filter(|(key, _)| keys.contains(key)).map(|(_, slot)| *slot);
        prop_assert_eq!(found, wanted.collect::<RoaringBitmap>());
        for entry in both.entries.clone() {
            both.remove(entry);
        }
        prop_assert_eq!(both.numbers.leaves.iter().count(), 0);
        prop_assert!(both.numbers.fences.is_empty() && both.numbers.values == 0);
    }

    #[test]
    fn keys_are_ordered_as_their_values_and_lead_back_to_them(
        whole in proptest::collection::vec(prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -2i64..3], 2..20),
        numbers in proptest::collection::vec(finite(), 2..20),
    ) {
        let values = |of: fn(i64) -> FieldValue| whole.iter().map(|number| of(*number)).collect::<Vec<_>>();
        let finite = numbers.iter().filter_map(|number| Finite::new(*number)).map(FieldValue::Number);
        for values in [values(FieldValue::Integer), values(FieldValue::Timestamp), finite.collect()] {
            for pair in values.windows(2) {
                let keys = [&pair[0], &pair[1]].map(|value| key(value).expect("ordered"));
                prop_assert_eq!(keys[0].cmp(&keys[1]), pair[0].cmp(&pair[1]));
                prop_assert_eq!(value(pair[0].kind(), keys[0]), Some(pair[0].clone()));
            }
        }
    }
}
