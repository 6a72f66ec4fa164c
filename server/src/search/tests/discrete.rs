//! Signatures of which few are different, as binary and one-hot external heads have, and probabilities near 0 and 1.

use super::*;

/// Items whose signatures are given, coded.
fn coded(count: u64, signature: impl Fn(u64, usize) -> Vec<f32>) -> Snapshot {
    coded_in_order(0..count, signature)
}

/// The same, put in this order.
fn coded_in_order(ids: impl Iterator<Item = u64>, signature: impl Fn(u64, usize) -> Vec<f32>) -> Snapshot {
    let mut s = snapshot(0, |_, _| false);
    let record = ItemRecord {
        labels: Labels::new(),
        fields: Fields::new(),
        image: None,
        parts_case: None,
        updated_ms: 0,
        more_images: Vec::new(),
    };
    let change = |i| {
        let signatures = HEADS.iter().enumerate().map(|(h, head)| ((*head).to_owned(), signature(i, h)));
        put(&format!("i{i}"), record.clone(), signatures.collect())
    };
    s.apply(&ids.map(change).collect::<Vec<_>>());
    code(&mut s);
    s
}

/// What signatures look like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One number is 1, the others are 0.
    OneHot,
    /// Every number is one of two.
    TwoValued,
}

/// One of `different` signatures.
fn signature(kind: Kind, which: u64, different: u64) -> Vec<f32> {
    let which = which % different;
    let value = |at: u64| match kind {
        Kind::OneHot => f32::from(u8::from(at == which)),
        Kind::TwoValued => {
            if (which * 2_654_435_761 + 12_345) >> at & 1 == 0 {
                -1.0
            } else {
                1.0
            }
        }
    };
    Signature::new((0..DIM as u64).map(value).collect()).expect("not zero").into_values()
}

/// Decides what has no pattern of its own.
fn mixed(seed: u64) -> u64 {
    (seed ^ 0x9e37_79b9).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

/// The distances of an answer and how many items were scored for it.
fn answer(s: &Snapshot, view: &QueryView, spec: &SearchSpec, plan: PlanKind) -> (Vec<f64>, u64) {
    let spec = SearchSpec { plan: Some(plan), explain: false, ..spec.clone() };
    let answer = search(s, view.clone(), &spec, &planner()).expect("answers");
    assert_eq!(answer.plan.kind, plan);
    (answer.matches.iter().map(|m| m.distance).collect(), answer.plan.rescored)
}

fn assert_exact(s: &Snapshot, view: &QueryView, spec: &SearchSpec) {
    let (wanted, _) = answer(s, view, spec, PlanKind::ExactScan);
    let (found, _) = answer(s, view, spec, PlanKind::CodeScan);
    assert_eq!(found.len(), wanted.len(), "k = {}", spec.k);
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() < 1e-6, "{found} instead of {wanted}, k = {}", spec.k);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn few_different_signatures_are_searched_exactly(
        one_hot in any::<bool>(), different in 1u64..=5, count in 300u64..2500, seed in 0u64..1000,
        k in prop_oneof![Just(1usize), Just(128), Just(129), Just(200), 1usize..600], heads in 1usize..=3,
    ) {
        let kind = if one_hot { Kind::OneHot } else { Kind::TwoValued };
        let which = |i: u64, h: usize| mixed(i * 3 + h as u64);
        let s = coded(count, |i, h| signature(kind, which(i, h), different));
        let weights: Vec<_> = HEADS.iter().enumerate().map(|(h, head)| (*head, 1.0 + 2.0 * h as f64)).collect();
        let spec = spec(named(&weights[..heads], true), k);
        let own = HEADS.iter().enumerate().map(|(h, head)| {
            ((*head).to_owned(), signature(kind, mixed(seed + 7 * h as u64), different))
        });
        assert_exact(&s, &QueryView { vectors: own.collect(), labels: Labels::new() }, &spec);
        assert_exact(&s, &view(seed), &spec);
    }
}

#[test]
fn two_valued_signatures_give_all_of_200_results() {
    let s = coded(5000, |i, _| signature(Kind::TwoValued, i, 2));
    for k in [100, 128, 129, 200, 1000, 5000] {
        assert_exact(&s, &view(3), &spec(named(&[("shape", 1.0)], true), k));
        assert_exact(&s, &view(3), &spec(Weighting::Own, k));
    }
}

