//! AMNet-style: a memory of prototypes, and fully connected layers that fuse one of them with the query.
//!
//! After Zhao et al., "Memory-Augmented Attribute Manipulation Networks" (the paper's [28]). The sizes and the
//! training of the system that the paper compares with are not public; what is here follows the published idea:
//! one representation of the whole picture, a memory of one prototype a label, fusion by fully connected layers,
//! classification and triplet losses.
//!
//! A sum of query and prototype alone cannot take the present label away without knowing what it is, so one of the
//! fusing layers is not linear; and the memory starts from what tells an attribute's labels apart, since prototypes of
//! the whole picture have most of their length in common.

use super::heads::signatures_of;
use super::manipulator::{
    Lessons, Manipulator, ManipulatorSettings, first_values, memory_of, tensor, train, translated,
};
use super::signatures::normalise;
use super::{Change, Labelled, Prototypes, Query, Searcher, Signatures, System};
use crate::Prepared;
use crate::network::Network;
use candle_core::{Device, Result, Tensor, Var};
use lapel_heads::{Attribute, Head};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The system, trained.
pub struct Amnet {
    head: Vec<Head>,
    attributes: Vec<Attribute>,
    layers: Layers,
}

struct Layers {
    first_values: Vec<usize>,
    /// `[width, width]`.
    embedding: Var,
    /// `[values, width]`.
    memory: Var,
    /// `[2 width, width]`: query and prototype to the fused signature ...
    fusion: Var,
    /// ... and beside it `[2 width, 2 width]`, ReLU, `[2 width, width]`.
    hidden: Var,
    correction: Var,
}

impl Amnet {
    /// Trains memory and fusion on the representation that `head` gives the training pictures.
    ///
    /// `learnt` are the pictures to learn from.
    ///
    /// # Errors
    /// When features cannot be read or the tensor library fails.
    pub fn train(
        head: Head,
        training: &Prepared,
        labels: &[Vec<Option<u16>>],
        (attributes, learnt): (&[Attribute], &[usize]),
        settings: &ManipulatorSettings,
    ) -> anyhow::Result<Self> {
        let head = vec![head];
        let signatures = signatures_of(&head, training)?;
        let layers = Layers::new(&signatures, labels, (attributes, learnt), settings.seed)?;
        train(&layers, &Lessons { signatures: &signatures, labels, attributes, rows: learnt }, settings)?;
        Ok(Self { head, attributes: attributes.to_vec(), layers })
    }
}

impl Layers {
    /// Training starts from the sum of the query and what sets the wanted label apart from the attribute's others.
    fn new(
        signatures: &Signatures,
        labels: &[Vec<Option<u16>>],
        (attributes, learnt): (&[Attribute], &[usize]),
        seed: u64,
    ) -> anyhow::Result<Self> {
        let width = signatures.parts()[0];
        let learnt_labels: Vec<Vec<Option<u16>>> = learnt.iter().map(|row| labels[*row].clone()).collect();
        let labelled = Labelled { signatures: signatures.select(learnt), labels: &learnt_labels, attributes };
        let prototypes = Prototypes::of(&labelled, |_| Some(0..width));
        let memory = memory_of(&prototypes, attributes, width, |_| Some(0..width))?;
        let mut rows = memory.to_vec2::<f32>()?;
        for (attribute, first) in attributes.iter().zip(first_values(attributes)) {
            centre(&mut rows[first..][..attribute.labels.len()]);
        }
        memory.set(&Tensor::from_vec(rows.concat(), memory.shape(), &Device::Cpu)?)?;
        let identity = Tensor::eye(width, candle_core::DType::F32, &Device::Cpu)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spread = (1.5 / width as f32).sqrt();
        let hidden: Vec<f32> = (0..4 * width * width).map(|_| rng.random_range(-spread..spread)).collect();
        Ok(Self {
            first_values: first_values(attributes),
            embedding: Var::from_tensor(&identity)?,
            memory,
            fusion: Var::from_tensor(&Tensor::cat(&[&identity, &identity], 0)?)?,
            hidden: Var::from_vec(hidden, (2 * width, 2 * width), &Device::Cpu)?,
            correction: Var::zeros((2 * width, width), candle_core::DType::F32, &Device::Cpu)?,
        })
    }
}

