//! Tuning a backbone: its later blocks learn from the labelled photos themselves, all attributes together.
//!
//! Each epoch sees another draw of every photo ([`Draw`]) and other squares of it. The light heads that teach the
//! network start as probes, so that the first steps do not destroy what it knows, and are thrown away in the end:
//! probes are fitted anew on what it then gives. Some photos are set aside and never taught
//! ([`TablePhoto::is_set_aside`]); probes learn from them how sure they may be.

mod lessons;

use super::draws::Draw;
use super::table::TablePhoto;
use crate::{Adam, Tape, TrainableInverted};
use anyhow::Context;
use candle_core::{Device, Tensor, Var};
use lapel_fit::{Linear, Rows, Scaling, TeachError, fit};
use lapel_heads::{
    Attribute, Backbone, BackboneManifest, Canvas, InvertedResidual, Map, NetworkKind, Square, Tap, Views,
    Weights, cloth_colours,
};
use lessons::Lessons;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Decay of the probes that the light heads start as.
const START_DECAY: f64 = 1e-4;
/// Of the network's and the light heads' weights, by step and rate.
const WEIGHT_DECAY: f64 = 0.02;
/// Share of the running mean of the weights that a step keeps.
const KEPT: f64 = 0.995;
/// Share of the inputs of the light heads that are left out at each step.
const DROPPED: f32 = 0.2;
/// Photos that are looked at together after an epoch.
const EXAM_BATCH: usize = 16;
/// Steps, in epochs, over which the rate rises.
const WARM_UP: f64 = 0.5;

/// How a backbone is tuned.
#[derive(Clone, Debug)]
pub struct TuneSettings {
    /// Times that every photo is seen.
    pub epochs: usize,
    /// Photos of a step.
    pub batch: usize,
    /// The highest rate, reached after half an epoch and falling to nought as a cosine does.
    pub rate: f64,
    /// The first block that is trained.
    pub from: usize,
    /// Side of the views in training, in pixels; fewer cost less, and the network is used with its manifest's.
    pub side: usize,
    /// Of draws, squares and order.
    pub seed: u64,
}

/// What an epoch came to.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Its number, counted from 1.
    pub number: usize,
    /// Mean loss of its steps.
    pub loss: f64,
    /// Mean accuracy and balanced accuracy over the attributes, of the photos that are set aside.
    pub set_aside: (f64, f64),
}

/// The light heads: one linear layer on scaled features for all labels of all attributes.
struct Lights {
    scaling: Scaling,
    /// Root of the number of inputs: they are of variance one here.
    root: f64,
    weight: Var,
    bias: Var,
}

impl Lights {
    /// As probes of rows of features of the lessons' photos.
    fn new(lessons: &Lessons<'_>, rows: &Tensor) -> anyhow::Result<Self> {
        let scaling = Scaling::of(rows)?;
        let inputs = scaling.apply(rows)?;
        let root = (rows.dim(1)? as f64).sqrt();
        let layers = lessons.attributes.par_iter().zip(&lessons.labels).map(|(attribute, labels)| {
            let known: Vec<u32> = (0u32..).zip(labels).filter_map(|(at, l)| l.map(|_| at)).collect();
            let own: Vec<u16> = labels.iter().flatten().copied().collect();
            let known = inputs.index_select(&Tensor::new(known, &Device::Cpu)?, 0)?;
            let rows = Rows { inputs: &known, labels: &own, weights: &vec![1.0; own.len()] };
            fit(&rows, attribute.labels.len(), START_DECAY, &|| false)
        });
        let layers: Vec<Linear> = layers.collect::<Result<_, TeachError>>()?;
        let weights: Vec<Tensor> =
            layers.iter().map(|layer| &layer.weight / root).collect::<candle_core::Result<_>>()?;
        let biases: Vec<&Tensor> = layers.iter().map(|layer| &layer.bias).collect();
        let (weight, bias) =
            (Var::from_tensor(&Tensor::cat(&weights, 0)?)?, Var::from_tensor(&Tensor::cat(&biases, 0)?)?);
        Ok(Self { scaling, root, weight, bias })
    }

