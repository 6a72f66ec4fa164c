//! Convolutions with stride 1 by Winograd's minimal filtering, F(4 x 4, 3 x 3) and F(2 x 2, 5 x 5).
//!
//! Both work on tiles of 6 x 6 inputs and share the points 0, 1, -1, 2, -2 and infinity (Lavin and Gray, 2016): a tile of
//! outputs is A' [(G g G') . (B' d B)] A. In the domain of the points a convolution is 36 products of matrices, together
//! 2.3 (3 x 3, 13 x 13 maps) to 2.6 times fewer multiplications than the sums that it replaces.

use crate::level::{Kernel, Level};
use crate::product::{LINE, Line, Packed, lines_of, multiply};
use pulp::Simd;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Rows and columns of a tile of inputs.
const SIDE: usize = 6;
/// Points of a tile.
const POINTS: usize = SIDE * SIDE;
/// Weights of a layer from which on reading them is what costs most, in lines (4 MB).
const HEAVY: usize = 1 << 16;
/// Tiles of a heavy layer that are worked on together at most: the weights are read once for all.
const BLOCK_HEAVY: usize = 128;
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
        // [output, point, input].
        let mut transformed = vec![0.0; outputs * POINTS * inputs];
        transformed.par_chunks_mut(POINTS * inputs).enumerate().for_each(|(output, of_output)| {
            for input in 0..inputs {
                let points = transformed_filter(&transform, |row, column| weight(output, input, row, column));
                for (point, value) in points.into_iter().enumerate() {
                    of_output[point * inputs + input] = value;
                }
            }
        });
        let packed = |point: usize| {
            Packed::new(level, (inputs, outputs), |input, output| {
                transformed[(output * POINTS + point) * inputs + input]
            })
        };
        let weights = (0..POINTS).into_par_iter().map(packed).collect();
        let line = |values: &[f32]| Line(std::array::from_fn(|at| values.get(at).copied().unwrap_or(0.0)));
        let bias = bias.chunks(LINE).map(line).collect();
        Self { level, kernel, side, input_lines: lines_of(inputs), weights, bias }
    }

    /// Rows and columns of a tile of outputs.
    fn tile(&self) -> usize {
        SIDE + 1 - self.kernel
    }

    fn is_heavy(&self) -> bool {
        POINTS * self.input_lines * LINE * self.bias.len() > HEAVY
    }

    fn tiles_across(&self) -> usize {
        self.side.div_ceil(self.tile())
    }

    /// Rows and columns of the maps that it reads: outputs of whole tiles, and what lies around them.
    pub(super) fn input_side(&self) -> usize {
        self.tiles_across() * self.tile() + self.kernel - 1
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
        let area = self.tile().pow(2);
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
        let (tile, across) = (self.tile(), self.tiles_across());
        let at = (image * across + row / tile) * across + column / tile;
        let (block, within) = (at / out.block, at % out.block);
        let pixel = within * tile * tile + row % tile * tile + column % tile;
        let part_lines = out.block * tile * tile * out.lines;
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
        let Self { layer, input, tiles, lines, scratch, out } = self;
        let Scratch { points, products } = scratch;
        let count = tiles.len();
        if count == 0 {
            return;
        }
        let of_point = count * input.lines;
        let points = room(points, POINTS * of_point);
        let across = layer.tiles_across();
        for (to, tile) in tiles.enumerate() {
            let (image, within) = (tile / (across * across), tile % (across * across));
            let [row, column] = [within / across, within % across].map(|at| at * layer.tile());
            let corner = image * input.map_lines() + (row * input.side + column) * input.lines;
            input_transform(simd, &input.data[corner..], (input.side, input.lines), points, (to, of_point));
        }
        // A heavy layer takes each weight for all tiles, another one each tile for all points.
        let group = if layer.is_heavy() { lines.len() } else { REGISTERS * S::F32_LANES / LINE };
        for first in lines.clone().step_by(group) {
            let group = first..(first + group).min(lines.end);
            let of_product = count * group.len();
            let products = room(products, POINTS * of_product);
            for (point, weights) in layer.weights.iter().enumerate() {
                multiply::<S, ROWS, REGISTERS>(
                    simd,
                    &points[point * of_point..][..of_point],
                    weights,
                    group.clone(),
                    &mut products[point * of_product..][..of_product],
                );
            }
            let tile_lines = layer.tile().pow(2) * lines.len();
            for (tile, out) in out.chunks_exact_mut(tile_lines).enumerate().take(count) {
                let products = &products[tile * group.len()..];
                let out = &mut out[first - lines.start..];
                let (bias, width) = (&layer.bias[group.clone()], (of_product, lines.len()));
                match layer.tile() {
                    4 => output_transform::<S, 4>(simd, products, width, bias, out),
                    _ => output_transform::<S, 2>(simd, products, width, bias, out),
                }
            }
        }
    }
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
fn input_transform<S: Simd>(
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
            for (row, value) in input_points(simd, std::array::from_fn(read)).into_iter().enumerate() {
                half[row][column] = value;
            }
        }
        for (row, half) in half.into_iter().enumerate() {
            for (column, value) in input_points(simd, half).into_iter().enumerate() {
                points[(row * SIDE + column) * of_point + to * width + channel] = value;
            }
        }
    }
}

