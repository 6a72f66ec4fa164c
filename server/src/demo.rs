//! The demo: a rendered catalogue, ready to be searched.

use crate::core::NewItem;
use crate::serve::Server;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_render::{render, to_jpeg};
use std::io::Write;

/// Items rendered and ingested together.
const BATCH: u64 = 64;

/// Options of the demo.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Garments to render.
    #[arg(long, default_value_t = 2000)]
    items: u64,
    /// Seed of the garments.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Folder for a few query photos to try.
    #[arg(long, default_value = "data/demo-photos")]
    photos: std::path::PathBuf,
}

/// Renders what the catalogue lacks and ingests it, then says what to try.
///
/// # Errors
/// When the store or the disk fails.
pub async fn fill(server: &Server, options: &Options) -> anyhow::Result<()> {
    let core = server.core();
    let (seed, items) = (options.seed, options.items);
    let id = |index: u64| format!("demo-{index:05}");
    let there = core.snapshot();
    let missing: Vec<u64> = (0..items).filter(|index| there.items().slot(&id(*index)).is_none()).collect();
    let style =
        ProgressStyle::with_template("rendering and ingesting {bar:32} {pos}/{len} {elapsed} (left {eta})");
    let bar = ProgressBar::new(missing.len() as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    // The next batch is rendered while this one is embedded.
    let start = |batch: Vec<u64>| tokio::task::spawn_blocking(move || rendered(seed, &batch, id));
    let mut batches = missing.chunks(BATCH as usize).map(<[u64]>::to_vec);
    let mut next = batches.next().map(start);
    while let Some(batch) = next {
        let batch = batch.await?;
        next = batches.next().map(start);
        let count = batch.len() as u64;
        for outcome in core.upsert(batch).await? {
            outcome?;
        }
        bar.inc(count);
    }
    bar.finish();
    fs_err::create_dir_all(&options.photos)?;
    for (number, index) in (1..).zip(QUERIES) {
        // Of another seed, so that no query is in the catalogue.
        let photo = to_jpeg(&render(seed + 1000, index).photo);
        fs_err::write(options.photos.join(format!("query-{number}.jpg")), photo)?;
    }
    say(server, options)
}

/// Garments of the query seed that show the main job well.
const QUERIES: [u64; 3] = [20, 12, 13];

fn rendered(seed: u64, batch: &[u64], id: impl Fn(u64) -> String + Sync) -> Vec<NewItem> {
    use rayon::prelude::*;
    let one = |index: &u64| {
        let garment = render(seed, *index);
        NewItem { image: Some(to_jpeg(&garment.photo)), labels: garment.labels, ..NewItem::new(id(*index)) }
    };
    batch.par_iter().map(one).collect()
}

fn say(server: &Server, options: &Options) -> anyhow::Result<()> {
    let photo = options.photos.join("query-1.jpg");
    let photo = photo.display();
    let sporty = options.photos.join("query-3.jpg");
    let sporty = sporty.display();
    let address = server.address();
    let on = if address.port() == 7700 { String::new() } else { format!(" --server http://{address}") };
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\nServing {} items on {address}. Try, in another terminal:\n
  cargo run --release -q --bin lapel --{on} describe {photo}
  cargo run --release -q --bin lapel --{on} search {photo} --set sleeve_length=short --explain --html result.html
  cargo run --release -q --bin lapel --{on} pick demo-00001 demo-00005 demo-00009
  cargo run --release -q --bin lapel --{on} heads register examples/heads/sport.safetensors
  cargo run --release -q --bin lapel --{on} search {sporty} --set sport=football --weight sport=3\n
Ctrl-C stops the server; the catalogue stays in {} and is not rendered again.",
        server.core().snapshot().items().len(),
        server.core().config().data.display(),
    )?;
    Ok(())
}
