//! Signatures: unit vectors, one a head, compared by Euclidean distance.

/// Why numbers are no signature.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SignatureError {
    /// NaN or infinite at a position.
    #[error("number {at} of the signature is not finite")]
    NotFinite {
        /// Position, from 0.
        at: usize,
    },
    /// No direction: all zero, or no numbers at all.
    #[error("the signature is all zero and so has no direction")]
    Zero,
    /// Another length than the head's.
    #[error("the signature has {found} numbers; the head's have {wanted}")]
    Dim {
        /// Numbers received.
        found: usize,
        /// The head's dimension.
        wanted: usize,
    },
}

/// A finite vector of unit length (L2), f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature(Vec<f32>);

impl Signature {
    /// Scales `values` to unit length, so that every attribute counts the same (Eq. 4).
    ///
    /// # Errors
    /// [`SignatureError::NotFinite`] or [`SignatureError::Zero`].
    pub fn new(mut values: Vec<f32>) -> Result<Self, SignatureError> {
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(SignatureError::NotFinite { at });
        }
        // In f64, where the square of no f32 other than 0 is 0 or infinite.
        let length = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        if length == 0.0 {
            return Err(SignatureError::Zero);
        }
        for value in &mut values {
            *value = (f64::from(*value) / length) as f32;
        }
        Ok(Self(values))
    }

    /// As [`Signature::new`], for a head of dimension `dim`.
    ///
    /// # Errors
    /// Also [`SignatureError::Dim`].
    pub fn of_dim(values: Vec<f32>, dim: usize) -> Result<Self, SignatureError> {
        if values.len() != dim {
            return Err(SignatureError::Dim { found: values.len(), wanted: dim });
        }
        Self::new(values)
    }

    /// The numbers.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// Gives the numbers up.
    #[must_use]
    pub fn into_values(self) -> Vec<f32> {
        self.0
    }
}

/// Euclidean distance of two vectors of one length, 0 to 2 for signatures (the paper's d).
///
/// Differences are squared and summed rather than `2 - 2 a.b`, which loses half the digits of a near pair.
#[must_use]
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 =
        a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(x, y)| (x - y) * (x - y)).sum();
    for (x, y) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            let gap = x[lane] - y[lane];
            sums[lane] += gap * gap;
        }
    }
    (sums.iter().sum::<f32>() + rest).sqrt()
}

/// The probabilities that a signature is made of, by the power in it. Of a mean of signatures they are about what its
/// items look like. Numbers without a positive one among them tell nothing: all labels are alike then.
#[must_use]
pub fn probabilities(signature: &[f32], exponent: f32) -> Vec<f32> {
    let power = 1.0 / exponent;
    let mut powers: Vec<f32> = signature.iter().map(|s| s.max(0.0).powf(power)).collect();
    let total = powers.iter().sum::<f32>();
    if total > 0.0 {
        powers.iter_mut().for_each(|power| *power /= total);
        powers
    } else {
        vec![1.0 / signature.len().max(1) as f32; signature.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_have_unit_length_or_are_refused() {
        let s = Signature::new(vec![3.0, 4.0]).expect("fine");
        assert_eq!(s.values(), [0.6, 0.8]);
        assert_eq!(Signature::new(vec![1.0, f32::NAN]), Err(SignatureError::NotFinite { at: 1 }));
        assert_eq!(Signature::new(vec![0.0; 4]), Err(SignatureError::Zero));
        assert_eq!(Signature::of_dim(vec![1.0], 2), Err(SignatureError::Dim { found: 1, wanted: 2 }));
        assert!(Signature::new(vec![1e30, -1e30]).is_ok(), "large numbers do not overflow");
        let tiny = Signature::new(vec![f32::from_bits(1); 4]).expect("small numbers have a direction");
        assert_eq!(tiny.values(), [0.5; 4]);
    }

    #[test]
    fn distance_is_euclidean_at_any_length() {
        for len in [1, 15, 16, 17, 64, 100] {
            let a: Vec<f32> = (0..len).map(|i| (i as f32).sin()).collect();
            let b: Vec<f32> = (0..len).map(|i| (i as f32 * 1.7).cos()).collect();
            let wanted = a.iter().zip(&b).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>().sqrt();
            assert!((f64::from(distance(&a, &b)) - wanted).abs() < 1e-5);
        }
    }
}
