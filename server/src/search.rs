//! Search: from a query with edits and weights to ranked items with reasons (section 4.6, Eq. 4 and 6).

mod diverse;
mod explain;
mod filter;
mod group;
mod manipulate;
mod page;
mod query;
mod reach;
mod rounds;
mod shape;
mod suggest;
mod weights;

pub use diverse::Diversity;
pub use explain::{EditsMet, Explanation, Outcome};
pub use filter::{check_labels, check_predicted, checked_field, field_kind};
pub use group::{Group, Grouping};
pub use lapel_search::{Plan, PlanKind};
pub use manipulate::{Edits, Manipulation, ManipulationEffect};
pub use page::{Cursor, PageTerm, Paging};
pub use query::{
    ALSO, GivenSignatures, QueryView, signatures_beside, view_of_embedding, view_of_item, view_of_signatures,
};
pub use reach::{Attainability, AttainableChange, Concession};
pub use suggest::{SuggestSpec, Suggestion, Suggestions, kept_attributes, suggest};
pub use weights::{HeadWeight, NAMED, WeightOrigin, Weighting, head_weights};

use crate::catalogue::{Item, Slot, Snapshot};
use crate::config::SearchConfig;
use crate::error::Error;
use explain::Wanted;
use lapel_search::{
    Budget, FacetCounter, FacetCounts, FacetOf, Filter, IsAbandoned, ItemIndex, PictureMode, SignatureAnswer,
    SignatureHit, SignatureQuery, Tuning,
};
use lapel_values::FieldValue;
use roaring::RoaringBitmap;
use rounds::Rounds;
use shape::{Form, Shape, Shaped};
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
    /// The items that may be results; whether what it names exists was looked up, as with the edits.
    pub filter: Filter,
    /// What of an item with several pictures is compared.
    pub pictures: PictureMode,
    /// Ids to leave out.
    pub exclude: Vec<String>,
    /// Results wanted; groups, where results are grouped.
    pub k: usize,
    /// Results, or groups, to pass over at the beginning; not of a page.
    pub offset: usize,
    /// The distance that a result must not exceed, finite and at least 0; `None`: results may be any distance away.
    pub distance_max: Option<f64>,
    /// Whether to explain each result.
    pub explain: bool,
    /// The plan to run, where it can; the cheapest otherwise.
    pub plan: Option<PlanKind>,
    /// Results with the same value as one.
    pub grouping: Option<Grouping>,
    /// Results that differ among themselves; not beside groups.
    pub diversity: Option<Diversity>,
    /// A page of the results; not beside groups or diversity.
    pub paging: Option<Paging>,
    /// What to count among all items that pass, and how many values to tell.
    pub facets: Vec<(FacetOf, usize)>,
    /// What to count among the results.
    pub result_facets: Vec<(FacetOf, usize)>,
    /// Fields that are told with each result.
    pub show_fields: Vec<String>,
    /// Whether to leave out what is attainable of the edits.
    pub no_attainability: bool,
}

/// One match.
#[derive(Clone, Debug)]
pub struct Match {
    /// Its slot in the snapshot that was searched.
    pub slot: Slot,
    /// Sum of weight times distance.
    pub distance: f64,
    /// The number of its picture that was nearest, from 0 on; 0 where it was not searched picture by picture.
    pub picture: u32,
    /// Whether it has every label that was asked for.
    pub edits_met: EditsMet,
    /// Its reason, when asked for.
    pub explanation: Option<Explanation>,
}

