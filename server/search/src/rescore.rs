//! From estimates to exact answers: candidates are scored in the order of their estimates, until the rule that learns
//! from them says that no better one is to be expected. Where many are left by then, their estimates are refined first.

use crate::ahead::{Ahead, distance, fetch};
use crate::best::{Best, Hit};
use crate::bits::positions;
use crate::cost::FIRST_MIN;
use crate::refinement::Refinement;
use crate::scan::{Estimates, score};
use crate::stop::{Lesson, Progress, StopRule};
use crate::terms::{BoundTerm, Query};
use crate::{Instructions, IsAbandoned, Slot, Tuning, kernels};
use std::collections::VecDeque;

/// Share of the weight that an item's signatures must carry for the error bar to learn from it.
const COMPLETE_SHARE: f64 = 0.7;
/// Candidates after which it learns from all: there are few others.
const COMPLETE_MAX: u64 = 2048;
/// After the first, one in so many is scored in full to keep the error bar honest; the others are given up early.
const SAMPLED: usize = 16;
/// Candidates from which on it takes less to refine their estimates, and those that a rule learns from, than to score them.
const REFINED_MIN: usize = 512;
/// How many times more candidates each further round looks at.
const GROWTH: usize = 4;
/// Candidates after which it is asked again whether anybody still waits: their rows may have to come from a disk.
const ASKED_EVERY: usize = 64;

/// An estimated distance, and the slot that it is of.
pub(crate) type Candidate = (f32, Slot);

/// Scores candidates of one query.
pub(crate) struct Rescorer<'q, 'a> {
    terms: &'q [BoundTerm<'a>],
    /// How many of the terms are estimated.
    estimated: usize,
    best: Best<'a>,
    scored: u64,
    refined: u64,
    /// Slots and distances that the rule began with.
    taught: Vec<(Slot, f64)>,
    is_abandoned: IsAbandoned<'q>,
}

