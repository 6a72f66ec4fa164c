//! What is attainable: how many items carry all labels that a search wants, and the nearest changes where none does.

use super::manipulate::{Edits, Manipulation};
use crate::catalogue::{Items, Snapshot};
use crate::error::Error;
use lapel_search::{Attained, Budget, Filter, SignatureAnswer, SignatureQuery, Signatures, SignaturesError};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Changes of each kind that are told. More are of no use to a shopper, and each costs a search for its best item.
const CHANGES_MAX: usize = 16;

/// Changes whose best items are searched in one pass: each has its own copy of the filter, which may be large.
const PASS_CHANGES: usize = 8;

/// Whether the wanted labels can be had together.
#[derive(Clone, Debug, PartialEq)]
pub struct Attainability {
    /// Items that pass the filters and carry all wanted labels.
    pub items: u64,
    /// Where there is none, what leads to some: first the smallest sets of labels to give up, most items first, then labels
    /// in the place of one, by the distance of their prototypes.
    pub changes: Vec<AttainableChange>,
}

/// A change of the wanted labels that leads to items.
#[derive(Clone, Debug, PartialEq)]
pub struct AttainableChange {
    /// What is changed.
    pub concession: Concession,
    /// Items that pass the filters and carry all labels that are then wanted.
    pub items: u64,
    /// The nearest of them by the terms of the search. They are those of the labels as they were asked for, also where one is
    /// replaced: what the search is like does not depend on what there is.
    pub best: BestItem,
}

/// What is changed of the wanted labels.
#[derive(Clone, Debug, PartialEq)]
pub enum Concession {
    /// These are given up.
    GiveUp(Vec<Manipulation>),
    /// One is replaced by another label of its attribute.
    Replace {
        /// The one that was asked for.
        wanted: Manipulation,
        /// The label in its place.
        label: String,
        /// Euclidean distance of the prototypes of the two.
        prototype_distance: f64,
    },
}

/// The nearest of some items.
#[derive(Clone, Debug, PartialEq)]
pub struct BestItem {
    /// Its id.
    pub id: Arc<str>,
    /// Sum of weight times distance.
    pub distance: f64,
}

impl Concession {
    /// The labels that are wanted after it.
    fn left<'a>(&'a self, edits: &'a Edits) -> impl Iterator<Item = (&'a str, &'a str)> {
        edits.manipulations().filter_map(move |edit| match self {
            Self::GiveUp(given_up) => (!given_up.contains(edit)).then(|| edit.pair()),
            Self::Replace { wanted, label, prototype_distance: _ } if wanted == edit => {
                Some((edit.attribute.as_str(), label.as_str()))
            }
            Self::Replace { .. } => Some(edit.pair()),
        })
    }
}

