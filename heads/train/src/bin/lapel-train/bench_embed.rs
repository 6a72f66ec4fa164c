//! The verb `bench-embed`.

use anyhow::Context;
use candle_core::{Device, Tensor};
use clap::Args;
use lapel_heads::{
    ALEXNET_FILE, AlexNet, Backbone, Canvas, EXTRACT_PARTS_FILE, Embedder, Head, Level, Photo, PhotoLimits,
    distance, extract_parts, plain_conv5,
};
use lapel_render::{render, to_jpeg};
use rayon::prelude::*;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Largest batch that is measured.
const BATCH_MAX: usize = 32;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder of the backbone's weights and the bundles.
    #[arg(long, default_value = "heads/bundles/alexnet")]
    bundles: PathBuf,
    /// JPEG files to embed; rendered garments of 762 x 1100 pixels where none are given.
    photos: Vec<PathBuf>,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

/// What is measured, and on what.
struct Bench {
    tensors: std::collections::HashMap<String, Tensor>,
    backbone: Arc<AlexNet>,
    embedder: Embedder,
    heads: Vec<Arc<Head>>,
    /// Encoded photos, at least as many as a batch takes.
    photos: Vec<Vec<u8>>,
    canvases: Vec<Canvas>,
    rounds: usize,
    /// Milliseconds for the backbone, and for the heads.
    loading_ms: [f64; 2],
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let bench = Bench::new(options)?;
    let mut out = std::io::stdout().lock();
    let [backbone_ms, heads_ms] = bench.loading_ms;
    writeln!(out, "loading: backbone {backbone_ms:.0} ms, {} heads {heads_ms:.0} ms", bench.heads.len())?;
    let peak = Level::best().peak_gflops();
    writeln!(
        out,
        "one thread multiplies and adds {peak:.0} billion times a second in registers ({:?})",
        Level::best()
    )?;
    writeln!(
        out,
        "largest distance of a signature from that of the plain pass: {:.1e}",
        bench.difference()?
    )?;
    writeln!(
        out,
        "\nconvolutions, images a second\nthreads  batch  ours  candle's own  ratio  of the peak (1.311 GFLOP an image)"
    )?;
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        for batch in [1, 8, BATCH_MAX] {
            let (ours, plain) = pool.install(|| bench.convolutions(batch))?;
            let share = ours * 1.311 / (peak * threads as f64);
            writeln!(
                out,
                "{threads:>7}  {batch:>5}  {ours:>4.0}  {plain:>12.0}  {:>5.1}  {share:.2}",
                ours / plain
            )?;
        }
    }
    writeln!(out, "\none thread, milliseconds a picture, in batches of 8")?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    for (stage, ms) in pool.install(|| bench.stages())? {
        writeln!(out, "{stage:<28} {ms:6.2}")?;
    }
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let alone = pool.install(|| bench.median(|| bench.embed(&bench.canvases[..1])))?;
        let rate = pool.install(|| bench.median(|| bench.end_to_end()))?;
        writeln!(
            out,
            "\n{threads} threads: one picture with all heads {:.1} ms; from JPEG to all signatures {:.0} pictures a second",
            1e3 * alone,
            bench.photos.len() as f64 / rate
        )?;
    }
    Ok(())
}

