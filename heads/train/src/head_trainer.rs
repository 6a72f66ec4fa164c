//! Two-stage training of one head (section 6).

mod outcome;
mod schedule;

pub use outcome::{TrainError, Trained};
pub use schedule::{Progress, Schedule};

use super::checkpoint::Record;
use super::examples::Example;
use super::features::Pooled;
use super::inputs::{drop_out, fill, mask};
use super::loss::{cross_entropy, hinge};
use super::recipe::{HeadRecipe, Input, Ranking};
use super::sgd::Sgd;
use super::triplets::Targets;
use super::vocabulary::{REAL_MIN, attributes_of};
use crate::network::{Network, NetworkConfig};
use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use lapel_heads::{
    Attribute, Bundle, CONV5, FORMAT, HeadKind, Manifest, SignatureKind, SignatureSum, Weights, pooled_len,
    sha256_hex, store_prototypes,
};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// What the unit signature is multiplied by before the classifier.
const SCALE: f64 = 12.0;
/// Examples of each label in a batch that triplets are mined from.
const BATCH_EACH: usize = 6;

/// What a head learns from.
#[derive(Clone, Copy)]
pub struct HeadData<'a> {
    /// The examples.
    pub examples: &'a [Example],
    /// Their pooled region, and the whole map's if the head reads both.
    pub pooled: &'a [Arc<Pooled>],
    /// Which of them choose the best epoch and are not learnt from.
    pub validation: &'a [bool],
}

/// Trains one head on pooled features and gives the weights of the epoch of its last stage that told most labels
/// of the validation examples right.
///
/// After each epoch a checkpoint is written under `checkpoints`; a later call with the same arguments goes on
/// from it and ends with the same weights as an uninterrupted one.
///
/// # Errors
/// [`TrainError`].
pub fn train_head(
    recipe: &HeadRecipe,
    data: HeadData<'_>,
    fingerprint: &str,
    (schedule, checkpoints): (&Schedule, &Path),
    mut progress: impl FnMut(Progress),
) -> Result<Trained, TrainError> {
    let mut run = Run::new(recipe, data, schedule)?;
    let path = checkpoints.join(format!("{}-{}.safetensors", recipe.name, run.key(fingerprint)));
    let epochs = run.epochs();
    for epoch in run.resume(&path)?..epochs {
        let loss = run.epoch(epoch)?;
        let validation = run.validate()?;
        run.record.trace.push([loss, validation]);
        // Without validation examples the last epoch is the best.
        if epoch >= run.last_stage() && validation >= run.record.score {
            run.record.score = validation;
            run.record.best = run.sgd.weights()?;
        }
        progress(Progress { epoch: epoch + 1, epochs, loss, validation: Some(validation) });
        run.record.save(run.sgd.state(), &path, epoch + 1)?;
    }
    run.sgd.set(&run.record.best)?;
    Ok(Trained { bundle: run.bundle(fingerprint)?, score: run.record.score, trace: run.record.trace })
}

struct Run<'a> {
    recipe: &'a HeadRecipe,
    data: HeadData<'a>,
    inputs: usize,
    /// Inputs are divided by their root mean square, so that one rate suits every region.
    input_rms: f32,
    attributes: Vec<Attribute>,
    targets: Targets,
    network: Network,
    sgd: Sgd,
    schedule: Schedule,
    config: NetworkConfig,
    record: Record,
}

impl<'a> Run<'a> {
    fn new(recipe: &'a HeadRecipe, data: HeadData<'a>, schedule: &Schedule) -> Result<Self, TrainError> {
        let each = match recipe.input {
            Input::Conv5 => pooled_len(CONV5),
            Input::All => data.pooled[0].row(0).len(),
        };
        let inputs = each * data.pooled.len();
        let (attributes, targets) = attributes_of(recipe, data.examples, data.validation)?;
        if targets.usable().is_empty() {
            let (head, attributes) = (recipe.name.clone(), recipe.attributes.clone());
            return Err(TrainError::NoExamples { head, attributes });
        }
        let config = NetworkConfig {
            inputs,
            hidden: recipe.hidden,
            dim: recipe.dim,
            scale: SCALE,
            attributes: attributes.iter().map(|a| (a.name.clone(), a.labels.len())).collect(),
        };
        let weights = VarMap::new();
        let network =
            Network::new(&config, &VarBuilder::from_varmap(&weights, DType::F32, &schedule.device))?;
        let variables = seeded(&weights, schedule.seed)?;
        let mut run = Self {
            recipe,
            data,
            inputs,
            input_rms: 1.0,
            targets,
            attributes,
            network,
            sgd: Sgd::new(variables, schedule.momentum, schedule.weight_decay)?,
            schedule: schedule.clone(),
            config,
            record: Record::new(HashMap::new()),
        };
        run.input_rms = run.rms();
        run.record = Record::new(run.sgd.weights()?);
        Ok(run)
    }

