//! Groups against plain loops over everything that passes.

use super::*;

/// Items of random products, one in `missing` without one; items are labelled a or b by their numbers.
fn products(rng: &mut ChaCha8Rng, count: u64, different: u32, missing: u32) -> Snapshot {
    let mut s = snapshot(0, |_, _| false);
    for i in 0..count {
        let signatures = HEADS.iter().enumerate().filter(|(h, _)| !(i + *h as u64).is_multiple_of(7));
        let signatures = signatures.map(|(h, head)| ((*head).to_owned(), vector(i * 3 + h as u64)));
        let product = FieldValue::Keyword(format!("p{}", rng.random_range(0..different)));
        let has_product = !rng.random_ratio(1, missing);
        let record = ItemRecord {
            labels: Labels::from([("color".to_owned(), if i % 2 == 0 { "a" } else { "b" }.to_owned())]),
            fields: has_product.then(|| ("product".to_owned(), product)).into_iter().collect(),
            image: None,
            parts_case: None,
            updated_ms: 0,
            more_images: Vec::new(),
        };
        // One in four has a second picture, of which the nearest counts.
        let second = HEADS.iter().enumerate().map(|(h, head)| ((*head).to_owned(), vector(i * 5 + h as u64)));
        let more = if rng.random_ratio(1, 4) { vec![second.collect()] } else { Vec::new() };
        s.apply(&[with_pictures(put(&format!("i{i}"), record, signatures.collect()), more)]);
    }
    s
}

fn id(s: &Snapshot, found: &Match) -> String {
    s.items().get(found.slot).expect("live").id.to_string()
}

/// Values and ids, best first.
type Told = Vec<(Option<FieldValue>, Vec<String>)>;

fn told(s: &Snapshot, groups: &[Group]) -> Told {
    let ids = |group: &Group| group.matches.iter().map(|found| id(s, found)).collect();
    groups.iter().map(|group| (group.value.clone(), ids(group))).collect()
}

/// All results in their order, taken together by their values.
fn grouped_by_hand(s: &Snapshot, all: &[Match], results_max: usize) -> Told {
    let mut groups: Told = Vec::new();
    for found in all {
        let item = s.items().get(found.slot).expect("live");
        let value = item.record().fields.get("product").cloned();
        let known = groups.iter_mut().find(|(known, _)| known.is_some() && *known == value);
        match known {
            Some((_, ids)) if ids.len() < results_max => ids.push(item.id.to_string()),
            Some(_) => {}
            None => groups.push((value, vec![item.id.to_string()])),
        }
    }
    groups
}

proptest! {
    #[test]
    fn groups_are_the_best_of_all_that_pass(
        seed in 0u64..1000,
        different in 1u32..120,
        missing in 2u32..12,
        k in 1usize..40,
        offset in 0usize..8,
        results_max in 1usize..5,
        is_filtered: bool,
        far in proptest::option::of(1.0f64..5.0),
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let s = products(&mut rng, 200, different, missing);
        let filter = if is_filtered { Filter::carrying([("color", "b")]) } else { Filter::default() };
        let exclude = vec!["i1".to_owned(), "i3".to_owned(), "nobody".to_owned()];
        let plain = SearchSpec { filter, exclude, distance_max: far, ..spec(Weighting::Own, 200) };
        let all = search(&s, view(seed), &plain, &planner()).expect("answers").matches;
        let grouping = Some(Grouping { field: "product".to_owned(), results_max });
        let asked = SearchSpec { grouping, k, offset, ..plain };
        let answer = search(&s, view(seed), &asked, &planner()).expect("answers");
        let wanted: Told =
            grouped_by_hand(&s, &all, results_max).into_iter().skip(offset).take(k).collect();
        let groups = answer.groups.expect("asked for");
        prop_assert_eq!(told(&s, &groups), wanted);
        prop_assert!(answer.matches.is_empty());
        for found in groups.iter().flat_map(|group| &group.matches) {
            let same = all.iter().find(|other| other.slot == found.slot).expect("passes");
            prop_assert_eq!(same.distance.to_bits(), found.distance.to_bits());
            prop_assert_eq!(&same.explanation, &found.explanation);
        }
    }
}

