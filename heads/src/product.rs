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

    /// The rows, each with the zeros that fill its last line.
    pub(crate) fn filled(&self) -> impl Iterator<Item = &[f32]> {
        self.data.chunks_exact(self.lines.max(1)).map(bytemuck::cast_slice)
    }
}

/// A weight matrix `[inputs, outputs]`, packed in panels of as many outputs as the level's registers take:
/// `[panel, input, outputs of the panel]`. Inputs and outputs are filled up with zeros.
pub(crate) struct Packed {
    level: Level,
    inputs: usize,
    lines: Vec<Line>,
}

impl Packed {
    /// Packs a matrix whose weight of an input for an output `weight(input, output)` tells.
    pub(crate) fn new(
        level: Level,
        (inputs, outputs): (usize, usize),
        weight: impl Fn(usize, usize) -> f32 + Sync,
    ) -> Self {
        let (width, filled) = (level.width(), lines_of(inputs) * LINE);
        let known = |input: usize, output: usize| input < inputs && output < outputs;
        let mut lines = vec![Line::ZERO; outputs.div_ceil(width) * filled * width / LINE];
        lines.par_chunks_mut((filled * width / LINE).max(1)).enumerate().for_each(|(panel, lines)| {
            for (input, lines) in lines.chunks_exact_mut(width / LINE).enumerate() {
                for (at, value) in lines.iter_mut().flat_map(|line| &mut line.0).enumerate() {
                    let output = panel * width + at;
                    *value = if known(input, output) { weight(input, output) } else { 0.0 };
                }
            }
        });
        Self { level, inputs: filled, lines }
    }

    fn panel_lines(&self) -> usize {
        self.inputs * self.level.width() / LINE
    }
}

/// Multiplies rows with the panels of some lines of results. Inlined into a kernel.
#[inline(always)]
pub(crate) fn multiply<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    rows: &[Line],
    weights: &Packed,
    lines: Range<usize>,
    out: &mut [Line],
) {
    let (inputs, width) = (weights.inputs, lines.len() * LINE / S::F32_LANES);
    let rows: &[f32] = bytemuck::cast_slice(rows);
    let out: &mut [S::f32s] = bytemuck::cast_slice_mut(out);
    let before = lines.start * LINE / weights.level.width() * weights.panel_lines();
    let panels = weights.lines[before..].chunks_exact(weights.panel_lines());
    for (panel, first) in panels.zip((0..width).step_by(REGISTERS)) {
        let (panel, _) = bytemuck::cast_slice::<Line, S::f32s>(panel).as_chunks::<REGISTERS>();
        let zero = [simd.splat_f32s(0.0); REGISTERS];
        for tile in tiles(rows.len() / inputs, ROWS) {
            let (rows, out) = (&rows[tile.start * inputs..], &mut out[tile.start * width + first..]);
            let begin = |_: usize| zero;
            let end = |row: usize, sums: [S::f32s; REGISTERS]| {
                out[row * width..][..REGISTERS].copy_from_slice(&sums);
            };
            add_tile::<S, ROWS, REGISTERS>(simd, (rows, inputs, tile.len()), panel, begin, end);
        }
    }
}

/// `count` rows in tiles of `most` at most, about as many in each: a tile with few would not keep the processor busy.
#[inline(always)]
pub(crate) fn tiles(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let tiles = count.div_ceil(most);
    (0..tiles).map(move |at| at * count / tiles..(at + 1) * count / tiles)
}

