//! Names and shapes of vision transformers' tensors, as their hubs have them.

use super::config::{TABLE_MAX, TransformerConfig, TransformerKind};
use crate::backbone::inverted::{BackboneFault, check_tensor};
use crate::bundle::Weights;
use std::collections::BTreeMap;

/// A tensor's name and shape.
pub(super) type Named = (String, Vec<usize>);

impl TransformerKind {
    /// The name of the position table.
    pub(super) fn position_table(self) -> &'static str {
        match self {
            Self::DinoV2 => "pos_embed",
            Self::Clip | Self::SigLip => "vision_model.embeddings.position_embedding.weight",
        }
    }

    /// Whether the position table's first line is the class token's.
    pub(super) fn has_class_token(self) -> bool {
        match self {
            Self::DinoV2 | Self::Clip => true,
            Self::SigLip => false,
        }
    }
}

impl TransformerConfig {
    /// Names and shapes of all tensors that are read. The position table may be of another grid than the pictures';
    /// here it has `table_side` patches in a row.
    #[must_use]
    pub fn tensors(&self, table_side: usize) -> Vec<(String, Vec<usize>)> {
        let mut tensors = match self.kind {
            TransformerKind::DinoV2 => self.dinov2(),
            TransformerKind::Clip => self.clip(),
            TransformerKind::SigLip => self.siglip(),
        };
        let lines = table_side * table_side + usize::from(self.kind.has_class_token());
        let table = match self.kind {
            TransformerKind::DinoV2 => vec![1, lines, self.hidden_size],
            TransformerKind::Clip | TransformerKind::SigLip => vec![lines, self.hidden_size],
        };
        tensors.push((self.kind.position_table().to_owned(), table));
        tensors
    }

    fn patches(&self, name: &str) -> Named {
        (format!("{name}.weight"), vec![self.hidden_size, 3, self.patch_size, self.patch_size])
    }

    fn dinov2(&self) -> Vec<Named> {
        let (hidden, between) = (self.hidden_size, self.intermediate_size);
        let mut tensors = vec![
            ("cls_token".into(), vec![1, 1, hidden]),
            self.patches("patch_embed.proj"),
            ("patch_embed.proj.bias".into(), vec![hidden]),
        ];
        tensors.extend(norm("norm", hidden));
        for block in (0..self.layers).map(|layer| format!("blocks.{layer}")) {
            tensors.extend(norm(&format!("{block}.norm1"), hidden));
            tensors.extend(linear(&format!("{block}.attn.qkv"), [3 * hidden, hidden]));
            tensors.extend(linear(&format!("{block}.attn.proj"), [hidden, hidden]));
            tensors.push((format!("{block}.ls1.gamma"), vec![hidden]));
            tensors.extend(norm(&format!("{block}.norm2"), hidden));
            tensors.extend(perceptron(&format!("{block}.mlp"), hidden, between));
            tensors.push((format!("{block}.ls2.gamma"), vec![hidden]));
        }
        tensors
    }

    fn clip(&self) -> Vec<Named> {
        let mut tensors = vec![
            ("vision_model.embeddings.class_embedding".into(), vec![self.hidden_size]),
            self.patches("vision_model.embeddings.patch_embedding"),
        ];
        // So spelt in the hub's files.
        tensors.extend(norm("vision_model.pre_layrnorm", self.hidden_size));
        tensors.extend(self.encoder());
        tensors
    }

    fn siglip(&self) -> Vec<Named> {
        let (hidden, head) = (self.hidden_size, "vision_model.head");
        let mut tensors = vec![
            self.patches("vision_model.embeddings.patch_embedding"),
            ("vision_model.embeddings.patch_embedding.bias".into(), vec![hidden]),
            (format!("{head}.probe"), vec![1, 1, hidden]),
            (format!("{head}.attention.in_proj_weight"), vec![3 * hidden, hidden]),
            (format!("{head}.attention.in_proj_bias"), vec![3 * hidden]),
        ];
        tensors.extend(linear(&format!("{head}.attention.out_proj"), [hidden, hidden]));
        tensors.extend(norm(&format!("{head}.layernorm"), hidden));
        tensors.extend(perceptron(&format!("{head}.mlp"), hidden, self.intermediate_size));
        tensors.extend(self.encoder());
        tensors
    }

    /// What CLIP and SigLIP have in common.
    fn encoder(&self) -> Vec<Named> {
        let mut tensors: Vec<Named> = norm("vision_model.post_layernorm", self.hidden_size).into();
        tensors.extend(layers("vision_model", self.layers, self.hidden_size, self.intermediate_size));
        tensors
    }
}

/// The layers of a tower of CLIP or SigLIP, of pictures as of texts.
pub(super) fn layers(tower: &str, count: usize, hidden: usize, between: usize) -> Vec<Named> {
    let mut tensors = Vec::new();
    for layer in (0..count).map(|layer| format!("{tower}.encoder.layers.{layer}")) {
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            tensors.extend(linear(&format!("{layer}.self_attn.{part}"), [hidden, hidden]));
        }
        tensors.extend(norm(&format!("{layer}.layer_norm1"), hidden));
        tensors.extend(perceptron(&format!("{layer}.mlp"), hidden, between));
        tensors.extend(norm(&format!("{layer}.layer_norm2"), hidden));
    }
    tensors
}

pub(super) fn norm(name: &str, hidden: usize) -> [Named; 2] {
    ["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![hidden]))
}

pub(super) fn linear(name: &str, shape: [usize; 2]) -> [Named; 2] {
    [(format!("{name}.weight"), shape.to_vec()), (format!("{name}.bias"), shape[..1].to_vec())]
}

fn perceptron(name: &str, hidden: usize, between: usize) -> impl Iterator<Item = Named> {
    let [first, second] = ["fc1", "fc2"].map(|layer| format!("{name}.{layer}"));
    linear(&first, [between, hidden]).into_iter().chain(linear(&second, [hidden, between]))
}

/// Whether every tensor of a network without faults is there and sound.
pub(super) fn check(
    config: &TransformerConfig,
    input_side: usize,
    tensors: &BTreeMap<String, Weights>,
) -> Result<(), BackboneFault> {
    let table = tensors.get(config.kind.position_table());
    let table_side = table.and_then(|table| table_side(config, &table.shape));
    let wanted = config.tensors(table_side.unwrap_or(config.grid(input_side)));
    wanted.into_iter().try_for_each(|(name, shape)| check_tensor(name, &shape, tensors).map(drop))
}

/// Patches in a row of a position table with this shape, where it is a square's.
pub(super) fn table_side(config: &TransformerConfig, shape: &[usize]) -> Option<usize> {
    let lines = *shape.iter().rev().nth(1)?;
    let patches = lines.checked_sub(usize::from(config.kind.has_class_token()))?;
    let side = patches.isqrt();
    (side * side == patches && (1..=TABLE_MAX).contains(&side)).then_some(side)
}
