//! For tests: a catalogue as a plain map has it, beside its index.

use crate::{BLOCK, Filter, ItemIndex, Slot};
use lapel_values::{FieldValue, Fields, Finite, ItemFacts, Labels};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

pub(crate) const ATTRIBUTES: [&str; 5] = ["colour", "cut", "fit", "style", "weave"];
/// One of each kind.
pub(crate) const FIELDS: [&str; 6] = ["made", "price", "sale", "sizes", "sku", "stock"];
/// Values are made of numbers below this.
pub(crate) const VALUES: u8 = 8;

/// What is stored of an item.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) labels: Labels,
    pub(crate) fields: Fields,
}

impl Stored {
    pub(crate) fn facts(&self) -> ItemFacts<'_> {
        ItemFacts { labels: &self.labels, fields: &self.fields, pictures: 1 }
    }
}

/// A write of one item, or the closing of all gaps.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put(u8, Stored),
    Remove(u8),
    Compact,
}

/// The index and what it is of.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) index: ItemIndex,
    pub(crate) items: BTreeMap<String, Stored>,
}

impl Model {
    pub(crate) fn of(writes: Vec<Write>) -> Self {
        let mut model = Self::default();
        for write in writes {
            match write {
                Write::Put(item, stored) => model.put(&format!("i{item:02}"), stored),
                Write::Remove(item) => model.remove(&format!("i{item:02}")),
                Write::Compact => model.compact(),
            }
        }
        model
    }

    pub(crate) fn put(&mut self, id: &str, stored: Stored) {
        let before = self.items.get(id).map(Stored::facts);
        self.index.put(&Arc::from(id), before, stored.facts());
        self.items.insert(id.to_owned(), stored);
    }

    fn remove(&mut self, id: &str) {
        self.index.remove(id, self.items.get(id).map(Stored::facts));
        self.items.remove(id);
    }

    fn compact(&mut self) {
        while let Some((from, to)) = self.index.gap() {
            let id = self.index.id(from).expect("live").clone();
            self.index.shift((from, to), self.items[&*id].facts());
        }
        self.index.truncate();
    }

    /// The index as it is built at once.
    pub(crate) fn rebuilt(&self) -> ItemIndex {
        let slots = self.index.live().max().map_or(0, |last| last + 1);
        let item = |slot: Slot| {
            let id = self.index.id(slot)?.clone();
            let facts = self.items[&*id].facts();
            Some((id, facts))
        };
        ItemIndex::of((0..slots).map(item))
    }

    /// The index as a stop leaves it and a start restores it.
    pub(crate) fn restored(&self) -> ItemIndex {
        let state = postcard::to_stdvec(&self.index.state()).expect("memory");
        let slots = self.index.live().max().map_or(0, |last| last + 1);
        let ids: Vec<Option<Arc<str>>> = (0..slots).map(|slot| self.index.id(slot).cloned()).collect();
        let fields = (0..slots).filter_map(|slot| {
            let stored = &self.items[&**self.index.id(slot)?];
            Some((slot, stored.fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()))
        });
        let blocks = ids.chunks(BLOCK).map(<[_]>::to_vec).collect();
        ItemIndex::restore(postcard::from_bytes(&state).expect("a state"), blocks, fields)
            .expect("the same items")
    }

    /// Items that pass, by id.
    pub(crate) fn passing(&self, filter: &Filter) -> impl Iterator<Item = (&String, &Stored)> {
        self.items.iter().filter(move |(id, stored)| passes(filter, id, stored))
    }
}

fn passes(filter: &Filter, id: &str, stored: &Stored) -> bool {
    let passes = |filter: &Filter| passes(filter, id, stored);
    match filter {
        Filter::All(filters) => filters.iter().all(passes),
        Filter::Any(filters) => filters.iter().any(passes),
        Filter::None(filters) => !filters.iter().any(passes),
        Filter::Label { attribute, any_of } => {
            stored.labels.get(attribute).is_some_and(|label| any_of.contains(label))
        }
        Filter::HasLabel { attribute } => stored.labels.contains_key(attribute),
        Filter::Field { field, any_of } => stored.fields.get(field).is_some_and(|value| match value {
            FieldValue::Keywords(words) => {
                any_of.iter().any(|asked| matches!(asked, FieldValue::Keyword(word) if words.contains(word)))
            }
            value => any_of.contains(value),
        }),
        Filter::Range { field, from, to } => stored.fields.get(field).is_some_and(|value| {
            let same = |bound: &FieldValue| value.kind().is_ordered() && bound.kind() == value.kind();
            let is_above = match from {
                Bound::Included(bound) => same(bound) && value >= bound,
                Bound::Excluded(bound) => same(bound) && value > bound,
                Bound::Unbounded => value.kind().is_ordered(),
            };
            let is_below = match to {
                Bound::Included(bound) => same(bound) && value <= bound,
                Bound::Excluded(bound) => same(bound) && value < bound,
                Bound::Unbounded => true,
            };
            is_above && is_below
        }),
        Filter::HasField { field } => stored.fields.contains_key(field),
        // The model has no heads.
        Filter::Predicted { .. } => false,
        Filter::Id { any_of } => any_of.iter().any(|wanted| wanted == id),
    }
}