    fn epochs(&self) -> usize {
        match self.recipe.ranking {
            Ranking::Off => self.schedule.epochs_1,
            Ranking::Random | Ranking::BatchHard | Ranking::SemiHard => {
                self.schedule.epochs_1 + self.schedule.epochs_2
            }
        }
    }

    /// The first epoch whose weights may be the result.
    fn last_stage(&self) -> usize {
        if self.recipe.ranking == Ranking::Off { self.schedule.epochs_1 / 2 } else { self.schedule.epochs_1 }
    }

    /// Tells runs apart: a checkpoint of other settings, labels, numbers to learn from or backbone is not gone on from.
    fn key(&self, fingerprint: &str) -> String {
        let examples = self.data.examples.iter().zip(self.data.validation);
        let labels: String =
            examples.map(|(e, held)| format!("{}/{held}/{:?};", e.is_real(), e.labels)).collect();
        let numbers: Vec<&str> = self.data.pooled.iter().map(|pooled| pooled.digest()).collect();
        let all = format!(
            "{fingerprint} {:?} {:?} {:?} {numbers:?} {labels}",
            self.recipe, self.schedule, self.attributes
        );
        sha256_hex(all.as_bytes())[..12].to_owned()
    }

    fn epoch(&mut self, epoch: usize) -> Result<f32, TrainError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.schedule.seed.wrapping_mul(1000) + epoch as u64);
        let mut order = self.targets.usable();
        order.shuffle(&mut rng);
        let second = epoch >= self.schedule.epochs_1;
        let (mut sum, mut steps) = (0.0, 0);
        for batch in order.chunks(self.schedule.batch) {
            let loss =
                if second { self.stage_2(batch.len(), &mut rng)? } else { self.stage_1(batch, &mut rng)? };
            let Some(loss) = loss else { continue };
            self.sgd.step(&loss.backward()?, self.rate(epoch))?;
            sum += loss.to_scalar::<f32>()?;
            steps += 1;
        }
        Ok(sum / steps.max(1) as f32)
    }

    /// Share of the held-out labels told right: mean over attributes, photos and rendered garments counting alike.
    fn validate(&self) -> Result<f32, TrainError> {
        let rows = self.targets.held_out();
        let mut counts: BTreeMap<(usize, bool), (f32, f32)> = BTreeMap::new();
        for rows in rows.chunks(256) {
            let signatures = Network::normalise(&self.network.fc7(&self.input(rows, None)?)?)?;
            for (attribute, (_, logits)) in self.network.logits(&signatures)?.iter().enumerate() {
                let told = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
                for (row, told) in rows.iter().zip(told) {
                    if let Some(label) = self.targets.by_attribute[attribute][*row] {
                        let real = self.data.examples[*row].is_real();
                        let (right, all) = counts.entry((attribute, real)).or_default();
                        *right += f32::from(u8::from(label == told));
                        *all += 1.0;
                    }
                }
            }
        }
        Ok(counts.values().map(|(right, all)| right / all).sum::<f32>() / counts.len().max(1) as f32)
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

    /// Stage 1: cross entropy alone.
    fn stage_1(&self, rows: &[usize], rng: &mut ChaCha8Rng) -> Result<Option<Tensor>, TrainError> {
        let signatures = self.learning_signatures(rows, rng)?;
        Ok(cross_entropy(&self.network, &signatures, &self.targets, rows)?)
    }

    /// Stage 2: the sum of both losses (Eq. 1 and Eq. 3) over about `count` examples.
    fn stage_2(&self, count: usize, rng: &mut ChaCha8Rng) -> Result<Option<Tensor>, TrainError> {
        let (rows, triplets, signatures) = match self.recipe.ranking {
            Ranking::Off | Ranking::Random => {
                let drawn: Vec<[usize; 3]> =
                    (0..count / 2).filter_map(|_| self.targets.triplet(rng)).collect();
                let n = drawn.len() as u32;
                let rows: Vec<usize> = (0..3).flat_map(|part| drawn.iter().map(move |t| t[part])).collect();
                let signatures = self.learning_signatures(&rows, rng)?;
                (rows, (0..n).map(|i| [i, i + n, i + 2 * n]).collect::<Vec<_>>(), signatures)
            }
            Ranking::BatchHard | Ranking::SemiHard => {
                let rows = self.targets.balanced(count, BATCH_EACH, rng);
                let signatures = self.learning_signatures(&rows, rng)?;
                let products = signatures.detach().matmul(&signatures.detach().t()?)?;
                // Farther is a smaller product of unit vectors.
                let distances = products.neg()?.to_vec2::<f32>()?;
                let semi_hard = self.recipe.ranking == Ranking::SemiHard;
                let triplets = self.targets.mined(&rows, &distances, semi_hard);
                (rows, triplets, signatures)
            }
        };
        if triplets.is_empty() {
            return Ok(None);
        }
        let part = |part: usize| -> candle_core::Result<Tensor> {
            let at: Vec<u32> = triplets.iter().map(|t| t[part]).collect();
            signatures.index_select(&Tensor::new(at, signatures.device())?, 0)
        };
        let ranking = hinge(&part(0)?, &part(1)?, &part(2)?, self.schedule.margin)?;
        Ok(Some(match cross_entropy(&self.network, &signatures, &self.targets, &rows)? {
            Some(entropy) => (entropy + ranking)?,
            None => ranking,
        }))
    }

    /// Signatures of the rows, `[rows, dim]`, with dropout.
    fn learning_signatures(&self, rows: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor, TrainError> {
        let hidden = self.network.fc6(&self.input(rows, Some(rng))?)?;
        let hidden = (&hidden * mask(hidden.dims2()?, self.schedule.dropout, rng, &self.schedule.device)?)?;
        Ok(Network::normalise(&self.network.fc7_of_hidden(&hidden)?)?)
    }

    /// `[rows, inputs]`, scaled, with dropout when a generator is given.
    fn input(&self, rows: &[usize], rng: Option<&mut ChaCha8Rng>) -> Result<Tensor, TrainError> {
        let mut data = vec![0.0f32; rows.len() * self.inputs];
        for (row, target) in rows.iter().zip(data.chunks_exact_mut(self.inputs)) {
            fill(self.data.pooled, *row, target);
        }
        let factor = 1.0 / self.input_rms;
        data.iter_mut().for_each(|value| *value *= factor);
        if let Some(rng) = rng {
            drop_out(&mut data, self.schedule.dropout, rng);
        }
        Ok(Tensor::from_vec(data, (rows.len(), self.inputs), &self.schedule.device)?)
    }

    /// Root mean square of the inputs, of one row in eight.
    fn rms(&self) -> f32 {
        let (mut sum, mut count) = (0.0, 0.0);
        let mut values = vec![0.0f32; self.inputs];
        for row in (0..self.data.examples.len()).step_by(8) {
            fill(self.data.pooled, row, &mut values);
            sum += values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            count += values.len() as f64;
        }
        ((sum / f64::max(count, 1.0)).sqrt() as f32).max(1e-6)
    }

    fn signatures(&self, rows: &[usize]) -> Result<Vec<Vec<f32>>, TrainError> {
        let fc7 = self.network.fc7(&self.input(rows, None)?)?;
        Ok(Network::normalise(&fc7)?.to_vec2()?)
    }

    /// Means over the training pictures as they are: over real photos where there are enough of a label, over
    /// rendered garments otherwise.
    fn prototypes(&self) -> Result<HashMap<String, Vec<SignatureSum>>, TrainError> {
        let examples = self.data.examples;
        let plain: Vec<usize> = (0..examples.len()).filter(|e| examples[*e].variant == 0).collect();
        let empty = |a: &Attribute| vec![SignatureSum::new(self.config.dim); a.labels.len()];
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
        let enough = |(r, s): (SignatureSum, SignatureSum)| if r.count() >= REAL_MIN as u64 { r } else { s };
        let chosen = real.into_iter().zip(rendered).map(|(r, s)| r.into_iter().zip(s).map(enough).collect());
        Ok(self.attributes.iter().map(|a| a.name.clone()).zip(chosen).collect())
    }

    fn bundle(&self, fingerprint: &str) -> Result<Bundle, TrainError> {
        let (recipe, examples) = (self.recipe, self.data.examples);
        let mut tensors = BTreeMap::new();
        for (name, tensor) in self.sgd.weights()? {
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
                name: recipe.name.clone(),
                kind: HeadKind::Network,
                backbone: Some(fingerprint.into()),
                region: recipe.region,
                context: recipe.context,
                inputs: Vec::new(),
                signature: SignatureKind::Layer,
                graph: false,
                exponent: 0.5,
                weight: 1.0,
                changed_weight: 1.0,
                confidence: 0.0,
                hidden: recipe.hidden,
                dim: recipe.dim,
                scale: SCALE as f32,
                attributes: self.attributes.clone(),
                groups: Vec::new(),
                prototype_counts: BTreeMap::new(),
                thresholds: BTreeMap::new(),
                description: format!("trained on {real} photos and {rendered} rendered garments"),
            },
            tensors,
            graph: None,
        };
        store_prototypes(&mut bundle, &self.prototypes()?);
        Ok(bundle)
    }

    /// Epochs already done.
    fn resume(&mut self, path: &Path) -> Result<usize, TrainError> {
        let Some((state, done)) = self.record.load(path, &self.schedule.device)? else { return Ok(0) };
        self.sgd.restore(&state)?;
        Ok(done)
    }
}

/// Replaces candle's unseeded start values by seeded ones of the same law, in the order of the names.
pub(super) fn seeded(weights: &VarMap, seed: u64) -> Result<Vec<(String, Var)>, TrainError> {
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

#[cfg(test)]
mod tests;
