//! Pages beside writes: what was there all along comes exactly once.

use super::*;
use std::collections::BTreeSet;

fn record() -> ItemRecord {
    ItemRecord {
        labels: Labels::new(),
        fields: Fields::new(),
        image: None,
        parts_case: None,
        updated_ms: 0,
        more_images: Vec::new(),
    }
}

/// Few different signatures, so that many distances are equal.
fn signatures(rng: &mut ChaCha8Rng) -> Vec<(String, Vec<f32>)> {
    let signature = |head: &str| (head.to_owned(), vector(rng.random_range(0..40)));
    let mut all: Vec<_> = HEADS.into_iter().map(signature).collect();
    if rng.random_ratio(1, 5) {
        all.remove(rng.random_range(0..HEADS.len()));
    }
    all
}

/// An item, one in three with several pictures, of which the nearest counts.
fn some(rng: &mut ChaCha8Rng, id: &str) -> ItemChange {
    let first = signatures(rng);
    let more = if rng.random_ratio(1, 3) { rng.random_range(1..3) } else { 0 };
    let more = (0..more).map(|_| signatures(rng)).collect();
    with_pictures(put(id, record(), first), more)
}

fn paged(spec: &SearchSpec, before: Option<Cursor>) -> SearchSpec {
    let request = ContentId::of(b"this search");
    SearchSpec { paging: Some(Paging { request, before, wants_next: true }), ..spec.clone() }
}

fn ids(s: &Snapshot, answer: &SearchAnswer) -> Vec<String> {
    answer.matches.iter().map(|m| s.items().get(m.slot).expect("live").id.to_string()).collect()
}

/// Puts, replaces and deletes items, and adds to `touched` what was there and is not the same any more.
fn write(rng: &mut ChaCha8Rng, s: &mut Snapshot, touched: &mut BTreeSet<String>) {
    for _ in 0..rng.random_range(0..40) {
        let id = format!("i{:03}", rng.random_range(0..400));
        touched.insert(id.clone());
        if rng.random_ratio(1, 3) {
            s.apply(&[delete(&id)]);
        } else {
            s.apply(&[some(rng, &id)]);
        }
    }
    s.compact((true, true), rng.random_range(0..5));
}

proptest! {
    #[test]
    fn pages_lose_and_double_nothing_that_was_there_all_along(
        seed in 0u64..1000, k in 1usize..30, far in proptest::option::of(2.0f64..6.0)
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut s = snapshot(0, |_, _| false);
        for i in 0..rng.random_range(1..300) {
            s.apply(&[some(&mut rng, &format!("i{i:03}"))]);
        }
        let exclude = vec!["i001".to_owned(), "i005".to_owned()];
        let whole = SearchSpec { exclude, distance_max: far, ..spec(Weighting::Own, 300) };
        let answer = search(&s, view(seed), &whole, &planner()).expect("answers");
        let wanted = ids(&s, &answer);
        let asked = SearchSpec { k, ..whole };
        let (mut came, mut touched, mut before) = (Vec::new(), BTreeSet::new(), None);
        let mut last = (0.0, String::new());
        loop {
            // The query comes with the cursor.
            let view = if before.is_none() { view(seed) } else { QueryView::default() };
            let answer = search(&s, view, &paged(&asked, before.take()), &planner()).expect("answers");
            prop_assert!(answer.matches.len() <= k);
            for (found, id) in answer.matches.iter().zip(ids(&s, &answer)) {
                let place = (found.distance, id.clone());
                prop_assert!(came.is_empty() || last < place, "{last:?} {place:?}");
                last = place;
                came.push(id);
            }
            let Some(next) = answer.next else { break };
            prop_assert_eq!(next.seen % k, 0);
            before = Some(next);
            write(&mut rng, &mut s, &mut touched);
        }
        // The order is strict, so nothing untouched can come twice.
        let untouched = |ids: &[String]| -> Vec<String> {
            ids.iter().filter(|id| !touched.contains(*id)).cloned().collect()
        };
        prop_assert_eq!(untouched(&came), untouched(&wanted));
    }
}

