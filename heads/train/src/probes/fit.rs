//! The probe of one attribute: a linear layer on the backbone's vectors, its probabilities calibrated, chosen and
//! measured by cross-validation over photos.

use super::draws::Draw;
use super::softmax::{Linear, Rows, fit};
use super::thresholds::thresholds;
use anyhow::Context;
use candle_core::{Device, Tensor};
use lapel_heads::{
    Attribute, Bundle, FORMAT, FeatureLayout, HeadKind, Manifest, Region, SignatureKind, SignatureSum,
    Weights, store_prototypes,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Parts that photos are divided into; each is predicted by a probe that saw the others.
pub const FOLDS: usize = 4;
/// Weight decays that are tried, of inputs of unit variance divided by the root of their number.
const DECAYS: [f64; 4] = [3e-6, 1e-5, 3e-5, 1e-4];
/// How far rare labels are favoured: logits are lowered by this share of the logarithm of a label's frequency.
const ADJUSTMENTS: [f32; 5] = [0.0, 0.2, 0.4, 0.6, 0.8];
/// What balanced accuracy counts beside accuracy in these choices.
const BALANCED: f64 = 0.35;
/// Held-out photos whose signatures alone make a prototype.
const PROTOTYPE_MIN: usize = 4;
/// A label needs this many photos.
pub const LABEL_MIN: usize = 8;

/// Pictures to learn from: draws of photos, with labels and vectors.
pub struct Pictures {
    /// The photo of each picture.
    pub photo: Vec<usize>,
    /// How it was drawn.
    pub draw: Vec<Draw>,
    /// The fold of each photo; `None` of one that every probe learns from, because the backbone already has.
    pub fold: Vec<Option<usize>>,
    /// Whether the probe itself learns from photos with a fold, too, once they have chosen its settings.
    pub refit: bool,
    /// `[pictures, inputs]`, every input of mean 0 and variance 1 over the root of the number of inputs.
    pub inputs: Tensor,
    /// By which this came from the backbone's numbers.
    pub scaling: Scaling,
}

/// Mean and deviation of each input.
#[derive(Clone, Debug)]
pub struct Scaling {
    mean: Vec<f32>,
    /// By which an input is multiplied after its mean is taken away.
    factor: Vec<f32>,
}

impl Scaling {
    /// Of rows of a tensor `[rows, inputs]`.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn of(rows: &Tensor) -> candle_core::Result<Self> {
        let (count, inputs) = rows.dims2()?;
        let data = rows.flatten_all()?.to_vec1::<f32>()?;
        let (mut sums, mut squares) = (vec![0.0f64; inputs], vec![0.0f64; inputs]);
        for row in data.chunks_exact(inputs) {
            for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(row) {
                *sum += f64::from(*value);
                *square += f64::from(*value).powi(2);
            }
        }
        let count = count as f64;
        let mean: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
        let root = (inputs as f64).sqrt();
        // An input that never changes tells nothing and is left out.
        let factor = |(square, mean): (&f64, &f64)| {
            let deviation = (square / count - mean * mean).max(0.0).sqrt();
            if deviation < 1e-6 { 0.0 } else { (1.0 / deviation / root) as f32 }
        };
        let factor = squares.iter().zip(&mean).map(factor).collect();
        Ok(Self { mean: mean.into_iter().map(|m| m as f32).collect(), factor })
    }

    /// The scaled rows.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn apply(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        let vector = |values: &[f32]| Tensor::from_slice(values, values.len(), &Device::Cpu);
        rows.broadcast_sub(&vector(&self.mean)?)?.broadcast_mul(&vector(&self.factor)?)
    }

    /// A layer on scaled inputs as one on the backbone's own: weights `[labels * inputs]` and biases.
    fn folded(&self, linear: &Linear) -> candle_core::Result<(Vec<f32>, Vec<f32>)> {
        let mut weight = linear.weight.to_vec2::<f32>()?;
        let mut bias = linear.bias.to_vec1::<f32>()?;
        for (row, bias) in weight.iter_mut().zip(&mut bias) {
            for ((value, factor), mean) in row.iter_mut().zip(&self.factor).zip(&self.mean) {
                *value *= factor;
                *bias -= *value * mean;
            }
        }
        Ok((weight.concat(), bias))
    }
}

