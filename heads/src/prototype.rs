//! Prototypes: the paper's generic representation of a label (section 4.6).

use crate::manifest::{Manifest, SignatureKind};
use crate::signature::{Signature, probabilities};
use serde::{Deserialize, Serialize};

/// What one stands for in a sum: 2^36 leaves room for a hundred million unit signatures in 64 bits.
const ONE: f64 = (1u64 << 36) as f64;

/// The sum of signatures that come and go, in fixed point: what is taken away leaves no rounding behind, so the sum
/// depends on its members alone and on no order. A number is off by at most 2^-37 a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureSum {
    sum: Vec<i64>,
    count: u64,
}

impl SignatureSum {
    /// An empty sum for signatures of dimension `dim`.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self { sum: vec![0; dim], count: 0 }
    }

    /// Dimension of its signatures.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.sum.len()
    }

    /// Adds one signature.
    pub fn add(&mut self, signature: &[f32]) {
        self.add_weighted(signature, 1.0);
    }

    /// Adds one signature that counts `weight`, 0 to 1.
    pub fn add_weighted(&mut self, signature: &[f32], weight: f32) {
        self.count += 1;
        for (sum, value) in self.sum.iter_mut().zip(signature) {
            *sum = sum.wrapping_add(fixed(*value * weight));
        }
    }

    /// Takes away one signature that was added before.
    pub fn remove(&mut self, signature: &[f32]) {
        self.remove_weighted(signature, 1.0);
    }

    /// Takes away one signature that was added before, with the same weight.
    pub fn remove_weighted(&mut self, signature: &[f32], weight: f32) {
        self.count = self.count.saturating_sub(1);
        for (sum, value) in self.sum.iter_mut().zip(signature) {
            *sum = sum.wrapping_sub(fixed(*value * weight));
        }
    }

    /// Signatures in the sum.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean of the signatures as they are weighted, `[dim]`; zero when there is none.
    #[must_use]
    pub fn mean(&self) -> Vec<f64> {
        let scale = 1.0 / (ONE * self.count.max(1) as f64);
        self.sum.iter().map(|sum| *sum as f64 * scale).collect()
    }

    /// Mean signature, scaled to unit length; `None` when empty or when the members cancel out.
    #[must_use]
    pub fn prototype(&self) -> Option<Signature> {
        let mean = || Signature::new(self.mean().into_iter().map(|v| v as f32).collect()).ok();
        (self.count > 0).then(mean)?
    }
}

/// The least weight of a signature in a prototype, so that a label that is never told has a prototype, too.
const WEIGHT_MIN: f32 = 1e-4;

impl Manifest {
    /// How much a signature of the head counts in the prototype of a label that its item carries, 0 to 1; `label` is the
    /// label's place in its attribute. A signature that is made of probabilities counts the square of the label's. The
    /// plain mean of section 4.6, in which every other signature counts 1, has the head's doubts and mistakes in it, and a
    /// query that becomes it finds what is doubted alike; what the head is sure of shows what it takes for the label.
    #[must_use]
    pub fn prototype_weight(&self, label: usize, signature: &[f32]) -> f32 {
        match self.signature {
            SignatureKind::Layer => 1.0,
            SignatureKind::Probabilities => {
                let probability = probabilities(signature, self.exponent).get(label).copied();
                probability.map_or(1.0, squared)
            }
        }
    }
}

fn squared(probability: f32) -> f32 {
    (probability * probability).max(WEIGHT_MIN)
}

/// 1.5 * 2^52: next to it the steps of a double are 1, so that adding it rounds to the nearest whole number, ties to even.
const WHOLE: f64 = (3u64 << 51) as f64;

/// A number below 2^15 in fixed point. Rounding by an addition is done for several numbers at once on every processor;
/// asked to round, the compiler calls a function for each where the target's least processor has no instruction for it.
fn fixed(value: f32) -> i64 {
    let rounded = f64::from(value) * ONE + WHOLE;
    rounded.to_bits().wrapping_sub(WHOLE.to_bits()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn a_prototype_is_the_normalised_mean_of_its_members() {
        let mut sum = SignatureSum::new(2);
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

    #[test]
    fn fixed_point_is_the_nearest_whole_number() {
        let halves = [0.5, 1.5, -0.5, -1.5, 2.5].map(|half| (half / ONE) as f32);
        assert_eq!(halves.map(fixed), [0, 2, 0, -2, 2], "ties to even");
        assert_eq!([0.0, 1.0, -1.0, 30_000.0].map(fixed), [0, 1 << 36, -1 << 36, 30_000 << 36]);
    }

    #[test]
    fn a_prototype_is_what_the_head_is_sure_of() {
        // Three photos carry the second label; of one the head is sure, of two it takes the first for likelier.
        let signatures = [[0.1f32, 0.9], [0.8, 0.2], [0.8, 0.2]];
        let (mut plain, mut weighted) = (SignatureSum::new(2), SignatureSum::new(2));
        for signature in &signatures {
            plain.add(signature);
            weighted.add_weighted(signature, squared(signature[1]));
        }
        let label = |sum: &SignatureSum| sum.prototype().expect("members").values()[1];
        assert!(label(&plain) < 0.62 && label(&weighted) > 0.95);
        assert_eq!(weighted.count(), 3);
        // One that is never told has the plain mean.
        let mut never = SignatureSum::new(2);
        [[1.0, 0.0], [0.6, 0.0]].iter().for_each(|s| never.add_weighted(s, squared(s[1])));
        assert!(never.prototype().is_some());
    }

    #[test]
    fn a_signature_counts_by_its_probability_and_that_of_a_layer_counts_one() {
        let layer = Manifest::external("mood", 2, Vec::new());
        assert_eq!(layer.prototype_weight(1, &[0.6, 0.8]), 1.0);
        for exponent in [0.5f32, 1.0] {
            let probe = Manifest { signature: SignatureKind::Probabilities, exponent, ..layer.clone() };
            let signature = [0.25f32, 0.75].map(|p| p.powf(exponent));
            assert!((probe.prototype_weight(1, &signature) - 0.5625).abs() < 1e-5);
            assert!((probe.prototype_weight(0, &signature) - 0.0625).abs() < 1e-5);
            assert_eq!(probe.prototype_weight(0, &[0.0, 1.0]), WEIGHT_MIN);
            assert_eq!(probe.prototype_weight(2, &signature), 1.0, "no such label");
        }
    }

    proptest! {
        #[test]
        fn fixed_point_is_rounded_as_by_the_library(value in -32_000f32..32_000.0) {
            for value in [value, value / 32_000.0, value / 1e9] {
                prop_assert_eq!(fixed(value), (f64::from(value) * ONE).round_ties_even() as i64);
            }
        }

        /// Members in any order, with others that came and went: the same sum, bit for bit.
        #[test]
        fn a_sum_depends_on_its_members_alone(
            members in vec(vec(-1f32..1.0, 3), 0..40),
            others in vec(vec(-1f32..1.0, 3), 0..40),
        ) {
            let mut plain = SignatureSum::new(3);
            members.iter().for_each(|m| plain.add(m));
            let mut churned = SignatureSum::new(3);
            others.iter().for_each(|o| churned.add(o));
            members.iter().rev().for_each(|m| churned.add(m));
            others.iter().for_each(|o| churned.remove(o));
            prop_assert_eq!(&plain, &churned);
            let count = members.len().max(1) as f64;
            for (at, mean) in plain.mean().into_iter().enumerate() {
                let wanted = members.iter().map(|m| f64::from(m[at])).sum::<f64>() / count;
                prop_assert!((mean - wanted).abs() < 1e-11);
            }
        }
    }
}
