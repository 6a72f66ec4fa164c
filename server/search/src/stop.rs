//! When to stop: the error bar that this very query has shown says from which estimate on no better candidate is to be
//! expected.
//!
//! The estimates of equal signatures are equal, and so are their errors: a thousand twins teach no more than one. The bar
//! therefore learns from pairs of estimate and distance that it has not seen yet, and is believed once there are enough
//! of them. Where signatures are so few that there never are, every candidate is scored.

use std::collections::HashSet;

/// Different pairs of estimate and distance before the error bar is believed.
const SEEN_MIN: usize = 128;

/// What is learned from a candidate that was scored in full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lesson {
    /// Its estimated distance.
    pub(crate) estimate: f32,
    /// Its distance.
    pub(crate) distance: f64,
}

/// How far the search has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// The distance that a result must not exceed: the query's largest, or that of the k-th; infinite while there is
    /// neither.
    pub(crate) limit: f64,
    /// Results so far, at most k.
    pub(crate) found: usize,
    /// Candidates looked at.
    pub(crate) looked_at: u64,
}

/// Says from which estimate on no candidate needs to be looked at.
///
/// - It never stops before there are a limit and enough different pairs.
/// - What was seen before changes nothing.
/// - A larger limit never stops earlier.
pub(crate) struct StopRule {
    /// Results that may be missing on average, as a share of those found: a largest distance may leave far fewer than k.
    misses: f64,
    /// The bits of the pairs that were learned from.
    seen: HashSet<(u32, u64)>,
    bar: ErrorBar,
    stop_at: f32,
}

impl StopRule {
    /// A rule by which a share of `misses` of the results may be missing on average, were the errors normal and alike.
    pub(crate) fn new(misses: f64) -> Self {
        Self { misses, seen: HashSet::new(), bar: ErrorBar::default(), stop_at: f32::INFINITY }
    }

    /// Whether the error bar still has to learn.
    pub(crate) fn is_learning(&self) -> bool {
        self.seen.len() < SEEN_MIN
    }

    /// Learns from a candidate, and says whether it was new.
    pub(crate) fn learn(&mut self, lesson: Lesson) -> bool {
        let Lesson { estimate, distance } = lesson;
        let is_new = self.seen.insert((estimate.to_bits(), distance.to_bits()));
        if is_new {
            self.bar.add(f64::from(estimate), distance);
        }
        is_new
    }

    /// Takes in how far the search has come.
    pub(crate) fn update(&mut self, progress: Progress) {
        let is_known = !self.is_learning() && progress.limit.is_finite();
        let line = if is_known { self.bar.line() } else { None };
        let reach = |line: Line| line.reach(progress.limit, self.deviations(progress)) as f32;
        // A limit whose square is none takes a line without variance to 0 times infinity.
        self.stop_at = line.map(reach).filter(|reach| !reach.is_nan()).unwrap_or(f32::INFINITY);
    }

    /// The estimate behind which nothing better is to be expected; never NaN.
    pub(crate) fn stop_at(&self) -> f32 {
        self.stop_at
    }

    /// Length of the error bar: about as many candidates as were looked at lie in the next deviation's worth of
    /// estimates, and of those no more than the allowed number may turn out to be results.
    fn deviations(&self, progress: Progress) -> f64 {
        let Progress { limit: _, found, looked_at } = progress;
        normal_tail(self.misses * found.max(1) as f64 / looked_at.max(1) as f64)
    }
}