/// Takes the mean of the rows that are not empty off them.
fn centre(rows: &mut [Vec<f32>]) {
    let known = || rows.iter().filter(|row| row.iter().any(|v| *v != 0.0));
    let count = known().count().max(1) as f32;
    let width = rows.first().map_or(0, Vec::len);
    let mean: Vec<f32> = (0..width).map(|at| known().map(|row| row[at]).sum::<f32>() / count).collect();
    for row in rows.iter_mut().filter(|row| row.iter().any(|v| *v != 0.0)) {
        row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
    }
}

impl Manipulator for Layers {
    fn variables(&self) -> Vec<(String, Var)> {
        [
            ("embedding.weight", &self.embedding),
            ("memory.weight", &self.memory),
            ("fusion.weight", &self.fusion),
            ("hidden.weight", &self.hidden),
            ("correction.weight", &self.correction),
        ]
        .map(|(name, var)| (name.to_owned(), var.clone()))
        .to_vec()
    }

    fn embed(&self, signatures: &Tensor) -> Result<Tensor> {
        Network::normalise(&signatures.matmul(&self.embedding)?)
    }

    fn fuse(&self, embedded: &Tensor, changes: &[Change]) -> Result<Tensor> {
        let value = |c: &Change| (self.first_values[c.attribute] + usize::from(c.to)) as u32;
        let values: Vec<u32> = changes.iter().map(value).collect();
        let read = self.memory.index_select(&Tensor::new(values, &Device::Cpu)?, 0)?;
        let both = Tensor::cat(&[embedded, &read], 1)?;
        let corrected = both.matmul(&self.hidden)?.relu()?.matmul(&self.correction)?;
        Network::normalise(&(both.matmul(&self.fusion)? + corrected)?)
    }
}

impl System for Amnet {
    fn name(&self) -> &str {
        "AMNet-style"
    }

    fn signatures(&self, of: &Prepared) -> anyhow::Result<Signatures> {
        let plain = signatures_of(&self.head, of)?;
        let rows: Vec<usize> = (0..plain.len()).collect();
        let embedded = self.layers.embed(&tensor(&plain, &rows)?)?.flatten_all()?.to_vec1()?;
        Ok(Signatures::new(plain.parts().to_vec(), embedded))
    }

    fn fit<'a>(&'a self, training: Labelled<'a>) -> anyhow::Result<Box<dyn Searcher + 'a>> {
        let Layers { memory, fusion, hidden, correction, .. } = &self.layers;
        Ok(Box::new(Fitted {
            system: self,
            attributes: training.attributes,
            memory: memory.to_vec2()?,
            fusion: fusion.to_vec2()?,
            hidden: hidden.to_vec2()?,
            correction: correction.to_vec2()?,
        }))
    }
}

struct Fitted<'a> {
    system: &'a Amnet,
    attributes: &'a [Attribute],
    memory: Vec<Vec<f32>>,
    fusion: Vec<Vec<f32>>,
    hidden: Vec<Vec<f32>>,
    correction: Vec<Vec<f32>>,
}

impl Searcher for Fitted<'_> {
    fn query(&self, signature: &[f32], changes: &[Change]) -> Query {
        let mut vector = signature.to_vec();
        for change in changes {
            let Some(change) = translated(change, self.attributes, &self.system.attributes) else { continue };
            let value = self.system.layers.first_values[change.attribute] + usize::from(change.to);
            let both = [vector.as_slice(), &self.memory[value]].concat();
            let mut active = vec![0.0; both.len()];
            add_product(&mut active, &both, &self.hidden);
            active.iter_mut().for_each(|value| *value = value.max(0.0));
            vector.fill(0.0);
            add_product(&mut vector, &both, &self.fusion);
            add_product(&mut vector, &active, &self.correction);
            normalise(&mut vector);
        }
        Query::whole(vector, !changes.is_empty())
    }
}

/// Adds a row vector times a matrix.
fn add_product(to: &mut [f32], row: &[f32], matrix: &[Vec<f32>]) {
    for (value, weights) in row.iter().zip(matrix) {
        to.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
    }
}
