//! Measures how many durable updates of fields a second a server takes, and what they cost the searches beside them.

use clap::Parser;
use futures_util::{Stream, StreamExt, future, stream};
use lapel_client::{Client, v1};
use lapel_tests::steady::{Searches, ask, print_beside};
use lapel_tests::{ChildServer, by_item, external_bundle, settled};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Numbers of a signature.
const DIM: usize = 64;
/// Updates of one stream: as many as the server takes in one.
const STREAM: u64 = 10_000;
const LABELS: [&str; 4] = ["red", "blue", "green", "grey"];

#[derive(Parser)]
struct Options {
    /// Items of the catalogue.
    #[arg(long, default_value_t = 100_000)]
    items: u64,
    /// Heads, each with signatures of its own.
    #[arg(long, default_value_t = 6)]
    heads: usize,
    /// Streams of updates at a time.
    #[arg(long, default_value_t = 2)]
    streams: u64,
    /// Searches a second.
    #[arg(long, default_value_t = 50)]
    rate: u64,
    /// Updates a second that are sent beside the searches; 0: as fast as they are taken.
    #[arg(long, default_value_t = 20_000)]
    updates: u64,
    /// Windows without updates, and as many with them.
    #[arg(long, default_value_t = 4)]
    windows: usize,
    /// Seconds of a window.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = std::env::current_exe().expect("a path").with_file_name("lapel-child-server");
    let mut server = ChildServer::start(&program.to_string_lossy(), folder.path(), &[] as &[String]).await;
    for head in 0..options.heads {
        let bundle = external_bundle(&name(head), DIM, &LABELS);
        server.client.register_bundle(&bundle).await.expect("registered");
        settled(&mut server.client, &name(head)).await;
    }
    ingest(&server.client, &options).await;
    let (alone, seconds) = update(&server, &options, 0, Duration::from_secs(options.seconds)).await;
    println!("without searches: {:.0} durable updates a second", alone as f64 / seconds);
    let mut searches: [Searches; 2] = Default::default();
    let (mut updates, mut time) = (0, 0.0);
    for window in 0..options.windows * 2 {
        let length = Duration::from_secs(options.seconds);
        let busy = window % 2 == 1;
        let updating =
            async { if busy { update(&server, &options, options.updates, length).await } else { (0, 0.0) } };
        let request = |number| search(number, options.items);
        let asking = ask(&server.address, options.rate, request, tokio::time::sleep(length));
        let ((taken, took), found) = tokio::join!(updating, asking);
        searches[usize::from(busy)].add(found);
        (updates, time) = (updates + taken, time + took);
    }
    println!("beside searches: {:.0} durable updates a second", updates as f64 / time);
    let [alone, beside] = searches;
    print_beside("updates", &alone, &beside);
}

fn name(head: usize) -> String {
    format!("head{head}")
}

fn id(number: u64) -> String {
    format!("item{number:08}")
}

/// Numbers that look random and are the same for the same item.
fn values(item: u64, head: u64) -> Vec<f32> {
    let mut state = item.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (head + 1).wrapping_mul(0xd1b5_4a32_d192_ed03);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..DIM).map(|_| next()).collect()
}

fn price(number: f64) -> v1::FieldValue {
    v1::FieldValue { kind: Some(v1::field_value::Kind::Number(number)) }
}

fn fields(round: u64, number: u64) -> BTreeMap<String, v1::FieldValue> {
    let boolean =
        v1::FieldValue { kind: Some(v1::field_value::Kind::Boolean(!(round + number).is_multiple_of(3))) };
    let price = price(((number * 37 + round * 11) % 10_000) as f64 / 100.0);
    BTreeMap::from([("price".to_owned(), price), ("in_stock".to_owned(), boolean)])
}

