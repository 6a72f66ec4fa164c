//! Which items to label next: uncertainty herding (Bae et al., "Uncertainty Herding: One Active Learning Method for All
//! Label Budgets", 2024).
//!
//! A label tells something of everything that looks alike. Each choice is the candidate that covers the most doubt: the sum
//! over the candidates of how unsure the head is of each, times how much nearer to a labelled or chosen one it comes. So
//! neither copies of what is labelled are asked for, nor oddities that nothing else is like.

use crate::error::TeachError;
use crate::scaling::Scaling;
use crate::softmax::blocks;
use candle_core::{Device, Tensor};

/// The least certain candidates that are compared with each other, at most: half a million pairs.
const COMPARED_MAX: usize = 1024;
/// The bandwidth of the similarity, in squared distances of nearest neighbours.
const BANDWIDTH: f32 = 2.0;
/// The least bandwidth: where most are copies, copies alone are similar, whatever rounding makes of them.
const BANDWIDTH_MIN: f32 = 1e-4;

/// What could be labelled.
pub struct Unlabelled<'a> {
    /// How unsure the head is of each, as [`doubt`] says.
    pub doubts: &'a [f32],
    /// What the backbone gives of a candidate, by its place; without it, a candidate is like no other.
    pub appearance: &'a dyn Fn(usize) -> Option<Vec<f32>>,
}

/// From 0, where one label alone is likely, to 1, where two are equally so: one less the margin between them.
#[must_use]
pub fn doubt(probabilities: &[f32]) -> f32 {
    let (mut first, mut second) = (0.0f32, 0.0f32);
    for probability in probabilities {
        if *probability > first {
            (first, second) = (*probability, first);
        } else if *probability > second {
            second = *probability;
        }
    }
    let margin = first - second;
    if margin.is_nan() { 0.0 } else { (1.0 - margin).clamp(0.0, 1.0) }
}

/// The places of up to `count` candidates to label next, first things first; `labelled` is what the backbone gives of those
/// that have a label already. The same candidates in the same order give the same places.
///
/// # Errors
/// [`TeachError::Abandoned`] and [`TeachError::Tensor`].
pub fn to_label_next(
    unlabelled: &Unlabelled<'_>,
    labelled: &[Vec<f32>],
    count: usize,
    is_abandoned: &dyn Fn() -> bool,
) -> Result<Vec<usize>, TeachError> {
    let places = least_certain(unlabelled.doubts, COMPARED_MAX.max(count));
    let mut herd = Herd::new(&places, unlabelled, labelled, is_abandoned)?;
    let mut chosen = Vec::with_capacity(count.min(places.len()));
    while chosen.len() < count {
        if is_abandoned() {
            return Err(TeachError::Abandoned);
        }
        let Some(at) = herd.choose() else { break };
        chosen.extend(places.get(at));
    }
    Ok(chosen)
}

