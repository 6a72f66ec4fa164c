//! Recall and latency by regime, against the exact scan of the same queries.

use super::generate::Generator;
use super::regimes::WeightKind;
use super::set::{head_name, label_name};
use crate::catalogue::Snapshot;
use crate::error::Error;
use crate::search::{
    Edits, Grouping, Manipulation, PlanKind, Planner, QueryView, SearchAnswer, SearchSpec, Weighting,
    search_batch,
};
use lapel_heads::{Labels, distance};
use lapel_search::Filter;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::time::Instant;

/// Most manipulations of a regime.
const EDITS_MAX: usize = 2;
/// Picks that the picked weights come from.
const PICKS: usize = 3;
/// The two sizes of answers that are measured.
pub(super) const KS: [usize; 2] = [10, 100];

/// What all queries ask for besides likeness.
#[derive(Clone, Default)]
pub(super) struct Narrow {
    /// Items that may be returned.
    pub(super) filter: Filter,
    /// One result a group; all of its items are compared.
    pub(super) grouping: Option<Grouping>,
}

impl Narrow {
    /// Items that pass a filter.
    pub(super) fn to(filter: Filter) -> Self {
        Self { filter, grouping: None }
    }
}

/// One query of a regime.
#[derive(Clone)]
pub(super) struct BenchQuery {
    pub(super) vectors: BTreeMap<String, Vec<f32>>,
    pub(super) weights: BTreeMap<String, f64>,
    pub(super) edits: Edits,
    /// Distances of the true best, ascending.
    pub(super) exact: Vec<f64>,
    exact_ms: f64,
}

impl BenchQuery {
    pub(super) fn request(
        &self,
        k: usize,
        narrow: &Narrow,
        plan: Option<PlanKind>,
    ) -> (QueryView, SearchSpec) {
        let view = QueryView { vectors: self.vectors.clone(), labels: Labels::new() };
        let spec = SearchSpec {
            edits: self.edits.clone(),
            weighting: Weighting::Named { by_name: self.weights.clone(), only_named: true },
            filter: narrow.filter.clone(),
            grouping: narrow.grouping.clone(),
            k,
            plan,
            ..SearchSpec::default()
        };
        (view, spec)
    }
}

/// A kind of weights with a number of manipulations, and its queries.
pub(super) struct Regime {
    pub(super) kind: WeightKind,
    pub(super) edits: usize,
    pub(super) queries: Vec<BenchQuery>,
}

impl Regime {
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.kind.name(), self.edits)
    }
}

/// Draws `count` queries a regime: half of them new items, half items of the catalogue.
///
/// # Errors
/// When a label that an edit asks for is not there.
pub(super) fn regimes(
    generator: &Generator,
    snapshot: &Snapshot,
    planner: &Planner,
    count: usize,
) -> Result<Vec<Regime>, Error> {
    let shape = generator.shape();
    let mut rng = ChaCha8Rng::seed_from_u64(shape.seed ^ 3);
    let mut drawn = 0;
    let mut regimes = Vec::new();
    for kind in WeightKind::ALL {
        for edits in 0..=EDITS_MAX {
            let mut queries = Vec::with_capacity(count);
            for at in 0..count {
                let sample = generator.query(drawn);
                let picks: Vec<_> = (1..=PICKS).map(|pick| generator.query(drawn + pick)).collect();
                drawn += PICKS + 1;
                let vector = |sample: &super::generate::Sample, head: usize| {
                    sample.signatures[head].clone().unwrap_or_default()
                };
                let pair_sum = |head: usize| {
                    let vectors: Vec<_> = picks.iter().map(|pick| vector(pick, head)).collect();
                    let pairs = (0..PICKS).flat_map(|a| (0..a).map(move |b| (a, b)));
                    pairs.map(|(a, b)| f64::from(distance(&vectors[a], &vectors[b]))).sum()
                };
                let pair_sums: Vec<f64> = (0..shape.heads).map(pair_sum).collect();
                let mut vectors: BTreeMap<_, _> =
                    (0..shape.heads).map(|head| (head_name(head), vector(&sample, head))).collect();
                if at % 2 == 0 {
                    let slot = rng.random_range(0..shape.items) as u32;
                    for column in snapshot.columns() {
                        let stored = snapshot.signatures().column(column.key());
                        if let Some(own) = stored.and_then(|stored| stored.get(slot)) {
                            vectors.insert(column.head().name().to_owned(), own.into_owned());
                        }
                    }
                }
                let weights = kind.draw(shape.heads, &pair_sums, &mut rng);
                // An edit of a head that is given no weight is refused.
                let playing: Vec<usize> = (0..shape.heads).filter(|head| weights[*head] > 0.0).collect();
                let weights = weights.into_iter().enumerate().map(|(head, w)| (head_name(head), w)).collect();
                // Labels that have items: the frequent ones.
                let label = |rng: &mut ChaCha8Rng| label_name(rng.random_range(0..shape.labels.min(8)));
                let edited = rand::seq::index::sample(&mut rng, playing.len(), edits.min(playing.len()));
                let edits = edited
                    .into_iter()
                    .map(|at| Manipulation { attribute: head_name(playing[at]), label: label(&mut rng) })
                    .collect();
                let edits = Edits::resolve(snapshot, edits, planner.prototype_items_min)?;
                queries.push(BenchQuery { vectors, weights, edits, exact: Vec::new(), exact_ms: 0.0 });
            }
            regimes.push(Regime { kind, edits, queries });
        }
    }
    Ok(regimes)
}

