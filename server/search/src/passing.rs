//! Which slots pass a filter.

use crate::fields::FieldSlots;
use crate::{Filter, ItemIndex};
use roaring::RoaringBitmap;
use std::borrow::Cow;

/// Slots of the items that pass; `None` where all do, whatever they have. Whatever has a label or a value is live.
pub(crate) fn passing<'a>(items: &'a ItemIndex, filter: &Filter) -> Option<Cow<'a, RoaringBitmap>> {
    let of_field = |field: &str| items.fields().get(field);
    let slots: Cow<'a, RoaringBitmap> = match filter {
        Filter::All(filters) => return all(items, filters),
        Filter::Any(filters) => return any(items, filters),
        Filter::None(filters) if filters.is_empty() => return None,
        Filter::None(filters) => Cow::Owned(match any(items, filters) {
            Some(slots) => items.live() - &*slots,
            None => RoaringBitmap::new(),
        }),
        Filter::Label { attribute, any_of } => items.labels().carrying_any(attribute, any_of),
        Filter::HasLabel { attribute } => Cow::Owned(items.labels().present(attribute)),
        Filter::Field { field, any_of } => {
            of_field(field).map(|slots| slots.any_of(any_of)).unwrap_or_default()
        }
        Filter::Range { field, from, to } => {
            Cow::Owned(of_field(field).map(|slots| slots.range(from, to)).unwrap_or_default())
        }
        Filter::HasField { field } => {
            of_field(field).map(FieldSlots::present).map(Cow::Borrowed).unwrap_or_default()
        }
        Filter::Predicted { attribute, any_of, least } => {
            Cow::Owned(items.predictions().passing(attribute, any_of, *least))
        }
        Filter::Id { any_of } => Cow::Owned(any_of.iter().filter_map(|id| items.slot(id)).collect()),
    };
    Some(slots)
}

/// How many items pass. The last set that others are met with is not made.
pub(crate) fn count(items: &ItemIndex, filter: &Filter) -> u64 {
    match filter {
        // The values of one field lie in order: those within need not be gathered to be counted.
        Filter::Range { field, from, to } => {
            items.fields().get(field).map_or(0, |slots| slots.range_len(from, to))
        }
        Filter::None(filters) => items.len() as u64 - count_any(items, filters),
        Filter::Any(filters) => count_any(items, filters),
        Filter::All(filters) => {
            let Some(mut sets) = sets(items, filters) else { return 0 };
            let Some(last) = sets.pop() else { return items.len() as u64 };
            meet(sets).map_or(last.len(), |all| all.intersection_len(&last))
        }
        filter => passing(items, filter).map_or(items.len() as u64, |slots| slots.len()),
    }
}

fn count_any(items: &ItemIndex, filters: &[Filter]) -> u64 {
    match filters {
        [] => 0,
        [filter] => count(items, filter),
        filters => any(items, filters).map_or(items.len() as u64, |slots| slots.len()),
    }
}

fn all<'a>(items: &'a ItemIndex, filters: &[Filter]) -> Option<Cow<'a, RoaringBitmap>> {
    sets(items, filters).map_or_else(|| Some(Cow::default()), meet)
}

/// The sets of the filters that some item may not pass, smallest first; `None` where one of them is empty.
fn sets<'a>(items: &'a ItemIndex, filters: &[Filter]) -> Option<Vec<Cow<'a, RoaringBitmap>>> {
    let mut sets = Vec::with_capacity(filters.len());
    for slots in filters.iter().filter_map(|filter| passing(items, filter)) {
        if slots.is_empty() {
            return None;
        }
        sets.push(slots);
    }
    sets.sort_by_cached_key(|slots| slots.len());
    Some(sets)
}

/// What sets have in common, the smallest being the first: the others are only looked at where it has slots.
fn meet<'a>(sets: Vec<Cow<'a, RoaringBitmap>>) -> Option<Cow<'a, RoaringBitmap>> {
    sets.into_iter().reduce(|all, slots| {
        Cow::Owned(match all {
            Cow::Borrowed(all) => all & &*slots,
            Cow::Owned(all) => all & &*slots,
        })
    })
}

fn any<'a>(items: &'a ItemIndex, filters: &[Filter]) -> Option<Cow<'a, RoaringBitmap>> {
    let mut filters = filters.iter();
    let Some(first) = filters.next() else { return Some(Cow::Owned(RoaringBitmap::new())) };
    let mut any = passing(items, first)?;
    for filter in filters {
        let slots = passing(items, filter)?;
        any = Cow::Owned(match (any, slots) {
            (Cow::Owned(any), slots) => any | &*slots,
            (any, Cow::Owned(slots)) => slots | &*any,
            (Cow::Borrowed(any), Cow::Borrowed(slots)) => any | slots,
        });
    }
    Some(any)
}
