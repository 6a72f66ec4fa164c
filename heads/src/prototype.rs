//! Prototypes: the paper's generic representation of a label (section 4.6).

use crate::signature::Signature;

/// The running sum behind a prototype: signatures can be added and taken away.
#[derive(Clone, Debug, PartialEq)]
pub struct PrototypeSum {
    sum: Vec<f64>,
    count: u64,
}

impl PrototypeSum {
    /// An empty sum for signatures of dimension `dim`.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self { sum: vec![0.0; dim], count: 0 }
    }

    /// Adds one signature.
    pub fn add(&mut self, signature: &[f32]) {
        self.count += 1;
        for (sum, value) in self.sum.iter_mut().zip(signature) {
            *sum += f64::from(*value);
        }
    }

    /// Takes away one signature that was added before.
    pub fn remove(&mut self, signature: &[f32]) {
        self.count = self.count.saturating_sub(1);
        for (sum, value) in self.sum.iter_mut().zip(signature) {
            *sum -= f64::from(*value);
        }
        if self.count == 0 {
            // Rounding must not outlive the last member.
            self.sum.fill(0.0);
        }
    }

    /// Signatures in the sum.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum itself, `[dim]`.
    #[must_use]
    pub fn sum(&self) -> &[f64] {
        &self.sum
    }

    /// Mean signature, scaled to unit length; `None` when empty or when the members cancel out.
    #[must_use]
    pub fn prototype(&self) -> Option<Signature> {
        let count = self.count as f64;
        (self.count > 0)
            .then(|| Signature::new(self.sum.iter().map(|v| (v / count) as f32).collect()).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prototype_is_the_normalised_mean_of_its_members() {
        let mut sum = PrototypeSum::new(2);
        assert!(sum.prototype().is_none());
        sum.add(&[1.0, 0.0]);
        sum.add(&[0.0, 1.0]);
        sum.add(&[0.6, 0.8]);
        sum.remove(&[0.6, 0.8]);
        let half = std::f32::consts::FRAC_1_SQRT_2;
        let found = sum.prototype().expect("two members");
        assert!(found.values().iter().all(|v| (v - half).abs() < 1e-6));
        sum.remove(&[1.0, 0.0]);
        sum.remove(&[0.0, 1.0]);
        assert_eq!((sum.count(), sum.prototype()), (0, None));
    }
}
