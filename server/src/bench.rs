//! The search bench: clustered signatures, 18 regimes, recall and latency beside the exact scan in the same run.
#![allow(clippy::print_stdout, reason = "a report is what this command is for")]

mod fast_scan;
mod files;
mod generate;
mod measure;
mod regimes;
mod report;
mod set;
mod shop;
#[cfg(test)]
mod tests;

use crate::SearchConfig;
use crate::catalogue::{Precision, Snapshot};
use crate::error::Error;
use crate::search::{PlanKind, Planner, signature_query};
use anyhow::ensure;
pub use generate::{Generator, Sample, Shape};
use lapel_search::{Filter, Instructions, Tuning};
pub use regimes::WeightKind;

use fast_scan::{Case, CaseQuery};
use measure::{
    BenchQuery, KS, Narrow, Outcome, Regime, measure, percentile, regimes, shared_p50, solve, throughput,
};
use report::Report;
use std::path::PathBuf;
use std::time::Instant;

/// Options of `bench-search`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Items of the catalogue.
    #[arg(long, default_value_t = 100_000)]
    items: usize,
    /// Heads, one attribute each.
    #[arg(long, default_value_t = 6)]
    heads: usize,
    /// Numbers of a signature.
    #[arg(long, default_value_t = 64)]
    dim: usize,
    /// Labels of an attribute.
    #[arg(long, default_value_t = 16)]
    labels: usize,
    /// Exponent of Zipf's law for the labels' frequencies.
    #[arg(long, default_value_t = 1.0)]
    zipf: f64,
    /// Share of labels that follow from an item's style.
    #[arg(long, default_value_t = 0.3)]
    correlation: f64,
    /// Spread of signatures around their label's centre: the first head's.
    #[arg(long, default_value_t = 0.3)]
    spread_first: f64,
    /// The last head's; those between lie between.
    #[arg(long, default_value_t = 0.9)]
    spread_last: f64,
    /// Share of items that are variants of another.
    #[arg(long, default_value_t = 0.2)]
    variants: f64,
    /// Share of signatures that are missing.
    #[arg(long, default_value_t = 0.0)]
    missing: f64,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Queries a regime.
    #[arg(long, default_value_t = 50)]
    queries: usize,
    /// Measure filters too, then with a fifth of the items replaced, then with a tenth deleted.
    #[arg(long)]
    changes: bool,
    /// Give the items fields as a shop's have, and measure ranges, trees, groups, counts and what is attainable.
    #[arg(long)]
    shop: bool,
    /// Keep signatures in half precision.
    #[arg(long)]
    half: bool,
    /// Build the HNSW index of one head and compare it with the scans.
    #[arg(long)]
    hnsw: bool,
    /// Measure the other instruction sets of this processor too.
    #[arg(long)]
    levels: bool,
    /// Compare with a 4-bit product-quantised fast scan of the concatenated signatures, as FAISS has it.
    #[arg(long)]
    fast_scan: bool,
    /// Write a page with plots.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Write the signatures, the labels and the regimes' queries as .npy files into this folder, for others to use (see
    /// --load).
    #[arg(long)]
    write: Option<PathBuf>,
    /// Read signatures from `signatures_NN.npy` ([items, dim], f32; a row of NaN is missing) and `labels.npy`
    /// ([items, heads], i64) of this folder instead of making them.
    #[arg(long)]
    load: Option<PathBuf>,
}

