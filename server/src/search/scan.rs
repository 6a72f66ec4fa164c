//! The exact scan: D = sum of w_v * |q_v - r_v| for every item that passes.

use super::weights::QueryTerm;
use crate::catalogue::Slot;

use roaring::RoaringBitmap;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// An item and its distance; ordered by distance, then slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The item's slot.
    pub slot: Slot,
    /// Sum of weight times distance.
    pub distance: f64,
}

impl Eq for Hit {}

impl Ord for Hit {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.slot.cmp(&other.slot))
    }
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The distance of the item in a slot; `None` once its partial sum exceeds `limit`.
pub(super) fn score(terms: &[QueryTerm<'_>], slot: Slot, limit: f64) -> Option<f64> {
    let mut sum = 0.0;
    for term in terms {
        sum += term.weight * f64::from(term.distance(slot));
        if sum > limit {
            return None;
        }
    }
    Some(sum)
}

/// The `k` best of `slots`, best first.
pub(super) fn best(terms: &[QueryTerm<'_>], slots: impl Iterator<Item = Slot>, k: usize) -> Vec<Hit> {
    let mut kept: BinaryHeap<Hit> = BinaryHeap::with_capacity(k + 1);
    for slot in slots {
        let limit =
            if kept.len() < k { f64::INFINITY } else { kept.peek().map_or(f64::INFINITY, |h| h.distance) };
        if let Some(distance) = score(terms, slot, limit) {
            kept.push(Hit { slot, distance });
            if kept.len() > k {
                kept.pop();
            }
        }
    }
    kept.into_sorted_vec()
}

/// How many of `slots` lack a signature of a head in play, in a catalogue of `items`.
pub(super) fn missing(terms: &[QueryTerm<'_>], slots: &RoaringBitmap, items: u64) -> u64 {
    // Complete columns, the usual case, need no second look at every item.
    if terms.iter().all(|t| t.column.count() == items) {
        return 0;
    }
    slots.iter().filter(|slot| terms.iter().any(|t| t.column.get(*slot).is_none())).count() as u64
}
