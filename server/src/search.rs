//! Search: from a query with edits and weights to ranked items with reasons (section 4.6, Eq. 4 and 6).

mod explain;
mod filter;
mod manipulate;
mod query;
mod reach;
mod suggest;
mod weights;

pub use explain::{EditsMet, Explanation, Outcome};
pub use filter::{check_labels, checked_field, field_kind};
pub use lapel_search::{Plan, PlanKind};
pub use manipulate::{Edits, Manipulation, ManipulationEffect};
pub use query::{QueryView, applies, view_of_embedding, view_of_item, view_of_signatures};
pub use reach::{Attainability, AttainableChange, Concession};
pub use suggest::{SuggestSpec, Suggestion, Suggestions, kept_attributes, suggest};
pub use weights::{HeadWeight, NAMED, Weighting, head_weights};

use crate::catalogue::{Item, Slot, Snapshot};
use crate::config::SearchConfig;
use crate::error::Error;
use explain::Wanted;
use lapel_search::{Budget, Filter, IsAbandoned, SignatureAnswer, SignatureQuery, Signatures, Tuning};
use std::collections::BTreeMap;
use weights::QueryTerm;

/// How searches are planned and run.
#[derive(Clone, Copy, Debug)]
pub struct Planner {
    /// How local columns are searched.
    pub tuning: Tuning,
    /// Labelled catalogue items from which on a label's prototype is theirs and no longer the bundle's.
    pub prototype_items_min: u64,
}

impl Planner {
    /// The planner of this machine.
    #[must_use]
    pub fn new(config: &SearchConfig) -> Self {
        Self { tuning: Tuning::of_this_machine(), prototype_items_min: config.prototype_items_min }
    }
}

/// What to search for, besides the query itself.
#[derive(Clone, Debug, Default)]
pub struct SearchSpec {
    /// Edits, looked up in the snapshot that is searched.
    pub edits: Edits,
    /// How much each head counts.
    pub weighting: Weighting,
    /// Conditions on stored labels; whether what they name exists was looked up, as with the edits.
    pub filter: Filter,
    /// Ids to leave out.
    pub exclude: Vec<String>,
    /// Results wanted.
    pub k: usize,
    /// The distance that a result must not exceed, finite and at least 0; `None`: results may be any distance away.
    pub distance_max: Option<f64>,
    /// Whether to explain each result.
    pub explain: bool,
    /// The plan to run, where it can; the cheapest otherwise.
    pub plan: Option<PlanKind>,
}

/// One match.
#[derive(Clone, Debug)]
pub struct Match {
    /// Its slot in the snapshot that was searched.
    pub slot: Slot,
    /// Sum of weight times distance.
    pub distance: f64,
    /// Whether it has every label that was asked for.
    pub edits_met: EditsMet,
    /// Its reason, when asked for.
    pub explanation: Option<Explanation>,
}

/// The answer to a search.
#[derive(Clone, Debug)]
pub struct SearchAnswer {
    /// Best first.
    pub matches: Vec<Match>,
    /// Weights used, by head.
    pub weights: BTreeMap<String, f64>,
    /// How they came about, heaviest first.
    pub head_weights: Vec<HeadWeight>,
    /// One a manipulation.
    pub effects: Vec<ManipulationEffect>,
    /// Items that carry all wanted labels of the manipulations.
    pub items_with_all_labels: u64,
    /// What is attainable of the manipulations; `None` where there are none.
    pub attainability: Option<Attainability>,
    /// How it was found.
    pub plan: Plan,
}

