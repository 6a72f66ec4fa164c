//! Plans: which one runs, and that all of them give the same answer.

use super::*;
use lapel_search::FollowError;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn one_head_goes_to_its_index_and_agrees_with_the_scan() {
    // No more than there are different vectors: where the last result has an equal, the index gives way to a scan.
    let s = snapshot(1000, |_, _| false);
    let one = SearchSpec { plan: Some(PlanKind::Hnsw), ..spec(named(&[("pattern", 1.0)], true), 10) };
    let before = search(&s, view(9), &one, &planner()).expect("answers");
    assert_eq!(before.plan.kind, PlanKind::ExactScan, "an index that is behind is not used");
    let column = held(&s, "pattern");
    column.follow_index(&|| false).expect("built");
    let exact = SearchSpec { plan: Some(PlanKind::ExactScan), ..one.clone() };
    let (mut found, mut wanted) = (0, 0);
    for seed in 0..40 {
        let by_index = search(&s, view(seed), &one, &planner()).expect("answers");
        let by_scan = search(&s, view(seed), &exact, &planner()).expect("answers");
        assert_eq!((by_index.plan.kind, by_scan.plan.kind), (PlanKind::Hnsw, PlanKind::ExactScan));
        wanted += by_scan.matches.len();
        let last = by_scan.matches.last().expect("ten").distance;
        let hit = |m: &&Match| m.distance <= last + 1e-6;
        found += by_index.matches.iter().filter(hit).count();
    }
    assert!(found * 100 >= wanted * 98, "{found} of {wanted}");
}

#[test]
fn an_index_follows_writes() {
    let mut s = snapshot(100, |_, _| false);
    let column = held(&s, "pattern").clone();
    column.follow_index(&|| false).expect("built");
    s.apply(&[delete("i3")]);
    let record = s.items().get(5).expect("there").record();
    s.apply(&[put("i5", record, vec![("pattern".to_owned(), vector(777))])]);
    let column = held(&s, "pattern").clone();
    assert!(!column.is_indexed());
    column.follow_index(&|| false).expect("followed");
    let nearest = column.nearest(&vector(777), 1).expect("current");
    assert_eq!(nearest, [5]);
    let all = column.nearest(&vector(1), 100).expect("current");
    assert!(!all.contains(&3) && all.len() == 99, "{}", all.len());
}

#[test]
fn items_the_index_cannot_know_are_not_hidden() {
    // Only two items have the signature; the others are scored by the expected distance.
    let s = snapshot(20, |i, h| h == 1 && i > 1);
    let column = held(&s, "pattern");
    column.follow_index(&|| false).expect("built");
    let answer =
        search(&s, view(2), &spec(named(&[("pattern", 1.0)], true), 10), &planner()).expect("answers");
    assert_eq!(answer.plan.kind, PlanKind::ExactScan);
    assert_eq!((answer.matches.len(), answer.plan.missing), (10, 18));
}

#[test]
fn a_batch_answers_as_its_queries_do_alone_and_two_threads_as_one() {
    let s = coded_snapshot(5000, |i, h| i % 11 == h as u64);
    let specs = [
        spec(Weighting::Own, 10),
        spec(named(&[("color", 9.0)], false), 3),
        SearchSpec { filter: Filter::carrying([("color", "a")]), ..spec(Weighting::Own, 7) },
        SearchSpec { k: 0, ..spec(Weighting::Own, 1) },
        SearchSpec { plan: Some(PlanKind::ExactScan), ..spec(Weighting::Own, 10) },
    ];
    let queries: Vec<_> = (0..24)
        .map(|i| {
            let spec = specs[i % specs.len()].clone();
            (view(i as u64), SearchSpec { plan: spec.plan.or(Some(PlanKind::CodeScan)), ..spec })
        })
        .collect();
    // Costs so high that every scan is shared.
    let mut planner = planner();
    planner.tuning.costs.exact_number = 1e6;
    planner.tuning.costs.residual_code = 1e6;
    let hits = |answer: &Result<SearchAnswer, Error>| {
        let answer = answer.as_ref().ok()?;
        Some((answer.plan, answer.matches.iter().map(|m| (m.slot, m.distance)).collect::<Vec<_>>()))
    };
    let alone: Vec<_> =
        queries.iter().map(|(view, spec)| hits(&search(&s, view.clone(), spec, &planner))).collect();
    for threads in [1, 2] {
        let together = search_batch(&s, queries.clone(), &planner, threads, &|| false);
        assert_eq!(together.iter().map(hits).collect::<Vec<_>>(), alone, "{threads} threads");
    }
}

#[test]
fn an_abandoned_search_ends_at_its_next_block() {
    let s = coded_snapshot(5000, |_, _| false);
    let blocks = s.items().blocks();
    assert!(blocks >= 4);
    for plan in [PlanKind::ExactScan, PlanKind::CodeScan] {
        let queries = vec![(view(1), SearchSpec { plan: Some(plan), ..spec(Weighting::Own, 10) }); 3];
        let asked = AtomicUsize::new(0);
        let is_abandoned = || asked.fetch_add(1, Ordering::Relaxed) > 0;
        let answers = search_batch(&s, queries, &planner(), 1, &is_abandoned);
        assert_eq!(answers.len(), 3);
        assert!(asked.into_inner() <= 2 * 3 + 1, "{plan:?}: it is asked, and ends where it is told so");
    }
}

