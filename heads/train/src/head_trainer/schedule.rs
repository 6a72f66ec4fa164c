//! How long and how fast a head is trained.

use candle_core::Device;

/// Epochs, rates and the like. The paper trains stage 1 for 30 epochs; on its eight variants a photo, a head here has
/// learnt all it will after 12.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Epochs of cross entropy alone.
    pub epochs_1: usize,
    /// Epochs of cross entropy and triplets.
    pub epochs_2: usize,
    /// Examples a step.
    pub batch: usize,
    /// Rate of stage 1 (section 6: 0.01).
    pub rate_1: f64,
    /// Rate of stage 2.
    pub rate_2: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Share of the pooled inputs and of fc6's outputs dropped in training.
    pub dropout: f32,
    /// The triplet margin m.
    pub margin: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// Where it is computed.
    pub device: Device,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            epochs_1: 12,
            epochs_2: 6,
            batch: 64,
            rate_1: 0.01,
            rate_2: 0.003,
            momentum: 0.9,
            weight_decay: 5e-4,
            dropout: 0.5,
            margin: 0.5,
            seed: 1,
            device: Device::Cpu,
        }
    }
}

/// Told after each epoch.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Epoch, from 1, over both stages.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Mean loss of the epoch.
    pub loss: f32,
    /// Share of the validation labels told right, where that is measured.
    pub validation: Option<f32>,
}
