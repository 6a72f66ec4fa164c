//! Whose turn it is in a stream: a caller that waits for the server is not waited for.

use std::time::Duration;
use tokio::time::Instant;

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
    pub(super) fn begin(&mut self) {
        self.works += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    pub(super) fn end(&mut self) {
        self.works = self.works.saturating_sub(1);
        if self.works == 0 {
            self.before = self.worked();
            self.since = None;
        }
    }

    /// The time until now. Works at the same time count once.
    pub(super) fn worked(&self) -> Duration {
        self.before + self.since.as_ref().map_or(Duration::ZERO, Instant::elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn works_at_the_same_time_count_once() {
        tokio::time::pause();
        let (mut turn, second) = (Turn::default(), Duration::from_secs(1));
        turn.begin();
        tokio::time::advance(second).await;
        turn.begin();
        tokio::time::advance(second).await;
        turn.end();
        tokio::time::advance(second).await;
        assert_eq!(turn.worked(), 3 * second);
        turn.end();
        tokio::time::advance(second).await;
        assert_eq!(turn.worked(), 3 * second, "it is the caller's turn");
        turn.begin();
        tokio::time::advance(second).await;
        assert_eq!(turn.worked(), 4 * second);
    }
}
