//! ROI pooling (section 6): crop the feature map bilinearly to a region, then AlexNet's pooling layer.

use crate::backbone::MapShape;
use crate::level::{Kernel, Level};
use crate::product::{LINE, Line, lines_of};
use crate::region::{Parts, Rect, Region};
use pulp::Simd;

/// Rows and columns after pooling a map of `shape`: kernel 3, stride 2.
fn pooled_side(shape: MapShape) -> (usize, usize) {
    ((shape.height - 3) / 2 + 1, (shape.width - 3) / 2 + 1)
}

/// Numbers a head receives for one region of a map of `shape`: 9216 for AlexNet.
#[must_use]
pub fn pooled_len(shape: MapShape) -> usize {
    let (height, width) = pooled_side(shape);
    shape.channels * height * width
}

/// Pools `region` of one map: `[channels, height, width]` to `[channels * 6 * 6]` for AlexNet.
///
/// The crop has the map's own size, as `crop_and_resize` with corners aligned gives, so that a region and
/// the whole map feed the same layers. Two sleeves are averaged.
#[must_use]
pub fn pool_region(map: &[f32], shape: MapShape, parts: &Parts, region: Region) -> Vec<f32> {
    CellMap::new(map, shape).pool(parts, region)
}

/// A feature map with the channels of a cell side by side, so that whole lines of them are pooled at once.
pub(crate) struct CellMap {
    shape: MapShape,
    /// `[height, width, lines]`.
    cells: Vec<Line>,
}

impl CellMap {
    /// Turns a map `[channels, height, width]`.
    pub(crate) fn new(map: &[f32], shape: MapShape) -> Self {
        let (area, lines) = (shape.height * shape.width, lines_of(shape.channels));
        let mut cells = vec![Line::ZERO; area * lines];
        let numbers: &mut [f32] = bytemuck::cast_slice_mut(&mut cells);
        for (channel, plane) in map.chunks_exact(area).enumerate() {
            for (cell, value) in plane.iter().enumerate() {
                numbers[cell * lines * LINE + channel] = *value;
            }
        }
        Self { shape, cells }
    }

    /// See [`pool_region`].
    pub(crate) fn pool(&self, parts: &Parts, region: Region) -> Vec<f32> {
        let rects = parts.rects(region);
        let (height, width) = pooled_side(self.shape);
        let lines = lines_of(self.shape.channels);
        let mut total = vec![Line::ZERO; height * width * lines];
        for rect in &rects {
            let rows = Samples::along(rect.y0, rect.y1, self.shape.height);
            let columns = Samples::along(rect.x0, rect.x1, self.shape.width);
            let share = 1.0 / rects.len() as f32;
            Level::best().run(AddPooled {
                map: self,
                rows: &rows,
                columns: &columns,
                share,
                total: &mut total,
            });
        }
        let numbers: &[f32] = bytemuck::cast_slice(&total);
        let mut pooled = Vec::with_capacity(pooled_len(self.shape));
        for channel in 0..self.shape.channels {
            pooled.extend((0..height * width).map(|cell| numbers[cell * lines * LINE + channel]));
        }
        pooled
    }
}

/// Crops a map, pools the crop by maxima, kernel 3, stride 2, and adds a share of that to `total`.
struct AddPooled<'a> {
    map: &'a CellMap,
    rows: &'a Samples,
    columns: &'a Samples,
    share: f32,
    total: &'a mut [Line],
}

impl Kernel for AddPooled<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const REGISTERS: usize>(self, simd: S) {
        let Self { map: CellMap { shape, cells }, rows, columns, share, total } = self;
        let cells: &[S::f32s] = bytemuck::cast_slice(cells);
        let total: &mut [S::f32s] = bytemuck::cast_slice_mut(total);
        let registers = cells.len() / (shape.height * shape.width);
        let between = |low: S::f32s, high: S::f32s, part: f32| {
            simd.mul_add_e_f32s(simd.sub_f32s(high, low), simd.splat_f32s(part), low)
        };
        let mut crop = vec![simd.splat_f32s(0.0); cells.len()];
        for (y, (above, below, down)) in rows.0.iter().enumerate() {
            for (x, (left, right, across)) in columns.0.iter().enumerate() {
                let cell = |row: usize, column: usize| {
                    &cells[(row * shape.width + column) * registers..][..registers]
                };
                let corners =
                    [cell(*above, *left), cell(*above, *right), cell(*below, *left), cell(*below, *right)];
                let target = &mut crop[(y * shape.width + x) * registers..][..registers];
                for (at, value) in target.iter_mut().enumerate() {
                    let upper = between(corners[0][at], corners[1][at], *across);
                    let lower = between(corners[2][at], corners[3][at], *across);
                    *value = between(upper, lower, *down);
                }
            }
        }
        let width = pooled_side(*shape).1;
        let share = simd.splat_f32s(share);
        for (at, total) in total.chunks_exact_mut(registers).enumerate() {
            let corner = at / width * 2 * shape.width + at % width * 2;
            for (register, sum) in total.iter_mut().enumerate() {
                let value = |place: usize| {
                    crop[(corner + place / 3 * shape.width + place % 3) * registers + register]
                };
                let most = (1..9).fold(value(0), |most, place| simd.max_f32s(most, value(place)));
                *sum = simd.mul_add_e_f32s(share, most, *sum);
            }
        }
    }
}

