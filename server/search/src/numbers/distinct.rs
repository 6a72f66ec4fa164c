//! How many different keys the passing entries have.

use super::leaf::Leaf;
use crate::Slot;
use crate::bits::is_set;
use crate::kernels::GROUP;

/// Entries a key, on average, from which on each key's are looked at until one passes.
const LONG_RUN: usize = 32;

/// Counts the keys of which an entry passes, over leaves in their order.
pub(super) struct Distinct<'a> {
    /// The passing slots, one bit each.
    passing: &'a [u64],
    /// Leaves out keys of a single entry.
    shared_only: bool,
    found: u64,
    /// The last key so far: it may go on in the next leaf.
    open: Option<Run>,
}

/// The entries of one key.
struct Run {
    key: u64,
    /// Whether one of them passes.
    passes: bool,
    /// Whether there are several.
    is_shared: bool,
}

impl<'a> Distinct<'a> {
    pub(super) fn new(passing: &'a [u64], shared_only: bool) -> Self {
        Self { passing, shared_only, found: 0, open: None }
    }

    /// Takes in the next leaf.
    pub(super) fn add(&mut self, leaf: &Leaf) {
        if leaf.values() == leaf.len() && self.shared_only {
            self.add_ends(leaf);
        } else if leaf.len() >= leaf.values() * LONG_RUN {
            self.add_runs(leaf);
        } else {
            self.add_words(leaf);
        }
    }

    /// The number of keys.
    pub(super) fn finish(mut self) -> u64 {
        self.close();
        self.found
    }

    fn close(&mut self) {
        if let Some(run) = self.open.take() {
            self.found += u64::from(run.passes && (run.is_shared || !self.shared_only));
        }
    }

    fn add_run(&mut self, key: u64, passes: bool, is_shared: bool) {
        match &mut self.open {
            Some(run) if run.key == key => {
                run.passes |= passes;
                run.is_shared = true;
            }
            Some(_) | None => {
                self.close();
                self.open = Some(Run { key, passes, is_shared });
            }
        }
    }

    fn passes(&self, slot: Slot) -> bool {
        is_set(self.passing, slot)
    }

    /// Whether the last key so far goes on as a leaf's first, and passes already.
    fn is_settled(&self, key: u64) -> bool {
        self.open.as_ref().is_some_and(|run| run.key == key && run.passes)
    }

    /// Of a leaf without shared keys only its ends may have one, with the leaves beside it.
    fn add_ends(&mut self, leaf: &Leaf) {
        let (first, last) = leaf.ends();
        if let [slot, ..] = leaf.slots() {
            self.add_run(first, self.passes(*slot), false);
        }
        if let [_, .., slot] = leaf.slots() {
            self.add_run(last, self.passes(*slot), false);
        }
    }

    /// A leaf of few keys: the entries of each are looked at until one passes.
    fn add_runs(&mut self, leaf: &Leaf) {
        let mut from = 0;
        for (word, marks) in leaf.last_marks().iter().enumerate() {
            let mut marks = *marks;
            while marks != 0 {
                let to = word * GROUP + marks.trailing_zeros() as usize + 1;
                marks &= marks - 1;
                let Some(slots) = leaf.slots().get(from..to) else { return };
                let key = match (from == 0, to == leaf.len()) {
                    (true, _) => leaf.ends().0,
                    (_, true) => leaf.ends().1,
                    (false, false) => leaf.keys()[from],
                };
                let passes = self.is_settled(key) || slots.iter().any(|slot| self.passes(*slot));
                self.add_run(key, passes, slots.len() > 1);
                from = to;
            }
        }
    }

    /// A leaf of many keys, 64 entries at a time, without branches: which entries pass cannot be foreseen.
    fn add_words(&mut self, leaf: &Leaf) {
        let passing = self.passing;
        let (mut found, mut carry, mut was_last) = (0, false, true);
        // Whether the first key's entries, and the last one's, were counted, pass, and are several.
        let (mut first, mut last) = (None, [false; 3]);
        for (slots, ends) in leaf.slots().chunks(GROUP).zip(leaf.last_marks()) {
            let hit = slots.iter().rev().fold(0, |word, slot| word << 1 | u64::from(is_set(passing, *slot)));
            // A key's entries are the bits from behind the last end up to the next. To those below the end all ones are
            // added: where one of them passes, the sum carries into the end's bit, or into the next word.
            let below = !ends & (u64::MAX >> (GROUP - slots.len()));
            let (sum, carries) = (hit & below).overflowing_add(below);
            let (sum, carries_too) = sum.overflowing_add(u64::from(carry));
            carry = carries | carries_too;
            let hits = (sum | hit) & ends;
            let single = ends & (ends << 1 | u64::from(was_last));
            was_last = ends >> (GROUP - 1) == 1;
            let counted = if self.shared_only { hits & !single } else { hits };
            found += u64::from(counted.count_ones());
            let at = |bit: u32| [counted, hits, !single].map(|word| word >> bit & 1 == 1);
            if *ends != 0 && first.is_none() {
                first = Some(at(ends.trailing_zeros()));
            }
            last = at(slots.len() as u32 - 1);
        }
        // Both may go on in the leaves beside this one.
        let ends = leaf.ends();
        if let Some([is_counted, passes, is_shared]) = first {
            self.add_run(ends.0, passes, is_shared);
            found -= u64::from(is_counted);
        }
        if ends.0 != ends.1 {
            let [is_counted, passes, is_shared] = last;
            self.add_run(ends.1, passes, is_shared);
            found -= u64::from(is_counted);
        }
        self.found += found;
    }
}