/// A value that an item can have of a field, or that can be asked for: then one keyword of several.
pub(crate) fn value(field: &str, number: u8, is_asked: bool) -> FieldValue {
    let at = usize::from(number % 6);
    let whole = [i64::MIN, -2, 0, 1, 7, i64::MAX][at];
    match field {
        "made" => FieldValue::Timestamp(whole),
        "price" => {
            let price = [-1e300, -1.5, 0.0, 2.25, 19.99, 1e300][at];
            FieldValue::Number(Finite::new(price).expect("finite"))
        }
        "sale" => FieldValue::Boolean(number.is_multiple_of(2)),
        "sizes" if is_asked => FieldValue::Keyword(["L", "M", "S"][at % 3].to_owned()),
        "sizes" => {
            let words = ["L", "M", "S"].into_iter().enumerate();
            let words = words.filter(|(bit, _)| (number % 7 + 1) >> bit & 1 == 1);
            FieldValue::Keywords(words.map(|(_, word)| word.to_owned()).collect())
        }
        "stock" => FieldValue::Integer(whole),
        _ => FieldValue::Keyword(format!("p{number}")),
    }
}

fn stored() -> impl Strategy<Value = Stored> {
    let labels = proptest::array::uniform5(proptest::option::of(0u8..3));
    let fields = proptest::array::uniform6(proptest::option::of(0..VALUES));
    (labels, fields).prop_map(|(labels, fields)| {
        let labels = ATTRIBUTES.into_iter().zip(labels);
        let fields = FIELDS.into_iter().zip(fields);
        Stored {
            labels: labels.filter_map(|(name, label)| Some((name.to_owned(), label?.to_string()))).collect(),
            fields: fields
                .filter_map(|(name, number)| Some((name.to_owned(), value(name, number?, false))))
                .collect(),
        }
    })
}

/// Writes to up to 30 items.
pub(crate) fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write = prop_oneof![
        8 => (0u8..30, stored()).prop_map(|(item, stored)| Write::Put(item, stored)),
        2 => (0u8..30).prop_map(Write::Remove),
        1 => Just(Write::Compact),
    ];
    proptest::collection::vec(write, 1..100)
}

/// Trees of every kind of node, with attributes, fields, values and kinds that nothing has.
pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    let attribute = || proptest::sample::select([&ATTRIBUTES[..], &["nothing"]].concat());
    let field = || proptest::sample::select([&FIELDS[..], &["nothing"]].concat());
    // Seldom of another field.
    let of = |field: &'static str| {
        let other = proptest::sample::select(FIELDS.to_vec());
        let field = prop_oneof![6 => Just(field), 1 => other];
        (field, 0..VALUES).prop_map(|(field, number)| value(field, number, true))
    };
    let bound = move |field: &'static str| {
        prop_oneof![
            of(field).prop_map(Bound::Included),
            of(field).prop_map(Bound::Excluded),
            Just(Bound::<FieldValue>::Unbounded),
        ]
    };
    let labels = proptest::collection::vec(0u8..4, 0..3);
    let leaf = prop_oneof![
        (attribute(), labels).prop_map(|(attribute, labels)| Filter::Label {
            attribute: attribute.to_owned(),
            any_of: labels.iter().map(ToString::to_string).collect(),
        }),
        attribute().prop_map(|attribute| Filter::HasLabel { attribute: attribute.to_owned() }),
        field().prop_flat_map(move |field| {
            let any_of = proptest::collection::vec(of(field), 1..4);
            any_of.prop_map(move |any_of| Filter::Field { field: field.to_owned(), any_of })
        }),
        field().prop_flat_map(move |field| {
            let ends = (bound(field), bound(field));
            ends.prop_map(move |(from, to)| Filter::Range { field: field.to_owned(), from, to })
        }),
        field().prop_map(|field| Filter::HasField { field: field.to_owned() }),
        proptest::collection::vec(0u8..40, 0..6).prop_map(|items| Filter::Id {
            any_of: items.iter().map(|item| format!("i{item:02}")).collect(),
        }),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let filters = || proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            filters().prop_map(Filter::All),
            filters().prop_map(Filter::Any),
            filters().prop_map(Filter::None),
        ]
    })
}