/// Share of the true best that the scan of codes finds, and items scored on average.
fn recall_of(s: &Snapshot, spec: &SearchSpec, views: &[QueryView]) -> (f64, u64) {
    let (mut found, mut wanted, mut scored) = (0, 0, 0);
    for view in views {
        let exact = answer(s, view, spec, PlanKind::ExactScan).0;
        let (coded, rescored) = answer(s, view, spec, PlanKind::CodeScan);
        assert_eq!(coded.len(), exact.len());
        let last = exact.last().copied().unwrap_or(0.0);
        found += coded.iter().filter(|distance| **distance <= last + 1e-6).count();
        (wanted, scored) = (wanted + exact.len(), scored + rescored);
    }
    (found as f64 / wanted as f64, scored / views.len() as u64)
}

#[test]
fn many_combinations_of_few_signatures_and_probabilities_near_0_and_1_are_found() {
    let one_hot = |i: u64, h: usize| signature(Kind::OneHot, mixed(i * 3 + h as u64), 16);
    let two_valued = |i: u64, h: usize| signature(Kind::TwoValued, mixed(i * 3 + h as u64), 1 << 20);
    // The roots of probabilities, sure of one of 16 labels for the most part.
    let probabilities = |i: u64, h: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(i * 8 + h as u64);
        let label = rng.random_range(0..DIM);
        let sure: f32 = rng.random_range(0.0..12.0);
        let logits = (0..DIM).map(|at| if at == label { sure } else { rng.random_range(-1.0..1.0) });
        Signature::new(logits.map(|logit| (logit / 2.0).exp()).collect()).expect("finite").into_values()
    };
    type Signatures<'a> = &'a dyn Fn(u64, usize) -> Vec<f32>;
    let kinds: [(&str, Signatures<'_>); 3] =
        [("one-hot", &one_hot), ("two-valued", &two_valued), ("probabilities", &probabilities)];
    for (name, kind) in kinds {
        let s = coded(6000, kind);
        let of_item = |i: u64| {
            let own = HEADS.iter().enumerate().map(|(h, head)| ((*head).to_owned(), kind(i, h)));
            QueryView { vectors: own.collect(), labels: Labels::new() }
        };
        let views: Vec<_> =
            (0..20).map(|i| if i % 2 == 0 { of_item(i * 31) } else { view(i * 77) }).collect();
        for weighting in [Weighting::Own, named(&[("color", 9.0)], false), named(&[("shape", 1.0)], true)] {
            for k in [1, 10, 129, 200, 600] {
                let (share, scored) = recall_of(&s, &spec(weighting.clone(), k), &views);
                println!("{name} {weighting:?} k {k}: {share} of {scored}");
                assert!(share >= 0.99, "{name} {weighting:?} k {k}: {share}");
            }
        }
    }
}

#[test]
fn equal_distances_come_in_the_order_of_their_ids_in_every_plan() {
    // Three signatures a head, so that everything has a thousand equals.
    let signature = |i: u64, h: usize| signature(Kind::OneHot, mixed(i * 3 + h as u64), 3);
    let mut renewed = coded(3000, signature);
    renewed.apply(&(0..1000).map(|i| delete(&format!("i{}", 3 * i))).collect::<Vec<_>>());
    let record = ItemRecord {
        labels: Labels::new(),
        fields: Fields::new(),
        image: None,
        parts_case: None,
        updated_ms: 0,
        more_images: Vec::new(),
    };
    let again = |i: u64| {
        let signatures = HEADS.iter().enumerate().map(|(h, head)| ((*head).to_owned(), signature(i, h)));
        put(&format!("i{i}"), record.clone(), signatures.collect())
    };
    renewed.apply(&(0..1000).rev().map(|i| again(3 * i)).collect::<Vec<_>>());
    let catalogues = [coded(3000, signature), coded_in_order((0..3000).rev(), signature), renewed];
    for s in &catalogues {
        let column = held(s, "color");
        column.follow_index(&|| false).expect("built");
    }
    for (weighting, k) in [(Weighting::Own, 70), (named(&[("color", 1.0)], true), 100)] {
        let mut first: Option<Vec<(u64, String)>> = None;
        let plans = [PlanKind::ExactScan, PlanKind::CodeScan, PlanKind::Hnsw];
        for (s, plan) in catalogues.iter().flat_map(|s| plans.map(|plan| (s, plan))) {
            let spec = SearchSpec { plan: Some(plan), ..spec(weighting.clone(), k) };
            let answer = search(s, view(5), &spec, &planner()).expect("answers");
            let id = |m: &Match| s.items().get(m.slot).expect("live").id.to_string();
            let found: Vec<_> = answer.matches.iter().map(|m| (m.distance.to_bits(), id(m))).collect();
            assert_eq!(found.len(), k);
            assert!(found.is_sorted(), "{plan:?}: by distance, then by id");
            assert_eq!(*first.get_or_insert_with(|| found.clone()), found, "{plan:?}");
        }
    }
}
