//! Convolutions of 1 x 1: products of pixels with a matrix.
//!
//! Maps are planes of 16 channels, `[line, pixel]` of [`Line`]s. A filter of 16 channels then reads one plane, a
//! product reads pixels that lie side by side, and nothing has to be packed but weights.

use crate::level::{Kernel, Level};
use crate::product::{LINE, Line, lines_of, tiles};
use pulp::Simd;
use std::ops::Range;

/// Inputs are filled up to multiples of this.
const STEP: usize = 8;

/// What ReLU6 clamps at.
pub(crate) const CEILING: f32 = 6.0;

/// A matrix and a bias: `[panel, input, outputs of the panel]`, a panel as wide as the level's registers take.
pub(crate) struct Pointwise {
    pub(crate) level: Level,
    inputs: usize,
    registers: usize,
    weights: Vec<Line>,
    bias: Vec<Line>,
}

impl Pointwise {
    /// `weight(input, output)`; a missing bias is zero.
    pub(crate) fn new(
        level: Level,
        (inputs, outputs): (usize, usize),
        weight: impl Fn(usize, usize) -> f32,
        bias: &[f32],
    ) -> Self {
        let (lanes, panel) = (level.lanes(), level.width() / level.lanes());
        let (filled, registers) =
            (inputs.next_multiple_of(STEP), outputs.next_multiple_of(STEP).div_ceil(lanes));
        let mut weights = vec![Line::ZERO; lines_of(filled * registers * lanes)];
        let mut numbers = bytemuck::cast_slice_mut::<Line, f32>(&mut weights).iter_mut();
        for first in (0..registers).step_by(panel) {
            let outputs_here = first * lanes..(first + panel).min(registers) * lanes;
            for input in 0..filled {
                for (output, number) in outputs_here.clone().zip(&mut numbers) {
                    if input < inputs && output < outputs {
                        *number = weight(input, output);
                    }
                }
            }
        }
        let mut lines = vec![Line::ZERO; lines_of(outputs)];
        let filled_bias: &mut [f32] = bytemuck::cast_slice_mut(&mut lines);
        filled_bias.iter_mut().zip(bias).for_each(|(to, from)| *to = *from);
        Self { level, inputs: filled, registers, weights, bias: lines }
    }

    /// Lines of a pixel that it reads.
    pub(crate) fn input_lines(&self) -> usize {
        lines_of(self.inputs)
    }

    /// Lines of a pixel that it gives.
    pub(crate) fn lines(&self) -> usize {
        self.bias.len()
    }
}

/// What sums begin with.
#[derive(Clone, Copy)]
pub(crate) enum Begin<'a> {
    /// The bias.
    Bias,
    /// The bias and another map: its planes from the first output on, and how far apart they are.
    Map(&'a [Line], usize),
    /// What is there.
    Out,
}

/// A product of some pixels with some of a layer's inputs and outputs.
pub(crate) struct Product<'a> {
    pub(crate) layer: &'a Pointwise,
    /// Planes, and how far apart they are.
    pub(crate) input: (&'a [Line], usize),
    /// Lines of inputs; `input` has these.
    pub(crate) inputs: Range<usize>,
    /// Lines of outputs, in whole panels; `out` has these.
    pub(crate) outputs: Range<usize>,
    pub(crate) pixels: usize,
    /// Planes, and how far apart they are.
    pub(crate) out: (&'a mut [Line], usize),
    /// Where pixels lie in a plane of `out`, when not side by side.
    pub(crate) places: Option<&'a [u32]>,
    pub(crate) begin: Begin<'a>,
    /// Whether ReLU6 follows.
    pub(crate) clamped: bool,
}

impl Product<'_> {
    pub(crate) fn compute(self) {
        self.layer.level.run(self);
    }
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const REGISTERS: usize>(mut self, simd: S) {
        product::<S, ROWS, REGISTERS>(simd, &mut self);
    }
}

/// Computes a product. Inlined into a kernel.
#[inline(always)]
pub(crate) fn product<S: Simd, const ROWS: usize, const REGISTERS: usize>(simd: S, task: &mut Product<'_>) {
    let of_line = LINE / S::F32_LANES;
    let all: &[S::f32s] = bytemuck::cast_slice(&task.layer.weights);
    let last = (task.outputs.end * of_line).min(task.layer.registers);
    for first in (task.outputs.start * of_line..last).step_by(REGISTERS) {
        let count = REGISTERS.min(task.layer.registers - first);
        let skipped = first * task.layer.inputs + task.inputs.start * LINE * count;
        let inputs = (task.inputs.end * LINE).min(task.layer.inputs) - task.inputs.start * LINE;
        let weights = &all[skipped..][..inputs * count];
        // What is wider or longer than this level's registers take is left out when compiling.
        match count {
            1 => panel::<S, ROWS, 1>(simd, weights, first, task),
            2 => panel::<S, ROWS, 2>(simd, weights, first, task),
            3 if REGISTERS > 2 => panel::<S, ROWS, 3>(simd, weights, first, task),
            _ if REGISTERS > 2 => panel::<S, ROWS, 4>(simd, weights, first, task),
            _ => {}
        }
    }
}

