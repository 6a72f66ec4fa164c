//! The verb `bench-embed`: how fast photos become signatures, by the steps that the server takes.

mod alexnet;
mod views;

use alexnet::AlexNetStages;
use anyhow::Context;
use clap::Args;
use lapel_heads::{
    ALEXNET_FILE, BACKBONE_FILE, Backbone, Canvas, EXTRACT_PARTS_FILE, Embedder, Head, Photo, PhotoLimits,
    shipped_folder,
};
use lapel_render::{render, to_jpeg};
use rayon::prelude::*;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use views::ViewStages;

/// Largest batch that is measured.
const BATCH_MAX: usize = 32;
/// Pictures in a batch of the server.
const BATCH: usize = 8;
/// Numbers of threads that are measured.
const THREADS: [usize; 2] = [1, 2];

#[derive(Args)]
pub(crate) struct Options {
    /// Folder of a backbone's weights and the bundles of its heads; the paper's kind is in heads/bundles/alexnet.
    #[arg(long, default_value_os_t = shipped_folder())]
    bundles: PathBuf,
    /// JPEG files to embed; rendered garments of 762 x 1100 pixels where none are given.
    photos: Vec<PathBuf>,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

/// What is measured of one kind of backbone alone.
enum Stages {
    Views(ViewStages),
    AlexNet(AlexNetStages),
}

/// What is measured, and on what.
struct Bench {
    stages: Stages,
    embedder: Embedder,
    heads: Vec<Arc<Head>>,
    /// Encoded photos, at least as many as the largest batch takes.
    photos: Vec<Vec<u8>>,
    rounds: u32,
    /// Milliseconds for the backbone, and for the heads.
    loading_ms: [f64; 2],
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let bench = Bench::new(options)?;
    let mut out = std::io::stdout().lock();
    let [backbone_ms, heads_ms] = bench.loading_ms;
    writeln!(out, "backbone {}", bench.embedder.backbone().fingerprint())?;
    writeln!(out, "loading: backbone {backbone_ms:.0} ms, {} heads {heads_ms:.0} ms", bench.heads.len())?;
    match &bench.stages {
        Stages::Views(stages) => stages.write(&bench, &mut out)?,
        Stages::AlexNet(stages) => stages.write(&bench, &mut out)?,
    }
    for threads in THREADS {
        let [decoded_ms, jpeg_ms, rate] = pool(threads)?.install(|| bench.end_to_end())?;
        writeln!(
            out,
            "\n{threads} threads: one picture with all heads {decoded_ms:.1} ms decoded, {jpeg_ms:.1} ms from JPEG; from JPEG \
             to all signatures {rate:.0} pictures a second"
        )?;
    }
    Ok(())
}

fn pool(threads: usize) -> anyhow::Result<rayon::ThreadPool> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build()?)
}

impl Bench {
    fn new(options: &Options) -> anyhow::Result<Self> {
        let start = Instant::now();
        let (backbone, stages) = load(&options.bundles)?;
        let backbone_ms = 1e3 * start.elapsed().as_secs_f64();
        let head = |path: &Path| -> anyhow::Result<Head> {
            let bytes = fs_err::read(path)?;
            Head::from_bytes(&bytes, backbone.as_ref()).with_context(|| path.display().to_string())
        };
        let start = Instant::now();
        let files = head_files(&options.bundles)?;
        let heads = files.iter().map(|file| Ok(Arc::new(head(file)?))).collect::<anyhow::Result<Vec<_>>>()?;
        let heads_ms = 1e3 * start.elapsed().as_secs_f64();
        let embedder = Embedder::new(backbone.clone(), head(&options.bundles.join(EXTRACT_PARTS_FILE))?)?;
        let mut photos = options.photos.iter().map(fs_err::read).collect::<Result<Vec<_>, _>>()?;
        if photos.is_empty() {
            let rendered = (0..BATCH_MAX as u64).map(large_photo).collect::<Option<_>>();
            photos = rendered.context("a rendered garment has no pixels")?;
        }
        let given = photos.len();
        photos = (0..given.max(BATCH_MAX)).map(|at| photos[at % given].clone()).collect();
        Ok(Self {
            stages,
            embedder,
            heads,
            photos,
            rounds: options.rounds,
            loading_ms: [backbone_ms, heads_ms],
        })
    }

    /// Median seconds of a run.
    fn median(&self, mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
        run()?;
        let mut times = Vec::new();
        for _ in 0..self.rounds {
            let start = Instant::now();
            run()?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }

    /// The first photos, decoded.
    fn decoded(&self, count: usize) -> anyhow::Result<Vec<Photo>> {
        self.photos[..count].par_iter().map(|bytes| decode(bytes)).collect()
    }

    /// From decoded photos to signatures: what the server does for each, and then for the batch.
    fn embed(&self, photos: &[Photo]) -> anyhow::Result<()> {
        let backbone = self.embedder.backbone();
        let canvases: Vec<Canvas> = photos.iter().map(|photo| backbone.canvas(photo)).collect();
        self.embedder.embed(&canvases.iter().collect::<Vec<_>>(), &self.heads)?;
        Ok(())
    }

    /// Milliseconds of one picture that is decoded, of one that is not, and pictures a second of all photos.
    fn end_to_end(&self) -> anyhow::Result<[f64; 3]> {
        let one = self.decoded(1)?;
        let decoded = self.median(|| self.embed(&one))?;
        let jpeg = self.median(|| self.embed(&[decode(&self.photos[0])?]))?;
        let all = self.median(|| {
            self.photos.par_chunks(BATCH).try_for_each(|photos| {
                self.embed(&photos.iter().map(|bytes| decode(bytes)).collect::<anyhow::Result<Vec<_>>>()?)
            })
        })?;
        Ok([1e3 * decoded, 1e3 * jpeg, self.photos.len() as f64 / all])
    }
}

/// The backbone in a folder.
fn load(folder: &Path) -> anyhow::Result<(Arc<dyn Backbone>, Stages)> {
    let file = folder.join(BACKBONE_FILE);
    if file.is_file() {
        let stages = ViewStages::load(&file)?;
        return Ok((stages.backbone(), Stages::Views(stages)));
    }
    let file = folder.join(ALEXNET_FILE);
    anyhow::ensure!(
        file.is_file(),
        "{} has neither {BACKBONE_FILE} nor {ALEXNET_FILE}; give --bundles a folder with a backbone and its heads",
        folder.display()
    );
    let stages = AlexNetStages::load(&file)?;
    Ok((stages.backbone(), Stages::AlexNet(stages)))
}

/// The bundles in a folder but that of "Extract Parts?", by name.
fn head_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let is_bundle = path.extension().is_some_and(|ending| ending == "safetensors")
            && [BACKBONE_FILE, ALEXNET_FILE, EXTRACT_PARTS_FILE].iter().all(|other| name != *other);
        if is_bundle {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn decode(bytes: &[u8]) -> anyhow::Result<Photo> {
    Ok(Photo::decode(bytes, PhotoLimits::default())?)
}

/// A rendered garment as a shop's photo: 762 x 1100 pixels, JPEG.
fn large_photo(number: u64) -> Option<Vec<u8>> {
    let small = render(77, number).photo;
    let picture = image::RgbImage::from_raw(small.width(), small.height(), small.rgb().to_vec())?;
    let large = image::imageops::resize(&picture, 762, 1100, image::imageops::FilterType::Triangle);
    Some(to_jpeg(&Photo::from_rgb(762, 1100, large.into_raw())?))
}
