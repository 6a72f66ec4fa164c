//! Position tables on another grid than they were learnt on.
//!
//! candle's networks take the nearest line of the table, or none but the published size. The published networks
//! interpolate bicubically, so the table is resampled once, when the weights are read.

use super::config::TransformerConfig;
use super::tensors::table_side;
use candle_core::{Device, Result, Tensor};

/// The coefficient of the cubic of those who published the networks.
const SHARPNESS: f32 = -0.75;

/// The position table `[.., lines, hidden]` for pictures of a side.
pub(super) fn resampled(config: &TransformerConfig, input_side: usize, table: &Tensor) -> Result<Tensor> {
    let Some(from) = table_side(config, table.dims()) else {
        candle_core::bail!("a position table of shape {:?} is no square's", table.dims());
    };
    let to = config.grid(input_side);
    if from == to {
        return Ok(table.clone());
    }
    let mut shape = table.dims().to_vec();
    let lines = table.reshape(((), config.hidden_size))?;
    let class = usize::from(config.kind.has_class_token());
    let patches = lines.narrow(0, class, from * from)?.contiguous()?;
    // Rows, then columns, by a matrix of the cubic's weights.
    let weights = cubic(from, to)?;
    let rows = weights.matmul(&patches.reshape((from, from * config.hidden_size))?)?;
    let columns = rows.reshape((to, from, config.hidden_size))?.transpose(0, 1)?.contiguous()?;
    let columns = weights.matmul(&columns.reshape((from, to * config.hidden_size))?)?;
    let patches = columns.reshape((to, to, config.hidden_size))?.transpose(0, 1)?.contiguous()?;
    let patches = patches.reshape((to * to, config.hidden_size))?;
    if let [.., lines, _] = shape.as_mut_slice() {
        *lines = class + to * to;
    }
    Tensor::cat(&[lines.narrow(0, 0, class)?, patches], 0)?.reshape(shape)
}

/// The share of each of `from` values in each of `to` that lie over the same length, `[to, from]`.
fn cubic(from: usize, to: usize) -> Result<Tensor> {
    let mut weights = vec![0f32; to * from];
    for (at, row) in weights.chunks_exact_mut(from).enumerate() {
        let place = (at as f32 + 0.5) * from as f32 / to as f32 - 0.5;
        for neighbour in -1..=2 {
            let column = place.floor() + neighbour as f32;
            row[column.clamp(0.0, (from - 1) as f32) as usize] += share((place - column).abs());
        }
    }
    Tensor::from_vec(weights, (to, from), &Device::Cpu)
}

/// The cubic at a distance.
fn share(distance: f32) -> f32 {
    let (a, d) = (SHARPNESS, distance);
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_the_same_grid_changes_nothing() {
        for (from, to) in [(37, 16), (16, 37), (1, 5), (7, 7), (2, 3)] {
            let rows = cubic(from, to).expect("made").to_vec2::<f32>().expect("rows");
            assert!(rows.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5), "{from} {to}");
            if from == to {
                assert!((0..to).all(|at| rows[at][at] == 1.0));
            }
        }
    }
}