/// A fitted probe with what cross-validation says of it.
pub struct Probe {
    /// The attribute with its labels.
    pub attribute: Attribute,
    /// Its layer on scaled inputs.
    linear: Linear,
    /// What logits are lowered by, by label.
    adjustment: Vec<f32>,
    /// What logits are divided by.
    pub temperature: f32,
    /// Chosen among those tried.
    pub decay: f64,
    /// Chosen among those tried.
    pub favoured: f32,
    /// Of each photo's plain picture, by the probe that did not see the photo: the probabilities of its labels. Empty
    /// of a photo without a fold.
    pub held_out: Vec<Vec<f32>>,
    /// The same by the probe itself, of photos without a fold.
    learnt: Vec<Vec<f32>>,
    /// The label's number of each photo.
    pub labels: Vec<Option<u16>>,
}

/// Fits the probe of an attribute; `labels` are those of the photos.
///
/// # Errors
/// When the tensor library fails.
pub fn fit_probe(
    attribute: &Attribute,
    labels: Vec<Option<u16>>,
    pictures: &Pictures,
) -> anyhow::Result<Probe> {
    let known: Vec<usize> = (0..pictures.photo.len())
        .filter(|at| labels[pictures.photo[*at]].is_some() && pictures.draw[*at].shows(&attribute.name))
        .collect();
    let count = attribute.labels.len();
    let mut shares = vec![0.0f32; count];
    for label in labels.iter().flatten() {
        shares[usize::from(*label)] += 1.0;
    }
    let total: f32 = shares.iter().sum();
    let logs: Vec<f32> = shares.iter().map(|n| (n.max(1.0) / total).ln()).collect();
    let plain: Vec<usize> =
        (0..pictures.photo.len()).filter(|at| pictures.draw[*at] == Draw::Plain).collect();
    // The decay is chosen on photos as they are, what follows is fitted on all draws.
    let alone: Vec<usize> = known.iter().copied().filter(|at| pictures.draw[*at] == Draw::Plain).collect();
    let folds: BTreeSet<usize> = pictures.fold.iter().flatten().copied().collect();
    // Labels of photos that are held out at all.
    let examined: Vec<Option<u16>> =
        labels.iter().zip(&pictures.fold).map(|(label, fold)| label.filter(|_| fold.is_some())).collect();
    let held_out = |learnt: &[usize], decay: f64| -> anyhow::Result<Vec<Vec<f32>>> {
        let mut held_out = vec![Vec::new(); labels.len()];
        for fold in &folds {
            let is_in = |at: &usize| pictures.fold[pictures.photo[*at]] == Some(*fold);
            let learnt: Vec<usize> = learnt.iter().copied().filter(|at| !is_in(at)).collect();
            let linear = fit_rows(pictures, &labels, &learnt, count, decay)?;
            let told: Vec<usize> = plain.iter().copied().filter(is_in).collect();
            for (at, logits) in told.iter().zip(linear.logits(&select(&pictures.inputs, &told)?)?) {
                held_out[pictures.photo[*at]] = logits;
            }
        }
        Ok(held_out)
    };
    let adjusted = |held_out: &[Vec<f32>]| best_adjustment(held_out, &logs, &examined);
    let mut tried = Vec::with_capacity(DECAYS.len());
    for decay in DECAYS {
        tried.push((adjusted(&held_out(&alone, decay)?).0, decay));
    }
    let (_, decay) = tried.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).context("nothing was tried")?;
    let mut held_out = held_out(&known, decay)?;
    let (_, favoured) = adjusted(&held_out);
    let adjustment: Vec<f32> = logs.iter().map(|log| favoured * log).collect();
    for row in &mut held_out {
        row.iter_mut().zip(&adjustment).for_each(|(logit, lowered)| *logit -= lowered);
    }
    let temperature = temperature(&held_out, &examined);
    let held_out = held_out.into_iter().map(|logits| probabilities(&logits, temperature)).collect();
    let learnt: Vec<usize> = known
        .into_iter()
        .filter(|at| pictures.refit || pictures.fold[pictures.photo[*at]].is_none())
        .collect();
    let linear = fit_rows(pictures, &labels, &learnt, count, decay)?;
    let attribute = attribute.clone();
    let learnt = vec![Vec::new(); labels.len()];
    let mut probe =
        Probe { attribute, linear, adjustment, temperature, decay, favoured, held_out, learnt, labels };
    let told: Vec<usize> =
        plain.into_iter().filter(|at| pictures.fold[pictures.photo[*at]].is_none()).collect();
    if !told.is_empty() {
        let rows = probe.probabilities(&select(&pictures.inputs, &told)?)?;
        told.iter().zip(rows).for_each(|(at, row)| probe.learnt[pictures.photo[*at]] = row);
    }
    Ok(probe)
}

