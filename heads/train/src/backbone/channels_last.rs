//! Operations of networks in training on maps `[batch, row, column, channel]`, and their adjoints, on the processor: the
//! numbers of all channels of a pixel lie together, so depthwise filters work on whole registers and pointwise
//! convolutions are products of matrices.
//!
//! The adjoints are called in their order by hand ([`TrainableInverted`](super::TrainableInverted)): candle's own
//! backward pass first makes every gradient of zeros and then adds to it, which took a third of the time.

use super::autograd::slice;
use candle_core::{CpuStorage, CustomOp2, InplaceOp2, Layout, Result, Shape, Tensor, WithDType, bail};
use lapel_heads::inverted::Frame;
use pulp::Arch;
use rayon::prelude::*;

/// Channels that are summed in registers at once.
const AT_ONCE: usize = 48;
/// What ReLU6 cuts off.
const CEILING: f64 = 6.0;

/// Adds a bias `[channels]` to rows `[pixels, channels]` in place, and applies ReLU6 where `clamped`.
pub(super) fn add_bias(rows: &Tensor, bias: &Tensor, clamped: bool) -> Result<()> {
    rows.inplace_op2(bias, &AddBias { clamped })
}

/// Takes from a gradient, in place, what ReLU6 cut off from `out`, of the same shape.
pub(super) fn cut_off(gradient: &Tensor, out: &Tensor) -> Result<()> {
    gradient.inplace_op2(out, &CutOff)
}

/// Each channel through its own filter: `[batch, row, column, channels]` and `[rows * columns, channels]` to
/// `[batch, row, column, channels]`.
pub(super) fn depthwise(input: &Tensor, weight: &Tensor, filter: Filter) -> Result<Tensor> {
    input.apply_op2_no_bwd(weight, &filter)
}

/// The gradients of input and weight of [`depthwise`] by that of its output.
pub(super) fn depthwise_gradients(
    (input, weight): (&Tensor, &Tensor),
    gradient: &Tensor,
    filter: Filter,
) -> Result<(Tensor, Tensor)> {
    Ok((
        gradient.apply_op2_no_bwd(weight, &OfInput(filter))?,
        input.apply_op2_no_bwd(gradient, &OfWeight(filter))?,
    ))
}

/// Computes with the numbers of two contiguous tensors, in single or in double precision.
macro_rules! in_both {
    (($a:expr, $a_layout:expr), ($b:expr, $b_layout:expr), $compute:expr) => {
        match ($a, $b) {
            (CpuStorage::F32(a), CpuStorage::F32(b)) => {
                let compute: &dyn Fn(&[f32], &[f32]) -> Vec<f32> = &$compute;
                CpuStorage::F32(compute(slice(a, $a_layout)?, slice(b, $b_layout)?))
            }
            (CpuStorage::F64(a), CpuStorage::F64(b)) => {
                let compute: &dyn Fn(&[f64], &[f64]) -> Vec<f64> = &$compute;
                CpuStorage::F64(compute(slice(a, $a_layout)?, slice(b, $b_layout)?))
            }
            _ => bail!("both tensors must be f32 or both f64"),
        }
    };
}

// Behind the macro, which it uses.
mod pooling;

pub(super) use pooling::{pool, pool_gradient};

struct AddBias {
    clamped: bool,
}

impl AddBias {
    fn run<T: WithDType>(&self, rows: &mut [T], bias: &[T]) {
        let (floor, ceiling) = (T::zero(), T::from_f64(CEILING));
        rows.par_chunks_mut(bias.len() * 64).for_each(|rows| {
            for row in rows.chunks_exact_mut(bias.len()) {
                for (value, bias) in row.iter_mut().zip(bias) {
                    let sum = *value + *bias;
                    let inside = if sum < floor { floor } else { sum };
                    let inside = if inside > ceiling { ceiling } else { inside };
                    *value = if self.clamped { inside } else { sum };
                }
            }
        });
    }
}

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add_bias"
    }

    fn cpu_fwd(&self, rows: &mut CpuStorage, _: &Layout, bias: &CpuStorage, layout: &Layout) -> Result<()> {
        match (rows, bias) {
            (CpuStorage::F32(rows), CpuStorage::F32(bias)) => self.run(rows, slice(bias, layout)?),
            (CpuStorage::F64(rows), CpuStorage::F64(bias)) => self.run(rows, slice(bias, layout)?),
            _ => bail!("rows and bias must be both f32 or both f64"),
        }
        Ok(())
    }
}

