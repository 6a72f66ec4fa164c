//! What is measured of AlexNet: its convolutions beside candle's own, and each step from a photo to its signatures.

use super::{BATCH, BATCH_MAX, Bench, THREADS, decode, pool};
use anyhow::Context;
use candle_core::{Device, Tensor};
use lapel_heads::{AlexNet, Backbone, Canvas, Level, Photo, distance, extract_parts, plain_conv5};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Billions of multiplications and additions of conv1 to conv5 on a picture.
const GFLOP: f64 = 1.311;
/// Rounds of candle's own convolutions, which take long.
const PLAIN_ROUNDS: u32 = 3;

/// AlexNet, and its weights as candle reads them.
pub(super) struct AlexNetStages {
    backbone: Arc<AlexNet>,
    tensors: HashMap<String, Tensor>,
}

impl AlexNetStages {
    pub(super) fn load(file: &Path) -> anyhow::Result<Self> {
        let named = || file.display().to_string();
        let tensors = candle_core::safetensors::load(file, &Device::Cpu).with_context(named)?;
        Ok(Self { backbone: Arc::new(AlexNet::new(&tensors).with_context(named)?), tensors })
    }

    pub(super) fn backbone(&self) -> Arc<dyn Backbone> {
        self.backbone.clone()
    }

    pub(super) fn write(&self, bench: &Bench, out: &mut impl Write) -> anyhow::Result<()> {
        let side = self.backbone.input_side();
        let photos = bench.decoded(BATCH_MAX)?;
        let canvases: Vec<Canvas> = photos.iter().map(|photo| photo.fit(side)).collect();
        let peak = Level::best().peak_gflops();
        writeln!(
            out,
            "one thread multiplies and adds {peak:.0} billion times a second in registers ({:?})",
            Level::best()
        )?;
        writeln!(
            out,
            "largest distance of a signature from that of the plain pass: {:.1e}",
            self.difference(bench, &canvases[..BATCH])?
        )?;
        writeln!(
            out,
            "\nconvolutions, images a second\nthreads  batch  ours  candle's own  ratio  of the peak ({GFLOP} GFLOP an image)"
        )?;
        for threads in THREADS {
            let pool = pool(threads)?;
            for batch in [1, BATCH, BATCH_MAX] {
                let (ours, plain) = pool.install(|| self.convolutions(&canvases[..batch], bench.rounds))?;
                let share = ours * GFLOP / (peak * threads as f64);
                writeln!(
                    out,
                    "{threads:>7}  {batch:>5}  {ours:>4.0}  {plain:>12.0}  {:>5.1}  {share:.2}",
                    ours / plain
                )?;
            }
        }
        writeln!(out, "\none thread, milliseconds a picture, in batches of {BATCH}")?;
        let stages = pool(1)?.install(|| self.stages(bench, &photos[..BATCH], &canvases[..BATCH]))?;
        for (stage, ms) in stages {
            writeln!(out, "{stage:<28} {ms:6.2}")?;
        }
        Ok(())
    }

    /// Images a second of the convolutions and of candle's own, in turns.
    fn convolutions(&self, canvases: &[Canvas], rounds: u32) -> anyhow::Result<(f64, f64)> {
        let canvases: Vec<&Canvas> = canvases.iter().collect();
        let (mut ours, mut plain) = (Vec::new(), Vec::new());
        self.backbone.conv5(&canvases)?;
        for round in 0..rounds {
            let start = Instant::now();
            self.backbone.conv5(&canvases)?;
            ours.push(start.elapsed().as_secs_f64());
            if round < PLAIN_ROUNDS {
                let start = Instant::now();
                plain_conv5(&self.tensors, &AlexNet::input(&canvases)?)?;
                plain.push(start.elapsed().as_secs_f64());
            }
        }
        let rate = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            canvases.len() as f64 / times[times.len() / 2]
        };
        Ok((rate(ours), rate(plain)))
    }

    /// Largest distance between signatures of the maps that we and candle compute.
    fn difference(&self, bench: &Bench, canvases: &[Canvas]) -> anyhow::Result<f32> {
        let canvases: Vec<&Canvas> = canvases.iter().collect();
        let ours = bench.embedder.features(&canvases)?;
        let conv5 =
            plain_conv5(&self.tensors, &AlexNet::input(&canvases)?)?.flatten_from(1)?.to_vec2::<f32>()?;
        let mut plain = ours.clone();
        for (features, conv5) in plain.iter_mut().zip(conv5) {
            features.map[..conv5.len()].copy_from_slice(&conv5);
        }
        let ours = bench.embedder.signatures(ours, &bench.heads)?.embeddings;
        let plain = bench.embedder.signatures(plain, &bench.heads)?.embeddings;
        let pairs = ours.iter().zip(&plain).flat_map(|(a, b)| a.signatures.iter().zip(&b.signatures));
        let both = pairs.filter_map(|(a, b)| Some(distance(a.as_ref()?.values(), b.as_ref()?.values())));
        Ok(both.fold(0.0, f32::max))
    }

    fn stages(
        &self,
        bench: &Bench,
        photos: &[Photo],
        canvases: &[Canvas],
    ) -> anyhow::Result<Vec<(&'static str, f64)>> {
        let borrowed: Vec<&Canvas> = canvases.iter().collect();
        let (embedder, side) = (&bench.embedder, self.backbone.input_side());
        let features = embedder.features(&borrowed)?;
        let maps: Vec<Vec<f32>> = features.iter().map(|f| f.map.clone()).collect();
        let cases: Vec<_> = features.iter().map(|f| f.parts.case).collect();
        let mut stages = Vec::new();
        let mut stage = |name, run: &mut dyn FnMut() -> anyhow::Result<()>| -> anyhow::Result<()> {
            stages.push((name, 1e3 * bench.median(run)? / photos.len() as f64));
            Ok(())
        };
        stage("decode", &mut || {
            bench.photos[..photos.len()].iter().try_for_each(|bytes| decode(bytes).map(drop))
        })?;
        stage("fit to 224 x 224", &mut || {
            photos.iter().for_each(|photo| drop(photo.fit(side)));
            Ok(())
        })?;
        stage("convolutions", &mut || Ok(self.backbone.conv5(&borrowed).map(drop)?))?;
        stage("silhouette and parts", &mut || {
            canvases.iter().zip(&cases).for_each(|(canvas, case)| {
                // A fresh one, since a canvas remembers its silhouette.
                let _ = extract_parts(&canvas.afresh(), *case);
            });
            Ok(())
        })?;
        stage("whole map (cloth included)", &mut || Ok(embedder.maps(&borrowed).map(drop)?))?;
        stage("\"Extract Parts?\"", &mut || Ok(embedder.cases(&maps).map(drop)?))?;
        stage("ROI pooling and all heads", &mut || {
            Ok(embedder.signatures(features.clone(), &bench.heads).map(drop)?)
        })?;
        Ok(stages)
    }
}
