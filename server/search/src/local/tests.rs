mod distance;
mod pictures;
mod rows;
mod state;

use super::*;
use crate::{Filter, PlanKind, Precision, SearchTerm, Tuning};
use lapel_values::{Fields, Labels};
use proptest::prelude::*;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

const DIM: usize = 16;
const KEYS: [&str; 3] = ["color", "pattern", "shape"];

fn unit(values: Vec<f32>) -> Vec<f32> {
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    values.into_iter().map(|v| v / length).collect()
}

/// A unit vector near one of five centres.
fn near(centre: u64, seed: u64, spread: f32) -> Vec<f32> {
    let mut centres = ChaCha8Rng::seed_from_u64(centre);
    let mut noise = ChaCha8Rng::seed_from_u64(seed + 1000);
    unit(
        (0..DIM)
            .map(|_| centres.random_range(-1.0..1.0f32) + spread * noise.random_range(-1.0..1.0f32))
            .collect(),
    )
}

fn labels(item: u64) -> Labels {
    BTreeMap::from([("parity".to_owned(), if item.is_multiple_of(2) { "even" } else { "odd" }.to_owned())])
}

fn facts(labels: &Labels) -> ItemFacts<'_> {
    static NONE: Fields = Fields::new();
    ItemFacts { labels, fields: &NONE, pictures: 1 }
}

fn id(item: u64) -> Arc<str> {
    format!("i{item}").as_str().into()
}

fn signatures(item: u64, has: impl Fn(u64, u64) -> bool) -> Vec<(String, Vec<f32>)> {
    let present = (0..).zip(KEYS).filter(|(h, _)| has(item, *h));
    present.map(|(h, key)| (key.to_owned(), near((item * 31 + h * 17) % 5, item * 8 + h, 0.4))).collect()
}

/// Items 0 to `count`, in one change each. The signatures of one column are in a file, those of the others in memory.
fn catalogue(count: u64, has: impl Fn(u64, u64) -> bool) -> LocalSignatures {
    let mut local = LocalSignatures::default();
    for key in KEYS {
        local.add_column(SignatureColumn::new(&key.into(), DIM, Precision::F32));
    }
    for item in 0..count {
        put(&mut local, item, None, &signatures(item, &has));
    }
    rows::spill(&mut local, "pattern", usize::MAX);
    local
}

fn put(
    local: &mut LocalSignatures,
    item: u64,
    before: Option<&Labels>,
    given: &[(String, Vec<f32>)],
) -> Vec<Replaced> {
    let (id, after) = (id(item), labels(item));
    let (before, after) = (before.map(facts), Some(facts(&after)));
    let change = Change { id: &id, before, after, signatures: NewSignatures::Only(given), pictures: &[] };
    local.apply(&[change]).expect("memory does not fail")
}

fn code(local: &mut LocalSignatures) {
    for column in local.columns().to_vec() {
        let coded = column.coded();
        assert!(local.adopt_codes(&column, &coded));
    }
}

fn query(seed: u64, weights: &[f64], k: usize) -> SignatureQuery {
    let term = |(key, weight): (&&str, &f64)| SearchTerm {
        column: (*key).into(),
        vector: near(seed % 5, seed, 0.6),
        weight: *weight,
        expected: 1.1,
    };
    let terms = KEYS.iter().zip(weights).map(term).collect();
    SignatureQuery { terms, k, with_terms: true, ..SignatureQuery::default() }
}

fn by_plan(local: &LocalSignatures, query: &SignatureQuery, plan: PlanKind) -> SignatureAnswer {
    let query = SignatureQuery { plan: Some(plan), ..query.clone() };
    let answer = search(local, &[query], 1, &|| false).remove(0).expect("answers");
    assert_eq!(answer.plan.kind, plan);
    answer
}

fn search(
    local: &LocalSignatures,
    queries: &[SignatureQuery],
    threads: usize,
    is_abandoned: crate::IsAbandoned<'_>,
) -> Vec<Result<SignatureAnswer, SignaturesError>> {
    let mut tuning = Tuning::of_this_machine();
    // Such that every scan is worth two threads.
    (tuning.costs.exact_number, tuning.costs.residual_code) = (1e6, 1e6);
    local.search(queries, &Budget { tuning: &tuning, threads, is_abandoned })
}

