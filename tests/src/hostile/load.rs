//! The good searches: an open loop, so that a slow answer makes no later search wait to be sent, and its time counts from
//! when the search was due.

use crate::{by_image, by_item};
use hdrhistogram::Histogram;
use lapel_client::Client;
use lapel_render::{render, to_jpeg};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

/// Connections that the searches share.
const CONNECTIONS: u64 = 4;
/// Photos that they ask with.
const PHOTOS: u64 = 16;
/// Results of a search.
const K: u32 = 10;
/// What comes later has failed.
const DEADLINE: Duration = Duration::from_secs(10);

/// How a search is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By an item of the catalogue.
    Item,
    /// By a photo.
    Photo,
    /// By an item, on a connection of its own.
    Newcomer,
}

impl Way {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Item, Self::Photo, Self::Newcomer];

    /// For reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Item => "by item",
            Self::Photo => "by photo",
            Self::Newcomer => "newly connected",
        }
    }

    /// In a hundred searches ten are by photo and five on a new connection.
    fn of(number: u64) -> Self {
        match number % 20 {
            0 => Self::Newcomer,
            1 | 11 => Self::Photo,
            _ => Self::Item,
        }
    }
}

/// What became of good searches.
#[derive(Debug)]
pub struct Answers {
    /// Microseconds of those that were answered.
    pub all: Histogram<u64>,
    /// The same by [`Way`], in the order of [`Way::ALL`].
    pub by_way: [Histogram<u64>; 3],
    /// The others, by what they were told.
    pub failed: BTreeMap<String, u64>,
}

impl Answers {
    fn new() -> Self {
        let times = || Histogram::new(3).expect("three digits can be kept");
        Self { all: times(), by_way: [times(), times(), times()], failed: BTreeMap::new() }
    }

    fn note(&mut self, Ended { way, took, outcome }: Ended) {
        if let Err(told) = outcome {
            println!("{} failed after {took:.1?}: {told}", way.name());
            *self.failed.entry(told).or_default() += 1;
            return;
        }
        for times in [&mut self.all, &mut self.by_way[way as usize]] {
            times.record(took.as_micros() as u64).expect("it grows");
        }
    }
}

/// One search, and how long after it was due it ended.
struct Ended {
    way: Way,
    took: Duration,
    outcome: Result<(), String>,
}

/// What sends good searches.
pub(super) struct Load {
    address: String,
    clients: Vec<Client>,
    photos: Vec<Vec<u8>>,
    items: u64,
    rate: f64,
}

impl Load {
    /// Searches of a catalogue of the items `g0`, `g1` and so on, at so many a second.
    pub(super) async fn new(address: &str, items: u64, rate: f64) -> Self {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(Client::connect(address).await.expect("connects"));
        }
        let photos = (0..PHOTOS).map(|n| to_jpeg(&render(8, n).photo)).collect();
        Self { address: address.to_owned(), clients, photos, items, rate }
    }

    /// Sends searches for some time, and waits for their ends.
    pub(super) async fn run(self: &Arc<Self>, time: Duration) -> Answers {
        let (mut searches, mut answers) = (JoinSet::new(), Answers::new());
        let mut next = interval(Duration::from_secs_f64(1.0 / self.rate));
        for number in 0..(self.rate * time.as_secs_f64()) as u64 {
            let due = next.tick().await;
            let load = self.clone();
            searches.spawn(async move {
                let way = Way::of(number);
                let search = timeout(DEADLINE, load.search(way, number)).await;
                let outcome = search.unwrap_or_else(|_| Err(format!("no answer in {DEADLINE:?}")));
                Ended { way, took: due.elapsed(), outcome }
            });
            while let Some(ended) = searches.try_join_next() {
                answers.note(ended.expect("no search panics"));
            }
        }
        searches.join_all().await.into_iter().for_each(|ended| answers.note(ended));
        answers
    }

    async fn search(&self, way: Way, number: u64) -> Result<(), String> {
        let mut client = match way {
            Way::Newcomer => {
                Client::connect(&self.address).await.map_err(|error| format!("no connection: {error}"))?
            }
            Way::Item | Way::Photo => self.clients[(number % CONNECTIONS) as usize].clone(),
        };
        let search = match way {
            Way::Photo => by_image(self.photos[(number / 10 % PHOTOS) as usize].clone(), K),
            Way::Item | Way::Newcomer => by_item(&format!("g{}", number % self.items), K),
        };
        let answer = client.search.search(search).await;
        let answer = answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))?;
        match answer.into_inner().results.len() {
            found if found == K as usize => Ok(()),
            found => Err(format!("{found} results of {K}")),
        }
    }
}
