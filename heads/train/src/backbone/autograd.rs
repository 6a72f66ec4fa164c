//! Differentiable operations for training the backbone: candle's own max pooling has a wrong gradient, and its
//! convolution's is slow.
//!
//! On the processor they are custom operations; on another device the same results come from operations that
//! candle differentiates rightly ([`max_pool`], [`convolve`] choose).

use super::window::{Planes, Window};
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

/// Convolution without bias: `[channels, batch, h, w]` and `[out, channels * kernel * kernel]` to
/// `[out, batch, h', w']`.
pub(super) fn convolve(input: &Tensor, weight: &Tensor, window: Window) -> Result<Tensor> {
    let planes = planes_of(input)?;
    let (height, width) = window.positions(planes);
    let out = weight.dim(0)?;
    if input.device().is_cpu() {
        let columns = input.contiguous()?.apply_op1(Im2col { window, planes })?;
        return weight.matmul(&columns)?.reshape((out, planes.batch, height, width));
    }
    let kernel = weight.reshape((out, planes.channels, window.kernel, window.kernel))?;
    input.transpose(0, 1)?.conv2d(&kernel, window.padding, window.stride, 1, 1)?.transpose(0, 1)?.contiguous()
}

/// Overlapping max pooling, kernel 3, stride 2, over the last two of four dimensions.
///
/// # Errors
/// When the tensor library fails.
pub fn max_pool(input: &Tensor) -> Result<Tensor> {
    if input.device().is_cpu() {
        let (_, _, height, width) = input.dims4()?;
        return input.contiguous()?.apply_op1(MaxPool { height, width });
    }
    max_pool_composed(input)
}

/// [`max_pool`] from selections and element-wise maxima, which any device differentiates. Where two numbers tie,
/// the gradient is shared instead of given to the first.
fn max_pool_composed(input: &Tensor) -> Result<Tensor> {
    let mut result = input.clone();
    for dim in [2, 3] {
        let count = ((result.dim(dim)? - 3) / 2 + 1) as u32;
        let every_second = |offset: u32| {
            let at: Vec<u32> = (0..count).map(|i| 2 * i + offset).collect();
            result.index_select(&Tensor::new(at, input.device())?, dim)
        };
        let pooled = every_second(0)?.maximum(&every_second(1)?)?.maximum(&every_second(2)?)?;
        result = pooled;
    }
    Ok(result)
}

fn planes_of(tensor: &Tensor) -> Result<Planes> {
    let (channels, batch, height, width) = tensor.dims4()?;
    Ok(Planes { channels, batch, height, width })
}

struct Im2col {
    window: Window,
    planes: Planes,
}

impl CustomOp1 for Im2col {
    fn name(&self) -> &'static str {
        "im2col"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (height, width) = self.window.positions(self.planes);
        let rows = self.planes.channels * self.window.kernel * self.window.kernel;
        let shape = Shape::from((rows, self.planes.batch * height * width));
        let storage = match storage {
            CpuStorage::F32(data) => CpuStorage::F32(self.window.im2col(slice(data, layout)?, self.planes)),
            CpuStorage::F64(data) => CpuStorage::F64(self.window.im2col(slice(data, layout)?, self.planes)),
            _ => bail!("im2col computes in f32 and f64"),
        };
        Ok((storage, shape))
    }

    fn bwd(&self, input: &Tensor, _columns: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        fn adjoint<T: WithDType>(op: &Im2col, gradient: &Tensor, shape: &Shape) -> Result<Tensor> {
            let columns = gradient.flatten_all()?.to_vec1::<T>()?;
            Tensor::from_vec(op.window.col2im(&columns, op.planes), shape, gradient.device())
        }
        match gradient.dtype() {
            DType::F64 => adjoint::<f64>(self, gradient, input.shape()).map(Some),
            _ => adjoint::<f32>(self, gradient, input.shape()).map(Some),
        }
    }
}

struct MaxPool {
    height: usize,
    width: usize,
}

impl MaxPool {
    fn pooled(&self) -> (usize, usize) {
        ((self.height - 3) / 2 + 1, (self.width - 3) / 2 + 1)
    }

    /// Where in the plane the largest number of each window is; of equal ones the first.
    fn largest<T: WithDType>(&self, source: &[T], mut found: impl FnMut(usize, usize)) {
        let (_, width) = self.pooled();
        for at in 0..self.pooled().0 * width {
            let corner = at / width * 2 * self.width + at % width * 2;
            let mut best = corner;
            for dy in 0..3 {
                for place in corner + dy * self.width..corner + dy * self.width + 3 {
                    if source[place] > source[best] {
                        best = place;
                    }
                }
            }
            found(at, best);
        }
    }

    fn forward<T: WithDType>(&self, data: &[T]) -> Vec<T> {
        let (height, width) = self.pooled();
        let plane = self.height * self.width;
        let mut pooled = vec![T::zero(); data.len() / plane * height * width];
        pooled.par_chunks_mut(height * width).zip(data.par_chunks(plane)).for_each(|(target, source)| {
            self.largest(source, |at, best| target[at] = source[best]);
        });
        pooled
    }

