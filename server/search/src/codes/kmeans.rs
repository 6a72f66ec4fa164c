//! Lloyd's k-means on small vectors, from a seed.

use crate::Instructions;
use crate::kernels;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Centroids kept with their dimensions outermost, so that all products of one vector are one pass, and one by one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredCentroids", into = "StoredCentroids")]
pub(super) struct Centroids {
    pub(super) count: usize,
    level: Instructions,
    /// `[dim, count]`.
    values: Vec<f32>,
    /// Half the squared length of each.
    halves: Vec<f32>,
    /// `[count, dim]`.
    rows: Vec<f32>,
}

/// As they are in a file.
#[derive(Serialize, Deserialize)]
struct StoredCentroids {
    count: usize,
    values: Vec<f32>,
    halves: Vec<f32>,
}

impl From<Centroids> for StoredCentroids {
    fn from(centroids: Centroids) -> Self {
        let Centroids { count, level: _, values, halves, rows: _ } = centroids;
        Self { count, values, halves }
    }
}

impl From<StoredCentroids> for Centroids {
    fn from(stored: StoredCentroids) -> Self {
        let StoredCentroids { count, values, halves } = stored;
        let mut rows = vec![0.0; values.len()];
        // What does not come out even is not sound.
        let dim = values.len().checked_div(count).unwrap_or(0);
        for (d, values) in values.chunks_exact(count.max(1)).enumerate() {
            for (row, value) in rows.chunks_exact_mut(dim.max(1)).zip(values) {
                if let Some(number) = row.get_mut(d) {
                    *number = *value;
                }
            }
        }
        // Of this machine, not of the one that wrote it.
        Self { count, level: Instructions::best(), values, halves, rows }
    }
}

impl Centroids {
    fn new(rows: &[Vec<f32>]) -> Self {
        let (count, dim) = (rows.len(), rows.first().map_or(0, Vec::len));
        let mut values = vec![0.0; dim * count];
        for (at, row) in rows.iter().enumerate() {
            for (d, value) in row.iter().enumerate() {
                values[d * count + at] = *value;
            }
        }
        let halves = rows.iter().map(|row| row.iter().map(|v| v * v).sum::<f32>() / 2.0).collect();
        StoredCentroids { count, values, halves }.into()
    }

    /// Whether there are `count` finite centroids of dimension `dim`, as there are after reading a file.
    pub(super) fn is_sound(&self, dim: usize, count: usize) -> bool {
        let sizes = self.count == count && self.values.len() == dim * count && self.halves.len() == count;
        sizes && self.values.iter().chain(&self.halves).all(|v| v.is_finite())
    }

    /// Products of `vector` with every centroid.
    pub(super) fn products(&self, vector: &[f32], out: &mut [f32]) {
        kernels::products(self.level, vector, &self.values, out);
    }

    /// The nearest centroid; `scratch`, one float a centroid, gets the products with all of them.
    pub(super) fn nearest(&self, vector: &[f32], scratch: &mut [f32]) -> usize {
        kernels::nearest(self.level, vector, &self.values, &self.halves, scratch)
    }

    /// One over the length of a centroid; 0 of one at the origin, which has no direction.
    pub(super) fn inverse_length(&self, at: usize) -> f32 {
        let length = (2.0 * self.halves[at]).sqrt();
        if length > 0.0 { 1.0 / length } else { 0.0 }
    }

    /// The length of a vector along a centroid.
    pub(super) fn along(&self, at: usize, vector: &[f32]) -> f32 {
        dot(vector, self.row(at)) * self.inverse_length(at)
    }

    /// Takes away what a vector has along a centroid.
    pub(super) fn project_out(&self, at: usize, vector: &mut [f32]) {
        let share = self.along(at, vector) * self.inverse_length(at);
        vector.iter_mut().zip(self.row(at)).for_each(|(v, c)| *v -= share * c);
    }

    /// One centroid; empty where there is none.
    pub(super) fn row(&self, at: usize) -> &[f32] {
        let dim = self.rows.len().checked_div(self.count).unwrap_or(0);
        self.rows.get(at * dim..(at + 1) * dim).unwrap_or_default()
    }
}

/// The product of two vectors, in lanes that the compiler keeps in registers.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    sums.into_iter().sum::<f32>() + rest.sum::<f32>()
}

/// `count` centroids of `[n, dim]` points after `rounds` rounds. Fewer distinct points than centroids leave some
/// centroids on the same spot, which does no harm.
pub(super) fn kmeans(
    points: &[f32],
    dim: usize,
    count: usize,
    rounds: usize,
    rng: &mut ChaCha8Rng,
) -> Centroids {
    let n = points.len().checked_div(dim).unwrap_or(0);
    let point = |at: usize| &points[at * dim..][..dim];
    let mut rows: Vec<Vec<f32>> = if n == 0 {
        vec![vec![0.0; dim]; count]
    } else {
        let chosen: Vec<usize> = sample(rng, n, count.min(n)).into_vec();
        (0..count).map(|at| point(chosen[at % chosen.len()]).to_vec()).collect()
    };
    let mut scratch = vec![0.0; count];
    for _ in 0..rounds {
        let centroids = Centroids::new(&rows);
        let mut sums = vec![vec![0.0f64; dim]; count];
        let mut counts = vec![0u64; count];
        let mut farthest = (0, 0.0f32);
        for at in 0..n {
            let nearest = centroids.nearest(point(at), &mut scratch);
            counts[nearest] += 1;
            sums[nearest].iter_mut().zip(point(at)).for_each(|(s, v)| *s += f64::from(*v));
            let gap = centroids.halves[nearest] - scratch[nearest]
                + point(at).iter().map(|v| v * v).sum::<f32>() / 2.0;
            if gap > farthest.1 {
                farthest = (at, gap);
            }
        }
        for ((row, sum), count) in rows.iter_mut().zip(&sums).zip(&counts) {
            if *count > 0 {
                row.iter_mut().zip(sum).for_each(|(r, s)| *r = (s / *count as f64) as f32);
            } else if n > 0 {
                // An empty cell moves to the point that is served worst.
                row.copy_from_slice(point(farthest.0));
            }
        }
    }
    Centroids::new(&rows)
}
