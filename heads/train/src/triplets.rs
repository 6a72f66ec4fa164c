//! Choosing anchor, positive and negative (section 4.5).

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Draws before giving up on a positive that agrees on every label.
const TRIES: usize = 24;

/// Labels of the examples of one head: for each attribute and example the label's number; missing is `None`.
pub(super) struct Targets {
    pub(super) by_attribute: Vec<Vec<Option<u32>>>,
    /// Examples to learn from, by label of the first attribute.
    by_first: Vec<Vec<usize>>,
    /// Examples to learn from that are labelled on the first attribute.
    labelled: Vec<usize>,
    learnt: Vec<bool>,
}

impl Targets {
    /// `labels[a]` is the number of labels of attribute `a`; only examples that are `learnt` are ever picked.
    pub(super) fn new(by_attribute: Vec<Vec<Option<u32>>>, labels: &[usize], learnt: Vec<bool>) -> Self {
        let mut by_first = vec![Vec::new(); labels.first().copied().unwrap_or(0)];
        let mut labelled = Vec::new();
        for (example, label) in by_attribute.iter().take(1).flatten().enumerate() {
            if let (Some(label), true) = (label, learnt[example]) {
                by_first[*label as usize].push(example);
                labelled.push(example);
            }
        }
        Self { by_attribute, by_first, labelled, learnt }
    }

    /// Examples to learn from that have a label for any attribute.
    pub(super) fn usable(&self) -> Vec<usize> {
        (0..self.learnt.len()).filter(|e| self.learnt[*e] && self.is_labelled(*e)).collect()
    }

    /// Examples held out that have a label for any attribute.
    pub(super) fn held_out(&self) -> Vec<usize> {
        (0..self.learnt.len()).filter(|e| !self.learnt[*e] && self.is_labelled(*e)).collect()
    }

    fn is_labelled(&self, example: usize) -> bool {
        self.by_attribute.iter().any(|labels| labels[example].is_some())
    }

    /// A triplet of examples. Anchor and positive share the label of a special head; of the general head they
    /// share the first attribute's (the category) and contradict each other on none. The negative differs on
    /// at least one. An example whose label is missing is never picked for it.
    pub(super) fn triplet(&self, rng: &mut ChaCha8Rng) -> Option<[usize; 3]> {
        let anchor = *self.labelled.choose(rng)?;
        let label = self.by_attribute[0][anchor]? as usize;
        let positive = (0..TRIES)
            .filter_map(|_| self.by_first[label].choose(rng).copied())
            .find(|p| *p != anchor && !self.contradict(anchor, *p))?;
        let negative = (0..TRIES)
            .map(|_| self.labelled[rng.random_range(0..self.labelled.len())])
            .find(|n| self.contradict(anchor, *n))?;
        Some([anchor, positive, negative])
    }

    /// About `count` examples, `each` of as many labels of the first attribute as fit, labels drawn at random.
    pub(super) fn balanced(&self, count: usize, each: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut labels: Vec<&Vec<usize>> = self.by_first.iter().filter(|l| l.len() > 1).collect();
        labels.shuffle(rng);
        labels.truncate((count / each).max(2));
        labels.into_iter().flat_map(|l| l.sample(rng, each).copied().collect::<Vec<_>>()).collect()
    }

    /// For each row of a batch that has one: its place, its farthest positive's and its nearest negative's. With
    /// `semi_hard`, negatives nearer than the positive are passed over while there is a farther one.
    /// `distances[a][b]` is between the rows `a` and `b`.
    pub(super) fn mined(&self, rows: &[usize], distances: &[Vec<f32>], semi_hard: bool) -> Vec<[u32; 3]> {
        let mut triplets = Vec::new();
        for (a, anchor) in rows.iter().enumerate() {
            let positive = |p: &usize| *p != a && self.agree(*anchor, rows[*p]);
            let farthest =
                (0..rows.len()).filter(positive).max_by(|x, y| distances[a][*x].total_cmp(&distances[a][*y]));
            let Some(p) = farthest else { continue };
            let negatives = || (0..rows.len()).filter(|n| self.contradict(*anchor, rows[*n]));
            let nearest = |candidates: &mut dyn Iterator<Item = usize>| {
                candidates.min_by(|x, y| distances[a][*x].total_cmp(&distances[a][*y]))
            };
            let beyond =
                nearest(&mut negatives().filter(|n| semi_hard && distances[a][*n] > distances[a][p]));
            if let Some(n) = beyond.or_else(|| nearest(&mut negatives())) {
                triplets.push([a as u32, p as u32, n as u32]);
            }
        }
        triplets
    }

    /// Whether two examples share the first attribute's label and contradict each other on none.
    fn agree(&self, a: usize, b: usize) -> bool {
        let first = &self.by_attribute[0];
        first[a].is_some() && first[a] == first[b] && !self.contradict(a, b)
    }

    /// Whether two examples are both labelled on some attribute and differ there.
    fn contradict(&self, a: usize, b: usize) -> bool {
        self.by_attribute.iter().any(|labels| matches!((labels[a], labels[b]), (Some(x), Some(y)) if x != y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn targets() -> Targets {
        let first = vec![Some(0), Some(0), Some(1), None, Some(1), Some(0), Some(1)];
        let second = vec![Some(0), Some(1), Some(0), Some(0), None, None, Some(1)];
        let mut learnt = vec![true; 7];
        learnt[6] = false;
        Targets::new(vec![first, second], &[2, 2], learnt)
    }

    #[test]
    fn triplets_keep_the_rules() {
        let targets = targets();
        let [first, second] = [&targets.by_attribute[0], &targets.by_attribute[1]];
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut drawn = 0;
        for _ in 0..500 {
            let Some([a, p, n]) = targets.triplet(&mut rng) else { continue };
            drawn += 1;
            assert!(a != p && first[a].is_some() && first[a] == first[p]);
            assert!(second[a].is_none() || second[p].is_none() || second[a] == second[p]);
            let differ = |l: &[Option<u32>]| l[a].is_some() && l[n].is_some() && l[a] != l[n];
            assert!(differ(first) || differ(second));
            assert!([a, p, n].iter().all(|e| *e != 6), "a held-out example was picked");
        }
        assert!(drawn > 100, "{drawn}");
        assert_eq!(targets.held_out(), [6]);
        assert!(!targets.usable().contains(&6));
    }

    #[test]
    fn hard_triplets_are_the_farthest_positive_and_the_nearest_negative() {
        let targets = targets();
        let rows = [0, 5, 2, 4];
        // Row 0's positive is row 1 at 0.6; its negatives are at 0.2 and 0.9.
        let distances = vec![
            vec![0.0, 0.6, 0.2, 0.9],
            vec![0.6, 0.0, 0.8, 0.7],
            vec![0.2, 0.8, 0.0, 0.3],
            vec![0.9, 0.7, 0.3, 0.0],
        ];
        assert_eq!(targets.mined(&rows, &distances, false)[0], [0, 1, 2]);
        assert_eq!(targets.mined(&rows, &distances, true)[0], [0, 1, 3]);
    }
}
