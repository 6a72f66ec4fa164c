//! Convolutions with stride 1 by Winograd's minimal filtering, F(4 x 4, 3 x 3) and F(4 x 4, 5 x 5).
//!
//! A tile of outputs is A' [(G g G') . (B' d B)] A (Lavin and Gray, 2016), over the points 0, 1, -1, 2, -2 and infinity, and
//! for filters of 5 x 5 also 1/2 and -1/2. In the domain of the points a convolution is 36 or 64 products of matrices,
//! together 2.6 (3 x 3, 13 x 13 maps) to 5.8 times (5 x 5) fewer multiplications than the sums that it replaces.

mod filter;

use crate::level::{Kernel, Level};
use crate::product::{LINE, Line, Packed, lines_of, multiply};
use filter::{filter_transform, transformed_filter};
use pulp::Simd;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Rows and columns of a tile of outputs.
const TILE: usize = 4;
/// Weights of a layer from which on reading them is what costs most, in lines (4 MB).
const HEAVY: usize = 1 << 16;
/// Tiles of a heavy layer that are worked on together at most: the weights are read once for all.
const BLOCK_HEAVY: usize = 64;
/// Tiles of another layer: what becomes of them stays in the nearer caches, and the weights come from the farther one.
const BLOCK_LIGHT: usize = 48;

/// Maps of a batch, `[image, row, column, channel]`; channels in whole lines. Borders of zeros are part of a map.
#[derive(Default)]
pub(super) struct Maps {
    pub(super) data: Vec<Line>,
    /// Rows and columns of a map.
    pub(super) side: usize,
    /// Lines of a pixel.
    pub(super) lines: usize,
}

impl Maps {
    /// Makes room for `count` maps; new ones are zero.
    pub(super) fn resize(&mut self, count: usize, side: usize, lines: usize) {
        (self.side, self.lines) = (side, lines);
        self.data.resize(count * self.map_lines(), Line::ZERO);
    }

    /// Lines of a map.
    pub(super) fn map_lines(&self) -> usize {
        self.side * self.side * self.lines
    }
}

/// A convolution with stride 1, then ReLU.
pub(super) struct Convolution {
    level: Level,
    kernel: usize,
    /// Rows and columns of the maps that it gives.
    side: usize,
    input_lines: usize,
    /// One matrix a point.
    weights: Vec<Packed>,
    bias: Vec<Line>,
}

/// What a convolution gives: `[block, part of the lines, tile of the block, row, column, line]`, see [`Convolution::pixel`].
#[derive(Default)]
pub(super) struct Tiles {
    data: Vec<Line>,
    /// Tiles of a block; the last may have fewer.
    block: usize,
    /// Parts that the lines of a pixel are split into.
    splits: usize,
    /// Lines of a part.
    lines: usize,
}

#[derive(Default)]
struct Scratch {
    points: Vec<Line>,
    products: Vec<Line>,
}

