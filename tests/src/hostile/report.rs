//! What a run found, and whether that is as it must be.

use super::crowd::{Deeds, Kind};
use super::load::{Answers, Way};
use super::observer::State;
use hdrhistogram::Histogram;
use std::fmt;
use std::time::Duration;

/// Beside strangers the 99th percentile may be so many times what it is without them.
const P99_FACTOR_MAX: f64 = 2.0;
/// A percentile below this is noise on any machine, and counts as this much, in milliseconds.
const P99_FLOOR_MS: f64 = 5.0;

/// What a run found.
#[derive(Debug)]
pub struct Report {
    /// Good searches alone.
    pub alone: Answers,
    /// Good searches beside the strangers.
    pub beside: Answers,
    /// Good searches after they left.
    pub after: Answers,
    /// What the strangers did.
    pub deeds: Vec<(Kind, Deeds)>,
    /// The server before they came.
    pub before: State,
    /// Memory that it might have while they were there.
    pub memory_mib_max: f64,
    /// Memory that it had.
    pub memory_mib_most: f64,
    /// The server at the end.
    pub state: State,
    /// How long after they left it was as before; `None` where it was not in time.
    pub back: Option<Duration>,
}

impl Report {
    fn phases(&self) -> [(&'static str, &Answers); 3] {
        [("alone", &self.alone), ("beside strangers", &self.beside), ("after them", &self.after)]
    }

    /// What is not as it must be, but for the time that answers took.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (phase, answers) in self.phases() {
            let failed = answers.failed.iter();
            faults
                .extend(failed.map(|(told, count)| format!("{phase}: {count} good searches failed: {told}")));
        }
        if self.memory_mib_most > self.memory_mib_max {
            let Self { memory_mib_most, memory_mib_max, .. } = self;
            faults.push(format!("{memory_mib_most:.0} MiB of memory; at most {memory_mib_max:.0}"));
        }
        if self.back.is_none() {
            faults.push(format!("not back to normal: {:?} after {:?}", self.state, self.before));
        }
        for (kind, deeds) in &self.deeds {
            let name = kind.name();
            if deeds.begun == 0 {
                faults.push(format!("{name}: none came"));
            }
            if matches!(kind, Kind::Oversized | Kind::Malformed) && deeds.answered > 0 {
                faults.push(format!("{name}: {} were answered as if they were sound", deeds.answered));
            }
        }
        faults
    }

    /// Says so where good searches were too slow beside the strangers.
    #[must_use]
    pub fn slow(&self) -> Option<String> {
        let most = P99_FACTOR_MAX * ms(&self.alone.all, 0.99).max(P99_FLOOR_MS);
        let found = ms(&self.beside.all, 0.99);
        (found > most)
            .then(|| format!("p99 of good searches {found:.1} ms beside strangers; at most {most:.1}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:34} answered  failed   p50 ms   p90 ms   p99 ms  most ms", "good searches")?;
        for (phase, answers) in self.phases() {
            let failed: u64 = answers.failed.values().sum();
            row(f, phase, &answers.all, &failed.to_string())?;
            for (way, times) in Way::ALL.iter().zip(&answers.by_way) {
                row(f, &format!("  {}", way.name()), times, "")?;
            }
        }
        writeln!(f, "\n{:34}    begun  answered  refused     left", "strangers")?;
        for (kind, Deeds { begun, answered, refused, left }) in &self.deeds {
            writeln!(f, "{:34} {begun:8}  {answered:8} {refused:8} {left:8}", kind.name())?;
        }
        let Self { before, memory_mib_most, memory_mib_max, state, .. } = self;
        writeln!(f, "\n{:34}   before     most  allowed   at the end", "server")?;
        let (first, last) = (before.memory_mib, state.memory_mib);
        writeln!(
            f,
            "{:34} {first:8.0} {memory_mib_most:8.0} {memory_mib_max:8.0} {last:12.0}",
            "memory MiB"
        )?;
        writeln!(f, "{:34} {:8} {:30}", "sockets", before.sockets, state.sockets)?;
        writeln!(f, "{:34} {:8} {:30}", "requests in flight", before.in_flight, state.in_flight)?;
        match self.back {
            Some(time) => write!(f, "as before {:.1} s after they left", time.as_secs_f64()),
            None => write!(f, "not as before"),
        }
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, times: &Histogram<u64>, failed: &str) -> fmt::Result {
    let [p50, p90, p99, most] = [0.5, 0.9, 0.99, 1.0].map(|part| ms(times, part));
    let answered = times.len();
    writeln!(f, "{name:34} {answered:8} {failed:>7} {p50:8.1} {p90:8.1} {p99:8.1} {most:8.1}")
}

/// Milliseconds within which a part of times lie.
fn ms(times: &Histogram<u64>, part: f64) -> f64 {
    times.value_at_quantile(part) as f64 / 1e3
}
