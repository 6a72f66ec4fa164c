//! AlexNet's convolutions and poolings as one operation of candle.

use super::MapShape;
use super::alexnet::{CONV5, INPUT_SIDE, LAYERS};
use super::winograd::{Convolution, Maps, Tiles};
use crate::level::Level;
use crate::product::Line;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
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

/// conv1 to conv5 with ReLU and the two poolings: `[batch, 3, 224, 224]` to `[batch, 256, 13, 13]`.
///
/// conv1's stride of 4 is turned into channels: blocks of 4 x 4 pixels become one pixel of 48 channels, on which it is a
/// convolution of 3 x 3 with stride 1, as the last three are.
pub(super) struct Convolutions {
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
        Ok(Self { layers, free: Mutex::default() })
    }

    fn chunk(&self, input: &[f32], out: &mut [f32]) {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut workspace = free().pop().unwrap_or_default();
        let Workspace { maps, tiles } = &mut workspace;
        let count = out.len() / (CONV5.channels * CONV5.height * CONV5.width);
        for (at, layer) in self.layers.iter().enumerate() {
            maps[at].resize(count, layer.input_side(), layer.input_lines());
            match at {
                0 => blocks(input, &mut maps[at]),
                1 | 2 => pool(&self.layers[at - 1], tiles, &mut maps[at], (SIDES[at], LAYERS[at].2)),
                _ => place(&self.layers[at - 1], tiles, &mut maps[at], (SIDES[at], LAYERS[at].2)),
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
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("the convolutions read contiguous f32");
        };
        let MapShape { channels, height, width } = CONV5;
        let mut out = vec![0.0; batch * channels * height * width];
        let pixels = 3 * INPUT_SIDE * INPUT_SIDE;
        for (input, out) in
            values[start..end].chunks(CHUNK * pixels).zip(out.chunks_mut(CHUNK * channels * height * width))
        {
            self.chunk(input, out);
        }
        Ok((CpuStorage::F32(out), (batch, channels, height, width).into()))
    }
}

/// Pixels in blocks of 4 x 4, two pixels of padding before the first: a line a colour.
fn blocks(input: &[f32], maps: &mut Maps) {
    let padding = LAYERS[0].2;
    let (side, lines) = (maps.side, maps.lines);
    let map_lines = maps.map_lines();
    maps.data.par_chunks_mut(side * lines).enumerate().for_each(|(at, target)| {
        let (image, row) = (at * side * lines / map_lines, at % side);
        for (column, pixel) in target.chunks_exact_mut(lines).enumerate() {
            for (channel, line) in pixel.iter_mut().enumerate() {
                let plane =
                    &input[(image * lines + channel) * INPUT_SIDE * INPUT_SIDE..][..INPUT_SIDE * INPUT_SIDE];
                for (y, values) in line.0.chunks_exact_mut(STRIDE).enumerate() {
                    let Some(y) = (row * STRIDE + y).checked_sub(padding).filter(|y| *y < INPUT_SIDE) else {
                        continue;
                    };
                    for (x, value) in values.iter_mut().enumerate() {
                        let x = (column * STRIDE + x).checked_sub(padding).filter(|x| *x < INPUT_SIDE);
                        if let Some(x) = x {
                            *value = plane[y * INPUT_SIDE + x];
                        }
                    }
                }
            }
        }
    });
}

/// Max pooling, kernel 3, stride 2, into the inside of maps: `side` pixels after `padding`.
fn pool(layer: &Convolution, tiles: &Tiles, maps: &mut Maps, (side, padding): (usize, usize)) {
    fill(maps, (side, padding), |image, row, column, target| {
        for (dy, dx) in (0..9).map(|at| (at / 3, at % 3)) {
            let source = layer.pixel(tiles, image, 2 * row + dy, 2 * column + dx);
            for (most, values) in target.iter_mut().zip(source) {
                for (most, value) in most.0.iter_mut().zip(values.0) {
                    *most = if dy + dx == 0 { value } else { most.max(value) };
                }
            }
        }
    });
}

/// Copies outputs into the inside of maps: `side` pixels after `padding`.
fn place(layer: &Convolution, tiles: &Tiles, maps: &mut Maps, (side, padding): (usize, usize)) {
    fill(maps, (side, padding), |image, row, column, target| {
        for (to, from) in target.iter_mut().zip(layer.pixel(tiles, image, row, column)) {
            *to = *from;
        }
    });
}

fn fill(
    maps: &mut Maps,
    (side, padding): (usize, usize),
    pixel: impl Fn(usize, usize, usize, &mut [Line]) + Sync,
) {
    let (map_side, lines, map_lines) = (maps.side, maps.lines, maps.map_lines());
    maps.data.par_chunks_mut(map_lines).enumerate().for_each(|(image, map)| {
        for row in 0..side {
            for column in 0..side {
                let at = ((row + padding) * map_side + column + padding) * lines;
                pixel(image, row, column, &mut map[at..at + lines]);
            }
        }
    });
}

/// The outputs as planes, `[image, channel, row, column]`.
fn planes(layer: &Convolution, tiles: &Tiles, out: &mut [f32]) {
    let MapShape { channels, height, width } = CONV5;
    out.par_chunks_mut(channels * height * width).enumerate().for_each(|(image, out)| {
        for pixel in 0..height * width {
            let lines = layer.pixel(tiles, image, pixel / width, pixel % width);
            for (channel, value) in lines.flat_map(|line| line.0).enumerate() {
                out[channel * height * width + pixel] = value;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::plain_conv5;
    use candle_core::{Device, Result};
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
        let input = random(&[9, 3, INPUT_SIDE, INPUT_SIDE], 1.0)?;
        let wanted = plain_conv5(&tensors, &input)?.flatten_from(1)?.to_vec2::<f32>()?;
        let largest = wanted.iter().flatten().fold(0f32, |most, v| most.max(*v));
        for level in Level::available() {
            let convolutions = Convolutions::new(level, &layers)?;
            for (first, count) in [(0, 1), (1, 3), (0, 9), (8, 1)] {
                let batch = input.narrow(0, first, count)?.contiguous()?;
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
