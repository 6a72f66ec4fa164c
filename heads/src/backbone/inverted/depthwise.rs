//! Depthwise convolutions: every channel has a filter of its own.

use super::pointwise::CEILING;
use crate::level::{Kernel, Level};
use crate::product::{LINE, Line, lines_of};
use pulp::Simd;

/// Filters, `[line, tap]`, and a bias for each line.
pub(crate) struct Depthwise {
    pub(crate) level: Level,
    pub(crate) kernel: usize,
    weights: Vec<Line>,
    bias: Vec<Line>,
}

impl Depthwise {
    /// `weight(channel, tap)`; a missing bias is zero.
    pub(crate) fn new(
        level: Level,
        (channels, kernel): (usize, usize),
        weight: impl Fn(usize, usize) -> f32,
        bias: &[f32],
    ) -> Self {
        let (taps, lines) = (kernel * kernel, lines_of(channels));
        let line = |of: &dyn Fn(usize) -> f32, line: usize| {
            Line(std::array::from_fn(|at| {
                let channel = line * LINE + at;
                if channel < channels { of(channel) } else { 0.0 }
            }))
        };
        let weights = (0..lines * taps).map(|at| line(&|channel| weight(channel, at % taps), at / taps));
        let bias =
            (0..lines).map(|at| line(&|channel| bias.get(channel).copied().unwrap_or(0.0), at)).collect();
        Self { level, kernel, weights: weights.collect(), bias }
    }
}

/// Rows of one plane, filtered.
pub(crate) struct Filter<'a> {
    pub(crate) layer: &'a Depthwise,
    /// The plane's number among the layer's lines.
    pub(crate) line: usize,
    pub(crate) stride: usize,
    /// The plane with the zeros around it, from the first row that is read; `width` pixels a row.
    pub(crate) input: &'a [Line],
    pub(crate) width: usize,
    /// Rows of `columns` pixels.
    pub(crate) out: &'a mut [Line],
    pub(crate) columns: usize,
    /// Whether ReLU6 follows.
    pub(crate) clamped: bool,
}

impl Filter<'_> {
    pub(crate) fn compute(self) {
        self.layer.level.run(self);
    }
}

impl Kernel for Filter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const REGISTERS: usize>(mut self, simd: S) {
        filter(simd, &mut self);
    }
}

/// Filters rows. Inlined into a kernel.
#[inline(always)]
pub(crate) fn filter<S: Simd>(simd: S, task: &mut Filter<'_>) {
    match (task.layer.kernel, task.stride) {
        (3, 1) => rows::<S, 3, 1>(simd, task),
        (3, _) => rows::<S, 3, 2>(simd, task),
        (_, 1) => rows::<S, 5, 1>(simd, task),
        _ => rows::<S, 5, 2>(simd, task),
    }
}

#[inline(always)]
fn rows<S: Simd, const KERNEL: usize, const STRIDE: usize>(simd: S, task: &mut Filter<'_>) {
    // As few pixels twice as can be.
    let of = |tile: usize| (task.columns.div_ceil(tile) * tile, task.columns.div_ceil(tile));
    let best = [8, 7, 5, 4, 1].into_iter().filter(|tile| *tile <= task.columns).min_by_key(|tile| of(*tile));
    match best {
        Some(8) => tiled::<S, KERNEL, STRIDE, 8>(simd, task),
        Some(7) => tiled::<S, KERNEL, STRIDE, 7>(simd, task),
        Some(5) => tiled::<S, KERNEL, STRIDE, 5>(simd, task),
        Some(4) => tiled::<S, KERNEL, STRIDE, 4>(simd, task),
        _ => tiled::<S, KERNEL, STRIDE, 1>(simd, task),
    }
}

/// `TILE` pixels of a row at once; the last of a row may begin before the end of the one before it.
#[inline(always)]
fn tiled<S: Simd, const KERNEL: usize, const STRIDE: usize, const TILE: usize>(
    simd: S,
    task: &mut Filter<'_>,
) {
    let of_line = LINE / S::F32_LANES;
    let weights = &task.layer.weights[task.line * KERNEL * KERNEL..][..KERNEL * KERNEL];
    let weights: &[S::f32s] = bytemuck::cast_slice(weights);
    let bias: &[S::f32s] = bytemuck::cast_slice(&task.layer.bias[task.line..=task.line]);
    let input: &[S::f32s] = bytemuck::cast_slice(task.input);
    let out: &mut [S::f32s] = bytemuck::cast_slice_mut(task.out);
    let (floor, ceiling) = if task.clamped { (0.0, CEILING) } else { (f32::NEG_INFINITY, f32::INFINITY) };
    let (floor, ceiling) = (simd.splat_f32s(floor), simd.splat_f32s(ceiling));
    // Parts of a line outermost: all else of a tile then stays in registers.
    for part in 0..of_line {
        for (row, out) in out.chunks_exact_mut(task.columns * of_line).enumerate() {
            for first in (0..task.columns).step_by(TILE).map(|first| first.min(task.columns - TILE)) {
                let mut sums = [bias[part]; TILE];
                // Row by row, which the number that is not known here makes sure of.
                let tap_rows = weights.chunks_exact(KERNEL * of_line).take(task.layer.kernel);
                for (tap_row, weights) in tap_rows.enumerate() {
                    let from = (row * STRIDE + tap_row) * task.width + first * STRIDE;
                    let pixels = &input[from * of_line..][..((TILE - 1) * STRIDE + KERNEL) * of_line];
                    for (at, sum) in sums.iter_mut().enumerate() {
                        for tap in 0..KERNEL {
                            let value = pixels[(at * STRIDE + tap) * of_line + part];
                            *sum = simd.mul_add_e_f32s(value, weights[tap * of_line + part], *sum);
                        }
                    }
                }
                let out = &mut out[first * of_line..][..TILE * of_line];
                for (at, sum) in sums.into_iter().enumerate() {
                    out[at * of_line + part] = simd.min_f32s(simd.max_f32s(sum, floor), ceiling);
                }
            }
        }
    }
}
