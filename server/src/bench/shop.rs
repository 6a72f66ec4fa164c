//! What a shop asks besides likeness: ranges, trees of conditions, one result a product, counts, what is attainable.

use super::measure::{Narrow, Outcome, Regime, measure, ms, one, percentile, solve};
use super::report;
use super::set::{head_name, label_name};
use crate::catalogue::Snapshot;
use crate::search::{Grouping, Planner};
use crate::store::{FieldValue, Fields};
use lapel_search::{FacetOf, Filter};
use lapel_values::Finite;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::hint::black_box;
use std::ops::Bound;
use std::time::Instant;

/// Items of a product.
const PRODUCT: usize = 5;
/// Brands and countries; those of low numbers are frequent.
const BRANDS: u32 = 50;
const COUNTRIES: u32 = 12;
/// Items without a price: one in so many.
const UNPRICED: u32 = 50;
/// Labels and fields that are counted together.
const FACETS: usize = 20;
/// Values that a count returns.
const VALUES: usize = 20;
/// Each count is made so many times.
const TIMES: usize = 20;

fn number(value: f64) -> FieldValue {
    Finite::new(value).map_or(FieldValue::Integer(0), FieldValue::Number)
}

/// The fields of an item: as many as a shop filters and counts by.
pub(super) fn fields(at: usize) -> Fields {
    let mut rng = ChaCha8Rng::seed_from_u64(at as u64 ^ 0x5eed);
    let keyword = |name: &str, of: u32| FieldValue::Keyword(format!("{name}{of:02}"));
    // The square makes low numbers frequent.
    let ranked = |rng: &mut ChaCha8Rng, of: u32| (f64::from(of) * rng.random::<f64>().powi(2)) as u32;
    let mut fields = Fields::from([
        ("product".to_owned(), FieldValue::Integer((at / PRODUCT) as i64)),
        ("in_stock".to_owned(), FieldValue::Boolean(rng.random_bool(0.8))),
        ("stock".to_owned(), FieldValue::Integer(i64::from(ranked(&mut rng, 500)))),
        ("brand".to_owned(), keyword("brand", ranked(&mut rng, BRANDS))),
        ("season".to_owned(), keyword("season", rng.random_range(0..4))),
        ("size".to_owned(), keyword("size", ranked(&mut rng, 9))),
        ("supplier".to_owned(), keyword("supplier", ranked(&mut rng, 200))),
        ("rating".to_owned(), FieldValue::Integer(rng.random_range(1..=5))),
        ("sale".to_owned(), FieldValue::Boolean(rng.random_bool(0.1))),
        ("added".to_owned(), FieldValue::Timestamp(1_600_000_000_000_000 + at as i64 * 60_000_000)),
    ]);
    let countries = (0..3).map(|_| format!("country{:02}", ranked(&mut rng, COUNTRIES))).collect();
    fields.insert("countries".to_owned(), FieldValue::Keywords(countries));
    if !rng.random_ratio(1, UNPRICED) {
        fields.insert("price".to_owned(), number(rng.random_range(0.0..100.0)));
    }
    fields
}

fn below(most: f64) -> Filter {
    Filter::Range { field: "price".into(), from: Bound::Unbounded, to: Bound::Excluded(number(most)) }
}

/// In stock, below half of the prices, sent to one of two countries: about a quarter pass.
fn tree() -> Filter {
    let countries = ["country00", "country01"].map(|name| FieldValue::Keyword(name.into()));
    Filter::All(vec![
        Filter::Field { field: "in_stock".into(), any_of: vec![FieldValue::Boolean(true)] },
        below(50.0),
        Filter::Any(vec![
            Filter::Field { field: "countries".into(), any_of: countries.into() },
            Filter::None(vec![Filter::HasField { field: "price".into() }]),
        ]),
    ])
}

/// Measures all of it and prints tables; the regimes' true answers are others afterwards.
pub(super) fn run(snapshot: &Snapshot, planner: &Planner, regimes: &mut [Regime]) {
    let all = Narrow::default();
    let grouping = Some(Grouping { field: "product".into(), results_max: 1 });
    let narrowed = [
        ("a range that 50 % pass", Narrow::to(below(51.0))),
        ("a range that 5 % pass", Narrow::to(below(5.1))),
        ("a range that 0.1 % pass", Narrow::to(below(0.102))),
        ("a tree of three conditions", Narrow::to(tree())),
        ("groups of 5", Narrow { filter: Filter::default(), grouping: grouping.clone() }),
        ("groups of 5 within the tree", Narrow { filter: tree(), grouping }),
    ];
    for (title, narrow) in narrowed {
        solve(snapshot, planner, regimes, &narrow);
        // Right beside it: what else the machine does changes from minute to minute.
        let plain = p50(&measure(snapshot, planner, regimes, &all));
        let outcomes = measure(snapshot, planner, regimes, &narrow);
        let share = snapshot.items().count(&narrow.filter) as f64 / snapshot.items().len() as f64;
        report::table(&format!("{title} ({:.2} % pass)", share * 100.0), &outcomes);
        println!("p50 of all queries: {:.2} times that without", p50(&outcomes) / plain);
    }
    counts(snapshot);
    attainable(snapshot, planner, regimes);
}

