//! Two-stage training of one head (section 6).

use super::examples::Example;
use super::recipe::HeadRecipe;
use super::sgd::Sgd;
use super::triplets::Targets;
use crate::backbone::Backbone;
use crate::bundle::{Bundle, BundleError, Weights};
use crate::hash::sha256_hex;
use crate::head::{Network, NetworkConfig, store_prototypes};
use crate::manifest::{Attribute, FORMAT, HeadKind, Manifest};
use crate::prototype::PrototypeSum;
use candle_core::{D, DType, Device, IndexOp, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Real photos that a label needs to be learnt, or ...
const REAL_MIN: usize = 8;
/// ... rendered garments.
const RENDERED_MIN: usize = 40;
/// What the unit signature is multiplied by before the classifier.
const SCALE: f64 = 12.0;

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The tensor library failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// The bundle cannot be written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// No label occurs often enough.
    #[error("no label of {attribute} has {REAL_MIN} photos or {RENDERED_MIN} rendered garments")]
    NoLabels {
        /// The attribute.
        attribute: String,
    },
}

/// Epochs, rates and the like; the defaults are the paper's where it gives them.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Epochs of cross entropy alone.
    pub epochs_1: usize,
    /// Epochs of cross entropy and triplets.
    pub epochs_2: usize,
    /// Examples a step.
    pub batch: usize,
    /// Rate of stage 1 (section 6: 0.01).
    pub rate_1: f64,
    /// Rate of stage 2.
    pub rate_2: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Share of the pooled inputs and of fc6's outputs dropped in training.
    pub dropout: f32,
    /// The triplet margin m.
    pub margin: f64,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            epochs_1: 30,
            epochs_2: 12,
            batch: 64,
            rate_1: 0.01,
            rate_2: 0.003,
            momentum: 0.9,
            weight_decay: 5e-4,
            dropout: 0.5,
            margin: 0.5,
            seed: 1,
        }
    }
}

/// Told after each epoch.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Epoch, from 1, over both stages.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Mean loss of the epoch.
    pub loss: f32,
}

/// Trains one head on pooled features and gives its bundle.
///
/// `pooled` is `[examples * inputs]`, f16. After each epoch a checkpoint is written under `checkpoints`; a
/// later call with the same arguments goes on from it and ends with the same weights as an uninterrupted one.
///
/// # Errors
/// [`TrainError`].
pub fn train_head(
    recipe: &HeadRecipe,
    (examples, pooled): (&[Example], &[f16]),
    backbone: &dyn Backbone,
    (schedule, checkpoints): (&Schedule, &Path),
    mut told: impl FnMut(Progress),
) -> Result<Bundle, TrainError> {
    let mut run = Run::new(recipe, examples, pooled, schedule)?;
    let path = checkpoints.join(format!("{}-{}.safetensors", recipe.name, run.key(recipe, examples)));
    let epochs = schedule.epochs_1 + schedule.epochs_2;
    let first = run.resume(&path)?;
    for epoch in first..epochs {
        let loss = run.epoch(epoch)?;
        told(Progress { epoch: epoch + 1, epochs, loss });
        run.save(&path, epoch + 1)?;
    }
    run.bundle(recipe, backbone.fingerprint(), examples)
}

struct Run<'a> {
    pooled: &'a [f16],
    inputs: usize,
    /// Inputs are divided by their root mean square, so that one rate suits every region.
    input_rms: f32,
    attributes: Vec<Attribute>,
    targets: Targets,
    network: Network,
    sgd: Sgd,
    schedule: Schedule,
    config: NetworkConfig,
}

