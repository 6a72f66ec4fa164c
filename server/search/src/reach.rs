//! Which of some wanted labels items carry together.

use crate::ItemIndex;
use roaring::RoaringBitmap;
use std::borrow::Cow;

/// Subsets of the wanted labels that an answer has at most.
const KEPT_MAX: usize = 64;

/// How many items carry wanted labels together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attained {
    /// Items that carry all of them.
    pub together: u64,
    /// Where there is none: the largest subsets that an item carries together, as ascending indexes of the labels that are
    /// kept, and how many items carry them. Most items first, equal ones by index; the first 64. Empty where no item
    /// carries one.
    pub kept: Vec<(Vec<usize>, u64)>,
}

impl ItemIndex {
    /// How many of the passing items, `None` being all, carry the wanted labels, given with their attributes, together.
    #[must_use]
    pub fn attainable(&self, passing: Option<&RoaringBitmap>, wanted: &[(&str, &str)]) -> Attained {
        let carrying =
            |(attribute, label): &(&str, &str)| match (self.labels().carrying(attribute, label), passing) {
                (None, _) => Cow::Owned(RoaringBitmap::new()),
                (Some(slots), None) => Cow::Borrowed(slots),
                (Some(slots), Some(passing)) => Cow::Owned(slots & passing),
            };
        let carrying: Vec<Cow<'_, RoaringBitmap>> = wanted.iter().map(carrying).collect();
        if carrying.is_empty() {
            let together = passing.map_or(self.len() as u64, RoaringBitmap::len);
            return Attained { together, kept: Vec::new() };
        }
        let together = together(&carrying);
        let kept = if together == 0 { largest(&carrying) } else { Vec::new() };
        Attained { together, kept }
    }
}

/// In how many slots all sets meet.
fn together(carrying: &[Cow<'_, RoaringBitmap>]) -> u64 {
    let mut sets: Vec<&RoaringBitmap> = carrying.iter().map(|slots| &**slots).collect();
    sets.sort_by_cached_key(|slots| slots.len());
    let mut sets = sets.into_iter();
    let Some(mut all) = sets.next().cloned() else { return 0 };
    for slots in sets {
        all &= slots;
        if all.is_empty() {
            break;
        }
    }
    all.len()
}

/// The largest groups of sets that meet in a slot.
fn largest(carrying: &[Cow<'_, RoaringBitmap>]) -> Vec<(Vec<usize>, u64)> {
    let (size, slots) = in_most(carrying);
    if size == 0 {
        return Vec::new();
    }
    let mut groups = Groups { carrying, size, chosen: Vec::new(), found: Vec::new() };
    groups.split(0, &slots);
    let mut found = groups.found;
    found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    found.truncate(KEPT_MAX);
    found
}

/// The largest number of sets that a slot is in, and the slots that are in so many.
///
/// The sets are added up slot by slot, in binary: `planes[i]` has the slots with bit i of their sum set. That is a few
/// operations on whole bitmaps, whatever the number of items.
fn in_most(carrying: &[Cow<'_, RoaringBitmap>]) -> (usize, RoaringBitmap) {
    let (mut planes, mut most) = (Vec::<RoaringBitmap>::new(), RoaringBitmap::new());
    for slots in carrying {
        most |= &**slots;
        let mut carry = (**slots).clone();
        for plane in &mut planes {
            if carry.is_empty() {
                break;
            }
            let both = &*plane & &carry;
            *plane ^= carry;
            carry = both;
        }
        if !carry.is_empty() {
            planes.push(carry);
        }
    }
    let mut size = 0;
    for (bit, plane) in planes.iter().enumerate().rev() {
        let with = &most & plane;
        if !with.is_empty() {
            most = with;
            size |= 1 << bit;
        }
    }
    (size, most)
}

/// The search for the groups of sets that slots are in.
struct Groups<'a> {
    carrying: &'a [Cow<'a, RoaringBitmap>],
    /// How many sets every slot is in.
    size: usize,
    chosen: Vec<usize>,
    found: Vec<(Vec<usize>, u64)>,
}

impl Groups<'_> {
    /// Splits slots that are in the chosen sets by the sets from `at` on. Only groups that a slot is in are visited.
    fn split(&mut self, at: usize, slots: &RoaringBitmap) {
        if slots.is_empty() {
            return;
        }
        if self.chosen.len() == self.size {
            self.found.push((self.chosen.clone(), slots.len()));
            return;
        }
        let Some(carrying) = self.carrying.get(at) else { return };
        let with = slots & &**carrying;
        let without = slots - &with;
        self.chosen.push(at);
        self.split(at + 1, &with);
        self.chosen.pop();
        self.split(at + 1, &without);
    }
}

#[cfg(test)]
mod tests;