/// What is attainable of the edits of a search; `None` where it has none. Ids that it leaves out and its largest distance do
/// not count: the answer is about what passes its filters. A prototype is the catalogue's own from `items_min` items on.
pub(super) fn attainability(
    snapshot: &Snapshot,
    edits: &Edits,
    query: &SignatureQuery,
    (items_min, budget): (u64, &Budget<'_>),
) -> Result<Option<Attainability>, Error> {
    let wanted: Vec<(&str, &str)> = edits.manipulations().map(Manipulation::pair).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let passing = snapshot.items().passing(&query.filter);
    let Attained { together, kept } = snapshot.items().attainable(passing.as_ref(), &wanted);
    if together > 0 {
        return Ok(Some(Attainability { items: together, changes: Vec::new() }));
    }
    // A search that wants nothing any more is no change of it.
    let some = kept.iter().filter(|(kept, _)| !kept.is_empty()).take(CHANGES_MAX);
    let mut concessions: Vec<(Concession, u64)> =
        some.map(|(kept, items)| (given_up(edits, kept), *items)).collect();
    let places = replaceable(wanted.len(), &kept);
    concessions.extend(replacements(snapshot, edits, (passing.as_ref(), places.as_slice()), items_min));
    let after = |(concession, _): &(Concession, u64)| SignatureQuery {
        terms: query.terms.clone(),
        filter: query.filter.clone().and(Filter::carrying(concession.left(edits))),
        pictures: query.pictures,
        k: 1,
        ..SignatureQuery::default()
    };
    let mut best = Vec::with_capacity(concessions.len());
    for pass in concessions.chunks(PASS_CHANGES) {
        let queries: Vec<SignatureQuery> = pass.iter().map(after).collect();
        best.extend(best_items(snapshot, &queries, budget)?);
    }
    // Another engine may not know an item yet.
    let found = concessions
        .into_iter()
        .zip(best)
        .filter_map(|((concession, items), best)| Some(AttainableChange { concession, items, best: best? }));
    Ok(Some(Attainability { items: 0, changes: found.collect() }))
}

/// What leaves the edits at these places, ascending.
fn given_up(edits: &Edits, kept: &[usize]) -> Concession {
    let others = edits.manipulations().enumerate().filter(|(at, _)| !kept.contains(at));
    Concession::GiveUp(others.map(|(_, edit)| edit.clone()).collect())
}

/// The places of the wanted labels whose others are carried together: the one that a set lacks, or a label by itself.
fn replaceable(wanted: usize, kept: &[(Vec<usize>, u64)]) -> Vec<usize> {
    if wanted == 1 {
        return vec![0];
    }
    let lacking = kept.iter().filter(|(kept, _)| kept.len() + 1 == wanted);
    lacking.filter_map(|(kept, _)| (0..wanted).find(|at| !kept.contains(at))).collect()
}

/// For the edits at these places the closest other label with which an item carries what is left, closest first.
fn replacements(
    snapshot: &Snapshot,
    edits: &Edits,
    (passing, places): (Option<&RoaringBitmap>, &[usize]),
    items_min: u64,
) -> Vec<(Concession, u64)> {
    let items = snapshot.items();
    let mut found: Vec<(f64, Concession, u64)> = Vec::new();
    for at in places {
        let Some(wanted) = edits.manipulations().nth(*at) else { continue };
        let others = edits.manipulations().filter(|edit| *edit != wanted).map(Manipulation::pair);
        let among = carrying(items, passing, others);
        let closest = edits.closest(snapshot, *at, items_min).into_iter().find_map(|(label, distance)| {
            let count = carrying_one(items, among.as_ref(), (wanted.attribute.as_str(), label.as_str()));
            (count > 0).then_some((label, distance, count))
        });
        if let Some((label, prototype_distance, count)) = closest {
            let concession = Concession::Replace { wanted: wanted.clone(), label, prototype_distance };
            found.push((prototype_distance, concession, count));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.truncate(CHANGES_MAX);
    found.into_iter().map(|(_, concession, count)| (concession, count)).collect()
}

/// The items that pass and carry all these labels; `None` where every item does.
pub(super) fn carrying<'a>(
    items: Items<'_>,
    passing: Option<&RoaringBitmap>,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<RoaringBitmap> {
    let mut sets: Vec<&RoaringBitmap> = passing.into_iter().collect();
    for (attribute, label) in labels {
        match items.with_label(attribute, label) {
            Some(set) => sets.push(set),
            None => return Some(RoaringBitmap::new()),
        }
    }
    // The smallest first, so that what is left is small at once.
    sets.sort_by_key(|set| set.len());
    let (smallest, rest) = sets.split_first()?;
    let mut all = (*smallest).clone();
    for set in rest {
        all &= *set;
    }
    Some(all)
}

/// How many of these items carry a label; `None`: of all items.
pub(super) fn carrying_one(
    items: Items<'_>,
    among: Option<&RoaringBitmap>,
    (attribute, label): (&str, &str),
) -> u64 {
    let Some(set) = items.with_label(attribute, label) else { return 0 };
    among.map_or_else(|| set.len(), |among| among.intersection_len(set))
}

/// The first hit of each query.
pub(super) fn best_items(
    snapshot: &Snapshot,
    queries: &[SignatureQuery],
    budget: &Budget<'_>,
) -> Result<Vec<Option<BestItem>>, Error> {
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let best = |answer: Result<SignatureAnswer, SignaturesError>| -> Result<Option<BestItem>, Error> {
        let first = answer?.hits.into_iter().next();
        Ok(first.map(|hit| BestItem { id: hit.id, distance: hit.distance }))
    };
    let signatures: &dyn Signatures = snapshot.signatures();
    signatures.search(queries, budget).into_iter().map(best).collect()
}
