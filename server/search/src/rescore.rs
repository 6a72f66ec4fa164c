//! From estimates to exact answers: candidates are scored in the order of their estimates, until the rule that learns
//! from them says that no better one is to be expected.

use crate::best::{Best, Hit};
use crate::cost::FIRST_MIN;
use crate::scan::{Estimates, score};
use crate::stop::{Lesson, Progress, StopRule};
use crate::terms::{BoundTerm, Query};
use crate::{Instructions, Slot, Tuning, kernels};

/// Share of the weight that an item's signatures must carry for the error bar to learn from it.
const COMPLETE_SHARE: f64 = 0.7;
/// Candidates after which it learns from all: there are few others.
const COMPLETE_MAX: u64 = 2048;
/// After the first, one in so many is scored in full to keep the error bar honest; the others are given up early.
const SAMPLED: usize = 16;
/// How many times more candidates each further round looks at.
const GROWTH: usize = 4;
/// How far ahead rows are fetched.
const AHEAD: usize = 4;

/// Scores candidates of one query.
struct Rescorer<'q, 'a> {
    terms: &'q [BoundTerm<'a>],
    estimates: &'q Estimates,
    best: Best<'a>,
    scored: u64,
    rule: StopRule,
}

impl Rescorer<'_, '_> {
    fn progress(&self) -> Progress {
        Progress { limit: self.best.limit(), found: self.best.count(), scored: self.scored }
    }

    /// Scores a candidate: heavy heads first, the others only if that still looks good, or `in_full` to learn
    /// from it.
    fn score(&mut self, estimate: f32, slot: Slot, in_full: bool) {
        self.scored += 1;
        let limit = if in_full { f64::INFINITY } else { self.best.limit() };
        let (heavy, light) = self.terms.split_at(self.estimates.heavy);
        let Some(sum) = score(heavy, slot, 0.0, limit) else { return };
        let refined = sum + f64::from(estimate) - f64::from(self.estimates.heavy_sum(slot, estimate));
        if !in_full && self.rule.gives_up(refined, self.progress()) {
            return;
        }
        let Some(distance) = score(light, slot, sum, limit) else { return };
        self.best.push(slot, distance);
        if in_full && self.teaches(slot) {
            let refined = (!light.is_empty()).then_some(refined);
            self.rule.learn(Lesson { estimate, refined, distance }, self.progress());
        }
    }

    /// Whether the error bar may learn from an item. A missing signature is scored without any error, so a bar
    /// learned from items that lack many would be too short for those that have all.
    fn teaches(&self, slot: Slot) -> bool {
        let there = self.terms.iter().filter(|term| term.column.has(slot)).map(|term| term.weight);
        // Weights sum to the number of terms.
        self.scored > COMPLETE_MAX || there.sum::<f64>() >= COMPLETE_SHARE * self.terms.len() as f64
    }

    fn prefetch(&self, slot: Slot, in_full: bool) {
        let terms = if in_full { self.terms } else { &self.terms[..self.estimates.heavy] };
        terms.iter().for_each(|term| term.column.prefetch(slot));
    }
}

/// The best of a query by the exact formula, and how many items were scored for it.
pub(crate) fn rescore<'a>(query: &Query<'a>, estimates: &Estimates, tuning: &Tuning) -> (Vec<Hit<'a>>, u64) {
    let mut rescorer = Rescorer {
        terms: &query.terms,
        estimates,
        best: Best::of(query),
        scored: 0,
        rule: StopRule::new(tuning.misses),
    };
    let mut take = FIRST_MIN.max(2 * query.k);
    let mut range = (f32::NEG_INFINITY, bound(estimates, take));
    loop {
        let mut candidates = collect(tuning.instructions, estimates, range);
        if rescorer.rule.is_learning() {
            // What is learned from should come from where the answer is.
            candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
        for (at, (estimate, slot)) in candidates.iter().enumerate() {
            let in_full = |at: usize| rescorer.rule.is_learning() || at.is_multiple_of(SAMPLED);
            if let Some((estimate, ahead)) = candidates.get(at + AHEAD)
                && *estimate <= rescorer.rule.stop_at()
            {
                rescorer.prefetch(*ahead, in_full(at + AHEAD));
            }
            if *estimate <= rescorer.rule.stop_at() {
                let in_full = in_full(at);
                rescorer.score(*estimate, *slot, in_full);
            }
        }
        if rescorer.rule.stop_at() <= range.1 || range.1 == f32::INFINITY {
            return (rescorer.best.into_hits(), rescorer.scored);
        }
        take *= GROWTH;
        range = (range.1, bound(estimates, take).min(rescorer.rule.stop_at()));
    }
}

/// An estimate up to which there are at least `count` items, or infinity: so many groups have one.
fn bound(estimates: &Estimates, count: usize) -> f32 {
    let mut minima: Vec<f32> = estimates.minima.as_flattened().to_vec();
    if count < minima.len() { *minima.select_nth_unstable_by(count, f32::total_cmp).1 } else { f32::INFINITY }
}

/// Slots whose finite estimate lies above the range's start and up to its end, by slot.
fn collect(level: Instructions, estimates: &Estimates, range: (f32, f32)) -> Vec<(f32, Slot)> {
    let mut found = Vec::new();
    let bounds = (range.0, range.1.min(f32::MAX));
    let sums = estimates.sums.as_flattened().as_chunks::<{ kernels::GROUP }>().0;
    for (group, (least, sums)) in estimates.minima.as_flattened().iter().zip(sums).enumerate() {
        let mut left = if *least <= bounds.1 { kernels::between(level, sums, bounds) } else { 0 };
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            left &= left - 1;
            found.push((sums[at], (group * kernels::GROUP + at) as Slot));
        }
    }
    found
}
