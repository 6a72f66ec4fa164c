//! Reads that are begun before their turn comes: a processor that waits for memory, or for a disk, could have waited for several
//! at once.

use crate::Slot;
use crate::row_file::is_cold;
use crate::terms::BoundTerm;

/// How many items ahead rows are fetched that are in memory.
const ITEMS: usize = 4;
/// How many rows are on their way from a disk at once.
const ROWS: usize = 64;

/// How many items ahead rows of so many heads are fetched.
pub(crate) fn distance(heads: usize) -> usize {
    if is_cold() { (ROWS / heads.max(1)).max(ITEMS) } else { ITEMS }
}

/// Begins the reads of an item's rows.
pub(crate) fn fetch(terms: &[BoundTerm<'_>], slot: Slot) {
    terms.iter().for_each(|term| term.column.prefetch(slot));
}

/// Begins the reads of items that are scored one after the other.
#[derive(Default)]
pub(crate) struct Ahead {
    begun: usize,
}

impl Ahead {
    /// Is told that the item at `at` is next; calls `fetch` with those behind it whose time has come, each once.
    pub(crate) fn go_on(&mut self, at: usize, (count, heads): (usize, usize), mut fetch: impl FnMut(usize)) {
        let end = count.min(at + 1 + distance(heads));
        (self.begun.max(at + 1)..end).for_each(&mut fetch);
        self.begun = self.begun.max(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_but_the_first_is_fetched_once_and_before_it_is_next() {
        let (mut ahead, mut fetched) = (Ahead::default(), Vec::new());
        for at in 0..10 {
            ahead.go_on(at, (10, 6), |other| {
                assert!(other > at);
                fetched.push(other);
            });
            assert!(at == 9 || fetched.contains(&(at + 1)));
        }
        assert_eq!(fetched, (1..10).collect::<Vec<_>>());
    }
}
