use super::*;
use crate::Filter;
use crate::model::{ATTRIBUTES, FIELDS, Model, Stored, filter, value, writes};
use crate::words::words;
use lapel_values::Fields;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// A facet as plain loops count it.
fn by_hand<'a>(items: impl Iterator<Item = &'a Stored>, of: &FacetOf, values_max: usize) -> FacetCounts {
    let mut counts = FacetCounts::default();
    let mut by_word = BTreeMap::<&str, u64>::new();
    let mut numbers = BTreeSet::new();
    if let FacetOf::Field { bounds, .. } = of
        && !bounds.is_empty()
    {
        counts.buckets = vec![0; bounds.len() + 1];
    }
    for stored in items {
        match of {
            FacetOf::Attribute(attribute) => match stored.labels.get(attribute) {
                Some(label) => *by_word.entry(label).or_default() += 1,
                None => counts.missing += 1,
            },
            FacetOf::Field { field, bounds } => match stored.fields.get(field) {
                Some(value) if value.kind().is_ordered() => {
                    numbers.insert(value);
                    counts.buckets[bounds.iter().filter(|bound| *bound <= value).count()] += 1;
                }
                Some(value) => {
                    words(value).into_iter().for_each(|word| *by_word.entry(word).or_default() += 1);
                }
                None => counts.missing += 1,
            },
        }
    }
    counts.values = (by_word.len() + numbers.len()) as u64;
    counts.least = numbers.first().map(|value| (*value).clone());
    counts.greatest = numbers.last().map(|value| (*value).clone());
    let mut by_count: Vec<(String, u64)> =
        by_word.into_iter().map(|(word, n)| (word.to_owned(), n)).collect();
    by_count.sort_by_key(|(_, count)| Reverse(*count));
    by_count.truncate(values_max);
    FacetCounts { counts: by_count, ..counts }
}

/// Every attribute and field, and one of each that there is not.
fn all(low: u8, high: u8) -> Vec<FacetOf> {
    let attributes = ATTRIBUTES.into_iter().chain(["nothing"]);
    let fields = FIELDS.into_iter().chain(["nothing"]).map(|field| {
        let mut bounds = vec![value(field, low, false), value(field, high, false)];
        bounds.retain(|bound| bound.kind().is_ordered());
        bounds.sort();
        bounds.dedup();
        FacetOf::Field { field: field.to_owned(), bounds }
    });
    attributes.map(|attribute| FacetOf::Attribute(attribute.to_owned())).chain(fields).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn facets_agree_with_plain_loops(
        writes in writes(), filter in filter(), low in 0u8..8, high in 0u8..8, values_max in 0usize..6
    ) {
        let model = Model::of(writes);
        for filter in [Filter::default(), filter] {
            let passing = model.index.passing(&filter);
            let facets = model.index.facets(passing.as_ref());
            for of in all(low, high) {
                let found = facets.count(&of, values_max);
                let items = model.passing(&filter).map(|(_, stored)| stored);
                prop_assert_eq!(found, by_hand(items, &of, values_max), "{:?}", of);
            }
        }
    }
}

#[test]
fn fields_of_many_values_agree_with_plain_loops() {
    let mut model = Model::default();
    for item in 0..6000i64 {
        // Products of one to twenty items, so that their sets have every form.
        let product = FieldValue::Keyword(format!("p{}", if item < 3000 { item } else { item % 150 }));
        let number = FieldValue::Integer(item * 7919 % 6000 - 3000);
        let brand = FieldValue::Keyword(format!("b{}", item * 31 % 150));
        let mut fields = Fields::from([
            ("brand".to_owned(), brand),
            ("sku".to_owned(), product),
            ("stock".to_owned(), number),
        ]);
        if item % 9 == 0 {
            fields.remove("brand");
        }
        let labels = (item % 7 != 0).then(|| ("colour".to_owned(), format!("c{}", item % 101)));
        model.put(&format!("{item}"), Stored { fields, labels: labels.into_iter().collect() });
    }
    let bounds = [-2500, 0, 10].map(FieldValue::Integer).to_vec();
    let facets = [
        FacetOf::Attribute("colour".to_owned()),
        FacetOf::Field { field: "brand".to_owned(), bounds: Vec::new() },
        FacetOf::Field { field: "sku".to_owned(), bounds: Vec::new() },
        FacetOf::Field { field: "stock".to_owned(), bounds },
    ];
    let range = |from, to| Filter::Range {
        field: "stock".to_owned(),
        from: Bound::Included(FieldValue::Integer(from)),
        to: Bound::Excluded(FieldValue::Integer(to)),
    };
    for filter in [Filter::default(), range(-3000, 2900), range(5, 100), range(-1500, 1500), range(9, 9)] {
        let passing = model.index.passing(&filter);
        let counter = model.index.facets(passing.as_ref());
        assert_eq!(model.index.count(&filter) as usize, model.passing(&filter).count());
        for of in &facets {
            let found = counter.count(of, 20);
            let wanted = by_hand(model.passing(&filter).map(|(_, stored)| stored), of, 20);
            assert_eq!(found, wanted, "{filter:?} {of:?}");
        }
    }
}