/// Sums over pairs of estimate and distance.
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

    /// The line through what was seen; `None` where nothing was.
    fn line(&self) -> Option<Line> {
        let (x0, y0) = self.origin?;
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
    /// The estimate from which on nothing better than a finite `limit` is to be expected: where the lower end of the
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

/// How many standard deviations above its mean a normal variable is with probability `p`, to three digits
/// (Abramowitz and Stegun, 26.2.23); at least 0.
fn normal_tail(p: f64) -> f64 {
    let t = (-2.0 * p.clamp(1e-300, 0.5).ln()).sqrt();
    let (above, below) =
        (2.515517 + t * (0.802853 + t * 0.010328), 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    (t - above / below).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn lesson(estimate: f32, distance: f64) -> Lesson {
        Lesson { estimate, distance }
    }

    impl Line {
        /// The least true distance to be expected behind an estimate: the lower end of the interval of prediction.
        fn least(&self, estimate: f64, deviations: f64) -> f64 {
            let x = estimate - self.at;
            let variance = self.variance * (1.0 + 1.0 / self.count + x * x * self.doubt);
            self.value + self.slope * x - deviations * variance.sqrt()
        }
    }

    /// A rule after lessons, of which each is told the limit.
    fn after(lessons: &[(f32, f64)], limit: f64) -> StopRule {
        let mut rule = StopRule::new(0.005);
        for (at, (estimate, distance)) in lessons.iter().enumerate() {
            rule.learn(lesson(*estimate, *distance));
            rule.update(Progress { limit, found: 1, looked_at: at as u64 + 1 });
        }
        rule
    }

    /// Estimates of some distances, each off by a little that depends on the pair.
    fn noisy(count: usize) -> Vec<(f32, f64)> {
        let pair = |at: usize| {
            let distance = at as f64 / count as f64;
            ((distance + 0.01 * (at as f64 * 2.7).sin()) as f32, distance)
        };
        (0..count).map(pair).collect()
    }

    #[test]
    fn it_never_stops_before_there_are_a_limit_and_enough_different_pairs() {
        let pairs = noisy(SEEN_MIN);
        assert!(after(&pairs, 0.3).stop_at().is_finite());
        assert_eq!(after(&pairs, f64::INFINITY).stop_at(), f32::INFINITY, "there is no limit yet");
        let few = [pairs[..SEEN_MIN - 1].to_vec(), vec![pairs[3]; 1000]].concat();
        let rule = after(&few, 0.3);
        assert!(rule.is_learning() && rule.stop_at() == f32::INFINITY, "twins teach nothing");
    }

    #[test]
    fn exact_estimates_stop_at_the_limit_and_no_sooner() {
        // 2^-9 steps are exact in both precisions, so the line has no variance.
        let exact: Vec<(f32, f64)> = (0..512).map(|at| (at as f32 / 512.0, f64::from(at) / 512.0)).collect();
        assert_eq!(after(&exact, 0.25).stop_at(), 0.25);
        assert_eq!(after(&exact, f64::INFINITY).stop_at(), f32::INFINITY, "and not NaN");
    }

    #[test]
    fn a_limit_beyond_all_distances_stops_nowhere() {
        let exact: Vec<(f32, f64)> = (0..512).map(|at| (at as f32 / 512.0, f64::from(at) / 512.0)).collect();
        for limit in [1e100, 1e154, 1e200, 1e300, f64::MAX] {
            for pairs in [&exact, &noisy(SEEN_MIN)] {
                let stop_at = after(pairs, limit).stop_at();
                assert!(stop_at > 1e30, "{limit}: {stop_at}");
            }
        }
    }

    #[test]
    fn few_results_are_searched_for_longer_than_many() {
        let rule = after(&noisy(SEEN_MIN), 0.3);
        let progress = |found| Progress { limit: 0.3, found, looked_at: 1000 };
        let lengths = [0, 1, 10, 100].map(|found| rule.deviations(progress(found)));
        assert!(lengths[0] == lengths[1] && lengths[1..].is_sorted_by(|few, many| few > many), "{lengths:?}");
    }

    proptest! {
        #[test]
        fn whatever_is_seen_it_stops_nowhere_or_somewhere(
            values in vec((0u8..6, 0u8..6), 0..400), fine in any::<bool>(), limit in 0.0f64..3.0, found in any::<bool>()
        ) {
            // Few values, or as many as there are lessons.
            let noise = |at: usize| if fine { at as f64 * 1e-4 } else { 0.0 };
            let pairs: Vec<(f32, f64)> = values
                .iter()
                .enumerate()
                .map(|(at, (x, y))| ((f64::from(*x) / 4.0 + noise(at)) as f32, f64::from(*y) / 4.0))
                .collect();
            let limit = if found { limit } else { f64::INFINITY };
            let rule = after(&pairs, limit);
            prop_assert!(!rule.stop_at().is_nan());
            let different: HashSet<_> = pairs.iter().map(|(x, y)| (x.to_bits(), y.to_bits())).collect();
            if different.len() < SEEN_MIN || !found {
                prop_assert_eq!(rule.stop_at(), f32::INFINITY);
            }
            prop_assert!(after(&pairs, limit + 0.5).stop_at() >= rule.stop_at(), "a larger limit stops earlier");
            // Where it stops, the interval of prediction ends at the limit.
            if let Some(line) = rule.bar.line().filter(|_| rule.stop_at().is_finite()) {
                let deviations =
                    rule.deviations(Progress { limit, found: 1, looked_at: pairs.len() as u64 });
                let stop = line.reach(limit, deviations);
                prop_assert!((line.least(stop, deviations) - limit).abs() < 1e-6 * (1.0 + stop.abs()));
                prop_assert!(line.least(stop + 1.0, deviations) >= limit - 1e-6 * (1.0 + stop.abs()));
            }
        }

        #[test]
        fn what_was_seen_before_changes_nothing(again in vec(0usize..200, 0..300), limit in 0.1f64..1.0) {
            let pairs = noisy(200);
            let (once, mut twice) = (after(&pairs, limit), after(&pairs, limit));
            for at in again {
                prop_assert!(!twice.learn(lesson(pairs[at].0, pairs[at].1)));
                twice.update(Progress { limit, found: 1, looked_at: 200 });
            }
            prop_assert_eq!(once.stop_at(), twice.stop_at());
        }
    }
}
