//! The fast scan beside the searches of the same signatures, by turns: recall, latency, and which of its rows is cheaper.

use super::super::measure::{KS, ms, percentile};
use super::{FastScan, Searcher};
use lapel_search::{Budget, LocalSignatures, SignatureQuery, Signatures, Tuning};
use std::hint::black_box;
use std::time::Instant;

/// Candidates that are rescored, a row of the comparison each.
const CANDIDATES: [usize; 4] = [100, 1_000, 4_000, 16_000];
/// How often the queries of a regime are asked of one after the other.
const TURNS: usize = 3;
/// Recalls that are no farther apart are equal.
const EQUAL_RECALL: f64 = 0.005;

/// A regime of queries.
pub(in super::super) struct Case {
    /// Its name.
    pub(in super::super) regime: String,
    /// What is asked.
    pub(in super::super) queries: Vec<CaseQuery>,
}

/// A query of a regime, its edits applied.
pub(in super::super) struct CaseQuery {
    /// As the engine gets it, for 10 results.
    pub(in super::super) query: SignatureQuery,
    /// Distances of the true best, ascending.
    pub(in super::super) exact: Vec<f64>,
}

/// What one of those that are compared reached in one regime.
#[derive(Default)]
struct Reached {
    found: [usize; 2],
    wanted: [usize; 2],
    /// Milliseconds of each query for 10 results.
    ms: Vec<f64>,
    /// Of these, until the candidates were there; none of Lapel.
    scan_ms: Vec<f64>,
}

impl Reached {
    /// Counts what was found of the 10, or the 100, true best.
    fn count(&mut self, which: usize, exact: &[f64], distances: impl Iterator<Item = f64>) {
        let exact = &exact[..KS[which].min(exact.len())];
        let last = exact.last().copied().unwrap_or(f64::NEG_INFINITY);
        self.found[which] += distances.filter(|distance| *distance <= last + 1e-9).count();
        self.wanted[which] += exact.len();
    }

    fn recall(&self, which: usize) -> f64 {
        if self.wanted[which] == 0 { 1.0 } else { self.found[which] as f64 / self.wanted[which] as f64 }
    }

    fn p50(&self) -> f64 {
        median(&self.ms)
    }
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 0.5)
}

/// What all reached in one regime.
struct Compared<'a> {
    regime: &'a str,
    lapel: Reached,
    /// By number of candidates.
    rows: [Reached; CANDIDATES.len()],
}

/// Builds the fast scan, asks it and the engine the same, on one thread, and prints what both reached. Both start from vectors
/// and weights, and end with distances.
pub(in super::super) fn run(signatures: &LocalSignatures, tuning: &Tuning, cases: &[Case]) {
    let start = Instant::now();
    let scan = FastScan::new(signatures);
    println!(
        "\nPQ{}x4 fast scan of the concatenation: {} bytes an item, trained and coded in {:.1} s",
        2 * scan.code_bytes(),
        scan.code_bytes(),
        start.elapsed().as_secs_f64()
    );
    let mut searcher = Searcher::new(&scan, tuning.instructions);
    let compared: Vec<_> =
        cases.iter().map(|case| compare(signatures, tuning, &mut searcher, case)).collect();
    for (row, candidates) in CANDIDATES.into_iter().enumerate() {
        table(candidates, row, &compared);
    }
    summary(&compared);
}

fn compare<'a>(
    signatures: &LocalSignatures,
    tuning: &Tuning,
    searcher: &mut Searcher<'_>,
    case: &'a Case,
) -> Compared<'a> {
    let mut compared = Compared { regime: &case.regime, lapel: Reached::default(), rows: Default::default() };
    for _ in 0..TURNS {
        search(signatures, tuning, case, &mut compared.lapel);
        for (reached, candidates) in compared.rows.iter_mut().zip(CANDIDATES) {
            fast_scan(searcher, candidates, case, reached);
        }
    }
    compared
}

/// The first query of a regime is asked once before: what ran before has filled the cache with other things.
fn with_warming(case: &Case) -> impl Iterator<Item = (bool, &CaseQuery)> {
    let warming = case.queries.first().map(|query| (false, query));
    warming.into_iter().chain(case.queries.iter().map(|query| (true, query)))
}

fn search(signatures: &LocalSignatures, tuning: &Tuning, case: &Case, reached: &mut Reached) {
    let budget = Budget { tuning, threads: 1, is_abandoned: &|| false };
    for (counts, CaseQuery { query, exact }) in with_warming(case) {
        for (which, k) in KS.into_iter().enumerate() {
            let query = SignatureQuery { k, ..query.clone() };
            let start = Instant::now();
            let answers = signatures.search(std::slice::from_ref(&query), &budget);
            let took = ms(start);
            if !counts {
                continue;
            }
            let hits = answers.into_iter().flatten().flat_map(|answer| answer.hits);
            reached.count(which, exact, hits.map(|hit| hit.distance));
            if which == 0 {
                reached.ms.push(took);
            }
        }
    }
}

