mod discrete;
mod diversity;
mod filters;
mod groups;
mod pages;
mod plans;
mod reach;
mod suggest;

use super::*;
use crate::catalogue::{Column, Precision};
use crate::config::SearchConfig;
use crate::error::Fault;
use crate::store::{ContentId, ItemChange, ItemRecord, StoredImage};
use crate::testing::external_head;
use lapel_heads::{Labels, Signature, distance};
use lapel_search::SignatureColumn;
use lapel_values::Fields;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

const HEADS: [&str; 3] = ["color", "pattern", "shape"];
const DIM: usize = 16;

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
        snapshot.add_reserve(Column::new(head, external_head(head, DIM, &["a", "b"]), Precision::F32));
        snapshot.activate(head);
    }
    for i in 0..count {
        let present = (0..HEADS.len()).filter(|h| !missing(i, *h));
        let signatures: Vec<_> = present.map(|h| (HEADS[h].to_owned(), vector(i * 3 + h as u64))).collect();
        let label = if i % 2 == 0 { "a" } else { "b" };
        let record = ItemRecord {
            labels: Labels::from([("color".to_owned(), label.to_owned())]),
            fields: Fields::new(),
            image: None,
            parts_case: None,
            updated_ms: 0,
            more_images: Vec::new(),
        };
        snapshot.apply(&[put(&format!("i{i}"), record, signatures)]);
    }
    snapshot
}

fn put(id: &str, record: ItemRecord, signatures: Vec<(String, Vec<f32>)>) -> ItemChange {
    ItemChange::Put {
        id: id.into(),
        record,
        images: Vec::new(),
        signatures,
        pictures: Vec::new(),
        replaces: Some(1),
    }
}

/// The same item with further pictures of these signatures; its own are those of the first one.
fn with_pictures(mut change: ItemChange, more: Vec<Vec<(String, Vec<f32>)>>) -> ItemChange {
    let image = |number: usize| StoredImage {
        content: ContentId::of(number.to_string().as_bytes()),
        parts_case: None,
    };
    if let ItemChange::Put { record, signatures, pictures, .. } = &mut change
        && !more.is_empty()
    {
        record.image = Some(image(0).content);
        record.more_images = (1..=more.len()).map(image).collect();
        *pictures = std::iter::once(signatures.clone()).chain(more).collect();
    }
    change
}

fn delete(id: &str) -> ItemChange {
    ItemChange::Delete { id: id.into(), pictures: 1 }
}

fn view(seed: u64) -> QueryView {
    let vectors =
        HEADS.iter().enumerate().map(|(h, head)| ((*head).to_owned(), vector(seed + 31 * h as u64)));
    QueryView { vectors: vectors.collect(), labels: Labels::new() }
}

fn named(weights: &[(&str, f64)], only_named: bool) -> Weighting {
    Weighting::Named { by_name: weights.iter().map(|(n, w)| ((*n).to_owned(), *w)).collect(), only_named }
}

fn search(
    s: &Snapshot,
    view: QueryView,
    spec: &SearchSpec,
    planner: &Planner,
) -> Result<SearchAnswer, Error> {
    search_batch(s, vec![(view, spec.clone())], planner, 1, &|| false).remove(0)
}

/// A head's signatures.
fn held<'a>(s: &'a Snapshot, key: &str) -> &'a SignatureColumn {
    s.signatures().column(key).expect("there")
}

fn planner() -> Planner {
    Planner::new(&SearchConfig::default())
}

fn spec(weighting: Weighting, k: usize) -> SearchSpec {
    SearchSpec { weighting, k, explain: true, ..SearchSpec::default() }
}

/// Looked up as a request's are.
fn edits(s: &Snapshot, edits: &[(&str, &str)]) -> Result<Edits, Error> {
    let edit = |(attribute, label): &(&str, &str)| Manipulation {
        attribute: (*attribute).to_owned(),
        label: (*label).to_owned(),
    };
    Edits::resolve(s, edits.iter().map(edit).collect(), planner().prototype_items_min)
}

