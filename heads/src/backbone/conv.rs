//! Convolution and max pooling on `[channels, batch, height, width]` activations.
//!
//! With the batch inside the channel, one im2col and one matrix product serve the whole batch and no
//! transposition is needed between layers. It runs about twice as fast as candle's own `conv2d` here.

use super::window::{Planes, Window};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

/// Activations of a layer, `[channels, batch, height, width]`, row-major.
pub(super) struct Activations {
    pub(super) data: Vec<f32>,
    pub(super) channels: usize,
    pub(super) batch: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Activations {
    fn planes(&self) -> Planes {
        Planes { channels: self.channels, batch: self.batch, height: self.height, width: self.width }
    }
}

/// A convolution followed by ReLU.
pub(super) struct ConvRelu {
    /// `[out, in * kernel * kernel]`.
    weight: Tensor,
    bias: Vec<f32>,
    window: Window,
}

impl ConvRelu {
    /// `weight` is `[out, in, kernel, kernel]`, `bias` `[out]`, both f32.
    pub(super) fn new(
        weight: &Tensor,
        bias: &Tensor,
        stride: usize,
        padding: usize,
    ) -> candle_core::Result<Self> {
        let (out, inputs, kernel, _) = weight.dims4()?;
        Ok(Self {
            weight: weight.reshape((out, inputs * kernel * kernel))?,
            bias: bias.to_vec1()?,
            window: Window { kernel, stride, padding },
        })
    }

    pub(super) fn forward(&self, input: &Activations) -> candle_core::Result<Activations> {
        let planes = input.planes();
        let (height, width) = self.window.positions(planes);
        let rows = input.channels * self.window.kernel * self.window.kernel;
        let columns = Tensor::from_vec(
            self.window.im2col(&input.data, planes),
            (rows, input.batch * height * width),
            &Device::Cpu,
        )?;
        let product = self.weight.matmul(&columns)?;
        drop(columns);
        let mut data = product.flatten_all()?.to_vec1::<f32>()?;
        let plane = input.batch * height * width;
        data.par_chunks_mut(plane).zip(&self.bias).for_each(|(channel, bias)| {
            for value in channel {
                *value = (*value + bias).max(0.0);
            }
        });
        Ok(Activations { data, channels: self.bias.len(), batch: input.batch, height, width })
    }
}

/// Overlapping max pooling, kernel 3, stride 2, no padding.
pub(super) fn max_pool_3_2(input: &Activations) -> Activations {
    let (height, width) = ((input.height - 3) / 2 + 1, (input.width - 3) / 2 + 1);
    let mut data = vec![0.0; input.channels * input.batch * height * width];
    data.par_chunks_mut(height * width)
        .zip(input.data.par_chunks(input.height * input.width))
        .for_each(|(target, source)| max_pool_plane(source, input.width, target, width));
    Activations { data, channels: input.channels, batch: input.batch, height, width }
}

/// Pools one plane of `source_width` columns into one of `width` columns, kernel 3, stride 2.
pub(crate) fn max_pool_plane(source: &[f32], source_width: usize, target: &mut [f32], width: usize) {
    for (at, value) in target.iter_mut().enumerate() {
        let corner = at / width * 2 * source_width + at % width * 2;
        *value = (0..3)
            .flat_map(|dy| &source[corner + dy * source_width..][..3])
            .fold(f32::NEG_INFINITY, |most, v| most.max(*v));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 0.3).collect()
    }

    /// Candle's own operations are the reference; its layout is `[batch, channels, height, width]`.
    #[test]
    fn convolution_and_pooling_agree_with_candle() -> candle_core::Result<()> {
        let (batch, channels, side) = (2, 3, 17);
        let image = Tensor::from_vec(
            wave(batch * channels * side * side),
            (batch, channels, side, side),
            &Device::Cpu,
        )?;
        let input = Activations {
            data: image.transpose(0, 1)?.flatten_all()?.to_vec1()?,
            channels,
            batch,
            height: side,
            width: side,
        };
        for (kernel, stride, padding) in [(3, 1, 1), (5, 1, 2), (11, 4, 2)] {
            let weight = Tensor::from_vec(
                wave(4 * channels * kernel * kernel),
                (4, channels, kernel, kernel),
                &Device::Cpu,
            )?;
            let bias = Tensor::from_vec(wave(4), 4, &Device::Cpu)?;
            let ours = ConvRelu::new(&weight, &bias, stride, padding)?.forward(&input)?;
            let theirs = image
                .conv2d(&weight, padding, stride, 1, 1)?
                .broadcast_add(&bias.reshape((1, 4, 1, 1))?)?
                .relu()?
                .transpose(0, 1)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            assert_eq!(ours.data.len(), theirs.len());
            assert!(ours.data.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4));
        }
        let pooled = max_pool_3_2(&input);
        let theirs = image.max_pool2d_with_stride(3, 2)?.transpose(0, 1)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(pooled.data, theirs);
        Ok(())
    }
}
