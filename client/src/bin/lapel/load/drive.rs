//! Sends requests at a pace and takes the times of the answers.

use super::mix::{Kind, Material, Mix, Ready};
use super::pace::Pace;
use super::step::{Step, times};
use indicatif::ProgressBar;
use lapel_client::Client;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};

/// Requests that may be under way in an open loop; past them the tester itself is in the way, and says so.
const UNDER_WAY_MAX: usize = 10_000;
/// What became of a request that was due while so many were under way.
const NOT_SENT: &str = "not sent: 10,000 were under way";

/// What sends requests.
pub(super) struct Drive {
    pub(super) clients: Vec<Client>,
    pub(super) material: Material,
    pub(super) mix: Mix,
    pub(super) deadline: Duration,
    pub(super) seed: u64,
    pub(super) bar: ProgressBar,
    /// Numbers of the items that were ingested.
    pub(super) ingested: Vec<u64>,
}

/// One request: its kind, from when on its time counts, how long that was, and what came.
struct Answer {
    kind: Kind,
    took: Duration,
    code: Code,
}

impl Drive {
    /// Sends requests for some time and waits for what is under way then.
    pub(super) async fn run(&mut self, pace: Pace, time: Duration) -> Step {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        self.seed += 1;
        let bar_from = self.bar.position();
        let mut step = Step {
            pace,
            offered: 0.0,
            seconds: 0.0,
            statuses: BTreeMap::new(),
            times: times(),
            kinds: BTreeMap::new(),
        };
        let (start, mut under_way, mut sent) = (Instant::now(), JoinSet::new(), 0u64);
        while start.elapsed() < time {
            let due = match pace {
                Pace::Open(rate) => {
                    let due = start + Duration::from_secs_f64(sent as f64 / rate);
                    tokio::time::sleep_until(due.into()).await;
                    due
                }
                Pace::Closed(count) => {
                    if under_way.len() >= count {
                        take(under_way.join_next().await.as_ref(), &mut step);
                    }
                    Instant::now()
                }
            };
            while let Some(answered) = under_way.try_join_next() {
                take(Some(&answered), &mut step);
            }
            self.bar.set_position(bar_from + (start.elapsed().as_millis() / 100) as u64);
            sent += 1;
            if under_way.len() >= UNDER_WAY_MAX {
                *step.statuses.entry(NOT_SENT.into()).or_insert(0) += 1;
                continue;
            }
            let kind = self.mix.draw(&mut rng);
            let number = self.seed << 32 | sent;
            let ready = self.material.ready(kind, number, &mut rng);
            if kind == Kind::Ingest {
                self.ingested.push(number);
            }
            let client = self.clients[sent as usize % self.clients.len()].clone();
            let deadline = self.deadline;
            under_way.spawn(async move {
                let answered = send(client, ready, deadline).await;
                Answer { kind, took: due.elapsed(), code: answered.err().map_or(Code::Ok, |s| s.code()) }
            });
        }
        step.offered = match pace {
            Pace::Open(rate) => rate,
            Pace::Closed(_) => sent as f64 / start.elapsed().as_secs_f64(),
        };
        // Those that are under way count too, and so does the time that they take.
        while let Some(answered) = under_way.join_next().await {
            take(Some(&answered), &mut step);
        }
        step.seconds = start.elapsed().as_secs_f64();
        step
    }

    /// Deletes what was ingested.
    pub(super) async fn clean_up(&mut self) -> anyhow::Result<()> {
        Material::clean_up(&mut self.clients[0], &self.ingested).await
    }
}

/// A task that ended without an answer panicked, and has said so.
fn take(answered: Option<&Result<Answer, tokio::task::JoinError>>, step: &mut Step) {
    let Some(Ok(Answer { kind, took, code })) = answered else { return };
    let name = match code {
        Code::Ok => "OK".to_owned(),
        code => format!("{code:?}"),
    };
    *step.statuses.entry(name).or_insert(0) += 1;
    if *code == Code::Ok {
        let micros = took.as_micros() as u64;
        for times in [&mut step.times, step.kinds.entry(*kind).or_insert_with(times)] {
            // It grows as needed; no time here is longer than it can hold.
            let _ = times.record(micros);
        }
    }
}

async fn send(mut client: Client, ready: Ready, deadline: Duration) -> Result<(), Status> {
    match ready {
        Ready::Describe(request) => client.search.describe(within(request, deadline)).await.map(drop),
        Ready::Search(request) => client.search.search(within(request, deadline)).await.map(drop),
        Ready::Personalise(request) => client.feedback.personalise(within(request, deadline)).await.map(drop),
        Ready::Ingest(request) => {
            let stream = within(tokio_stream::iter([request]), deadline);
            let results = client.catalog.upsert_items(stream).await?.into_inner().results;
            match results.into_iter().find_map(|result| result.error) {
                Some(error) => Err(Status::unknown(error.message)),
                None => Ok(()),
            }
        }
    }
}

fn within<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}