    fn backward<T: WithDType>(&self, input: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let (height, width) = self.pooled();
        let plane = self.height * self.width;
        let data = input.flatten_all()?.to_vec1::<T>()?;
        let gradient = gradient.flatten_all()?.to_vec1::<T>()?;
        let mut sums = vec![T::zero(); data.len()];
        sums.par_chunks_mut(plane)
            .zip(data.par_chunks(plane))
            .zip(gradient.par_chunks(height * width))
            .for_each(|((sums, source), gradient)| {
                self.largest(source, |at, best| sums[best] += gradient[at]);
            });
        Tensor::from_vec(sums, input.shape(), input.device())
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool_3_2"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b, _, _) = layout.shape().dims4()?;
        let (height, width) = self.pooled();
        let storage = match storage {
            CpuStorage::F32(data) => CpuStorage::F32(self.forward(slice(data, layout)?)),
            CpuStorage::F64(data) => CpuStorage::F64(self.forward(slice(data, layout)?)),
            _ => bail!("max pooling computes in f32 and f64"),
        };
        Ok((storage, Shape::from((a, b, height, width))))
    }

    fn bwd(&self, input: &Tensor, _pooled: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        match gradient.dtype() {
            DType::F64 => self.backward::<f64>(input, gradient).map(Some),
            _ => self.backward::<f32>(input, gradient).map(Some),
        }
    }
}

/// The numbers of a contiguous tensor.
pub(super) fn slice<'a, T>(data: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&data[from..to]),
        None => bail!("a contiguous tensor is wanted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn wave(len: usize) -> Vec<f64> {
        (0..len).map(|i| ((i * 37 % 101) as f64 / 50.0 - 1.0) * 0.3 + (i % 7) as f64 * 1e-3).collect()
    }

    /// Compares the gradient of `loss` in `var` with central differences, in f64.
    fn check(var: &Var, loss: impl Fn() -> Result<Tensor>) -> Result<()> {
        let gradients = loss()?.backward()?;
        let found = gradients.get(var).expect("a gradient").flatten_all()?.to_vec1::<f64>()?;
        let start = var.flatten_all()?.to_vec1::<f64>()?;
        let step = 1e-5;
        for at in (0..start.len()).step_by(1 + start.len() / 60) {
            let at_offset = |offset: f64| -> Result<f64> {
                let mut moved = start.clone();
                moved[at] += offset;
                var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu)?)?;
                loss()?.to_scalar()
            };
            let wanted = (at_offset(step)? - at_offset(-step)?) / (2.0 * step);
            assert!((found[at] - wanted).abs() < 1e-6 * (1.0 + wanted.abs()), "{at}: {} {wanted}", found[at]);
        }
        var.set(&Tensor::from_vec(start, var.shape(), &Device::Cpu)?)
    }

    /// A loss in which every number has another weight, so that no mistake cancels out.
    fn uneven(x: &Tensor) -> Result<Tensor> {
        let weights = Tensor::from_vec(wave(x.elem_count()), x.shape(), x.device())?;
        ((x * &weights)? + x.sqr()?)?.sum_all()
    }

    #[test]
    fn gradients_through_convolution_and_overlapping_pooling_are_numerically_right() -> Result<()> {
        for (kernel, stride, padding) in [(3, 1, 1), (5, 1, 2), (11, 4, 2)] {
            let window = Window { kernel, stride, padding };
            let image = Var::from_vec(wave(2 * 2 * 31 * 31), (2, 2, 31, 31), &Device::Cpu)?;
            let weight =
                Var::from_vec(wave(3 * 2 * kernel * kernel), (3, 2 * kernel * kernel), &Device::Cpu)?;
            let loss = || uneven(&max_pool(&convolve(&image, &weight, window)?)?);
            check(&image, loss)?;
            check(&weight, loss)?;
        }
        Ok(())
    }

    #[test]
    fn both_ways_of_pooling_agree_forwards_and_backwards() -> Result<()> {
        let image = Var::from_vec(wave(2 * 3 * 13 * 15), (2, 3, 13, 15), &Device::Cpu)?;
        let (ours, composed) = (max_pool(&image)?, max_pool_composed(&image)?);
        assert_eq!(ours.flatten_all()?.to_vec1::<f64>()?, composed.flatten_all()?.to_vec1::<f64>()?);
        let gradient = |x: &Tensor| -> Result<Vec<f64>> {
            uneven(x)?.backward()?.get(&image).expect("a gradient").flatten_all()?.to_vec1()
        };
        let (a, b) = (gradient(&ours)?, gradient(&composed)?);
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12));
        Ok(())
    }

    #[test]
    fn convolution_agrees_with_candles_own() -> Result<()> {
        let image = Tensor::from_vec(wave(2 * 3 * 17 * 17), (3, 2, 17, 17), &Device::Cpu)?;
        for (kernel, stride, padding) in [(3, 1, 1), (5, 1, 2), (11, 4, 2)] {
            let weight =
                Tensor::from_vec(wave(4 * 3 * kernel * kernel), (4, 3, kernel, kernel), &Device::Cpu)?;
            let ours = convolve(&image, &weight.flatten_from(1)?, Window { kernel, stride, padding })?;
            let theirs = image.transpose(0, 1)?.conv2d(&weight, padding, stride, 1, 1)?.transpose(0, 1)?;
            let gap = (ours - theirs)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?;
            assert!(gap < 1e-12, "{gap}");
        }
        Ok(())
    }
}