/// Items by distance and id, in plain numbers.
fn by_hand(
    local: &LocalSignatures,
    query: &SignatureQuery,
    passes: impl Fn(u64) -> bool,
) -> Vec<(f64, String)> {
    let items = (0..local.items().len() as u64).filter(|item| passes(*item));
    let mut all: Vec<(f64, String)> = items
        .map(|item| {
            let rows = local.rows(&[&id(item)], &KEYS).expect("known columns").remove(0);
            let term = |(term, row): (&SearchTerm, &Option<std::borrow::Cow<'_, [f32]>>)| {
                let squared =
                    |row: &[f32]| term.vector.iter().zip(row).map(|(q, r)| (q - r).powi(2)).sum::<f32>();
                let distance = row.as_deref().map_or(term.expected, |row| squared(row).sqrt());
                term.weight * f64::from(distance)
            };
            (query.terms.iter().zip(&rows).map(term).sum(), id(item).to_string())
        })
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_scan_finds_the_true_best(
        seed in 0u64..1000, heavy in 1.0f64..30.0, light in 0.1f64..1.0, k in 1usize..40, hole in 2u64..9,
        odd in any::<bool>(),
    ) {
        let local = catalogue(300, |item, h| item % hole != h);
        let mut query = query(seed, &[heavy, light, light / 2.0], k);
        if odd {
            query.filter = Filter::carrying([("parity", "odd")]);
        }
        query.exclude = vec!["i7".into(), "nobody".into()];
        let answer = by_plan(&local, &query, PlanKind::ExactScan);
        let wanted = by_hand(&local, &query, |item| item != 7 && (!odd || item % 2 == 1));
        prop_assert_eq!(answer.hits.len(), k.min(wanted.len()));
        for (hit, (distance, _)) in answer.hits.iter().zip(&wanted) {
            prop_assert!((hit.distance - distance).abs() < 1e-4, "{} {distance}", hit.distance);
            let terms = query.terms.iter().zip(&hit.terms);
            let sum: f64 = terms.map(|(term, found)| term.weight * f64::from(found.distance)).sum();
            prop_assert_eq!(sum.to_bits(), hit.distance.to_bits(), "terms add up");
            let item: u64 = hit.id[1..].parse().expect("a number");
            for (h, term) in (0..).zip(&hit.terms) {
                prop_assert_eq!(term.missing, item % hole == h);
            }
        }
    }
}

#[test]
fn codes_and_an_index_find_what_the_scan_does_with_the_same_distances() {
    let mut local = catalogue(5000, |item, h| item % 7 != h || h == 0);
    code(&mut local);
    let color = local.column("color").expect("there");
    color.follow_index(&|| false).expect("built");
    for (weights, plans) in [
        (vec![3.0, 0.05, 0.05], vec![PlanKind::CodeScan]),
        (vec![1.0, 1.0, 1.0], vec![PlanKind::CodeScan]),
        (vec![1.0], vec![PlanKind::CodeScan, PlanKind::Hnsw]),
    ] {
        for plan in plans {
            let (mut found, mut wanted) = (0, 0);
            for seed in 0..20 {
                let query = query(seed * 77, &weights, 20);
                let bits = |answer: SignatureAnswer| -> BTreeMap<Arc<str>, u64> {
                    answer.hits.into_iter().map(|hit| (hit.id, hit.distance.to_bits())).collect()
                };
                let exact = bits(by_plan(&local, &query, PlanKind::ExactScan));
                let other = bits(by_plan(&local, &query, plan));
                wanted += exact.len();
                for (id, distance) in &other {
                    found += usize::from(exact.contains_key(id));
                    assert!(exact.get(id).is_none_or(|exact| exact == distance), "{plan:?} {id}");
                }
            }
            assert!(found * 100 >= wanted * 98, "{plan:?} {weights:?}: {found} of {wanted}");
        }
    }
}

#[test]
fn finer_codes_leave_few_to_be_scored() {
    let mut local = catalogue(20_000, |_, h| h == 0);
    code(&mut local);
    let (mut scored, mut found) = (0, 0);
    for seed in 0..20 {
        let query = query(seed * 77, &[1.0], 10);
        let answer = by_plan(&local, &query, PlanKind::CodeScan);
        scored += answer.plan.rescored;
        let exact = by_plan(&local, &query, PlanKind::ExactScan);
        found += answer.hits.iter().filter(|hit| exact.hits.contains(hit)).count();
    }
    assert!(found >= 198, "{found} of 200");
    assert!(scored < 20 * 600, "{scored} by 20 queries");
}

