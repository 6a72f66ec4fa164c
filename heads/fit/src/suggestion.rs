//! Which items to label next: uncertainty and variety together.

use lapel_heads::distance;

/// For each that is wanted, so many of the least certain candidates are looked at.
const POOLED: usize = 50;
/// Candidates between two questions whether anybody still waits.
const CANDIDATES: usize = 4096;

/// What a head says of something that could be labelled.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Of the head's labels.
    pub probabilities: &'a [f32],
    /// By which candidates are alike.
    pub signature: &'a [f32],
}

impl Candidate<'_> {
    /// From 0, where one label alone is likely, to 1, where two are equally so: one less the margin between them.
    fn doubt(&self) -> f32 {
        let (mut first, mut second) = (0.0f32, 0.0f32);
        for probability in self.probabilities {
            if *probability > first {
                (first, second) = (*probability, first);
            } else if *probability > second {
                second = *probability;
            }
        }
        let margin = first - second;
        if margin.is_nan() { 0.0 } else { (1.0 - margin).clamp(0.0, 1.0) }
    }
}

/// A candidate of the pool.
struct Pooled {
    place: usize,
    doubt: f32,
    /// Distance to the nearest one that was chosen; before there is one, the farthest that signatures can be apart.
    apart: f32,
}

impl Pooled {
    fn score(&self) -> f32 {
        self.doubt * self.apart
    }
}

/// The places of up to `count` candidates to label next, first things first: each is the one whose doubt times its
/// distance to the nearest of those before it is the greatest. Where it is abandoned, those found until then.
#[must_use]
pub fn to_label_next(
    candidates: &[Candidate<'_>],
    count: usize,
    is_abandoned: &dyn Fn() -> bool,
) -> Vec<usize> {
    let Some(mut pool) = pool(candidates, count.saturating_mul(POOLED), is_abandoned) else {
        return Vec::new();
    };
    let mut chosen = Vec::with_capacity(count.min(pool.len()));
    while chosen.len() < count && !is_abandoned() {
        // Of equal ones the first.
        let best = pool.iter().enumerate().rev().max_by(|a, b| a.1.score().total_cmp(&b.1.score()));
        let Some(at) = best.map(|(at, _)| at) else { break };
        let place = pool.remove(at).place;
        chosen.push(place);
        let Some(latest) = candidates.get(place) else { break };
        for (at, pooled) in pool.iter_mut().enumerate() {
            if at % CANDIDATES == CANDIDATES - 1 && is_abandoned() {
                break;
            }
            if let Some(other) = candidates.get(pooled.place) {
                let apart = distance(latest.signature, other.signature);
                // Not a number is as near as can be.
                pooled.apart = if apart < pooled.apart {
                    apart
                } else if apart.is_nan() {
                    0.0
                } else {
                    pooled.apart
                };
            }
        }
    }
    chosen
}

/// The `size` candidates of the greatest doubt, in their order; `None` when it is abandoned.
fn pool(candidates: &[Candidate<'_>], size: usize, is_abandoned: &dyn Fn() -> bool) -> Option<Vec<Pooled>> {
    let mut pool = Vec::with_capacity(candidates.len());
    for (place, candidate) in candidates.iter().enumerate() {
        if place.is_multiple_of(CANDIDATES) && is_abandoned() {
            return None;
        }
        pool.push(Pooled { place, doubt: candidate.doubt(), apart: 2.0 });
    }
    if size < pool.len() {
        pool.select_nth_unstable_by(size, |a, b| {
            b.doubt.total_cmp(&a.doubt).then_with(|| a.place.cmp(&b.place))
        });
        pool.truncate(size);
        pool.sort_by_key(|pooled| pooled.place);
    }
    Some(pool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn chosen(rows: &[(Vec<f32>, Vec<f32>)], count: usize) -> Vec<usize> {
        to_label_next(&candidates(rows), count, &|| false)
    }

    fn candidates(rows: &[(Vec<f32>, Vec<f32>)]) -> Vec<Candidate<'_>> {
        rows.iter().map(|(probabilities, signature)| Candidate { probabilities, signature }).collect()
    }

    #[test]
    fn the_unsure_come_before_the_sure() {
        let row = |sure: f32| (vec![sure, 1.0 - sure], vec![1.0, 0.0]);
        assert_eq!(chosen(&[row(0.99), row(0.5), row(0.8)], 1), [1]);
        // With signatures that are roots of the probabilities, as heads give them.
        let rooted = |row: [f32; 3]| (row.to_vec(), row.map(f32::sqrt).to_vec());
        let rows = [rooted([0.98, 0.01, 0.01]), rooted([0.5, 0.45, 0.05]), rooted([0.05, 0.45, 0.5])];
        assert_eq!(chosen(&rows, 2), [1, 2]);
    }

    #[test]
    fn the_unlike_come_before_copies() {
        let row = |at: f32, doubt: f32| (vec![1.0 - doubt / 2.0, doubt / 2.0], vec![at.cos(), at.sin()]);
        let rows = [row(0.0, 1.0), row(0.0, 1.0), row(0.01, 0.99), row(1.5, 0.6), row(0.8, 0.7)];
        let found = chosen(&rows, 3);
        assert_eq!(found, [0, 3, 4], "copies of the first teach little");
        assert_eq!(chosen(&rows, 5).len(), 5, "in the end all are there");
    }

    #[test]
    fn it_ends_when_it_is_abandoned() {
        let rows: Vec<_> =
            (0..40).map(|at| (vec![0.5, 0.5], vec![(at as f32).cos(), (at as f32).sin()])).collect();
        assert!(to_label_next(&candidates(&rows), 10, &|| true).is_empty());
        let asked = Cell::new(0);
        let found = to_label_next(&candidates(&rows), 10, &|| {
            asked.set(asked.get() + 1);
            asked.get() > 4
        });
        assert_eq!(found.len(), 3, "one question for the pool, and one before each choice");
    }

    #[test]
    fn nothing_is_asked_of_nothing() {
        assert!(chosen(&[], 5).is_empty());
        assert!(chosen(&[(vec![0.5, 0.5], vec![1.0, 0.0])], 0).is_empty());
        assert_eq!(chosen(&[(Vec::new(), Vec::new())], 5), [0]);
    }

    #[test]
    fn of_many_only_the_least_certain_are_looked_at() {
        let mut rows: Vec<_> = (0..500).map(|_| (vec![0.999, 0.001], vec![0.0, 1.0])).collect();
        rows.push((vec![0.5, 0.5], vec![1.0, 0.0]));
        assert_eq!(chosen(&rows, 1), [500]);
    }

    proptest! {
        #[test]
        fn any_numbers_give_each_place_once(
            rows in proptest::collection::vec(
                (proptest::collection::vec(any::<f32>(), 0..4), proptest::collection::vec(any::<f32>(), 0..4)),
                0..40,
            ),
            count in 0usize..50,
        ) {
            let mut found = chosen(&rows, count);
            prop_assert_eq!(&found, &chosen(&rows, count));
            prop_assert_eq!(found.len(), count.min(rows.len()));
            found.sort_unstable();
            found.dedup();
            prop_assert_eq!(found.len(), count.min(rows.len()));
        }
    }
}
