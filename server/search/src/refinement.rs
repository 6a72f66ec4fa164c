//! Estimates that the finer codes have refined: a scan leaves thousands of candidates where few numbers decide, as those of
//! one head alone do, and an exact row takes longer to read than its codes, most of all from a file.

use crate::Slot;
use crate::codes::Refiner;
use crate::rescore::{Candidate, Rescorer, sort};
use crate::stop::{Lesson, StopRule};
use crate::terms::BoundTerm;

/// How far ahead codes are fetched.
const AHEAD: usize = 8;
/// Heads of at least this share of the largest weight are heavy.
const HEAVY_SHARE: f64 = 0.25;
/// One in so many candidates is scored, whatever its refined estimate, to keep both error bars honest.
const SAMPLED: usize = 256;

/// Refines the estimates of one query.
pub(crate) struct Refinement<'a> {
    /// By estimated term; `None` where the column has no codes.
    refiners: Vec<Option<Refiner<'a>>>,
    /// From the refined estimate to the distance.
    rule: StopRule,
}

impl<'a> Refinement<'a> {
    /// Begins with what the rule of the scan's estimates has learned from.
    pub(crate) fn new(rescorer: &Rescorer<'_, 'a>, misses: f64) -> Self {
        let refiners = rescorer.estimated().iter().map(BoundTerm::refiner).collect();
        let mut refinement = Self { refiners, rule: StopRule::new(misses) };
        for (at, (slot, distance)) in rescorer.taught().iter().enumerate() {
            prefetch(rescorer.estimated(), rescorer.taught().get(at + AHEAD).map(|(slot, _)| *slot));
            if let Some(estimate) = refinement.estimate(rescorer.estimated(), *slot, f32::INFINITY) {
                refinement.rule.learn(Lesson { estimate, distance: *distance });
            }
        }
        refinement
    }

    /// The distance of an item by both of its codes; `None` once it exceeds `limit`.
    fn estimate(&self, terms: &[BoundTerm<'_>], slot: Slot, limit: f32) -> Option<f32> {
        let mut sum = 0.0;
        for (term, refiner) in terms.iter().zip(&self.refiners) {
            sum += term.weight as f32 * term.refined(refiner.as_ref(), slot);
            if sum > limit {
                return None;
            }
        }
        Some(sum)
    }

    /// Refines candidates, and scores them in their new order up to where it is to be expected that none is better. `rule` is
    /// that of the estimates that they come with.
    pub(crate) fn score_all(
        &mut self,
        candidates: &[Candidate],
        rule: &mut StopRule,
        rescorer: &mut Rescorer<'_, 'a>,
    ) {
        let terms = rescorer.estimated();
        rescorer.note_refined(candidates.len());
        self.rule.update(rescorer.progress());
        // The limit gets no larger, so that few of the others could be worth a look later.
        let stop_at = self.rule.stop_at();
        if stop_at == f32::INFINITY {
            // It does not know of any that is not worth a look.
            rescorer.score_all(candidates, rule);
            return;
        }
        let mut refined = Vec::new();
        for (at, (estimate, slot)) in candidates.iter().enumerate() {
            if rescorer.stops_at(at) {
                break;
            }
            prefetch(terms, candidates.get(at + AHEAD).map(|(_, slot)| *slot));
            let is_sampled = at.is_multiple_of(SAMPLED);
            let limit = if is_sampled { f32::INFINITY } else { stop_at };
            let Some(closer) = self.estimate(terms, *slot, limit) else { continue };
            if !is_sampled {
                refined.push((closer, *slot));
            } else if let Some(distance) = rescorer.score(*slot, true) {
                rule.learn(Lesson { estimate: *estimate, distance });
                self.rule.learn(Lesson { estimate: closer, distance });
            }
        }
        sort(&mut refined);
        self.rule.update(rescorer.progress());
        rescorer.score_all(&refined, &mut self.rule);
        rule.update(rescorer.progress());
    }
}

/// Makes the read of an item's codes shorter that will be looked at soon: those of the heavy heads, which most candidates are
/// given up by.
fn prefetch(terms: &[BoundTerm<'_>], slot: Option<Slot>) {
    let (Some(slot), Some(heaviest)) = (slot, terms.first()) else { return };
    let heavy = terms.iter().take_while(|term| term.weight >= HEAVY_SHARE * heaviest.weight);
    heavy.for_each(|term| term.prefetch_codes(slot));
}
