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

fn all<'a>(items: &'a ItemIndex, filters: &[Filter]) -> Option<Cow<'a, RoaringBitmap>> {
    let mut sets = Vec::with_capacity(filters.len());
    for slots in filters.iter().filter_map(|filter| passing(items, filter)) {
        if slots.is_empty() {
            return Some(slots);
        }
        sets.push(slots);
    }
    // The smallest first: the others are only looked at where it has slots.
    sets.sort_by_cached_key(|slots| slots.len());
    let mut sets = sets.into_iter();
    let mut all = sets.next()?;
    for slots in sets {
        *all.to_mut() &= &*slots;
    }
    Some(all)
}

fn any<'a>(items: &'a ItemIndex, filters: &[Filter]) -> Option<Cow<'a, RoaringBitmap>> {
    let mut filters = filters.iter();
    let Some(first) = filters.next() else { return Some(Cow::Owned(RoaringBitmap::new())) };
    let mut any = passing(items, first)?;
    for filter in filters {
        let slots = passing(items, filter)?;
        *any.to_mut() |= &*slots;
    }
    Some(any)
}
