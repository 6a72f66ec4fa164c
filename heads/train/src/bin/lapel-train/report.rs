//! What the verbs that measure share: speeds, and the report's files.

use anyhow::Context;
use lapel_heads::{Canvas, Embedder, Head, PartsCase, extract_parts};
use lapel_train::Example;
use lapel_train::evaluate::{Accuracy, SetReport};
use lapel_train::report::{Content, RunTime, Sheet, SystemFront, html, sheets};
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Pictures that speeds are measured on.
const TIMED: usize = 128;
const BATCH: usize = 16;
/// Upper-body garments whose parts are shown.
pub(crate) const PARTS_SHOWN: usize = 100;

/// The numbers of a report.
#[derive(Serialize)]
struct Numbers<'a> {
    title: &'a str,
    command: &'a str,
    sets: &'a [SetReport],
    fronts: &'a [SystemFront],
    accuracies: Vec<(&'a str, &'a [Accuracy])>,
    run_time: Option<RunTime>,
    losses: &'a [lapel_train::systems::Trace],
}

/// Writes `report.html`, `report.json` and `tables.md` into `folder`.
pub(crate) fn write(folder: &Path, content: &Content<'_>) -> anyhow::Result<()> {
    fs_err::create_dir_all(folder)?;
    let numbers = Numbers {
        title: content.title,
        command: content.command,
        sets: content.sets,
        fronts: content.fronts,
        accuracies: content.accuracies.iter().map(|(name, rows)| (name.as_str(), rows.as_slice())).collect(),
        run_time: content.run_time,
        losses: content.traces,
    };
    fs_err::write(folder.join("report.json"), serde_json::to_vec_pretty(&numbers)?)?;
    fs_err::write(folder.join("report.html"), html(content))?;
    let of_set = |set: &SetReport| {
        let tables: Vec<String> = sheets(set, content.fronts).iter().map(Sheet::markdown).collect();
        format!("### {}\n\n{}", set.name, tables.join("\n"))
    };
    let tables: Vec<String> = content.sets.iter().map(of_set).collect();
    fs_err::write(folder.join("tables.md"), tables.join("\n"))?;
    Ok(())
}

/// The command line, with folders reduced to their last step.
pub(crate) fn command() -> String {
    let word = |word: String| match Path::new(&word).file_name() {
        Some(name) if word.contains('/') => name.to_string_lossy().into_owned(),
        _ => word,
    };
    std::env::args().map(word).collect::<Vec<_>>().join(" ")
}

/// What is done with a batch.
type Pass<'a> = &'a dyn Fn(&[&Canvas]) -> anyhow::Result<()>;

/// Speeds of the embedder.
pub(crate) fn run_time(
    examples: &[Example],
    embedder: &Embedder,
    heads: &[Arc<Head>],
) -> anyhow::Result<RunTime> {
    let side = embedder.backbone().input_side();
    let fresh = || -> anyhow::Result<Vec<Canvas>> {
        let pictures = examples.iter().cycle().take(TIMED);
        pictures.map(|e| Ok(e.photo().context("a picture to time")?.fit(side))).collect()
    };
    let canvases = fresh()?;
    let all = |canvases: &[Canvas], pass: Pass<'_>| -> anyhow::Result<f64> {
        let started = Instant::now();
        for batch in canvases.chunks(BATCH) {
            pass(&batch.iter().collect::<Vec<_>>())?;
        }
        Ok(60.0 * canvases.len() as f64 / started.elapsed().as_secs_f64())
    };
    let embed = |batch: &[&Canvas]| -> anyhow::Result<()> {
        embedder.embed(batch, heads)?;
        Ok(())
    };
    // Once to warm up; a canvas remembers its silhouette, so the last pass finds the parts known.
    all(&fresh()?, &embed)?;
    let with_parts = all(&canvases, &embed)?;
    let without_parts = all(&canvases, &embed)?;
    let mut times: Vec<f64> = fresh()?
        .iter()
        .map(|canvas| {
            let started = Instant::now();
            std::hint::black_box(extract_parts(canvas, PartsCase::Sleeved));
            1000.0 * started.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    Ok(RunTime {
        threads: rayon::current_num_threads(),
        with_parts,
        without_parts,
        parts_ms: times[times.len() / 2],
    })
}

/// The main figures of a set, for the terminal.
pub(crate) fn print(out: &mut impl Write, set: &SetReport) -> anyhow::Result<()> {
    writeln!(
        out,
        "\n{}: {} pictures, {} labelled on all of {}\n",
        set.name,
        set.pictures,
        set.eligible,
        set.attributes.join(", ")
    )?;
    writeln!(
        out,
        "{:<46} {:>8} {:>20} {:>8} {:>8} {:>8} {:>8}",
        "top-20 and gains, %", "direct", "one change", "two", "ADDE-M", "changed", "kept"
    )?;
    for s in &set.systems {
        let c = &s.scores;
        let one = c.one.top_20;
        writeln!(
            out,
            "{:<46} {:>8.1} {:>6.1} [{:>5.1}, {:>5.1}] {:>8.1} {:>8.1} {:>8.1} {:>8.1}",
            format!("{}, {}, {} weights", s.name, s.backbone, s.weighting),
            100.0 * c.direct.top_20.mean,
            100.0 * one.mean,
            100.0 * one.low,
            100.0 * one.high,
            100.0 * c.two.top_20.mean,
            100.0 * c.adde.top_20.mean,
            100.0 * c.gains[1].mean,
            100.0 * c.gains[2].mean
        )?;
    }
    for s in &set.systems {
        for row in &s.personalisation {
            let [u, m, p, b] =
                [row.uniform, row.mean_of_picks, row.personalised, row.both].map(|i| 100.0 * i.mean);
            let ahead = row.ahead_of_uniform;
            writeln!(
                out,
                "{}: {} picks: uniform {u:.1}, mean of picks {m:.1}, Eq. 5 {p:.1}, both {b:.1}; Eq. 5 ahead of uniform by {:.1} [{:.1}, {:.1}]",
                s.name,
                row.picks,
                100.0 * ahead.mean,
                100.0 * ahead.low,
                100.0 * ahead.high
            )?;
        }
    }
    Ok(())
}
