//! Fine-tuning of the backbone under all heads together (section 6).
//!
//! conv1 to conv5, or the later ones of them, learn by the cross entropy of every attribute, through ROI pooling
//! and light heads of their own, which are dropped afterwards: the shipped heads are trained on the result.

use super::canvases::CanvasCache;
use super::checkpoint::Record;
use super::examples::{Example, parts_case};
use super::head_trainer::{Progress, TrainError, seeded};
use super::inputs::mask;
use super::loss::cross_entropy;
use super::recipe::HeadRecipe;
use super::sgd::Sgd;
use super::triplets::Targets;
use super::vocabulary::attributes_of;
use crate::backbone::{TrainableAlexNet, max_pool};
use crate::network::{Network, NetworkConfig};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use lapel_heads::{
    CONV5 as MAP, Canvas, Parts, PartsCase, Rect, Region, crop_matrix, pooled_len, sha256_hex,
};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const HIDDEN: usize = 64;
const DIM: usize = 32;
const SCALE: f64 = 12.0;

/// Epochs, rates and the like of [`train_backbone`].
#[derive(Clone, Debug)]
pub struct BackboneSchedule {
    /// Epochs.
    pub epochs: usize,
    /// Examples a step.
    pub batch: usize,
    /// Rate of the convolutions.
    pub rate: f64,
    /// Rate of the light heads.
    pub head_rate: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Share of the pooled inputs dropped.
    pub dropout: f32,
    /// Variants of a photo seen in an epoch.
    pub variants_an_epoch: usize,
    /// The first convolution that moves, from 0.
    pub trained_from: usize,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for BackboneSchedule {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 32,
            rate: 0.002,
            head_rate: 0.01,
            momentum: 0.9,
            weight_decay: 5e-4,
            dropout: 0.5,
            variants_an_epoch: 3,
            trained_from: 0,
            seed: 1,
        }
    }
}

/// What the backbone learns from.
pub struct BackboneData<'a> {
    /// The heads whose attributes are learnt.
    pub recipes: &'a [HeadRecipe],
    /// The examples; variants of one picture follow each other.
    pub examples: &'a [Example],
    /// Their canvases.
    pub canvases: &'a CanvasCache,
    /// Which examples choose the best epoch and are not learnt from.
    pub validation: &'a [bool],
}

/// Trains and gives the weights of the epoch that told most labels of the validation examples right.
///
/// After each epoch a checkpoint is written under `checkpoints`; a later call with the same arguments goes on from
/// it and ends with the same weights as an uninterrupted one.
///
/// # Errors
/// [`TrainError`].
pub fn train_backbone(
    data: &BackboneData<'_>,
    start: &HashMap<String, Tensor>,
    (schedule, checkpoints, device): (&BackboneSchedule, &Path, &Device),
    mut told: impl FnMut(Progress),
) -> Result<HashMap<String, Tensor>, TrainError> {
    let mut run = Run::new(data, start, schedule, device)?;
    let checkpoint = checkpoints.join(format!("backbone-{}.safetensors", run.key(start)?));
    let first = run.resume(&checkpoint)?;
    for epoch in first..schedule.epochs {
        let loss = run.epoch(epoch, |step, steps| {
            told(Progress {
                epoch,
                epochs: schedule.epochs,
                loss: step as f32 / steps as f32,
                validation: None,
            });
        })?;
        let validation = run.validate()?;
        if validation > run.record.score {
            run.record.score = validation;
            run.record.best = run.backbone.tensors()?;
        }
        run.record.trace.push([loss, validation]);
        told(Progress { epoch: epoch + 1, epochs: schedule.epochs, loss, validation: Some(validation) });
        run.record.save(run.state(), &checkpoint, epoch + 1)?;
    }
    Ok(run.record.best)
}

struct LightHead {
    region: Region,
    network: Network,
    targets: Targets,
}

struct Run<'a> {
    data: &'a BackboneData<'a>,
    schedule: &'a BackboneSchedule,
    device: &'a Device,
    backbone: TrainableAlexNet,
    heads: Vec<LightHead>,
    sgd: Sgd,
    head_sgd: Sgd,
    record: Record,
}