#[test]
fn the_planner_takes_the_cheapest_plan_that_can_run() {
    let s = coded_snapshot(6000, |_, _| false);
    let column = held(&s, "pattern");
    let kind =
        |planner: &Planner, spec: &SearchSpec| search(&s, view(1), spec, planner).expect("answers").plan.kind;
    let (uniform, one) = (spec(Weighting::Own, 10), spec(named(&[("pattern", 1.0)], true), 10));
    let mut dear_exact = planner();
    (dear_exact.tuning.costs.exact_number, dear_exact.tuning.costs.random_row) = (1e3, 1e3);
    let mut dear_codes = planner();
    dear_codes.tuning.costs.residual_code = 1e12;
    assert_eq!(kind(&dear_exact, &uniform), PlanKind::CodeScan);
    assert_eq!(kind(&dear_codes, &uniform), PlanKind::ExactScan);
    column.follow_index(&|| false).expect("built");
    let mut dear_scans = dear_codes;
    // Far more than a search of the index takes on a machine that does much else: that is measured.
    (dear_scans.tuning.costs.exact_number, dear_scans.tuning.costs.random_row) = (1e6, 1e5);
    assert_eq!(kind(&dear_scans, &one), PlanKind::Hnsw);
    assert_eq!(kind(&dear_scans, &uniform), PlanKind::ExactScan, "an index knows one head");
    // An index that is behind declines, and the plan that is then the cheapest runs.
    let mut behind = s.clone();
    put_clustered(&mut behind, 6000, 6000, &|_, _| false);
    let answer = search(&behind, view(1), &one, &dear_scans).expect("answers");
    assert_eq!(answer.plan.kind, PlanKind::ExactScan);
    // A filter that lets few items pass is served best by looking at just those.
    let exclude = (0..5990).map(|i| format!("i{i}")).collect();
    assert_eq!(kind(&planner(), &SearchSpec { exclude, ..uniform }), PlanKind::ExactScan);
}

#[test]
fn a_distance_is_the_same_to_the_last_bit_in_every_plan() {
    let s = coded_snapshot(6000, |i, h| i % 7 == h as u64);
    let column = held(&s, "color");
    column.follow_index(&|| false).expect("built");
    let only = named(&[("color", 1.0)], true);
    // At 30 to 1 to 1, two of the heads are light.
    for (weighting, plans) in [
        (named(&[("color", 30.0)], false), vec![PlanKind::CodeScan]),
        (only, vec![PlanKind::CodeScan, PlanKind::Hnsw]),
    ] {
        for seed in 0..40 {
            let bits = |plan| {
                let spec = SearchSpec { plan: Some(plan), ..spec(weighting.clone(), 50) };
                let answer = search(&s, view(seed * 77), &spec, &planner()).expect("answers");
                let bits = answer.matches.iter().map(|m| (m.slot, m.distance.to_bits()));
                (answer.plan.kind, bits.collect::<BTreeMap<_, _>>())
            };
            let (_, exact) = bits(PlanKind::ExactScan);
            for plan in &plans {
                let (ran, found) = bits(*plan);
                let common = found.iter().filter(|(slot, _)| exact.contains_key(*slot)).count();
                assert!(common >= 40, "{plan:?} as {ran:?}: {common} in common");
                for (slot, distance) in &found {
                    assert!(exact.get(slot).is_none_or(|exact| exact == distance), "{plan:?}, slot {slot}");
                }
            }
        }
    }
}

#[test]
fn an_index_is_tuned_anew_after_many_changes_and_not_after_each() {
    let mut s = coded_snapshot(3000, |_, _| false);
    let mut put_and_follow = |from: u64, to: u64| {
        (from..to).for_each(|i| put_clustered(&mut s, i, i + 7, &|_, _| false));
        let column = held(&s, "pattern");
        column.follow_index(&|| false).expect("followed");
        assert!(column.is_indexed() && column.index_search_ns().is_some());
        column.changed_since_tuning()
    };
    assert_eq!(put_and_follow(3000, 3000), 0, "a new index is tuned");
    assert_eq!(put_and_follow(3000, 3001), 1, "for one more it is not");
    assert_eq!(put_and_follow(0, 500), 501, "nor for a sixth");
    assert_eq!(put_and_follow(500, 1000), 0, "for a third it is, though there are no more than before");
}

#[test]
fn an_index_that_is_stopped_is_not_used() {
    let s = coded_snapshot(3000, |_, _| false);
    let column = held(&s, "pattern");
    assert!(matches!(column.follow_index(&|| true), Err(FollowError::Stopped)));
    assert!(!column.is_indexed() && column.index_search_ns().is_none());
    column.follow_index(&|| false).expect("built");
    assert!(column.is_indexed() && column.index_search_ns().is_some());
}
