//! Search: from a query with edits and weights to ranked items with reasons (section 4.6, Eq. 4 and 6).

mod explain;
mod hnsw;
mod manipulate;
mod plan;
mod query;
mod scan;
mod weights;

pub use explain::{Explanation, Outcome};
pub use hnsw::Hnsw;
pub use manipulate::{Manipulation, ManipulationEffect};
pub use plan::{Plan, PlanKind};
pub use query::{QueryView, applies, view_of_embedding, view_of_item, view_of_signatures};
pub use weights::{Weighting, head_weights};

use crate::catalogue::{Slot, Snapshot};
use crate::config::SearchConfig;
use crate::error::Error;
use explain::Wanted;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// What to search for, besides the query itself.
#[derive(Clone, Debug, Default)]
pub struct SearchSpec {
    /// Edits, at most one an attribute.
    pub manipulations: Vec<Manipulation>,
    /// How much each head counts.
    pub weighting: Weighting,
    /// Conditions on stored labels: attribute and the labels that pass.
    pub filters: Vec<(String, Vec<String>)>,
    /// Ids to leave out.
    pub exclude: Vec<String>,
    /// Results wanted.
    pub k: usize,
    /// Whether to explain each result.
    pub explain: bool,
    /// Whether to force the exact scan.
    pub exact: bool,
}

/// One match.
#[derive(Clone, Debug)]
pub struct Match {
    /// Its slot in the snapshot that was searched.
    pub slot: Slot,
    /// Sum of weight times distance.
    pub distance: f64,
    /// Whether it has every wanted label.
    pub matches_all: bool,
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
    /// One a manipulation.
    pub effects: Vec<ManipulationEffect>,
    /// Items that carry all wanted labels of the manipulations.
    pub items_with_all_labels: u64,
    /// How it was found.
    pub plan: Plan,
}

/// Searches a snapshot.
///
/// # Errors
/// [`Error::NotFound`] for an unknown head, attribute or label, [`Error::Invalid`] for weights that leave no
/// head in play, [`Error::Precondition`] for a label without a prototype.
pub fn search(
    snapshot: &Snapshot,
    mut view: QueryView,
    spec: &SearchSpec,
    config: &SearchConfig,
) -> Result<SearchAnswer, Error> {
    let effects = manipulate::apply(snapshot, &mut view, &spec.manipulations, config.prototype_items_min)?;
    let terms = weights::terms(snapshot, &view, &spec.weighting)?;
    let allowed = allowed(snapshot, spec);
    let (hits, plan) = plan::run(snapshot, &terms, &allowed, spec, config)?;
    let wanted = Wanted::new(snapshot, &view, &spec.manipulations);
    let matches = hits.into_iter().map(|hit| {
        let attributes = wanted.compare(snapshot, hit.slot);
        Match {
            slot: hit.slot,
            distance: hit.distance,
            matches_all: wanted.all_match(&attributes),
            explanation: spec.explain.then(|| explain::explain(&terms, hit.slot, attributes)),
        }
    });
    Ok(SearchAnswer {
        matches: matches.collect(),
        weights: terms.iter().map(|t| (t.column.head().name().to_owned(), t.weight)).collect(),
        items_with_all_labels: manipulate::items_with_all(snapshot, &spec.manipulations),
        effects,
        plan,
    })
}

/// The live slots that pass the filters and are not excluded.
fn allowed(snapshot: &Snapshot, spec: &SearchSpec) -> RoaringBitmap {
    let items = snapshot.items();
    let mut allowed = items.live().clone();
    for (attribute, labels) in &spec.filters {
        let mut any = RoaringBitmap::new();
        for label in labels {
            if let Some(slots) = items.with_label(attribute, label) {
                any |= slots.as_ref();
            }
        }
        allowed &= any;
    }
    for id in &spec.exclude {
        if let Some(slot) = items.slot(id) {
            allowed.remove(slot);
        }
    }
    allowed
}

#[cfg(test)]
mod tests;