fn fast_scan(searcher: &mut Searcher<'_>, candidates: usize, case: &Case, reached: &mut Reached) {
    for (counts, CaseQuery { query, exact }) in with_warming(case) {
        let start = Instant::now();
        searcher.scan(&query.terms, candidates);
        let scanned = ms(start);
        black_box(searcher.rescore(&query.terms, KS[0]));
        let took = ms(start);
        if !counts {
            continue;
        }
        reached.scan_ms.push(scanned);
        reached.ms.push(took);
        for (which, k) in KS.into_iter().enumerate() {
            let best = searcher.rescore(&query.terms, k);
            reached.count(which, exact, best.iter().map(|(distance, _)| *distance));
        }
    }
}

/// Prints one line a regime of the row with so many candidates, Lapel's beside it.
fn table(candidates: usize, row: usize, compared: &[Compared<'_>]) {
    println!("\nfast scan, {candidates} candidates rescored; Lapel beside it");
    println!(
        "{:<13}{:>10}{:>11}{:>9}{:>9}{:>12}{:>11}{:>9}",
        "regime", "recall@10", "recall@100", "scan p50", "p50 ms", "Lapel's @10", "@100", "p50 ms"
    );
    for Compared { regime, lapel, rows } in compared {
        let fast = &rows[row];
        println!(
            "{regime:<13}{:>10.4}{:>11.4}{:>9.3}{:>9.3}{:>12.4}{:>11.4}{:>9.3}",
            fast.recall(0),
            fast.recall(1),
            median(&fast.scan_ms),
            fast.p50(),
            lapel.recall(0),
            lapel.recall(1),
            lapel.p50(),
        );
    }
}

impl Compared<'_> {
    /// Lapel's p50 over that of the cheapest row of equal recall@10, and how many candidates that has; `None` where none has
    /// that recall.
    fn ratio(&self) -> Option<(f64, usize)> {
        let enough = self.lapel.recall(0) - EQUAL_RECALL;
        let equal = self.rows.iter().zip(CANDIDATES).filter(|(row, _)| row.recall(0) >= enough);
        let (row, candidates) = equal.min_by(|a, b| a.0.p50().total_cmp(&b.0.p50()))?;
        Some((self.lapel.p50() / row.p50(), candidates))
    }
}

/// Prints those ratios, and the worst.
fn summary(compared: &[Compared<'_>]) {
    println!("\nLapel's p50 over that of the cheapest row of equal recall@10 (within {EQUAL_RECALL})");
    let (mut worst, mut unreached) = ((0.0, "nowhere"), 0);
    for of in compared {
        let regime = of.regime;
        let Some((ratio, candidates)) = of.ratio() else {
            println!("{regime:<13}none reaches it");
            unreached += 1;
            continue;
        };
        println!("{regime:<13}{ratio:>7.2}   {candidates} candidates");
        if ratio > worst.0 {
            worst = (ratio, regime);
        }
    }
    let (ratio, regime) = worst;
    println!("{:<13}{ratio:>7.2}   {regime}; none reaches it in {unreached} of {}", "worst", compared.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(found: usize, ms: f64) -> Reached {
        Reached { found: [found, found], wanted: [1000, 1000], ms: vec![ms; 3], scan_ms: Vec::new() }
    }

    #[test]
    fn the_cheapest_row_of_equal_recall_is_the_one_to_beat() {
        let rows = [reached(900, 1.0), reached(996, 4.0), reached(997, 2.0), reached(1000, 8.0)];
        let mut compared = Compared { regime: "some", lapel: reached(1000, 3.0), rows };
        assert_eq!(compared.ratio(), Some((1.5, 4_000)));
        compared.rows[2] = reached(990, 2.0);
        assert_eq!(compared.ratio(), Some((0.75, 1_000)));
        compared.rows = [900, 910, 920, 994].map(|found| reached(found, 1.0));
        assert_eq!(compared.ratio(), None);
    }

    #[test]
    fn what_is_as_near_as_the_last_of_the_true_best_is_found() {
        let mut found = Reached::default();
        let exact: Vec<f64> = (0..12).map(f64::from).collect();
        found.count(0, &exact, [0.0, 8.0, 9.0, 9.5, 20.0].into_iter());
        found.count(1, &exact, exact.iter().copied());
        assert_eq!((found.recall(0), found.recall(1)), (0.3, 1.0));
    }
}