#[test]
fn without_writes_pages_are_the_whole_answer_with_its_reasons() {
    let s = coded_snapshot(3000, |i, h| i % 7 == h as u64);
    let edits = edits(&s, &[("color", "b")]).expect("there");
    let whole = SearchSpec { edits, filter: Filter::carrying([("color", "a")]), ..spec(Weighting::Own, 100) };
    let whole = SearchSpec { plan: Some(PlanKind::ExactScan), ..whole };
    let mut shown = view(4);
    shown.labels.insert("pattern".to_owned(), "a".to_owned());
    let all = search(&s, shown.clone(), &whole, &planner()).expect("answers");
    let (mut before, mut came) = (None, Vec::new());
    for page in 0..10 {
        let view = if page == 0 { shown.clone() } else { QueryView::default() };
        let asked = paged(&SearchSpec { k: 10, ..whole.clone() }, before);
        let answer = search(&s, view, &asked, &planner()).expect("answers");
        assert_eq!((&answer.weights, &answer.effects), (&all.weights, &all.effects));
        assert_eq!(answer.head_weights, all.head_weights);
        came.extend(answer.matches);
        before = answer.next;
    }
    assert!(before.is_some(), "1500 items pass");
    for (found, wanted) in came.iter().zip(&all.matches) {
        assert_eq!((found.slot, found.distance.to_bits()), (wanted.slot, wanted.distance.to_bits()));
        assert_eq!(found.explanation, wanted.explanation);
    }
    assert_eq!(came.len(), all.matches.len());
}

#[test]
fn the_last_page_says_so() {
    let s = snapshot(20, |_, _| false);
    for (k, pages) in [(20, 1), (10, 2), (7, 3), (25, 1)] {
        let (mut before, mut count) = (None, 0);
        loop {
            let answer = search(&s, view(1), &paged(&spec(Weighting::Own, k), before), &planner());
            count += 1;
            before = answer.expect("answers").next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(count, pages, "{k} a page");
    }
    let unpaged = search(&s, view(1), &spec(Weighting::Own, 5), &planner()).expect("answers");
    assert!(unpaged.next.is_none());
}

#[test]
fn a_cursor_that_no_search_has_made_or_whose_head_is_gone_is_refused() {
    let mut s = snapshot(20, |_, _| false);
    let first = search(&s, view(1), &paged(&spec(Weighting::Own, 5), None), &planner()).expect("answers");
    let cursor = first.next.expect("more");
    let run = |s: &Snapshot, cursor: &Cursor| {
        search(s, QueryView::default(), &paged(&spec(Weighting::Own, 5), Some(cursor.clone())), &planner())
    };
    assert_eq!(run(&s, &cursor).expect("sound").matches.len(), 5);
    let changes: [fn(&mut Cursor); 9] = [
        |cursor| cursor.terms.clear(),
        |cursor| cursor.terms[0].term.weight = f64::NAN,
        |cursor| cursor.terms[0].term.weight = 100.0,
        |cursor| cursor.terms[2].term.weight = 0.0,
        |cursor| cursor.terms[1].term.expected = f32::INFINITY,
        |cursor| cursor.terms[1].term.vector[0] = f32::NAN,
        |cursor| cursor.terms[1].term.vector[0] = 2.0,
        |cursor| {
            cursor.terms[1].term.vector.pop();
        },
        |cursor| cursor.terms[1] = cursor.terms[0].clone(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut changed = cursor.clone();
        change(&mut changed);
        assert!(matches!(run(&s, &changed), Err(Error::Invalid(_))), "change {at}");
    }
    s.drop_column("pattern");
    let gone = run(&s, &cursor);
    assert!(matches!(gone, Err(Error::Precondition { reason: "PAGE_EXPIRED", .. })), "{gone:?}");
}
