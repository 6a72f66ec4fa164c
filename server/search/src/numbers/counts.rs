//! Counts of the entries whose slots pass.

use super::distinct::Distinct;
use super::leaf::Leaf;
use super::{Numbers, Set};
use crate::Slot;
use crate::bits::is_set;
use crate::kernels::Bits;

/// Leaves at either end that are looked at before sets are.
const NEAR: usize = 8;

/// What the values of some items are like.
#[derive(Default)]
pub(crate) struct NumberCounts {
    /// The least key and the largest.
    pub(crate) ends: Option<(u64, u64)>,
    /// Different keys.
    pub(crate) values: u64,
    /// Items below the first bound, from each bound to the next, and from the last one on.
    pub(crate) buckets: Vec<u64>,
}

/// The slots that pass.
#[derive(Clone, Copy)]
struct Passing<'a> {
    slots: &'a [Bits],
    /// How many of them have an entry.
    found: u64,
}

impl Numbers {
    /// Counts the entries whose slots pass, by ascending bounds; `passing` has the slots and how many of them have an entry,
    /// `None` being all.
    pub(crate) fn counts(&self, bounds: &[u64], passing: Option<(&[Bits], u64)>) -> NumberCounts {
        let passing = passing.map(|(slots, found)| Passing { slots, found });
        let found = passing.map_or(self.entries, |passing| passing.found);
        let mut buckets = Vec::with_capacity(bounds.len() + 1);
        let mut before = 0;
        for bound in bounds {
            let below = if found == 0 { 0 } else { self.count_below(*bound, passing) };
            // Bounds that do not ascend, which the server refuses, leave nothing between them.
            buckets.push(below.saturating_sub(before));
            before = below;
        }
        buckets.push(found.saturating_sub(before));
        match passing {
            _ if found == 0 => NumberCounts { buckets, ..NumberCounts::default() },
            Some(passing) => {
                let ends = self.least(passing).zip(self.greatest(passing));
                NumberCounts { ends, values: self.distinct(passing), buckets }
            }
            None => {
                let least = self.leaves.iter().next().and_then(|leaf| leaf.keys().first());
                let greatest = self.leaves.iter().next_back().and_then(|leaf| leaf.keys().last());
                NumberCounts { ends: least.copied().zip(greatest.copied()), values: self.values, buckets }
            }
        }
    }

    fn count_below(&self, key: u64, passing: Option<Passing<'_>>) -> u64 {
        let below = self.below(key);
        let Some(passing) = passing else { return self.len(&below) };
        let set = match below.set {
            Set::Nothing => 0,
            Set::Fence(fence) => self.fences.common(fence, passing.slots),
            Set::All => passing.found,
        };
        let words = passing.words();
        below.mended(set, |slots| slots.iter().map(|slot| u64::from(is_set(words, *slot))).sum())
    }

    /// The least key of a passing entry.
    fn least(&self, passing: Passing<'_>) -> Option<u64> {
        let first = |leaf: &Leaf| {
            let at = leaf.slots().iter().position(|slot| passing.has(*slot))?;
            leaf.keys().get(at).copied()
        };
        // Mostly there is one near the end.
        self.leaves.iter().take(NEAR).find_map(first).or_else(|| {
            let gap = self.first_fence(|fence| self.fences.common(fence, passing.slots) > 0);
            let (from, _) = self.gap(gap);
            self.leaves.meeting(from, u64::MAX).find_map(first)
        })
    }

    /// The largest key of a passing entry.
    fn greatest(&self, passing: Passing<'_>) -> Option<u64> {
        let last = |leaf: &Leaf| {
            let at = leaf.slots().iter().rposition(|slot| passing.has(*slot))?;
            leaf.keys().get(at).copied()
        };
        self.leaves.iter().rev().take(NEAR).find_map(last).or_else(|| {
            let gap = self.first_fence(|fence| self.fences.common(fence, passing.slots) == passing.found);
            let (_, to) = self.gap(gap);
            self.leaves.meeting(0, to).rev().find_map(last)
        })
    }

    /// The first fence of which something holds that holds of all above it, too.
    fn first_fence(&self, holds: impl Fn(usize) -> bool) -> usize {
        let (mut from, mut to) = (0, self.fences.len());
        while from < to {
            let middle = from.midpoint(to);
            (from, to) = if holds(middle) { (from, middle) } else { (middle + 1, to) };
        }
        from
    }

    /// Different keys of passing entries.
    fn distinct(&self, passing: Passing<'_>) -> u64 {
        if self.values == self.entries {
            return passing.found;
        }
        let has_singles = !self.fences.is_empty();
        let mut distinct = Distinct::new(passing.words(), has_singles);
        self.leaves.iter().for_each(|leaf| distinct.add(leaf));
        let single = if has_singles { self.fences.common_single(passing.slots) } else { 0 };
        distinct.finish() + single
    }
}

impl<'a> Passing<'a> {
    fn words(self) -> &'a [u64] {
        self.slots.as_flattened()
    }

    fn has(self, slot: Slot) -> bool {
        is_set(self.words(), slot)
    }
}
