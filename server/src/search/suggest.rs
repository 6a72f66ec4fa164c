//! Suggestions: for a photo or an item, the edits that lead to items, ranked by the best item of each.

use super::manipulate::{Edits, Manipulation, ManipulationEffect};
use super::query::QueryView;
use super::reach::{BestItem, best_items, carrying, carrying_one};
use super::weights::{self, Weighting};
use crate::catalogue::{Column, Snapshot};
use crate::error::{Error, Faults};
use lapel_heads::{Attribute, Labels};
use lapel_search::{Budget, Filter, SignatureQuery};
use std::collections::BTreeSet;

/// Edits whose best item is looked for: those that lead to most items.
const CANDIDATES_MAX: usize = 200;

/// Candidates that are searched in one pass: each has its own copy of the filter, which may be large.
const PASS_CANDIDATES: usize = 8;

/// The attribute that is kept where a request names none.
const KEPT: &str = "category";

/// What to suggest, besides the query itself.
#[derive(Clone, Debug, Default)]
pub struct SuggestSpec {
    /// Edits that are made already, looked up in the snapshot that is searched.
    pub edits: Edits,
    /// The items that count; whether what it names exists was looked up.
    pub filter: Filter,
    /// Attributes whose label must stay, where the query shows one; looked up by [`kept_attributes`].
    pub keep: Vec<String>,
    /// Suggestions wanted.
    pub suggestions_max: usize,
}

/// What is suggested.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestions {
    /// By the distance of the best item, then most items first.
    pub suggestions: Vec<Suggestion>,
    /// The labels that were kept.
    pub kept: Labels,
}

/// An edit that leads to items.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// The edit.
    pub manipulation: Manipulation,
    /// Items that pass the filter and carry its label, those of the edits made already and the kept ones.
    pub items: u64,
    /// The nearest of them to the query with all edits.
    pub best: BestItem,
}

/// An edit that leads to items, before its best one is known.
struct Candidate {
    manipulation: Manipulation,
    edit: Edits,
    items: u64,
}

/// The attributes that a request keeps, or the category where it names none and a head tells it apart. Those that neither an
/// item nor a head knows are noted as faults.
pub fn kept_attributes(snapshot: &Snapshot, given: Vec<String>, faults: &mut Faults) -> Vec<String> {
    if given.is_empty() {
        return snapshot.column_of_attribute(KEPT).map(|_| KEPT.to_owned()).into_iter().collect();
    }
    let stored = snapshot.items().label_index();
    for (at, attribute) in given.iter().enumerate() {
        if faults.is_full() {
            break;
        }
        if stored.of_attribute(attribute).is_some() || snapshot.column_of_attribute(attribute).is_some() {
            continue;
        }
        let valid = faults.choices(attribute, || {
            let of_heads = snapshot.columns().iter().flat_map(|column| &column.head().manifest().attributes);
            let all = of_heads.map(|known| &known.name).chain(stored.iter().map(|(name, _)| name));
            all.map(String::as_str).collect::<BTreeSet<&str>>()
        });
        let unknown = Error::NotFound { what: "attribute", name: attribute.clone(), valid };
        faults.unmet(format!("keep[{at}]"), unknown);
    }
    given
}

