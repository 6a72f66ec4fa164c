//! Teaching a head: the fit, its settings by cross-validation, and what that says of it.

use crate::calibration::{cross_entropy, probabilities, temperature};
use crate::error::TeachError;
use crate::folds::{fold_count, folds, row_keys};
use crate::linear_head::{HeadWeights, LinearHead, add_signatures};
use crate::rotation::Rotation;
use crate::scaling::Scaling;
use crate::softmax::{DECAYS, Linear, Rows, fit, select_rows};
use crate::thresholds::thresholds;
use crate::worth::Worth;
use candle_core::Tensor;
use lapel_heads::{Attribute, Bundle, FeatureLayout, Region, SignatureSum, store_prototypes};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Decays that are tried beside the usual ones: a few examples of thousands of inputs need more than photos by the thousand.
const DECAYS_OF_FEW: [f64; 3] = [3e-4, 1e-3, 3e-3];
/// Rows are fitted in coordinates of their own where there are so many times more inputs: below that, finding the
/// coordinates costs what they save.
const ROTATED: usize = 2;
/// Multiplications of one look at all examples beyond which decays are compared on one fold alone.
const COMPARED_MAX: usize = 1 << 27;

/// What a head is taught from.
pub struct Examples {
    /// `[examples, inputs]`: the backbone's vectors, f32, unscaled, all sources one after the other.
    pub vectors: Tensor,
    /// The label's number of each, in the order of [`Lesson::labels`].
    pub labels: Vec<u16>,
}

/// A head that is to be taught.
pub struct Lesson<'a> {
    /// The name of the head and of its attribute.
    pub name: &'a str,
    /// The labels.
    pub labels: &'a [String],
    /// Examples of them.
    pub examples: &'a Examples,
    /// The backbone's fingerprint.
    pub fingerprint: &'a str,
    /// What the backbone gives.
    pub layout: &'a FeatureLayout,
    /// How much the head counts.
    pub weights: HeadWeights,
    /// The manifest's words on what it was taught.
    pub description: &'a str,
}

/// A head that was taught.
pub struct Taught {
    /// The head.
    pub bundle: Bundle,
    /// What it tells of examples that it did not learn from.
    pub worth: Worth,
}

/// Fits a head to examples. Each example is also told by a classifier that was fitted without it (5 folds, or as many as the
/// rarest label has examples), which chooses the decay by cross entropy, calibrates the probabilities, and says what the head
/// is worth. The same examples in the same order give the same bundle. `is_abandoned` is asked all along.
///
/// # Errors
/// [`TeachError`], one variant a cause.
pub fn teach(lesson: &Lesson<'_>, is_abandoned: &dyn Fn() -> bool) -> Result<Taught, TeachError> {
    let FeatureLayout::Vectors(sources) = lesson.layout else { return Err(TeachError::Map) };
    let Examples { vectors, labels } = lesson.examples;
    let count = lesson.labels.len();
    check(lesson)?;
    let fold_count = fold_count(labels, count)?;
    let keys = row_keys(&vectors.flatten_all()?.to_vec1::<f32>()?, vectors.dim(1)?, is_abandoned)?;
    let fold = folds(labels, &keys, fold_count);
    let scaling = Scaling::of(vectors)?;
    let inputs = Inputs::new(scaling.apply(vectors)?, is_abandoned)?;
    let problem = Problem { inputs: &inputs.fitted, labels, count, is_abandoned };
    let examined = problem.examined(&fold, fold_count)?;
    let layer = inputs.undone(problem.fitted(examined.decay)?, is_abandoned)?;
    let layer = scaling.folded(&layer)?;
    if layer.0.iter().chain(&layer.1).any(|weight| !weight.is_finite()) {
        return Err(TeachError::NotFinite);
    }
    let attribute = Attribute { name: lesson.name.to_owned(), labels: lesson.labels.to_vec() };
    let known: Vec<Option<u16>> = labels.iter().copied().map(Some).collect();
    let mut bundle = LinearHead {
        attribute: &attribute,
        fingerprint: lesson.fingerprint,
        sources,
        region: Region::Whole,
        weights: lesson.weights,
        layer,
        temperature: examined.temperature,
        thresholds: thresholds(&examined.probabilities, &known, count),
        description: lesson.description,
    }
    .into_bundle();
    let mut sums = vec![SignatureSum::new(count); count];
    add_signatures(&mut sums, &bundle.manifest, (&examined.probabilities, &known), &|_| true);
    store_prototypes(&mut bundle, &HashMap::from([(attribute.name, sums)]));
    // A copy is no further evidence.
    let mut met = HashSet::new();
    let once = examined.apart.into_iter().zip(keys.iter().zip(labels));
    let once: Vec<Vec<f32>> = once.map(|(row, of)| if met.insert(of) { row } else { Vec::new() }).collect();
    Ok(Taught { bundle, worth: Worth::of(labels, &once, count) })
}