/// The answer to a search.
#[derive(Clone, Debug)]
pub struct SearchAnswer {
    /// Best first; empty where there are groups.
    pub matches: Vec<Match>,
    /// Best first, where results are grouped.
    pub groups: Option<Vec<Group>>,
    /// Where the next page begins; `None` behind the last one, and where it was not asked for.
    pub next: Option<Cursor>,
    /// Counts among the items that pass, as they were asked for.
    pub facets: Vec<(FacetOf, FacetCounts)>,
    /// Counts among the results, as they were asked for.
    pub result_facets: Vec<(FacetOf, FacetCounts)>,
    /// Fields that are told with each result, as they were asked for.
    pub show_fields: Vec<String>,
    /// Items that pass the filter.
    pub items_passing: u64,
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

/// Searches a snapshot with several queries, which share the first pass over memory where they can; one answer a query,
/// in their order. Groups and pages may take further passes, each its own. `threads` are those that may be used, one or two.
/// A search that is abandoned ends at the next block, and its answers mean nothing.
///
/// The errors are [`Error::Faults`] for unknown heads, attributes and labels, [`Error::Invalid`] for weights that leave
/// no head in play, [`Error::Faults`] also for a query without the signatures of heads that are weighted by hand,
/// [`Error::Precondition`] for a page of heads that are not served any more.
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
            let edits = if spec.no_attainability { Edits::default() } else { spec.edits.clone() };
            let (query, mut rest) = prepare(snapshot, view, spec, planner)?;
            let reached = (planner.prototype_items_min, &budget);
            rest.attainability = reach::attainability(snapshot, &edits, &query, reached)?;
            ready.push(query);
            Ok(rest)
        })
        .collect();
    let rounds = Rounds { snapshot, signatures: snapshot.signatures(), budget };
    let first = rounds.signatures.search(&ready, &budget);
    let mut found = ready.iter().zip(first);
    let answer = |prepared: Result<AnswerContext, Error>| {
        let prepared = prepared?;
        let found = found.next().ok_or_else(|| Error::Internal("a search without an answer".into()));
        let (query, first) = found?;
        prepared.answer(&rounds, query, first?)
    };
    prepared.into_iter().map(answer).collect()
}

/// What the engine is asked by a query: its edits applied, its weights scaled. For whoever compares engines.
///
/// The errors are those of [`search_batch`].
pub(crate) fn signature_query(
    snapshot: &Snapshot,
    view: QueryView,
    spec: SearchSpec,
    planner: &Planner,
) -> Result<SignatureQuery, Error> {
    prepare(snapshot, view, spec, planner).map(|(query, _)| query)
}

/// What an answer needs besides its hits.
struct AnswerContext {
    terms: Vec<QueryTerm>,
    wanted: Wanted,
    effects: Vec<ManipulationEffect>,
    items_with_all_labels: u64,
    attainability: Option<Attainability>,
    explain: bool,
    shape: Shape,
    facets: Vec<(FacetOf, usize)>,
    result_facets: Vec<(FacetOf, usize)>,
    show_fields: Vec<String>,
}

fn prepare(
    snapshot: &Snapshot,
    mut view: QueryView,
    spec: SearchSpec,
    planner: &Planner,
) -> Result<(SignatureQuery, AnswerContext), Error> {
    let SearchSpec {
        edits,
        weighting,
        filter,
        pictures,
        exclude,
        k,
        offset,
        distance_max,
        explain,
        plan,
        grouping,
        diversity,
        paging,
        facets,
        result_facets,
        show_fields,
        no_attainability: _,
    } = spec;
    if k == 0 {
        return Err(Error::invalid("k", "at least 1 result must be asked for"));
    }
    let cursor = paging.as_ref().and_then(|paging| paging.before.as_ref());
    if let Some(cursor) = cursor {
        view.labels.clone_from(&cursor.labels);
    }
    let effects = edits.apply(snapshot, &mut view, planner.prototype_items_min);
    let terms = match cursor {
        Some(cursor) => cursor.terms(snapshot)?,
        None => weights::terms(snapshot, &view, (&weighting, &effects))?,
    };
    let wanted = Wanted::new(snapshot, &view, &edits, explain);
    // Pages are cut at a place: what a plan that is not exact passes over on one page would come on none.
    let plan = plan.or(paging.is_some().then_some(PlanKind::ExactScan));
    let form = match (grouping, diversity, paging) {
        (Some(grouping), _, _) => Form::Groups(grouping),
        (None, Some(diversity), _) => Form::Diverse(diversity),
        (None, None, Some(paging)) => Form::Page(paging, view.labels),
        (None, None, None) => Form::List,
    };
    let prepared = AnswerContext {
        wanted,
        items_with_all_labels: manipulate::items_with_all(snapshot, &edits),
        // Told once it is known how to search.
        attainability: None,
        terms,
        effects,
        explain,
        shape: Shape { offset, k, form },
        facets,
        result_facets,
        show_fields,
    };
    let terms = prepared.terms.iter().map(|term| term.term.clone()).collect();
    let k = prepared.shape.first_hits(snapshot.items().len());
    let query =
        SignatureQuery { terms, filter, pictures, exclude, k, distance_max, plan, with_terms: explain };
    Ok((query, prepared))
}

