//! What a request spends its time on, noted where it is spent and read by whoever records the request.

use std::fmt::Write;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A part of a request's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// From bytes to a canvas, waiting for a decoder included.
    Decode,
    /// In the model's queue and in the model.
    Model,
    /// The search itself, waiting for its turn included.
    Search,
    /// Waiting for a commit, and the commit.
    Commit,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Model => "model",
            Self::Search => "search",
            Self::Commit => "commit",
        }
    }
}

/// The notes of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stages(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    parts: Vec<Part>,
    plan: Option<String>,
}

/// One stay in a stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) stage: Stage,
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "traces alone tell it"))]
    pub(crate) start: Instant,
    pub(crate) time: Duration,
}

tokio::task_local! {
    static PRESENT: Stages;
}

impl Stages {
    /// Runs a request's future, whose notes go here.
    pub(crate) async fn of<F: Future>(&self, request: F) -> F::Output {
        PRESENT.scope(self.clone(), request).await
    }

    /// Every stay in a stage, in the order in which they ended.
    pub(crate) fn parts(&self) -> Vec<Part> {
        self.lock(|notes| notes.parts.clone())
    }

    /// Time by stage; what ran at the same time is added up.
    pub(crate) fn times(&self) -> Vec<(Stage, Duration)> {
        self.sums().into_iter().map(|(stage, time, _)| (stage, time)).collect()
    }

    /// Time by stage, with the number of stays that it is the sum of.
    fn sums(&self) -> Vec<(Stage, Duration, usize)> {
        let mut parts = self.parts();
        parts.sort_by_key(|part| part.stage);
        let mut sums: Vec<(Stage, Duration, usize)> = Vec::new();
        for Part { stage, time, .. } in parts {
            match sums.last_mut() {
                Some((last, sum, stays)) if *last == stage => {
                    *sum += time;
                    *stays += 1;
                }
                Some(_) | None => sums.push((stage, time, 1)),
            }
        }
        sums
    }

    /// The times in words, e.g. `decode 210.4 ms in 64 parts, model 14.0 ms`: parts run side by side, so their sum may
    /// exceed what the request took.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (stage, time, stays) in self.sums() {
            let separator = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{separator}{} {:.1} ms", stage.name(), 1e3 * time.as_secs_f64());
            if stays > 1 {
                let _ = write!(text, " in {stays} parts");
            }
        }
        text
    }

    /// The plan of the last search.
    pub(crate) fn plan(&self) -> Option<String> {
        self.lock(|notes| notes.plan.clone())
    }

    fn lock<T>(&self, on: impl FnOnce(&mut Notes) -> T) -> T {
        // Notes are pushed whole.
        on(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Notes how long a part of the present request takes; without a request it only runs it.
pub(crate) async fn timed<F: Future>(stage: Stage, part: F) -> F::Output {
    let start = Instant::now();
    let output = part.await;
    let part = Part { stage, start, time: start.elapsed() };
    let _ = PRESENT.try_with(|stages| stages.lock(|notes| notes.parts.push(part)));
    output
}

/// A part of the present request that runs on a task of its own.
pub(crate) fn carried<F: Future>(part: F) -> impl Future<Output = F::Output> {
    let stages = PRESENT.try_with(Clone::clone).unwrap_or_default();
    async move { stages.of(part).await }
}

/// Notes the plan of a search.
pub(crate) fn planned(plan: impl FnOnce() -> String) {
    let _ = PRESENT.try_with(|stages| stages.lock(|notes| notes.plan = Some(plan())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_are_noted_for_their_request_alone() {
        let (one, two) = (Stages::default(), Stages::default());
        let request = |plan: &'static str| async move {
            timed(Stage::Search, async {}).await;
            let decoding = tokio::spawn(carried(timed(Stage::Decode, async {})));
            decoding.await.expect("no panic");
            timed(Stage::Search, async {}).await;
            planned(|| plan.to_owned());
        };
        tokio::join!(one.of(request("a")), two.of(request("b")), request("nobody's"));
        assert_eq!(one.times().iter().map(|(s, _)| *s).collect::<Vec<_>>(), [Stage::Decode, Stage::Search]);
        assert_eq!((one.plan(), two.plan()), (Some("a".into()), Some("b".into())));
        let text = one.text();
        assert!(text.starts_with("decode 0.0 ms, ") && text.ends_with(" ms in 2 parts"), "{text}");
    }
}
