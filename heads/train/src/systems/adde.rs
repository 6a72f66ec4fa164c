//! ADDE-M-style: an encoder an attribute, and the residual of a memory block, r' = r + M i.
//!
//! After Hou et al., "Learning Attribute-driven Disentangled Representations for Interactive Fashion Retrieval".
//! The indicator i has 1 for the label wanted and -1 for the one given up; the representation is the encoders'
//! outputs, one after the other, scaled to unit length together and compared as one vector (the sum of the parts'
//! squared distances), so that its parts can be weighted as those of other systems. The encoders are trained first and
//! then kept; the memory starts from the labels' prototypes and is trained on manipulations.

use super::heads::{owner_of, signatures_of};
use super::manipulator::{
    Lessons, Manipulator, ManipulatorSettings, first_values, memory_of, tensor, train, translated,
};
use super::signatures::normalise;
use super::{Change, Labelled, Prototypes, Query, QueryPart, Searcher, Signatures, System};
use crate::Prepared;
use crate::network::Network;
use candle_core::{Device, Result, Tensor, Var};
use lapel_heads::{Attribute, Head};
use std::sync::Arc;

/// The system, trained.
pub struct Adde {
    encoders: Arc<Vec<Head>>,
    attributes: Vec<Attribute>,
    memory: Memory,
}

struct Memory {
    first_values: Vec<usize>,
    /// M, `[values, width]`.
    memory: Var,
}

impl Adde {
    /// Trains the memory block on the representation that `encoders` give the training pictures.
    ///
    /// `learnt` are the pictures to learn from.
    ///
    /// # Errors
    /// When features cannot be read or the tensor library fails.
    pub fn train(
        encoders: Arc<Vec<Head>>,
        training: &Prepared,
        labels: &[Vec<Option<u16>>],
        (attributes, learnt): (&[Attribute], &[usize]),
        settings: &ManipulatorSettings,
    ) -> anyhow::Result<Self> {
        let parts = signatures_of(&encoders, training)?;
        let range = |at: usize| Some(parts.range(owner_of(&encoders, &attributes[at].name)?));
        let width: usize = parts.parts().iter().sum();
        let learnt_labels: Vec<Vec<Option<u16>>> = learnt.iter().map(|row| labels[*row].clone()).collect();
        let labelled = Labelled { signatures: parts.select(learnt), labels: &learnt_labels, attributes };
        let prototypes = Prototypes::of(&labelled, range);
        let memory = memory_of(&prototypes, attributes, width, range)?;
        // As long as the parts of a representation that has unit length as a whole.
        let scale = 1.0 / (encoders.len() as f64).sqrt();
        let memory = Var::from_tensor(&(memory.as_tensor() * scale)?)?;
        let memory = Memory { first_values: first_values(attributes), memory };
        train(&memory, &Lessons { signatures: &parts, labels, attributes, rows: learnt }, settings)?;
        Ok(Self { encoders, attributes: attributes.to_vec(), memory })
    }
}

impl Manipulator for Memory {
    fn variables(&self) -> Vec<(String, Var)> {
        vec![("memory.weight".into(), self.memory.clone())]
    }

    fn embed(&self, signatures: &Tensor) -> Result<Tensor> {
        Network::normalise(signatures)
    }

    fn fuse(&self, signatures: &Tensor, changes: &[Change]) -> Result<Tensor> {
        let value = |attribute: usize, label: u16| (self.first_values[attribute] + usize::from(label)) as u32;
        let rows = |of: &dyn Fn(&Change) -> u32| -> Result<Tensor> {
            self.memory
                .index_select(&Tensor::new(changes.iter().map(of).collect::<Vec<u32>>(), &Device::Cpu)?, 0)
        };
        let added = rows(&|c| value(c.attribute, c.to))?;
        let removed = rows(&|c| value(c.attribute, c.from.unwrap_or(c.to)))?;
        Network::normalise(&((signatures + added)? - removed)?)
    }
}

impl System for Adde {
    fn name(&self) -> &str {
        "ADDE-M-style"
    }

    fn signatures(&self, of: &Prepared) -> anyhow::Result<Signatures> {
        let parts = signatures_of(&self.encoders, of)?;
        let rows: Vec<usize> = (0..parts.len()).collect();
        let unit = self.memory.embed(&tensor(&parts, &rows)?)?.flatten_all()?.to_vec1()?;
        Ok(Signatures::new(parts.parts().to_vec(), unit))
    }

    fn fit<'a>(&'a self, training: Labelled<'a>) -> anyhow::Result<Box<dyn Searcher + 'a>> {
        let owners: Vec<Option<usize>> =
            training.attributes.iter().map(|a| owner_of(&self.encoders, &a.name)).collect();
        let range = |at: usize| owners[at].map(|part| training.signatures.range(part));
        let ranges = (0..owners.len()).map(range).collect();
        let prototypes = Prototypes::of(&training, range);
        let memory = self.memory.memory.to_vec2()?;
        let attributes = training.attributes;
        Ok(Box::new(Fitted { system: self, attributes, prototypes, owners, ranges, memory }))
    }
}

struct Fitted<'a> {
    system: &'a Adde,
    attributes: &'a [Attribute],
    /// They tell which label is given up where the query does not name it.
    prototypes: Prototypes,
    /// The part of each attribute ...
    owners: Vec<Option<usize>>,
    /// ... and where it lies.
    ranges: Vec<Option<std::ops::Range<usize>>>,
    memory: Vec<Vec<f32>>,
}

impl Searcher for Fitted<'_> {
    fn query(&self, signature: &[f32], changes: &[Change]) -> Query {
        let mut parts = vec![QueryPart::KEPT; self.system.encoders.len()];
        let mut vector = signature.to_vec();
        for change in changes {
            let part = self.ranges[change.attribute].clone().map(|r| &signature[r]);
            let from =
                change.from.or_else(|| self.prototypes.nearest_other(change.attribute, part?, change.to));
            let asked = Change { from, ..*change };
            let Some(translated) = translated(&asked, self.attributes, &self.system.attributes) else {
                continue;
            };
            let value =
                |label: u16| self.system.memory.first_values[translated.attribute] + usize::from(label);
            let (added, removed) = (
                &self.memory[value(translated.to)],
                &self.memory[value(translated.from.unwrap_or(translated.to))],
            );
            for ((v, a), r) in vector.iter_mut().zip(added).zip(removed) {
                *v += a - r;
            }
            if let Some(part) = self.owners[change.attribute] {
                parts[part].changed = true;
            }
        }
        normalise(&mut vector);
        Query { vector, parts, squared: true }
    }
}
