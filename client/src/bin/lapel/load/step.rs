//! What one measurement found.

use super::mix::Kind;
use super::pace::Pace;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Times of answers, in microseconds.
pub(super) type Times = Histogram<u64>;

/// With three digits.
pub(super) fn times() -> Times {
    let Ok(times) = Histogram::new(3) else { unreachable!("three digits can be kept") };
    times
}

/// One measurement.
pub(super) struct Step {
    pub(super) pace: Pace,
    /// Requests a second that were sent, or should have been.
    pub(super) offered: f64,
    /// From the first request to the last answer that counts.
    pub(super) seconds: f64,
    /// Requests by what became of them.
    pub(super) statuses: BTreeMap<String, u64>,
    /// Times of those that were answered.
    pub(super) times: Times,
    pub(super) kinds: BTreeMap<Kind, Times>,
}

impl Step {
    /// Good answers a second.
    pub(super) fn answered(&self) -> f64 {
        self.times.len() as f64 / self.seconds
    }

    /// Milliseconds within which a part of the answers came.
    pub(super) fn ms(&self, part: f64) -> f64 {
        ms(&self.times, part)
    }

    pub(super) fn to_json(&self) -> Value {
        let latency = |times: &Times| {
            json!({
                "p50": ms(times, 0.5), "p90": ms(times, 0.9), "p99": ms(times, 0.99),
                "p999": ms(times, 0.999), "max": ms(times, 1.0),
            })
        };
        let kinds = self.kinds.iter().map(|(kind, times)| {
            (kind.name().to_owned(), json!({ "answers": times.len(), "latency_ms": latency(times) }))
        });
        json!({
            "pace": self.pace.to_string(),
            "offered_per_second": self.offered,
            "answered_per_second": self.answered(),
            "seconds": self.seconds,
            "statuses": self.statuses,
            "latency_ms": latency(&self.times),
            "kinds": kinds.collect::<serde_json::Map<_, _>>(),
        })
    }
}

/// Milliseconds within which a part of times lie.
pub(super) fn ms(times: &Times, part: f64) -> f64 {
    times.value_at_quantile(part) as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_length_keep_three_digits() {
        let mut times = times();
        for micros in [1, 1_500, 2_000_000, 900_000_000] {
            times.record(micros).expect("it grows");
        }
        assert!((ms(&times, 0.5) - 1.5).abs() < 0.01, "{}", ms(&times, 0.5));
        assert!((ms(&times, 1.0) - 900_000.0).abs() < 1_000.0, "{}", ms(&times, 1.0));
    }
}