struct CutOff;

impl CutOff {
    fn run<T: WithDType>(gradient: &mut [T], out: &[T]) {
        let (floor, ceiling) = (T::zero(), T::from_f64(CEILING));
        gradient.par_chunks_mut(1 << 14).zip(out.par_chunks(1 << 14)).for_each(|(gradient, out)| {
            for (gradient, out) in gradient.iter_mut().zip(out) {
                *gradient = if *out > floor && *out < ceiling { *gradient } else { floor };
            }
        });
    }
}

impl InplaceOp2 for CutOff {
    fn name(&self) -> &'static str {
        "cut_off"
    }

    fn cpu_fwd(
        &self,
        gradient: &mut CpuStorage,
        _: &Layout,
        out: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        match (gradient, out) {
            (CpuStorage::F32(gradient), CpuStorage::F32(out)) => Self::run(gradient, slice(out, layout)?),
            (CpuStorage::F64(gradient), CpuStorage::F64(out)) => Self::run(gradient, slice(out, layout)?),
            _ => bail!("gradient and output must be both f32 or both f64"),
        }
        Ok(())
    }
}

/// A depthwise filter and the maps that it lies on.
#[derive(Clone, Copy)]
pub(super) struct Filter {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) frame: Frame,
    pub(super) channels: usize,
}

impl Filter {
    /// Numbers of one map, before and after.
    fn sizes(&self) -> [usize; 2] {
        [self.frame.side, self.frame.out].map(|side| side * side * self.channels)
    }

    /// Where a tap of the filter at an output reads, by row or by column.
    #[inline(always)]
    fn read(&self, out: usize, tap: usize) -> Option<usize> {
        (out * self.stride + tap).checked_sub(self.frame.before).filter(|at| *at < self.frame.side)
    }

    /// The output that reads an input by a tap.
    #[inline(always)]
    fn reader(&self, input: usize, tap: usize) -> Option<usize> {
        let from = (input + self.frame.before).checked_sub(tap)?;
        (from.is_multiple_of(self.stride) && from / self.stride < self.frame.out).then(|| from / self.stride)
    }

    /// `out[p] = sum of taps of input[place of tap] * weight[tap]`, over all pixels `p` of a map of `side` columns;
    /// `place(p's row or column, tap)` is on the other map of `other` columns.
    #[inline(always)]
    fn gather<T: WithDType>(
        &self,
        (out, side): (&mut [T], usize),
        (input, other): (&[T], usize),
        weight: &[T],
        place: impl Fn(usize, usize) -> Option<usize>,
    ) {
        let channels = self.channels;
        let mut taps: Vec<(usize, usize)> = Vec::with_capacity(self.kernel * self.kernel);
        for (at, out) in out.chunks_exact_mut(channels).enumerate() {
            let (row, column) = (at / side, at % side);
            taps.clear();
            for y in 0..self.kernel {
                let Some(from_row) = place(row, y) else { continue };
                for x in 0..self.kernel {
                    if let Some(from) = place(column, x) {
                        taps.push((y * self.kernel + x, (from_row * other + from) * channels));
                    }
                }
            }
            let mut first = 0;
            for out in out.chunks_mut(AT_ONCE) {
                if let Ok(out) = <&mut [T; AT_ONCE]>::try_from(&mut *out) {
                    let mut sums = [T::zero(); AT_ONCE];
                    for (tap, from) in &taps {
                        let values = &input[from + first..][..AT_ONCE];
                        let weights = &weight[tap * channels + first..][..AT_ONCE];
                        for ((sum, value), weight) in sums.iter_mut().zip(values).zip(weights) {
                            *sum += *value * *weight;
                        }
                    }
                    *out = sums;
                } else {
                    out.fill(T::zero());
                    for (tap, from) in &taps {
                        let values = &input[from + first..];
                        let weights = &weight[tap * channels + first..];
                        for ((sum, value), weight) in out.iter_mut().zip(values).zip(weights) {
                            *sum += *value * *weight;
                        }
                    }
                }
                first += AT_ONCE;
            }
        }
    }

