//! A largest distance: every plan gives what the exact scan of all items has up to it.

use super::*;

/// Coded items, of which those from `count` on are twins of earlier ones, so that distances have ties.
fn with_twins(count: u64, has: impl Fn(u64, u64) -> bool) -> LocalSignatures {
    let mut local = catalogue(count, &has);
    for item in count..count + count / 2 {
        put(&mut local, item, None, &signatures(2 * (item - count), &has));
    }
    code(&mut local);
    local
}

/// Answers in which a scan of codes may miss nothing, and every scan is worth two threads.
fn sure(local: &LocalSignatures, queries: &[SignatureQuery], threads: usize) -> Vec<SignatureAnswer> {
    let mut tuning = Tuning { misses: 1e-30, ..Tuning::of_this_machine() };
    (tuning.costs.exact_number, tuning.costs.residual_code) = (1e6, 1e6);
    let answers = local.search(queries, &Budget { tuning: &tuning, threads, is_abandoned: &|| false });
    answers.into_iter().map(|answer| answer.expect("answers")).collect()
}

/// All items, best first, by the exact scan.
fn ranked(local: &LocalSignatures, query: &SignatureQuery) -> Vec<SignatureHit> {
    let all = SignatureQuery { k: local.items().len(), distance_max: None, ..query.clone() };
    by_plan(local, &all, PlanKind::ExactScan).hits
}

/// The first k of those that a query's largest distance leaves.
fn within(all: &[SignatureHit], query: &SignatureQuery) -> Vec<SignatureHit> {
    let most = query.distance_max.unwrap_or(f64::INFINITY);
    all.iter().filter(|hit| hit.distance <= most).take(query.k).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn scans_give_what_a_filter_behind_the_exact_scan_would(
        seed in 0u64..1000, hole in 2u64..9, k in 1usize..60, at in 0usize..120, beside in -1i8..=1,
        weights in prop_oneof![Just(vec![1.0, 1.0, 1.0]), Just(vec![2.6, 0.2, 0.2]), Just(vec![1.0])],
    ) {
        let local = with_twins(800, |item, h| item % hole != h);
        let base = SignatureQuery { exclude: vec!["i7".into()], ..query(seed, &weights, k) };
        let all = ranked(&local, &base);
        prop_assert_eq!(all.len(), 1199);
        // What some items are away, or the number beside it.
        let tie = all[at].distance;
        let most = match beside {
            -1 => tie.next_down(),
            0 => tie,
            _ => tie.next_up(),
        };
        let ask = |plan, distance_max| SignatureQuery { plan: Some(plan), distance_max, ..base.clone() };
        let queries = [
            ask(PlanKind::CodeScan, Some(most)),
            ask(PlanKind::ExactScan, Some(most)),
            ask(PlanKind::CodeScan, None),
            ask(PlanKind::ExactScan, None),
            ask(PlanKind::CodeScan, Some(0.0)),
        ];
        let alone: Vec<_> =
            queries.iter().flat_map(|query| sure(&local, std::slice::from_ref(query), 1)).collect();
        for (query, answer) in queries.iter().zip(&alone) {
            prop_assert_eq!(&answer.hits, &within(&all, query));
            prop_assert_eq!(Some(answer.plan.kind), query.plan);
        }
        for threads in [1, 2] {
            prop_assert_eq!(&sure(&local, &queries, threads), &alone);
        }
    }
}

#[test]
fn an_index_gives_fewer_than_k_where_its_candidates_lead_behind_the_largest_distance() {
    let local = with_twins(2000, |item, _| item % 7 != 3);
    local.column("color").expect("there").follow_index(&|| false).expect("built");
    let (mut found, mut wanted, mut by_index) = (0, 0, 0);
    for seed in 0..40 {
        let base = SignatureQuery { plan: Some(PlanKind::Hnsw), ..query(seed * 77, &[1.0], 10) };
        let all = ranked(&local, &base);
        for at in [0, 5, 30] {
            let query = SignatureQuery { distance_max: Some(all[at].distance), ..base.clone() };
            let answer = sure(&local, std::slice::from_ref(&query), 1).remove(0);
            let right = within(&all, &query);
            assert!(answer.hits.len() <= right.len());
            wanted += right.len();
            found += answer.hits.iter().filter(|hit| right.contains(hit)).count();
            by_index += usize::from(answer.plan.kind == PlanKind::Hnsw && answer.hits.len() < 10);
        }
    }
    assert!(found * 100 >= wanted * 98, "{found} of {wanted}");
    assert!(by_index >= 20, "{by_index} answers of fewer than k");
}

#[test]
fn an_index_gives_way_where_an_item_without_a_signature_is_within_the_largest_distance() {
    let local = with_twins(2000, |item, _| item % 7 != 3);
    local.column("color").expect("there").follow_index(&|| false).expect("built");
    // More than have a signature.
    let base = SignatureQuery { plan: Some(PlanKind::Hnsw), ..query(5, &[1.0], 2900) };
    let all = ranked(&local, &base);
    let expected = f64::from(base.terms[0].expected);
    for (most, is_index) in [(expected.next_down(), true), (expected, false), (1.3, false)] {
        let query = SignatureQuery { distance_max: Some(most), ..base.clone() };
        let answer = sure(&local, std::slice::from_ref(&query), 1).remove(0);
        assert_eq!(answer.plan.kind == PlanKind::Hnsw, is_index, "{most}");
        if !is_index {
            assert_eq!(answer.hits, within(&all, &query), "{most}");
        }
        let missing = |hit: &SignatureHit| hit.terms.iter().any(|term| term.missing);
        assert_eq!(answer.hits.iter().any(missing), !is_index, "{most}");
    }
}

#[test]
fn what_equals_the_query_is_found_at_a_distance_of_0() {
    let local = with_twins(2000, |_, _| true);
    local.column("color").expect("there").follow_index(&|| false).expect("built");
    for (weights, plans) in [
        (vec![1.0, 1.0, 1.0], vec![PlanKind::ExactScan, PlanKind::CodeScan]),
        (vec![1.0], vec![PlanKind::ExactScan, PlanKind::CodeScan, PlanKind::Hnsw]),
    ] {
        let mut query = SignatureQuery { distance_max: Some(0.0), ..query(1, &weights, 10) };
        for (term, (_, signature)) in query.terms.iter_mut().zip(signatures(8, |_, _| true)) {
            term.vector = signature;
        }
        for plan in plans {
            let query = SignatureQuery { plan: Some(plan), ..query.clone() };
            let answer = sure(&local, &[query], 1).remove(0);
            let ids: Vec<&str> = answer.hits.iter().map(|hit| &*hit.id).collect();
            assert_eq!((ids, answer.plan.kind), (vec!["i2004", "i8"], plan));
        }
    }
}

#[test]
fn a_largest_distance_ends_a_scan_of_codes_sooner() {
    let local = with_twins(4000, |_, _| true);
    for seed in 0..5 {
        let far = query(seed, &[1.0, 1.0, 1.0], 1000);
        let tenth = ranked(&local, &far)[9].distance;
        let near = SignatureQuery { distance_max: Some(tenth), ..far.clone() };
        let (far, near) =
            (by_plan(&local, &far, PlanKind::CodeScan), by_plan(&local, &near, PlanKind::CodeScan));
        assert!(near.hits.iter().all(|hit| hit.distance <= tenth));
        assert!(near.plan.rescored < far.plan.rescored, "{:?} {:?}", near.plan, far.plan);
    }
}
