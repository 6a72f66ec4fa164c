use super::*;
use crate::catalogue::Column;
use crate::store::ItemRecord;
use crate::testing::external_head;
use lapel_heads::{Labels, distance};
use proptest::prelude::*;

const HEADS: [&str; 3] = ["color", "pattern", "shape"];
const DIM: usize = 8;

/// A unit vector decided by a number.
fn vector(seed: u64) -> Vec<f32> {
    let raw: Vec<f32> =
        (0..DIM as u64).map(|i| ((seed * 7919 + i * 104_729 + 13) % 1009) as f32 / 504.5 - 1.0).collect();
    lapel_heads::Signature::new(raw).expect("not zero").into_values()
}

/// Items whose signature of head h is missing when `missing(item, h)` says so; item i is labelled a or b.
fn snapshot(count: u64, missing: impl Fn(u64, usize) -> bool) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for head in HEADS {
        snapshot.add_pending(Column::new(head, external_head(head, DIM, &["a", "b"])));
        snapshot.activate(head);
    }
    for i in 0..count {
        let present = (0..HEADS.len()).filter(|h| !missing(i, *h));
        let signatures: Vec<_> = present.map(|h| (HEADS[h].to_owned(), vector(i * 3 + h as u64))).collect();
        let label = if i % 2 == 0 { "a" } else { "b" };
        let record = ItemRecord {
            labels: Labels::from([("color".to_owned(), label.to_owned())]),
            has_image: false,
            parts_case: None,
            updated_ms: 0,
        };
        snapshot.put(&format!("i{i}"), record, &signatures);
    }
    snapshot
}

fn view(seed: u64) -> QueryView {
    let vectors =
        HEADS.iter().enumerate().map(|(h, head)| ((*head).to_owned(), vector(seed + 31 * h as u64)));
    QueryView { vectors: vectors.collect(), labels: Labels::new() }
}

fn named(weights: &[(&str, f64)], only_named: bool) -> Weighting {
    Weighting::Named { by_name: weights.iter().map(|(n, w)| ((*n).to_owned(), *w)).collect(), only_named }
}

fn config() -> SearchConfig {
    SearchConfig { hnsw_items_min: 1, ..SearchConfig::default() }
}

fn spec(weighting: Weighting, k: usize) -> SearchSpec {
    SearchSpec { weighting, k, explain: true, ..SearchSpec::default() }
}

/// Eq. 6 by hand, with the rule for missing signatures.
fn by_hand(s: &Snapshot, view: &QueryView, weights: &BTreeMap<String, f64>, slot: Slot) -> f64 {
    let term = |(head, weight): (&String, &f64)| {
        let column = s.column(head).expect("active");
        let d = column
            .get(slot)
            .map_or(column.expected_distance(&view.vectors[head]), |r| distance(&view.vectors[head], r));
        weight * f64::from(d)
    };
    weights.iter().map(term).sum()
}

proptest! {
    #[test]
    fn answers_are_the_true_best(
        seed in 0u64..1000, w in proptest::collection::vec(0.0f64..5.0, 3), k in 1usize..30, hole in 2u64..9
    ) {
        prop_assume!(w.iter().any(|w| *w > 0.0));
        let s = snapshot(80, |i, h| i % hole == h as u64);
        let weighting = named(&[("color", w[0]), ("pattern", w[1]), ("shape", w[2])], false);
        let answer = search(&s, view(seed), &spec(weighting, k), &config()).expect("answers");
        let sum: f64 = answer.weights.values().sum();
        prop_assert!((sum - answer.weights.len() as f64).abs() < 1e-9, "weights sum to the heads in play");
        let mut wanted: Vec<f64> = s.items().live().iter().map(|slot| by_hand(&s, &view(seed), &answer.weights, slot)).collect();
        wanted.sort_by(f64::total_cmp);
        prop_assert_eq!(answer.matches.len(), k.min(80));
        for (found, wanted) in answer.matches.iter().zip(&wanted) {
            prop_assert!((found.distance - wanted).abs() < 1e-6);
            let terms = &found.explanation.as_ref().expect("asked for").terms;
            let total: f64 = terms.iter().map(|t| t.weight * t.distance).sum();
            prop_assert!((total - found.distance).abs() < 1e-5, "terms sum to the distance");
        }
    }
}

#[test]
fn uniform_weights_are_equation_4() {
    let s = snapshot(50, |_, _| false);
    let answer = search(&s, view(4), &spec(Weighting::Uniform, 5), &config()).expect("answers");
    assert!(answer.weights.values().all(|w| (w - 1.0).abs() < 1e-12));
    let same = search(
        &s,
        view(4),
        &spec(named(&[("color", 2.0), ("pattern", 2.0), ("shape", 2.0)], false), 5),
        &config(),
    );
    let slots = |a: &SearchAnswer| a.matches.iter().map(|m| m.slot).collect::<Vec<_>>();
    assert_eq!(slots(&answer), slots(&same.expect("answers")));
}

#[test]
fn one_head_goes_to_its_index_and_agrees_with_the_scan() {
    let s = snapshot(3000, |_, _| false);
    let one = spec(named(&[("pattern", 1.0)], true), 10);
    let before = search(&s, view(9), &one, &config()).expect("answers");
    assert_eq!(before.plan.kind, PlanKind::ExactScan, "an index that is behind is not used");
    s.column("pattern").expect("active").index().follow(s.column("pattern").expect("active")).expect("built");
    let exact = SearchSpec { exact: true, ..one.clone() };
    let (mut found, mut wanted) = (0, 0);
    for seed in 0..40 {
        let by_index = search(&s, view(seed), &one, &config()).expect("answers");
        let by_scan = search(&s, view(seed), &exact, &config()).expect("answers");
        assert_eq!((by_index.plan.kind, by_scan.plan.kind), (PlanKind::Hnsw, PlanKind::ExactScan));
        wanted += by_scan.matches.len();
        // By distance: the numbers behind these vectors repeat, and equally near items may stand for each other.
        let last = by_scan.matches.last().expect("ten").distance;
        let hit = |m: &&Match| m.distance <= last + 1e-6;
        found += by_index.matches.iter().filter(hit).count();
    }
    assert!(found * 100 >= wanted * 98, "{found} of {wanted}");
}