/// The crop of `rect` as a matrix: `[cells of the map, cells of the crop]`, so that a map `[channels, cells]` times
/// it is the crop. Training differentiates through it.
#[must_use]
pub fn crop_matrix(shape: MapShape, rect: &Rect) -> Vec<f32> {
    let rows = Samples::along(rect.y0, rect.y1, shape.height);
    let columns = Samples::along(rect.x0, rect.x1, shape.width);
    let cells = shape.height * shape.width;
    let mut matrix = vec![0.0; cells * cells];
    for (y, (above, below, down)) in rows.0.iter().enumerate() {
        for (x, (left, right, across)) in columns.0.iter().enumerate() {
            for (row, row_share) in [(above, 1.0 - down), (below, *down)] {
                for (column, share) in [(left, 1.0 - across), (right, *across)] {
                    let source = row * shape.width + column;
                    matrix[source * cells + y * shape.width + x] += row_share * share;
                }
            }
        }
    }
    matrix
}

/// For each output cell: lower and upper source cell and the share of the upper.
struct Samples(Vec<(usize, usize, f32)>);

impl Samples {
    fn along(low: f32, high: f32, cells: usize) -> Self {
        let last = (cells - 1) as f32;
        let at = |i: usize| (low + (high - low) * i as f32 / last).clamp(0.0, 1.0) * last;
        Self(
            (0..cells)
                .map(|i| {
                    let floor = at(i).floor().min(last);
                    (floor as usize, (floor as usize + 1).min(cells - 1), at(i) - floor)
                })
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;

    const SHAPE: MapShape = MapShape { channels: 2, height: 13, width: 13 };

    #[test]
    fn the_whole_map_is_plain_max_pooling() {
        let map: Vec<f32> = (0..2 * 169).map(|i| (i * 31 % 97) as f32).collect();
        let pooled = pool_region(&map, SHAPE, &Parts::none(), Region::Collar);
        let window = |at: usize| (0..9).map(move |w| 169 + (at / 6 * 2 + w / 3) * 13 + at % 6 * 2 + w % 3);
        let plain: Vec<f32> = (0..36).map(|at| window(at).map(|i| map[i]).fold(f32::MIN, f32::max)).collect();
        assert_eq!(pooled.len(), pooled_len(SHAPE));
        assert_eq!(pooled[36..], plain[..]);
    }

    #[test]
    fn a_crop_of_a_ramp_is_a_ramp_of_the_region() {
        let map: Vec<f32> = (0..2 * 169).map(|i| (i % 13) as f32).collect();
        let collar = Rect { x0: 0.25, y0: 0.0, x1: 0.75, y1: 0.5 };
        let parts = Parts { collar: Some(collar), ..Parts::none() };
        let pooled = pool_region(&map, SHAPE, &parts, Region::Collar);
        // Cells run from 3 to 9; each maximum is the rightmost of three crop columns half a cell apart.
        assert!((pooled[0] - 4.0).abs() < 1e-5 && (pooled[5] - 9.0).abs() < 1e-5, "{:?}", &pooled[..6]);
    }

    #[test]
    fn the_crop_as_a_matrix_pools_to_the_same_numbers() -> candle_core::Result<()> {
        let map: Vec<f32> = (0..2 * 169).map(|i| (i * 31 % 97) as f32).collect();
        let chest = Rect { x0: 0.21, y0: 0.3, x1: 0.83, y1: 0.72 };
        let parts = Parts { chest: Some(chest), ..Parts::none() };
        let direct = pool_region(&map, SHAPE, &parts, Region::Chest);
        let cpu = candle_core::Device::Cpu;
        let matrix = Tensor::from_vec(crop_matrix(SHAPE, &chest), (169, 169), &cpu)?;
        let crop = Tensor::from_vec(map, (2, 169), &cpu)?.matmul(&matrix)?.reshape((1, 2, 13, 13))?;
        let pooled = crop.max_pool2d_with_stride(3, 2)?.flatten_all()?.to_vec1::<f32>()?;
        assert!(pooled.iter().zip(&direct).all(|(a, b)| (a - b).abs() < 1e-3));
        Ok(())
    }

    #[test]
    fn two_sleeves_are_averaged() {
        let map: Vec<f32> = (0..2 * 169).map(|i| (i % 13) as f32).collect();
        let left = Rect { x0: 0.0, y0: 0.0, x1: 0.2, y1: 1.0 };
        let right = Rect { x0: 0.8, x1: 1.0, ..left };
        let parts = Parts { left_sleeve: Some(left), right_sleeve: Some(right), ..Parts::none() };
        let pooled = pool_region(&map, SHAPE, &parts, Region::Sleeves);
        assert!((pooled[0] - 0.5 * (0.4 + 10.0)).abs() < 1e-4, "{}", pooled[0]);
    }
}
