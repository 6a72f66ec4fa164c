//! Search: from a query with edits and weights to ranked items with reasons (section 4.6, Eq. 4 and 6).

mod allowed;
mod cost;
mod explain;
mod filter;
mod hnsw;
mod list;
mod manipulate;
mod plan;
mod query;
mod rescore;
mod scan;
mod stop;
mod weights;

pub use explain::{EditsMet, Explanation, Outcome};
pub use filter::{LabelFilter, check_filter, check_filters};
pub use hnsw::{FollowError, Hnsw};
pub use list::list;
pub use manipulate::{Edits, Manipulation, ManipulationEffect};
pub use plan::{Plan, PlanKind, Planner};
pub use query::{QueryView, applies, view_of_embedding, view_of_item, view_of_signatures};
pub use weights::{HeadWeight, Weighting, head_weights};

use crate::catalogue::{Slot, Snapshot};
use crate::error::Error;
use allowed::Allowed;
use explain::Wanted;
use plan::Query;
use std::collections::BTreeMap;
use weights::QueryTerm;

/// What to search for, besides the query itself.
#[derive(Clone, Debug, Default)]
pub struct SearchSpec {
    /// Edits, looked up in the snapshot that is searched.
    pub edits: Edits,
    /// How much each head counts.
    pub weighting: Weighting,
    /// Conditions on stored labels.
    pub filters: Vec<LabelFilter>,
    /// Ids to leave out.
    pub exclude: Vec<String>,
    /// Results wanted.
    pub k: usize,
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
    /// How it was found.
    pub plan: Plan,
}

/// Asked by a search at every block: whether nobody waits for its answers any more. Once it is so, it stays so.
pub type IsAbandoned<'a> = &'a (dyn Fn() -> bool + Sync);

/// Searches a snapshot with several queries, which share the pass over memory where they can; one answer a query,
/// in their order. `threads` are those that may be used, one or two. A search that is abandoned ends at the next block,
/// and its answers mean nothing.
///
/// The errors are [`Error::Faults`] for unknown heads, attributes and labels, [`Error::Invalid`] for weights that leave
/// no head in play, [`Error::Precondition`] for a query without the signature of a head that is weighted.
pub fn search_batch(
    snapshot: &Snapshot,
    queries: Vec<(QueryView, SearchSpec)>,
    planner: &Planner,
    threads: usize,
    is_abandoned: IsAbandoned<'_>,
) -> Vec<Result<SearchAnswer, Error>> {
    let mut ready = Vec::new();
    let prepared: Vec<_> = queries
        .into_iter()
        .map(|(view, spec)| {
            let (query, rest) = prepare(snapshot, view, &spec, planner)?;
            ready.push(query);
            Ok(rest)
        })
        .collect();
    let mut found = plan::run(&ready, planner, threads, is_abandoned).into_iter().zip(&ready);
    let answer = |prepared: Result<Prepared, Error>| {
        let prepared = prepared?;
        let ((hits, plan), query) =
            found.next().ok_or_else(|| Error::Internal("a search without an answer".into()))?;
        Ok(prepared.answer(snapshot, &query.terms, hits, plan))
    };
    prepared.into_iter().map(answer).collect()
}

/// What an answer needs besides its hits.
struct Prepared {
    wanted: Wanted,
    effects: Vec<ManipulationEffect>,
    items_with_all_labels: u64,
    explain: bool,
}

fn prepare<'a>(
    snapshot: &'a Snapshot,
    mut view: QueryView,
    spec: &SearchSpec,
    planner: &Planner,
) -> Result<(Query<'a>, Prepared), Error> {
    if spec.k == 0 {
        return Err(Error::invalid("k", "at least 1 result must be asked for"));
    }
    check_filters(snapshot, &spec.filters)?;
    let effects = spec.edits.apply(snapshot, &mut view, planner.prototype_items_min);
    let terms = weights::terms(snapshot, &view, (&spec.weighting, &effects))?;
    let allowed = Allowed::new(snapshot, spec);
    let prepared = Prepared {
        wanted: Wanted::new(snapshot, &view, &spec.edits),
        items_with_all_labels: manipulate::items_with_all(snapshot, &spec.edits),
        effects,
        explain: spec.explain,
    };
    Ok((Query { terms, allowed, k: spec.k, wanted: spec.plan }, prepared))
}

impl Prepared {
    fn answer(
        self,
        snapshot: &Snapshot,
        terms: &[QueryTerm<'_>],
        hits: Vec<scan::Hit<'_>>,
        plan: Plan,
    ) -> SearchAnswer {
        let matches = hits.into_iter().map(|hit| {
            let attributes = self.wanted.compare(snapshot, hit.slot);
            Match {
                slot: hit.slot,
                distance: hit.distance,
                edits_met: EditsMet::of(&attributes),
                explanation: self.explain.then(|| explain::explain(terms, hit.slot, attributes)),
            }
        });
        SearchAnswer {
            matches: matches.collect(),
            weights: terms.iter().map(|t| (t.column.head().name().to_owned(), t.weight)).collect(),
            head_weights: terms.iter().map(QueryTerm::head_weight).collect(),
            items_with_all_labels: self.items_with_all_labels,
            effects: self.effects,
            plan,
        }
    }
}

#[cfg(test)]
mod tests;
