//! AlexNet's convolutions and poolings as one operation of candle.

use super::MapShape;
use super::alexnet::{CONV5, INPUT_SIDE, LAYERS, NORMALISED};
use super::winograd::{Convolution, Maps, Tiles};
use crate::level::{Kernel, Level};
use crate::product::{LINE, Line};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use pulp::Simd;
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Rows and columns that conv1, conv2 and the others give.
const SIDES: [usize; 5] = [55, 27, 13, 13, 13];
/// Stride of conv1.
const STRIDE: usize = 4;
/// Taps of conv1 in blocks of its stride: 11 fill three.
const BLOCKS: usize = 3;
/// Images that are worked on together at most; the maps of one take 2 MB.
const CHUNK: usize = 8;

/// conv1 to conv5 with ReLU and the two poolings: pixels `[batch, 224, 224, 3]`, of a byte a colour, to
/// `[batch, 256, 13, 13]`.
///
/// conv1's stride of 4 is turned into channels: blocks of 4 x 4 pixels become one pixel of 48 channels, on which it is a
/// convolution of 3 x 3 with stride 1, as the last three are.
pub(super) struct Convolutions {
    level: Level,
    layers: Vec<Convolution>,
    /// Buffers of calls that have ended.
    free: Mutex<Vec<Workspace>>,
}

/// Inputs of every layer and outputs of one. Only the inside of a map is written, so that its border stays zero.
#[derive(Default)]
struct Workspace {
    maps: [Maps; 5],
    tiles: Tiles,
}

impl Convolutions {
    /// `weights` and biases as in [`LAYERS`].
    pub(super) fn new(level: Level, layers: &[(Tensor, Tensor)]) -> candle_core::Result<Self> {
        let build = |(at, (weight, bias)): (usize, &(Tensor, Tensor))| {
            let (_, _, _, [outputs, inputs, kernel, _]) = LAYERS[at];
            let values = weight.flatten_all()?.to_vec1::<f32>()?;
            let tap = |output: usize, input: usize, row: usize, column: usize| {
                let inside = row < kernel && column < kernel;
                if inside {
                    values[((output * inputs + input) * kernel + row) * kernel + column]
                } else {
                    0.0
                }
            };
            let bias = bias.to_vec1::<f32>()?;
            Ok(if at == 0 {
                // Channel, row and column of a pixel within its block.
                let area = STRIDE * STRIDE;
                let blocked = |output: usize, input: usize, row: usize, column: usize| {
                    let (channel, within) = (input / area, input % area);
                    tap(output, channel, row * STRIDE + within / STRIDE, column * STRIDE + within % STRIDE)
                };
                Convolution::new(level, (inputs * area, outputs, BLOCKS, SIDES[at]), blocked, &bias)
            } else {
                Convolution::new(level, (inputs, outputs, kernel, SIDES[at]), tap, &bias)
            })
        };
        let layers = layers.iter().enumerate().map(build).collect::<candle_core::Result<_>>()?;
        Ok(Self { level, layers, free: Mutex::default() })
    }

    fn chunk(&self, pixels: &[u8], out: &mut [f32]) {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut workspace = free().pop().unwrap_or_default();
        let Workspace { maps, tiles } = &mut workspace;
        let count = out.len() / (CONV5.channels * CONV5.height * CONV5.width);
        for (at, layer) in self.layers.iter().enumerate() {
            maps[at].resize(count, layer.input_side(), layer.input_lines());
            // Outputs of the same size as the pooled or placed inputs lie around each of these layers.
            let inside = (SIDES[at], LAYERS[at].2);
            match at {
                0 => blocks(pixels, &mut maps[at]),
                1 | 2 => pool(self.level, &self.layers[at - 1], tiles, &mut maps[at], inside),
                _ => place(&self.layers[at - 1], tiles, &mut maps[at], inside),
            }
            layer.forward(&maps[at], tiles);
        }
        if let Some(last) = self.layers.last() {
            planes(last, tiles, out);
        }
        free().push(workspace);
    }
}

