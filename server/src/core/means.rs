//! What an item with several pictures is found by: the mean of their signatures.

use lapel_heads::{Signature, SignatureSum};

/// By head key, an item's own signatures from those of its pictures: its only picture's as they are, of several the
/// normalised mean of those that have one. Pictures whose signatures cancel out count as the first of them.
pub(super) fn means(pictures: &[Vec<(String, Vec<f32>)>]) -> Vec<(String, Vec<f32>)> {
    let mut means: Vec<(String, Vec<f32>)> = Vec::new();
    for (key, first) in pictures.iter().flatten() {
        if means.iter().any(|(known, _)| known == key) {
            continue;
        }
        let mut sum = SignatureSum::new(first.len());
        let of_key = pictures.iter().flatten().filter(|(other, _)| other == key);
        of_key.for_each(|(_, values)| sum.add(values));
        let mean = if sum.count() > 1 { sum.prototype().map(Signature::into_values) } else { None };
        means.push((key.clone(), mean.unwrap_or_else(|| first.clone())));
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, values: [f32; 2]) -> (String, Vec<f32>) {
        (key.to_owned(), values.to_vec())
    }

    #[test]
    fn one_picture_is_what_it_is_and_several_are_their_mean_by_head() {
        let (a, b) = (of("h", [0.6, 0.8]), of("h", [0.8, 0.6]));
        assert_eq!(means(&[vec![a.clone()]]), std::slice::from_ref(&a), "to the last bit");
        assert_eq!(means(&[]), []);
        let only = of("other", [1.0, 0.0]);
        let found = means(&[vec![a.clone()], vec![b, only.clone()], Vec::new()]);
        assert_eq!(found[1], only, "of those that have one");
        let half = 0.5f32.sqrt();
        assert!(found[0].1.iter().all(|value| (value - half).abs() < 1e-6), "{found:?}");
        let away = of("h", [-0.6, -0.8]);
        assert_eq!(means(&[vec![a.clone()], vec![away]]), [a], "they have no mean");
    }
}