impl<'a> Run<'a> {
    fn new(
        recipe: &HeadRecipe,
        examples: &[Example],
        pooled: &'a [f16],
        schedule: &Schedule,
    ) -> Result<Self, TrainError> {
        let inputs = pooled.len() / examples.len().max(1);
        let attributes = recipe.attributes.iter().map(|a| labels_of(a, recipe, examples));
        let attributes = attributes.collect::<Result<Vec<_>, _>>()?;
        let number = |a: &Attribute, e: &Example| {
            let label = e.labels.get(&a.name).filter(|_| recipe.real || !e.is_real())?;
            a.labels.iter().position(|l| l == label).map(|at| at as u32)
        };
        let by_attribute =
            attributes.iter().map(|a| examples.iter().map(|e| number(a, e)).collect()).collect();
        let sizes: Vec<usize> = attributes.iter().map(|a| a.labels.len()).collect();
        let config = NetworkConfig {
            inputs,
            hidden: recipe.hidden,
            dim: recipe.dim,
            scale: SCALE,
            attributes: attributes.iter().map(|a| (a.name.clone(), a.labels.len())).collect(),
        };
        let weights = VarMap::new();
        let network = Network::new(&config, &VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu))?;
        let variables = seeded(&weights, schedule.seed)?;
        Ok(Self {
            pooled,
            inputs,
            input_rms: rms(pooled),
            targets: Targets::new(by_attribute, &sizes),
            attributes,
            network,
            sgd: Sgd::new(variables, schedule.momentum, schedule.weight_decay)?,
            schedule: schedule.clone(),
            config,
        })
    }

    /// Tells runs apart: a checkpoint of other settings, labels or examples is not gone on from.
    fn key(&self, recipe: &HeadRecipe, examples: &[Example]) -> String {
        let sources: String = examples.iter().map(|e| format!("{:?}/{};", e.source, e.variant)).collect();
        let all = format!("{recipe:?} {:?} {:?} {sources}", self.schedule, self.attributes);
        sha256_hex(all.as_bytes())[..12].to_owned()
    }

    fn epoch(&mut self, epoch: usize) -> Result<f32, TrainError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.schedule.seed.wrapping_mul(1000) + epoch as u64);
        let mut order = self.targets.usable();
        order.shuffle(&mut rng);
        let second = epoch >= self.schedule.epochs_1;
        let (mut sum, mut steps) = (0.0, 0);
        for batch in order.chunks(self.schedule.batch) {
            let loss = if second {
                self.stage_2(batch.len() / 2, &mut rng)?
            } else {
                self.cross_entropy(batch, &mut rng)?.1
            };
            let Some(loss) = loss else { continue };
            self.sgd.step(&loss.backward()?, self.rate(epoch))?;
            sum += loss.to_scalar::<f32>()?;
            steps += 1;
        }
        Ok(sum / steps.max(1) as f32)
    }

    /// Falls to a tenth over each stage, along a cosine.
    fn rate(&self, epoch: usize) -> f64 {
        let Schedule { epochs_1, epochs_2, rate_1, rate_2, .. } = self.schedule;
        let (rate, at) = if epoch < epochs_1 {
            (rate_1, epoch as f64 / epochs_1 as f64)
        } else {
            (rate_2, (epoch - epochs_1) as f64 / epochs_2 as f64)
        };
        rate * (0.1 + 0.9 * 0.5 * (1.0 + (at * std::f64::consts::PI).cos()))
    }

    /// Stage 2: the sum of both losses over `count` triplets (Eq. 1 and Eq. 3, the hinge with a positive sign).
    fn stage_2(&self, count: usize, rng: &mut ChaCha8Rng) -> Result<Option<Tensor>, TrainError> {
        let triplets: Vec<[usize; 3]> = (0..count).filter_map(|_| self.targets.triplet(rng)).collect();
        if triplets.is_empty() {
            return Ok(None);
        }
        let rows: Vec<usize> = (0..3).flat_map(|part| triplets.iter().map(move |t| t[part])).collect();
        let (signatures, entropy) = self.cross_entropy(&rows, rng)?;
        let n = triplets.len();
        let (anchor, positive, negative) =
            (signatures.i(..n)?, signatures.i(n..2 * n)?, signatures.i(2 * n..)?);
        let gap = |a: &Tensor, b: &Tensor| ((a - b)?.sqr()?.sum(D::Minus1)? + 1e-8)?.sqrt();
        let hinge =
            ((gap(&anchor, &positive)? - gap(&anchor, &negative)?)? + self.schedule.margin)?.relu()?;
        let ranking = hinge.mean_all()?;
        Ok(Some(match entropy {
            Some(entropy) => (entropy + ranking)?,
            None => ranking,
        }))
    }

    /// Signatures of the rows, and the cross entropy over all attributes, missing labels masked (Eq. 1, 2).
    fn cross_entropy(
        &self,
        rows: &[usize],
        rng: &mut ChaCha8Rng,
    ) -> Result<(Tensor, Option<Tensor>), TrainError> {
        let input = self.input(rows, Some(rng))?;
        let hidden = self.network.fc6(&input)?;
        let hidden = (hidden.clone() * mask(hidden.dims2()?, self.schedule.dropout, rng)?)?;
        let signatures = Network::normalise(&self.network.fc7_of_hidden(&hidden)?)?;
        let mut total: Option<Tensor> = None;
        for ((_, logits), labels) in self.network.logits(&signatures)?.iter().zip(&self.targets.by_attribute)
        {
            let known: Vec<(u32, u32)> =
                rows.iter().enumerate().filter_map(|(at, e)| Some((at as u32, labels[*e]?))).collect();
            if known.is_empty() {
                continue;
            }
            let (at, wanted): (Vec<u32>, Vec<u32>) = known.into_iter().unzip();
            let logits = logits.index_select(&Tensor::new(at, &Device::Cpu)?, 0)?;
            let entropy = candle_nn::loss::cross_entropy(&logits, &Tensor::new(wanted, &Device::Cpu)?)?;
            total = Some(match total {
                Some(sum) => (sum + entropy)?,
                None => entropy,
            });
        }
        Ok((signatures, total))
    }

    /// `[rows, inputs]`, scaled, with dropout when a generator is given.
    fn input(&self, rows: &[usize], rng: Option<&mut ChaCha8Rng>) -> Result<Tensor, TrainError> {
        let mut data = vec![0.0f32; rows.len() * self.inputs];
        for (row, target) in rows.iter().zip(data.chunks_exact_mut(self.inputs)) {
            self.pooled[row * self.inputs..][..self.inputs].convert_to_f32_slice(target);
        }
        let keep = 1.0 - self.schedule.dropout;
        let factor = 1.0 / self.input_rms;
        match rng {
            Some(rng) => {
                // One random byte a number is enough of a coin, and four times cheaper.
                let threshold = (keep * 256.0) as u8;
                let mut coins = vec![0u8; data.len()];
                rng.fill(&mut coins[..]);
                for (value, coin) in data.iter_mut().zip(coins) {
                    *value = if coin < threshold { *value * factor / keep } else { 0.0 };
                }
            }
            None => data.iter_mut().for_each(|value| *value *= factor),
        }
        Ok(Tensor::from_vec(data, (rows.len(), self.inputs), &Device::Cpu)?)
    }

    fn signatures(&self, rows: &[usize]) -> Result<Vec<Vec<f32>>, TrainError> {
        let fc7 = self.network.fc7(&self.input(rows, None)?)?;
        Ok(Network::normalise(&fc7)?.to_vec2()?)
    }

    /// Means over the training pictures as they are: over real photos where there are enough of a label, over
    /// rendered garments otherwise.
    fn prototypes(&self, examples: &[Example]) -> Result<HashMap<String, Vec<PrototypeSum>>, TrainError> {
        let plain: Vec<usize> = (0..examples.len()).filter(|e| examples[*e].variant == 0).collect();
        let empty = |a: &Attribute| vec![PrototypeSum::new(self.config.dim); a.labels.len()];
        let mut real: Vec<_> = self.attributes.iter().map(empty).collect();
        let mut rendered = real.clone();
        for rows in plain.chunks(256) {
            for (example, signature) in rows.iter().zip(self.signatures(rows)?) {
                let sums = if examples[*example].is_real() { &mut real } else { &mut rendered };
                for (sums, labels) in sums.iter_mut().zip(&self.targets.by_attribute) {
                    if let Some(label) = labels[*example] {
                        sums[label as usize].add(&signature);
                    }
                }
            }
        }
        let enough = |(r, s): (PrototypeSum, PrototypeSum)| if r.count() >= REAL_MIN as u64 { r } else { s };
        let chosen = real.into_iter().zip(rendered).map(|(r, s)| r.into_iter().zip(s).map(enough).collect());
        Ok(self.attributes.iter().map(|a| a.name.clone()).zip(chosen).collect())
    }

    fn bundle(
        &self,
        recipe: &HeadRecipe,
        fingerprint: &str,
        examples: &[Example],
    ) -> Result<Bundle, TrainError> {
        let mut tensors = BTreeMap::new();
        for (name, tensor) in self.sgd.state() {
            if name.starts_with("velocity.") {
                continue;
            }
            let mut data = tensor.flatten_all()?.to_vec1::<f32>()?;
            if name == "fc6.weight" {
                data.iter_mut().for_each(|v| *v /= self.input_rms);
            }
            tensors.insert(name, Weights { shape: tensor.dims().to_vec(), data });
        }
        let real =
            examples.iter().filter(|e| e.is_real() && e.variant == 0).count() * usize::from(recipe.real);
        let rendered = examples.iter().filter(|e| !e.is_real()).count();
        let mut bundle = Bundle {
            manifest: Manifest {
                format: FORMAT,
                name: recipe.name.into(),
                kind: HeadKind::Network,
                backbone: Some(fingerprint.into()),
                region: recipe.region,
                hidden: recipe.hidden,
                dim: recipe.dim,
                scale: SCALE as f32,
                attributes: self.attributes.clone(),
                prototype_counts: BTreeMap::new(),
                description: format!("trained on {real} photos and {rendered} rendered garments"),
            },
            tensors,
        };
        store_prototypes(&mut bundle, &self.prototypes(examples)?);
        Ok(bundle)
    }

    fn save(&self, path: &Path, epochs_done: usize) -> Result<(), TrainError> {
        let mut state = self.sgd.state();
        state.insert("epochs_done".into(), Tensor::new(epochs_done as u32, &Device::Cpu)?);
        let temporary = path.with_extension("tmp");
        candle_core::safetensors::save(&state, &temporary)?;
        std::fs::rename(temporary, path)?;
        Ok(())
    }

    /// Epochs already done.
    fn resume(&mut self, path: &Path) -> Result<usize, TrainError> {
        if !path.exists() {
            return Ok(0);
        }
        let state = candle_core::safetensors::load(path, &Device::Cpu)?;
        self.sgd.restore(&state)?;
        Ok(state.get("epochs_done").map_or(Ok(0), Tensor::to_scalar::<u32>)? as usize)
    }
}

