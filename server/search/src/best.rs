//! The best hits of a search: one an item.

use crate::Slot;
use crate::places::Places;
use crate::terms::Query;
use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

/// An item and its distance; ordered by distance, then id: slots come and go with restarts and restores. Of the pictures of
/// one item, the first of equal ones comes first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit<'a> {
    /// The slot that was scored: the item's, or that of one of its pictures.
    pub(crate) slot: Slot,
    /// The item's slot.
    pub(crate) item: Slot,
    /// The picture's number; 0 where the item's own slot was scored.
    pub(crate) picture: u32,
    /// Sum of weight times distance.
    pub(crate) distance: f64,
    pub(crate) id: &'a Arc<str>,
}

impl Eq for Hit<'_> {}

impl Ord for Hit<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_distance = self.distance.total_cmp(&other.distance);
        by_distance.then_with(|| self.id.cmp(other.id)).then_with(|| self.picture.cmp(&other.picture))
    }
}

impl PartialOrd for Hit<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The k best hits so far, none of them farther than the largest distance.
pub(crate) struct Best<'a> {
    k: usize,
    distance_max: f64,
    places: Places<'a>,
    hits: Hits<'a>,
    limit: f64,
}

enum Hits<'a> {
    /// Every slot is another item; the worst on top.
    OfItems(BinaryHeap<Hit<'a>>),
    /// Of the pictures of an item only the nearest counts, so that the k-th hit is that of the k-th item.
    OfPictures { sorted: BTreeSet<Hit<'a>>, by_item: HashMap<Slot, Hit<'a>> },
}

impl<'a> Best<'a> {
    /// None yet; `distance_max` is infinite where hits may be any distance away.
    pub(crate) fn new(k: usize, distance_max: f64, places: Places<'a>) -> Self {
        let hits = match places {
            Places::Items(_) => Hits::OfItems(BinaryHeap::with_capacity(k + 1)),
            Places::Pictures(_) => Hits::OfPictures { sorted: BTreeSet::new(), by_item: HashMap::new() },
        };
        Self { k, distance_max, places, hits, limit: distance_max }
    }

    /// None yet of those that a query asks for.
    pub(crate) fn of(query: &Query<'a>) -> Self {
        Self::new(query.k, query.distance_max, query.allowed.places())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        match &self.hits {
            Hits::OfItems(heap) => heap.len(),
            Hits::OfPictures { sorted, by_item: _ } => sorted.len(),
        }
    }

    /// The distance that a hit must not exceed: that of the k-th, or the largest until there are k.
    pub(crate) fn limit(&self) -> f64 {
        self.limit
    }

    /// Takes the item of a slot in, where it is one of the best.
    pub(crate) fn push(&mut self, slot: Slot, distance: f64) {
        // Ids lie far apart in memory, so only those of good hits are looked at.
        if distance > self.limit {
            return;
        }
        let Some(hit) = self.places.hit(slot, distance) else { return };
        self.hits.add(hit, self.k);
        let worst = if self.count() < self.k { None } else { self.hits.worst() };
        self.limit = worst.unwrap_or(self.distance_max);
    }

    /// Best first.
    pub(crate) fn into_hits(self) -> Vec<Hit<'a>> {
        match self.hits {
            Hits::OfItems(heap) => heap.into_sorted_vec(),
            Hits::OfPictures { sorted, by_item: _ } => sorted.into_iter().collect(),
        }
    }
}

impl<'a> Hits<'a> {
    /// Takes one in, and drops the worst where there are more than k.
    fn add(&mut self, hit: Hit<'a>, k: usize) {
        match self {
            Self::OfItems(heap) => {
                heap.push(hit);
                if heap.len() > k {
                    heap.pop();
                }
            }
            Self::OfPictures { sorted, by_item } => {
                if let Some(before) = by_item.get(&hit.item).copied() {
                    if before <= hit {
                        return;
                    }
                    sorted.remove(&before);
                }
                sorted.insert(hit);
                by_item.insert(hit.item, hit);
                if sorted.len() > k
                    && let Some(last) = sorted.pop_last()
                {
                    by_item.remove(&last.item);
                }
            }
        }
    }

    /// The distance of the worst.
    fn worst(&self) -> Option<f64> {
        match self {
            Self::OfItems(heap) => heap.peek().map(|hit| hit.distance),
            Self::OfPictures { sorted, by_item: _ } => sorted.last().map(|hit| hit.distance),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ItemIndex;
    use lapel_values::{Fields, ItemFacts, Labels};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Pictures in any order: the hits are the k nearest items, each once, by its nearest picture.
        #[test]
        fn an_item_counts_once_by_its_nearest_picture(
            pushes in proptest::collection::vec((0u32..24, 0u8..12), 0..120), k in 1usize..6, most in 4u8..13
        ) {
            let (labels, fields) = (Labels::new(), Fields::new());
            let item = |at: u32| {
                let id: Arc<str> = format!("i{at}").as_str().into();
                Some((id, ItemFacts { labels: &labels, fields: &fields, pictures: 3 }))
            };
            let items = ItemIndex::of((0..8).map(item));
            let mut best = Best::new(k, f64::from(most), Places::Pictures(&items));
            let mut nearest = BTreeMap::<u32, (u8, u32)>::new();
            for (slot, distance) in pushes {
                // Three slots an item, in the items' order.
                let (item, found) = (slot / 3, (distance, slot % 3));
                if distance <= most {
                    nearest.entry(item).and_modify(|held| *held = found.min(*held)).or_insert(found);
                }
                best.push(slot, f64::from(distance));
                let mut wanted: Vec<(u8, u32, u32)> =
                    nearest.iter().map(|(item, (distance, picture))| (*distance, *item, *picture)).collect();
                wanted.sort_unstable();
                let limit = if wanted.len() < k { most } else { wanted[k - 1].0 };
                prop_assert_eq!((best.count(), best.limit()), (wanted.len().min(k), f64::from(limit)));
            }
            let mut wanted: Vec<(f64, u32, u32)> =
                nearest.iter().map(|(item, (distance, picture))| (f64::from(*distance), *item, *picture)).collect();
            wanted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            wanted.truncate(k);
            let found: Vec<(f64, u32, u32)> =
                best.into_hits().iter().map(|hit| (hit.distance, hit.item, hit.picture)).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