impl CustomOp1 for Convolutions {
    fn name(&self) -> &'static str {
        "alexnet-convolutions"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let batch = layout.shape().dims4()?.0;
        let (CpuStorage::U8(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("the convolutions read contiguous bytes");
        };
        let MapShape { channels, height, width } = CONV5;
        let mut out = vec![0.0; batch * channels * height * width];
        let bytes = 3 * INPUT_SIDE * INPUT_SIDE;
        for (pixels, out) in
            values[start..end].chunks(CHUNK * bytes).zip(out.chunks_mut(CHUNK * channels * height * width))
        {
            self.chunk(pixels, out);
        }
        Ok((CpuStorage::F32(out), (batch, channels, height, width).into()))
    }
}

/// Normalised pixels in blocks of 4 x 4, two pixels of padding before the first: a line a colour.
fn blocks(pixels: &[u8], maps: &mut Maps) {
    let padding = LAYERS[0].2;
    let (side, lines) = (maps.side, maps.lines);
    let (rows, _) = pixels.as_chunks::<{ 3 * INPUT_SIDE }>();
    maps.data.par_chunks_mut(side * lines).enumerate().for_each(|(at, target)| {
        let (image, row) = (at / side, at % side);
        for y in 0..STRIDE {
            let Some(from) = (row * STRIDE + y).checked_sub(padding).filter(|from| *from < INPUT_SIDE) else {
                continue;
            };
            for (x, colours) in rows[image * INPUT_SIDE + from].as_chunks::<3>().0.iter().enumerate() {
                let (column, within) = ((x + padding) / STRIDE, (x + padding) % STRIDE);
                let block = &mut target[column * lines..][..3];
                for ((line, table), colour) in block.iter_mut().zip(&*NORMALISED).zip(colours) {
                    line.0[y * STRIDE + within] = table[usize::from(*colour)];
                }
            }
        }
    });
}

/// Max pooling, kernel 3, stride 2, into the inside of maps: `side` pixels after `padding`.
fn pool(level: Level, layer: &Convolution, tiles: &Tiles, maps: &mut Maps, inside: (usize, usize)) {
    fill(maps, inside, |image, row, target| level.run(PooledRow { layer, tiles, image, row, target }));
}

/// A row of pooled pixels.
struct PooledRow<'a> {
    layer: &'a Convolution,
    tiles: &'a Tiles,
    image: usize,
    row: usize,
    target: Pixels<'a>,
}

impl Kernel for PooledRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const REGISTERS: usize>(self, simd: S) {
        let Self { layer, tiles, image, row, target } = self;
        for (column, target) in target.enumerate() {
            for (dy, dx) in (0..9).map(|at| (at / 3, at % 3)) {
                let mut target = &mut *target;
                for source in layer.pixel(tiles, image, (2 * row + dy, 2 * column + dx)) {
                    let (part, rest) = target.split_at_mut(source.len());
                    target = rest;
                    let part: &mut [S::f32s] = bytemuck::cast_slice_mut(part);
                    for (most, value) in part.iter_mut().zip(bytemuck::cast_slice::<Line, S::f32s>(source)) {
                        *most = if dy + dx == 0 { *value } else { simd.max_f32s(*most, *value) };
                    }
                }
            }
        }
    }
}

/// Copies outputs into the inside of maps: `side` pixels after `padding`.
fn place(layer: &Convolution, tiles: &Tiles, maps: &mut Maps, inside: (usize, usize)) {
    fill(maps, inside, |image, row, target| {
        for (column, mut target) in target.enumerate() {
            for source in layer.pixel(tiles, image, (row, column)) {
                let (part, rest) = target.split_at_mut(source.len());
                part.copy_from_slice(source);
                target = rest;
            }
        }
    });
}

/// The pixels of a row.
type Pixels<'a> = std::slice::ChunksExactMut<'a, Line>;

