//! Signatures of many pictures, part by part.

use lapel_heads::distance;

/// One row a picture; a row is the parts' unit vectors one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Signatures {
    parts: Vec<usize>,
    data: Vec<f32>,
}

impl Signatures {
    /// From rows of `parts`' summed length, one after the other.
    #[must_use]
    pub fn new(parts: Vec<usize>, data: Vec<f32>) -> Self {
        Self { parts, data }
    }

    /// Lengths of the parts.
    #[must_use]
    pub fn parts(&self) -> &[usize] {
        &self.parts
    }

    /// Pictures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len() / self.width().max(1)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// One picture's signature.
    #[must_use]
    pub fn row(&self, picture: usize) -> &[f32] {
        let width = self.width();
        &self.data[picture * width..][..width]
    }

    /// Where part `part` lies in a row.
    #[must_use]
    pub fn range(&self, part: usize) -> std::ops::Range<usize> {
        let from: usize = self.parts[..part].iter().sum();
        from..from + self.parts[part]
    }

    /// The rows of some pictures.
    #[must_use]
    pub fn select(&self, pictures: &[usize]) -> Self {
        let data = pictures.iter().flat_map(|p| self.row(*p).iter().copied()).collect();
        Self { parts: self.parts.clone(), data }
    }

    /// D (Eq. 4 and 6) between two rows.
    #[must_use]
    pub fn distance(&self, a: &[f32], b: &[f32], weights: &[f32]) -> f32 {
        let (mut from, mut sum) = (0, 0.0);
        for (part, weight) in self.parts.iter().zip(weights) {
            if *weight != 0.0 {
                sum += weight * distance(&a[from..from + part], &b[from..from + part]);
            }
            from += part;
        }
        sum
    }

    /// As [`Signatures::distance`], the parts' distances squared.
    #[must_use]
    pub fn squared_distance(&self, a: &[f32], b: &[f32], weights: &[f32]) -> f32 {
        let part = |(part, weight): (usize, &f32)| {
            let range = self.range(part);
            weight * distance(&a[range.clone()], &b[range]).powi(2)
        };
        weights.iter().enumerate().map(part).sum()
    }

    fn width(&self) -> usize {
        self.parts.iter().sum()
    }
}

/// Scales a vector to unit length; one of no length stays as it is.
pub(super) fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 1e-12 {
        vector.iter_mut().for_each(|v| *v /= length);
    }
}
