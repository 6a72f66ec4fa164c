//! Which items to label next: those that a head is least sure of, and unlike one another.

use super::lot;
use crate::catalogue::{Column, Item, Slot, Snapshot};
use crate::error::Error;
use lapel_fit::{Candidate, to_label_next};
use lapel_heads::{Attribute, LabelScore};
use lapel_search::{Filter, IsAbandoned, LabelSlots, SignatureColumn};
use std::collections::HashSet;
use std::sync::Arc;

/// Items that are compared with each other, at most: of a larger catalogue, a sample that is the same every time.
const CANDIDATES_MAX: usize = 20_000;
/// Items that are looked at before it is asked whether anybody waits.
const ASKED_EVERY: usize = 1024;

/// What is wanted of a suggestion.
pub(crate) struct Wanted {
    pub(crate) filter: Filter,
    pub(crate) exclude: HashSet<String>,
    pub(crate) count: usize,
}

/// Items to label, the first first.
pub(crate) struct Suggested {
    /// Each with the likeliest label and the next, where the head knows two.
    pub(crate) items: Vec<(Arc<Item>, LabelScore, Option<LabelScore>)>,
    /// Items that were looked at.
    pub(crate) considered: u64,
}

/// Suggests items without a label of the attribute that a column's head predicts.
///
/// # Errors
/// [`Error::Precondition`] where it predicts none, or has no signatures yet; [`Error::Left`].
pub(crate) fn suggest(
    snapshot: &Snapshot,
    column: &Column,
    wanted: &Wanted,
    is_abandoned: IsAbandoned<'_>,
) -> Result<Suggested, Error> {
    let head = column.head();
    let known = head.manifest().attributes.iter().find(|known| head.predicts(&known.name));
    let attribute = known.ok_or_else(|| no_classifier(head.name()))?;
    let signatures = snapshot.signature_column(column).filter(|_| column.count() > 0);
    let signatures = signatures.ok_or_else(|| {
        let message = format!("no item has a signature of {:?} yet; wait for its backfill", head.name());
        Error::Precondition { reason: "NO_SIGNATURES", message }
    })?;
    let slots = candidates(snapshot, signatures, (attribute, wanted), is_abandoned)?;
    let mut seen = Vec::with_capacity(slots.len());
    for (at, slot) in slots.into_iter().enumerate() {
        if at.is_multiple_of(ASKED_EVERY) && is_abandoned() {
            return Err(Error::Left);
        }
        let item = snapshot.items().get(slot);
        let (Some(item), Some(signature)) = (item, signatures.get(slot)) else { continue };
        let Some(scores) = head.classify(attribute, &signature) else { continue };
        let probabilities: Vec<f32> = scores.iter().map(|score| score.probability).collect();
        seen.push((item, signature, probabilities));
    }
    let candidates: Vec<Candidate<'_>> = seen
        .iter()
        .map(|(_, signature, scores)| Candidate { probabilities: scores, signature: signature.as_ref() })
        .collect();
    let first = to_label_next(&candidates, wanted.count, &|| is_abandoned());
    if is_abandoned() {
        return Err(Error::Left);
    }
    let items = first.into_iter().filter_map(|at| {
        let (item, _, scores) = seen.get(at)?;
        let (first, next) = likeliest(attribute, scores)?;
        Some(((*item).clone(), first, next))
    });
    Ok(Suggested { items: items.collect(), considered: seen.len() as u64 })
}

/// That a head tells no labels.
pub(super) fn no_classifier(head: &str) -> Error {
    let message = format!("head {head:?} has no classifier: it predicts no labels");
    Error::Precondition { reason: "NO_CLASSIFIER", message }
}

/// Slots of the items that may be suggested.
fn candidates(
    snapshot: &Snapshot,
    signatures: &SignatureColumn,
    (attribute, wanted): (&Attribute, &Wanted),
    is_abandoned: IsAbandoned<'_>,
) -> Result<Vec<Slot>, Error> {
    let items = snapshot.items();
    let passing = items.passing(&wanted.filter);
    let mut open = passing.unwrap_or_else(|| items.live().clone());
    let labelled = items.label_index().of_attribute(&attribute.name).into_iter();
    for slots in labelled.flat_map(LabelSlots::values) {
        open -= &**slots;
    }
    let mut drawn: Vec<(u32, Slot)> = Vec::new();
    for (at, slot) in open.iter().enumerate() {
        if at.is_multiple_of(ASKED_EVERY) && is_abandoned() {
            return Err(Error::Left);
        }
        let Some(item) = items.get(slot).filter(|_| signatures.has(slot)) else { continue };
        if !wanted.exclude.contains(&*item.id) {
            drawn.push((lot(item.id.as_bytes()), slot));
        }
    }
    if drawn.len() > CANDIDATES_MAX {
        drawn.select_nth_unstable(CANDIDATES_MAX);
        drawn.truncate(CANDIDATES_MAX);
    }
    // In one order whatever the slots are, so that of equal ones the same come first.
    drawn.sort_unstable();
    Ok(drawn.into_iter().map(|(_, slot)| slot).collect())
}

/// The likeliest label and the next.
fn likeliest(attribute: &Attribute, scores: &[f32]) -> Option<(LabelScore, Option<LabelScore>)> {
    let mut order: Vec<(&String, f32)> = attribute.labels.iter().zip(scores.iter().copied()).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let score = |(label, probability): &(&String, f32)| LabelScore {
        label: (*label).clone(),
        probability: *probability,
    };
    Some((score(order.first()?), order.get(1).map(score)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_label_comes_with_the_next() {
        let attribute = |labels: &[&str]| Attribute {
            name: "style".into(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        };
        let score = |label: &str, probability| LabelScore { label: label.into(), probability };
        let found = likeliest(&attribute(&["a", "b", "c"]), &[0.3, 0.2, 0.5]);
        assert_eq!(found, Some((score("c", 0.5), Some(score("a", 0.3)))));
        assert_eq!(likeliest(&attribute(&["a"]), &[1.0]), Some((score("a", 1.0), None)));
        assert_eq!(likeliest(&attribute(&[]), &[]), None);
    }
}