    fn variables(&self) -> Vec<(String, Var)> {
        vec![("lights.weight".into(), self.weight.clone()), ("lights.bias".into(), self.bias.clone())]
    }

    fn inputs(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        self.scaling.apply(rows)? * self.root
    }
}

/// The network in training, what teaches it, and what its blocks that stay gave.
struct Tuner<'a> {
    manifest: &'a BackboneManifest,
    /// As training began: it says where the garment is.
    begun: &'a Views,
    settings: &'a TuneSettings,
    /// For the blocks that stay as they are.
    fixed: InvertedResidual,
    trained: TrainableInverted,
    lights: Lights,
    lessons: Lessons<'a>,
}

/// A photo as a step sees it.
struct Sight {
    views: Vec<Vec<u8>>,
    colours: Vec<f32>,
}

impl Tuner<'_> {
    /// Another picture of a photo, and other squares of it.
    fn sight(&self, photo: &TablePhoto, draw: Draw, mut rng: ChaCha8Rng) -> anyhow::Result<Sight> {
        let content = photo.content.with_context(|| photo.path.display().to_string())?;
        let picture = draw.of(&photo.read()?, self.begun, &content, self.settings.seed);
        let canvas = self.begun.canvas(&picture);
        let look = |view: &lapel_heads::View| {
            let Square { x, y, side } = view.square(&canvas);
            let mut by = || rng.random_range(-0.05..0.05f32) * side;
            let (x, y) = (x + by(), y + by());
            let larger = rng.random_range(0.88..1.14);
            let moved = side * (1.0 - larger) / 2.0;
            let square = Square { x: x + moved, y: y + moved, side: side * larger };
            canvas.look(square, self.settings.side)
        };
        let views = self.manifest.views.iter().map(look).collect();
        Ok(Sight { views, colours: cloth_colours(&canvas) })
    }

    /// What the network gives for sights, `[sights, numbers]`, as the backbone arranges it, and how it came about.
    fn forward(&self, sights: &[Sight]) -> anyhow::Result<(Tensor, Tape)> {
        let views: Vec<&[u8]> = sights.iter().flat_map(|sight| &sight.views).map(Vec::as_slice).collect();
        let tap = Tap::Block(self.settings.from - 1);
        let maps = self.fixed.forward(&views, self.settings.side, &[tap])?;
        let maps: Vec<&Map> = maps.iter().flatten().collect();
        let (pooled, tape) = self.trained.forward(&maps, &self.manifest.blocks)?;
        Ok((pooled.reshape((sights.len(), ()))?, tape))
    }

    /// A step: some photos, each in a picture of its own.
    fn step(
        &self,
        rows: &[usize],
        rng: &mut ChaCha8Rng,
        round: u8,
        adam: &mut Adam,
        rate: f64,
    ) -> anyhow::Result<f64> {
        let drawn: Vec<(usize, Draw, ChaCha8Rng)> =
            rows.iter().map(|row| (*row, draw(rng, round), ChaCha8Rng::from_rng(rng))).collect();
        let sights = drawn
            .par_iter()
            .map(|(row, draw, rng)| self.sight(self.lessons.photos[*row], *draw, rng.clone()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let (pooled, tape) = self.forward(&sights)?;
        let pooled = Var::from_tensor(&pooled)?;
        let colours: Vec<f32> = sights.iter().flat_map(|sight| &sight.colours).copied().collect();
        let colours = Tensor::from_vec(colours, (sights.len(), ()), &Device::Cpu)?;
        let features = self.lights.inputs(&Tensor::cat(&[pooled.as_tensor(), &colours], 1)?)?;
        let kept: Vec<f32> = (0..features.elem_count())
            .map(|_| if rng.random::<f32>() < DROPPED { 0.0 } else { 1.0 / (1.0 - DROPPED) })
            .collect();
        let features = (&features * Tensor::from_vec(kept, features.shape(), &Device::Cpu)?)?;
        let logits = features.matmul(&self.lights.weight.t()?)?.broadcast_add(&self.lights.bias)?;
        let shown: Vec<(usize, Draw)> = drawn.iter().map(|(row, draw, _)| (*row, *draw)).collect();
        let loss = self.lessons.loss(&logits, &self.lessons.targets(&shown)?)?;
        let of_loss = loss.backward()?;
        let of_pooled = of_loss.get(&pooled).context("the loss does not hang on the network")?;
        let views = sights.len() * self.manifest.views.len();
        let mut gradients = self.trained.backward(&tape, &of_pooled.reshape((views, ()))?)?;
        for (name, var) in self.lights.variables() {
            gradients.insert(
                name,
                of_loss.get(&var).context("the loss does not hang on the light heads")?.clone(),
            );
        }
        adam.step(&gradients, rate)?;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }

    /// Logits of photos on their canvases, by the means of what is learnt.
    fn logits(
        &self,
        (means, tensors): (&HashMap<String, Tensor>, &BTreeMap<String, Weights>),
        canvases: &[Canvas],
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let views = Views::new(self.manifest.clone(), &self.tensors(means, tensors)?)?;
        let (weight, bias) = (&means["lights.weight"], &means["lights.bias"]);
        let mut logits = Vec::with_capacity(canvases.len());
        for canvases in canvases.chunks(EXAM_BATCH) {
            let rows = views.forward(&canvases.iter().collect::<Vec<_>>())?;
            let rows = self.lights.inputs(&rows)?.matmul(&weight.t()?)?.broadcast_add(bias)?;
            logits.extend(rows.to_vec2::<f32>()?);
        }
        Ok(logits)
    }

    /// All tensors of the network by running means of its weights.
    fn tensors(
        &self,
        means: &HashMap<String, Tensor>,
        tensors: &BTreeMap<String, Weights>,
    ) -> anyhow::Result<BTreeMap<String, Weights>> {
        let mut all = tensors.clone();
        all.extend(self.trained.stored(means)?);
        Ok(all)
    }
}

/// How a photo is drawn in training.
fn draw(rng: &mut impl Rng, round: u8) -> Draw {
    match rng.random_range(0..20) {
        0 => Draw::Plain,
        1..12 => Draw::Jittered(round),
        12..16 => Draw::OnWhite(round),
        _ => Draw::Folded(round),
    }
}

/// Tunes a backbone on training photos and gives its tensors; `rows` are the photos' features by the backbone as it
/// is. A run that was cut off goes on from `checkpoint`, which must be of the same photos, labels and settings.
///
/// # Errors
/// When a photo or the checkpoint cannot be read, there is no such block, or nothing to learn from.
pub fn tune(
    (manifest, tensors): (&BackboneManifest, &BTreeMap<String, Weights>),
    (photos, rows): (&[TablePhoto], &Tensor),
    attributes: &[Attribute],
    settings: &TuneSettings,
    checkpoint: &Path,
    mut progress: impl FnMut(usize, usize, Option<Epoch>),
) -> anyhow::Result<BTreeMap<String, Weights>> {
    let (aside, taught): (Vec<usize>, Vec<usize>) =
        (0..photos.len()).partition(|at| photos[*at].is_set_aside());
    let NetworkKind::InvertedResidual(architecture) = manifest.architecture else {
        anyhow::bail!(
            "networks of inverted residual blocks are tuned; {} is not",
            manifest.architecture.name()
        );
    };
    let (photos_taught, batch) = (taught.len(), settings.batch);
    anyhow::ensure!(
        !attributes.is_empty() && batch > 0 && photos_taught >= batch,
        "a step takes {batch} photos, and {photos_taught} are not set aside: more photos or a smaller batch are wanted"
    );
    let lessons = Lessons::new(taught.iter().map(|at| &photos[*at]).collect(), attributes);
    let exam = Lessons::new(aside.iter().map(|at| &photos[*at]).collect(), attributes);
    let begun = Views::new(manifest.clone(), tensors)?;
    let exam_canvases = canvases(&begun, &exam.photos)?;
    let index: Vec<u32> = taught.iter().map(|at| *at as u32).collect();
    let lights = Lights::new(&lessons, &rows.index_select(&Tensor::new(index, &Device::Cpu)?, 0)?)?;
    let tuner = Tuner {
        fixed: InvertedResidual::first_blocks(architecture, settings.from, tensors)?,
        trained: TrainableInverted::new(architecture, tensors, settings.from)?,
        manifest,
        begun: &begun,
        settings,
        lights,
        lessons,
    };
    let variables = tuner.trained.variables().into_iter().chain(tuner.lights.variables()).collect();
    let mut adam = Adam::new(variables, WEIGHT_DECAY, KEPT)?;
    let steps = taught.len() / settings.batch;
    let done = resume(&mut adam, checkpoint).with_context(|| {
        format!("{} cannot be gone on from; delete it to begin anew", checkpoint.display())
    })?;
    for epoch in done..settings.epochs {
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed ^ (epoch as u64 + 1) << 20);
        let mut order: Vec<usize> = (0..taught.len()).collect();
        order.shuffle(&mut rng);
        let mut loss = 0.0;
        for (step, rows) in order.chunks_exact(settings.batch).enumerate() {
            let at = epoch as f64 + step as f64 / steps as f64;
            loss += tuner.step(rows, &mut rng, epoch as u8, &mut adam, settings.rate_at(at))?;
            progress(epoch * steps + step + 1, settings.epochs * steps, None);
        }
        let means = adam.means()?;
        let logits = tuner.logits((&means, tensors), &exam_canvases)?;
        let mut state = adam.state()?;
        state.insert("epochs".into(), Tensor::new(epoch as u32 + 1, &Device::Cpu)?);
        let unfinished = checkpoint.with_extension("part");
        candle_core::safetensors::save(&state, &unfinished)?;
        fs_err::rename(&unfinished, checkpoint)?;
        let set_aside = exam.accuracy(&logits);
        let told_of = Epoch { number: epoch + 1, loss: loss / steps as f64, set_aside };
        progress((epoch + 1) * steps, settings.epochs * steps, Some(told_of));
    }
    tuner.tensors(&adam.means()?, tensors)
}

/// Takes up what a checkpoint holds, and gives the epochs behind it: none where there is no checkpoint.
fn resume(adam: &mut Adam, checkpoint: &Path) -> anyhow::Result<usize> {
    if !checkpoint.exists() {
        return Ok(0);
    }
    let state = candle_core::safetensors::load(checkpoint, &Device::Cpu)?;
    adam.restore(&state)?;
    Ok(state.get("epochs").context("the checkpoint lacks epochs")?.to_scalar::<u32>()? as usize)
}

impl TuneSettings {
    /// The rate after so many epochs.
    fn rate_at(&self, epochs: f64) -> f64 {
        let rising = (epochs / WARM_UP).min(1.0);
        let falling = 0.5 * (1.0 + (std::f64::consts::PI * epochs / self.epochs as f64).cos());
        self.rate * rising * falling
    }
}

fn canvases(views: &Views, photos: &[&TablePhoto]) -> anyhow::Result<Vec<Canvas>> {
    let canvas = |photo: &&TablePhoto| {
        let canvas = views.canvas(&photo.read()?);
        let _ = canvas.silhouette();
        Ok(canvas)
    };
    photos.par_iter().map(canvas).collect()
}

#[cfg(test)]
mod tests;
