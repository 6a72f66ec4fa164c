//! AMNet-style: a memory of prototypes, and a fully connected layer that fuses one of them with the query.
//!
//! After Zhao et al., "Memory-Augmented Attribute Manipulation Networks" (the paper's [28]). The sizes and the
//! training of the system that the paper compares with are not public; what is here follows the published idea:
//! one representation of the whole picture, a memory of one prototype a label, fusion by a fully connected layer,
//! classification and triplet losses.

use super::heads::signatures_of;
use super::manipulator::{Lessons, Manipulator, first_values, memory_of, tensor, train, translated};
use super::signatures::normalise;
use super::{Change, Labelled, Prototypes, Query, Searcher, Signatures, System};
use crate::Prepared;
use crate::network::Network;
use candle_core::{Device, Result, Tensor, Var};
use lapel_heads::{Attribute, Head};

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
    /// `[2 width, width]`.
    fusion: Var,
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
        (attributes, learnt, seed): (&[Attribute], &[usize], u64),
    ) -> anyhow::Result<Self> {
        let head = vec![head];
        let signatures = signatures_of(&head, training)?;
        let width = signatures.parts()[0];
        let labelled = Labelled { signatures, labels, attributes };
        let prototypes = Prototypes::of(&labelled, |_| Some(0..width));
        // Training starts from a plain sum of query and prototype.
        let identity = Tensor::eye(width, candle_core::DType::F32, &Device::Cpu)?;
        let layers = Layers {
            first_values: first_values(attributes),
            embedding: Var::from_tensor(&identity)?,
            memory: memory_of(&prototypes, attributes, width, |_| Some(0..width))?,
            fusion: Var::from_tensor(&Tensor::cat(&[&identity, &identity], 0)?)?,
        };
        let rows = learnt.to_vec();
        train(&layers, &Lessons { signatures: &labelled.signatures, labels, attributes, rows, seed })?;
        Ok(Self { head, attributes: attributes.to_vec(), layers })
    }
}

impl Manipulator for Layers {
    fn variables(&self) -> Vec<(String, Var)> {
        [
            ("embedding.weight", &self.embedding),
            ("memory.weight", &self.memory),
            ("fusion.weight", &self.fusion),
        ]
        .map(|(name, var)| (name.to_owned(), var.clone()))
        .to_vec()
    }

    fn embed(&self, signatures: &Tensor) -> Result<Tensor> {
        Network::normalise(&signatures.matmul(&self.embedding)?)
    }

    fn fuse(&self, signatures: &Tensor, changes: &[Change]) -> Result<Tensor> {
        let value = |c: &Change| (self.first_values[c.attribute] + usize::from(c.to)) as u32;
        let values: Vec<u32> = changes.iter().map(value).collect();
        let read = self.memory.index_select(&Tensor::new(values, &Device::Cpu)?, 0)?;
        let both = Tensor::cat(&[signatures.matmul(&self.embedding)?, read], 1)?;
        Network::normalise(&both.matmul(&self.fusion)?)
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
        let (memory, fusion) = (self.layers.memory.to_vec2()?, self.layers.fusion.to_vec2()?);
        Ok(Box::new(Fitted { system: self, attributes: training.attributes, memory, fusion }))
    }
}

struct Fitted<'a> {
    system: &'a Amnet,
    attributes: &'a [Attribute],
    memory: Vec<Vec<f32>>,
    fusion: Vec<Vec<f32>>,
}

impl Searcher for Fitted<'_> {
    fn query(&self, signature: &[f32], changes: &[Change]) -> Query {
        let mut vector = signature.to_vec();
        for change in changes {
            let Some(change) = translated(change, self.attributes, &self.system.attributes) else { continue };
            let value = self.system.layers.first_values[change.attribute] + usize::from(change.to);
            let mut fused = vec![0.0; vector.len()];
            for (input, row) in vector.iter().chain(&self.memory[value]).zip(&self.fusion) {
                for (sum, weight) in fused.iter_mut().zip(row) {
                    *sum += input * weight;
                }
            }
            normalise(&mut fused);
            vector = fused;
        }
        Query::new(vector, vec![1.0])
    }
}
