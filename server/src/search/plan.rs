//! The plan of a search: one head's index, a scan of the codes, or the exact scan.

use super::IsAbandoned;
use super::allowed::Allowed;
use super::rescore::{MISSES_DEFAULT, heavy, rescore};
use super::scan::{self, Best, BlockEstimates, Estimates, Hit};
use super::weights::QueryTerm;
use crate::config::SearchConfig;
use lapel_search::Instructions;
use lapel_search::kernels::{GROUPS, Tables};
use lapel_search::{Costs, Work};
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

/// The plans there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanKind {
    /// Every item that passes is scored by the exact formula.
    ExactScan,
    /// Every item that passes is estimated from its codes; the best estimates are scored exactly.
    CodeScan,
    /// One head's index gives candidates, which are scored exactly.
    Hnsw,
}

/// How an answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The plan that ran.
    pub kind: PlanKind,
    /// Items looked at.
    pub scanned: u64,
    /// Items rescored exactly after a coarser step.
    pub rescored: u64,
    /// Items scored by the rule for missing signatures.
    pub missing: u64,
}

/// How searches are planned and run.
#[derive(Clone, Copy, Debug)]
pub struct Planner {
    /// What the parts of a scan cost.
    pub costs: Costs,
    /// The instructions that the scans use.
    pub level: Instructions,
    /// Results that a scan of codes may miss on average, as a share of k.
    pub misses: f64,
    /// Labelled catalogue items from which on a label's prototype is theirs and no longer the bundle's.
    pub prototype_items_min: u64,
}

impl Planner {
    /// The planner of this machine.
    #[must_use]
    pub fn new(config: &SearchConfig) -> Self {
        Self {
            costs: Costs::of_this_machine(),
            level: Instructions::best(),
            misses: MISSES_DEFAULT,
            prototype_items_min: config.prototype_items_min,
        }
    }
}

/// A query that is ready to run.
pub(super) struct Query<'a> {
    /// Heaviest first.
    pub(super) terms: Vec<QueryTerm<'a>>,
    pub(super) allowed: Allowed<'a>,
    pub(super) k: usize,
    /// The plan that the caller asks for.
    pub(super) wanted: Option<PlanKind>,
}

/// Estimated work, in nanoseconds, from which on a scan is shared between two threads: starting one costs about 30
/// microseconds.
const SHARED_NS_MIN: f64 = 200_000.0;
/// Queries that share one pass over the codes: their estimates, 4 bytes a slot each, are in memory together.
const PASS_QUERIES_MAX: usize = 8;

impl<'a> Query<'a> {
    fn work(&self) -> Work {
        Work {
            allowed: self.allowed.count(),
            groups: self.allowed.count().min((self.allowed.blocks() * GROUPS) as u64),
            heads: self.terms.len() as u64,
            numbers: self.terms.iter().map(|t| t.vector.len() as u64).sum(),
            k: self.k as u64,
        }
    }

    /// Whether a scan of codes can run: a column without them is read in full beside the others.
    fn is_coded(&self) -> bool {
        self.terms.iter().any(|term| term.column.codec().is_some())
    }

    /// The cheapest of the plans that can run, or the one that was asked for if it can; `without` has been tried in vain.
    fn choose(&self, planner: &Planner, without: Option<PlanKind>) -> (PlanKind, f64) {
        let work = self.work();
        let index = self.terms[0].column.index().search_ns().filter(|_| {
            self.terms.len() == 1 && !self.allowed.is_filtered() && self.k <= work.allowed as usize
        });
        let plans = [
            (PlanKind::ExactScan, Some(planner.costs.exact(&work))),
            (PlanKind::CodeScan, self.is_coded().then(|| planner.costs.codes(&work))),
            (PlanKind::Hnsw, index.map(|ns| planner.costs.hnsw(&work, ns))),
        ];
        let possible = plans.into_iter().filter(|(kind, _)| Some(*kind) != without);
        let possible = possible.filter_map(|(kind, ns)| Some((kind, ns?)));
        let cheapest = possible.clone().min_by(|a, b| a.1.total_cmp(&b.1));
        let asked = self.wanted.and_then(|wanted| possible.clone().find(|(kind, _)| *kind == wanted));
        asked.or(cheapest).unwrap_or((PlanKind::ExactScan, 0.0))
    }

