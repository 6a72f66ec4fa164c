use super::*;
use crate::Filter;
use crate::model::{ATTRIBUTES, Model, Stored, filter, writes};
use lapel_values::Labels;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// As plain loops have it.
fn by_hand<'a>(items: impl Iterator<Item = &'a Stored>, wanted: &[(&str, &str)]) -> Attained {
    let mut by_kept = BTreeMap::<Vec<usize>, u64>::new();
    for stored in items {
        let carries = |(attribute, label): &(&str, &str)| {
            stored.labels.get(*attribute).is_some_and(|other| other == label)
        };
        let kept = (0..wanted.len()).filter(|at| carries(&wanted[*at])).collect();
        *by_kept.entry(kept).or_default() += 1;
    }
    let together = by_kept.get(&(0..wanted.len()).collect::<Vec<_>>()).copied().unwrap_or(0);
    let most = by_kept.keys().map(Vec::len).max().unwrap_or(0);
    let mut kept: Vec<(Vec<usize>, u64)> =
        by_kept.into_iter().filter(|(kept, _)| together == 0 && most > 0 && kept.len() == most).collect();
    kept.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Attained { together, kept }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn what_is_attained_agrees_with_plain_loops(
        writes in writes(), filter in filter(), wanted in proptest::collection::vec((0usize..5, 0u8..4), 0..7)
    ) {
        let model = Model::of(writes);
        let labels: Vec<(&str, String)> =
            wanted.into_iter().map(|(at, label)| (ATTRIBUTES[at], label.to_string())).collect();
        let wanted: Vec<(&str, &str)> = labels.iter().map(|(at, label)| (*at, label.as_str())).collect();
        for filter in [Filter::default(), filter] {
            let passing = model.index.passing(&filter);
            let found = model.index.attainable(passing.as_ref(), &wanted);
            let items = model.passing(&filter).map(|(_, stored)| stored);
            prop_assert_eq!(found, by_hand(items, &wanted));
        }
    }
}

#[test]
fn no_more_than_64_subsets_are_told_of_the_most_items_first() {
    let names: Vec<String> = (0..12).map(|at| format!("a{at:02}")).collect();
    let mut model = Model::default();
    // An item for each pair of labels, and one more for the last.
    for (item, (first, second)) in
        (0..12).flat_map(|a| (a + 1..12).map(move |b| (a, b))).chain([(10, 11)]).enumerate()
    {
        let labels = Labels::from([first, second].map(|at: usize| (names[at].clone(), "yes".to_owned())));
        model.put(&format!("{item}"), Stored { labels, ..Stored::default() });
    }
    let wanted: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "yes")).collect();
    let Attained { together, kept } = model.index.attainable(None, &wanted);
    assert_eq!((together, kept.len()), (0, 64));
    assert_eq!(kept[..3], [(vec![10, 11], 2), (vec![0, 1], 1), (vec![0, 2], 1)]);
}
