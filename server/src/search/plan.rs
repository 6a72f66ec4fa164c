//! The plan of a search: one head's index, or the exact scan.

use super::SearchSpec;
use super::scan::{Hit, best, missing};
use super::weights::QueryTerm;
use crate::catalogue::Snapshot;
use crate::config::SearchConfig;
use crate::error::Error;
use roaring::RoaringBitmap;

/// The plans there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanKind {
    /// Every item that passes is scored.
    ExactScan,
    /// One head's index gives candidates.
    Hnsw,
}

/// How an answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The plan that ran.
    pub kind: PlanKind,
    /// Items looked at.
    pub scanned: u64,
    /// Items rescored exactly after a coarser step.
    pub rescored: u64,
    /// Items scored by the rule for missing signatures.
    pub missing: u64,
}

pub(super) fn run(
    snapshot: &Snapshot,
    terms: &[QueryTerm<'_>],
    allowed: &RoaringBitmap,
    spec: &SearchSpec,
    config: &SearchConfig,
) -> Result<(Vec<Hit>, Plan), Error> {
    if spec.k == 0 {
        return Err(Error::invalid("k", "at least 1 result must be asked for"));
    }
    if let [term] = terms
        && !spec.exact
        && spec.filters.is_empty()
        && snapshot.items().len() >= config.hnsw_items_min
        && let Some(found) = by_index(term, terms, allowed, spec)
    {
        return Ok(found);
    }
    let plan = Plan {
        kind: PlanKind::ExactScan,
        scanned: allowed.len(),
        rescored: 0,
        missing: missing(terms, allowed, snapshot.items().len() as u64),
    };
    Ok((best(terms, allowed.iter(), spec.k), plan))
}

/// Candidates of the index, rescored; `None` when the index is behind, or might hide a result: when fewer than
/// k came back, or an item without a signature, which the index cannot know, could rank among them.
fn by_index(
    term: &QueryTerm<'_>,
    terms: &[QueryTerm<'_>],
    allowed: &RoaringBitmap,
    spec: &SearchSpec,
) -> Option<(Vec<Hit>, Plan)> {
    let index = term.column.index();
    let wanted = spec.k + spec.exclude.len();
    let candidates = index.nearest(term.column, &term.vector, wanted)?;
    let passing = candidates.iter().copied().filter(|slot| allowed.contains(*slot));
    let hits = best(terms, passing, spec.k);
    let last = hits.last()?;
    let missing = allowed.len().saturating_sub(term.column.count());
    let hidden = missing > 0 && last.distance >= term.weight * f64::from(term.expected);
    if hits.len() < spec.k || hidden {
        return None;
    }
    let scanned = candidates.len() as u64;
    Some((hits, Plan { kind: PlanKind::Hnsw, scanned, rescored: scanned, missing: 0 }))
}