    /// Candidates of the index, rescored; `None` when the index is behind, or might hide a result: when fewer
    /// than k came back, when more are as far as the last, of which it gives any, or when an item without a signature,
    /// which it cannot know, could rank among them.
    fn by_index(&self) -> Option<(Vec<Hit<'a>>, Plan)> {
        let term = &self.terms[0];
        // One more tells whether the last has equals.
        let wanted = self.k + 1 + self.allowed.excluded();
        let candidates = term.column.index().nearest(term.column, &term.vector, wanted)?;
        let mut best = Best::new(self.k + 1, self.allowed.catalogue());
        for slot in candidates.iter().filter(|slot| self.allowed.contains(**slot)) {
            let distance = scan::score(&self.terms, *slot, 0.0, f64::INFINITY)?;
            best.push(*slot, distance);
        }
        let mut hits = best.into_hits();
        let last = *hits.get(self.k.checked_sub(1)?)?;
        let has_equals = hits.get(self.k).is_some_and(|next| next.distance <= last.distance);
        hits.truncate(self.k);
        let missing = self.allowed.items().saturating_sub(term.column.count());
        let hidden = missing > 0 && last.distance >= term.weight * f64::from(term.expected);
        if has_equals || hidden {
            return None;
        }
        let scanned = candidates.len() as u64;
        Some((hits, Plan { kind: PlanKind::Hnsw, scanned, rescored: scanned, missing: 0 }))
    }

    fn by_exact_scan(
        &self,
        planner: &Planner,
        threads: usize,
        is_abandoned: IsAbandoned<'_>,
    ) -> (Vec<Hit<'a>>, Plan) {
        let blocks = self.allowed.blocks();
        let run = |range| scan::exact(&self.terms, &self.allowed, range, planner.level, self.k, is_abandoned);
        let hits = if threads > 1 && planner.costs.exact(&self.work()) >= SHARED_NS_MIN {
            let (first, second) = on_two_threads(|| run(0..blocks / 2), || run(blocks / 2..blocks));
            let mut best = Best::new(self.k, self.allowed.catalogue());
            let both = first.into_iter().chain(second.into_iter().flatten());
            both.for_each(|hit| best.push(hit.slot, hit.distance));
            best.into_hits()
        } else {
            run(0..blocks)
        };
        (hits, self.plan(PlanKind::ExactScan, 0))
    }

    fn plan(&self, kind: PlanKind, rescored: u64) -> Plan {
        Plan { kind, scanned: self.allowed.count(), rescored, missing: self.missing() }
    }

    /// How many of the allowed items lack a signature of a head in play.
    fn missing(&self) -> u64 {
        // Complete columns, the usual case, need no second look.
        if self.terms.iter().all(|term| term.column.count() == self.allowed.items()) {
            return 0;
        }
        let of_block = |number: usize| {
            let blocks =
                self.terms.iter().map(|term| term.column.block(number).map(|block| *block.present()));
            let mut complete = [u64::MAX; GROUPS];
            for present in blocks.map(Option::unwrap_or_default) {
                complete.iter_mut().zip(present).for_each(|(c, p)| *c &= p);
            }
            let lacking = self.allowed.block(number).into_iter().zip(complete).map(|(a, c)| a & !c);
            lacking.map(|word| u64::from(word.count_ones())).sum::<u64>()
        };
        (0..self.allowed.blocks()).map(of_block).sum()
    }
}

