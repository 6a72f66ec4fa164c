//! Products of rows of numbers with packed weights, the inner loops of convolutions and of fully connected layers.

use crate::level::{Kernel, Level};
use half::f16;
use half::slice::HalfFloatSliceExt;
use pulp::Simd;
use rayon::prelude::*;
use std::ops::Range;

/// Numbers of a cache line.
pub(crate) const LINE: usize = 16;
/// Weights of an output that are widened at once, so that they stay in the nearest cache.
const WIDENED: usize = 128;

/// A cache line of numbers, the unit in which everything here is stored and computed.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [f32; LINE]);

impl Line {
    pub(crate) const ZERO: Self = Self([0.0; LINE]);
}

/// Lines that hold `count` numbers.
pub(crate) const fn lines_of(count: usize) -> usize {
    count.div_ceil(LINE)
}

/// Rows of numbers, each filled up with zeros to whole lines.
pub(crate) struct Rows {
    data: Vec<Line>,
    lines: usize,
}

impl Rows {
    /// Copies rows of `len` numbers.
    pub(crate) fn new<'a>(len: usize, rows: impl IntoIterator<Item = &'a [f32]>) -> Self {
        let lines = lines_of(len);
        let mut data = Vec::new();
        for row in rows {
            let first = data.len();
            data.resize(first + lines, Line::ZERO);
            let copied: &mut [f32] = bytemuck::cast_slice_mut(&mut data[first..]);
            copied[..len].copy_from_slice(&row[..len]);
        }
        Self { data, lines }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.data.len() / self.lines.max(1)
    }
}

/// A weight matrix `[inputs, outputs]`, packed in panels of as many outputs as the level's registers take:
/// `[panel, input, outputs of the panel]`. Inputs and outputs are filled up with zeros.
#[derive(Clone)]
pub(crate) struct Packed {
    level: Level,
    inputs: usize,
    numbers: Numbers,
}

#[derive(Clone)]
enum Numbers {
    Single(Vec<Line>),
    /// Where half precision holds every weight as it is: half the memory to read.
    Half(Vec<f16>),
}

impl Packed {
    /// Packs a matrix whose weight of an input for an output `weight(input, output)` tells.
    pub(crate) fn new(
        level: Level,
        (inputs, outputs): (usize, usize),
        weight: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let (width, filled) = (level.width(), lines_of(inputs) * LINE);
        let mut panels = Vec::with_capacity(outputs.div_ceil(width) * filled * width / LINE);
        for first in (0..outputs).step_by(width) {
            for input in 0..filled {
                for line in (first..first + width).step_by(LINE) {
                    let known = |output: usize| input < inputs && output < outputs;
                    let of = |at: usize| if known(line + at) { weight(input, line + at) } else { 0.0 };
                    panels.push(Line(std::array::from_fn(of)));
                }
            }
        }
        Self { level, inputs: filled, numbers: Numbers::Single(panels) }
    }

    /// Keeps the weights in half precision if it holds them as they are.
    pub(crate) fn halved(self) -> Self {
        let Numbers::Single(lines) = &self.numbers else { return self };
        let single: &[f32] = bytemuck::cast_slice(lines);
        let mut half = vec![f16::ZERO; single.len()];
        half.convert_from_f32_slice(single);
        if half.iter().zip(single).all(|(half, single)| half.to_f32().to_bits() == single.to_bits()) {
            return Self { numbers: Numbers::Half(half), ..self };
        }
        self
    }

    /// How many panels there are.
    fn panels(&self) -> usize {
        let numbers = match &self.numbers {
            Numbers::Single(lines) => lines.len() * LINE,
            Numbers::Half(numbers) => numbers.len(),
        };
        numbers / (self.inputs * self.level.width()).max(1)
    }

    /// The panels from that of output line `first` on, in single precision.
    #[inline(always)]
    fn single_from(&self, first: usize) -> &[Line] {
        match &self.numbers {
            Numbers::Single(lines) => &lines[first * LINE / self.level.width() * self.panel_lines()..],
            Numbers::Half(_) => &[],
        }
    }

    fn panel_lines(&self) -> usize {
        self.inputs * self.level.width() / LINE
    }
}

/// Multiplies rows with the panels of some lines of results. Inlined into a kernel; the weights are in single precision.
#[inline(always)]
pub(crate) fn multiply<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    rows: &[Line],
    weights: &Packed,
    lines: Range<usize>,
    out: &mut [Line],
) {
    let (input, width) = (weights.inputs, lines.len() * LINE / S::F32_LANES);
    let rows: &[f32] = bytemuck::cast_slice(rows);
    let out: &mut [S::f32s] = bytemuck::cast_slice_mut(out);
    let count = rows.len() / input;
    let panels = weights.single_from(lines.start).chunks_exact(weights.panel_lines());
    for (panel, first) in panels.zip((0..width).step_by(REGISTERS)) {
        let (panel, _) = bytemuck::cast_slice::<Line, S::f32s>(panel).as_chunks::<REGISTERS>();
        for top in (0..count).step_by(ROWS) {
            // The last row is computed again where there are too few.
            let row = |at: usize| &rows[(top + at).min(count - 1) * input..][..input];
            let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
            add_tile(simd, std::array::from_fn(row), panel, &mut sums);
            for (at, sum) in sums.iter().enumerate().take(count - top) {
                for (to, from) in out[(top + at) * width + first..(top + at + 1) * width].iter_mut().zip(sum)
                {
                    *to = *from;
                }
            }
        }
    }
}

