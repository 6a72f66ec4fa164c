//! From estimates to exact answers: candidates are scored in the order of their estimates, until the error bar that
//! this very query has shown says that no better one can follow.

use super::plan::Planner;
use super::scan::{Best, Estimates, Hit, score};
use super::weights::QueryTerm;
use crate::catalogue::Slot;
use crate::kernels::{self, Level};

/// Candidates looked at first; more follow where they are needed.
const FIRST_MIN: usize = 256;
/// Candidates scored in full before the error bar is believed.
const SEEN_MIN: f64 = 128.0;
/// Share of the weight that an item's signatures must carry for the error bar to learn from it.
const COMPLETE_SHARE: f64 = 0.7;
/// Candidates after which it learns from all: there are few others.
const COMPLETE_MAX: u64 = 2048;
/// After the first, one in so many is scored in full to keep the error bar honest; the others are given up early.
const SAMPLED: usize = 8;
/// Results that may be missing from an answer on average, as a share of k, were the errors normal and alike. They have
/// longer tails, since signatures of looser labels are coded worse: at 0.0005 about 0.002 were missed of a million.
pub(super) const MISSES_DEFAULT: f64 = 0.00005;
/// How many times more candidates each further round looks at.
const GROWTH: usize = 4;
/// How far ahead rows are fetched.
const AHEAD: usize = 4;
/// Heads of at least this share of the largest weight are heavy: their rows are fetched ahead and scored first, and
/// for most candidates that is enough to give them up.
const HEAVY_SHARE: f64 = 0.25;

/// The line of true distance by estimate, and the deviation from it.
#[derive(Default)]
struct ErrorBar {
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
    origin: Option<(f64, f64)>,
}

impl ErrorBar {
    fn add(&mut self, estimate: f64, distance: f64) {
        // From the first pair on, so that the squares keep their digits.
        let (x0, y0) = *self.origin.get_or_insert((estimate, distance));
        let (x, y) = (estimate - x0, distance - y0);
        self.count += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
        self.yy += y * y;
    }

    /// The line through what was seen; `None` until that is enough.
    fn line(&self) -> Option<Line> {
        let (x0, y0) = self.origin.filter(|_| self.count >= SEEN_MIN)?;
        let n = self.count;
        let (mx, my) = (self.x / n, self.y / n);
        let (vx, vy, cov) = (self.xx / n - mx * mx, self.yy / n - my * my, self.xy / n - mx * my);
        let slope = if vx > 0.0 { (cov / vx).clamp(0.0, 1.0) } else { 0.0 };
        let variance = (vy - 2.0 * slope * cov + slope * slope * vx).max(0.0);
        let doubt = if vx > 0.0 { 1.0 / (n * vx) } else { 0.0 };
        Some(Line { slope, at: x0 + mx, value: y0 + my, count: n, variance, doubt })
    }
}

/// True distance by estimate, as a line with its doubts.
struct Line {
    slope: f64,
    at: f64,
    value: f64,
    count: f64,
    variance: f64,
    /// How fast the doubt about the slope grows with the squared distance from `at`.
    doubt: f64,
}

impl Line {
    /// The least true distance to be expected behind an estimate: the lower end of the interval of prediction.
    fn least(&self, estimate: f64, deviations: f64) -> f64 {
        let x = estimate - self.at;
        let variance = self.variance * (1.0 + 1.0 / self.count + x * x * self.doubt);
        self.value + self.slope * x - deviations * variance.sqrt()
    }

    /// The estimate from which on nothing better than `limit` is to be expected: where the lower end of the
    /// interval crosses it. Infinite when the slope is in such doubt that it never does.
    fn reach(&self, limit: f64, deviations: f64) -> f64 {
        let bar = deviations * deviations * self.variance;
        let gap = limit - self.value;
        let steepness = self.slope * self.slope - bar * self.doubt;
        if steepness <= 0.0 {
            return f64::INFINITY;
        }
        let root = gap * gap * bar * self.doubt + steepness * bar * (1.0 + 1.0 / self.count);
        self.at + (self.slope * gap + root.sqrt()) / steepness
    }
}

/// About how many candidates an answer of `k` needs.
pub(super) fn candidates(k: u64) -> u64 {
    FIRST_MIN as u64 + 2 * k
}

/// Scores candidates of one query.
struct Rescorer<'q, 'a> {
    terms: &'q [QueryTerm<'a>],
    estimates: &'q Estimates,
    /// Results that may be missing on average, as a share of k.
    misses: f64,
    best: Best,
    scored: u64,
    /// From the estimate to the distance.
    bar: ErrorBar,
    /// The estimate from which on nothing better is to be expected.
    stop_at: f32,
    /// From the heavy heads' exact terms and the others' estimate to the distance.
    refined_bar: ErrorBar,
    refined_line: Option<Line>,
}

impl Rescorer<'_, '_> {
    /// Length of the error bar: about as many candidates as were scored lie in the next deviation's worth of
    /// estimates, and of those no more than the allowed share may turn out to be results.
    fn deviations(&self) -> f64 {
        normal_tail(self.misses * self.best.k() as f64 / self.scored as f64)
    }

