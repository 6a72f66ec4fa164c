//! How many of a query's terms, heaviest first, a scan of codes estimates.

use crate::terms::BoundTerm;

/// About the variance of a head's distances: between signatures of one label, and of different ones.
const SPREAD: f64 = 0.09;
/// Variance of the estimates that light terms may add by being left out, as a share of what the codes' errors make.
const ADDED_MAX: f64 = 0.1;

/// How many of the terms are worth an estimate. The others change the order of the items by less than the errors of
/// these do, so that they would only be read.
pub(crate) fn estimated(terms: &[BoundTerm<'_>]) -> usize {
    // The error along the query is that of one of the numbers.
    let error = |term: &BoundTerm<'_>| {
        let codec = term.column.codec().map(|codec| f64::from(codec.error()) / codec.dim() as f64);
        term.weight * term.weight * codec.unwrap_or(0.0)
    };
    let allowed = ADDED_MAX * terms.iter().map(error).sum::<f64>();
    let mut added = 0.0;
    let left_out = terms.iter().skip(1).rev().take_while(|term| {
        added += term.weight * term.weight * SPREAD;
        added <= allowed
    });
    terms.len() - left_out.count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Precision, SearchTerm, SignatureColumn, Slot};
    use rand::prelude::*;
    use rand_chacha::ChaCha8Rng;

    const DIM: usize = 16;

    /// A coded column of 2,000 signatures, of which so many differ.
    fn column(different: usize) -> SignatureColumn {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut unit = || {
            let values: Vec<f32> = (0..DIM).map(|_| rng.random_range(-1.0..1.0)).collect();
            let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
            values.into_iter().map(|v| v / length).collect::<Vec<f32>>()
        };
        let signatures: Vec<_> = (0..different).map(|_| unit()).collect();
        let mut column = SignatureColumn::new(&"color".into(), DIM, Precision::F32);
        (0..2000).for_each(|slot| drop(column.set(slot as Slot, Some(&signatures[slot % different]))));
        column.coded()
    }

    fn count(column: &SignatureColumn, weights: &[f64]) -> usize {
        let term = |weight: &f64| SearchTerm {
            column: "color".into(),
            vector: vec![0.25; DIM],
            weight: *weight,
            expected: 1.0,
        };
        let terms: Vec<SearchTerm> = weights.iter().map(term).collect();
        let bound: Vec<_> = terms.iter().map(|term| BoundTerm::new(column, term)).collect();
        estimated(&bound)
    }

    #[test]
    fn terms_are_left_out_where_they_matter_less_than_coding_errors() {
        let noisy = column(2000);
        assert_eq!(count(&noisy, &[1.0; 6]), 6);
        assert_eq!(count(&noisy, &[5.82, 0.036, 0.036, 0.036, 0.036, 0.036]), 1);
        assert_eq!(count(&noisy, &[3.0, 2.0, 0.7, 0.01]), 3);
        assert_eq!(count(&noisy, &[1.0]), 1);
    }

    #[test]
    fn none_is_left_out_where_codes_have_no_errors() {
        // One signature a cell: the others decide among those of one.
        assert_eq!(count(&column(16), &[5.82, 0.036, 0.036]), 3);
    }
}