/// The places of the `size` candidates of the greatest doubt, of equal ones the first, in their order.
fn least_certain(doubts: &[f32], size: usize) -> Vec<usize> {
    let mut order: Vec<(usize, f32)> = doubts.iter().copied().enumerate().collect();
    if size < order.len() {
        order.select_nth_unstable_by(size, |a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        order.truncate(size);
        order.sort_unstable_by_key(|(place, _)| *place);
    }
    order.into_iter().map(|(place, _)| place).collect()
}

/// Candidates that are compared with each other.
struct Herd {
    /// Of each, its similarity to all: 1 of the same appearance, 0 of one far away.
    similarities: Vec<Vec<f32>>,
    doubts: Vec<f32>,
    /// Of each, the similarity to the most similar one that is labelled or chosen.
    covered: Vec<f32>,
    is_chosen: Vec<bool>,
}

impl Herd {
    fn new(
        places: &[usize],
        unlabelled: &Unlabelled<'_>,
        labelled: &[Vec<f32>],
        is_abandoned: &dyn Fn() -> bool,
    ) -> Result<Self, TeachError> {
        let doubt = |place: &usize| unlabelled.doubts.get(*place).copied().unwrap_or(0.0);
        let mut herd = Self {
            similarities: vec![vec![0.0; places.len()]; places.len()],
            doubts: places.iter().map(doubt).collect(),
            covered: vec![0.0; places.len()],
            is_chosen: vec![false; places.len()],
        };
        let mut known = Vec::new();
        let mut looks: Vec<Vec<f32>> = Vec::new();
        for (at, place) in places.iter().enumerate() {
            if is_abandoned() {
                return Err(TeachError::Abandoned);
            }
            if let Some(look) = (unlabelled.appearance)(*place).filter(|look| is_sound(look, &looks)) {
                known.push(at);
                looks.push(look);
            }
        }
        let compared = looks.len();
        let labelled: Vec<Vec<f32>> =
            labelled.iter().filter(|look| is_sound(look, &looks)).cloned().collect();
        looks.extend(labelled);
        let squares = squares(&looks, compared, is_abandoned)?;
        let bandwidth = bandwidth(&squares, compared);
        for (at, row) in known.iter().zip(&squares) {
            let (others, labelled) = row.split_at(compared);
            for (other, square) in known.iter().zip(others) {
                herd.similarities[*at][*other] = similarity(*square, bandwidth);
            }
            herd.covered[*at] =
                labelled.iter().map(|square| similarity(*square, bandwidth)).fold(0.0, f32::max);
        }
        for (at, row) in herd.similarities.iter_mut().enumerate() {
            row[at] = 1.0;
        }
        Ok(herd)
    }

    /// Chooses the one that covers the most doubt, of equal ones the first; `None` once all are chosen.
    fn choose(&mut self) -> Option<usize> {
        let mut best: Option<(usize, f32)> = None;
        for (at, (similarities, is_chosen)) in self.similarities.iter().zip(&self.is_chosen).enumerate() {
            if *is_chosen {
                continue;
            }
            let gain = self.gain(similarities);
            if best.is_none_or(|(_, most)| gain > most) {
                best = Some((at, gain));
            }
        }
        let (at, _) = best?;
        if let Some(is_chosen) = self.is_chosen.get_mut(at) {
            *is_chosen = true;
        }
        let similarities = self.similarities.get(at)?;
        self.covered.iter_mut().zip(similarities).for_each(|(covered, other)| *covered = covered.max(*other));
        Some(at)
    }

    /// The doubt that is covered where one of such similarities to all is chosen, beyond what is covered already.
    fn gain(&self, similarities: &[f32]) -> f32 {
        let rows = similarities.iter().zip(&self.covered).zip(&self.doubts);
        rows.map(|((similarity, covered), doubt)| doubt * (similarity - covered).max(0.0)).sum()
    }
}

/// Whether vectors are finite and as long as those before them.
fn is_sound(look: &[f32], before: &[Vec<f32>]) -> bool {
    let len = before.first().map_or(look.len(), Vec::len);
    !look.is_empty() && look.len() == len && look.iter().all(|value| value.is_finite())
}

/// Squared distances of the first vectors to all, each scaled as the first ones are and of unit length.
fn squares(
    looks: &[Vec<f32>],
    compared: usize,
    is_abandoned: &dyn Fn() -> bool,
) -> Result<Vec<Vec<f32>>, TeachError> {
    let inputs = looks.first().map_or(0, Vec::len);
    if compared == 0 {
        return Ok(Vec::new());
    }
    let rows = Tensor::from_vec(looks.concat(), (looks.len(), inputs), &Device::Cpu)?;
    let scaled = Scaling::of(&rows.narrow(0, 0, compared)?)?.apply(&rows)?;
    let lengths = scaled.sqr()?.sum_keepdim(1)?.sqrt()?;
    // Nothing is left of one that is as the mean of all.
    let units = scaled.broadcast_div(&lengths.maximum(1e-9)?)?;
    let transposed = units.t()?;
    let mut squares = Vec::with_capacity(compared);
    for (from, len) in blocks(compared, looks.len() * inputs) {
        if is_abandoned() {
            return Err(TeachError::Abandoned);
        }
        let products = units.narrow(0, from, len)?.matmul(&transposed)?.to_vec2::<f32>()?;
        squares.extend(products.into_iter().map(|row| row.into_iter().map(|p| 2.0 - 2.0 * p).collect()));
    }
    Ok(squares)
}

/// A Gaussian of the distance; 0 where that is not a number.
fn similarity(square: f32, bandwidth: f32) -> f32 {
    let similarity = (-square.max(0.0) / bandwidth).exp();
    if square.is_nan() || similarity.is_nan() { 0.0 } else { similarity }
}

/// By the median distance to the nearest other candidate, so that neighbours are similar however dense the catalogue is.
fn bandwidth(squares: &[Vec<f32>], compared: usize) -> f32 {
    let nearest = |(at, row): (usize, &Vec<f32>)| {
        let others = row.iter().take(compared).enumerate().filter(|(other, _)| *other != at);
        others.map(|(_, square)| *square).fold(f32::INFINITY, f32::min)
    };
    let mut nearest: Vec<f32> = squares.iter().enumerate().map(nearest).collect();
    nearest.sort_unstable_by(f32::total_cmp);
    let median = nearest.get(nearest.len() / 2).copied().unwrap_or(0.0);
    (BANDWIDTH * median).clamp(BANDWIDTH_MIN, f32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    /// Of candidates with a doubt and a group that looks alike; without a group, like nothing else.
    fn chosen(rows: &[(f32, Option<usize>)], labelled: &[usize], count: usize) -> Vec<usize> {
        let look = |group: usize| (0..8).map(|at| if at == group { 3.0 } else { 1.0 }).collect::<Vec<f32>>();
        let doubts: Vec<f32> = rows.iter().map(|row| row.0).collect();
        let appearance = |at: usize| rows[at].1.map(look);
        let labelled: Vec<Vec<f32>> = labelled.iter().map(|group| look(*group)).collect();
        let unlabelled = Unlabelled { doubts: &doubts, appearance: &appearance };
        to_label_next(&unlabelled, &labelled, count, &|| false).expect("chosen")
    }

    #[test]
    fn doubt_is_one_less_the_margin() {
        let cases: [(&[f32], f32); 5] =
            [(&[0.5, 0.5], 1.0), (&[0.1, 0.7, 0.2], 0.5), (&[1.0, 0.0], 0.0), (&[], 1.0), (&[1.0], 0.0)];
        for (probabilities, wanted) in cases {
            assert!((doubt(probabilities) - wanted).abs() < 1e-6, "{probabilities:?}");
        }
    }

    #[test]
    fn the_unsure_come_before_the_sure_whether_or_not_it_is_known_what_they_look_like() {
        assert_eq!(chosen(&[(0.02, Some(0)), (1.0, Some(1)), (0.4, Some(2))], &[], 3), [1, 2, 0]);
        assert_eq!(chosen(&[(0.02, None), (1.0, None), (0.4, None)], &[5], 3), [1, 2, 0]);
    }

    #[test]
    fn copies_and_what_is_like_a_labelled_one_come_last() {
        let rows = [(1.0, Some(0)), (1.0, Some(0)), (1.0, Some(0)), (0.9, Some(1)), (0.8, Some(2))];
        let found = chosen(&rows, &[], 5);
        assert!(found[0] < 3 && found[1..3] == [3, 4] && found.len() == 5, "{found:?}");
        assert_eq!(chosen(&rows, &[0], 2), [3, 4]);
    }

    #[test]
    fn one_of_many_alike_comes_before_an_oddity() {
        let mut rows = vec![(0.7, Some(0)); 5];
        rows.push((1.0, Some(1)));
        let found = chosen(&rows, &[], 2);
        assert!(found[0] < 5 && found[1] == 5, "{found:?}");
    }

    #[test]
    fn of_many_only_the_least_certain_are_compared() {
        let mut doubts = vec![0.001; COMPARED_MAX + 500];
        doubts.push(1.0);
        let asked = Cell::new(0);
        let appearance = |_: usize| {
            asked.set(asked.get() + 1);
            None
        };
        let unlabelled = Unlabelled { doubts: &doubts, appearance: &appearance };
        assert_eq!(to_label_next(&unlabelled, &[], 1, &|| false).expect("chosen"), [COMPARED_MAX + 500]);
        assert_eq!(asked.get(), COMPARED_MAX);
    }

    #[test]
    fn it_ends_when_it_is_abandoned() {
        let unlabelled = Unlabelled { doubts: &[0.5; 10], appearance: &|at| Some(vec![at as f32, 1.0]) };
        for questions in [0, 9, 10, 12] {
            let asked = Cell::new(0);
            let ended = to_label_next(&unlabelled, &[], 5, &|| {
                asked.set(asked.get() + 1);
                asked.get() > questions
            });
            assert!(matches!(ended, Err(TeachError::Abandoned)), "{questions}");
        }
    }

    #[test]
    fn nothing_is_asked_of_nothing() {
        assert!(chosen(&[], &[], 5).is_empty());
        assert!(chosen(&[(1.0, Some(0))], &[], 0).is_empty());
        assert_eq!(chosen(&[(1.0, Some(0))], &[1], 5), [0]);
    }

    proptest! {
        #[test]
        fn any_numbers_give_each_place_once(
            rows in proptest::collection::vec(
                (any::<f32>(), proptest::collection::vec(any::<f32>(), 0..4)), 0..40,
            ),
            labelled in proptest::collection::vec(proptest::collection::vec(any::<f32>(), 0..4), 0..5),
            count in 0usize..50,
        ) {
            let doubts: Vec<f32> = rows.iter().map(|row| row.0).collect();
            let appearance = |at: usize| Some(rows[at].1.clone());
            let unlabelled = Unlabelled { doubts: &doubts, appearance: &appearance };
            let again = || to_label_next(&unlabelled, &labelled, count, &|| false).expect("chosen");
            let mut found = again();
            prop_assert_eq!(&found, &again());
            prop_assert_eq!(found.len(), count.min(rows.len()));
            found.sort_unstable();
            found.dedup();
            prop_assert_eq!(found.len(), count.min(rows.len()));
        }
    }
}