/// Runs the bench and prints what it finds.
///
/// # Errors
/// For options that cannot be, and files that cannot be read or written.
pub fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.heads >= 1 && options.dim >= 1 && options.items >= 1, "at least 1 of each is wanted");
    ensure!(options.labels >= 1 && options.queries >= 1, "at least 1 of each is wanted");
    for (name, share) in
        [("correlation", options.correlation), ("variants", options.variants), ("missing", options.missing)]
    {
        ensure!((0.0..1.0).contains(&share), "{name} is {share}; a share from 0 to below 1 is wanted");
    }
    let generator = match &options.load {
        Some(folder) => files::read(folder, options.seed)?,
        None => Generator::new(shape(options)).map_err(anyhow::Error::msg)?,
    };
    if let Some(folder) = &options.write {
        files::write(folder, &generator)?;
    }
    let report = in_process(options, &generator)?;
    if let Some(path) = &options.html {
        fs_err::write(path, report.html())?;
        println!("plots in {}", path.display());
    }
    Ok(())
}

fn shape(options: &Options) -> Shape {
    Shape {
        items: options.items,
        heads: options.heads,
        dim: options.dim,
        labels: options.labels,
        zipf: options.zipf,
        correlation: options.correlation,
        spread: (options.spread_first, options.spread_last),
        variants: options.variants,
        missing: options.missing,
        seed: options.seed,
    }
}