/// Shapes that do not fit together are a mistake of the caller.
fn check(lesson: &Lesson<'_>) -> candle_core::Result<()> {
    let Examples { vectors, labels } = lesson.examples;
    let (examples, inputs) = vectors.dims2()?;
    let is_known = labels.iter().all(|label| usize::from(*label) < lesson.labels.len());
    if !is_known || labels.len() != examples || inputs != lesson.layout.len() || inputs == 0 {
        let wanted = lesson.layout.len();
        candle_core::bail!(
            "{examples} examples of {inputs} inputs, {wanted} by the backbone; {} labels",
            labels.len()
        );
    }
    Ok(())
}

/// Scaled inputs as they are fitted: themselves, or where examples are few in their own space.
struct Inputs {
    /// `[examples, inputs or dimensions]`.
    fitted: Tensor,
    rotation: Option<Rotation>,
}

impl Inputs {
    fn new(scaled: Tensor, is_abandoned: &dyn Fn() -> bool) -> Result<Self, TeachError> {
        // Numbers that are finite each may be too far apart.
        let largest = scaled.abs()?.max_all()?.to_scalar::<f32>()?;
        let total = scaled.sum_all()?.to_scalar::<f32>()?;
        if !largest.is_finite() || !total.is_finite() {
            return Err(TeachError::NotFinite);
        }
        let (examples, inputs) = scaled.dims2()?;
        if examples.saturating_mul(ROTATED) > inputs {
            return Ok(Self { fitted: scaled, rotation: None });
        }
        let rotation = Rotation::of(&scaled, is_abandoned)?;
        Ok(Self { fitted: rotation.coordinates()?, rotation: Some(rotation) })
    }

    /// A layer on what is fitted as one on scaled inputs.
    fn undone(&self, linear: Linear, is_abandoned: &dyn Fn() -> bool) -> Result<Linear, TeachError> {
        match &self.rotation {
            Some(rotation) => rotation.undone(&linear, is_abandoned),
            None => Ok(linear),
        }
    }
}

/// What is fitted, again and again.
struct Problem<'a> {
    inputs: &'a Tensor,
    labels: &'a [u16],
    count: usize,
    is_abandoned: &'a dyn Fn() -> bool,
}

/// What cross-validation found.
struct Examined {
    decay: f64,
    temperature: f32,
    /// Of each example, by the classifier that did not see it.
    probabilities: Vec<Vec<f32>>,
    /// The same, calibrated by the other folds, so that nothing of it was learnt from the example.
    apart: Vec<Vec<f32>>,
}

/// Held-out logits by one decay.
struct HeldOut {
    decay: f64,
    logits: Vec<Vec<f32>>,
}

