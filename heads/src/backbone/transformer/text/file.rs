//! A text tower's file: safetensors with its tensors by the hub's names, its numbers in the metadata, and its tokenizer.json
//! as bytes. In a backbone's file it is one tensor of bytes, so that whoever wants features alone passes it by.

use super::{TextConfig, TextError, TextTower};
use crate::backbone::inverted::BackboneFault;
use crate::bundle::{BundleError, Weights, weights};
use half::f16;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::{BTreeMap, HashMap};

/// The tensor of a backbone's file that is the text tower's file.
const TEXT: &str = "text";
/// The tensor of the text tower's file that is its tokenizer.json.
const TOKENIZER: &str = "tokenizer";
/// Key of the numbers in the file's metadata.
const CONFIG_KEY: &str = "lapel.text";

/// Whether a tensor of a backbone's file is the text tower's file.
pub(in crate::backbone) fn is_text(name: &str, view: &TensorView<'_>) -> bool {
    name == TEXT && view.dtype() == Dtype::U8
}

impl TextTower {
    /// The text tower's file in a backbone's; `None` where there is none.
    ///
    /// # Errors
    /// [`TextError::Damaged`] when the backbone's file is not safetensors.
    pub fn file_in(backbone: &[u8]) -> Result<Option<&[u8]>, TextError> {
        let file = SafeTensors::deserialize(backbone).map_err(|e| damaged(e.to_string()))?;
        let view = file.tensor(TEXT).ok().filter(|view| is_text(TEXT, view));
        Ok(view.map(|view| view.data()))
    }

    /// A backbone's file with a text tower's in it, in the place of one that it has.
    ///
    /// # Errors
    /// [`TextError::Damaged`] when the backbone's file is not safetensors.
    pub fn put_into(backbone: &[u8], text: &[u8]) -> Result<Vec<u8>, TextError> {
        let (_, metadata) = SafeTensors::read_metadata(backbone).map_err(|e| damaged(e.to_string()))?;
        let file = SafeTensors::deserialize(backbone).map_err(|e| damaged(e.to_string()))?;
        let mut tensors = file.tensors();
        tensors.retain(|(name, _)| name != TEXT);
        let text = TensorView::new(Dtype::U8, vec![text.len()], text).map_err(|e| damaged(e.to_string()))?;
        tensors.push((TEXT.to_owned(), text));
        safetensors::serialize(tensors, metadata.metadata().clone()).map_err(|e| damaged(e.to_string()))
    }

    /// Reads a text tower's file.
    ///
    /// # Errors
    /// [`TextError`], one variant a cause.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TextError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(CONFIG_KEY));
        let json = json.ok_or_else(|| damaged(format!("its metadata lacks {CONFIG_KEY}")))?;
        let config: TextConfig =
            serde_json::from_str(json).map_err(|e| damaged(format!("{CONFIG_KEY}: {e}")))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
        let tokenizer = file.tensor(TOKENIZER).ok().filter(|view| view.dtype() == Dtype::U8);
        let tokenizer = tokenizer.ok_or_else(|| damaged(format!("it lacks {TOKENIZER}, of bytes")))?;
        let tensors = file.tensors().into_iter().filter(|(name, _)| name != TOKENIZER);
        let tensors = tensors.map(|(name, view)| {
            let read = weights(&name, &view).map_err(|error| match error {
                BundleError::NotFinite { name } => TextError::Network(BackboneFault::NotFinite { name }),
                other => damaged(other.to_string()),
            })?;
            Ok((name, read))
        });
        let tensors: BTreeMap<String, Weights> = tensors.collect::<Result<_, TextError>>()?;
        Self::new(config, &tensors, tokenizer.data())
    }

    /// The file of a text tower: its numbers, its tensors by the hub's names in half precision, and its tokenizer.json.
    ///
    /// # Errors
    /// [`TextError::Damaged`] when the tensor library refuses a tensor.
    pub fn to_bytes(
        config: &TextConfig,
        tensors: &BTreeMap<String, Weights>,
        tokenizer: &[u8],
    ) -> Result<Vec<u8>, TextError> {
        let json = serde_json::to_string(config).map_err(|e| damaged(e.to_string()))?;
        let halves: BTreeMap<&str, Vec<u8>> = tensors
            .iter()
            .map(|(name, w)| {
                (name.as_str(), w.data.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect())
            })
            .collect();
        let mut views = Vec::with_capacity(halves.len() + 1);
        for ((name, bytes), weights) in halves.iter().zip(tensors.values()) {
            let view = TensorView::new(Dtype::F16, weights.shape.clone(), bytes);
            views.push((*name, view.map_err(|e| damaged(e.to_string()))?));
        }
        let tokenizer = TensorView::new(Dtype::U8, vec![tokenizer.len()], tokenizer)
            .map_err(|e| damaged(e.to_string()))?;
        views.push((TOKENIZER, tokenizer));
        let metadata = HashMap::from([(CONFIG_KEY.to_owned(), json)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| damaged(e.to_string()))
    }
}

fn damaged(reason: String) -> TextError {
    TextError::Damaged { reason }
}
