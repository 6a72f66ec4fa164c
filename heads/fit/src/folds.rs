//! Which examples are held out together.

use crate::error::TeachError;
use std::collections::HashMap;

/// Parts that examples are divided into; each is predicted by a classifier that saw the others.
const FOLDS: usize = 5;
/// Examples that a label needs to be told from others.
const LABEL_MIN: usize = 2;
/// Rows between two questions whether anybody still waits.
const ROWS: usize = 256;

/// A number of each row that equal rows share.
///
/// # Errors
/// [`TeachError::NotFinite`] and [`TeachError::Abandoned`].
pub(crate) fn row_keys(
    data: &[f32],
    inputs: usize,
    is_abandoned: &dyn Fn() -> bool,
) -> Result<Vec<u64>, TeachError> {
    let mut keys = Vec::with_capacity(data.len() / inputs.max(1));
    for (at, row) in data.chunks_exact(inputs.max(1)).enumerate() {
        if at.is_multiple_of(ROWS) && is_abandoned() {
            return Err(TeachError::Abandoned);
        }
        if row.iter().any(|value| !value.is_finite()) {
            return Err(TeachError::NotFinite);
        }
        keys.push(row.iter().fold(0, |key, value| mixed(key ^ u64::from(value.to_bits()))));
    }
    Ok(keys)
}

/// How many folds there are: five, or as many as the rarest label has examples.
///
/// # Errors
/// [`TeachError::TooFew`] where not even two labels have two.
pub(crate) fn fold_count(labels: &[u16], count: usize) -> Result<usize, TeachError> {
    let mut examples = vec![0usize; count];
    for label in labels {
        if let Some(examples) = examples.get_mut(usize::from(*label)) {
            *examples += 1;
        }
    }
    let enough: Vec<usize> = examples.into_iter().filter(|examples| *examples >= LABEL_MIN).collect();
    if enough.len() < 2 {
        return Err(TeachError::TooFew);
    }
    Ok(enough.into_iter().fold(FOLDS, usize::min))
}

/// The fold of each example. A label's examples lie in all folds alike, in an order that their places alone decide; equal
/// rows lie in one fold, so that no example is told by its own copy.
pub(crate) fn folds(labels: &[u16], keys: &[u64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..labels.len().min(keys.len())).collect();
    order.sort_by_key(|at| (labels[*at], mixed(*at as u64), *at));
    let mut folds = vec![0; labels.len()];
    let mut of_key: HashMap<u64, usize> = HashMap::new();
    let (mut label, mut next) = (None, 0);
    for at in order {
        if label != Some(labels[at]) {
            // Each label begins elsewhere, so that labels of few examples do not all miss the last folds.
            (label, next) = (Some(labels[at]), usize::from(labels[at]));
        }
        folds[at] = *of_key.entry(keys[at]).or_insert_with(|| {
            next += 1;
            (next - 1) % count.max(1)
        });
    }
    folds
}

/// SplitMix64's permutation (Steele et al., 2014).
pub(crate) fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn there_are_five_folds_or_as_many_as_the_rarest_label_has_examples() {
        let labels = |counts: &[usize]| -> Vec<u16> {
            (0u16..).zip(counts).flat_map(|(label, count)| vec![label; *count]).collect()
        };
        let of = |counts: &[usize]| fold_count(&labels(counts), counts.len()).ok();
        assert_eq!(of(&[20, 20]), Some(5));
        assert_eq!(of(&[20, 3, 9]), Some(3));
        assert_eq!(of(&[20, 1, 4]), Some(4), "one that cannot be held out decides nothing");
        assert_eq!(of(&[2, 2]), Some(2));
        for few in [&[][..], &[9][..], &[9, 1][..], &[1, 1, 1][..], &[9, 0, 0][..]] {
            assert_eq!(of(few), None, "{few:?}");
        }
    }

    #[test]
    fn rows_have_one_key_if_and_only_if_they_are_equal() {
        let keys = row_keys(&[1.0, 2.0, 2.0, 1.0, 1.0, 2.0], 2, &|| false).expect("finite");
        assert!(keys[0] == keys[2] && keys[0] != keys[1]);
        assert!(matches!(row_keys(&[1.0, f32::NAN], 2, &|| false), Err(TeachError::NotFinite)));
        assert!(matches!(row_keys(&[1.0, f32::INFINITY], 1, &|| false), Err(TeachError::NotFinite)));
        assert!(matches!(row_keys(&[1.0], 1, &|| true), Err(TeachError::Abandoned)));
    }

    proptest! {
        #[test]
        fn folds_are_stratified_and_equal_rows_lie_together(
            labels in proptest::collection::vec(0u16..6, 1..120),
            distinct in 1u64..200,
            count in 2usize..=5,
        ) {
            let keys: Vec<u64> = (0..labels.len() as u64).map(|at| mixed(at) % distinct).collect();
            let found = folds(&labels, &keys, count);
            prop_assert!(found.iter().all(|fold| *fold < count));
            prop_assert_eq!(&found, &folds(&labels, &keys, count));
            for (a, key) in keys.iter().enumerate() {
                let twin = keys.iter().position(|other| other == key).expect("itself");
                prop_assert_eq!(found[a], found[twin]);
            }
            let unlike: Vec<u64> = (0..labels.len() as u64).collect();
            let found = folds(&labels, &unlike, count);
            for label in 0..6 {
                let of = |fold: usize| (0..labels.len()).filter(|at| labels[*at] == label && found[*at] == fold).count();
                let sizes: Vec<usize> = (0..count).map(of).collect();
                let (least, most) = (sizes.iter().min().expect("folds"), sizes.iter().max().expect("folds"));
                prop_assert!(most - least <= 1, "{:?}", sizes);
            }
        }
    }
}
