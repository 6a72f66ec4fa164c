//! What a head is fed in training.

use super::features::Pooled;
use candle_core::{Device, Tensor};
use half::slice::HalfFloatSliceExt;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// The numbers of an example that a head reads: as many of each pooled part as it has room for.
pub(super) fn fill(pooled: &[Arc<Pooled>], example: usize, target: &mut [f32]) {
    let each = target.len() / pooled.len().max(1);
    for (pooled, target) in pooled.iter().zip(target.chunks_exact_mut(each)) {
        pooled.row(example)[..each].convert_to_f32_slice(target);
    }
}

/// 1 / keep or 0, by chance.
pub(super) fn mask(
    (rows, columns): (usize, usize),
    dropout: f32,
    rng: &mut ChaCha8Rng,
    device: &Device,
) -> candle_core::Result<Tensor> {
    let keep = 1.0 - dropout;
    let threshold = (keep * 256.0) as u16;
    let mut coins = vec![0u8; rows * columns];
    rng.fill(&mut coins[..]);
    let factor = |coin| if u16::from(coin) < threshold { 1.0 / keep } else { 0.0 };
    Tensor::from_vec(coins.into_iter().map(factor).collect::<Vec<f32>>(), (rows, columns), device)
}