fn p50(outcomes: &[Outcome]) -> f64 {
    percentile(&report::all_ms(outcomes), 0.5)
}

/// The median of some runs, milliseconds.
fn median(mut work: impl FnMut()) -> f64 {
    let run = |_| {
        let start = Instant::now();
        work();
        ms(start)
    };
    let mut times: Vec<f64> = (0..TIMES).map(run).collect();
    times.sort_by(f64::total_cmp);
    percentile(&times, 0.5)
}

fn counts(snapshot: &Snapshot) {
    let items = snapshot.items();
    println!();
    for (title, filter) in [
        ("all", Filter::default()),
        ("a range that 50 % pass", below(51.0)),
        ("a range that 5 % pass", below(5.1)),
        ("the tree", tree()),
    ] {
        let count = median(|| {
            black_box(items.count(&filter));
        });
        let facets = facets(snapshot);
        let all = median(|| {
            let passing = items.passing(&filter);
            let counter = items.facets(passing.as_ref());
            for facet in &facets {
                black_box(counter.count(facet, VALUES));
            }
        });
        let product = FacetOf::Field { field: "brand".into(), bounds: Vec::new() };
        let one = median(|| {
            black_box(items.facets(items.passing(&filter).as_ref()).count(&product, VALUES));
        });
        println!(
            "{title}: count {count:.3} ms, {} facets {all:.3} ms, the facet of brands {one:.3} ms",
            facets.len()
        );
    }
}

/// Labels of the heads first, then fields.
fn facets(snapshot: &Snapshot) -> Vec<FacetOf> {
    let prices = [10.0, 20.0, 30.0, 50.0, 75.0].map(number);
    let dates =
        [1, 2, 3].map(|part| FieldValue::Timestamp(1_600_000_000_000_000 + part * 10_000_000_000_000));
    let stock = [1, 10, 100].map(FieldValue::Integer);
    let ordered = [("price", prices.to_vec()), ("added", dates.to_vec()), ("stock", stock.to_vec())];
    let words = ["in_stock", "brand", "season", "size", "supplier", "sale", "countries"];
    let field = |field: &str, bounds| FacetOf::Field { field: field.to_owned(), bounds };
    let attributes = snapshot.items().labels().map(|(name, _)| FacetOf::Attribute(name.clone()));
    let of_fields = ordered.into_iter().map(|(name, bounds)| field(name, bounds));
    let of_words = words.into_iter().map(|name| field(name, Vec::new()));
    attributes.chain(of_fields).chain(of_words).take(FACETS).collect()
}

/// What an answer about the attainable costs a search with two edits that rarely occur together, and one with all.
fn attainable(snapshot: &Snapshot, planner: &Planner, regimes: &[Regime]) {
    let heads = snapshot.columns().len();
    let wanted: Vec<(String, String)> =
        (0..heads).map(|head| (head_name(head), label_name((head * 5 + 3) % 16))).collect();
    let wanted: Vec<(&str, &str)> = wanted.iter().map(|(head, label)| (&**head, &**label)).collect();
    for filter in [Filter::default(), tree()] {
        let passing = snapshot.items().passing(&filter);
        for count in [heads.min(2), heads] {
            let attained = snapshot.items().attainable(passing.as_ref(), &wanted[..count]);
            let took = median(|| {
                black_box(snapshot.items().attainable(passing.as_ref(), &wanted[..count]));
            });
            println!(
                "{count} wanted labels: {} items have all, {} ways to give some up, {took:.3} ms",
                attained.together,
                attained.kept.len()
            );
        }
    }
    let edited = regimes.iter().filter(|regime| regime.edits > 0).flat_map(|regime| &regime.queries);
    let mut times: Vec<f64> = edited
        .map(|query| {
            let start = Instant::now();
            one(snapshot, planner, query.request(10, &Narrow::default(), None));
            ms(start)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("searches with edits, with what is attainable: p50 {:.3} ms", percentile(&times, 0.5));
}
