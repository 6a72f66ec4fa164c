//! The demo: a catalogue of real clothes, ready to be searched; rendered garments where more are wanted.

mod offer;

use crate::catalogue::Snapshot;
use crate::config::{Config, ModelConfig};
use crate::core::{Core, NewItem, OpenError};
use crate::error::Error;
use crate::serve::{ServeError, Server};
use crate::store::StoreError;
use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_render::{render, render_in_shop, to_jpeg};
use lapel_wardrobe::{LabelledPhoto, TableFault};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Items ingested together.
const BATCH: usize = 64;
/// Garments of the query seed that show the main job well.
const RENDERED_QUERIES: [u64; 3] = [20, 12, 13];
/// What a rendered garment takes in the catalogue, about.
const RENDERED_BYTES: u64 = 16 << 10;
/// Dresses and a skirt of the photos that come with the project.
const OWN_PICKS: [&str; 3] = ["dress-01", "dress-05", "skirt-03"];
/// Rendered garments to pick.
const RENDERED_PICKS: [&str; 3] = ["demo-00001", "demo-00005", "demo-00009"];

/// Options of the demo.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Folder of labelled photos to serve (labels.csv beside images/).
    #[arg(long, default_value_os_t = examples().join("wardrobe"))]
    photos: PathBuf,
    /// Serve so many rendered garments instead of photos, shown as shops do: spread, on hangers, folded, packaged.
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
    let server = Path::new(env!("CARGO_MANIFEST_DIR"));
    server.parent().unwrap_or(server).join("examples")
}

/// An item to ingest.
enum Garment {
    Photo(LabelledPhoto),
    Rendered { seed: u64, index: u64 },
}

impl Garment {
    fn id(&self) -> String {
        match self {
            Self::Photo(photo) => photo.id.clone(),
            Self::Rendered { index, .. } => format!("demo-{index:05}"),
        }
    }

    fn item(&self) -> anyhow::Result<NewItem> {
        let id = self.id();
        let new = NewItem { fields: offer::fields(&id), ..NewItem::new(id) };
        Ok(match self {
            Self::Photo(photo) => {
                NewItem { image: Some(fs_err::read(&photo.path)?), labels: photo.labels.clone(), ..new }
            }
            Self::Rendered { seed, index } => {
                let garment = render_in_shop(*seed, *index);
                NewItem { image: Some(to_jpeg(&garment.photo)), labels: garment.labels, ..new }
            }
        })
    }
}

/// Starts the demo's server. What is wrong with its photos or its model is told before a folder is made for the catalogue.
///
/// # Errors
/// As [`Server::start`], with what to do where another program has the address or the disk is full; photos that cannot be
/// read.
pub async fn start(config: Config, options: &Options) -> anyhow::Result<Server> {
    let garments = garments(options)?;
    let (model, data) = (config.model.clone(), config.data.clone());
    // A catalogue has a model of its own.
    if !data.exists() {
        check_model(&model).map_err(ServeError::from)?;
    }
    Server::start(config).await.map_err(|error| match advice(&error, &data, || room(&model, &garments)) {
        Some(advice) => anyhow::Error::new(error).context(advice),
        None => error.into(),
    })
}

/// Whether the model's files are there to be read.
fn check_model(model: &ModelConfig) -> Result<(), OpenError> {
    for path in [&model.backbone, &model.extract_parts].into_iter().chain(&model.heads) {
        std::fs::File::open(path).map_err(|source| OpenError::Model { path: path.clone(), source })?;
    }
    Ok(())
}

/// Bytes that a new catalogue needs, about: its file grows in steps, and a write needs room beside what it replaces.
fn room(model: &ModelConfig, garments: &[Garment]) -> u64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    let files = [&model.backbone, &model.extract_parts].into_iter().chain(&model.heads);
    let items = garments.iter().map(|garment| match garment {
        Garment::Photo(photo) => size(&photo.path),
        Garment::Rendered { .. } => RENDERED_BYTES,
    });
    2 * (files.map(|path| size(path)).sum::<u64>() + items.sum::<u64>())
}

/// Whether a catalogue cannot be opened because its disk is full.
fn is_full(error: &OpenError) -> bool {
    let full = |error: &StoreError| {
        error.is_full()
            || matches!(error, StoreError::Folder { source, .. } if source.kind() == ErrorKind::StorageFull)
    };
    match error {
        OpenError::Store(error) => full(error),
        OpenError::Register { source, .. } => matches!(&**source, Error::Store(error) if full(error)),
        OpenError::Model { .. }
        | OpenError::Unsound { .. }
        | OpenError::ModelLost { .. }
        | OpenError::Fields(_)
        | OpenError::BundleKey { .. }
        | OpenError::Thread(_)
        | OpenError::Bundle { .. } => false,
    }
}