impl<'q, 'a> Rescorer<'q, 'a> {
    /// The terms that are estimated.
    pub(crate) fn estimated(&self) -> &'q [BoundTerm<'a>] {
        &self.terms[..self.estimated]
    }

    /// Slots and distances that the rule began with.
    pub(crate) fn taught(&self) -> &[(Slot, f64)] {
        &self.taught
    }

    /// Whether to stop before this candidate of a list, since nobody waits any more.
    pub(crate) fn stops_at(&self, at: usize) -> bool {
        at.is_multiple_of(ASKED_EVERY) && (self.is_abandoned)()
    }

    /// Counts candidates whose estimates are refined.
    pub(crate) fn note_refined(&mut self, count: usize) {
        self.refined += count as u64;
    }

    /// How far the search has come.
    pub(crate) fn progress(&self) -> Progress {
        let looked_at = self.scored + self.refined;
        Progress { limit: self.best.limit(), found: self.best.count(), looked_at }
    }

    /// Scores a candidate. Returns its distance where an error bar may learn from it: of those that are scored `in_full`,
    /// as others are given up for their distance, unless much is missing. A missing signature is scored without any
    /// error, so a bar learned from items that lack many would be too short for those that have all.
    pub(crate) fn score(&mut self, slot: Slot, in_full: bool) -> Option<f64> {
        self.scored += 1;
        let limit = if in_full { f64::INFINITY } else { self.best.limit() };
        let distance = score(self.terms, slot, 0.0, limit)?;
        self.best.push(slot, distance);
        let there = || self.terms.iter().filter(|term| term.column.has(slot)).map(|term| term.weight);
        // Weights sum to the number of terms.
        let is_complete = || there().sum::<f64>() >= COMPLETE_SHARE * self.terms.len() as f64;
        (in_full && (self.scored > COMPLETE_MAX || is_complete())).then_some(distance)
    }

    /// Scores candidates until the rule has learned enough from them, and returns the others.
    fn teach<'c>(&mut self, candidates: &'c [Candidate], rule: &mut StopRule) -> &'c [Candidate] {
        let mut ahead = Ahead::default();
        for (at, (estimate, slot)) in candidates.iter().enumerate() {
            if !rule.is_learning() || self.stops_at(at) {
                return &candidates[at..];
            }
            ahead.go_on(at, (candidates.len(), self.terms.len()), |at| fetch(self.terms, candidates[at].1));
            if let Some(distance) = self.score(*slot, true)
                && rule.learn(Lesson { estimate: *estimate, distance })
            {
                self.taught.push((*slot, distance));
            }
            rule.update(self.progress());
        }
        &[]
    }

    /// Scores candidates up to where the rule says stop; some of them keep it honest.
    pub(crate) fn score_all(&mut self, candidates: &[Candidate], rule: &mut StopRule) {
        let (mut ahead, mut halfway) = (Ahead::default(), VecDeque::new());
        let (heavy, light) = self.terms.split_at(self.estimated);
        for (at, (estimate, slot)) in candidates.iter().enumerate() {
            if self.stops_at(at) {
                break;
            }
            let is_learning = rule.is_learning();
            let in_full = |at: usize| is_learning || at.is_multiple_of(SAMPLED);
            ahead.go_on(at, (candidates.len(), heavy.len()), |at| {
                let (estimate, slot) = candidates[at];
                if estimate <= rule.stop_at() {
                    fetch(if in_full(at) { self.terms } else { heavy }, slot);
                }
            });
            if *estimate > rule.stop_at() {
                continue;
            }
            if in_full(at) {
                if let Some(distance) = self.score(*slot, true) {
                    rule.learn(Lesson { estimate: *estimate, distance });
                    rule.update(self.progress());
                }
                continue;
            }
            // Most are given up for the heavy heads; while others wait for their light ones, more are looked at.
            self.scored += 1;
            let Some(sum) = score(heavy, *slot, 0.0, self.best.limit()) else { continue };
            fetch(light, *slot);
            halfway.push_back((*slot, sum));
            if light.is_empty() || halfway.len() > distance(light.len()) {
                halfway.pop_front().into_iter().for_each(|from| self.finish(light, from));
            }
        }
        halfway.into_iter().for_each(|from| self.finish(light, from));
    }

    /// Scores the light heads of an item whose heavy ones sum up to `from`.
    fn finish(&mut self, light: &[BoundTerm<'_>], (slot, from): (Slot, f64)) {
        if let Some(distance) = score(light, slot, from, self.best.limit()) {
            self.best.push(slot, distance);
        }
    }
}

/// The best of a query, whose first `estimated` terms have `estimates`, by the exact formula, and how many items were
/// scored for it; of those scored so far, once the search is abandoned.
pub(crate) fn rescore<'a>(
    query: &Query<'a>,
    estimated: usize,
    estimates: &Estimates,
    tuning: &Tuning,
    is_abandoned: IsAbandoned<'_>,
) -> (Vec<Hit<'a>>, u64) {
    let (terms, best) = (&query.terms, Best::of(query));
    let mut rescorer =
        Rescorer { terms, estimated, best, scored: 0, refined: 0, taught: Vec::new(), is_abandoned };
    let mut rule = StopRule::new(tuning.misses);
    let mut refinement: Option<Refinement<'_>> = None;
    let mut rounds = Rounds::new(estimates, FIRST_MIN.max(2 * query.k));
    while let Some(range) = rounds.next(rule.stop_at()).filter(|_| !is_abandoned()) {
        let mut candidates = collect(tuning.instructions, estimates, range);
        if rule.is_learning() {
            // What is learned from should come from where the answer is.
            sort(&mut candidates);
            let taken = candidates.len() - rescorer.teach(&candidates, &mut rule).len();
            candidates.drain(..taken);
        }
        candidates.retain(|(estimate, _)| *estimate <= rule.stop_at());
        if refinement.is_none() && candidates.len() < REFINED_MIN {
            rescorer.score_all(&candidates, &mut rule);
        } else {
            let refinement = refinement.get_or_insert_with(|| Refinement::new(&rescorer, tuning.misses));
            refinement.score_all(&candidates, &mut rule, &mut rescorer);
        }
    }
    (rescorer.best.into_hits(), rescorer.scored)
}

