//! Calls of the last minute: how many, how fast, and what became of them.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Calls are kept by the interval in which they ended.
const INTERVAL: Duration = Duration::from_secs(10);
/// Whole intervals that are told, besides the present one.
const INTERVALS: usize = 6;
/// Times are right to so many digits, which takes some KiB a method and interval.
const DIGITS: u8 = 2;
/// The name of the code of calls that ended well.
const OK: &str = "OK";

/// Calls of one method.
struct Calls {
    /// In microseconds.
    times: Histogram<u32>,
    failures: BTreeMap<&'static str, u64>,
}

impl Calls {
    /// `None`: the number of digits is not one that histograms have.
    fn new() -> Option<Self> {
        Some(Self { times: Histogram::new(DIGITS).ok()?, failures: BTreeMap::new() })
    }

    fn add(&mut self, other: &Self) {
        // One that grows takes every time.
        let _ = self.times.add(&other.times);
        for (code, count) in &other.failures {
            *self.failures.entry(code).or_default() += count;
        }
    }
}

/// Calls that ended in one interval, by method.
struct Interval {
    began: Instant,
    methods: BTreeMap<&'static str, Calls>,
}

/// What is told of a method.
#[derive(Debug, PartialEq)]
pub(crate) struct MethodTraffic {
    pub(crate) method: &'static str,
    pub(crate) calls: u64,
    /// By the name of the code.
    pub(crate) failures: BTreeMap<&'static str, u64>,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Calls of the last minute, as they end.
pub(crate) struct Traffic {
    started: Instant,
    /// The last one is the present one.
    intervals: Mutex<VecDeque<Interval>>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { started: Instant::now(), intervals: Mutex::default() }
    }
}

impl Traffic {
    /// A call has ended at a moment; moments come in their order, but for those of threads that overtake each other.
    pub(crate) fn ended(&self, method: &'static str, code: &'static str, took: Duration, now: Instant) {
        let mut intervals = self.intervals.lock().unwrap_or_else(PoisonError::into_inner);
        if intervals.back().is_none_or(|last| now.saturating_duration_since(last.began) >= INTERVAL) {
            intervals.push_back(Interval { began: now, methods: BTreeMap::new() });
            forget(&mut intervals, now);
        }
        let Some(interval) = intervals.back_mut() else { return };
        if !interval.methods.contains_key(method)
            && let Some(calls) = Calls::new()
        {
            interval.methods.insert(method, calls);
        }
        let Some(calls) = interval.methods.get_mut(method) else { return };
        let _ = calls.times.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX >> 1));
        if code != OK {
            *calls.failures.entry(code).or_default() += 1;
        }
    }

    /// Calls up to a moment, those of the busiest method first, and how long a time that covers.
    pub(crate) fn told(&self, now: Instant) -> (Duration, Vec<MethodTraffic>) {
        let mut methods = BTreeMap::new();
        let since = {
            let mut intervals = self.intervals.lock().unwrap_or_else(PoisonError::into_inner);
            forget(&mut intervals, now);
            for interval in &*intervals {
                for (method, calls) in &interval.methods {
                    match methods.get_mut(method) {
                        None => {
                            let Some(mut all) = Calls::new() else { continue };
                            all.add(calls);
                            methods.insert(*method, all);
                        }
                        Some(all) => all.add(calls),
                    }
                }
            }
            intervals.front().map_or(now, |first| first.began)
        };
        // Before the first call that is known there were none.
        let covered = now.saturating_duration_since(since).max(INTERVAL * INTERVALS as u32);
        let covered = covered.min(now.saturating_duration_since(self.started));
        let mut told: Vec<MethodTraffic> = methods.into_iter().map(told_of).collect();
        told.sort_by_key(|told| std::cmp::Reverse(told.calls));
        (covered, told)
    }
}

fn told_of((method, Calls { times, failures }): (&'static str, Calls)) -> MethodTraffic {
    let within = |share| Duration::from_micros(times.value_at_quantile(share));
    MethodTraffic { method, calls: times.len(), failures, p50: within(0.5), p99: within(0.99) }
}

/// Drops the intervals that ended longer ago than is told.
fn forget(intervals: &mut VecDeque<Interval>, now: Instant) {
    let is_old = |interval: &Interval| {
        now.saturating_duration_since(interval.began) >= INTERVAL * (INTERVALS as u32 + 1)
    };
    while intervals.front().is_some_and(is_old) {
        intervals.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn calls_are_counted_with_their_times_and_failures() {
        let traffic = Traffic::default();
        let now = traffic.started + Duration::from_secs(5);
        for time in 1..=100 {
            traffic.ended("search", OK, ms(time), now);
        }
        traffic.ended("list", "NOT_FOUND", ms(3), now);
        let (covered, told) = traffic.told(now);
        assert_eq!(covered, Duration::from_secs(5));
        let [search, list] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((search.method, search.calls, search.failures.len()), ("search", 100, 0));
        let near = |found: Duration, wanted: u64| found.abs_diff(ms(wanted)) <= ms(wanted) / 100;
        assert!(near(search.p50, 50) && near(search.p99, 99), "{search:?}");
        assert_eq!((list.calls, &list.failures), (1, &BTreeMap::from([("NOT_FOUND", 1)])));
    }

    #[test]
    fn calls_of_more_than_a_minute_ago_are_forgotten_little_by_little() {
        let traffic = Traffic::default();
        let at = |seconds| traffic.started + Duration::from_secs(seconds);
        for second in 0..300 {
            traffic.ended("search", OK, ms(1), at(second));
        }
        for second in [300, 304, 309] {
            let (covered, told) = traffic.told(at(second));
            assert!((60..=70).contains(&covered.as_secs()), "{covered:?}");
            assert!(told[0].calls.abs_diff(covered.as_secs()) <= 10, "{told:?} in {covered:?}");
        }
        let (covered, told) = traffic.told(at(1000));
        assert_eq!((covered, told), (Duration::from_secs(60), Vec::new()));
    }

    #[test]
    fn a_time_beyond_all_bounds_is_one_as_well() {
        let traffic = Traffic::default();
        traffic.ended("watch", "CANCELLED", Duration::MAX, traffic.started);
        assert_eq!(traffic.told(traffic.started).1[0].calls, 1);
    }
}