/// Hands the inside of each row of maps to `row`, with its image and its number.
fn fill(maps: &mut Maps, (side, padding): (usize, usize), row: impl Fn(usize, usize, Pixels<'_>) + Sync) {
    let (map_side, lines) = (maps.side, maps.lines);
    maps.data.par_chunks_mut(map_side * lines).enumerate().for_each(|(at, pixels)| {
        let within = (at % map_side).checked_sub(padding).filter(|row| *row < side);
        if let Some(number) = within {
            let inside = &mut pixels[padding * lines..][..side * lines];
            row(at / map_side, number, inside.chunks_exact_mut(lines));
        }
    });
}

/// The outputs as planes, `[image, channel, row, column]`.
fn planes(layer: &Convolution, tiles: &Tiles, out: &mut [f32]) {
    let MapShape { channels, height, width } = CONV5;
    out.par_chunks_mut(channels * height * width).enumerate().for_each(|(image, out)| {
        for pixel in 0..height * width {
            let lines = layer.pixel(tiles, image, (pixel / width, pixel % width)).flatten();
            for (line, channels) in lines.zip(out.chunks_exact_mut(LINE * height * width)) {
                for (value, plane) in line.0.iter().zip(channels.chunks_exact_mut(height * width)) {
                    plane[pixel] = *value;
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{AlexNet, plain_conv5};
    use crate::photo::{Canvas, Photo};
    use candle_core::{Device, Error, Result};
    use std::collections::HashMap;

    fn random(shape: &[usize], scale: f64) -> Result<Tensor> {
        Tensor::randn(0f32, scale as f32, shape, &Device::Cpu)
    }

    /// Candle's own operations are the reference, at every level and for batches that are split in different ways.
    #[test]
    fn they_agree_with_the_plain_pass() -> Result<()> {
        let (mut layers, mut tensors) = (Vec::new(), HashMap::new());
        for (place, _, _, shape) in LAYERS {
            let fan_in = (shape[1] * shape[2] * shape[3]) as f64;
            let (weight, bias) = (random(&shape, (2.0 / fan_in).sqrt())?, random(&shape[..1], 0.1)?);
            tensors.insert(format!("features.{place}.weight"), weight.clone());
            tensors.insert(format!("features.{place}.bias"), bias.clone());
            layers.push((weight, bias));
        }
        let canvas = |number: usize| {
            let rgb =
                (0..3 * INPUT_SIDE * INPUT_SIDE).map(|at| (at * (31 + 2 * number) % 257) as u8).collect();
            let photo = Photo::from_rgb(INPUT_SIDE as u32, INPUT_SIDE as u32, rgb);
            photo.map(|photo| photo.fit(INPUT_SIDE)).ok_or_else(|| Error::Msg("no photo".into()))
        };
        let canvases = (0..9).map(canvas).collect::<Result<Vec<_>>>()?;
        let canvases: Vec<&Canvas> = canvases.iter().collect();
        let wanted = plain_conv5(&tensors, &AlexNet::input(&canvases)?)?.flatten_from(1)?.to_vec2::<f32>()?;
        let largest = wanted.iter().flatten().fold(0f32, |most, v| most.max(*v));
        for level in Level::available() {
            let convolutions = Convolutions::new(level, &layers)?;
            for (first, count) in [(0, 1), (1, 3), (0, 9), (8, 1)] {
                let batch = AlexNet::pixels(&canvases[first..first + count])?;
                let found = batch.apply_op1_no_bwd(&convolutions)?.flatten_from(1)?.to_vec2::<f32>()?;
                for (found, wanted) in found.iter().zip(&wanted[first..]) {
                    let worst = found.iter().zip(wanted).map(|(f, w)| (f - w).abs()).fold(0f32, f32::max);
                    assert!(worst < 2e-5 * largest, "{level:?}, {count} images: {worst} of {largest}");
                }
            }
        }
        Ok(())
    }
}