/// The best of [`ADJUSTMENTS`] for held-out logits, with its score before it; `logs` are the logarithms of the labels'
/// frequencies.
fn best_adjustment(held_out: &[Vec<f32>], logs: &[f32], examined: &[Option<u16>]) -> (f64, f32) {
    let score = |favoured: f32| {
        let told = |row: &[f32]| argmax(row.iter().zip(logs).map(|(logit, log)| logit - favoured * log));
        let (accuracy, balanced) = accuracy(examined, |photo| told(&held_out[photo]), logs.len());
        accuracy + BALANCED * balanced
    };
    let all = ADJUSTMENTS.map(|favoured| (score(favoured), favoured));
    all.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0.0))
}

fn fit_rows(
    pictures: &Pictures,
    labels: &[Option<u16>],
    rows: &[usize],
    count: usize,
    decay: f64,
) -> candle_core::Result<Linear> {
    let own: Vec<u16> = rows.iter().filter_map(|at| labels[pictures.photo[*at]]).collect();
    let weights: Vec<f32> =
        rows.iter().map(|at| if pictures.draw[*at] == Draw::Plain { 1.0 } else { 0.5 }).collect();
    let inputs = select(&pictures.inputs, rows)?;
    fit(&Rows { inputs: &inputs, labels: &own, weights: &weights }, count, decay)
}

fn select(inputs: &Tensor, rows: &[usize]) -> candle_core::Result<Tensor> {
    let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
    inputs.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)
}

impl Probe {
    /// Probabilities of the labels of rows of scaled inputs.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn probabilities(&self, inputs: &Tensor) -> candle_core::Result<Vec<Vec<f32>>> {
        let adjusted = |mut row: Vec<f32>| {
            row.iter_mut().zip(&self.adjustment).for_each(|(logit, lowered)| *logit -= lowered);
            probabilities(&row, self.temperature)
        };
        Ok(self.linear.logits(inputs)?.into_iter().map(adjusted).collect())
    }

    /// The bundle of the probe for a backbone; prototypes are the weighted means of the held-out signatures.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn bundle(
        &self,
        (fingerprint, layout): (&str, &FeatureLayout),
        (region, scaling): (Region, &Scaling),
        (exponent, description): (f32, &str),
    ) -> anyhow::Result<Bundle> {
        let FeatureLayout::Vectors(sources) = layout else {
            anyhow::bail!("probes read vectors, and this backbone gives a map");
        };
        let (weight, mut bias) = scaling.folded(&self.linear)?;
        bias.iter_mut().zip(&self.adjustment).for_each(|(bias, lowered)| *bias -= lowered);
        let (name, count) = (&self.attribute.name, self.attribute.labels.len());
        let manifest = Manifest {
            format: FORMAT,
            name: name.clone(),
            kind: HeadKind::Network,
            backbone: Some(fingerprint.to_owned()),
            region,
            signature: SignatureKind::Probabilities,
            exponent,
            inputs: sources.iter().map(|source| source.name.clone()).collect(),
            dim: count,
            scale: 1.0 / self.temperature,
            attributes: vec![self.attribute.clone()],
            thresholds: thresholds(&self.held_out, &self.labels, count)
                .map(|thresholds| (name.clone(), thresholds))
                .into_iter()
                .collect(),
            description: description.to_owned(),
            ..Manifest::external(name, count, Vec::new())
        };
        let inputs = weight.len() / count.max(1);
        let tensors = BTreeMap::from([
            (format!("classifier.{name}.weight"), Weights { shape: vec![count, inputs], data: weight }),
            (format!("classifier.{name}.bias"), Weights { shape: vec![count], data: bias }),
        ]);
        let mut bundle = Bundle { manifest, tensors };
        let sums = self.prototype_sums(&bundle.manifest);
        store_prototypes(&mut bundle, &HashMap::from([(name.clone(), sums)]));
        Ok(bundle)
    }

    /// Signatures by label: held-out ones, which are as those of photos to come, and where there are few all.
    fn prototype_sums(&self, manifest: &Manifest) -> Vec<SignatureSum> {
        let count = self.attribute.labels.len();
        let mut sums = vec![SignatureSum::new(count); count];
        let mut add = |rows: &[Vec<f32>], wanted: &dyn Fn(usize) -> bool| {
            let mut added = vec![0; count];
            for (row, label) in rows.iter().zip(&self.labels) {
                let label = label.map(usize::from).filter(|label| !row.is_empty() && wanted(*label));
                if let (Some(label), Ok(signature)) = (label, signature(row, manifest.exponent)) {
                    let weight = manifest.prototype_weight(label, signature.values());
                    sums[label].add_weighted(signature.values(), weight);
                    added[label] += 1;
                }
            }
            added
        };
        let held_out = add(&self.held_out, &|_| true);
        add(&self.learnt, &|label| held_out[label] < PROTOTYPE_MIN);
        sums
    }

    /// Labels of the photos that were held out.
    fn examined(&self) -> Vec<Option<u16>> {
        self.labels.iter().zip(&self.held_out).map(|(label, row)| label.filter(|_| !row.is_empty())).collect()
    }

    /// Accuracy and balanced accuracy of the held-out predictions.
    #[must_use]
    pub fn held_out_accuracy(&self) -> (f64, f64) {
        let told = |photo: usize| argmax(self.held_out[photo].iter().copied());
        accuracy(&self.examined(), told, self.attribute.labels.len())
    }
}

