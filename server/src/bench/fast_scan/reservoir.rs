//! The items of least scores so far, with a limit that follows them.

use lapel_search::Slot;

/// Keeps the least scores; of equal ones, those that came first.
#[derive(Default)]
pub(super) struct Reservoir {
    most: usize,
    /// Fewer than `most` scores are below it, and as many at least are not above it, once so many have come.
    limit: u16,
    below: usize,
    /// How many came, by score.
    counts: Vec<u32>,
    /// All that came, in their order.
    entries: Vec<(Slot, u16)>,
}

impl Reservoir {
    /// Empties it, for at least one item and scores up to `largest`, which is below the largest word.
    pub(super) fn start(&mut self, most: usize, largest: u16) {
        (self.most, self.limit, self.below) = (most.max(1), largest.saturating_add(1), 0);
        self.counts.clear();
        self.counts.resize(usize::from(self.limit), 0);
        self.entries.clear();
    }

    /// Scores from this on are of no use.
    pub(super) fn limit(&self) -> u16 {
        self.limit
    }

    /// Takes in an item, where its score is below the limit.
    pub(super) fn push(&mut self, slot: Slot, score: u16) {
        if score >= self.limit {
            return;
        }
        self.entries.push((slot, score));
        self.counts[usize::from(score)] += 1;
        self.below += 1;
        while self.below >= self.most {
            self.limit -= 1;
            self.below -= self.counts[usize::from(self.limit)] as usize;
        }
    }

    /// The slots of the best, in the order in which they came.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        let mut equal = self.most - self.below;
        self.entries.iter().filter_map(move |(slot, score)| {
            let takes_equal = *score == self.limit && equal > 0;
            equal -= usize::from(takes_equal);
            (*score < self.limit || takes_equal).then_some(*slot)
        })
    }
}
