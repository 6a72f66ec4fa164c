//! The 18 regimes of a search: six kinds of weights times no, one and two manipulations.

use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

/// A kind of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightKind {
    /// All equal (Eq. 4).
    Uniform,
    /// Uniform on the simplex.
    Dirichlet,
    /// Half of the heads, at random, the others 0.
    Sparse,
    /// One over the sum of distances of picked items (Eq. 5).
    Picked,
    /// 0.97 on one head, the rest shared.
    Extreme,
    /// One head alone.
    OneHot,
}

impl WeightKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Uniform, Self::Dirichlet, Self::Sparse, Self::Picked, Self::Extreme, Self::OneHot];

    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Dirichlet => "dirichlet",
            Self::Sparse => "sparse",
            Self::Picked => "picked",
            Self::Extreme => "extreme",
            Self::OneHot => "one-hot",
        }
    }

    /// Weights of `heads` heads; `distances` are sums of distances between picks, by head.
    pub fn draw(self, heads: usize, distances: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
        match self {
            Self::Uniform => vec![1.0; heads],
            Self::Dirichlet => (0..heads).map(|_| -(1.0 - rng.random::<f64>()).ln()).collect(),
            Self::Sparse => {
                let mut weights = vec![0.0; heads];
                let chosen = rand::seq::index::sample(rng, heads, heads.div_ceil(2));
                chosen.into_iter().for_each(|head| weights[head] = 1.0);
                weights
            }
            Self::Picked => distances.iter().map(|d| 1.0 / (0.01 + d)).collect(),
            Self::Extreme => {
                let one = rng.random_range(0..heads);
                let rest = 0.03 / (heads - 1).max(1) as f64;
                (0..heads).map(|head| if head == one { 0.97 } else { rest }).collect()
            }
            Self::OneHot => {
                let one = rng.random_range(0..heads);
                (0..heads).map(|head| f64::from(u8::from(head == one))).collect()
            }
        }
    }
}