/// Adds the products of `count` rows, `apart` numbers apart, with a panel to what each row `begin`s with, and `end`s it
/// with the sums. At most `ROWS`, a number that registers hold.
#[inline(always)]
fn add_tile<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    (rows, apart, count): (&[f32], usize, usize),
    panel: &[[S::f32s; REGISTERS]],
    begin: impl Fn(usize) -> [S::f32s; REGISTERS],
    end: impl FnMut(usize, [S::f32s; REGISTERS]),
) {
    let rows = (rows, apart);
    match count.min(ROWS) {
        1 => add_rows::<S, 1, REGISTERS>(simd, rows, panel, begin, end),
        2 => add_rows::<S, 2, REGISTERS>(simd, rows, panel, begin, end),
        3 => add_rows::<S, 3, REGISTERS>(simd, rows, panel, begin, end),
        4 => add_rows::<S, 4, REGISTERS>(simd, rows, panel, begin, end),
        5 => add_rows::<S, 5, REGISTERS>(simd, rows, panel, begin, end),
        6 => add_rows::<S, 6, REGISTERS>(simd, rows, panel, begin, end),
        7 => add_rows::<S, 7, REGISTERS>(simd, rows, panel, begin, end),
        _ => add_rows::<S, 8, REGISTERS>(simd, rows, panel, begin, end),
    }
}

/// As [`add_tile`], of `ROWS` rows.
#[inline(always)]
fn add_rows<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    (rows, apart): (&[f32], usize),
    panel: &[[S::f32s; REGISTERS]],
    begin: impl Fn(usize) -> [S::f32s; REGISTERS],
    mut end: impl FnMut(usize, [S::f32s; REGISTERS]),
) {
    // Loops, since what builds arrays from closures is not inlined here.
    let (mut sums, mut numbers) = ([[simd.splat_f32s(0.0); REGISTERS]; ROWS], [&rows[..0]; ROWS]);
    for (row, (sums, numbers)) in sums.iter_mut().zip(&mut numbers).enumerate() {
        (*sums, *numbers) = (begin(row), &rows[row * apart..][..panel.len()]);
    }
    for (at, weights) in panel.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(numbers) {
            let value = simd.splat_f32s(row[at]);
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = simd.mul_add_e_f32s(value, *weight, *sum);
            }
        }
    }
    for (row, sums) in sums.into_iter().enumerate() {
        end(row, sums);
    }
}

/// A packed matrix as it is kept for long: in half precision where that holds every weight as it is, which halves the
/// memory to read.
pub(crate) enum Kept {
    Single(Packed),
    Half(Halved),
}

impl Kept {
    pub(crate) fn new(packed: Packed) -> Self {
        match Halved::new(&packed) {
            Some(halved) => Self::Half(halved),
            None => Self::Single(packed),
        }
    }

    fn shape(&self) -> (Level, usize) {
        match self {
            Self::Single(Packed { level, inputs, .. }) | Self::Half(Halved { level, inputs, .. }) => {
                (*level, *inputs)
            }
        }
    }

    /// How many panels there are.
    fn panels(&self) -> usize {
        let ((level, inputs), numbers) = (
            self.shape(),
            match self {
                Self::Single(packed) => packed.lines.len() * LINE,
                Self::Half(halved) => halved.words.len() * LINE * 2,
            },
        );
        numbers / (inputs * level.width()).max(1)
    }
}

/// A packed matrix in half precision. A word has a number of one register below and that of the next above.
pub(crate) struct Halved {
    level: Level,
    inputs: usize,
    words: Vec<Words>,
}

/// A cache line of words.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Words([u32; LINE]);

impl Halved {
    fn new(packed: &Packed) -> Option<Self> {
        let single: &[f32] = bytemuck::cast_slice(&packed.lines);
        let mut half = vec![f16::ZERO; single.len()];
        half.convert_from_f32_slice(single);
        let exact = |(half, single): (&f16, &f32)| half.to_f32().to_bits() == single.to_bits();
        if !half.iter().zip(single).all(exact) {
            return None;
        }
        let lanes = packed.level.lanes();
        let mut words = vec![Words([0; LINE]); half.len() / (2 * LINE)];
        let pairs = bytemuck::cast_slice_mut::<Words, u32>(&mut words).chunks_exact_mut(lanes);
        for (word, half) in pairs.zip(half.chunks_exact(2 * lanes)) {
            let (low, high) = half.split_at(lanes);
            for ((word, low), high) in word.iter_mut().zip(low).zip(high) {
                *word = u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16;
            }
        }
        Some(Self { level: packed.level, inputs: packed.inputs, words })
    }
}

