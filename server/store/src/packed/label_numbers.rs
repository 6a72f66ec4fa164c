//! Numbers for pairs of an attribute and a label, which items in memory have instead of both texts.
//!
//! A catalogue has few of them, and every item has some. They are this process's, never taken back, and bounded: an item has the
//! texts of those beyond the bound.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::sync::{LazyLock, OnceLock, PoisonError, RwLock};

/// Pairs that have numbers, at most.
const PAIRS_MAX: usize = 1 << 16;
/// Bytes of a pair that gets one, at most.
const BYTES_MAX: usize = 256;
/// Pairs that are made room for at a time.
const CHUNK: usize = 1 << 10;

type Pair = (Box<str>, Box<str>);
type Chunk = Box<[OnceLock<Pair>]>;

/// Numbers of pairs. What is read of them is never locked.
pub(super) struct LabelNumbers {
    chunks: Box<[OnceLock<Chunk>]>,
    known: RwLock<Known>,
}

/// The numbers there are, to be looked up by their pairs.
#[derive(Default)]
struct Known {
    numbers: HashTable<u32>,
    hashes: DefaultHashBuilder,
}

impl LabelNumbers {
    pub(super) fn empty() -> Self {
        Self { chunks: (0..PAIRS_MAX / CHUNK).map(|_| OnceLock::new()).collect(), known: RwLock::default() }
    }

    /// Those of this process.
    pub(super) fn of_process() -> &'static Self {
        static NUMBERS: LazyLock<LabelNumbers> = LazyLock::new(LabelNumbers::empty);
        &NUMBERS
    }

    /// The attribute and the label with a number.
    pub(super) fn pair(&self, number: u32) -> Option<(&str, &str)> {
        let at = number as usize;
        let (attribute, label) = self.chunks.get(at / CHUNK)?.get()?.get(at % CHUNK)?.get()?;
        Some((attribute, label))
    }

    /// Tells `take` the number of every pair, in their order; `None` for a pair that has none and gets none.
    pub(super) fn numbers(&self, pairs: &[(&str, &str)], mut take: impl FnMut(Option<u32>)) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut rest = pairs.iter();
        while let Some(pair) = rest.as_slice().first() {
            let Some(number) = self.find(&known, *pair) else { break };
            take(Some(number));
            rest.next();
        }
        drop(known);
        rest.for_each(|pair| take(self.number(*pair)));
    }

    /// The number of a pair, which is known from now on where there is room.
    fn number(&self, pair: (&str, &str)) -> Option<u32> {
        if pair.0.len() + pair.1.len() > BYTES_MAX {
            return None;
        }
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let found = self.find(&known, pair);
            if found.is_some() || known.numbers.len() == PAIRS_MAX {
                return found;
            }
        }
        self.add(pair)
    }

    fn find(&self, known: &Known, pair: (&str, &str)) -> Option<u32> {
        let is_pair = |number: &u32| self.pair(*number) == Some(pair);
        known.numbers.find(known.hashes.hash_one(pair), is_pair).copied()
    }

    fn add(&self, pair: (&str, &str)) -> Option<u32> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let at = known.numbers.len();
        // Another thread may have added it, or the last one.
        if let Some(number) = self.find(&known, pair) {
            return Some(number);
        }
        let chunk = self.chunks.get(at / CHUNK)?;
        let chunk = chunk.get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        chunk.get(at % CHUNK)?.set((pair.0.into(), pair.1.into())).ok()?;
        let (number, hash) = (u32::try_from(at).ok()?, known.hashes.hash_one(pair));
        let Known { numbers, hashes } = &mut *known;
        let hash_of = |number: &u32| hashes.hash_one(self.pair(*number).unwrap_or_default());
        numbers.insert_unique(hash, number, hash_of);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(numbers: &LabelNumbers, pairs: &[(&str, &str)]) -> Vec<Option<u32>> {
        let mut found = Vec::new();
        numbers.numbers(pairs, |number| found.push(number));
        found
    }

    #[test]
    fn threads_that_meet_the_same_pairs_agree_and_what_is_beyond_the_bound_has_no_number() {
        let numbers = LabelNumbers::empty();
        let labels: Vec<String> = (0..PAIRS_MAX + 100).map(|at| format!("label {at}")).collect();
        let pairs: Vec<(&str, &str)> = labels.iter().map(|label| ("attribute", label.as_str())).collect();
        let found: Vec<_> = std::thread::scope(|scope| {
            let threads = [(); 2].map(|()| scope.spawn(|| all(&numbers, &pairs)));
            threads.map(|thread| thread.join().expect("ended")).into()
        });
        assert_eq!(found[0], found[1]);
        let mut given: Vec<u32> = found[0].iter().copied().flatten().collect();
        given.sort_unstable();
        assert_eq!(given, (0..PAIRS_MAX as u32).collect::<Vec<_>>());
        for (pair, number) in pairs.iter().zip(&found[0]) {
            assert_eq!(number.and_then(|number| numbers.pair(number)), number.map(|_| *pair));
        }
        assert_eq!(numbers.pair(PAIRS_MAX as u32), None);
        assert_eq!(numbers.pair(u32::MAX), None);
    }

    #[test]
    fn a_pair_is_an_attribute_and_a_label_and_a_long_one_has_no_number() {
        let (numbers, long) = (LabelNumbers::empty(), "x".repeat(BYTES_MAX));
        let pairs = [("a", "bc"), ("ab", "c"), ("a", long.as_str()), ("a", "bc"), ("", "")];
        assert_eq!(all(&numbers, &pairs), [Some(0), Some(1), None, Some(0), Some(2)]);
        assert_eq!(all(&numbers, &pairs[1..]), [Some(1), None, Some(0), Some(2)]);
    }
}