fn in_process(options: &Options, generator: &Generator) -> anyhow::Result<Report> {
    let shape = generator.shape();
    let precision = if options.half { Precision::F16 } else { Precision::F32 };
    let start = Instant::now();
    let mut snapshot = set::catalogue(generator, precision, options.shop)?;
    println!("{} items, {} heads of {} numbers, seed {}", shape.items, shape.heads, shape.dim, shape.seed);
    println!("made and put in {:.1} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    set::code(&mut snapshot);
    println!("trained and coded in {:.1} s", start.elapsed().as_secs_f64());
    let bytes: usize = snapshot.signatures().columns().iter().map(|column| column.bytes().codes).sum();
    println!("codes: {:.2} bytes an item and head", bytes as f64 / (shape.items * shape.heads) as f64);
    set::add_a_head(&mut snapshot, generator)?;
    let planner = Planner::new(&SearchConfig::default());
    println!("kernels: {:?}; measured at start: {:?}", planner.tuning.instructions, planner.tuning.costs);

    let mut regimes = regimes(generator, &snapshot, &planner, options.queries)?;
    solve(&snapshot, &planner, &mut regimes, &Narrow::default());
    let outcomes = measure(&snapshot, &planner, &regimes, &Narrow::default());
    report::table("all items", &outcomes);
    throughputs(&snapshot, &planner, &regimes);
    if options.levels {
        levels(&snapshot, &planner, &regimes);
    }
    for_others(options, &snapshot, &planner, &regimes)?;
    let curve = if options.html.is_some() { curve(&snapshot, &planner, &regimes) } else { Vec::new() };
    if options.hnsw {
        hnsw(&snapshot, &planner, &regimes)?;
    }
    if options.shop {
        shop::run(&snapshot, &planner, &mut regimes);
    }
    if options.changes {
        changes(&mut snapshot, generator, &planner, &mut regimes);
    }
    Ok(Report { shape: shape.clone(), outcomes, curve })
}

fn throughputs(snapshot: &Snapshot, planner: &Planner, regimes: &[Regime]) {
    for (threads, batch) in [(1, 1), (2, 1), (1, 8), (2, 8)] {
        let per_second = throughput(snapshot, planner, regimes, (threads, batch));
        println!("{per_second:>9.0} queries a second, {threads} thread(s), batches of {batch}, all regimes");
    }
    let shared = shared_p50(snapshot, planner, regimes);
    println!("{shared:>9.3} ms p50 of one query that two threads share, all regimes");
}

fn levels(snapshot: &Snapshot, planner: &Planner, regimes: &[Regime]) {
    for level in Instructions::available() {
        let planner = Planner { tuning: Tuning { instructions: level, ..planner.tuning }, ..*planner };
        let outcomes = measure(snapshot, &planner, regimes, &Narrow::default());
        let all = report::all_ms(&outcomes);
        let worst = outcomes.iter().map(|o| o.recall_10).fold(1.0, f64::min);
        println!(
            "{level:?}: p50 {:.3} ms, p99 {:.3} ms, worst recall@10 {worst:.4}",
            percentile(&all, 0.5),
            percentile(&all, 0.99)
        );
    }
}

/// Hands the regimes' queries to what Lapel is compared with: the fast scan here, and programs that read files.
fn for_others(
    options: &Options,
    snapshot: &Snapshot,
    planner: &Planner,
    regimes: &[Regime],
) -> anyhow::Result<()> {
    let signatures = snapshot.signatures();
    let query = |query: &BenchQuery| -> Result<CaseQuery, Error> {
        let (view, spec) = query.request(KS[0], &Narrow::default(), None);
        let exact = query.exact.clone();
        Ok(CaseQuery { query: signature_query(snapshot, view, spec, planner)?, exact })
    };
    let case = |regime: &Regime| -> Result<Case, Error> {
        let queries = regime.queries.iter().map(query).collect::<Result<_, Error>>()?;
        Ok(Case { regime: regime.name(), queries })
    };
    let cases: Vec<Case> = regimes.iter().map(case).collect::<Result<_, Error>>()?;
    if let Some(folder) = &options.write {
        files::write_queries(folder, signatures.columns(), &cases)?;
    }
    if options.fast_scan {
        fast_scan::run(signatures, &planner.tuning, &cases);
    }
    Ok(())
}

/// What the regimes reach with error bars of several lengths, by the share of misses allowed.
fn curve(snapshot: &Snapshot, planner: &Planner, regimes: &[Regime]) -> Vec<(f64, Vec<Outcome>)> {
    let allowed = [0.3, 0.1, 0.03, 0.01, 0.002, 0.0005, 0.00005];
    let of = |misses| {
        let planner = Planner { tuning: Tuning { misses, ..planner.tuning }, ..*planner };
        (misses, measure(snapshot, &planner, regimes, &Narrow::default()))
    };
    allowed.map(of).into()
}

/// One head alone: its index, the scan of its codes, and the exact scan of its column.
fn hnsw(snapshot: &Snapshot, planner: &Planner, regimes: &[Regime]) -> anyhow::Result<()> {
    let Some(column) = snapshot.signatures().columns().first() else { return Ok(()) };
    let start = Instant::now();
    column.follow_index(&|| false)?;
    println!("HNSW of one head built in {:.1} s on one thread", start.elapsed().as_secs_f64());
    let head = &**column.key();
    for plan in [PlanKind::ExactScan, PlanKind::CodeScan, PlanKind::Hnsw] {
        let (recall, p50, p99) = measure::one_head(snapshot, planner, regimes, head, Some(plan));
        println!("one head by {plan:?}: recall@10 {recall:.4}, p50 {p50:.3} ms, p99 {p99:.3} ms");
    }
    let (recall, p50, _) = measure::one_head(snapshot, planner, regimes, head, None);
    println!("one head as planned: recall@10 {recall:.4}, p50 {p50:.3} ms");
    Ok(())
}

fn changes(snapshot: &mut Snapshot, generator: &Generator, planner: &Planner, regimes: &mut [Regime]) {
    for (filter, share) in set::FILTERS {
        let narrow = Narrow::to(Filter::carrying([(filter, "yes")]));
        solve(snapshot, planner, regimes, &narrow);
        let outcomes = measure(snapshot, planner, regimes, &narrow);
        report::table(&format!("filter that {} % pass", share * 100.0), &outcomes);
    }
    set::replace(snapshot, generator, 0.2);
    solve(snapshot, planner, regimes, &Narrow::default());
    report::table("20 % replaced", &measure(snapshot, planner, regimes, &Narrow::default()));
    set::delete(snapshot, generator, 0.1);
    solve(snapshot, planner, regimes, &Narrow::default());
    report::table("and 10 % deleted", &measure(snapshot, planner, regimes, &Narrow::default()));
}
