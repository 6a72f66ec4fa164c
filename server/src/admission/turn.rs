//! Whose turn it is in a stream: a caller that waits for the server is not waited for.

use std::time::{Duration, Instant};

/// The time in which the server works on what a stream brought, while its caller waits or is not listened to.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Works that go on.
    works: usize,
    /// When the first of them began.
    since: Option<Instant>,
    /// The time of those that have ended.
    before: Duration,
}

impl Turn {
    pub(super) fn begin(&mut self, now: Instant) {
        self.works += 1;
        self.since.get_or_insert(now);
    }

    pub(super) fn end(&mut self, now: Instant) {
        self.works = self.works.saturating_sub(1);
        if self.works == 0 {
            self.before = self.worked(now);
            self.since = None;
        }
    }

    /// The time until `now`. Works at the same time count once.
    pub(super) fn worked(&self, now: Instant) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works_at_the_same_time_count_once() {
        let (mut turn, second, start) = (Turn::default(), Duration::from_secs(1), Instant::now());
        turn.begin(start);
        turn.begin(start + second);
        turn.end(start + 2 * second);
        assert_eq!(turn.worked(start + 3 * second), 3 * second);
        turn.end(start + 3 * second);
        assert_eq!(turn.worked(start + 4 * second), 3 * second, "it is the caller's turn");
        turn.begin(start + 4 * second);
        assert_eq!(turn.worked(start + 5 * second), 4 * second);
    }
}