/// What to do about an address that cannot be had, or about a disk without room for the catalogue in `data`.
fn advice(error: &ServeError, data: &Path, room: impl FnOnce() -> u64) -> Option<String> {
    if let ServeError::Open(error) = error {
        return is_full(error).then(|| {
            format!(
                "there is no room for the catalogue in {}: it needs about {} MiB; make room, or choose another folder: \
                 --data FOLDER",
                data.display(),
                room().div_ceil(1 << 20)
            )
        });
    }
    let ServeError::Listen { address, source } = error else { return None };
    match source.kind() {
        ErrorKind::AddrInUse => Some(format!(
            "another program listens on {address}, perhaps a demo that still runs; stop it, or choose another port: --listen \
             {}:0 takes a free one",
            address.ip()
        )),
        ErrorKind::PermissionDenied => Some(format!(
            "the system does not let this user listen on {address}; choose a port from 1024 on: --listen {}:7700",
            address.ip()
        )),
        _ => None,
    }
}

/// Ingests what the catalogue lacks, then says what to try.
///
/// # Errors
/// When the photos cannot be read, or the store or the disk fails.
pub async fn fill(server: &Server, options: &Options) -> anyhow::Result<()> {
    let core = server.core();
    let garments = garments(options)?;
    let there = core.snapshot();
    let (known, missing): (Vec<Garment>, Vec<Garment>) =
        garments.into_iter().partition(|g| there.items().slot(&g.id()).is_some());
    let found = Found { known: known.len(), others: there.items().len().saturating_sub(known.len()) };
    if !missing.is_empty() {
        let (count, data) = (missing.len(), core.config().data.display());
        writeln!(std::io::stdout().lock(), "Storing {count} garments in {data}; this is done once.")?;
    }
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
        store(core, batch, &bar).await?;
    }
    bar.finish();
    let queries = match options.rendered {
        Some(_) => rendered_queries(options)?,
        None => examples().join("queries"),
    };
    say(server, options, (&queries, &found))
}

/// Stores a batch of items.
async fn store(core: &Arc<Core>, batch: Vec<NewItem>, bar: &ProgressBar) -> anyhow::Result<()> {
    let ids: Vec<String> = batch.iter().map(|item| item.id.clone()).collect();
    let outcomes = core.upsert(batch).await.with_context(|| {
        let data = core.config().data.display();
        format!("nothing more can be stored in {data}; the next start goes on with what is missing")
    })?;
    for (id, outcome) in ids.iter().zip(outcomes) {
        outcome.with_context(|| format!("the photo of {id} is refused"))?;
    }
    bar.inc(ids.len() as u64);
    Ok(())
}

/// What the catalogue held before.
struct Found {
    /// Of the items to serve.
    known: usize,
    /// Besides them.
    others: usize,
}

impl Found {
    /// What was not done with the photos that were asked for, and why.
    fn notes(&self, data: &Path) -> Vec<String> {
        let mut notes = Vec::new();
        if self.known > 0 {
            let known = self.known;
            notes.push(format!("{known} of them were there already, by their ids, and were not read again."));
        }
        if self.others > 0 {
            let (others, data) = (self.others, data.display());
            notes.push(format!(
                "{others} of them are other items that {data} held before; start with --data FOLDER for a catalogue of its own."
            ));
        }
        notes
    }
}

/// What is to be served.
fn garments(options: &Options) -> anyhow::Result<Vec<Garment>> {
    Ok(match options.rendered {
        Some(count) => (0..count).map(|index| Garment::Rendered { seed: options.seed, index }).collect(),
        None => photos(&options.photos)?.into_iter().map(Garment::Photo).collect(),
    })
}

fn photos(folder: &Path) -> anyhow::Result<Vec<LabelledPhoto>> {
    let read = lapel_wardrobe::read(folder);
    let absent = matches!(&read, Err(error) if matches!(error.fault, TableFault::Io(_)));
    let photos = read.with_context(|| match absent {
        true => {
            "the demo's photos are not there; give --photos FOLDER, or --rendered 2000 for drawn garments"
        }
        false => "the table of the demo's photos cannot be read",
    })?;
    anyhow::ensure!(!photos.is_empty(), "the table in {} names no photo", folder.display());
    Ok(photos)
}

