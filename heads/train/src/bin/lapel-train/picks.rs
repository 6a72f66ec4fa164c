//! The verb `picks`: what a search after wanted and unwanted picks reaches, on simulated shoppers.

use crate::data::{Data, progress_bar};
use clap::Args;
use lapel_heads::{PICKS_SHARE, shipped_folder};
use lapel_train::dataset::DataSet;
use lapel_train::evaluate::{Interval, PicksRow, picks};
use lapel_train::probes::ProbeModel;
use lapel_train::systems::{HeadSystem, Signatures, System};
use lapel_train::{Example, Prepared};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Shares of the picks' mean in the query that training pictures choose among.
const SHARES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    data: Data,
    /// Folder of the backbone and its probes (default: the shipped ones).
    #[arg(long)]
    bundles: Option<PathBuf>,
    /// File for the figures as JSON; without it they are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What was measured on one data set.
#[derive(Serialize)]
struct Measured {
    set: String,
    /// On training pictures, with every share.
    training: Vec<PicksRow>,
    /// On test pictures, with the server's share.
    test: Vec<PicksRow>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let model = ProbeModel::load(&options.bundles.clone().unwrap_or_else(shipped_folder))?;
    let backbone = model.backbone.clone();
    let system = HeadSystem::new("Lapel", Arc::new(model.heads));
    let signatures = |what: &str, examples: &[Example]| -> anyhow::Result<Signatures> {
        let bar = progress_bar(what);
        let prepared = Prepared::of_vectors(examples.to_vec(), backbone.as_ref(), &options.data.cache, &bar)?;
        bar.finish();
        system.signatures(&prepared)
    };
    let mut out = std::io::stdout().lock();
    let mut all = Vec::new();
    for set in options.data.sets()? {
        let set: &dyn DataSet = set.as_ref();
        let measure = |what: &str, examples: &[Example], shares: &[f64]| {
            let signatures = signatures(&format!("{} {what}", set.name()), examples)?;
            Ok::<_, anyhow::Error>(picks(&signatures, (examples, set.attributes()), shares))
        };
        let training = measure("training", set.training(), &SHARES)?;
        let test = measure("test", set.test(), &[PICKS_SHARE])?;
        for (part, rows) in [("training pictures, every share", &training), ("test pictures", &test)] {
            print(&mut out, &format!("{}, {part}", set.name()), rows)?;
        }
        all.push(Measured { set: set.name().to_owned(), training, test });
    }
    writeln!(out, "\nbest share on training pictures: {}; the server's: {PICKS_SHARE}", best_share(&all))?;
    if let Some(file) = &options.out {
        fs_err::write(file, serde_json::to_vec_pretty(&all)?)?;
    }
    Ok(())
}

/// The share with the highest precision on training pictures, data sets and protocols counting alike.
fn best_share(all: &[Measured]) -> f64 {
    let rows = || all.iter().flat_map(|measured| &measured.training);
    let total = |share: f64| rows().filter(|row| row.share == share).map(|row| row.both.mean).sum::<f64>();
    SHARES.into_iter().max_by(|a, b| total(*a).total_cmp(&total(*b))).unwrap_or(PICKS_SHARE)
}

/// One table in Markdown.
fn print(out: &mut impl Write, title: &str, rows: &[PicksRow]) -> anyhow::Result<()> {
    writeln!(out, "\n{title}: share of the next 20 results that match in both attributes cared for, %\n")?;
    writeln!(
        out,
        "| wanted | unwanted | share of the picks' mean | Eq. 5 | wanted alone | both | both minus Eq. 5 | in gain | \
         both minus wanted alone |\n|---|---|---|---|---|---|---|---|---|"
    )?;
    let percent = |i: Interval| format!("{:.1}", 100.0 * i.mean);
    let with_interval =
        |i: Interval| format!("{:.1} [{:.1}, {:.1}]", 100.0 * i.mean, 100.0 * i.low, 100.0 * i.high);
    for row in rows {
        writeln!(
            out,
            "| {} | {} | {:.2} | {} | {} | {} | {} | {} | {} |",
            row.picked.wanted,
            row.picked.unwanted,
            row.share,
            percent(row.paper),
            percent(row.wanted_alone),
            percent(row.both),
            with_interval(row.ahead),
            with_interval(row.ahead_in_gain),
            with_interval(row.ahead_of_wanted_alone)
        )?;
    }
    Ok(())
}