thread_local! {
    /// Kept, since a fresh allocation of this size costs more than what is done in it.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Convolution {
    /// `weight(output, input, row, column)`; maps of `side` x `side` outputs.
    pub(super) fn new(
        level: Level,
        (inputs, outputs, kernel, side): (usize, usize, usize, usize),
        weight: impl Fn(usize, usize, usize, usize) -> f32 + Sync,
        bias: &[f32],
    ) -> Self {
        let transform = filter_transform(kernel);
        let count = transform.len().pow(2);
        // [output, point, input].
        let mut transformed = vec![0.0; outputs * count * inputs];
        transformed.par_chunks_mut(count * inputs).enumerate().for_each(|(output, of_output)| {
            for input in 0..inputs {
                let points = transformed_filter(&transform, |row, column| weight(output, input, row, column));
                for (point, value) in points.enumerate() {
                    of_output[point * inputs + input] = value;
                }
            }
        });
        let packed = |point: usize| {
            Packed::new(level, (inputs, outputs), |input, output| {
                transformed[(output * count + point) * inputs + input]
            })
        };
        let weights = (0..count).into_par_iter().map(packed).collect();
        let line = |values: &[f32]| Line(std::array::from_fn(|at| values.get(at).copied().unwrap_or(0.0)));
        let bias = bias.chunks(LINE).map(line).collect();
        Self { level, kernel, side, input_lines: lines_of(inputs), weights, bias }
    }

    fn is_heavy(&self) -> bool {
        self.weights.len() * self.input_lines * LINE * self.bias.len() > HEAVY
    }

    fn tiles_across(&self) -> usize {
        self.side.div_ceil(TILE)
    }

    /// Rows and columns of the maps that it reads: outputs of whole tiles, and what lies around them.
    pub(super) fn input_side(&self) -> usize {
        self.tiles_across() * TILE + self.kernel - 1
    }

    /// Lines of a pixel that it reads.
    pub(super) fn input_lines(&self) -> usize {
        self.input_lines
    }

    /// Outputs of a batch.
    pub(super) fn forward(&self, input: &Maps, out: &mut Tiles) {
        let tiles = input.data.len() / input.map_lines() * self.tiles_across().pow(2);
        let threads = rayon::current_num_threads();
        let blocks = tiles.div_ceil(if self.is_heavy() { BLOCK_HEAVY } else { BLOCK_LIGHT });
        // Few tiles are shared between threads by their outputs, many by blocks of the same size.
        let panels = self.bias.len() * LINE / self.level.width();
        let (blocks, splits) = match blocks {
            1 => (1, (1..=threads).rev().find(|n| panels.is_multiple_of(*n)).unwrap_or(1)),
            _ => (blocks.next_multiple_of(threads), 1),
        };
        let (block, lines) = (tiles.div_ceil(blocks), self.bias.len() / splits);
        (out.block, out.splits, out.lines) = (block, splits, lines);
        let area = TILE * TILE;
        let data = room(&mut out.data, blocks * splits * block * area * lines);
        data.par_chunks_mut(block * area * lines).enumerate().for_each(|(task, out)| {
            let (at, split) = (task / splits, task % splits);
            let tiles = (at * block).min(tiles)..((at + 1) * block).min(tiles);
            SCRATCH.with_borrow_mut(|scratch| {
                let lines = split * lines..(split + 1) * lines;
                self.level.run(Block { layer: self, input, tiles, lines, scratch, out });
            });
        });
    }

    /// Where the lines of an output pixel lie: as many parts as its outputs were split into.
    #[inline(always)]
    pub(super) fn pixel<'a>(
        &self,
        out: &'a Tiles,
        image: usize,
        (row, column): (usize, usize),
    ) -> impl Iterator<Item = &'a [Line]> + use<'a> {
        let across = self.tiles_across();
        let at = (image * across + row / TILE) * across + column / TILE;
        let (block, within) = (at / out.block, at % out.block);
        let pixel = (within * TILE + row % TILE) * TILE + column % TILE;
        let part_lines = out.block * TILE * TILE * out.lines;
        (0..out.splits).map(move |split| {
            &out.data[(block * out.splits + split) * part_lines + pixel * out.lines..][..out.lines]
        })
    }
}

/// Some tiles and some lines of outputs of a convolution.
struct Block<'a> {
    layer: &'a Convolution,
    input: &'a Maps,
    tiles: Range<usize>,
    lines: Range<usize>,
    scratch: &'a mut Scratch,
    out: &'a mut [Line],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const REGISTERS: usize>(self, simd: S) {
        match self.layer.kernel {
            3 => self.filter::<S, 6, ROWS, REGISTERS>(simd),
            _ => self.filter::<S, 8, ROWS, REGISTERS>(simd),
        }
    }
}