#[test]
fn a_batch_answers_as_its_queries_do_alone_whatever_tile_and_thread() {
    let mut local = catalogue(11_000, |item, h| item % 11 != h);
    code(&mut local);
    assert!(local.items().blocks() > 10, "more than one tile");
    let weights: [&[f64]; 3] = [&[1.0, 1.0, 1.0], &[9.0, 1.0, 0.5], &[1.0]];
    let mut queries: Vec<_> = (0..19)
        .map(|seed| {
            let plan = if seed % 5 == 4 { PlanKind::ExactScan } else { PlanKind::CodeScan };
            let filter = Filter::carrying((seed % 4 == 3).then_some(("parity", "even")));
            SignatureQuery { plan: Some(plan), filter, ..query(seed, weights[seed as usize % 3], 10) }
        })
        .collect();
    queries[3].terms.clear();
    queries[5].terms[0].column = "nothing".into();
    queries[6].terms[0].vector.pop();
    let alone: Vec<_> =
        queries.iter().flat_map(|query| search(&local, std::slice::from_ref(query), 1, &|| false)).collect();
    assert_eq!(alone[3], Err(SignaturesError::NoTerms));
    assert_eq!(alone[5], Err(SignaturesError::UnknownColumn("nothing".into())));
    assert!(matches!(alone[6], Err(SignaturesError::Dimension { found: 15, wanted: 16, .. })));
    for threads in [1, 2] {
        assert_eq!(search(&local, &queries, threads, &|| false), alone, "{threads} threads");
    }
}

#[test]
fn an_abandoned_search_ends_soon() {
    let mut local = catalogue(11_000, |_, _| true);
    code(&mut local);
    for plan in [PlanKind::ExactScan, PlanKind::CodeScan] {
        let queries = vec![SignatureQuery { plan: Some(plan), ..query(1, &[1.0; 3], 10) }; 3];
        let asked = AtomicUsize::new(0);
        let answers = search(&local, &queries, 1, &|| asked.fetch_add(1, Ordering::Relaxed) > 0);
        assert_eq!(answers.len(), 3);
        assert!(asked.into_inner() <= 2 * 3 + 1, "{plan:?}");
    }
}

#[test]
fn few_are_scored_after_a_search_is_abandoned() {
    let mut local = catalogue(11_000, |_, _| true);
    code(&mut local);
    let query = SignatureQuery { plan: Some(PlanKind::CodeScan), ..query(1, &[1.0; 3], 1000) };
    let whole = search(&local, std::slice::from_ref(&query), 1, &|| false);
    let most = whole[0].as_ref().expect("answered").plan.rescored;
    assert!(most >= 1000);
    for waits in 0.. {
        let asked = AtomicUsize::new(0);
        let answers = search(&local, std::slice::from_ref(&query), 1, &|| {
            asked.fetch_add(1, Ordering::Relaxed) >= waits
        });
        let rescored = answers[0].as_ref().expect("answered").plan.rescored;
        assert!(rescored <= 64 * waits as u64, "{rescored} after {waits}");
        if asked.into_inner() <= waits {
            assert_eq!(rescored, most);
            break;
        }
    }
}

#[test]
fn changes_tell_what_they_replace_and_leave_clones_alone() {
    let mut local = catalogue(3, |item, h| item != 1 || h != 2);
    let old = local.clone();
    let all = signatures(1, |_, _| true);
    let (id, labels) = (id(1), labels(1));
    let before = Some(facts(&labels));
    let given = [("color".to_owned(), unit(vec![1.0; DIM])), ("gone".to_owned(), vec![1.0])];
    let signatures = NewSignatures::Also(&given);
    let also = Change { id: &id, before, after: before, signatures, pictures: &[] };
    let goes = Change { after: None, signatures: NewSignatures::Only(&[]), ..also };
    let replaced = local.apply(&[also, goes]).expect("memory does not fail");
    let of = |key: &str| replaced.iter().find(|r| *r.column == *key).expect("there").signatures.clone();
    let had = |h: usize| Some(all[h].1.clone());
    assert_eq!(of("color"), [had(0), Some(given[0].1.clone())]);
    assert_eq!(of("pattern"), [None, had(1)]);
    assert_eq!(of("shape"), [None, None]);
    assert_eq!(local.rows(&["i1", "i2"], &["color"]).expect("known")[0], [None]);
    assert!(local.rows(&["i2"], &["gone"]).is_err());
    assert_eq!(old.rows(&["i1"], &["color"]).expect("known")[0][0].as_deref(), had(0).as_deref());
    assert_eq!((local.items().len(), old.items().len()), (2, 3));
    assert_eq!(local.column("color").map(SignatureColumn::count), Some(2));
    let odd = Filter::carrying([("parity", "odd")]);
    assert_eq!((local.items().count(&odd), old.items().count(&odd)), (0, 1));
    let short = [("color".to_owned(), vec![1.0])];
    let change = Change { after: before, signatures: NewSignatures::Only(&short), ..goes };
    assert!(local.apply(&[change]).is_err() && local.items().len() == 2, "all or nothing");
    // Its slot is taken by the next item.
    put(&mut local, 9, None, &[]);
    assert_eq!((local.items().slot("i9"), local.items().count(&odd)), (Some(1), 1));
}
