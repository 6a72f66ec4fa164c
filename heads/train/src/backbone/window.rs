//! Sliding windows over `[channels, batch, height, width]` planes: columns of a convolution and their adjoint.

use candle_core::WithDType;
use rayon::prelude::*;

/// Shape of activations, `[channels, batch, height, width]`, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planes {
    pub(super) channels: usize,
    pub(super) batch: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// A square window that slides over planes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Window {
    /// Rows and columns of positions on a plane.
    pub(super) fn positions(self, planes: Planes) -> (usize, usize) {
        let along = |side: usize| (side + 2 * self.padding - self.kernel) / self.stride + 1;
        (along(planes.height), along(planes.width))
    }

    /// What each window sees: `[channels * kernel * kernel, batch * rows * columns]`, zero outside the plane.
    pub(super) fn im2col<T: WithDType>(self, source: &[T], planes: Planes) -> Vec<T> {
        let (height, width) = self.positions(planes);
        let area = self.kernel * self.kernel;
        let plane = planes.height * planes.width;
        let mut columns = vec![T::zero(); planes.channels * area * planes.batch * height * width];
        columns.par_chunks_mut(planes.batch * height * width).enumerate().for_each(|(row, target)| {
            let (channel, ky, kx) = (row / area, row % area / self.kernel, row % self.kernel);
            for (image, target) in target.chunks_mut(height * width).enumerate() {
                let source = &source[(channel * planes.batch + image) * plane..][..plane];
                for (y, target) in target.chunks_mut(width).enumerate() {
                    if let Some(sy) = self.source_at(y, ky, planes.height) {
                        self.copy_row(&source[sy * planes.width..][..planes.width], kx, target);
                    }
                }
            }
        });
        columns
    }

    /// The adjoint of [`Window::im2col`]: adds each column's numbers to where they came from.
    pub(super) fn col2im<T: WithDType>(self, columns: &[T], planes: Planes) -> Vec<T> {
        let (height, width) = self.positions(planes);
        let area = self.kernel * self.kernel;
        let positions = planes.batch * height * width;
        let plane = planes.height * planes.width;
        let mut sums = vec![T::zero(); planes.channels * planes.batch * plane];
        sums.par_chunks_mut(planes.batch * plane).enumerate().for_each(|(channel, sums)| {
            for (at, row) in
                columns[channel * area * positions..][..area * positions].chunks_exact(positions).enumerate()
            {
                let (ky, kx) = (at / self.kernel, at % self.kernel);
                for (image, row) in row.chunks_exact(height * width).enumerate() {
                    for (y, row) in row.chunks_exact(width).enumerate() {
                        if let Some(sy) = self.source_at(y, ky, planes.height) {
                            let from = image * plane + sy * planes.width;
                            self.add_row(row, kx, &mut sums[from..from + planes.width]);
                        }
                    }
                }
            }
        });
        sums
    }

    /// Row of the plane that row `offset` of the window at position `at` lies on; `None` in the padding.
    fn source_at(self, at: usize, offset: usize, side: usize) -> Option<usize> {
        (at * self.stride + offset).checked_sub(self.padding).filter(|source| *source < side)
    }

    /// With stride 1, the positions whose source lies inside a row of `side` are one run: first, end, and the
    /// source of the first.
    fn run(self, kx: usize, side: usize, positions: usize) -> (usize, usize, usize) {
        let first = self.padding.saturating_sub(kx);
        let end = (side + self.padding - kx).min(positions);
        (first, end, first + kx - self.padding)
    }

    fn copy_row<T: WithDType>(self, source: &[T], kx: usize, target: &mut [T]) {
        if self.stride == 1 {
            let (first, end, from) = self.run(kx, source.len(), target.len());
            target[first..end].copy_from_slice(&source[from..from + end - first]);
            return;
        }
        for (x, value) in target.iter_mut().enumerate() {
            if let Some(sx) = self.source_at(x, kx, source.len()) {
                *value = source[sx];
            }
        }
    }

    fn add_row<T: WithDType>(self, row: &[T], kx: usize, sums: &mut [T]) {
        if self.stride == 1 {
            let (first, end, from) = self.run(kx, sums.len(), row.len());
            for (sum, value) in sums[from..from + end - first].iter_mut().zip(&row[first..end]) {
                *sum += *value;
            }
            return;
        }
        for (x, value) in row.iter().enumerate() {
            if let Some(sx) = self.source_at(x, kx, sums.len()) {
                sums[sx] += *value;
            }
        }
    }
}