impl Block<'_> {
    /// Filters with tiles of `SIDE` rows and columns of inputs.
    #[inline(always)]
    fn filter<S: Simd, const SIDE: usize, const ROWS: usize, const REGISTERS: usize>(self, simd: S) {
        let Self { layer, input, tiles, lines, scratch, out } = self;
        let Scratch { points, products } = scratch;
        let count = tiles.len();
        if count == 0 {
            return;
        }
        let of_point = apart(count * input.lines);
        let points = room(points, SIDE * SIDE * of_point);
        let across = layer.tiles_across();
        for (to, tile) in tiles.enumerate() {
            let (image, within) = (tile / (across * across), tile % (across * across));
            let [row, column] = [within / across, within % across].map(|at| at * TILE);
            let corner = image * input.map_lines() + (row * input.side + column) * input.lines;
            let map = &input.data[corner..];
            input_transform::<S, SIDE>(simd, map, (input.side, input.lines), points, (to, of_point));
        }
        // A heavy layer takes each weight for all tiles, another one each tile for all points.
        let group = if layer.is_heavy() { lines.len() } else { REGISTERS * S::F32_LANES / LINE };
        for first in lines.clone().step_by(group) {
            let group = first..(first + group).min(lines.end);
            let of_product = apart(count * group.len());
            let products = room(products, SIDE * SIDE * of_product);
            for (point, weights) in layer.weights.iter().enumerate() {
                multiply::<S, ROWS, REGISTERS>(
                    simd,
                    &points[point * of_point..][..count * input.lines],
                    weights,
                    group.clone(),
                    &mut products[point * of_product..][..count * group.len()],
                );
            }
            let tile_lines = TILE * TILE * lines.len();
            for (tile, out) in out.chunks_exact_mut(tile_lines).enumerate().take(count) {
                let products = &products[tile * group.len()..];
                let out = &mut out[first - lines.start..];
                let (bias, width) = (&layer.bias[group.clone()], (of_product, lines.len()));
                output_transform::<S, SIDE>(simd, products, width, bias, out);
            }
        }
    }
}

/// How far apart matrices of `lines` begin: all are written at once, a line each, and at a multiple of a page the same few
/// places of a cache would have to hold them.
const fn apart(lines: usize) -> usize {
    lines | 1
}

/// Room for some lines, whatever they hold.
fn room(buffer: &mut Vec<Line>, lines: usize) -> &mut [Line] {
    if buffer.len() < lines {
        buffer.resize(lines, Line::ZERO);
    }
    &mut buffer[..lines]
}

/// B' d B of a tile, all its channels: from a map whose first pixel is the tile's first, to the place `to` of every
/// point.
#[inline(always)]
fn input_transform<S: Simd, const SIDE: usize>(
    simd: S,
    map: &[Line],
    (side, lines): (usize, usize),
    points: &mut [Line],
    (to, of_point): (usize, usize),
) {
    let map: &[S::f32s] = bytemuck::cast_slice(map);
    let points: &mut [S::f32s] = bytemuck::cast_slice_mut(points);
    let registers = LINE / S::F32_LANES;
    let (width, of_point) = (lines * registers, of_point * registers);
    for channel in 0..width {
        let mut half = [[simd.splat_f32s(0.0); SIDE]; SIDE];
        for column in 0..SIDE {
            let read = |row: usize| map[(row * side + column) * width + channel];
            for (row, value) in
                input_points::<S, SIDE>(simd, std::array::from_fn(read)).into_iter().enumerate()
            {
                half[row][column] = value;
            }
        }
        for (row, half) in half.into_iter().enumerate() {
            for (column, value) in input_points::<S, SIDE>(simd, half).into_iter().enumerate() {
                points[(row * SIDE + column) * of_point + to * width + channel] = value;
            }
        }
    }
}

