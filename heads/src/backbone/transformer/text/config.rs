//! The numbers of a text tower, their bounds, and its tensors' names and shapes as its hub has them.

use super::TextError;
use crate::backbone::inverted::check_tensor;
use crate::backbone::transformer::config::{HIDDEN_MAX, INTERMEDIATE_MAX, LAYERS_MAX, TransformerKind};
use crate::backbone::transformer::tensors::{Named, layers, linear, norm};
use crate::bundle::Weights;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bounds, so that a file cannot ask for absurd amounts of work. The largest published towers are within.
const VOCABULARY_MAX: usize = 300_000;
const POSITIONS_MAX: usize = 256;
/// What brings CLIP's pictures into the space of texts.
pub(super) const VISUAL_PROJECTION: &str = "visual_projection.weight";
/// The logarithm of what cosines are multiplied by.
pub(super) const LOGIT_SCALE: &str = "logit_scale";

/// A text tower's numbers, in the words of its hub's configuration where those are plain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// The family: CLIP or SigLIP.
    pub kind: TransformerKind,
    /// Numbers of a token, a multiple of `heads`.
    pub hidden_size: usize,
    /// Numbers between the two layers of a block's perceptron.
    pub intermediate_size: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Tokens that are known (`vocab_size`).
    pub vocabulary: usize,
    /// Tokens of a text that are read (`max_position_embeddings`).
    pub positions: usize,
    /// Numbers in the space that texts share with pictures (`projection_dim`); of SigLIP as many as `hidden_size`.
    pub projection: usize,
    /// Numbers of a picture's summary: `hidden_size` of the vision tower; of SigLIP as many as `projection`.
    pub summary: usize,
    /// The token that SigLIP's texts are filled up with, where the tokenizer names none (`pad_token_id`).
    pub pad: u32,
}

impl TextConfig {
    /// Everything that is wrong with the numbers.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let Self {
            kind,
            hidden_size,
            intermediate_size,
            layers,
            heads,
            vocabulary,
            positions,
            projection,
            summary,
            pad,
        } = self;
        let mut faults = Vec::new();
        let mut bounded = |name: &str, value: usize, most: usize| {
            if !(1..=most).contains(&value) {
                faults.push(format!("{name} is {value}; 1 to {most} are accepted"));
            }
        };
        bounded("hidden_size", *hidden_size, HIDDEN_MAX);
        bounded("intermediate_size", *intermediate_size, INTERMEDIATE_MAX);
        bounded("layers", *layers, LAYERS_MAX);
        bounded("vocabulary", *vocabulary, VOCABULARY_MAX);
        bounded("positions", *positions, POSITIONS_MAX);
        bounded("projection", *projection, HIDDEN_MAX);
        bounded("summary", *summary, HIDDEN_MAX);
        if *heads == 0 || hidden_size % heads != 0 {
            faults.push(format!("heads is {heads}, which does not divide hidden_size, {hidden_size}"));
        }
        match kind {
            TransformerKind::DinoV2 => faults.push("DINOv2 reads no texts".into()),
            TransformerKind::Clip => {}
            TransformerKind::SigLip => {
                if projection != hidden_size || summary != projection {
                    faults.push(format!(
                        "hidden_size is {hidden_size}, projection {projection} and summary {summary}; of SigLIP they are equal"
                    ));
                }
                if *pad as usize >= *vocabulary {
                    faults.push(format!("pad is {pad}; there are {vocabulary} tokens, counted from 0"));
                }
            }
        }
        faults
    }

    /// Names and shapes of all tensors that are read, but for `logit_scale`, which has one number in any shape.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let hidden = self.hidden_size;
        let table = |name: &str, lines: usize| -> Named {
            (format!("text_model.embeddings.{name}.weight"), vec![lines, hidden])
        };
        let mut tensors =
            vec![table("token_embedding", self.vocabulary), table("position_embedding", self.positions)];
        tensors.extend(layers("text_model", self.layers, hidden, self.intermediate_size));
        tensors.extend(norm("text_model.final_layer_norm", hidden));
        match self.kind {
            TransformerKind::Clip => {
                tensors.push(("text_projection.weight".into(), vec![self.projection, hidden]));
                tensors.push((VISUAL_PROJECTION.into(), vec![self.projection, self.summary]));
            }
            TransformerKind::SigLip => tensors.extend(linear("text_model.head", [hidden, hidden])),
            TransformerKind::DinoV2 => {}
        }
        tensors
    }

    /// Names of all tensors that are read.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = self.tensors().into_iter().map(|(name, _)| name);
        names.chain([LOGIT_SCALE.to_owned()]).collect()
    }

    /// Whether every tensor of numbers without faults is there and sound.
    pub(super) fn check(&self, tensors: &BTreeMap<String, Weights>) -> Result<(), TextError> {
        let check = |(name, shape): (String, Vec<usize>)| check_tensor(name, &shape, tensors).map(drop);
        Ok(self.tensors().into_iter().try_for_each(check)?)
    }
}
