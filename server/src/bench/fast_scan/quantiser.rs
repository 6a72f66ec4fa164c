//! The product quantiser: vectors in parts of four numbers, sixteen centroids a part, a code of four bits each.

use lapel_search::Instructions;
use lapel_search::kernels::{self, CODES};
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

/// Numbers of a part.
pub(super) const PART: usize = 4;
/// Rounds of k-means, as many as FAISS makes.
const ROUNDS: usize = 25;

/// The centroids of one part.
pub(super) struct Codebook {
    level: Instructions,
    /// `[PART, CODES]`: all products of one part are one pass.
    values: [f32; PART * CODES],
    /// Half the squared length of each centroid.
    halves: [f32; CODES],
}

impl Codebook {
    /// Centroids of points after 25 rounds of Lloyd's k-means. Fewer distinct points than centroids leave some centroids on
    /// the same spot.
    pub(super) fn train(points: &[[f32; PART]], seed: u64) -> Self {
        if points.is_empty() {
            return Self::of(&[[0.0; PART]; CODES]);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let chosen = sample(&mut rng, points.len(), CODES.min(points.len())).into_vec();
        let mut centroids: [[f32; PART]; CODES] =
            std::array::from_fn(|code| points[chosen[code % chosen.len()]]);
        for _ in 0..ROUNDS {
            centroids = Self::of(&centroids).moved(centroids, points);
        }
        Self::of(&centroids)
    }

    fn of(centroids: &[[f32; PART]; CODES]) -> Self {
        let values = std::array::from_fn(|at| centroids[at % CODES][at / CODES]);
        let halves = centroids.map(|centroid| centroid.iter().map(|v| v * v).sum::<f32>() / 2.0);
        Self { level: Instructions::best(), values, halves }
    }

    /// One round: each centroid becomes the mean of the points that are nearest to it, one without points moves to the
    /// point that is served worst.
    fn moved(&self, mut centroids: [[f32; PART]; CODES], points: &[[f32; PART]]) -> [[f32; PART]; CODES] {
        let mut sums = [([0.0f64; PART], 0u32); CODES];
        let mut worst = (0.0, centroids[0]);
        for point in points {
            let (code, gain) = self.nearest_with_gain(point);
            let (sum, count) = &mut sums[code];
            sum.iter_mut().zip(point).for_each(|(sum, v)| *sum += f64::from(*v));
            *count += 1;
            let half_squared = point.iter().map(|v| v * v).sum::<f32>() / 2.0 - gain;
            if half_squared > worst.0 {
                worst = (half_squared, *point);
            }
        }
        for (centroid, (sum, count)) in centroids.iter_mut().zip(sums) {
            *centroid = if count > 0 { sum.map(|v| (v / f64::from(count)) as f32) } else { worst.1 };
        }
        centroids
    }

    /// Products of a part of a vector with every centroid.
    pub(super) fn products(&self, part: &[f32; PART]) -> [f32; CODES] {
        let mut products = [0.0; CODES];
        kernels::products(self.level, part, &self.values, &mut products);
        products
    }

    /// The code of the centroid that is nearest to a part of a vector.
    pub(super) fn nearest(&self, part: &[f32; PART]) -> u8 {
        self.nearest_with_gain(part).0 as u8
    }

    /// The nearest centroid c of x, and x.c - c.c / 2, which it has the most of.
    fn nearest_with_gain(&self, part: &[f32; PART]) -> (usize, f32) {
        let mut products = [0.0; CODES];
        let code = kernels::nearest(self.level, part, &self.values, &self.halves, &mut products);
        (code, products[code] - self.halves[code])
    }
}