/// Searches a snapshot with several queries, which share the pass over memory where they can; one answer a query,
/// in their order. `threads` are those that may be used, one or two. A search that is abandoned ends at the next block,
/// and its answers mean nothing.
///
/// The errors are [`Error::Faults`] for unknown heads, attributes and labels, [`Error::Invalid`] for weights that leave
/// no head in play, [`Error::Faults`] also for a query without the signatures of heads that are weighted by hand.
pub fn search_batch(
    snapshot: &Snapshot,
    queries: Vec<(QueryView, SearchSpec)>,
    planner: &Planner,
    threads: usize,
    is_abandoned: IsAbandoned<'_>,
) -> Vec<Result<SearchAnswer, Error>> {
    let budget = Budget { tuning: &planner.tuning, threads, is_abandoned };
    let mut ready = Vec::new();
    let prepared: Vec<_> = queries
        .into_iter()
        .map(|(view, spec)| {
            let edits = spec.edits.clone();
            let (query, mut rest) = prepare(snapshot, view, spec, planner)?;
            let reached = (planner.prototype_items_min, &budget);
            rest.attainability = reach::attainability(snapshot, &edits, &query, reached)?;
            ready.push(query);
            Ok(rest)
        })
        .collect();
    let signatures: &dyn Signatures = snapshot.signatures();
    let mut found = signatures.search(&ready, &budget).into_iter();
    let answer = |prepared: Result<AnswerContext, Error>| {
        let prepared = prepared?;
        let found = found.next().ok_or_else(|| Error::Internal("a search without an answer".into()))?;
        prepared.answer(snapshot, signatures, found?)
    };
    prepared.into_iter().map(answer).collect()
}

/// What an answer needs besides its hits.
struct AnswerContext {
    terms: Vec<QueryTerm>,
    wanted: Wanted,
    effects: Vec<ManipulationEffect>,
    items_with_all_labels: u64,
    attainability: Option<Attainability>,
    explain: bool,
}

fn prepare(
    snapshot: &Snapshot,
    mut view: QueryView,
    spec: SearchSpec,
    planner: &Planner,
) -> Result<(SignatureQuery, AnswerContext), Error> {
    let SearchSpec { edits, weighting, filter, exclude, k, distance_max, explain, plan } = spec;
    if k == 0 {
        return Err(Error::invalid("k", "at least 1 result must be asked for"));
    }
    let effects = edits.apply(snapshot, &mut view, planner.prototype_items_min);
    let terms = weights::terms(snapshot, &view, (&weighting, &effects))?;
    let prepared = AnswerContext {
        wanted: Wanted::new(snapshot, &view, &edits, explain),
        items_with_all_labels: manipulate::items_with_all(snapshot, &edits),
        // Told once it is known how to search.
        attainability: None,
        terms,
        effects,
        explain,
    };
    let terms = prepared.terms.iter().map(|term| term.term.clone()).collect();
    Ok((SignatureQuery { terms, filter, exclude, k, distance_max, plan, with_terms: explain }, prepared))
}

impl AnswerContext {
    fn answer(
        self,
        snapshot: &Snapshot,
        signatures: &dyn Signatures,
        found: SignatureAnswer,
    ) -> Result<SearchAnswer, Error> {
        let SignatureAnswer { hits, plan } = found;
        // An engine of its own may know an item that this snapshot does not.
        let there = hits.into_iter().filter_map(|hit| {
            let slot = snapshot.items().slot(&hit.id)?;
            Some((hit, slot, &**snapshot.items().get(slot)?))
        });
        let there: Vec<_> = there.collect();
        let items: Vec<&Item> = there.iter().map(|(_, _, item)| *item).collect();
        let compared = self.wanted.compare(signatures, &items)?;
        let matches = there.into_iter().zip(compared).map(|((hit, slot, _), attributes)| Match {
            slot,
            distance: hit.distance,
            edits_met: EditsMet::of(&attributes),
            explanation: self.explain.then(|| explain::explain(&self.terms, &hit.terms, attributes)),
        });
        Ok(SearchAnswer {
            matches: matches.collect(),
            weights: self.terms.iter().map(|t| (t.head.name().to_owned(), t.term.weight)).collect(),
            head_weights: self.terms.iter().map(QueryTerm::head_weight).collect(),
            items_with_all_labels: self.items_with_all_labels,
            attainability: self.attainability,
            effects: self.effects,
            plan,
        })
    }
}

#[cfg(test)]
mod tests;