impl Problem<'_> {
    /// The classifier of all examples.
    fn fitted(&self, decay: f64) -> Result<Linear, TeachError> {
        let weights = vec![1.0; self.labels.len()];
        let rows = Rows { inputs: self.inputs, labels: self.labels, weights: &weights };
        fit(&rows, self.count, decay, self.is_abandoned)
    }

    /// The held-out predictions by the decay that is best for them.
    fn examined(&self, fold: &[usize], fold_count: usize) -> Result<Examined, TeachError> {
        let (rows, inputs) = self.inputs.dims2()?;
        let is_long = rows.saturating_mul(inputs).saturating_mul(self.count) > COMPARED_MAX;
        // So many examples tell the decays apart in one fold, and each fold takes minutes.
        let compared = if is_long { 1 } else { fold_count };
        let HeldOut { decay, mut logits } = self.best(fold, compared)?;
        self.hold_out(fold, compared..fold_count, decay, &mut logits)?;
        let temperature = temperature(&logits, &self.known(fold, |_| true), self.is_abandoned);
        let probabilities = logits.iter().map(|row| probabilities(row, temperature)).collect();
        let apart = self.apart(&logits, fold, fold_count);
        if (self.is_abandoned)() {
            return Err(TeachError::Abandoned);
        }
        Ok(Examined { decay, temperature, probabilities, apart })
    }

    /// The decay whose held-out predictions in the first folds, once calibrated, have the least cross entropy, with those.
    fn best(&self, fold: &[usize], folds: usize) -> Result<HeldOut, TeachError> {
        let known = self.known(fold, |number| number < folds);
        let mut best: Option<(f64, HeldOut)> = None;
        for decay in DECAYS.into_iter().chain(DECAYS_OF_FEW) {
            // Where all examples lie in one fold, nothing can be learnt for it, and all labels are alike.
            let mut logits = vec![vec![0.0; self.count]; self.labels.len()];
            self.hold_out(fold, 0..folds, decay, &mut logits)?;
            let temperature = temperature(&logits, &known, self.is_abandoned);
            if (self.is_abandoned)() {
                return Err(TeachError::Abandoned);
            }
            let entropy = cross_entropy(&logits, &known, temperature);
            if best.as_ref().is_none_or(|(least, _)| entropy < *least) {
                best = Some((entropy, HeldOut { decay, logits }));
            }
        }
        best.map(|(_, held_out)| held_out).ok_or(TeachError::TooFew)
    }

    /// Labels of the examples in the folds that are wanted.
    fn known(&self, fold: &[usize], is_wanted: impl Fn(usize) -> bool) -> Vec<Option<u16>> {
        self.labels.iter().zip(fold).map(|(label, number)| is_wanted(*number).then_some(*label)).collect()
    }

    /// Held-out probabilities of each fold by the temperature of the others.
    fn apart(&self, logits: &[Vec<f32>], fold: &[usize], fold_count: usize) -> Vec<Vec<f32>> {
        let mut found = vec![Vec::new(); logits.len()];
        for number in 0..fold_count {
            let others = self.known(fold, |of| of != number);
            let temperature = temperature(logits, &others, self.is_abandoned);
            for ((row, of), found) in logits.iter().zip(fold).zip(&mut found) {
                if *of == number {
                    *found = probabilities(row, temperature);
                }
            }
        }
        found
    }

    /// Writes the logits of the examples in some folds, each by the classifier that was fitted to the other folds.
    fn hold_out(
        &self,
        fold: &[usize],
        folds: Range<usize>,
        decay: f64,
        logits: &mut [Vec<f32>],
    ) -> Result<(), TeachError> {
        for number in folds {
            let (told, learnt): (Vec<usize>, Vec<usize>) =
                (0..self.labels.len()).partition(|at| fold.get(*at) == Some(&number));
            if told.is_empty() || learnt.is_empty() {
                continue;
            }
            let labels: Vec<u16> = learnt.iter().filter_map(|at| self.labels.get(*at).copied()).collect();
            let weights = vec![1.0; labels.len()];
            let inputs = select_rows(self.inputs, &learnt)?;
            let rows = Rows { inputs: &inputs, labels: &labels, weights: &weights };
            let linear = fit(&rows, self.count, decay, self.is_abandoned)?;
            let held_out = linear.logits(&select_rows(self.inputs, &told)?)?;
            for (at, held_out) in told.iter().zip(held_out) {
                if let Some(row) = logits.get_mut(*at) {
                    *row = held_out;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
