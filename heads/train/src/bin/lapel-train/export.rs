//! The verb `export`.

use crate::data::{Data, progress_bar};
use clap::Args;
use lapel_train::dataset::write_field_set;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    data: Data,
    /// Where the folders go, one a data set.
    #[arg(long)]
    out: PathBuf,
    /// Training triplets to draw.
    #[arg(long, default_value_t = 10_000)]
    triplets: usize,
    /// Test queries at most.
    #[arg(long, default_value_t = 15_000)]
    queries: usize,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    for set in options.data.sets()? {
        let bar = progress_bar(set.name());
        bar.set_length((set.training().len() + set.test().len()) as u64);
        let folder = options.out.join(set.name());
        let limits = (options.triplets, options.queries, options.data.seed);
        write_field_set(set.as_ref(), &folder, limits, || bar.inc(1))?;
        bar.finish();
    }
    Ok(())
}
