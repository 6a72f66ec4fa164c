//! The verb `measure`: what the shipped or given probes tell of labelled photos, and of the same photos recomposed.

use crate::train::features;
use crate::train_report::{Recomposition, Report};
use clap::Args;
use lapel_heads::shipped_folder;
use lapel_train::probes::{Draw, Picture, ProbeModel, Recomposed, Table, VectorCache};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder with labels.csv and images/; the rows `val` are measured on.
    #[arg(long)]
    wardrobe: PathBuf,
    /// Folder of the backbone and its probes (default: the shipped ones).
    #[arg(long)]
    bundles: Option<PathBuf>,
    /// Measure the same photos recomposed, too: on white, small in a corner, the upper half, in Adobe RGB, as a poor
    /// JPEG, enlarged.
    #[arg(long)]
    recomposed: bool,
    /// Folder for measure.json and measure.html; without it the figures are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder of computed features.
    #[arg(long, default_value = "cache")]
    cache: PathBuf,
    /// Seed of edits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let table = Table::read(&options.wardrobe)?;
    anyhow::ensure!(!table.test.is_empty(), "no row has the split val, so there is nothing to measure on");
    let model = ProbeModel::load(&options.bundles.clone().unwrap_or_else(shipped_folder))?;
    let cache = VectorCache::open(&options.cache, model.backbone.as_ref(), options.seed)?;
    let rows = features(&cache, "measured", &table.test, &[Picture::Drawn(Draw::Plain)])?;
    let mut report = Report {
        measured: model.measure(&table.test, &rows)?,
        edits: Some(model.edits(&table.test, &rows, options.seed)?),
        ..Report::default()
    };
    if options.recomposed {
        for recomposed in Recomposed::ALL {
            let rows = features(&cache, recomposed.name(), &table.test, &[Picture::Recomposed(recomposed)])?;
            report.recomposed.push(Recomposition::new(
                recomposed,
                &report.measured,
                &model.measure(&table.test, &rows)?,
            ));
        }
    }
    report.print()?;
    match &options.out {
        Some(out) => {
            fs_err::create_dir_all(out)?;
            report.write(out, ("measure", "Heads measured on photos"))
        }
        None => Ok(()),
    }
}
