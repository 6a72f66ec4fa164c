//! What a training run remembers beside its weights: the best epoch so far, and how it went.

use super::head_trainer::TrainError;
use candle_core::{Device, Error, Tensor};
use std::collections::HashMap;
use std::path::Path;

/// Tensors by name.
type State = HashMap<String, Tensor>;

/// The best epoch so far, and each epoch's figures.
pub(super) struct Record {
    /// The highest share of held-out labels told right; below 0 before any epoch counts.
    pub(super) score: f32,
    /// The weights that reached it.
    pub(super) best: State,
    /// By epoch: mean loss, share of the held-out labels told right.
    pub(super) trace: Vec<[f32; 2]>,
}

impl Record {
    /// Starts with the weights as they are, which must be copies.
    pub(super) fn new(best: State) -> Self {
        Self { score: -1.0, best, trace: Vec::new() }
    }

    /// Writes a checkpoint in one step: `state`, the record, and how many epochs are done.
    pub(super) fn save(&self, mut state: State, path: &Path, epochs_done: usize) -> Result<(), TrainError> {
        let cpu = &Device::Cpu;
        state.extend(self.best.iter().map(|(name, t)| (format!("best.{name}"), t.clone())));
        state.insert("best".into(), Tensor::new(self.score, cpu)?);
        let trace = Tensor::from_slice(self.trace.as_flattened(), (self.trace.len(), 2), cpu)?;
        state.insert("trace".into(), trace);
        state.insert("epochs_done".into(), Tensor::new(epochs_done as u32, cpu)?);
        let temporary = path.with_extension("tmp");
        candle_core::safetensors::save(&state, &temporary)?;
        std::fs::rename(temporary, path)?;
        Ok(())
    }

    /// Reads a checkpoint if there is one, and gives its state and the epochs done.
    pub(super) fn load(
        &mut self,
        path: &Path,
        device: &Device,
    ) -> Result<Option<(State, usize)>, TrainError> {
        if !path.exists() {
            return Ok(None);
        }
        let state = candle_core::safetensors::load(path, device)?;
        let find =
            |name: &str| state.get(name).ok_or_else(|| Error::Msg(format!("the checkpoint lacks {name}")));
        self.score = find("best")?.to_scalar()?;
        for (name, tensor) in &mut self.best {
            *tensor = find(&format!("best.{name}"))?.clone();
        }
        self.trace = find("trace")?.to_vec2::<f32>()?.into_iter().map(|row| [row[0], row[1]]).collect();
        let done = find("epochs_done")?.to_scalar::<u32>()? as usize;
        Ok(Some((state, done)))
    }
}