/// B' of six numbers.
#[inline(always)]
fn input_points<S: Simd>(simd: S, [d0, d1, d2, d3, d4, d5]: [S::f32s; SIDE]) -> [S::f32s; SIDE] {
    let add = |a, b| simd.add_f32s(a, b);
    let sub = |a, b| simd.sub_f32s(a, b);
    // b + factor * a.
    let scaled = |factor: f32, a, b| simd.mul_add_e_f32s(simd.splat_f32s(factor), a, b);
    let (even, odd) = (scaled(-4.0, d2, d4), scaled(-4.0, d1, d3));
    let (even2, odd2) = (sub(d4, d2), simd.mul_f32s(simd.splat_f32s(2.0), sub(d3, d1)));
    [
        scaled(4.0, d0, scaled(-5.0, d2, d4)),
        add(even, odd),
        sub(even, odd),
        add(even2, odd2),
        sub(even2, odd2),
        scaled(4.0, d1, scaled(-5.0, d3, d5)),
    ]
}

/// A' m A of a tile, some of its channels, with bias and ReLU: from products `of_product` lines apart to pixels `width`
/// lines apart.
#[inline(always)]
fn output_transform<S: Simd, const TILE: usize>(
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
            for (row, value) in outputs::<S, TILE>(simd, std::array::from_fn(read)).into_iter().enumerate() {
                half[row][column] = value;
            }
        }
        for (row, half) in half.into_iter().enumerate() {
            for (column, value) in outputs::<S, TILE>(simd, half).into_iter().enumerate() {
                out[(row * TILE + column) * width + channel] =
                    simd.max_f32s(simd.add_f32s(value, *bias), zero);
            }
        }
    }
}

/// A' of six numbers.
#[inline(always)]
fn outputs<S: Simd, const TILE: usize>(
    simd: S,
    [m0, m1, m2, m3, m4, m5]: [S::f32s; SIDE],
) -> [S::f32s; TILE] {
    let (sum, difference) = (simd.add_f32s(m1, m2), simd.sub_f32s(m1, m2));
    let (sum2, difference2) = (simd.add_f32s(m3, m4), simd.sub_f32s(m3, m4));
    // The even powers of the points sum up, the odd ones differ.
    let power = |at: usize| {
        let factor = simd.splat_f32s((1 << at) as f32);
        if at.is_multiple_of(2) {
            simd.mul_add_e_f32s(factor, sum2, sum)
        } else {
            simd.mul_add_e_f32s(factor, difference2, difference)
        }
    };
    let mut y: [S::f32s; TILE] = std::array::from_fn(power);
    y[0] = simd.add_f32s(y[0], m0);
    y[TILE - 1] = simd.add_f32s(y[TILE - 1], m5);
    y
}

/// Most taps of a filter.
const TAPS_MAX: usize = 5;

/// G, `[point, tap]`.
fn filter_transform(taps: usize) -> [Vec<f64>; SIDE] {
    let row = |scale: f64, point: f64| (0..taps as i32).map(|tap| scale * point.powi(tap)).collect();
    let last = |at: usize| f64::from(u8::from(at + 1 == taps));
    [
        row(1.0 / 4.0, 0.0),
        row(-1.0 / 6.0, 1.0),
        row(-1.0 / 6.0, -1.0),
        row(1.0 / 24.0, 2.0),
        row(1.0 / 24.0, -2.0),
        (0..taps).map(last).collect(),
    ]
}

/// G g G' in double precision.
fn transformed_filter(transform: &[Vec<f64>; SIDE], filter: impl Fn(usize, usize) -> f32) -> [f32; POINTS] {
    let taps = transform[0].len();
    // g G'.
    let mut half = [[0.0; SIDE]; TAPS_MAX];
    for (row, half) in half.iter_mut().enumerate().take(taps) {
        for (value, across) in half.iter_mut().zip(transform) {
            *value = across.iter().enumerate().map(|(column, g)| f64::from(filter(row, column)) * g).sum();
        }
    }
    std::array::from_fn(|point| {
        let down = transform[point / SIDE].iter().zip(&half);
        down.map(|(g, half)| g * half[point % SIDE]).sum::<f64>() as f32
    })
}
