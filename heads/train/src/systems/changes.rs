//! Manipulations with a picture that fulfils them and one that does not, for systems that learn to manipulate.

use super::Change;
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// Draws of a target or a negative before another reference is tried.
const TRIES: usize = 60;

/// A reference, the change of one of its labels, a target and a negative.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChangeTriplet {
    pub(super) reference: usize,
    pub(super) change: Change,
    pub(super) positive: usize,
    pub(super) negative: usize,
}

/// What changes are drawn from.
pub(super) struct Changes<'a> {
    labels: &'a [Vec<Option<u16>>],
    /// Attributes that are changed and must be kept otherwise.
    special: Vec<usize>,
    rows: &'a [usize],
    /// By attribute and label: the rows that carry it.
    carriers: Vec<Vec<Vec<usize>>>,
}

impl<'a> Changes<'a> {
    /// `rows` are the pictures to draw from.
    pub(super) fn new(
        labels: &'a [Vec<Option<u16>>],
        sizes: &[usize],
        special: Vec<usize>,
        rows: &'a [usize],
    ) -> Self {
        let mut carriers: Vec<Vec<Vec<usize>>> = sizes.iter().map(|n| vec![Vec::new(); *n]).collect();
        for row in rows {
            for (attribute, label) in labels[*row].iter().enumerate() {
                if let Some(label) = label {
                    carriers[attribute][usize::from(*label)].push(*row);
                }
            }
        }
        Self { labels, special, rows, carriers }
    }

    /// A random change. The target carries the wanted label and contradicts the reference on no other special
    /// attribute; the negative contradicts what is wanted: in turn any picture, the reference itself, which is as it was,
    /// and one that has the wanted label but not what should have been kept. `None` when chance found no such pictures.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<ChangeTriplet> {
        let reference = *self.rows.choose(rng)?;
        let known: Vec<usize> =
            self.special.iter().copied().filter(|a| self.labels[reference][*a].is_some()).collect();
        let attribute = *known.choose(rng)?;
        let from = self.labels[reference][attribute]?;
        let to = rng.random_range(0..self.carriers[attribute].len()) as u16;
        if to == from {
            return None;
        }
        let wanted = |a: usize| if a == attribute { Some(to) } else { self.labels[reference][a] };
        let contradicts = |p: usize| {
            self.special
                .iter()
                .any(|a| matches!((wanted(*a), self.labels[p][*a]), (Some(x), Some(y)) if x != y))
        };
        let carriers = &self.carriers[attribute][usize::from(to)];
        let positive = (0..TRIES).filter_map(|_| carriers.choose(rng).copied()).find(|p| !contradicts(*p))?;
        let change = Change { attribute, to, from: Some(from) };
        let triplet = |negative| ChangeTriplet { reference, change, positive, negative };
        let candidates = match rng.random_range(0..3) {
            0 => self.rows,
            1 => return Some(triplet(reference)),
            _ => carriers,
        };
        let negative =
            (0..TRIES).filter_map(|_| candidates.choose(rng).copied()).find(|n| contradicts(*n))?;
        Some(triplet(negative))
    }
}