    fn forward<T: WithDType>(&self, input: &[T], weight: &[T]) -> Vec<T> {
        let [size_in, size_out] = self.sizes();
        let Frame { side, out: columns, .. } = self.frame;
        let mut out = vec![T::zero(); input.len() / size_in * size_out];
        out.par_chunks_mut(size_out).zip(input.par_chunks(size_in)).for_each(|(out, input)| {
            Arch::new().dispatch(
                #[inline(always)]
                || self.gather((out, columns), (input, side), weight, |at, tap| self.read(at, tap)),
            );
        });
        out
    }

    /// The gradient of the input.
    fn of_input<T: WithDType>(&self, gradient: &[T], weight: &[T]) -> Vec<T> {
        let [size_in, size_out] = self.sizes();
        let Frame { side, out: columns, .. } = self.frame;
        let mut sums = vec![T::zero(); gradient.len() / size_out * size_in];
        sums.par_chunks_mut(size_in).zip(gradient.par_chunks(size_out)).for_each(|(sums, gradient)| {
            Arch::new().dispatch(
                #[inline(always)]
                || self.gather((sums, side), (gradient, columns), weight, |at, tap| self.reader(at, tap)),
            );
        });
        sums
    }

    /// The gradient of the weight; maps are added in their order, so that the sum is always the same.
    fn of_weight<T: WithDType>(&self, input: &[T], gradient: &[T]) -> Vec<T> {
        let [size_in, size_out] = self.sizes();
        let of_map = |(input, gradient): (&[T], &[T])| {
            let mut sums = vec![T::zero(); self.kernel * self.kernel * self.channels];
            Arch::new().dispatch(
                #[inline(always)]
                || self.correlate(input, gradient, &mut sums),
            );
            sums
        };
        let maps: Vec<Vec<T>> =
            input.par_chunks(size_in).zip(gradient.par_chunks(size_out)).map(of_map).collect();
        let mut total = vec![T::zero(); self.kernel * self.kernel * self.channels];
        for sums in maps {
            total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        total
    }

    #[inline(always)]
    fn correlate<T: WithDType>(&self, input: &[T], gradient: &[T], sums: &mut [T]) {
        let (channels, Frame { side, out: columns, .. }) = (self.channels, self.frame);
        for first in (0..channels).step_by(AT_ONCE) {
            let count = AT_ONCE.min(channels - first);
            for (tap, sums) in sums.chunks_exact_mut(channels).enumerate() {
                let (y, x) = (tap / self.kernel, tap % self.kernel);
                let mut of_tap = [T::zero(); AT_ONCE];
                for row in 0..columns {
                    let Some(from_row) = self.read(row, y) else { continue };
                    for column in 0..columns {
                        let Some(from) = self.read(column, x) else { continue };
                        let values = &input[(from_row * side + from) * channels + first..];
                        let gradients = &gradient[(row * columns + column) * channels + first..];
                        if count == AT_ONCE {
                            let both = values[..AT_ONCE].iter().zip(&gradients[..AT_ONCE]);
                            for (sum, (value, gradient)) in of_tap.iter_mut().zip(both) {
                                *sum += *value * *gradient;
                            }
                        } else {
                            let both = values[..count].iter().zip(&gradients[..count]);
                            for (sum, (value, gradient)) in of_tap.iter_mut().zip(both) {
                                *sum += *value * *gradient;
                            }
                        }
                    }
                }
                sums[first..first + count].copy_from_slice(&of_tap[..count]);
            }
        }
    }
}

impl CustomOp2 for Filter {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, ..) = input_layout.shape().dims4()?;
        let out = in_both!((input, input_layout), (weight, weight_layout), |a, b| self.forward(a, b));
        Ok((out, Shape::from((batch, self.frame.out, self.frame.out, self.channels))))
    }
}

struct OfInput(Filter);

impl CustomOp2 for OfInput {
    fn name(&self) -> &'static str {
        "depthwise_of_input"
    }

    fn cpu_fwd(
        &self,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, ..) = gradient_layout.shape().dims4()?;
        let sums =
            in_both!((gradient, gradient_layout), (weight, weight_layout), |a, b| self.0.of_input(a, b));
        Ok((sums, Shape::from((batch, self.0.frame.side, self.0.frame.side, self.0.channels))))
    }
}

struct OfWeight(Filter);

impl CustomOp2 for OfWeight {
    fn name(&self) -> &'static str {
        "depthwise_of_weight"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sums =
            in_both!((input, input_layout), (gradient, gradient_layout), |a, b| self.0.of_weight(a, b));
        Ok((sums, Shape::from((self.0.kernel * self.0.kernel, self.0.channels))))
    }
}