/// More items of the groups that are wanted than one search brings.
#[test]
fn members_of_large_groups_are_the_best_ones() {
    let s = products(&mut ChaCha8Rng::seed_from_u64(5), 6000, 2, 5000);
    let plain = SearchSpec { explain: false, ..spec(Weighting::Own, 6000) };
    let all = search(&s, view(9), &plain, &planner()).expect("answers").matches;
    let grouping = Some(Grouping { field: "product".to_owned(), results_max: 30 });
    let grouped = SearchSpec { grouping, k: 3, ..plain };
    let groups = search(&s, view(9), &grouped, &planner()).expect("answers").groups.expect("asked for");
    let wanted: Told = grouped_by_hand(&s, &all, 30).into_iter().take(3).collect();
    assert_eq!(told(&s, &groups), wanted);
}

#[test]
fn a_batch_of_all_forms_answers_each_as_if_it_were_alone() {
    let s = products(&mut ChaCha8Rng::seed_from_u64(6), 300, 20, 5);
    let plain = spec(Weighting::Own, 10);
    let grouping = Some(Grouping { field: "product".to_owned(), results_max: 2 });
    let paging = Some(Paging { request: ContentId::of(b"all"), before: None, wants_next: true });
    let specs = [
        plain.clone(),
        SearchSpec { grouping, ..plain.clone() },
        SearchSpec { weighting: named(&[("color", 0.0)], true), ..plain.clone() },
        SearchSpec { diversity: Some(Diversity { relevance: 0.5, pool: 40 }), ..plain.clone() },
        SearchSpec { paging, ..plain.clone() },
        SearchSpec { offset: 4, ..plain },
    ];
    let queries = specs.iter().map(|spec| (view(3), spec.clone())).collect();
    let together = search_batch(&s, queries, &planner(), 1, &|| false);
    assert_eq!(together.len(), specs.len());
    for (spec, answer) in specs.iter().zip(together) {
        let alone = search(&s, view(3), spec, &planner());
        match (answer, alone) {
            (Ok(answer), Ok(alone)) => {
                let ids = |a: &SearchAnswer| a.matches.iter().map(|m| id(&s, m)).collect::<Vec<_>>();
                assert_eq!(ids(&answer), ids(&alone));
                assert_eq!(answer.next, alone.next);
                let groups = |a: &SearchAnswer| a.groups.as_ref().map(|groups| told(&s, groups));
                assert_eq!(groups(&answer), groups(&alone));
            }
            (Err(_), Err(_)) => assert_eq!(spec.weighting, named(&[("color", 0.0)], true)),
            (answer, alone) => panic!("{answer:?} {alone:?}"),
        }
    }
}

#[test]
fn an_offset_passes_over_the_first_results_and_counts_are_of_all_that_pass() {
    let s = products(&mut ChaCha8Rng::seed_from_u64(7), 100, 10, 4);
    let all = search(&s, view(2), &spec(Weighting::Own, 100), &planner()).expect("answers");
    let facet = FacetOf::Field { field: "product".to_owned(), bounds: Vec::new() };
    let asked = SearchSpec {
        offset: 7,
        filter: Filter::carrying([("color", "a")]),
        facets: vec![(facet.clone(), 50)],
        result_facets: vec![(facet, 50)],
        ..spec(Weighting::Own, 9)
    };
    let answer = search(&s, view(2), &asked, &planner()).expect("answers");
    let slots = |matches: &[Match]| matches.iter().map(|m| m.slot).collect::<Vec<_>>();
    let passing: Vec<Slot> = slots(&all.matches).into_iter().filter(|slot| slot % 2 == 0).collect();
    assert_eq!(slots(&answer.matches), passing[7..16]);
    assert_eq!((answer.items_passing, all.items_passing), (50, 100));
    for (counted, among) in [(&answer.facets, &passing[..]), (&answer.result_facets, &passing[7..16])] {
        let [(_, counts)] = counted.as_slice() else { panic!("one was asked for") };
        let mut by_hand: BTreeMap<String, u64> = BTreeMap::new();
        for slot in among {
            let record = s.items().get(*slot).expect("live").record();
            if let Some(FieldValue::Keyword(product)) = record.fields.get("product") {
                *by_hand.entry(product.clone()).or_default() += 1;
            }
        }
        let found: BTreeMap<String, u64> = counts.counts.iter().cloned().collect();
        assert_eq!(found, by_hand);
        assert_eq!(counts.missing, among.len() as u64 - by_hand.values().sum::<u64>());
    }
}
