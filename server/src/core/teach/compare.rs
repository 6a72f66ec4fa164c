//! Two versions of a head on the items that carry labels.

use super::lot;
use super::suggest::{how_signed, no_classifier};
use super::worth::{Examined, Told};
use crate::catalogue::{Column, Slot, Snapshot};
use crate::error::Error;
use lapel_fit::Worth;
use lapel_heads::{Attribute, Head};
use lapel_search::{Filter, IsAbandoned};
use std::sync::Arc;

/// Items that two versions are compared on, at most: of more, a sample that is the same every time.
const COMPARED_MAX: usize = 200_000;
/// Probabilities of those items that are in memory together, at most.
const NUMBERS_MAX: usize = 20_000_000;
/// Items that are looked at before it is asked whether anybody waits.
const ASKED_EVERY: usize = 1024;

/// One attribute of two versions.
pub(crate) struct ComparedAttribute {
    pub(crate) attribute: String,
    /// What each tells of the items that both were examined on.
    pub(crate) worth: Examined,
    pub(crate) other_worth: Examined,
    /// Items that one alone tells right.
    pub(crate) gained: u64,
    pub(crate) lost: u64,
    /// Items with a signature of each.
    pub(crate) signed: u64,
    pub(crate) other_signed: u64,
}

/// An item to be compared on.
struct Labelled<'a> {
    slot: Slot,
    id: &'a Arc<str>,
    label: &'a str,
}

/// Compares the versions of two columns on the attributes that both have, by the items that have signatures of both and carry
/// a label that both know. Attributes without any item that carries one are left out.
///
/// # Errors
/// [`Error::Precondition`] where one predicts no labels of an attribute, where no labelled item has signatures of both, and
/// where no item that passes is labelled; [`Error::Left`].
pub(crate) fn compare(
    snapshot: &Snapshot,
    (column, other): (&Column, &Column),
    filter: &Filter,
    is_abandoned: IsAbandoned<'_>,
) -> Result<Vec<ComparedAttribute>, Error> {
    let mut compared = Vec::new();
    for known in &column.head().manifest().attributes {
        let Some(other_known) = other.head().manifest().attribute(&known.name) else { continue };
        for head in [column.head(), other.head()] {
            if !head.predicts(&known.name) {
                return Err(no_classifier(head.name()));
            }
        }
        let items = labelled(snapshot, (column, other), (known, other_known), filter, is_abandoned)?;
        if items.is_empty() {
            continue;
        }
        let (worth, right) = examined(snapshot, (column, known), &items, is_abandoned)?;
        let (other_worth, other_right) = examined(snapshot, (other, other_known), &items, is_abandoned)?;
        let alone = |of: &[bool], others: &[bool]| {
            of.iter().zip(others).filter(|(right, other)| **right && !**other).count() as u64
        };
        compared.push(ComparedAttribute {
            attribute: known.name.clone(),
            worth,
            other_worth,
            gained: alone(&right, &other_right),
            lost: alone(&other_right, &right),
            signed: column.count(),
            other_signed: other.count(),
        });
    }
    if compared.is_empty() { Err(no_labels(column.head().name())) } else { Ok(compared) }
}

/// The items that both versions can be examined on, by id; none where none is labelled.
///
/// # Errors
/// [`Error::Precondition`] where none of those that are labelled has signatures of both; [`Error::Left`].
fn labelled<'a>(
    snapshot: &'a Snapshot,
    (column, other): (&Column, &Column),
    (known, other_known): (&'a Attribute, &Attribute),
    filter: &Filter,
    is_abandoned: IsAbandoned<'_>,
) -> Result<Vec<Labelled<'a>>, Error> {
    let items = snapshot.items();
    let passing = items.passing(filter);
    let (mut found, mut count, mut signed, mut other_signed) = (Vec::new(), 0, 0u64, 0u64);
    for label in known.labels.iter().filter(|label| other_known.labels.contains(label)) {
        if is_abandoned() {
            return Err(Error::Left);
        }
        for slot in items.with_label(&known.name, label).into_iter().flatten() {
            let passes = passing.as_ref().is_none_or(|passing| passing.contains(slot));
            let Some(item) = items.get(slot).filter(|_| passes) else { continue };
            let (one, two) = (snapshot.has_signature(column, slot), snapshot.has_signature(other, slot));
            count += 1;
            signed += u64::from(one);
            other_signed += u64::from(two);
            if one && two {
                found.push(Labelled { slot, id: &item.id, label });
            }
        }
    }
    if found.is_empty() && count > 0 {
        let lacking = if signed <= other_signed { (column, signed) } else { (other, other_signed) };
        return Err(no_signatures(lacking, count));
    }
    let most = COMPARED_MAX.min(NUMBERS_MAX / known.labels.len().max(1));
    if found.len() > most {
        found.sort_by_cached_key(|item| lot(item.id.as_bytes()));
        found.truncate(most);
    }
    found.sort_unstable_by(|a, b| a.id.cmp(b.id));
    Ok(found)
}

/// That no labelled item has signatures of both versions; `column` is the one that has fewer of them.
fn no_signatures((column, signed): (&Column, u64), labelled: u64) -> Error {
    let (head, version) = (column.head(), column.head_version());
    let message = format!(
        "version {version} of {:?} has signatures of {signed} of the {labelled} labelled items that pass, and to compare the \
         two at least 1 of these must have signatures of both; {}",
        head.name(),
        how_signed(head)
    );
    Error::Precondition { reason: "NO_SIGNATURES", message }
}

/// That there is nothing to compare two versions on.
fn no_labels(head: &str) -> Error {
    let message = format!(
        "no item that passes carries a label that both versions of {head:?} know; label some, or give another filter"
    );
    Error::Precondition { reason: "NO_LABELLED_ITEMS", message }
}

/// What a version is worth on some items, and which of them it tells right.
fn examined(
    snapshot: &Snapshot,
    (column, known): (&Column, &Attribute),
    items: &[Labelled<'_>],
    is_abandoned: IsAbandoned<'_>,
) -> Result<(Examined, Vec<bool>), Error> {
    let head: &Head = column.head();
    let (mut labels, mut probabilities) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    let mut right = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        if at.is_multiple_of(ASKED_EVERY) && is_abandoned() {
            return Err(Error::Left);
        }
        let signature = snapshot.signature_column(column).and_then(|signatures| signatures.get(item.slot));
        let scores = signature.and_then(|signature| head.classify(known, &signature)).unwrap_or_default();
        let likeliest = scores.iter().max_by(|a, b| a.probability.total_cmp(&b.probability));
        right.push(likeliest.is_some_and(|likeliest| likeliest.label == item.label));
        let number = known.labels.iter().position(|label| label == item.label).unwrap_or_default();
        labels.push(number as u16);
        probabilities.push(scores.iter().map(|score| score.probability).collect::<Vec<f32>>());
    }
    let worth = Worth::of(&labels, &probabilities, known.labels.len());
    let told = |at: usize| {
        let Labelled { slot: _, id, label } = items.get(at)?;
        Some(Told { item_id: id.to_string(), place: 0, label: (*label).to_owned() })
    };
    Ok((Examined::new(worth, known.labels.clone(), told), right))
}