/// Eq. 6 by hand, with the rule for missing signatures.
fn by_hand(s: &Snapshot, view: &QueryView, weights: &BTreeMap<String, f64>, slot: Slot) -> f64 {
    let term = |(head, weight): (&String, &f64)| {
        let column = s.column(head).expect("active");
        let d = s
            .signature(column, slot)
            .map_or(column.expected_distance(&view.vectors[head]), |r| distance(&view.vectors[head], &r));
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
        let answer = search(&s, view(seed), &spec(weighting, k), &planner()).expect("answers");
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
    let answer = search(&s, view(4), &spec(Weighting::Own, 5), &planner()).expect("answers");
    assert!(answer.weights.values().all(|w| (w - 1.0).abs() < 1e-12));
    let same = search(
        &s,
        view(4),
        &spec(named(&[("color", 2.0), ("pattern", 2.0), ("shape", 2.0)], false), 5),
        &planner(),
    );
    let slots = |a: &SearchAnswer| a.matches.iter().map(|m| m.slot).collect::<Vec<_>>();
    assert_eq!(slots(&answer), slots(&same.expect("answers")));
}

#[test]
fn a_manipulation_puts_the_prototype_in_place() {
    let s = snapshot(60, |_, _| false);
    let edit = ("color", "b");
    let edited = SearchSpec { edits: edits(&s, &[edit]).expect("there"), ..spec(Weighting::Own, 3) };
    let answer = search(&s, view(1), &edited, &planner()).expect("answers");
    assert_eq!(answer.effects[0].prototype_count, 30);
    assert!(answer.effects[0].prototype_from_catalogue);
    assert_eq!((answer.effects[0].items_with_label, answer.items_with_all_labels), (30, 30));
    let mut by_prototype = view(1);
    let prototype =
        s.column("color").expect("active").prototypes().sum("color", "b").expect("labelled").prototype();
    by_prototype.vectors.insert("color".into(), prototype.expect("30 items").into_values());
    let wanted = search(&s, by_prototype, &spec(Weighting::Own, 3), &planner()).expect("answers");
    let distances = |a: &SearchAnswer| a.matches.iter().map(|m| m.distance).collect::<Vec<_>>();
    assert_eq!(distances(&answer), distances(&wanted));
    let first = &answer.matches[0];
    let label = if first.slot % 2 == 1 { Outcome::Changed } else { Outcome::Differs };
    let color = &first.explanation.as_ref().expect("asked for").attributes[0];
    assert_eq!((color.attribute.as_str(), color.outcome), ("color", label));
    assert_eq!(first.edits_met == EditsMet::All, label == Outcome::Changed);
    assert!(matches!(edits(&s, &[edit, edit]), Err(Error::Invalid(_))));
}

#[test]
fn bad_names_and_weights_are_typed_errors() {
    let s = snapshot(10, |_, _| false);
    let run = |spec: SearchSpec| search(&s, view(1), &spec, &planner()).err();
    let all = [("colr", "a"), ("color", "z"), ("shape", "a"), ("color", "a")];
    let Err(Error::Faults(faults)) = edits(&s, &all) else { panic!("none of these can be done") };
    let fields: Vec<&str> = faults.all().iter().map(Fault::field).collect();
    let paths = ["[0].attribute", "[1].label", "[2].label", "[3].attribute"];
    assert_eq!(fields, paths.map(|path| format!("manipulations{path}")));
    let told: Vec<String> = faults.all().iter().map(Fault::description).collect();
    assert!(told[0].starts_with("there is no attribute \"colr\""), "{told:?}");
    assert!(told[1].starts_with("attribute \"color\" has no label \"z\""), "{told:?}");
    assert!(told[1].ends_with("it has: a, b"), "{told:?}");
    assert!(told[2].contains("no prototype") && told[3].contains("edited twice"), "{told:?}");
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(matches!(run(spec(named(&[("color", bad)], false), 1)), Some(Error::Invalid(_))));
    }
    assert!(matches!(run(spec(named(&[("color", 0.0)], true), 1)), Some(Error::Invalid(_))));
    let zeros = named(&[("color", 0.0), ("pattern", 0.0), ("shape", 0.0)], false);
    assert!(matches!(run(spec(zeros, 1)), Some(Error::Invalid(_))));
    let huge = named(&[("color", f64::MAX), ("pattern", f64::MAX)], true);
    let answer = search(&s, view(1), &spec(huge, 1), &planner()).expect("scaled without overflow");
    assert!(answer.weights.values().all(|w| (w - 1.0).abs() < 1e-9));
}

/// Clustered signatures, coded: the labels of item i are decided by i, and so are its signatures.
fn coded_snapshot(count: u64, missing: impl Fn(u64, usize) -> bool) -> Snapshot {
    let mut s = snapshot(0, |_, _| false);
    for i in 0..count {
        put_clustered(&mut s, i, i, &missing);
    }
    code(&mut s);
    s
}

