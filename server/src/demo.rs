//! The demo: a catalogue of real clothes, ready to be searched; rendered garments where more are wanted.

use crate::core::NewItem;
use crate::serve::Server;
use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_heads::wardrobe;
use lapel_render::{render, to_jpeg};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Items ingested together.
const BATCH: usize = 64;
/// Garments of the query seed that show the main job well.
const RENDERED_QUERIES: [u64; 3] = [20, 12, 13];

/// Options of the demo.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Folder of labelled photos to serve (labels.csv beside images/).
    #[arg(long, default_value_os_t = examples().join("wardrobe"))]
    photos: PathBuf,
    /// Serve so many rendered garments instead of photos.
    #[arg(long)]
    rendered: Option<u64>,
    /// Seed of rendered garments.
    #[arg(long, default_value_t = 7, requires = "rendered")]
    seed: u64,
    /// Folder for a few rendered query photos to try.
    #[arg(long, default_value = "data/demo-photos", requires = "rendered")]
    queries: PathBuf,
}

/// The folder of examples in the source tree this was built from.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").components().collect()
}

/// An item to ingest.
enum Garment {
    Photo(wardrobe::LabelledPhoto),
    Rendered { seed: u64, index: u64 },
}

impl Garment {
    fn id(&self) -> String {
        match self {
            Self::Photo(photo) => {
                photo.name.rsplit_once('.').map_or(&*photo.name, |(stem, _)| stem).to_owned()
            }
            Self::Rendered { index, .. } => format!("demo-{index:05}"),
        }
    }

    fn item(&self) -> anyhow::Result<NewItem> {
        let new = NewItem::new(self.id());
        Ok(match self {
            Self::Photo(photo) => {
                NewItem { image: Some(fs_err::read(&photo.path)?), labels: photo.labels.clone(), ..new }
            }
            Self::Rendered { seed, index } => {
                let garment = render(*seed, *index);
                NewItem { image: Some(to_jpeg(&garment.photo)), labels: garment.labels, ..new }
            }
        })
    }
}

/// Ingests what the catalogue lacks, then says what to try.
///
/// # Errors
/// When the photos cannot be read, or the store or the disk fails.
pub async fn fill(server: &Server, options: &Options) -> anyhow::Result<()> {
    let core = server.core();
    let garments: Vec<Garment> = match options.rendered {
        Some(count) => (0..count).map(|index| Garment::Rendered { seed: options.seed, index }).collect(),
        None => wardrobe::read(&options.photos)
            .with_context(|| {
                format!(
                    "the demo's photos are not in {}; give --photos FOLDER, or --rendered 2000 for drawn garments",
                    options.photos.display()
                )
            })?
            .into_iter()
            .map(Garment::Photo)
            .collect(),
    };
    let there = core.snapshot();
    let missing: Vec<Garment> =
        garments.into_iter().filter(|g| there.items().slot(&g.id()).is_none()).collect();
    let style = ProgressStyle::with_template("ingesting {bar:32} {pos}/{len} {elapsed} (left {eta})");
    let bar = ProgressBar::new(missing.len() as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    // The next batch is read or rendered while this one is embedded.
    let start = |batch: Vec<Garment>| tokio::task::spawn_blocking(move || items(&batch));
    let mut missing = missing.into_iter();
    let mut batches = std::iter::from_fn(|| {
        let batch: Vec<Garment> = missing.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    });
    let mut next = batches.next().map(start);
    while let Some(batch) = next {
        let batch = batch.await??;
        next = batches.next().map(start);
        let count = batch.len() as u64;
        for outcome in core.upsert(batch).await? {
            outcome?;
        }
        bar.inc(count);
    }
    bar.finish();
    let queries = match options.rendered {
        Some(_) => rendered_queries(options)?,
        None => examples().join("queries"),
    };
    say(server, options, &queries)
}

fn items(batch: &[Garment]) -> anyhow::Result<Vec<NewItem>> {
    use rayon::prelude::*;
    batch.par_iter().map(Garment::item).collect()
}

/// Of another seed, so that no query is in the catalogue.
fn rendered_queries(options: &Options) -> anyhow::Result<PathBuf> {
    fs_err::create_dir_all(&options.queries)?;
    for (number, index) in (1..).zip(RENDERED_QUERIES) {
        let photo = to_jpeg(&render(options.seed + 1000, index).photo);
        fs_err::write(options.queries.join(format!("query-{number}.jpg")), photo)?;
    }
    Ok(options.queries.clone())
}

fn say(server: &Server, options: &Options, queries: &Path) -> anyhow::Result<()> {
    let address = server.address();
    let on = if address.port() == 7700 { String::new() } else { format!(" --server http://{address}") };
    let lapel = format!("cargo run --release -q --bin lapel --{on}");
    let photo = |name: &str| queries.join(name).display().to_string();
    let lines = if options.rendered.is_some() {
        let (first, sporty) = (photo("query-1.jpg"), photo("query-3.jpg"));
        [
            format!("describe {first}"),
            format!("search {first} --set sleeve_length=short --explain --html result.html"),
            "pick demo-00001 demo-00005 demo-00009".to_owned(),
            format!("search {sporty} --set color=red"),
        ]
    } else {
        [
            format!("describe {}", photo("dress.jpg")),
            format!("search {} --set sleeve_length=short --explain --html result.html", photo("dress.jpg")),
            format!("search {} --set color=white", photo("shirt.jpg")),
            "pick dress-01 dress-05 skirt-03".to_owned(),
        ]
    };
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\nServing {} items on {address}. Try, in another terminal:\n",
        server.core().snapshot().items().len()
    )?;
    for line in lines {
        writeln!(out, "  {lapel} {line}")?;
    }
    writeln!(
        out,
        "\nCtrl-C stops the server; the catalogue stays in {} and is not ingested again.",
        server.core().config().data.display()
    )?;
    Ok(())
}
