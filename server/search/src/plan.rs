//! The plan of a search: one column's index, a scan of the codes, or the exact scan.

use crate::best::{Best, Hit};
use crate::cost::Work;
use crate::kernels::{BLOCK, GROUPS, Tables};
use crate::leading::estimated;
use crate::rescore::rescore;
use crate::scan::{self, BlockEstimates, Estimates};
use crate::terms::{BoundTerm, Query};
use crate::{Budget, Instructions, IsAbandoned, Plan, PlanKind, Tuning};
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

/// Estimated work, in nanoseconds, from which on a scan is shared between two threads: starting one costs about 30
/// microseconds.
const SHARED_NS_MIN: f64 = 200_000.0;
/// Queries that share one pass over the codes: their estimates, 4 bytes a slot each, are in memory together.
const PASS_QUERIES_MAX: usize = 8;
/// Blocks that one query scans before the next does: their codes, 11 bytes for 64 numbers of a slot and head, fit the
/// farther cache of one core.
const TILE: usize = 4;
/// A thread keeps a search's estimates for its next one until it has so many bytes of others.
const KEPT_BYTES_MAX: usize = 64 << 20;

impl<'a> Query<'a> {
    fn work(&self) -> Work {
        let numbers = |terms: &[BoundTerm<'_>]| terms.iter().map(|term| term.vector.len() as u64).sum();
        Work {
            allowed: self.allowed.count(),
            groups: self.allowed.count().min((self.allowed.blocks() * GROUPS) as u64),
            slots: (self.allowed.blocks() * BLOCK) as u64,
            heads: self.terms.len() as u64,
            numbers: numbers(&self.terms),
            estimated_numbers: numbers(&self.terms[..estimated(&self.terms)]),
            k: self.k as u64,
        }
    }

    /// Whether a scan of codes can run: a column without them is read in full beside the others.
    fn is_coded(&self) -> bool {
        self.terms[..estimated(&self.terms)].iter().any(|term| term.column.codec().is_some())
    }

    /// The cheapest of the plans that can run, or the one that was asked for if it can; `without` has been tried in vain.
    fn choose(&self, tuning: &Tuning, without: Option<PlanKind>) -> (PlanKind, f64) {
        let work = self.work();
        let index = self.terms[0].column.index_search_ns().filter(|_| {
            self.terms.len() == 1 && !self.allowed.is_filtered() && self.k <= work.allowed as usize
        });
        let plans = [
            (PlanKind::ExactScan, Some(tuning.costs.exact(&work))),
            (PlanKind::CodeScan, self.is_coded().then(|| tuning.costs.codes(&work))),
            (PlanKind::Hnsw, index.map(|ns| tuning.costs.hnsw(&work, ns))),
        ];
        let possible = plans.into_iter().filter(|(kind, _)| Some(*kind) != without);
        let possible = possible.filter_map(|(kind, ns)| Some((kind, ns?)));
        let cheapest = possible.clone().min_by(|a, b| a.1.total_cmp(&b.1));
        let asked = self.wanted.and_then(|wanted| possible.clone().find(|(kind, _)| *kind == wanted));
        asked.or(cheapest).unwrap_or((PlanKind::ExactScan, 0.0))
    }

    /// Candidates of the index, rescored; `None` when the index is behind, or might hide a result: when fewer
    /// than k came back and none of the candidates lies behind the largest distance, when more are as far as the last, of
    /// which it gives any, or when an item without a signature, which it cannot know, could rank among them.
    fn by_index(&self) -> Option<(Vec<Hit<'a>>, Plan)> {
        let term = &self.terms[0];
        // One more tells whether the last has equals.
        let wanted = self.k + 1 + self.allowed.excluded();
        let candidates = term.column.nearest(term.vector, wanted)?;
        let mut best = Best::new(self.k + 1, self.distance_max, self.allowed.places());
        let mut farthest = f64::NEG_INFINITY;
        for slot in &candidates {
            let distance = scan::score(&self.terms, *slot, 0.0, f64::INFINITY)?;
            farthest = farthest.max(distance);
            if self.allowed.contains(*slot) {
                best.push(*slot, distance);
            }
        }
        let mut hits = best.into_hits();
        let last = hits.get(self.k.checked_sub(1)?).map(|hit| hit.distance);
        let is_cut_off = match last {
            Some(last) => hits.get(self.k).is_some_and(|next| next.distance <= last),
            None => farthest <= self.distance_max && (candidates.len() as u64) < term.column.count(),
        };
        hits.truncate(self.k);
        let missing = self.allowed.slots().saturating_sub(term.column.count());
        // As far as a result that is not there could be.
        let reach = last.unwrap_or(self.distance_max);
        let hides_missing = missing > 0 && reach >= term.weight * f64::from(term.expected);
        if is_cut_off || hides_missing {
            return None;
        }
        let scanned = candidates.len() as u64;
        Some((hits, Plan { kind: PlanKind::Hnsw, scanned, rescored: scanned, missing: 0 }))
    }

    fn by_exact_scan(&self, budget: &Budget<'_>) -> (Vec<Hit<'a>>, Plan) {
        let blocks = self.allowed.blocks();
        let run = |range| {
            scan::exact(
                &self.terms,
                &self.allowed,
                range,
                budget.tuning.instructions,
                Best::of(self),
                budget.is_abandoned,
            )
        };
        let hits = if budget.threads > 1 && budget.tuning.costs.exact(&self.work()) >= SHARED_NS_MIN {
            let (first, second) = on_two_threads(|| run(0..blocks / 2), || run(blocks / 2..blocks));
            let mut best = Best::of(self);
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

    /// How many of the allowed items lack a signature of a column in play.
    fn missing(&self) -> u64 {
        // Complete columns, the usual case, need no second look.
        if self.terms.iter().all(|term| term.column.count() == self.allowed.slots()) {
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

/// Runs queries over the same items; those that scan codes share the pass over memory.
pub(crate) fn run<'a>(queries: &[Query<'a>], budget: &Budget<'_>) -> Vec<(Vec<Hit<'a>>, Plan)> {
    let tuning = budget.tuning;
    let mut answers: Vec<Option<(Vec<Hit<'a>>, Plan)>> = queries.iter().map(|_| None).collect();
    let mut scans = Vec::new();
    for (at, (query, answer)) in queries.iter().zip(&mut answers).enumerate() {
        let (mut kind, mut ns) = query.choose(tuning, None);
        if kind == PlanKind::Hnsw {
            *answer = query.by_index();
            (kind, ns) = query.choose(tuning, Some(PlanKind::Hnsw));
        }
        if answer.is_none() && kind == PlanKind::CodeScan {
            scans.push((at, query, ns));
        } else if answer.is_none() {
            *answer = Some(query.by_exact_scan(budget));
        }
    }
    for pass in scans.chunks(PASS_QUERIES_MAX) {
        let queries: Vec<_> = pass.iter().map(|(_, query, _)| *query).collect();
        let ns: f64 = pass.iter().map(|(_, _, ns)| ns).sum();
        let threads = if ns >= SHARED_NS_MIN { budget.threads } else { 1 };
        let found = by_codes(&queries, &Budget { threads, ..*budget });
        for ((at, query, _), (hits, rescored)) in pass.iter().zip(found) {
            answers[*at] = Some((hits, query.plan(PlanKind::CodeScan, rescored)));
        }
    }
    answers.into_iter().flatten().collect()
}

thread_local! {
    /// Estimates of this thread's last searches: 4 bytes a slot and query that need not be allocated each time.
    static ESTIMATES: RefCell<Vec<Estimates>> = RefCell::default();
}

/// Scans the codes once for all queries, then rescores each.
fn by_codes<'a>(queries: &[&Query<'a>], budget: &Budget<'_>) -> Vec<(Vec<Hit<'a>>, u64)> {
    let Budget { tuning, threads, is_abandoned } = *budget;
    ESTIMATES.with_borrow_mut(|pool| {
        pool.resize_with(queries.len().max(pool.len()), Estimates::default);
        let mut first = Vec::with_capacity(queries.len());
        for (query, estimates) in queries.iter().zip(pool.iter_mut()) {
            let terms = &query.terms[..estimated(&query.terms)];
            estimates.prepare(query.allowed.blocks());
            let coded: Vec<_> = terms.iter().map(|term| (term, term.tables())).collect();
            first.push(Scan { query, coded, out: estimates.blocks(), from: 0 });
        }
        if threads > 1 {
            let second: Vec<_> = first.iter_mut().map(Scan::split).collect();
            let level = tuning.instructions;
            on_two_threads(|| pass(first, level, is_abandoned), || pass(second, level, is_abandoned));
        } else {
            pass(first, tuning.instructions, is_abandoned);
        }
        let rescored = queries.iter().zip(pool.iter()).map(|(query, estimates)| match is_abandoned() {
            // A pass that was cut off leaves estimates of another search.
            true => (Vec::new(), 0),
            false => rescore(query, estimated(&query.terms), estimates, tuning, is_abandoned),
        });
        let answers = rescored.collect();
        let mut kept = 0;
        pool.retain(|estimates| {
            let keeps = kept < KEPT_BYTES_MAX;
            kept += estimates.bytes();
            keeps
        });
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
    coded: Vec<(&'q BoundTerm<'a>, Option<Tables>)>,
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

/// Tile by tile: what one query has read of a tile is still in the farther cache for the next, and a query's tables stay
/// in the nearer one for all blocks of a tile.
fn pass(mut scans: Vec<Scan<'_, '_>>, level: Instructions, is_abandoned: IsAbandoned<'_>) {
    let blocks = scans.iter().map(|scan| scan.out.len()).max().unwrap_or(0);
    for first in (0..blocks).step_by(TILE) {
        if is_abandoned() {
            return;
        }
        for scan in &mut scans {
            for (at, out) in scan.out.iter_mut().enumerate().skip(first).take(TILE) {
                let number = scan.from + at;
                scan::estimate(&scan.coded, number, &scan.query.allowed.block(number), level, out);
            }
        }
    }
}
