//! Choosing anchor, positive and negative (section 4.5).

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// Draws before giving up on a positive that agrees on every label.
const TRIES: usize = 24;

/// Labels of the examples of one head: for each attribute and example the label's number; missing is `None`.
pub(super) struct Targets {
    pub(super) by_attribute: Vec<Vec<Option<u32>>>,
    /// Examples by label of the first attribute.
    by_first: Vec<Vec<usize>>,
    /// Examples labelled on the first attribute.
    labelled: Vec<usize>,
}

impl Targets {
    /// `labels[a]` is the number of labels of attribute `a`.
    pub(super) fn new(by_attribute: Vec<Vec<Option<u32>>>, labels: &[usize]) -> Self {
        let mut by_first = vec![Vec::new(); labels.first().copied().unwrap_or(0)];
        let mut labelled = Vec::new();
        for (example, label) in by_attribute.iter().take(1).flatten().enumerate() {
            if let Some(label) = label {
                by_first[*label as usize].push(example);
                labelled.push(example);
            }
        }
        Self { by_attribute, by_first, labelled }
    }

    /// Examples that have a label for any attribute.
    pub(super) fn usable(&self) -> Vec<usize> {
        let count = self.by_attribute.first().map_or(0, Vec::len);
        (0..count).filter(|e| self.by_attribute.iter().any(|labels| labels[*e].is_some())).collect()
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

    /// Whether two examples are both labelled on some attribute and differ there.
    fn contradict(&self, a: usize, b: usize) -> bool {
        self.by_attribute.iter().any(|labels| matches!((labels[a], labels[b]), (Some(x), Some(y)) if x != y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn triplets_keep_the_rules() {
        let first = vec![Some(0), Some(0), Some(1), None, Some(1), Some(0)];
        let second = vec![Some(0), Some(1), Some(0), Some(0), None, None];
        let targets = Targets::new(vec![first.clone(), second.clone()], &[2, 2]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut drawn = 0;
        for _ in 0..500 {
            let Some([a, p, n]) = targets.triplet(&mut rng) else { continue };
            drawn += 1;
            assert!(a != p && first[a].is_some() && first[a] == first[p]);
            assert!(second[a].is_none() || second[p].is_none() || second[a] == second[p]);
            let differ = |l: &[Option<u32>]| l[a].is_some() && l[n].is_some() && l[a] != l[n];
            assert!(differ(&first) || differ(&second));
        }
        assert!(drawn > 100, "{drawn}");
    }
}