/// Suggests edits of a query. A prototype is the catalogue's own from `items_min` items on. Suggestions that are abandoned end
/// as searches do, and mean nothing.
///
/// # Errors
/// As a search with the edits that are made already.
pub fn suggest(
    snapshot: &Snapshot,
    mut view: QueryView,
    spec: SuggestSpec,
    (items_min, budget): (u64, &Budget<'_>),
) -> Result<Suggestions, Error> {
    let SuggestSpec { edits, filter, keep, suggestions_max } = spec;
    let shown = |attribute: String| {
        let label = view.labels.get(&attribute)?.clone();
        Some((attribute, label))
    };
    let kept: Labels =
        keep.into_iter().filter(|attribute| !edits.changes(attribute)).filter_map(shown).collect();
    let candidates = candidates(snapshot, &view, (&edits, &kept, &filter), items_min);
    let effects = edits.apply(snapshot, &mut view, items_min);
    let mut best = Vec::with_capacity(candidates.len());
    for pass in candidates.chunks(PASS_CANDIDATES) {
        if (budget.is_abandoned)() {
            break;
        }
        let mut queries = Vec::with_capacity(pass.len());
        for candidate in pass {
            let carried = required(&edits, &kept, &candidate.manipulation.attribute);
            let carried = carried.chain([candidate.manipulation.pair()]);
            let filter = filter.clone().and(Filter::carrying(carried));
            let parts = (view.clone(), effects.clone());
            queries.push(edited(snapshot, parts, (&candidate.edit, filter), items_min)?);
        }
        best.extend(best_items(snapshot, &queries, budget)?);
    }
    let found = candidates.into_iter().zip(best).filter_map(|(candidate, best)| {
        let Candidate { manipulation, edit: _, items } = candidate;
        Some(Suggestion { manipulation, items, best: best? })
    });
    let mut suggestions: Vec<Suggestion> = found.collect();
    suggestions.sort_by(|a, b| {
        let nearest = a.best.distance.total_cmp(&b.best.distance);
        nearest.then(b.items.cmp(&a.items)).then_with(|| a.manipulation.pair().cmp(&b.manipulation.pair()))
    });
    suggestions.truncate(suggestions_max);
    Ok(Suggestions { suggestions, kept })
}

/// The labels that an item must carry beside one of an attribute: those of the edits, and the kept ones of other attributes.
fn required<'a>(
    edits: &'a Edits,
    kept: &'a Labels,
    attribute: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let kept = kept.iter().filter(move |(name, _)| name.as_str() != attribute);
    let kept = kept.map(|(name, label)| (name.as_str(), label.as_str()));
    edits.manipulations().map(Manipulation::pair).chain(kept)
}

/// The edits that lead to most items.
fn candidates(
    snapshot: &Snapshot,
    view: &QueryView,
    (edits, kept, filter): (&Edits, &Labels, &Filter),
    items_min: u64,
) -> Vec<Candidate> {
    let items = snapshot.items();
    let passing = items.passing(filter);
    let mut found = Vec::new();
    for (column, attribute) in editable(snapshot) {
        let Attribute { name, labels } = attribute;
        if edits.changes(name) {
            continue;
        }
        let among = carrying(items, passing.as_ref(), required(edits, kept, name));
        let shown = view.labels.get(name);
        for label in labels.iter().filter(|label| Some(*label) != shown) {
            let count = carrying_one(items, among.as_ref(), (name.as_str(), label.as_str()));
            if count == 0 {
                continue;
            }
            let manipulation = Manipulation { attribute: name.clone(), label: label.clone() };
            if let Some(edit) = Edits::one(column, &manipulation, items_min) {
                found.push(Candidate { manipulation, edit, items: count });
            }
        }
    }
    found.sort_by(|a, b| {
        b.items.cmp(&a.items).then_with(|| a.manipulation.pair().cmp(&b.manipulation.pair()))
    });
    found.truncate(CANDIDATES_MAX);
    found
}

/// The attributes that an edit can change, each with the column that an edit of it is about. A head whose weight is 0, or
/// becomes 0 by an edit, is in no search of its own accord, and a search with an edit of it is refused.
fn editable(snapshot: &Snapshot) -> Vec<(&Column, &Attribute)> {
    let weighs = |column: &&Column| {
        let manifest = column.head().manifest();
        manifest.weight > 0.0 && manifest.changed_weight > 0.0
    };
    let all = snapshot.columns().iter().filter(weighs).flat_map(|column| {
        let attributes = column.head().manifest().attributes.iter();
        attributes.map(move |attribute| (column, attribute))
    });
    let is_its_own = |(column, attribute): &(&Column, &Attribute)| {
        let edited = snapshot.column_of_attribute(&attribute.name);
        edited.is_some_and(|edited| edited.key() == column.key())
    };
    all.filter(is_its_own).collect()
}

/// The search for the best item of one more edit of an edited query.
fn edited(
    snapshot: &Snapshot,
    (mut view, mut effects): (QueryView, Vec<ManipulationEffect>),
    (edit, filter): (&Edits, Filter),
    items_min: u64,
) -> Result<SignatureQuery, Error> {
    effects.extend(edit.apply(snapshot, &mut view, items_min));
    let terms = weights::terms(snapshot, &view, (&Weighting::Own, &effects))?;
    let terms = terms.into_iter().map(|term| term.term).collect();
    Ok(SignatureQuery { terms, filter, k: 1, ..SignatureQuery::default() })
}
