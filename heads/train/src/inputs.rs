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

/// Multiplies each value by 0 or by one over the share that is kept, by chance: `dropout`, 0 to below 1, is the share of
/// zeros.
pub(super) fn drop_out(values: &mut [f32], dropout: f32, rng: &mut ChaCha8Rng) {
    let keep = 1.0 - dropout;
    // One random byte a number is enough of a coin, and four times cheaper; all of them keep is 256.
    let threshold = (keep * 256.0) as u16;
    let mut coins = vec![0u8; values.len()];
    rng.fill(&mut coins[..]);
    // Without a branch, which half of the time would be foreseen wrongly.
    for (value, coin) in values.iter_mut().zip(coins) {
        *value *= f32::from(u8::from(u16::from(coin) < threshold)) / keep;
    }
}

/// 1 / keep or 0, by chance.
pub(super) fn mask(
    (rows, columns): (usize, usize),
    dropout: f32,
    rng: &mut ChaCha8Rng,
    device: &Device,
) -> candle_core::Result<Tensor> {
    let mut mask = vec![1.0; rows * columns];
    drop_out(&mut mask, dropout, rng);
    Tensor::from_vec(mask, (rows, columns), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn without_dropout_nothing_is_dropped_and_with_it_the_mean_stays() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut values = vec![3.0f32; 100_000];
        drop_out(&mut values, 0.0, &mut rng);
        assert!(values.iter().all(|v| *v == 3.0));
        drop_out(&mut values, 0.25, &mut rng);
        assert!(values.iter().all(|v| *v == 0.0 || *v == 4.0));
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!((mean - 3.0).abs() < 0.05, "{mean}");
    }
}