/// The ranges of estimates that are looked at one after the other, each above its start and up to its end: from the least on, to
/// where the rule says stop. What a round learns may move that by a little, time after time, so there may be any number of them.
struct Rounds<'e> {
    estimates: &'e Estimates,
    /// Candidates that the next one looks at, at least, with all before.
    take: usize,
    /// Where the last one ended.
    end: f32,
}

impl<'e> Rounds<'e> {
    fn new(estimates: &'e Estimates, take: usize) -> Self {
        Self { estimates, take, end: f32::NEG_INFINITY }
    }

    /// The next range; `None` where all up to `stop_at` have been looked at.
    fn next(&mut self, stop_at: f32) -> Option<(f32, f32)> {
        // Where the last one had no end, nothing is left, whatever the rule says.
        if stop_at <= self.end || self.end == f32::INFINITY {
            return None;
        }
        let range = (self.end, bound(self.estimates, self.take).min(stop_at));
        self.take = self.take.saturating_mul(GROWTH);
        self.end = range.1;
        Some(range)
    }
}

/// Best first.
pub(crate) fn sort(candidates: &mut [Candidate]) {
    candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
}

/// An estimate up to which there are at least `count` items, or infinity: so many groups have one.
fn bound(estimates: &Estimates, count: usize) -> f32 {
    let minima = estimates.minima.as_flattened();
    if count >= minima.len() {
        return f32::INFINITY;
    }
    *minima.to_vec().select_nth_unstable_by(count, f32::total_cmp).1
}

/// Slots whose finite estimate lies above the range's start and up to its end, by slot.
fn collect(level: Instructions, estimates: &Estimates, range: (f32, f32)) -> Vec<Candidate> {
    let mut found = Vec::new();
    let bounds = (range.0, range.1.min(f32::MAX));
    let sums = estimates.sums.as_flattened().as_chunks::<{ kernels::GROUP }>().0;
    for (group, (least, sums)) in estimates.minima.as_flattened().iter().zip(sums).enumerate() {
        let there = if *least <= bounds.1 { kernels::between(level, sums, bounds) } else { 0 };
        found.extend(positions(there).map(|at| (sums[at], (group * kernels::GROUP + at) as Slot)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_each_other_however_often_the_end_moves() {
        let mut estimates = Estimates::default();
        estimates.prepare(4);
        let minima = estimates.minima.as_flattened_mut();
        minima.iter_mut().enumerate().for_each(|(at, least)| *least = at as f32);
        let mut rounds = Rounds::new(&estimates, 4);
        let first: Vec<_> = (0..4).map_while(|_| rounds.next(f32::INFINITY)).collect();
        let (none, all) = (f32::NEG_INFINITY, f32::INFINITY);
        assert_eq!(first, [(none, 4.0), (4.0, 16.0), (16.0, all)]);
        // Far more often than candidates can become four times as many.
        let mut rounds = Rounds::new(&estimates, 4);
        for round in 0..200 {
            let stop_at = 5.0 + round as f32 / 1000.0;
            let from = rounds.end;
            let (start, end) = rounds.next(stop_at).expect("more to look at");
            assert!(start == from && end > start && end <= stop_at, "{round}: {start} to {end}");
        }
        assert_eq!(rounds.next(rounds.end), None);
        let mut rounds = Rounds::new(&estimates, usize::MAX);
        assert_eq!([rounds.next(f32::NAN), rounds.next(f32::NAN)], [Some((none, all)), None]);
    }
}