fn put_clustered(s: &mut Snapshot, id: u64, seed: u64, missing: &impl Fn(u64, usize) -> bool) {
    let signature = |h: usize| {
        let label = (seed * 31 + h as u64 * 17) % 5;
        let mut rng = ChaCha8Rng::seed_from_u64(seed * 8 + h as u64);
        let near = vector(label * 1000 + h as u64).into_iter().map(|c| c + rng.random_range(-0.3..0.3));
        Signature::new(near.collect()).expect("not zero").into_values()
    };
    let present = (0..HEADS.len()).filter(|h| !missing(id, *h));
    let signatures: Vec<_> = present.map(|h| (HEADS[h].to_owned(), signature(h))).collect();
    let record = ItemRecord {
        labels: Labels::from([("color".to_owned(), if id.is_multiple_of(2) { "a" } else { "b" }.to_owned())]),
        fields: Fields::new(),
        image: None,
        parts_case: None,
        updated_ms: 0,
        more_images: Vec::new(),
    };
    s.apply(&[put(&format!("i{id}"), record, signatures)]);
}

fn code(s: &mut Snapshot) {
    for column in s.signatures().columns().to_vec() {
        let coded = column.coded();
        assert!(s.adopt_codes(&column, &coded));
    }
}

/// Share of the true best that the scan of codes finds; every distance must be the exact one.
fn recall(s: &Snapshot, spec: &SearchSpec, queries: u64) -> f64 {
    let (mut found, mut wanted) = (0, 0);
    for seed in 0..queries {
        let exact = SearchSpec { plan: Some(PlanKind::ExactScan), ..spec.clone() };
        let coded = SearchSpec { plan: Some(PlanKind::CodeScan), ..spec.clone() };
        let exact = search(s, view(seed * 77), &exact, &planner()).expect("answers");
        let coded = search(s, view(seed * 77), &coded, &planner()).expect("answers");
        assert_eq!((exact.plan.kind, coded.plan.kind), (PlanKind::ExactScan, PlanKind::CodeScan));
        assert_eq!((exact.plan.scanned, exact.plan.missing), (coded.plan.scanned, coded.plan.missing));
        assert_eq!(coded.matches.len(), exact.matches.len());
        for m in &coded.matches {
            let by_hand = by_hand(s, &view(seed * 77), &coded.weights, m.slot);
            assert!((m.distance - by_hand).abs() < 1e-5, "{} {by_hand}", m.distance);
        }
        let last = exact.matches.last().map_or(0.0, |m| m.distance);
        found += coded.matches.iter().filter(|m| m.distance <= last + 1e-9).count();
        wanted += exact.matches.len();
    }
    found as f64 / wanted as f64
}

#[test]
fn the_scan_of_codes_finds_the_true_best() {
    let s = coded_snapshot(6000, |_, _| false);
    for weighting in [
        Weighting::Own,
        named(&[("color", 30.0)], false),
        named(&[("pattern", 2.0), ("shape", 1.0)], true),
        named(&[("shape", 1.0)], true),
    ] {
        for k in [1, 10, 100, 129, 500] {
            let share = recall(&s, &spec(weighting.clone(), k), 100);
            assert!(share >= 0.99, "{weighting:?} k {k}: {share}");
        }
    }
}

#[test]
fn the_scan_of_codes_honours_filters_exclusions_deletions_and_holes() {
    let mut s = coded_snapshot(5000, |i, h| i % 4 == h as u64);
    for i in (0..5000).step_by(9) {
        s.apply(&[delete(&format!("i{i}"))]);
    }
    for i in (1..5000).step_by(7) {
        put_clustered(&mut s, i, i + 90_000, &|i, h| i % 3 == h as u64);
    }
    let holes = spec(Weighting::Own, 20);
    assert!(recall(&s, &holes, 20) >= 0.99);
    let filtered = SearchSpec {
        filter: Filter::carrying([("color", "b")]),
        exclude: vec!["i1".into(), "i15".into()],
        ..holes
    };
    assert!(recall(&s, &filtered, 20) >= 0.99);
    let coded = SearchSpec { plan: Some(PlanKind::CodeScan), k: 1000, ..filtered };
    let answer = search(&s, view(3), &coded, &planner()).expect("answers");
    let id = |m: &Match| s.items().get(m.slot).expect("live").id.to_string();
    assert!(answer.matches.iter().map(id).all(|id| id != "i1" && id != "i15"));
    assert!(
        answer.matches.iter().all(|m| { s.items().get(m.slot).expect("live").label("color") == Some("b") })
    );
}

