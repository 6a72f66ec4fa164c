//! Estimates that the finer codes have refined: a scan leaves thousands of candidates where few numbers decide, as those of
//! one head alone do, and an exact row takes longer to read than its codes, most of all from a file.

use crate::Slot;
use crate::codes::Refiner;
use crate::rescore::{Candidate, Rescorer, sort};
use crate::stop::{Lesson, StopRule};
use crate::terms::BoundTerm;

/// How far ahead codes are fetched.
const AHEAD: usize = 8;
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
            let estimate = refinement.estimate(rescorer.estimated(), *slot);
            refinement.rule.learn(Lesson { estimate, distance: *distance });
        }
        refinement
    }

    /// The distance of an item by both of its codes.
    fn estimate(&self, terms: &[BoundTerm<'_>], slot: Slot) -> f32 {
        let terms = terms.iter().zip(&self.refiners);
        terms.map(|(term, refiner)| term.weight as f32 * term.refined(refiner.as_ref(), slot)).sum()
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
        let mut refined = Vec::new();
        for (at, (estimate, slot)) in candidates.iter().enumerate() {
            prefetch(terms, candidates.get(at + AHEAD).map(|(_, slot)| *slot));
            let closer = self.estimate(terms, *slot);
            if at.is_multiple_of(SAMPLED) {
                if let Some(distance) = rescorer.score(*slot, true) {
                    rule.learn(Lesson { estimate: *estimate, distance });
                    self.rule.learn(Lesson { estimate: closer, distance });
                }
            } else if closer <= stop_at {
                refined.push((closer, *slot));
            }
        }
        sort(&mut refined);
        self.rule.update(rescorer.progress());
        rescorer.score_all(&refined, &mut self.rule);
        rule.update(rescorer.progress());
    }
}

/// Makes the read of an item's codes shorter that will be looked at soon.
fn prefetch(terms: &[BoundTerm<'_>], slot: Option<Slot>) {
    let Some(slot) = slot else { return };
    terms.iter().for_each(|term| term.prefetch_codes(slot));
}