/// B' of a column or row of a tile.
#[inline(always)]
fn input_points<S: Simd, const SIDE: usize>(simd: S, d: [S::f32s; SIDE]) -> [S::f32s; SIDE] {
    let add = |a, b| simd.add_f32s(a, b);
    let sub = |a, b| simd.sub_f32s(a, b);
    // b + factor * a.
    let scaled = |factor: f32, a, b| simd.mul_add_e_f32s(simd.splat_f32s(factor), a, b);
    let times = |factor: f32, a| simd.mul_f32s(simd.splat_f32s(factor), a);
    let mut points = d;
    // Of a point and its negative: the even powers, and the odd ones.
    let mut pair = |at: usize, even, odd| (points[at], points[at + 1]) = (add(even, odd), sub(even, odd));
    if SIDE == 6 {
        pair(1, scaled(-4.0, d[2], d[4]), scaled(-4.0, d[1], d[3]));
        pair(3, sub(d[4], d[2]), times(2.0, sub(d[3], d[1])));
        points[0] = scaled(4.0, d[0], scaled(-5.0, d[2], d[4]));
        points[5] = scaled(4.0, d[1], scaled(-5.0, d[3], d[5]));
    } else {
        pair(1, scaled(-4.25, d[4], add(d[2], d[6])), scaled(-4.25, d[3], add(d[1], d[5])));
        let even = scaled(0.25, d[2], scaled(-1.25, d[4], d[6]));
        pair(3, even, scaled(0.5, d[1], scaled(-2.5, d[3], times(2.0, d[5]))));
        let even = scaled(4.0, d[2], scaled(-5.0, d[4], d[6]));
        pair(5, even, scaled(2.0, d[1], scaled(-2.5, d[3], times(0.5, d[5]))));
        points[0] = scaled(5.25, sub(d[4], d[2]), sub(d[0], d[6]));
        points[7] = scaled(5.25, sub(d[3], d[5]), sub(d[7], d[1]));
    }
    points
}

/// A' m A of a tile, some of its channels, with bias and ReLU: from products `of_product` lines apart to pixels `width`
/// lines apart.
#[inline(always)]
fn output_transform<S: Simd, const SIDE: usize>(
    simd: S,
    products: &[Line],
    (of_product, width): (usize, usize),
    bias: &[Line],
    out: &mut [Line],
) {
    let products: &[S::f32s] = bytemuck::cast_slice(products);
    let bias: &[S::f32s] = bytemuck::cast_slice(bias);
    let out: &mut [S::f32s] = bytemuck::cast_slice_mut(out);
    let [of_product, width] = [of_product, width].map(|lines| lines * LINE / S::F32_LANES);
    let zero = simd.splat_f32s(0.0);
    for (channel, bias) in bias.iter().enumerate() {
        let mut half = [[zero; SIDE]; TILE];
        for column in 0..SIDE {
            let read = |row: usize| products[(row * SIDE + column) * of_product + channel];
            for (row, value) in outputs::<S, SIDE>(simd, std::array::from_fn(read)).into_iter().enumerate() {
                half[row][column] = value;
            }
        }
        for (row, half) in half.into_iter().enumerate() {
            for (column, value) in outputs::<S, SIDE>(simd, half).into_iter().enumerate() {
                out[(row * TILE + column) * width + channel] =
                    simd.max_f32s(simd.add_f32s(value, *bias), zero);
            }
        }
    }
}

/// A' of a column or row of points.
#[inline(always)]
fn outputs<S: Simd, const SIDE: usize>(simd: S, m: [S::f32s; SIDE]) -> [S::f32s; TILE] {
    let sum = |at: usize| simd.add_f32s(m[at], m[at + 1]);
    let difference = |at: usize| simd.sub_f32s(m[at], m[at + 1]);
    let scaled = |factor: f32, a, b| simd.mul_add_e_f32s(simd.splat_f32s(factor), a, b);
    // The even powers of a point and its negative sum up, the odd ones differ.
    let mut y = [
        simd.add_f32s(m[0], simd.add_f32s(sum(1), sum(3))),
        scaled(2.0, difference(3), difference(1)),
        scaled(4.0, sum(3), sum(1)),
        scaled(8.0, difference(3), simd.add_f32s(difference(1), m[SIDE - 1])),
    ];
    if SIDE == 8 {
        y[0] = simd.add_f32s(y[0], sum(5));
        y[1] = scaled(0.5, difference(5), y[1]);
        y[2] = scaled(0.25, sum(5), y[2]);
        y[3] = scaled(0.125, difference(5), y[3]);
    }
    y
}