impl<'a> Run<'a> {
    fn new(
        data: &'a BackboneData<'a>,
        start: &HashMap<String, Tensor>,
        schedule: &'a BackboneSchedule,
        device: &'a Device,
    ) -> Result<Self, TrainError> {
        let backbone = TrainableAlexNet::new(start, schedule.trained_from, device)?;
        let weights = VarMap::new();
        let builder = VarBuilder::from_varmap(&weights, DType::F32, device);
        let mut heads = Vec::new();
        for recipe in data.recipes {
            let (attributes, targets) = attributes_of(recipe, data.examples, data.validation)?;
            let config = NetworkConfig {
                inputs: pooled_len(MAP),
                hidden: HIDDEN,
                dim: DIM,
                scale: SCALE,
                attributes: attributes.iter().map(|a| (a.name.clone(), a.labels.len())).collect(),
            };
            let network = Network::new(&config, &builder.pp(&recipe.name))?;
            heads.push(LightHead { region: recipe.region, network, targets });
        }
        let head_variables = seeded(&weights, schedule.seed)?;
        let sgd = |variables| Sgd::new(variables, schedule.momentum, schedule.weight_decay);
        Ok(Self {
            sgd: sgd(backbone.variables())?,
            head_sgd: sgd(head_variables)?,
            record: Record::new(backbone.tensors()?),
            data,
            schedule,
            device,
            backbone,
            heads,
        })
    }