#[test]
fn an_index_follows_writes() {
    let mut s = snapshot(100, |_, _| false);
    let column = s.column("pattern").expect("active").clone();
    column.index().follow(&column).expect("built");
    s.remove("i3");
    let record = s.items().get(5).expect("there").record.clone();
    s.put("i5", record, &[("pattern".to_owned(), vector(777))]);
    let column = s.column("pattern").expect("active").clone();
    assert!(!column.index().is_current(&column));
    column.index().follow(&column).expect("followed");
    let nearest = column.index().nearest(&column, &vector(777), 1).expect("current");
    assert_eq!(nearest, [5]);
    let all = column.index().nearest(&column, &vector(1), 100).expect("current");
    assert!(!all.contains(&3) && all.len() == 99, "{}", all.len());
}

#[test]
fn items_the_index_cannot_know_are_not_hidden() {
    // Only two items have the signature; the others are scored by the expected distance.
    let s = snapshot(20, |i, h| h == 1 && i > 1);
    let column = s.column("pattern").expect("active");
    column.index().follow(column).expect("built");
    let answer =
        search(&s, view(2), &spec(named(&[("pattern", 1.0)], true), 10), &config()).expect("answers");
    assert_eq!(answer.plan.kind, PlanKind::ExactScan);
    assert_eq!((answer.matches.len(), answer.plan.missing), (10, 18));
}

#[test]
fn filters_and_exclusions_are_honoured() {
    let s = snapshot(60, |_, _| false);
    let filtered = SearchSpec {
        filters: vec![("color".into(), vec!["b".into()])],
        exclude: vec!["i1".into(), "nobody".into()],
        ..spec(Weighting::Uniform, 60)
    };
    let answer = search(&s, view(1), &filtered, &config()).expect("answers");
    assert_eq!(answer.matches.len(), 29);
    assert!(answer.matches.iter().all(|m| m.slot % 2 == 1 && m.slot != 1));
}

#[test]
fn a_manipulation_puts_the_prototype_in_place() {
    let s = snapshot(60, |_, _| false);
    let edit = Manipulation { attribute: "color".into(), label: "b".into() };
    let edited = SearchSpec { manipulations: vec![edit.clone()], ..spec(Weighting::Uniform, 3) };
    let answer = search(&s, view(1), &edited, &config()).expect("answers");
    assert_eq!(answer.effects[0].prototype_count, 30);
    assert!(answer.effects[0].prototype_from_catalogue);
    assert_eq!((answer.effects[0].items_with_label, answer.items_with_all_labels), (30, 30));
    let mut by_prototype = view(1);
    let prototype =
        s.column("color").expect("active").prototypes().sum("color", "b").expect("labelled").prototype();
    by_prototype.vectors.insert("color".into(), prototype.expect("30 items").into_values());
    let wanted = search(&s, by_prototype, &spec(Weighting::Uniform, 3), &config()).expect("answers");
    let distances = |a: &SearchAnswer| a.matches.iter().map(|m| m.distance).collect::<Vec<_>>();
    assert_eq!(distances(&answer), distances(&wanted));
    let first = &answer.matches[0];
    let label = if first.slot % 2 == 1 { Outcome::Changed } else { Outcome::Differs };
    let color = &first.explanation.as_ref().expect("asked for").attributes[0];
    assert_eq!((color.attribute.as_str(), color.outcome), ("color", label));
    assert_eq!(first.matches_all, label == Outcome::Changed);
    let twice = SearchSpec { manipulations: vec![edit.clone(), edit], ..edited };
    assert!(matches!(search(&s, view(1), &twice, &config()), Err(Error::Invalid(_))));
}

#[test]
fn bad_names_and_weights_are_typed_errors() {
    let s = snapshot(10, |_, _| false);
    let run = |spec: SearchSpec| search(&s, view(1), &spec, &config()).err();
    let edit = |attribute: &str, label: &str| SearchSpec {
        manipulations: vec![Manipulation { attribute: attribute.into(), label: label.into() }],
        ..spec(Weighting::Uniform, 1)
    };
    assert!(matches!(run(edit("colr", "a")), Some(Error::NotFound { what: "attribute", .. })));
    let unknown = run(edit("color", "z")).expect("refused");
    assert!(unknown.to_string().ends_with("there are: a, b"), "{unknown}");
    let unlabelled = run(edit("shape", "a")).expect("refused");
    assert!(matches!(unlabelled, Error::Precondition { reason: "LABEL_WITHOUT_PROTOTYPE", .. }));
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(matches!(run(spec(named(&[("color", bad)], false), 1)), Some(Error::Invalid(_))));
    }
    assert!(matches!(run(spec(named(&[("color", 0.0)], true), 1)), Some(Error::Invalid(_))));
    let zeros = named(&[("color", 0.0), ("pattern", 0.0), ("shape", 0.0)], false);
    assert!(matches!(run(spec(zeros, 1)), Some(Error::Invalid(_))));
    let huge = named(&[("color", f64::MAX), ("pattern", f64::MAX)], true);
    let answer = search(&s, view(1), &spec(huge, 1), &config()).expect("scaled without overflow");
    assert!(answer.weights.values().all(|w| (w - 1.0).abs() < 1e-9));
}
