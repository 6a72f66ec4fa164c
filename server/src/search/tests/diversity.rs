//! Diversity against a plain loop.

use super::*;
use lapel_search::Instructions;
use lapel_search::kernels::{Rows, squared_distance};

/// The order by the definition: every least distance is looked for anew.
fn by_hand(s: &Snapshot, pool: &[Match], answer: &SearchAnswer, relevance: f64, wanted: usize) -> Vec<Slot> {
    let between = |a: Slot, b: Slot| {
        let term = |(head, weight): (&String, &f64)| {
            let column = s.column(head).expect("active");
            let pair = s.signature(column, a).zip(s.signature(column, b));
            let expected = || column.expected_distance(&view(8).vectors[head]);
            let far = |(a, b)| squared_distance(Instructions::best(), a, Rows::F32(b)).sqrt();
            weight * f64::from(pair.as_ref().map(|(a, b)| (&**a, &**b)).map_or_else(expected, far))
        };
        answer.weights.iter().map(term).sum::<f64>()
    };
    let mut taken: Vec<Slot> = vec![pool[0].slot];
    while taken.len() < wanted.min(pool.len()) {
        let score = |m: &&Match| {
            let nearest = taken.iter().map(|slot| between(m.slot, *slot)).fold(f64::INFINITY, f64::min);
            relevance * m.distance - (1.0 - relevance) * nearest
        };
        let left = pool.iter().filter(|m| !taken.contains(&m.slot));
        let next = left.min_by(|a, b| score(a).total_cmp(&score(b))).expect("some are left");
        taken.push(next.slot);
    }
    taken
}

#[test]
fn results_are_taken_by_relevance_and_difference() {
    let s = snapshot(150, |i, h| i % 5 == h as u64);
    let slots = |matches: &[Match]| matches.iter().map(|m| m.slot).collect::<Vec<_>>();
    for (relevance, pool, k) in [(0.0, 60, 20), (0.3, 60, 60), (0.7, 150, 30), (0.9, 30, 12)] {
        let nearest = search(&s, view(8), &spec(Weighting::Own, pool), &planner()).expect("answers");
        let diversity = Some(Diversity { relevance, pool });
        let diverse = SearchSpec { diversity, ..spec(Weighting::Own, k) };
        let answer = search(&s, view(8), &diverse, &planner()).expect("answers");
        let wanted = by_hand(&s, &nearest.matches, &nearest, relevance, k);
        assert_eq!(slots(&answer.matches), wanted, "relevance {relevance}");
        assert_eq!(answer.matches[0].slot, nearest.matches[0].slot, "the nearest is first");
        for found in &answer.matches {
            let same = nearest.matches.iter().find(|m| m.slot == found.slot).expect("of the pool");
            assert_eq!(same.distance.to_bits(), found.distance.to_bits());
        }
        let offset = SearchSpec { offset: 5, k: k - 5, ..diverse };
        let later = search(&s, view(8), &offset, &planner()).expect("answers");
        assert_eq!(slots(&later.matches), wanted[5..]);
    }
    let as_without = Some(Diversity { relevance: 1.0, pool: 80 });
    let as_without = SearchSpec { diversity: as_without, ..spec(Weighting::Own, 20) };
    let answer = search(&s, view(8), &as_without, &planner()).expect("answers");
    let plain = search(&s, view(8), &spec(Weighting::Own, 20), &planner()).expect("answers");
    assert_eq!(slots(&answer.matches), slots(&plain.matches));
}

#[test]
fn a_search_that_is_abandoned_takes_nothing_more() {
    let s = snapshot(100, |_, _| false);
    let diverse =
        SearchSpec { diversity: Some(Diversity { relevance: 0.5, pool: 100 }), ..spec(Weighting::Own, 50) };
    let answers = search_batch(&s, vec![(view(1), diverse)], &planner(), 1, &|| true);
    let [Ok(answer)] = answers.as_slice() else { panic!("{answers:?}") };
    assert!(answer.matches.is_empty());
}
