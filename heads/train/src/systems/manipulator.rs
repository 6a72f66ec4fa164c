//! Training of small networks that turn a signature and a change of labels into the signature to search by.

use super::changes::{ChangeTriplet, Changes};
use super::{Change, Prototypes, Signatures};
use crate::{Sgd, hinge, is_special};
use candle_core::{Device, Result, Tensor, Var};
use lapel_heads::Attribute;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

const BATCH: usize = 128;
/// What unit vectors are multiplied by before the classifier.
const SCALE: f64 = 12.0;

/// A network that manipulates signatures.
pub(super) trait Manipulator {
    /// What training moves.
    fn variables(&self) -> Vec<(String, Var)>;

    /// Signatures as the gallery holds them: `[rows, width]` to unit vectors `[rows, width]`.
    fn embed(&self, signatures: &Tensor) -> Result<Tensor>;

    /// Signatures of changed queries, `[rows, width]`, unit vectors, of those that [`Manipulator::embed`] gave.
    fn fuse(&self, embedded: &Tensor, changes: &[Change]) -> Result<Tensor>;
}

/// How a manipulator is trained.
#[derive(Clone, Debug)]
pub struct ManipulatorSettings {
    /// The highest rate.
    pub rate: f64,
    /// The triplet margin.
    pub margin: f64,
    /// Steps.
    pub steps: usize,
    /// Seed of everything random.
    pub seed: u64,
}

/// What a manipulator learns from.
pub(super) struct Lessons<'a> {
    pub(super) signatures: &'a Signatures,
    pub(super) labels: &'a [Vec<Option<u16>>],
    pub(super) attributes: &'a [Attribute],
    /// Pictures to learn from.
    pub(super) rows: &'a [usize],
}

/// Trains by the triplet hinge of query, target and negative, and by the cross entropy of the wanted labels and of those
/// that targets have.
pub(super) fn train(
    model: &dyn Manipulator,
    lessons: &Lessons<'_>,
    settings: &ManipulatorSettings,
) -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let attributes = lessons.attributes;
    let special: Vec<usize> = (0..attributes.len()).filter(|a| is_special(&attributes[*a].name)).collect();
    let sizes: Vec<usize> = attributes.iter().map(|a| a.labels.len()).collect();
    let changes = Changes::new(lessons.labels, &sizes, special.clone(), lessons.rows);
    let width: usize = lessons.signatures.parts().iter().sum();
    let classifiers = special
        .iter()
        .map(|a| {
            let draw = (0..width * sizes[*a]).map(|_| rng.random_range(-0.1..0.1f32)).collect::<Vec<_>>();
            Ok((*a, Var::from_vec(draw, (width, sizes[*a]), &Device::Cpu)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut variables = model.variables();
    variables.extend(classifiers.iter().map(|(a, var)| (format!("classifier.{a}.weight"), var.clone())));
    let mut sgd = Sgd::new(variables, 0.9, 1e-4)?;
    for step in 0..settings.steps {
        let drawn: Vec<_> = (0..BATCH).filter_map(|_| changes.draw(&mut rng)).collect();
        if drawn.is_empty() {
            continue;
        }
        let rows = |of: &dyn Fn(usize) -> usize| {
            tensor(lessons.signatures, &(0..drawn.len()).map(of).collect::<Vec<_>>())
        };
        let asked: Vec<Change> = drawn.iter().map(|d| d.change).collect();
        let embedded = |of: &dyn Fn(usize) -> usize| model.embed(&rows(of)?);
        let fused = model.fuse(&embedded(&|i| drawn[i].reference)?, &asked)?;
        let positive = embedded(&|i| drawn[i].positive)?;
        let negative = embedded(&|i| drawn[i].negative)?;
        let mut loss = hinge(&fused, &positive, &negative, settings.margin)?;
        for (attribute, classifier) in &classifiers {
            let wanted = |i: usize| {
                let ChangeTriplet { change, reference, .. } = drawn[i];
                if change.attribute == *attribute {
                    Some(change.to)
                } else {
                    lessons.labels[reference][*attribute]
                }
            };
            let own = |i: usize| lessons.labels[drawn[i].positive][*attribute];
            let told = [
                cross_entropy(&fused, classifier, &(0..drawn.len()).map(wanted).collect::<Vec<_>>())?,
                cross_entropy(&positive, classifier, &(0..drawn.len()).map(own).collect::<Vec<_>>())?,
            ];
            for entropy in told.into_iter().flatten() {
                loss = (loss + entropy)?;
            }
        }
        let rate =
            settings.rate * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / settings.steps as f64).cos());
        sgd.step(&loss.backward()?, rate)?;
    }
    Ok(())
}

/// Mean cross entropy of the rows that have a label; `None` where none has.
fn cross_entropy(rows: &Tensor, classifier: &Tensor, labels: &[Option<u16>]) -> Result<Option<Tensor>> {
    let known = labels.iter().enumerate().filter_map(|(at, label)| Some((at as u32, u32::from((*label)?))));
    let (at, labels): (Vec<u32>, Vec<u32>) = known.unzip();
    if at.is_empty() {
        return Ok(None);
    }
    let logits = (rows.index_select(&Tensor::new(at, &Device::Cpu)?, 0)? * SCALE)?.matmul(classifier)?;
    Ok(Some(candle_nn::loss::cross_entropy(&logits, &Tensor::new(labels, &Device::Cpu)?)?))
}

/// Some rows as a tensor.
pub(super) fn tensor(signatures: &Signatures, rows: &[usize]) -> Result<Tensor> {
    let data: Vec<f32> = rows.iter().flat_map(|r| signatures.row(*r).iter().copied()).collect();
    let width: usize = signatures.parts().iter().sum();
    Tensor::from_vec(data, (rows.len(), width), &Device::Cpu)
}

/// Number of the first value of each attribute when all values are counted through.
pub(super) fn first_values(attributes: &[Attribute]) -> Vec<usize> {
    let mut next = 0;
    let first = |a: &Attribute| {
        let first = next;
        next += a.labels.len();
        first
    };
    attributes.iter().map(first).collect()
}

/// A memory that starts from the labels' prototypes: `[values, width]`, each in the part of a row that `range` gives
/// its attribute, zero elsewhere.
pub(super) fn memory_of(
    prototypes: &Prototypes,
    attributes: &[Attribute],
    width: usize,
    range: impl Fn(usize) -> Option<Range<usize>>,
) -> Result<Var> {
    let values: usize = attributes.iter().map(|a| a.labels.len()).sum();
    let mut memory = vec![0.0f32; values * width];
    for (attribute, first) in first_values(attributes).into_iter().enumerate() {
        for label in 0..attributes[attribute].labels.len() {
            if let (Some(prototype), Some(range)) =
                (prototypes.get(attribute, label as u16), range(attribute))
            {
                memory[(first + label) * width..][..width][range].copy_from_slice(prototype);
            }
        }
    }
    Var::from_vec(memory, (values, width), &Device::Cpu)
}

/// A change, from the numbers of one list of attributes to those of another; `None` where the other lacks it.
pub(super) fn translated(change: &Change, from: &[Attribute], to: &[Attribute]) -> Option<Change> {
    let name = &from[change.attribute];
    let attribute = to.iter().position(|a| a.name == name.name)?;
    let label = |l: u16| {
        to[attribute].labels.iter().position(|x| *x == name.labels[usize::from(l)]).map(|at| at as u16)
    };
    Some(Change { attribute, to: label(change.to)?, from: change.from.and_then(label) })
}