impl Bench {
    fn new(options: &Options) -> anyhow::Result<Self> {
        let file = |name: &str| options.bundles.join(name);
        let start = Instant::now();
        let backbone = Arc::new(AlexNet::load(&file(ALEXNET_FILE))?);
        let backbone_ms = 1e3 * start.elapsed().as_secs_f64();
        let head = |path: &Path| -> anyhow::Result<Head> {
            let bytes = fs_err::read(path)?;
            Head::from_bytes(&bytes, backbone.as_ref()).with_context(|| path.display().to_string())
        };
        let mut heads = Vec::new();
        for entry in fs_err::read_dir(&options.bundles)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            if name != ALEXNET_FILE && name != EXTRACT_PARTS_FILE {
                heads.push(Arc::new(head(&path)?));
            }
        }
        let heads_ms = 1e3 * start.elapsed().as_secs_f64() - backbone_ms;
        let embedder = Embedder::new(backbone.clone(), head(&file(EXTRACT_PARTS_FILE))?)?;
        let mut photos = options.photos.iter().map(fs_err::read).collect::<Result<Vec<_>, _>>()?;
        if photos.is_empty() {
            photos = (0..BATCH_MAX as u64).map(large_photo).collect::<Option<Vec<_>>>().context("photos")?;
        }
        let given = photos.len();
        photos = (0..given.max(BATCH_MAX)).map(|at| photos[at % given].clone()).collect();
        let decode =
            |bytes: &Vec<u8>| Ok(Photo::decode(bytes, PhotoLimits::default())?.fit(backbone.input_side()));
        let canvases = photos.iter().map(decode).collect::<anyhow::Result<_>>()?;
        let tensors = candle_core::safetensors::load(file(ALEXNET_FILE), &Device::Cpu)?;
        Ok(Self {
            tensors,
            backbone,
            embedder,
            heads,
            photos,
            canvases,
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

    /// Images a second of the convolutions and of candle's own, in turns.
    fn convolutions(&self, batch: usize) -> anyhow::Result<(f64, f64)> {
        let canvases: Vec<&Canvas> = self.canvases[..batch].iter().collect();
        let (mut ours, mut plain) = (Vec::new(), Vec::new());
        self.backbone.conv5(&canvases)?;
        for round in 0..self.rounds {
            let start = Instant::now();
            self.backbone.conv5(&canvases)?;
            ours.push(start.elapsed().as_secs_f64());
            if round < 3 {
                let start = Instant::now();
                plain_conv5(&self.tensors, &AlexNet::input(&canvases)?)?;
                plain.push(start.elapsed().as_secs_f64());
            }
        }
        let rate = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            batch as f64 / times[times.len() / 2]
        };
        Ok((rate(ours), rate(plain)))
    }

    /// Largest distance between signatures of the maps that we and candle compute.
    fn difference(&self) -> anyhow::Result<f32> {
        let canvases: Vec<&Canvas> = self.canvases[..8].iter().collect();
        let ours = self.embedder.features(&canvases)?;
        let conv5 =
            plain_conv5(&self.tensors, &AlexNet::input(&canvases)?)?.flatten_from(1)?.to_vec2::<f32>()?;
        let mut plain = ours.clone();
        for (features, conv5) in plain.iter_mut().zip(conv5) {
            features.map[..conv5.len()].copy_from_slice(&conv5);
        }
        let ours = self.embedder.signatures(ours, &self.heads)?.embeddings;
        let plain = self.embedder.signatures(plain, &self.heads)?.embeddings;
        let pairs = ours.iter().zip(&plain).flat_map(|(a, b)| a.signatures.iter().zip(&b.signatures));
        let both = pairs.filter_map(|(a, b)| Some(distance(a.as_ref()?.values(), b.as_ref()?.values())));
        Ok(both.fold(0.0, f32::max))
    }

    fn embed(&self, canvases: &[Canvas]) -> anyhow::Result<()> {
        // Fresh ones, since a canvas remembers its silhouette.
        let fresh: Vec<Canvas> = canvases.iter().map(Canvas::afresh).collect();
        self.embedder.embed(&fresh.iter().collect::<Vec<_>>(), &self.heads)?;
        Ok(())
    }

    fn end_to_end(&self) -> anyhow::Result<()> {
        let side = self.backbone.input_side();
        self.photos.par_chunks(8).try_for_each(|photos| {
            let decode = |bytes: &Vec<u8>| Ok(Photo::decode(bytes, PhotoLimits::default())?.fit(side));
            let canvases = photos.iter().map(decode).collect::<anyhow::Result<Vec<_>>>()?;
            self.embedder.embed(&canvases.iter().collect::<Vec<_>>(), &self.heads)?;
            Ok(())
        })
    }

    fn stages(&self) -> anyhow::Result<Vec<(&'static str, f64)>> {
        let (photos, canvases) = (&self.photos[..8], &self.canvases[..8]);
        let borrowed: Vec<&Canvas> = canvases.iter().collect();
        let decoded: Vec<Photo> =
            photos.iter().map(|p| Photo::decode(p, PhotoLimits::default())).collect::<Result<_, _>>()?;
        let side = self.backbone.input_side();
        let features = self.embedder.features(&borrowed)?;
        let maps: Vec<Vec<f32>> = features.iter().map(|f| f.map.clone()).collect();
        let cases: Vec<_> = features.iter().map(|f| f.parts.case).collect();
        let mut stages = Vec::new();
        let mut stage = |name, run: &mut dyn FnMut() -> anyhow::Result<()>| -> anyhow::Result<()> {
            stages.push((name, 1e3 * self.median(run)? / photos.len() as f64));
            Ok(())
        };
        stage("decode", &mut || {
            photos
                .iter()
                .try_for_each(|p| Photo::decode(p, PhotoLimits::default()).map(drop))
                .map_err(Into::into)
        })?;
        stage("fit to 224 x 224", &mut || {
            decoded.iter().for_each(|p| drop(p.fit(side)));
            Ok(())
        })?;
        stage("convolutions", &mut || self.backbone.conv5(&borrowed).map(drop).map_err(Into::into))?;
        stage("silhouette and parts", &mut || {
            canvases.iter().zip(&cases).for_each(|(c, case)| {
                let _ = extract_parts(&c.afresh(), *case);
            });
            Ok(())
        })?;
        stage("whole map (cloth included)", &mut || {
            self.embedder.maps(&borrowed).map(drop).map_err(Into::into)
        })?;
        stage("\"Extract Parts?\"", &mut || self.embedder.cases(&maps).map(drop).map_err(Into::into))?;
        stage("ROI pooling and all heads", &mut || {
            self.embedder.signatures(features.clone(), &self.heads).map(drop).map_err(Into::into)
        })?;
        Ok(stages)
    }
}

/// A rendered garment as a shop's photo: 762 x 1100 pixels, JPEG.
fn large_photo(number: u64) -> Option<Vec<u8>> {
    let small = render(77, number).photo;
    let picture = image::RgbImage::from_raw(small.width(), small.height(), small.rgb().to_vec())?;
    let large = image::imageops::resize(&picture, 762, 1100, image::imageops::FilterType::Triangle);
    Some(to_jpeg(&Photo::from_rgb(762, 1100, large.into_raw())?))
}