/// Items to pick: those of `wanted`, or where one of them is not there the first three; `None` in an empty catalogue.
fn picks(snapshot: &Snapshot, wanted: [&str; 3]) -> Option<String> {
    let items = snapshot.items();
    if wanted.iter().all(|id| items.slot(id).is_some()) {
        return Some(wanted.join(" "));
    }
    let first = items.after("").take(wanted.len()).filter_map(|slot| Some(items.get(slot)?.id.to_string()));
    let first = first.collect::<Vec<_>>();
    (!first.is_empty()).then(|| first.join(" "))
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

fn say(server: &Server, options: &Options, (queries, found): (&Path, &Found)) -> anyhow::Result<()> {
    let address = server.address();
    let on = if address.port() == 7700 { String::new() } else { format!(" --server http://{address}") };
    let lapel = format!("cargo run --release -q --bin lapel --{on}");
    let photo = |name: &str| queries.join(name).display().to_string();
    let pick = |wanted| picks(&server.core().snapshot(), wanted).map(|ids| format!("pick {ids}"));
    let lines = if options.rendered.is_some() {
        let (first, sporty) = (photo("query-1.jpg"), photo("query-3.jpg"));
        [
            Some(format!("describe {first}")),
            Some(format!("search {first} --set sleeve_length=short --explain --html result.html")),
            pick(RENDERED_PICKS),
            Some(format!("search {sporty} --set color=red")),
            Some(format!(
                "search {first} --where 'in_stock = true and price < 50' --group-by product --show price"
            )),
        ]
    } else {
        let dress = photo("dress.jpg");
        [
            Some(format!("describe {dress}")),
            Some(format!("search {dress} --set sleeve_length=short --explain --html result.html")),
            Some(format!("search {} --set color=white", photo("shirt.jpg"))),
            Some(format!(
                "search {dress} --where 'in_stock = true and price < 50' --group-by product --show price"
            )),
            pick(OWN_PICKS),
        ]
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nServing {} items on {address}.", server.core().snapshot().items().len())?;
    for note in found.notes(&server.core().config().data) {
        writeln!(out, "{note}")?;
    }
    if let Some(console) = server.console() {
        writeln!(out, "Open {console} in a browser.")?;
    }
    writeln!(out, "Try, in another terminal:\n")?;
    for line in lines.into_iter().flatten() {
        writeln!(out, "  {lapel} {line}")?;
    }
    writeln!(
        out,
        "\nCtrl-C stops the server; the catalogue stays in {} and is not ingested again.",
        server.core().config().data.display()
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told_with_what_to_do() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 7700));
        let listen = |kind: ErrorKind| ServeError::Listen { address, source: kind.into() };
        let advice = |error: &ServeError| advice(error, Path::new("data/demo"), || 3 << 20);
        let taken = advice(&listen(ErrorKind::AddrInUse)).expect("advice");
        assert!(taken.contains("127.0.0.1:7700") && taken.contains("--listen 127.0.0.1:0"), "{taken}");
        let reserved = advice(&listen(ErrorKind::PermissionDenied)).expect("advice");
        assert!(reserved.contains("1024"), "{reserved}");
        assert_eq!(advice(&listen(ErrorKind::AddrNotAvailable)), None);
        assert_eq!(advice(&ServeError::Exposed(address)), None);
        let io = |kind: ErrorKind| StoreError::Database(redb::Error::Io(kind.into()));
        let full = advice(&OpenError::Store(io(ErrorKind::StorageFull)).into()).expect("advice");
        assert!(full.contains("data/demo") && full.contains("3 MiB") && full.contains("--data"), "{full}");
        assert_eq!(advice(&OpenError::Store(io(ErrorKind::Other)).into()), None);
    }

    #[tokio::test]
    async fn a_start_without_its_photos_or_its_model_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("folder");
        let data = folder.path().join("data");
        let mut config = Config { data: data.clone(), ..Config::default() };
        config.model.backbone = folder.path().join("nowhere");
        let options = |rendered| Options {
            photos: folder.path().join("photos"),
            rendered,
            seed: 7,
            queries: folder.path().join("queries"),
        };
        for (rendered, says) in [(None, "photos are not there"), (Some(3), "nowhere cannot be read")] {
            let refused = start(config.clone(), &options(rendered)).await.err().expect("refused");
            assert!(refused.to_string().contains(says), "{refused}");
            assert!(!data.exists(), "nothing is left behind");
        }
    }

    #[test]
    fn nothing_that_is_not_there_is_advised() {
        assert_eq!(picks(&Snapshot::default(), RENDERED_PICKS), None);
        let folder = examples();
        assert!(folder.join("wardrobe").is_dir() && !folder.components().any(|c| c.as_os_str() == ".."));
    }

    #[test]
    fn what_is_not_read_again_and_what_is_served_besides_is_said() {
        let notes = |known, others| Found { known, others }.notes(Path::new("data/demo"));
        assert!(notes(0, 0).is_empty());
        assert!(notes(350, 0)[0].contains("350 of them were there already"));
        let other = notes(0, 350);
        assert!(
            other.len() == 1 && other[0].contains("data/demo") && other[0].contains("--data"),
            "{other:?}"
        );
    }
}
