//! Which items to label next: those that stand for the most that a head is unsure of.

use super::{lot, refusal};
use crate::catalogue::{Column, Item, Slot, Snapshot};
use crate::core::Core;
use crate::error::Error;
use crate::model::Model;
use lapel_fit::{Unlabelled, doubt, to_label_next};
use lapel_heads::{Attribute, Head, LabelScore};
use lapel_search::{Filter, IsAbandoned, LabelSlots, SignatureColumn};
use roaring::RoaringBitmap;
use std::collections::HashSet;
use std::sync::Arc;

/// Items that are compared with each other, at most: of a larger catalogue, a sample that is the same every time.
const CANDIDATES_MAX: usize = 20_000;
/// Labelled items that candidates are compared with, at most: of more, such a sample.
const LABELLED_MAX: usize = 1000;
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
/// [`Error::Precondition`] where it predicts none, or has no signatures yet; [`Error::Left`]; what the model says.
pub(crate) fn suggest(
    (core, snapshot): (&Core, &Snapshot),
    column: &Column,
    wanted: &Wanted,
    is_abandoned: IsAbandoned<'_>,
) -> Result<Suggested, Error> {
    let head = column.head();
    let known = head.manifest().attributes.iter().find(|known| head.predicts(&known.name));
    let attribute = known.ok_or_else(|| no_classifier(head.name()))?;
    let signatures = snapshot.signature_column(column).filter(|_| column.count() > 0);
    let signatures = signatures.ok_or_else(|| {
        let message = format!("no item has a signature of {:?} yet; {}", head.name(), how_signed(head));
        Error::Precondition { reason: "NO_SIGNATURES", message }
    })?;
    let labelled = labelled(snapshot, attribute);
    let open = open(snapshot, signatures, (&labelled, wanted));
    let mut seen = Vec::new();
    for (at, slot) in sample(snapshot, open, CANDIDATES_MAX, is_abandoned)?.into_iter().enumerate() {
        if at.is_multiple_of(ASKED_EVERY) && is_abandoned() {
            return Err(Error::Left);
        }
        let (Some(item), Some(signature)) = (snapshot.items().get(slot), signatures.get(slot)) else {
            continue;
        };
        let Some(scores) = head.classify(attribute, &signature) else { continue };
        let probabilities: Vec<f32> = scores.iter().map(|score| score.probability).collect();
        seen.push((item, probabilities));
    }
    let doubts: Vec<f32> = seen.iter().map(|(_, scores)| doubt(scores)).collect();
    let model = core.model()?;
    let look = |item: &Arc<Item>| appearance(core, &model, item);
    let appearance = |at: usize| look(seen.get(at)?.0);
    let unlabelled = Unlabelled { doubts: &doubts, appearance: &appearance };
    let labelled = sample(snapshot, labelled.iter(), LABELLED_MAX, is_abandoned)?;
    let labelled = labelled.into_iter().filter_map(|slot| look(snapshot.items().get(slot)?));
    let labelled: Vec<Vec<f32>> = labelled.collect();
    let first = to_label_next(&unlabelled, &labelled, wanted.count, &|| is_abandoned()).map_err(refusal)?;
    let items = first.into_iter().filter_map(|at| {
        let (item, scores) = seen.get(at)?;
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

/// How the signatures come that a head lacks.
pub(super) fn how_signed(head: &Head) -> &'static str {
    if head.has_network() {
        "wait for its backfill"
    } else {
        "send them (UpsertItems with `signatures_only`, `lapel items signatures`)"
    }
}

/// What the backbone gives of an item's first picture, where the feature cache has it: nobody waits for a photo to be looked
/// at for a suggestion.
fn appearance(core: &Core, model: &Model, item: &Item) -> Option<Vec<f32>> {
    let content = item.images().first()?.content;
    Some(core.features.as_ref()?.get(model, content)?.map)
}

/// Slots of the items that carry a label of an attribute.
fn labelled(snapshot: &Snapshot, attribute: &Attribute) -> RoaringBitmap {
    let mut labelled = RoaringBitmap::new();
    let by_label = snapshot.items().label_index().of_attribute(&attribute.name).into_iter();
    for slots in by_label.flat_map(LabelSlots::values) {
        labelled |= &**slots;
    }
    labelled
}

/// Slots of the items that may be suggested.
fn open<'a>(
    snapshot: &'a Snapshot,
    signatures: &'a SignatureColumn,
    (labelled, wanted): (&RoaringBitmap, &'a Wanted),
) -> impl Iterator<Item = Slot> + use<'a> {
    let items = snapshot.items();
    let mut open = items.passing(&wanted.filter).unwrap_or_else(|| items.live().clone());
    open -= labelled;
    let is_wanted = move |item: &Arc<Item>| !wanted.exclude.contains(&*item.id);
    open.into_iter().filter(move |slot| signatures.has(*slot) && items.get(*slot).is_some_and(is_wanted))
}

/// Up to so many of the slots' items. They come in an order of their ids whatever the slots are, so that of equal ones the
/// same come first, and the sample of a catalogue is the same every time.
fn sample(
    snapshot: &Snapshot,
    slots: impl Iterator<Item = Slot>,
    count: usize,
    is_abandoned: IsAbandoned<'_>,
) -> Result<Vec<Slot>, Error> {
    let mut drawn: Vec<(u32, Slot)> = Vec::new();
    for (at, slot) in slots.enumerate() {
        if at.is_multiple_of(ASKED_EVERY) && is_abandoned() {
            return Err(Error::Left);
        }
        if let Some(item) = snapshot.items().get(slot) {
            drawn.push((lot(item.id.as_bytes()), slot));
        }
    }
    if drawn.len() > count {
        drawn.select_nth_unstable(count);
        drawn.truncate(count);
    }
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