/// Runs queries of one snapshot; those that scan codes share the pass over memory. `threads` are those that may be
/// used, one or two.
pub(super) fn run<'a>(
    queries: &[Query<'a>],
    planner: &Planner,
    threads: usize,
    is_abandoned: IsAbandoned<'_>,
) -> Vec<(Vec<Hit<'a>>, Plan)> {
    let mut answers: Vec<Option<(Vec<Hit<'a>>, Plan)>> = queries.iter().map(|_| None).collect();
    let mut scans = Vec::new();
    for (at, (query, answer)) in queries.iter().zip(&mut answers).enumerate() {
        let (mut kind, mut ns) = query.choose(planner, None);
        if kind == PlanKind::Hnsw {
            *answer = query.by_index();
            (kind, ns) = query.choose(planner, Some(PlanKind::Hnsw));
        }
        if answer.is_none() && kind == PlanKind::CodeScan {
            scans.push((at, query, ns));
        } else if answer.is_none() {
            *answer = Some(query.by_exact_scan(planner, threads, is_abandoned));
        }
    }
    for pass in scans.chunks(PASS_QUERIES_MAX) {
        let queries: Vec<_> = pass.iter().map(|(_, query, _)| *query).collect();
        let ns: f64 = pass.iter().map(|(_, _, ns)| ns).sum();
        let threads = if ns >= SHARED_NS_MIN { threads } else { 1 };
        let found = by_codes(&queries, planner, threads, is_abandoned);
        for ((at, query, _), (hits, rescored)) in pass.iter().zip(found) {
            answers[*at] = Some((hits, query.plan(PlanKind::CodeScan, rescored)));
        }
    }
    answers.into_iter().flatten().collect()
}

thread_local! {
    /// Estimates of this thread's last search: 4 to 8 bytes a slot that need not be allocated each time.
    static ESTIMATES: RefCell<Vec<Estimates>> = RefCell::default();
}

/// Scans the codes once for all queries, then rescores each.
fn by_codes<'a>(
    queries: &[&Query<'a>],
    planner: &Planner,
    threads: usize,
    is_abandoned: IsAbandoned<'_>,
) -> Vec<(Vec<Hit<'a>>, u64)> {
    ESTIMATES.with_borrow_mut(|pool| {
        pool.resize_with(queries.len().max(pool.len()), Estimates::default);
        let mut first = Vec::with_capacity(queries.len());
        for (query, estimates) in queries.iter().zip(pool.iter_mut()) {
            estimates.prepare(query.allowed.blocks(), heavy(&query.terms), query.terms.len());
            let coded: Vec<_> = query.terms.iter().map(|term| (term, term.tables())).collect();
            first.push(Scan { query, coded, out: estimates.blocks(), from: 0 });
        }
        if threads > 1 {
            let second: Vec<_> = first.iter_mut().map(Scan::split).collect();
            let level = planner.level;
            on_two_threads(|| pass(first, level, is_abandoned), || pass(second, level, is_abandoned));
        } else {
            pass(first, planner.level, is_abandoned);
        }
        let rescored = queries.iter().zip(pool.iter()).map(|(query, estimates)| match is_abandoned() {
            // A pass that was cut off leaves estimates of another search.
            true => (Vec::new(), 0),
            false => rescore(query, estimates, planner),
        });
        let answers = rescored.collect();
        // What a batch needed beyond a single search is given back.
        pool.truncate(1);
        answers
    })
}

/// Runs both, the second on a thread of its own: one of a pool might be busy embedding pictures. Where the system
/// gives no thread, one after the other. The second is always there; only the type does not say so.
fn on_two_threads<T: Send>(first: impl FnOnce() -> T, second: impl FnOnce() -> T + Send) -> (T, Option<T>) {
    let second = Mutex::new(Some(second));
    let run_second = || Some(second.lock().unwrap_or_else(PoisonError::into_inner).take()?());
    std::thread::scope(|scope| {
        let spawned = std::thread::Builder::new().name("scan".into()).spawn_scoped(scope, run_second);
        let first = first();
        let second = match spawned.map(ScopedJoinHandle::join) {
            Ok(Ok(second)) => second,
            // As if it had happened here: the caller's thread is the one that is watched.
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(_) => run_second(),
        };
        (first, second)
    })
}

/// One query's part of a pass.
struct Scan<'q, 'a> {
    query: &'q Query<'a>,
    coded: Vec<(&'q QueryTerm<'a>, Option<Tables>)>,
    out: Vec<BlockEstimates<'q>>,
    /// The number of the first block of `out`.
    from: usize,
}

impl Scan<'_, '_> {
    /// Gives the second half of the blocks away.
    fn split(&mut self) -> Self {
        let middle = self.out.len() / 2;
        let out = self.out.split_off(middle);
        Self { query: self.query, coded: self.coded.clone(), out, from: self.from + middle }
    }
}

/// Block by block, so that what one query has read is still in the cache for the next.
fn pass(mut scans: Vec<Scan<'_, '_>>, level: Instructions, is_abandoned: IsAbandoned<'_>) {
    let blocks = scans.iter().map(|scan| scan.out.len()).max().unwrap_or(0);
    for at in 0..blocks {
        if is_abandoned() {
            return;
        }
        for scan in &mut scans {
            if let Some(out) = scan.out.get_mut(at) {
                let number = scan.from + at;
                scan::estimate(&scan.coded, number, &scan.query.allowed.block(number), level, out);
            }
        }
    }
}