/// Replaces candle's unseeded start values by seeded ones of the same law, in the order of the names.
fn seeded(weights: &VarMap, seed: u64) -> Result<Vec<(String, Var)>, TrainError> {
    let data = weights.data().lock().map_err(|_| candle_core::Error::Msg("a poisoned lock".into()))?;
    let sorted: BTreeMap<String, Var> = data.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (name, var) in &sorted {
        let spread = match var.dims() {
            [_, inputs] => (3.0 / *inputs as f32).sqrt(),
            _ => 0.0,
        };
        let draw = |_| if name.ends_with("bias") { 0.0 } else { rng.random_range(-spread..=spread) };
        let values: Vec<f32> = (0..var.elem_count()).map(draw).collect();
        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu)?)?;
    }
    Ok(sorted.into_iter().collect())
}

/// The labels of an attribute that occur often enough, by name.
fn labels_of(attribute: &str, recipe: &HeadRecipe, examples: &[Example]) -> Result<Attribute, TrainError> {
    let name = attribute.to_owned();
    if !recipe.labels.is_empty() {
        return Ok(Attribute { name, labels: recipe.labels.clone() });
    }
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for example in examples.iter().filter(|e| e.variant == 0) {
        if let Some(label) = example.labels.get(attribute) {
            let (real, rendered) = counts.entry(label).or_default();
            if example.is_real() { *real += usize::from(recipe.real) } else { *rendered += 1 }
        }
    }
    let enough = counts.iter().filter(|(_, (real, rendered))| *real >= REAL_MIN || *rendered >= RENDERED_MIN);
    let labels: Vec<String> = enough.map(|(label, _)| (*label).to_owned()).collect();
    if labels.is_empty() {
        Err(TrainError::NoLabels { attribute: name })
    } else {
        Ok(Attribute { name, labels })
    }
}

fn rms(values: &[f16]) -> f32 {
    let sum: f64 = values.iter().step_by(7).map(|v| f64::from(v.to_f32()).powi(2)).sum();
    ((sum / (values.len() as f64 / 7.0).max(1.0)).sqrt() as f32).max(1e-6)
}

fn mask((rows, columns): (usize, usize), dropout: f32, rng: &mut ChaCha8Rng) -> candle_core::Result<Tensor> {
    let keep = 1.0 - dropout;
    let coin = |_| if rng.random::<f32>() < keep { 1.0 / keep } else { 0.0 };
    Tensor::from_vec((0..rows * columns).map(coin).collect::<Vec<f32>>(), (rows, columns), &Device::Cpu)
}

#[cfg(test)]
mod tests;