/// The numbers in half precision in the upper halves of words. They are finite, and so is what is made of them.
#[inline(always)]
fn widened<S: Simd>(simd: S, words: S::u32s) -> S::f32s {
    // Exponent and fraction in their places, and the exponent's bias made up for: 127 instead of 15.
    let bits = simd.and_u32s(words, simd.splat_u32s(0x7fff_0000));
    let size = simd.wrapping_dyn_shr_u32s(bits, simd.splat_u32s(3));
    let bits = simd.or_u32s(size, simd.and_u32s(words, simd.splat_u32s(0x8000_0000)));
    simd.mul_f32s(simd.transmute_f32s_u32s(bits), simd.splat_f32s(f32::from_bits((127 + 127 - 15) << 23)))
}

/// Sums of the products of rows with matrices: what a layer gives whose inputs come in several parts. One row of
/// `outputs` numbers for each row.
pub(crate) fn sum_of_products(parts: &[(&Rows, &Kept)], outputs: usize) -> Vec<Vec<f32>> {
    let Some((rows, first)) = parts.first() else { return Vec::new() };
    let (count, level) = (rows.count(), first.shape().0);
    let width = level.width();
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
    parts: &'a [(&'a Rows, &'a Kept)],
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
        let mut wide = [Line::ZERO; WIDENED * 2];
        let wide: &mut [S::f32s] = bytemuck::cast_slice_mut(&mut wide);
        for (rows, weights) in parts {
            let rows: &[f32] = bytemuck::cast_slice(&rows.data);
            let total = weights.shape().1;
            for first in (0..total).step_by(WIDENED) {
                let inputs = WIDENED.min(total - first);
                let (from, registers) = ((panel * total + first) * REGISTERS, inputs * REGISTERS);
                let panel: &[S::f32s] = match weights {
                    Kept::Single(Packed { lines, .. }) => {
                        &bytemuck::cast_slice::<Line, S::f32s>(lines)[from..][..registers]
                    }
                    Kept::Half(Halved { words, .. }) => {
                        let words = &bytemuck::cast_slice::<Words, S::u32s>(words)[from / 2..];
                        for ([low, high], word) in wide[..registers].as_chunks_mut().0.iter_mut().zip(words) {
                            let lower = simd.wrapping_dyn_shl_u32s(*word, simd.splat_u32s(16));
                            (*low, *high) = (widened(simd, lower), widened(simd, *word));
                        }
                        &wide[..registers]
                    }
                };
                let (panel, _) = panel.as_chunks::<REGISTERS>();
                for tile in tiles(count, ROWS) {
                    let rows = (&rows[tile.start * total + first..], total, tile.len());
                    let sums = std::cell::Cell::from_mut(&mut sums[tile]).as_slice_of_cells();
                    let (begin, end) = (|row: usize| sums[row].get(), |row: usize, sum| sums[row].set(sum));
                    add_tile::<S, ROWS, REGISTERS>(simd, rows, panel, begin, end);
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
                let single = (Kept::Single(packed(&left, inputs)), Kept::Single(packed(&right, 5)));
                let half = (Kept::new(packed(&left, inputs)), Kept::new(packed(&right, 5)));
                assert!(matches!(half.0, Kept::Half(_)), "sixty-fourths are exact in half precision");
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
        assert!(matches!(Kept::new(odd), Kept::Single(_)), "thirds are not");
    }

    /// Every finite number of half precision, the smallest among them.
    #[test]
    fn half_precision_is_widened_as_it_is() {
        let all: Vec<f32> =
            (0..=u16::MAX).map(f16::from_bits).filter(|h| h.is_finite()).map(f16::to_f32).collect();
        let outputs = all.len();
        let one = Rows::new(1, [&[1.0f32][..]]);
        for level in Level::available() {
            let kept = Kept::new(Packed::new(level, (1, outputs), |_, output| all[output]));
            assert!(matches!(kept, Kept::Half(_)));
            assert_eq!(sum_of_products(&[(&one, &kept)], outputs), std::slice::from_ref(&all), "{level:?}");
        }
    }
}
