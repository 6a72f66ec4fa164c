//! The mean and the maximum of each channel of a map, and their adjoint.

use crate::backbone::autograd::slice;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

/// The mean of each channel, then the maximum of each: `[batch, row, column, channels]` to `[batch, 2 * channels]`.
pub(in crate::backbone) fn pool(map: &Tensor) -> Result<Tensor> {
    map.apply_op1_no_bwd(&Pool)
}

/// The gradient of the map of [`pool`] by that of what it gives.
pub(in crate::backbone) fn pool_gradient(map: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    map.apply_op2_no_bwd(gradient, &OfPooled)
}

/// Sums and the places of maxima of the channels of one map.
fn pooled<T: WithDType>(map: &[T], channels: usize) -> (Vec<T>, Vec<usize>) {
    let (mut sums, mut places) = (vec![T::zero(); channels], vec![0; channels]);
    for (at, pixel) in map.chunks_exact(channels).enumerate() {
        for (channel, value) in pixel.iter().enumerate() {
            sums[channel] += *value;
            if *value > map[places[channel] * channels + channel] {
                places[channel] = at;
            }
        }
    }
    (sums, places)
}

struct Pool;

impl CustomOp1 for Pool {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn cpu_fwd(&self, map: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        fn run<T: WithDType>(maps: &[T], (area, channels): (usize, usize)) -> Vec<T> {
            let share = T::from_f64(1.0 / area as f64);
            let of_map = |map: &[T]| {
                let (sums, places) = pooled(map, channels);
                let most = (0..channels).map(|channel| map[places[channel] * channels + channel]);
                sums.iter().map(|sum| *sum * share).chain(most).collect::<Vec<T>>()
            };
            maps.par_chunks(area * channels).map(of_map).collect::<Vec<_>>().concat()
        }
        let (batch, rows, columns, channels) = layout.shape().dims4()?;
        let of = (rows * columns, channels);
        let pooled = match map {
            CpuStorage::F32(map) => CpuStorage::F32(run(slice(map, layout)?, of)),
            CpuStorage::F64(map) => CpuStorage::F64(run(slice(map, layout)?, of)),
            _ => bail!("maps of f32 or f64 are pooled"),
        };
        Ok((pooled, Shape::from((batch, 2 * channels))))
    }
}

struct OfPooled;

impl CustomOp2 for OfPooled {
    fn name(&self) -> &'static str {
        "pool_gradient"
    }

    fn cpu_fwd(
        &self,
        map: &CpuStorage,
        map_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        fn run<T: WithDType>(maps: &[T], gradients: &[T], (area, channels): (usize, usize)) -> Vec<T> {
            let share = T::from_f64(1.0 / area as f64);
            let of_map = |(map, gradient): (&[T], &[T])| {
                let (of_mean, of_most) = gradient.split_at(channels);
                let even: Vec<T> = of_mean.iter().map(|gradient| *gradient * share).collect();
                let mut all = even.repeat(area);
                for (channel, place) in pooled(map, channels).1.into_iter().enumerate() {
                    all[place * channels + channel] += of_most[channel];
                }
                all
            };
            let both = maps.par_chunks(area * channels).zip(gradients.par_chunks(2 * channels));
            both.map(of_map).collect::<Vec<_>>().concat()
        }
        let (_, rows, columns, channels) = map_layout.shape().dims4()?;
        let of = (rows * columns, channels);
        let all = in_both!((map, map_layout), (gradient, gradient_layout), |a, b| run(a, b, of));
        Ok((all, map_layout.shape().clone()))
    }
}
