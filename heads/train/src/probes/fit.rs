//! The probe of one attribute: a linear layer on the backbone's vectors, its probabilities calibrated, chosen and
//! measured by cross-validation over photos.

use super::draws::Draw;
use anyhow::Context;
use candle_core::Tensor;
use lapel_fit::{
    DECAYS, HeadWeights, Linear, LinearHead, Rows, Scaling, TeachError, accuracy, add_signatures, argmax,
    fit, probabilities, select_rows, temperature, thresholds,
};
use lapel_heads::{Attribute, Bundle, FeatureLayout, Manifest, Region, SignatureSum, store_prototypes};
use std::collections::{BTreeSet, HashMap};

/// Parts that photos are divided into; each is predicted by a probe that saw the others.
pub const FOLDS: usize = 4;
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
            for (at, logits) in told.iter().zip(linear.logits(&select_rows(&pictures.inputs, &told)?)?) {
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
    let temperature = temperature(&held_out, &examined, &|| false);
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
        let rows = probe.probabilities(&select_rows(&pictures.inputs, &told)?)?;
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
) -> Result<Linear, TeachError> {
    let own: Vec<u16> = rows.iter().filter_map(|at| labels[pictures.photo[*at]]).collect();
    let weights: Vec<f32> =
        rows.iter().map(|at| if pictures.draw[*at] == Draw::Plain { 1.0 } else { 0.5 }).collect();
    let inputs = select_rows(&pictures.inputs, rows)?;
    fit(&Rows { inputs: &inputs, labels: &own, weights: &weights }, count, decay, &|| false)
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
        let name = self.attribute.name.clone();
        let mut bundle = LinearHead {
            attribute: &self.attribute,
            fingerprint,
            sources,
            region,
            weights: HeadWeights { weight: 1.0, changed_weight: 1.0, confidence: 0.0, exponent },
            layer: (weight, bias),
            temperature: self.temperature,
            thresholds: thresholds(&self.held_out, &self.labels, self.attribute.labels.len()),
            description,
        }
        .into_bundle();
        let sums = self.prototype_sums(&bundle.manifest);
        store_prototypes(&mut bundle, &HashMap::from([(name, sums)]));
        Ok(bundle)
    }

    /// Signatures by label: held-out ones, which are as those of photos to come, and where there are few all.
    fn prototype_sums(&self, manifest: &Manifest) -> Vec<SignatureSum> {
        let count = self.attribute.labels.len();
        let mut sums = vec![SignatureSum::new(count); count];
        let held_out = add_signatures(&mut sums, manifest, (&self.held_out, &self.labels), &|_| true);
        let is_rare = |label: usize| held_out.get(label).is_some_and(|held_out| *held_out < PROTOTYPE_MIN);
        add_signatures(&mut sums, manifest, (&self.learnt, &self.labels), &is_rare);
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

#[cfg(test)]
mod tests;