#[inline(always)]
fn panel<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    weights: &[S::f32s],
    first: usize,
    task: &mut Product<'_>,
) {
    let (weights, _) = weights.as_chunks::<REGISTERS>();
    for pixels in tiles(task.pixels, ROWS) {
        let place = (first, pixels.start);
        match pixels.len() {
            1 => tile::<S, 1, REGISTERS>(simd, weights, place, task),
            2 => tile::<S, 2, REGISTERS>(simd, weights, place, task),
            3 if ROWS >= 3 => tile::<S, 3, REGISTERS>(simd, weights, place, task),
            4 if ROWS >= 4 => tile::<S, 4, REGISTERS>(simd, weights, place, task),
            5 if ROWS >= 5 => tile::<S, 5, REGISTERS>(simd, weights, place, task),
            6 if ROWS >= 6 => tile::<S, 6, REGISTERS>(simd, weights, place, task),
            7 if ROWS >= 7 => tile::<S, 7, REGISTERS>(simd, weights, place, task),
            8 if ROWS >= 8 => tile::<S, 8, REGISTERS>(simd, weights, place, task),
            _ => {}
        }
    }
}

#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    weights: &[[S::f32s; REGISTERS]],
    (register, pixel): (usize, usize),
    task: &mut Product<'_>,
) {
    let of_line = LINE / S::F32_LANES;
    let bias: &[S::f32s] = bytemuck::cast_slice(&task.layer.bias);
    let start = task.outputs.start * of_line;
    let mut places = [0; ROWS];
    for (row, place) in places.iter_mut().enumerate() {
        *place = task.places.map_or(pixel + row, |places| places[pixel + row] as usize);
    }
    let out_at = |register: usize, place: usize, apart: usize| {
        let within = register - start;
        (within / of_line * apart + place) * of_line + within % of_line
    };
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    for (row, sums) in sums.iter_mut().enumerate() {
        for (at, sum) in sums.iter_mut().enumerate() {
            let register = register + at;
            *sum = match task.begin {
                Begin::Bias => bias[register],
                Begin::Map(map, apart) => {
                    let map: &[S::f32s] = bytemuck::cast_slice(map);
                    simd.add_f32s(bias[register], map[out_at(register, pixel + row, apart)])
                }
                Begin::Out => {
                    let out: &[S::f32s] = bytemuck::cast_slice(task.out.0);
                    out[out_at(register, places[row], task.out.1)]
                }
            };
        }
    }
    let (input, apart) = task.input;
    let (whole, half) = weights.as_chunks::<LINE>();
    for (plane, weights) in whole.iter().enumerate() {
        if let Some(pixels) = input[plane * apart + pixel..].first_chunk::<ROWS>() {
            add::<S, ROWS, REGISTERS>(simd, pixels, weights, &mut sums);
        }
    }
    if let Some(weights) = half.first_chunk::<STEP>()
        && let Some(pixels) = input[whole.len() * apart + pixel..].first_chunk::<ROWS>()
    {
        add::<S, ROWS, REGISTERS>(simd, pixels, weights, &mut sums);
    }
    let out: &mut [S::f32s] = bytemuck::cast_slice_mut(task.out.0);
    let (floor, ceiling) = (simd.splat_f32s(0.0), simd.splat_f32s(CEILING));
    for (sums, place) in sums.into_iter().zip(places) {
        for (at, sum) in sums.into_iter().enumerate() {
            let clamped = simd.min_f32s(simd.max_f32s(sum, floor), ceiling);
            out[out_at(register + at, place, task.out.1)] = if task.clamped { clamped } else { sum };
        }
    }
}

/// Adds the products of a line of inputs, or of a part of one.
#[inline(always)]
fn add<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    pixels: &[Line; ROWS],
    weights: &[[S::f32s; REGISTERS]],
    sums: &mut [[S::f32s; REGISTERS]; ROWS],
) {
    for (at, weights) in weights.iter().enumerate().take(LINE) {
        for (sums, pixel) in sums.iter_mut().zip(pixels) {
            let value = simd.splat_f32s(pixel.0[at]);
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = simd.mul_add_e_f32s(value, *weight, *sum);
            }
        }
    }
}