/// What one regime reached.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Outcome {
    pub(super) regime: String,
    pub(super) recall_10: f64,
    pub(super) recall_100: f64,
    /// Milliseconds of each query for 10 results, ascending.
    #[serde(skip)]
    pub(super) ms: Vec<f64>,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p50_ms_100: f64,
    pub(super) exact_p50_ms: f64,
    /// Mean number of items rescored for 10 results.
    pub(super) rescored: f64,
    /// Queries by the plan that ran.
    pub(super) plans: BTreeMap<&'static str, usize>,
}

/// A value at a share of ascending numbers.
pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Finds the true answers of all queries.
pub(super) fn solve(snapshot: &Snapshot, planner: &Planner, regimes: &mut [Regime], narrow: &Narrow) {
    for query in regimes.iter_mut().flat_map(|regime| &mut regime.queries) {
        let request = query.request(KS[1], narrow, Some(PlanKind::ExactScan));
        let start = Instant::now();
        let answer = one(snapshot, planner, request);
        query.exact_ms = ms(start);
        query.exact = answer.map(|answer| distances(&answer)).unwrap_or_default();
    }
}

pub(super) fn one(
    snapshot: &Snapshot,
    planner: &Planner,
    request: (QueryView, SearchSpec),
) -> Option<SearchAnswer> {
    search_batch(snapshot, vec![request], planner, 1, &|| false).pop()?.ok()
}

/// Distances of the results, or of the best of each group.
fn distances(answer: &SearchAnswer) -> Vec<f64> {
    let of_groups = answer.groups.iter().flatten().filter_map(|group| group.matches.first());
    answer.matches.iter().chain(of_groups).map(|best| best.distance).collect()
}

pub(super) fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Runs every query of every regime on one thread, with the plan that the planner takes.
pub(super) fn measure(
    snapshot: &Snapshot,
    planner: &Planner,
    regimes: &[Regime],
    narrow: &Narrow,
) -> Vec<Outcome> {
    regimes.iter().map(|regime| measure_one(snapshot, planner, regime, narrow)).collect()
}