impl AnswerContext {
    fn answer(
        self,
        rounds: &Rounds<'_>,
        query: &SignatureQuery,
        first: SignatureAnswer,
    ) -> Result<SearchAnswer, Error> {
        let Self {
            terms,
            wanted,
            effects,
            items_with_all_labels,
            attainability,
            explain,
            shape,
            facets,
            result_facets,
            show_fields,
        } = self;
        let items = rounds.snapshot.items();
        let items_passing = first.items_passing;
        let Shaped { hits, groups, next, plan } = shape.results(rounds, (query, &terms), first)?;
        let matches = matches(rounds, hits, (&terms, &wanted, explain))?;
        let result_slots: RoaringBitmap = matches.iter().map(|found| found.slot).collect();
        let passing = if facets.is_empty() { None } else { items.passing(&query.filter) };
        let facets = counts(rounds, facets, &items.facets(passing.as_ref()));
        let shown =
            if result_facets.is_empty() { ItemIndex::default() } else { items.index_of(&result_slots) };
        let result_facets = counts(rounds, result_facets, &shown.facets(None));
        let (matches, groups) = match groups {
            Some(groups) => (Vec::new(), Some(grouped(matches, groups))),
            None => (matches, None),
        };
        Ok(SearchAnswer {
            matches,
            groups,
            next,
            facets,
            result_facets,
            show_fields,
            items_passing,
            weights: terms.iter().map(|t| (t.head.name().to_owned(), t.term.weight)).collect(),
            head_weights: terms.iter().map(QueryTerm::head_weight).collect(),
            items_with_all_labels,
            attainability,
            effects,
            plan,
        })
    }
}

/// Hits as they are told: where they are, what they carry, and why they rank where they do.
fn matches(
    rounds: &Rounds<'_>,
    hits: Vec<SignatureHit>,
    (terms, wanted, explain): (&[QueryTerm], &Wanted, bool),
) -> Result<Vec<Match>, Error> {
    let items = rounds.snapshot.items();
    // An engine of its own may know an item that this snapshot does not.
    let there = hits.into_iter().filter_map(|hit| {
        let slot = items.slot(&hit.id)?;
        Some((hit, slot, &**items.get(slot)?))
    });
    let there: Vec<(SignatureHit, Slot, &Item)> = there.collect();
    let found: Vec<&Item> = there.iter().map(|(_, _, item)| *item).collect();
    let compared = wanted.compare(rounds.signatures, &found)?;
    let matches = there.into_iter().zip(compared).map(|((hit, slot, _), attributes)| Match {
        slot,
        distance: hit.distance,
        picture: hit.picture,
        edits_met: EditsMet::of(&attributes),
        explanation: explain.then(|| explain::explain(terms, &hit.terms, attributes)),
    });
    Ok(matches.collect())
}

/// What was asked to be counted, with the counts. Those of a search that is abandoned mean nothing.
fn counts(
    rounds: &Rounds<'_>,
    asked: Vec<(FacetOf, usize)>,
    counter: &FacetCounter<'_>,
) -> Vec<(FacetOf, FacetCounts)> {
    let goes_on = |_: &(FacetOf, usize)| !rounds.is_abandoned();
    let one = |(of, most): (FacetOf, usize)| {
        let counts = counter.count(&of, most);
        (of, counts)
    };
    asked.into_iter().take_while(goes_on).map(one).collect()
}

/// Matches that stand group by group, taken apart.
fn grouped(matches: Vec<Match>, groups: Vec<(Option<FieldValue>, usize)>) -> Vec<Group> {
    let mut matches = matches.into_iter();
    let group = |(value, count)| Group { value, matches: matches.by_ref().take(count).collect() };
    groups.into_iter().map(group).collect()
}

#[cfg(test)]
mod tests;