    /// Tells runs apart: a checkpoint of other settings, heads, pictures, labels or starting weights is not gone on from.
    fn key(&self, start: &HashMap<String, Tensor>) -> Result<String, TrainError> {
        let examples = self.data.examples.iter().zip(self.data.validation);
        let labels: String =
            examples.map(|(e, held)| format!("{}/{held}/{:?};", e.variant, e.labels)).collect();
        let mut weights = Vec::new();
        for (name, tensor) in start.iter().collect::<BTreeMap<_, _>>() {
            weights.extend_from_slice(name.as_bytes());
            let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            weights.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        let (pictures, weights) = (self.data.canvases.key(), sha256_hex(&weights));
        let all = format!("{:?} {:?} {pictures} {weights} {labels}", self.schedule, self.data.recipes);
        Ok(sha256_hex(all.as_bytes())[..12].to_owned())
    }

    fn epoch(&mut self, epoch: usize, mut told: impl FnMut(usize, usize)) -> Result<f32, TrainError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.schedule.seed.wrapping_mul(1000) + epoch as u64);
        let order = self.order(&mut rng);
        let steps = order.len().div_ceil(self.schedule.batch);
        let (mut sum, mut counted) = (0.0, 0);
        for (step, batch) in order.chunks(self.schedule.batch).enumerate() {
            let rate = 0.01
                + 0.99
                    * 0.5
                    * (1.0
                        + (std::f64::consts::PI * progress(epoch, step, steps, self.schedule.epochs)).cos());
            let Some(loss) = self.loss(batch, &mut rng)? else { continue };
            let gradients = loss.backward()?;
            self.sgd.step(&gradients, self.schedule.rate * rate)?;
            self.head_sgd.step(&gradients, self.schedule.head_rate * rate)?;
            sum += loss.to_scalar::<f32>()?;
            counted += 1;
            if step % 20 == 0 {
                told(step, steps);
            }
        }
        Ok(sum / counted.max(1) as f32)
    }

    /// The examples of an epoch: some variants of each picture, in random order.
    fn order(&self, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut order = Vec::new();
        let learnt: Vec<usize> =
            (0..self.data.examples.len()).filter(|e| !self.data.validation[*e]).collect();
        for variants in learnt.chunk_by(|a, b| self.data.examples[*a].source == self.data.examples[*b].source)
        {
            let mut variants = variants.to_vec();
            variants.shuffle(rng);
            variants.truncate(self.schedule.variants_an_epoch);
            order.extend(variants);
        }
        order.shuffle(rng);
        order
    }

    fn loss(&self, rows: &[usize], rng: &mut ChaCha8Rng) -> Result<Option<Tensor>, TrainError> {
        let pooled = self.pooled(rows)?;
        let mut total: Option<Tensor> = None;
        for head in &self.heads {
            let input = &pooled[&head.region];
            let kept = mask(input.dims2()?, self.schedule.dropout, rng, self.device)?;
            let signatures = Network::normalise(&head.network.fc7(&(input * kept)?)?)?;
            if let Some(entropy) = cross_entropy(&head.network, &signatures, &head.targets, rows)? {
                total = Some(match total {
                    Some(sum) => (sum + entropy)?,
                    None => entropy,
                });
            }
        }
        Ok(total)
    }

    /// Each region that a head reads, pooled: `[rows, 9216]`.
    fn pooled(&self, rows: &[usize]) -> Result<HashMap<Region, Tensor>, TrainError> {
        let load = |row: &usize| {
            let canvas = self.data.canvases.canvas(*row)?;
            let case = parts_case(&self.data.examples[*row].labels).unwrap_or(PartsCase::Sleeved);
            Ok((canvas, self.data.canvases.parts(*row, case)))
        };
        let loaded: Vec<(Canvas, Parts)> =
            rows.par_iter().map(load).collect::<anyhow::Result<_>>().map_err(TrainError::Examples)?;
        let canvases: Vec<&Canvas> = loaded.iter().map(|(canvas, _)| canvas).collect();
        let cells = MAP.height * MAP.width;
        let map =
            self.backbone.forward(&canvases, self.device)?.reshape((rows.len(), MAP.channels, cells))?;
        let mut pooled = HashMap::new();
        for region in self.heads.iter().map(|h| h.region) {
            if pooled.contains_key(&region) {
                continue;
            }
            let rects: Vec<Vec<Rect>> = loaded.iter().map(|(_, parts)| parts.rects(region)).collect();
            let side = |last: bool| self.crop(&map, &rects, last);
            let both =
                if region == Region::Sleeves { ((side(false)? + side(true)?)? * 0.5)? } else { side(false)? };
            pooled.insert(region, both);
        }
        Ok(pooled)
    }

    /// Crops each map to the first (or last) of its rectangles and pools it.
    fn crop(&self, map: &Tensor, rects: &[Vec<Rect>], last: bool) -> candle_core::Result<Tensor> {
        let (batch, channels, cells) = map.dims3()?;
        let matrices: Vec<f32> = rects
            .par_iter()
            .flat_map_iter(|rects| {
                let rect = if last { rects.last() } else { rects.first() };
                crop_matrix(MAP, rect.unwrap_or(&Rect::WHOLE))
            })
            .collect();
        let matrices = Tensor::from_vec(matrices, (batch, cells, cells), self.device)?;
        let crop = map.matmul(&matrices)?.reshape((batch, channels, MAP.height, MAP.width))?;
        max_pool(&crop)?.flatten_from(1)
    }

    /// Share of the validation labels that the light heads tell right, averaged over attributes.
    fn validate(&self) -> Result<f32, TrainError> {
        let rows: Vec<usize> = (0..self.data.examples.len())
            .filter(|e| self.data.validation[*e] && self.data.examples[*e].variant == 0)
            .collect();
        // In order, so that the sum does not depend on chance.
        let mut right: BTreeMap<(usize, usize), (f32, f32)> = BTreeMap::new();
        for rows in rows.chunks(32) {
            let pooled = self.pooled(rows)?;
            for (at, head) in self.heads.iter().enumerate() {
                let signatures = Network::normalise(&head.network.fc7(&pooled[&head.region].detach())?)?;
                for (attribute, (_, logits)) in head.network.logits(&signatures)?.iter().enumerate() {
                    let told = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
                    for (row, told) in rows.iter().zip(told) {
                        if let Some(label) = head.targets.by_attribute[attribute][*row] {
                            let (hits, all) = right.entry((at, attribute)).or_default();
                            *hits += f32::from(u8::from(label == told));
                            *all += 1.0;
                        }
                    }
                }
            }
        }
        Ok(right.values().map(|(hits, all)| hits / all).sum::<f32>() / right.len().max(1) as f32)
    }

    /// Weights and velocities, of the convolutions and of the light heads.
    fn state(&self) -> HashMap<String, Tensor> {
        let mut state = self.sgd.state();
        state.extend(self.head_sgd.state());
        state
    }

    /// Epochs already done.
    fn resume(&mut self, path: &Path) -> Result<usize, TrainError> {
        let Some((state, done)) = self.record.load(path, self.device)? else { return Ok(0) };
        self.sgd.restore(&state)?;
        self.head_sgd.restore(&state)?;
        Ok(done)
    }
}

fn progress(epoch: usize, step: usize, steps: usize, epochs: usize) -> f64 {
    (epoch as f64 + step as f64 / steps as f64) / epochs as f64
}

#[cfg(test)]
mod tests;
