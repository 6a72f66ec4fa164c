use super::*;
use crate::model::{Model, filter, writes};
use lapel_values::{FieldKind, FieldValue, Fields, Labels};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Ids of slots.
fn ids(index: &ItemIndex, slots: impl IntoIterator<Item = Slot>) -> Vec<String> {
    slots.into_iter().map(|slot| index.id(slot).expect("live").to_string()).collect()
}

fn field(name: &str, value: FieldValue) -> Fields {
    Fields::from([(name.to_owned(), value)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Random writes and moves against a plain map: filters, lists and counts agree, whether the index was written item by
    /// item or built at once.
    #[test]
    fn filters_agree_with_a_plain_map(
        writes in writes(), filters in proptest::collection::vec(filter(), 1..12), after in 0u8..30, most in 1usize..40
    ) {
        let model = Model::of(writes);
        let after = format!("i{after:02}");
        for index in [&model.index, &model.rebuilt(), &model.restored()] {
            prop_assert_eq!(index.len(), model.items.len());
            for filter in &filters {
                let wanted: Vec<String> = model.passing(filter).map(|(id, _)| id.clone()).collect();
                prop_assert_eq!(index.count(filter) as usize, wanted.len());
                let slots = index.passing(filter);
                prop_assert!(slots.as_ref().is_none_or(|slots| slots.is_subset(index.live())));
                let mut found = ids(index, slots.as_ref().unwrap_or(index.live()));
                found.sort_unstable();
                prop_assert_eq!(&found, &wanted);
                let listed = index.list(filter, &after, most, &|| false);
                let wanted: Vec<String> = wanted.into_iter().filter(|id| *id > after).take(most).collect();
                prop_assert_eq!(ids(index, listed), wanted);
                // Without conditions no more than the answer is looked at.
                prop_assert!(slots.is_none() || index.list(filter, &after, most, &|| true).is_empty());
            }
        }
    }

    #[test]
    fn nothing_is_left_of_labels_and_fields_that_no_item_has(writes in writes()) {
        let model = Model::of(writes);
        let labels: BTreeSet<(&str, &str)> = model
            .items
            .values()
            .flat_map(|stored| &stored.labels)
            .map(|(attribute, label)| (attribute.as_str(), label.as_str()))
            .collect();
        let mut fields = BTreeMap::<&str, (FieldKind, u64)>::new();
        for (field, value) in model.items.values().flat_map(|stored| &stored.fields) {
            fields.entry(field).or_insert((value.kind(), 0)).1 += 1;
        }
        for index in [&model.index, &model.rebuilt(), &model.restored()] {
            let of_attribute = index.labels().iter();
            let indexed = of_attribute.flat_map(|(a, of)| of.keys().map(|label| (a.as_str(), label.as_str())));
            prop_assert_eq!(indexed.collect::<BTreeSet<_>>(), labels.clone());
            let indexed = index.fields().iter().map(|(field, kind, items)| (field.as_str(), (kind, items)));
            prop_assert_eq!(indexed.collect::<BTreeMap<_, _>>(), fields.clone());
            for field in crate::model::FIELDS {
                prop_assert_eq!(index.fields().kind(field), fields.get(field).map(|(kind, _)| *kind));
            }
        }
    }
}

#[test]
fn filters_without_conditions_pass_all_or_nothing() {
    let mut index = ItemIndex::default();
    let (labels, fields) = (Labels::new(), Fields::new());
    index.put(&"a".into(), None, ItemFacts { labels: &labels, fields: &fields, pictures: 1 });
    let nothing = || Filter::Any(Vec::new());
    for (filter, is_structural, count) in [
        (Filter::default(), true, 1),
        (Filter::None(Vec::new()), true, 1),
        (nothing(), false, 0),
        (Filter::None(vec![nothing()]), false, 1),
        (Filter::None(vec![Filter::default()]), false, 0),
        (Filter::Any(vec![nothing(), Filter::default()]), true, 1),
        (Filter::All(vec![Filter::default(), Filter::default()]), true, 1),
    ] {
        assert_eq!(index.passing(&filter).is_none(), is_structural, "{filter:?}");
        assert_eq!(index.count(&filter), count, "{filter:?}");
    }
}

#[test]
fn a_value_of_another_kind_is_not_indexed_and_a_field_takes_the_kind_of_its_first_value() {
    let labels = Labels::new();
    let facts = |fields| ItemFacts { labels: &labels, fields, pictures: 1 };
    let (whole, word, later) = (
        field("size", FieldValue::Integer(7)),
        field("size", FieldValue::Keyword("7".to_owned())),
        field("size", FieldValue::Keyword("8".to_owned())),
    );
    let mut index = ItemIndex::default();
    index.put(&"a".into(), None, facts(&whole));
    index.put(&"b".into(), None, facts(&word));
    let has = Filter::HasField { field: "size".to_owned() };
    assert_eq!((index.fields().kind("size"), index.count(&has)), (Some(FieldKind::Integer), 1));
    // The only value that is indexed changes its kind.
    index.put(&"a".into(), Some(facts(&whole)), facts(&word));
    assert_eq!((index.fields().kind("size"), index.count(&has)), (Some(FieldKind::Keyword), 1));
    // The one that was not indexed is as soon as it is written.
    index.put(&"b".into(), Some(facts(&word)), facts(&later));
    assert_eq!(index.count(&has), 2);
    index.remove("a", Some(facts(&word)));
    index.remove("b", Some(facts(&later)));
    assert_eq!((index.fields().kind("size"), index.fields().iter().count()), (None, 0));
}
