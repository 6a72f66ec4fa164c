//! Pages that stay right while the catalogue is written.
//!
//! The next page is what lies behind the last result of the page before, by distance and then by id. Everything that the
//! distances depend on goes with the cursor: prototypes, expected distances and the query may all change meanwhile. An
//! item that is there all along has the same distance on every page, to the last bit, and comes exactly once.

use super::rounds::{Rounds, added};
use super::weights::{QueryTerm, WeightOrigin};
use crate::catalogue::Snapshot;
use crate::error::Error;
use crate::store::ContentId;
use lapel_heads::Labels;
use lapel_search::{Plan, SearchTerm, SignatureAnswer, SignatureHit, SignatureQuery};

/// How far a vector's length may be from 1: one in half precision is not exactly of unit length.
const LENGTH_TOLERANCE: f64 = 0.01;
/// How far the sum of weights may be from the number of heads, as a share of that.
const WEIGHTS_TOLERANCE: f64 = 1e-6;

/// Hits up to which a page is looked for: what a limit on all pages lets through, and many items that came before it since.
const HITS_MAX: usize = 1 << 17;

/// A search of which one page is asked for.
#[derive(Clone, Debug)]
pub struct Paging {
    /// What is asked for; all pages of it bear its mark.
    pub request: ContentId,
    /// The end of the page before; `None` for the first page.
    pub before: Option<Cursor>,
    /// Whether the answer tells where the next page begins.
    pub wants_next: bool,
}

/// Where a page ends, and what the next one is searched by.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// The mark of what was asked for.
    pub request: ContentId,
    /// The heads in play, heaviest first.
    pub terms: Vec<PageTerm>,
    /// Labels that the query shows.
    pub labels: Labels,
    /// Distance of the last result.
    pub distance: f64,
    /// Its id.
    pub id: String,
    /// Results of all pages so far.
    pub seen: usize,
}

/// A head in play, which all pages are searched by.
#[derive(Clone, Debug, PartialEq)]
pub struct PageTerm {
    /// What is searched for.
    pub term: SearchTerm,
    /// How its weight came about.
    pub origin: WeightOrigin,
}

impl Cursor {
    /// Whether a hit belongs to the pages to come.
    fn is_before(&self, hit: &SignatureHit) -> bool {
        let by_distance = self.distance.total_cmp(&hit.distance);
        by_distance.then_with(|| self.id.as_str().cmp(&*hit.id)).is_lt()
    }

    /// What the page is searched by. The cursor came from outside, so nothing of it is taken for granted.
    ///
    /// # Errors
    /// [`Error::Precondition`] where a head in play is not served any more, [`Error::Invalid`] for what no search has
    /// brought forth.
    pub(super) fn terms(&self, snapshot: &Snapshot) -> Result<Vec<QueryTerm>, Error> {
        let mut terms: Vec<QueryTerm> = Vec::with_capacity(self.terms.len().min(snapshot.columns().len()));
        for PageTerm { term, origin } in &self.terms {
            let column = snapshot.columns().iter().find(|column| *column.key() == term.column);
            let column = column.ok_or_else(expired)?;
            let is_new = terms.iter().all(|known| known.term.column != term.column);
            let follows = terms.last().is_none_or(|before| before.term.weight >= term.weight);
            if !(is_new && follows && is_sound(term, column.head().dim())) {
                return Err(unsound());
            }
            terms.push(QueryTerm { head: column.head().clone(), origin: *origin, term: term.clone() });
        }
        let (count, sum) = (terms.len() as f64, terms.iter().map(|term| term.term.weight).sum::<f64>());
        let is_scaled = (sum - count).abs() <= WEIGHTS_TOLERANCE * count;
        if terms.is_empty() || !is_scaled { Err(unsound()) } else { Ok(terms) }
    }
}

/// What holds of the terms of every search.
fn is_sound(term: &SearchTerm, dim: usize) -> bool {
    let SearchTerm { column: _, vector, weight, expected } = term;
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    vector.len() == dim
        && (length - 1.0).abs() <= LENGTH_TOLERANCE
        && weight.is_finite()
        && *weight > 0.0
        && expected.is_finite()
        && *expected >= 0.0
}

fn unsound() -> Error {
    Error::invalid("page_token", "this is no token of a page; send next_page_token of an answer as it came")
}

fn expired() -> Error {
    Error::Precondition {
        reason: "PAGE_EXPIRED",
        message:
            "a head that these pages are ranked by is not served any more, or in another version; search anew"
                .to_owned(),
    }
}

/// The hits of a page, best first, what they took, and whether more come behind them.
pub(super) struct FoundPage {
    pub(super) hits: Vec<SignatureHit>,
    pub(super) has_more: bool,
    pub(super) plan: Plan,
}

/// Hits that the first round of a page asks for. One more than the page has tells whether there is another.
pub(super) fn first_hits(paging: &Paging, k: usize) -> usize {
    let seen = paging.before.as_ref().map_or(0, |before| before.seen);
    seen.saturating_add(k).saturating_add(1)
}

/// The first `k` hits behind the cursor. Where items have come before it since, a round reaches less far behind it; then
/// it is repeated with more.
///
/// # Errors
/// Those of the engine.
pub(super) fn page(
    rounds: &Rounds<'_>,
    query: &SignatureQuery,
    first: SignatureAnswer,
    (before, k): (Option<&Cursor>, usize),
) -> Result<FoundPage, Error> {
    let SignatureAnswer { hits, mut plan, items_passing: _ } = first;
    let mut asked = query.k;
    let mut was_full = hits.len() >= asked;
    let behind = |mut hits: Vec<SignatureHit>| {
        hits.retain(|hit| before.is_none_or(|cursor| cursor.is_before(hit)));
        hits
    };
    let mut hits = behind(hits);
    while hits.len() <= k && was_full && asked < rounds.snapshot.items().len() && !rounds.is_abandoned() {
        if asked >= HITS_MAX {
            return Err(Error::Precondition {
                reason: "PAGE_EXPIRED",
                message: "too much was written before this page since the first one; search anew".to_owned(),
            });
        }
        asked = rounds.at_most_all(asked.saturating_mul(2));
        let answer = rounds.search(&SignatureQuery { k: asked, ..query.clone() })?;
        was_full = answer.hits.len() >= asked;
        plan = added(plan, answer.plan);
        hits = behind(answer.hits);
    }
    let has_more = hits.len() > k;
    hits.truncate(k);
    Ok(FoundPage { hits, has_more, plan })
}

/// Where a page ends that has this last hit.
pub(super) fn end(
    paging: &Paging,
    labels: Labels,
    (terms, last): (&[QueryTerm], &SignatureHit),
    k: usize,
) -> Cursor {
    let term = |of: &QueryTerm| PageTerm { term: of.term.clone(), origin: of.origin };
    let seen = paging.before.as_ref().map_or(0, |before| before.seen);
    Cursor {
        request: paging.request,
        terms: terms.iter().map(term).collect(),
        labels,
        distance: last.distance,
        id: last.id.to_string(),
        seen: seen.saturating_add(k),
    }
}
