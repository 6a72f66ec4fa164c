//! Items in the order of their ids.

use super::filter::{LabelFilter, passing};
use crate::catalogue::{Items, Slot};

/// Where no more than one item in so many passes, sorting those is faster than walking over all.
const SPARSE: u64 = 16;

/// Slots of the first `most` items that pass every filter and whose ids come after `after`, by id.
#[must_use]
pub fn list(items: &Items, filters: &[LabelFilter], after: &str, most: usize) -> Vec<Slot> {
    let Some(passing) = passing(items, filters) else { return items.after(after).take(most).collect() };
    if passing.len() > items.len() as u64 / SPARSE {
        return items.after(after).filter(|slot| passing.contains(*slot)).take(most).collect();
    }
    let id = |slot: Slot| Some((&*items.get(slot)?.id, slot));
    let mut found: Vec<(&str, Slot)> = passing.iter().filter_map(id).filter(|(id, _)| *id > after).collect();
    found.sort_unstable();
    found.into_iter().take(most).map(|(_, slot)| slot).collect()
}