/// The signature of probabilities: each to a power, of unit length.
///
/// # Errors
/// When they are not finite.
pub fn signature(
    probabilities: &[f32],
    exponent: f32,
) -> Result<lapel_heads::Signature, lapel_heads::SignatureError> {
    lapel_heads::Signature::new(probabilities.iter().map(|p| p.powf(exponent)).collect())
}

/// The place of the largest number.
pub fn argmax(values: impl Iterator<Item = f32>) -> usize {
    values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at)
}

/// Share told right of what has a label, and its mean over the labels.
pub fn accuracy(labels: &[Option<u16>], told: impl Fn(usize) -> usize, count: usize) -> (f64, f64) {
    let mut right = vec![(0.0f64, 0.0f64); count];
    for (photo, label) in labels.iter().enumerate() {
        if let Some(label) = label {
            let (hits, all) = &mut right[usize::from(*label)];
            *hits += f64::from(u8::from(told(photo) == usize::from(*label)));
            *all += 1.0;
        }
    }
    let sum = |part: fn(&(f64, f64)) -> f64| right.iter().map(part).sum::<f64>();
    let known: Vec<f64> = right.iter().filter(|(_, all)| *all > 0.0).map(|(hits, all)| hits / all).collect();
    (sum(|r| r.0) / sum(|r| r.1).max(1.0), known.iter().sum::<f64>() / known.len().max(1) as f64)
}

fn probabilities(logits: &[f32], temperature: f32) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|l| ((l - most) / temperature).exp()).collect();
    let total: f32 = powers.iter().sum();
    powers.into_iter().map(|p| p / total).collect()
}

/// The temperature of the least cross entropy (Guo et al., 2017), by golden section on its logarithm.
fn temperature(logits: &[Vec<f32>], labels: &[Option<u16>]) -> f32 {
    let entropy = |log: f64| -> f64 {
        let temperature = log.exp() as f32;
        let of = |(row, label): (&Vec<f32>, &Option<u16>)| {
            let own = label.and_then(|l| probabilities(row, temperature).get(usize::from(l)).copied())?;
            Some(-f64::from(own.max(1e-12)).ln())
        };
        logits.iter().zip(labels).filter_map(of).sum()
    };
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = ((0.2f64).ln(), (8.0f64).ln());
    for _ in 0..30 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if entropy(a) < entropy(b) { high = b } else { low = a }
    }
    f64::midpoint(low, high).exp() as f32
}

/// Expected calibration error over ten bins of the likeliest label's probability.
pub fn calibration_error(rows: &[Vec<f32>], labels: &[Option<u16>]) -> f64 {
    let mut bins = [(0.0f64, 0.0f64, 0.0f64); 10];
    for (row, label) in rows.iter().zip(labels) {
        let Some(label) = label else { continue };
        let told = argmax(row.iter().copied());
        let Some(sure) = row.get(told) else { continue };
        let bin = &mut bins[((sure * 10.0) as usize).min(9)];
        *bin =
            (bin.0 + 1.0, bin.1 + f64::from(*sure), bin.2 + f64::from(u8::from(told == usize::from(*label))));
    }
    let all: f64 = bins.iter().map(|bin| bin.0).sum();
    bins.iter().map(|(_, sure, right)| (sure - right).abs()).sum::<f64>() / all.max(1.0)
}

#[cfg(test)]
mod tests;