    /// Scores a candidate: heavy heads first, the others only if that still looks good, or `in_full` to learn
    /// from it.
    fn score(&mut self, estimate: f32, slot: Slot, in_full: bool) {
        self.scored += 1;
        let limit = if in_full { f64::INFINITY } else { self.best.limit() };
        let (heavy, light) = self.terms.split_at(self.estimates.heavy);
        let Some(sum) = score(heavy, slot, limit) else { return };
        let refined = sum + f64::from(estimate) - f64::from(self.estimates.heavy_sum(slot, estimate));
        if !in_full {
            let deviations = self.deviations();
            if self.refined_line.as_ref().is_some_and(|line| line.least(refined, deviations) > limit) {
                return;
            }
        }
        let Some(rest) = score(light, slot, limit - sum) else { return };
        let distance = sum + rest;
        self.best.push(Hit { slot, distance });
        if in_full && self.teaches(slot) {
            self.bar.add(f64::from(estimate), distance);
            if let Some(line) = self.bar.line() {
                self.stop_at = line.reach(self.best.limit(), self.deviations()) as f32;
            }
            if !light.is_empty() {
                self.refined_bar.add(refined, distance);
                self.refined_line = self.refined_bar.line();
            }
        }
    }

    /// Whether the error bar may learn from an item. A missing signature is scored without any error, so a bar
    /// learned from items that lack many would be too short for those that have all.
    fn teaches(&self, slot: Slot) -> bool {
        let there = self.terms.iter().filter(|term| term.column.has(slot)).map(|term| term.weight);
        // Weights sum to the number of terms.
        self.scored > COMPLETE_MAX || there.sum::<f64>() >= COMPLETE_SHARE * self.terms.len() as f64
    }

    /// Whether the error bar still has to learn.
    fn is_learning(&self) -> bool {
        self.bar.count < SEEN_MIN
    }

    fn prefetch(&self, slot: Slot, in_full: bool) {
        let terms = if in_full { self.terms } else { &self.terms[..self.estimates.heavy] };
        terms.iter().filter_map(|term| term.column.row(slot)).for_each(kernels::prefetch);
    }
}

/// How many of the terms, heaviest first, are worth an exact look before the others.
pub(super) fn heavy(terms: &[QueryTerm<'_>]) -> usize {
    terms.iter().take_while(|t| t.weight >= HEAVY_SHARE * terms[0].weight).count()
}

/// The `k` best by the exact formula, and how many items were scored for it.
pub(super) fn rescore(
    terms: &[QueryTerm<'_>],
    estimates: &Estimates,
    k: usize,
    planner: &Planner,
) -> (Vec<Hit>, u64) {
    let mut rescorer = Rescorer {
        terms,
        estimates,
        misses: planner.misses,
        best: Best::new(k),
        scored: 0,
        bar: ErrorBar::default(),
        stop_at: f32::INFINITY,
        refined_bar: ErrorBar::default(),
        refined_line: None,
    };
    let mut take = FIRST_MIN.max(2 * k);
    let mut range = (f32::NEG_INFINITY, bound(estimates, take));
    loop {
        let mut candidates = collect(planner.level, estimates, range);
        if rescorer.is_learning() {
            // What is learned from should come from where the answer is.
            candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
        for (at, (estimate, slot)) in candidates.iter().enumerate() {
            let in_full = |at: usize| rescorer.is_learning() || at.is_multiple_of(SAMPLED);
            if let Some((estimate, ahead)) = candidates.get(at + AHEAD)
                && *estimate <= rescorer.stop_at
            {
                rescorer.prefetch(*ahead, in_full(at + AHEAD));
            }
            if *estimate <= rescorer.stop_at {
                let in_full = in_full(at);
                rescorer.score(*estimate, *slot, in_full);
            }
        }
        if rescorer.stop_at <= range.1 || range.1 == f32::INFINITY {
            return (rescorer.best.into_hits(), rescorer.scored);
        }
        take *= GROWTH;
        range = (range.1, bound(estimates, take).min(rescorer.stop_at));
    }
}

/// How many standard deviations above its mean a normal variable is with probability `p`, to three digits
/// (Abramowitz and Stegun, 26.2.23).
fn normal_tail(p: f64) -> f64 {
    let t = (-2.0 * p.clamp(1e-300, 0.5).ln()).sqrt();
    let (above, below) =
        (2.515517 + t * (0.802853 + t * 0.010328), 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    t - above / below
}

/// An estimate up to which there are at least `count` items, or infinity: so many groups have one.
fn bound(estimates: &Estimates, count: usize) -> f32 {
    let mut minima: Vec<f32> = estimates.minima.as_flattened().to_vec();
    if count < minima.len() { *minima.select_nth_unstable_by(count, f32::total_cmp).1 } else { f32::INFINITY }
}

/// Slots whose finite estimate lies above the range's start and up to its end, by slot.
fn collect(level: Level, estimates: &Estimates, range: (f32, f32)) -> Vec<(f32, Slot)> {
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