async fn ingest(client: &Client, options: &Options) {
    let start = Instant::now();
    for first in (0..options.items).step_by(STREAM as usize) {
        let item = |number: u64| v1::UpsertItemsRequest {
            id: id(number),
            labels: BTreeMap::from([(name(0), LABELS[(number % 4) as usize].to_owned())]),
            signatures: (0..options.heads)
                .map(|head| v1::Signature { head: name(head), values: values(number, head as u64) })
                .collect(),
            fields: fields(0, number),
            ..v1::UpsertItemsRequest::default()
        };
        let items = (first..(first + STREAM).min(options.items)).map(item).collect();
        let results = client.clone().upsert(items).await.expect("stored");
        assert!(results.iter().all(|result| result.error.is_none()), "{:?}", results.first());
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{} items in {seconds:.1} s, {:.0} a second", options.items, options.items as f64 / seconds);
}

/// Updates price and stock for a while, `rate` a second over all streams; how many were durable, and in how many seconds.
async fn update(server: &ChildServer, options: &Options, rate: u64, length: Duration) -> (u64, f64) {
    let (over, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let mut streams = tokio::task::JoinSet::new();
    for which in 0..options.streams {
        let mut client = Client::connect(&server.address).await.expect("connects");
        let (over, taken) = (over.clone(), taken.clone());
        let (items, every) = (options.items, options.streams);
        streams.spawn(async move {
            for round in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let first = Instant::now();
                let ended = over.clone();
                // Each item at most once a stream.
                let numbers = (0..STREAM).map(move |at| ((round * STREAM + at) * every + which) % items);
                let message = move |number: u64| v1::UpsertItemsStreamRequest {
                    item: Some(v1::UpsertItemsRequest {
                        id: id(number),
                        fields: fields(round + 1, number),
                        update_mask: Some(prost_types::FieldMask {
                            paths: vec!["fields.price".into(), "fields.in_stock".into()],
                        }),
                        ..v1::UpsertItemsRequest::default()
                    }),
                };
                let messages = when_due(numbers, rate / every, first, ended).map(message);
                let mut answers =
                    client.catalog.upsert_items_stream(messages).await.expect("begins").into_inner();
                while let Some(answer) = answers.next().await {
                    let results = answer.expect("stored").results;
                    assert!(results.iter().all(|result| result.error.is_none()), "{:?}", results.first());
                    taken.fetch_add(results.len() as u64, Ordering::Relaxed);
                }
            }
        });
    }
    tokio::time::sleep(length).await;
    over.store(true, Ordering::Relaxed);
    streams.join_all().await;
    (taken.load(Ordering::Relaxed), start.elapsed().as_secs_f64())
}

/// Numbers when they are due, `rate` a second, until it is over; 0: at once.
fn when_due(
    numbers: impl Iterator<Item = u64> + Send + 'static,
    rate: u64,
    first: Instant,
    over: Arc<AtomicBool>,
) -> impl Stream<Item = u64> + Send + 'static {
    stream::iter(numbers.enumerate())
        .then(move |(at, number)| {
            let due = (rate > 0).then(|| first + Duration::from_secs_f64(at as f64 / rate as f64));
            let over = over.clone();
            async move {
                // A hundred at a time: timers are no finer than a millisecond.
                if let Some(due) = due.filter(|_| at.is_multiple_of(100)) {
                    tokio::time::sleep_until(due.into()).await;
                }
                (!over.load(Ordering::Relaxed)).then_some(number)
            }
        })
        .take_while(|number| future::ready(number.is_some()))
        .filter_map(future::ready)
}

/// The `number`-th search: by an item, among those that cost less than 50.
fn search(number: u64, items: u64) -> v1::SearchRequest {
    let range = v1::FieldRange { lower: None, upper: Some(v1::field_range::Upper::Below(price(50.0))) };
    let condition = v1::FieldFilter {
        field: "price".into(),
        condition: Some(v1::field_filter::Condition::Range(range)),
        allow_unknown: false,
    };
    let filter = Some(v1::Filter { node: Some(v1::filter::Node::Field(condition)) });
    v1::SearchRequest { filter, ..by_item(&id(number * 7919 % items), 10) }
}