#[test]
fn few_items_may_pass_and_more_be_wanted_than_there_are() {
    let s = coded_snapshot(3000, |_, _| false);
    let exclude = (0..2990).map(|i| format!("i{i}")).collect();
    let few = SearchSpec { exclude, plan: Some(PlanKind::CodeScan), ..spec(Weighting::Own, 50) };
    let answer = search(&s, view(5), &few, &planner()).expect("answers");
    assert_eq!((answer.matches.len(), answer.plan.kind), (10, PlanKind::CodeScan));
    let filter = Filter::carrying([("color", "nothing")]);
    let none = SearchSpec { filter, plan: Some(PlanKind::CodeScan), ..spec(Weighting::Own, 5) };
    assert!(search(&s, view(5), &none, &planner()).expect("answers").matches.is_empty());
}

#[test]
fn a_column_without_codes_is_read_in_full_beside_coded_ones() {
    let mut s = coded_snapshot(4000, |_, _| false);
    s.add_reserve(Column::new("new", external_head("new", DIM, &["a"]), Precision::F32));
    s.activate("new");
    for slot in 0..4000u32 {
        let item = s.items().get(slot).expect("there").clone();
        s.add_signature("new", (slot, &item), &vector(u64::from(slot) + 5));
    }
    let mut with_new = view(8);
    with_new.vectors.insert("new".into(), vector(4242));
    let ask = |plan| SearchSpec { plan: Some(plan), ..spec(Weighting::Own, 10) };
    let exact = search(&s, with_new.clone(), &ask(PlanKind::ExactScan), &planner()).expect("answers");
    let coded = search(&s, with_new, &ask(PlanKind::CodeScan), &planner()).expect("answers");
    let slots = |a: &SearchAnswer| a.matches.iter().map(|m| m.slot).collect::<Vec<_>>();
    assert_eq!((slots(&exact), coded.plan.kind), (slots(&coded), PlanKind::CodeScan));
}

#[test]
fn half_precision_is_exact_for_what_it_keeps() {
    let mut s = Snapshot::default();
    s.add_reserve(Column::new("pattern", external_head("pattern", DIM, &["a"]), Precision::F16));
    s.activate("pattern");
    for i in 0..3000 {
        put_clustered(&mut s, i, i, &|_, h| h != 1);
    }
    code(&mut s);
    let stored = held(&s, "pattern").get(7).expect("there");
    let mut original = snapshot(0, |_, _| false);
    put_clustered(&mut original, 7, 7, &|_, _| false);
    let original = held(&original, "pattern").get(0).expect("there").into_owned();
    assert!(distance(&stored, &original) < 1e-3 && *stored != *original);
    let mut only = view(3);
    only.vectors.retain(|head, _| head == "pattern");
    let ask = |plan| SearchSpec { plan: Some(plan), ..spec(Weighting::Own, 10) };
    let exact = search(&s, only.clone(), &ask(PlanKind::ExactScan), &planner()).expect("answers");
    let coded = search(&s, only.clone(), &ask(PlanKind::CodeScan), &planner()).expect("answers");
    let distances = |a: &SearchAnswer| a.matches.iter().map(|m| m.distance).collect::<Vec<_>>();
    assert_eq!(distances(&exact), distances(&coded));
    let first =
        distance(&only.vectors["pattern"], &held(&s, "pattern").get(exact.matches[0].slot).expect("there"));
    assert!((f64::from(first) - exact.matches[0].distance).abs() < 1e-6);
}

#[test]
fn codes_follow_writes_and_are_made_anew_when_the_column_grows() {
    let mut s = coded_snapshot(100, |_, _| false);
    let column = held(&s, "shape");
    assert!(!column.wants_coding(50) && column.codec().is_some());
    let before = column.clone();
    let coded = before.coded();
    for i in 100..1000 {
        put_clustered(&mut s, i, i, &|_, _| false);
    }
    assert!(held(&s, "shape").wants_coding(50), "ten times as many signatures");
    // Writes that came while the codes were made are coded when they are adopted.
    assert!(s.adopt_codes(&before, &coded));
    assert!(recall(&s, &spec(Weighting::Own, 10), 10) >= 0.99);
    s.drop_column("shape");
    assert!(!s.adopt_codes(&before, &coded), "a head that is gone takes no codes");
}