fn measure_one(snapshot: &Snapshot, planner: &Planner, regime: &Regime, narrow: &Narrow) -> Outcome {
    // The exact scans have filled the cache with what a running server would not have there.
    if let Some(first) = regime.queries.first() {
        one(snapshot, planner, first.request(KS[0], narrow, None));
    }
    let (mut found, mut wanted) = ([0; 2], [0; 2]);
    let mut times = [Vec::new(), Vec::new()];
    let (mut rescored, mut plans) = (0, BTreeMap::new());
    for query in &regime.queries {
        for (which, k) in KS.into_iter().enumerate() {
            let request = query.request(k, narrow, None);
            let start = Instant::now();
            let answer = one(snapshot, planner, request);
            times[which].push(ms(start));
            let Some(answer) = answer else { continue };
            let true_best = &query.exact[..k.min(query.exact.len())];
            let last = true_best.last().copied().unwrap_or(f64::NEG_INFINITY);
            found[which] +=
                distances(&answer).into_iter().filter(|distance| *distance <= last + 1e-9).count();
            wanted[which] += true_best.len();
            if which == 0 {
                rescored += answer.plan.rescored;
                *plans.entry(plan_name(answer.plan.kind)).or_default() += 1;
            }
        }
    }
    let mut exact: Vec<f64> = regime.queries.iter().map(|query| query.exact_ms).collect();
    [&mut exact, &mut times[0]].into_iter().for_each(|v| v.sort_by(f64::total_cmp));
    times[1].sort_by(f64::total_cmp);
    let recall =
        |which: usize| if wanted[which] == 0 { 1.0 } else { found[which] as f64 / wanted[which] as f64 };
    Outcome {
        regime: regime.name(),
        recall_10: recall(0),
        recall_100: recall(1),
        p50_ms: percentile(&times[0], 0.5),
        p99_ms: percentile(&times[0], 0.99),
        p50_ms_100: percentile(&times[1], 0.5),
        exact_p50_ms: percentile(&exact, 0.5),
        rescored: rescored as f64 / regime.queries.len().max(1) as f64,
        plans,
        ms: std::mem::take(&mut times[0]),
    }
}

fn plan_name(kind: PlanKind) -> &'static str {
    match kind {
        PlanKind::ExactScan => "exact",
        PlanKind::CodeScan => "codes",
        PlanKind::Hnsw => "hnsw",
    }
}

/// Queries a second of `threads` threads that each run every query, `batch` at a time.
pub(super) fn throughput(
    snapshot: &Snapshot,
    planner: &Planner,
    regimes: &[Regime],
    (threads, batch): (usize, usize),
) -> f64 {
    let all: Vec<_> = regimes
        .iter()
        .flat_map(|regime| &regime.queries)
        .map(|query| query.request(KS[0], &Narrow::default(), None))
        .collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for requests in all.chunks(batch) {
                    search_batch(snapshot, requests.to_vec(), planner, 1, &|| false);
                }
            });
        }
    });
    (threads * all.len()) as f64 / start.elapsed().as_secs_f64()
}

/// Median milliseconds of one query that may use two threads, over all queries.
pub(super) fn shared_p50(snapshot: &Snapshot, planner: &Planner, regimes: &[Regime]) -> f64 {
    let queries = regimes.iter().flat_map(|regime| &regime.queries);
    let mut times: Vec<f64> = queries
        .map(|query| {
            let request = query.request(KS[0], &Narrow::default(), None);
            let start = Instant::now();
            search_batch(snapshot, vec![request], planner, 2, &|| false);
            ms(start)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    percentile(&times, 0.5)
}

/// Recall@10 and the times of one head alone, by a plan or as planned, over the queries of the first regime.
pub(super) fn one_head(
    snapshot: &Snapshot,
    planner: &Planner,
    regimes: &[Regime],
    head: &str,
    plan: Option<PlanKind>,
) -> (f64, f64, f64) {
    let (mut found, mut wanted) = (0, 0);
    let mut times = Vec::new();
    for query in regimes.iter().filter(|regime| regime.edits == 0).flat_map(|regime| &regime.queries) {
        let alone = BenchQuery { weights: BTreeMap::from([(head.to_owned(), 1.0)]), ..query.clone() };
        let exact =
            one(snapshot, planner, alone.request(KS[0], &Narrow::default(), Some(PlanKind::ExactScan)));
        let request = alone.request(KS[0], &Narrow::default(), plan);
        let start = Instant::now();
        let answer = one(snapshot, planner, request);
        times.push(ms(start));
        let (Some(exact), Some(answer)) = (exact, answer) else { continue };
        let last = exact.matches.last().map_or(0.0, |m| m.distance);
        found += answer.matches.iter().filter(|m| m.distance <= last + 1e-9).count();
        wanted += exact.matches.len();
    }
    times.sort_by(f64::total_cmp);
    (
        f64::from(found as u32) / f64::from(wanted.max(1) as u32),
        percentile(&times, 0.5),
        percentile(&times, 0.99),
    )
}
