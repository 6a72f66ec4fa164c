//! From a text to the numbers of its tokens, by the hub's tokenizer.json.
//!
//! The file comes from whoever made the backbone. The tokenizer's crate trusts it: some files make it panic, and some make a
//! short text endless. So what a file can make of a text is bounded before any is read, and a panic is an error here.

use super::{PROMPT_BYTES_MAX, TextConfig, TextError};
use crate::backbone::transformer::config::TransformerKind;
use serde::Deserialize;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokenizers::Tokenizer;

/// How many times longer a text may become before it is cut into tokens.
const GROWTH_MAX: usize = 4096;
/// By how much a table of the kind that SentencePiece has (`precompiled_charsmap`) lengthens a text, at most as published
/// ones do: one ligature becomes 18 letters.
const CHARSMAP_GROWTH: usize = 20;

/// A tokenizer with the bounds of its tower.
pub(super) struct TextTokenizer {
    tokenizer: Tokenizer,
    vocabulary: usize,
    positions: usize,
    /// What texts are filled up with, where they are.
    pad: Option<u32>,
}

/// The parts of a tokenizer.json that change a text.
#[derive(Deserialize)]
struct Rewriting {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
}

impl TextTokenizer {
    /// Reads the tokenizer of a tower without faults.
    pub(super) fn new(config: &TextConfig, json: &[u8]) -> Result<Self, TextError> {
        let parts: Rewriting = serde_json::from_slice(json).map_err(|e| unusable(e.to_string()))?;
        let growth = growth(&parts.normalizer).saturating_mul(growth(&parts.pre_tokenizer));
        if growth > GROWTH_MAX {
            return Err(unusable(format!(
                "its normalizer makes texts up to {growth} times longer; {GROWTH_MAX} times are accepted"
            )));
        }
        let tokenizer = caught(|| Tokenizer::from_bytes(json))?;
        let mut tokenizer = tokenizer.map_err(|e| unusable(e.to_string()))?;
        let own_pad = tokenizer.get_padding().map(|padding| padding.pad_id);
        let pad = match config.kind {
            TransformerKind::SigLip => Some(own_pad.unwrap_or(config.pad)),
            TransformerKind::Clip | TransformerKind::DinoV2 => None,
        };
        // Texts are cut and filled up here, whatever the file says of that.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| unusable(e.to_string()))?;
        Ok(Self { tokenizer, vocabulary: config.vocabulary, positions: config.positions, pad })
    }

    /// The numbers of a text's tokens, at least one. Of a long text the first and the last are kept, which marks the end.
    /// Both families were trained on lower case.
    pub(super) fn ids(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let bytes = text.len();
        if bytes > PROMPT_BYTES_MAX {
            return Err(TextError::Prompt { bytes });
        }
        let text = text.to_lowercase();
        let encoding = caught(|| self.tokenizer.encode_fast(text.as_str(), true))?
            .map_err(|e| unusable(e.to_string()))?;
        let mut ids = encoding.get_ids().to_vec();
        let Some(end) = ids.last().copied() else {
            return Err(unusable("it makes no token of a text".into()));
        };
        if ids.len() > self.positions {
            ids.truncate(self.positions.saturating_sub(1));
            ids.push(end);
        }
        if let Some(pad) = self.pad {
            ids.resize(self.positions, pad);
        }
        match ids.iter().find(|id| **id as usize >= self.vocabulary) {
            None => Ok(ids),
            Some(odd) => {
                let count = self.vocabulary;
                Err(unusable(format!("it gives token {odd}; the tower knows {count}, counted from 0")))
            }
        }
    }
}

/// How many times longer steps make a text, at most: all of them together, however they are nested.
fn growth(steps: &Value) -> usize {
    match steps {
        Value::Array(steps) => steps.iter().map(growth).fold(1, usize::saturating_mul),
        Value::Object(step) => {
            step.iter().map(|(key, value)| of_key(key, value)).fold(1, usize::saturating_mul)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

fn of_key(key: &str, value: &Value) -> usize {
    match (key, value) {
        // What is replaced may be nothing at all, before every character.
        ("content" | "prepend" | "replacement", Value::String(text)) => text.len().saturating_add(1),
        ("precompiled_charsmap", Value::String(_)) => CHARSMAP_GROWTH,
        // It writes bytes as characters of up to two.
        ("type", Value::String(kind)) if kind == "ByteLevel" => 2,
        (_, value) => growth(value),
    }
}

fn caught<T>(run: impl FnOnce() -> T) -> Result<T, TextError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| unusable("it makes the tokenizer panic".into()))
}

fn unusable(reason: String) -> TextError {
    TextError::Tokenizer { reason }
}