/// Adds the products of some rows with a panel to sums that registers hold.
#[inline(always)]
fn add_tile<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    rows: [&[f32]; ROWS],
    panel: &[[S::f32s; REGISTERS]],
    sums: &mut [[S::f32s; REGISTERS]; ROWS],
) {
    let mut held = *sums;
    let rows = rows.map(|row| &row[..panel.len()]);
    for (at, weights) in panel.iter().enumerate() {
        for (sums, row) in held.iter_mut().zip(rows) {
            let value = simd.splat_f32s(row[at]);
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = simd.mul_add_e_f32s(value, *weight, *sum);
            }
        }
    }
    *sums = held;
}

/// Sums of the products of rows with matrices: what a layer gives whose inputs come in several parts. One row of
/// `outputs` numbers for each row.
pub(crate) fn sum_of_products(parts: &[(&Rows, &Packed)], outputs: usize) -> Vec<Vec<f32>> {
    let Some((rows, first)) = parts.first() else { return Vec::new() };
    let (count, width, level) = (rows.count(), first.level.width(), first.level);
    let by_panel: Vec<Vec<Line>> =
        (0..first.panels()).into_par_iter().map(|panel| level.run(Panel { parts, panel, count })).collect();
    let row = |at: usize| {
        let lines = by_panel.iter().flat_map(|lines| &lines[at * width / LINE..][..width / LINE]);
        lines.flat_map(|line| line.0).take(outputs).collect()
    };
    (0..count).map(row).collect()
}

/// One panel of a sum of products, for all rows.
struct Panel<'a> {
    parts: &'a [(&'a Rows, &'a Packed)],
    panel: usize,
    count: usize,
}

impl Kernel for Panel<'_> {
    type Output = Vec<Line>;

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const REGISTERS: usize>(self, simd: S) -> Vec<Line> {
        let Self { parts, panel, count } = self;
        let width = REGISTERS * S::F32_LANES;
        let mut lines = vec![Line::ZERO; count * width / LINE];
        let (sums, _) = bytemuck::cast_slice_mut::<Line, S::f32s>(&mut lines).as_chunks_mut::<REGISTERS>();
        let mut widened = [Line::ZERO; WIDENED * 2];
        for (rows, weights) in parts {
            let rows: &[f32] = bytemuck::cast_slice(&rows.data);
            for first in (0..weights.inputs).step_by(WIDENED) {
                let inputs = WIDENED.min(weights.inputs - first);
                let place = (panel * weights.inputs + first) * width;
                let panel: &[S::f32s] = match &weights.numbers {
                    Numbers::Single(lines) => {
                        bytemuck::cast_slice(&lines[place / LINE..][..inputs * width / LINE])
                    }
                    Numbers::Half(numbers) => {
                        let widened = &mut widened[..inputs * width / LINE];
                        numbers[place..][..inputs * width]
                            .convert_to_f32_slice(bytemuck::cast_slice_mut(widened));
                        bytemuck::cast_slice(widened)
                    }
                };
                let (panel, _) = panel.as_chunks::<REGISTERS>();
                for top in (0..count).step_by(ROWS) {
                    let at = |at: usize| (top + at).min(count - 1);
                    let row = |i: usize| &rows[at(i) * weights.inputs + first..][..inputs];
                    let mut held: [_; ROWS] = std::array::from_fn(|i| sums[at(i)]);
                    add_tile(simd, std::array::from_fn(row), panel, &mut held);
                    for (to, from) in sums[top..].iter_mut().zip(held) {
                        *to = from;
                    }
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize, step: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * step % 127) as f32 - 63.0) / 64.0).collect()
    }

    /// Whatever the level, the precision and the numbers of rows, inputs and outputs.
    #[test]
    fn sums_of_products_are_those_of_plain_loops() {
        for (count, inputs, outputs) in [(1, 16, 16), (3, 300, 20), (9, 129, 64), (8, 7, 1)] {
            let (one, two) = (wave(count * inputs, 37), wave(count * 5, 11));
            let (left, right) = (wave(inputs * outputs, 29), wave(5 * outputs, 17));
            let (first, second) = (Rows::new(inputs, one.chunks(inputs)), Rows::new(5, two.chunks(5)));
            for level in Level::available() {
                let packed = |weights: &[f32], inputs: usize| {
                    Packed::new(level, (inputs, outputs), |i, o| weights[i * outputs + o])
                };
                let single = (packed(&left, inputs), packed(&right, 5));
                let half = (single.0.clone().halved(), single.1.clone().halved());
                assert!(
                    matches!(half.0.numbers, Numbers::Half(_)),
                    "sixty-fourths are exact in half precision"
                );
                for (left_packed, right_packed) in [&single, &half] {
                    let found = sum_of_products(&[(&first, left_packed), (&second, right_packed)], outputs);
                    for (row, found) in found.iter().enumerate() {
                        assert_eq!(found.len(), outputs);
                        for (output, found) in found.iter().enumerate() {
                            let of = |values: &[f32], weights: &[f32], inputs: usize| {
                                let product =
                                    |i: usize| values[row * inputs + i] * weights[i * outputs + output];
                                (0..inputs).map(product).sum::<f32>()
                            };
                            let wanted = of(&one, &left, inputs) + of(&two, &right, 5);
                            assert!((found - wanted).abs() < 1e-4, "{level:?}: {found}, not {wanted}");
                        }
                    }
                }
            }
        }
        let odd = Packed::new(Level::Portable, (16, 16), |i, o| (i * o) as f32 / 3.0);
        assert!(matches!(odd.halved().numbers, Numbers::Single(_)), "thirds are not");
    }
}
