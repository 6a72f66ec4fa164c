use super::*;
use crate::v1;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The fields with a length of a search, by the decoded message: what takes room.
fn fields(search: &v1::SearchRequest) -> usize {
    let v1::SearchRequest {
        query,
        manipulations,
        weighting,
        filters,
        exclude_ids,
        k: _,
        explain: _,
        exact: _,
        plan: _,
        distance_max: _,
        filter,
        // Not drawn: their messages are of kinds that others have.
        group_by: _,
        diversity: _,
        offset: _,
        page_token: _,
        paged: _,
        facets: _,
        result_facets: _,
        show_fields: _,
        pictures: _,
        head_versions: _,
    } = search;
    let text = |text: &String| usize::from(!text.is_empty());
    let query = query.as_ref().map_or(0, |v1::Query { source, also_signatures }| {
        let signatures = |all: &[v1::Signature]| all.iter().map(|one| 1 + text(&one.head)).sum::<usize>();
        let source = match source {
            Some(v1::query::Source::Image(_) | v1::query::Source::ItemId(_)) => 1,
            Some(v1::query::Source::Signatures(set)) => 1 + signatures(&set.signatures),
            None => 0,
        };
        1 + source + signatures(also_signatures)
    });
    let edits = manipulations.iter().map(|m| 1 + text(&m.attribute) + text(&m.label)).sum::<usize>();
    let weighting = match weighting {
        Some(v1::search_request::Weighting::Weights(weights)) => {
            1 + weights.by_head.keys().map(|name| 1 + text(name)).sum::<usize>()
        }
        Some(v1::search_request::Weighting::Profile(_)) => 1,
        None => 0,
    };
    let filters = filters.iter().map(|f| 1 + text(&f.attribute) + f.labels.len()).sum::<usize>();
    let tree = filter.as_ref().map_or(0, |filter| 1 + fields_of_tree(filter));
    query + edits + weighting + filters + exclude_ids.len() + tree
}

fn fields_of_tree(filter: &v1::Filter) -> usize {
    use v1::filter::Node;
    let text = |text: &String| usize::from(!text.is_empty());
    match &filter.node {
        None => 0,
        Some(Node::All(list) | Node::Any(list) | Node::None(list)) => {
            1 + list.filters.iter().map(|filter| 1 + fields_of_tree(filter)).sum::<usize>()
        }
        Some(Node::Label(label)) => 1 + text(&label.attribute) + label.labels.len(),
        Some(Node::Ids(ids)) => 1 + ids.item_ids.len(),
        Some(Node::Predicted(predicted)) => 1 + text(&predicted.attribute) + predicted.labels.len(),
        Some(Node::Field(field)) => {
            let values = match &field.condition {
                // The list, and each value with its text.
                Some(v1::field_filter::Condition::AnyOf(list)) => 1 + 2 * list.values.len(),
                _ => 0,
            };
            1 + text(&field.field) + values
        }
    }
}

fn tree() -> impl Strategy<Value = v1::Filter> {
    use v1::filter::Node;
    let keyword = |text| v1::FieldValue { kind: Some(v1::field_value::Kind::Keyword(text)) };
    let field = (name(), proptest::collection::vec(name(), 0..4)).prop_map(move |(field, words)| {
        let values = words.into_iter().map(keyword).collect();
        let condition = v1::field_filter::Condition::AnyOf(v1::FieldValueList { values });
        Node::Field(v1::FieldFilter { field, condition: Some(condition), allow_unknown: true })
    });
    let label = (name(), proptest::collection::vec(name(), 0..4)).prop_map(|(attribute, labels)| {
        Node::Label(v1::LabelFilter { attribute, labels, ..v1::LabelFilter::default() })
    });
    let predicted = (name(), proptest::collection::vec(name(), 0..4)).prop_map(|(attribute, labels)| {
        let probability_min = Some(0.5);
        Node::Predicted(v1::PredictedFilter { attribute, labels, probability_min, allow_unknown: true })
    });
    let ids =
        proptest::collection::vec(name(), 0..4).prop_map(|item_ids| Node::Ids(v1::IdFilter { item_ids }));
    let node = |node| v1::Filter { node: Some(node) };
    prop_oneof![field, label, predicted, ids].prop_map(node).prop_recursive(4, 20, 4, move |inner| {
        let list = proptest::collection::vec(inner, 0..4).prop_map(|filters| v1::FilterList { filters });
        prop_oneof![
            list.clone().prop_map(Node::All),
            list.clone().prop_map(Node::Any),
            list.prop_map(Node::None)
        ]
        .prop_map(node)
    })
}

fn name() -> impl Strategy<Value = String> {
    "[a-c]{0,3}"
}

fn search() -> impl Strategy<Value = v1::SearchRequest> {
    let names = || proptest::collection::vec(name(), 0..4);
    let signatures = || {
        let one = (name(), 0usize..3).prop_map(|(head, dim)| v1::Signature { head, values: vec![1.0; dim] });
        proptest::collection::vec(one, 0..3)
    };
    let also = signatures();
    let signatures =
        signatures().prop_map(|signatures| v1::query::Source::Signatures(v1::SignatureSet { signatures }));
    let source = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..30).prop_map(v1::query::Source::Image),
        name().prop_map(v1::query::Source::ItemId),
        signatures,
    ];
    let query = (proptest::option::of(source), also)
        .prop_map(|(source, also_signatures)| v1::Query { source, also_signatures });
    let query = proptest::option::of(query);
    let edit = (name(), name()).prop_map(|(attribute, label)| v1::Manipulation { attribute, label });
    let filter = (name(), names(), any::<bool>()).prop_map(|(attribute, labels, allow_unknown)| {
        v1::LabelFilter { attribute, labels, allow_unknown, exists: None }
    });
    let weights = proptest::collection::btree_map("[a-c]{1,3}", 1.0f64..2.0, 0..4)
        .prop_map(|by_head: BTreeMap<String, f64>| v1::Weights { by_head, only_named: true });
    let weighting = proptest::option::of(prop_oneof![
        weights.prop_map(v1::search_request::Weighting::Weights),
        name().prop_map(v1::search_request::Weighting::Profile),
    ]);
    let lists = (proptest::collection::vec(edit, 0..4), proptest::collection::vec(filter, 0..4), names());
    (query, lists, weighting, any::<u32>(), proptest::option::of(tree())).prop_map(
        |(query, (manipulations, filters, exclude_ids), weighting, k, filter)| v1::SearchRequest {
            query,
            manipulations,
            weighting,
            filters,
            exclude_ids,
            k,
            filter,
            ..v1::SearchRequest::default()
        },
    )
}

const SEARCH: &str = "lapel.v1.SearchRequest";
const BATCH: &str = "lapel.v1.SearchBatchRequest";

/// A field that no message here has: a text, a group with a text in it, or a number.
fn unknown(kind: u8) -> Vec<u8> {
    let key = |wire: u32| {
        let mut key = Vec::new();
        prost::encoding::encode_varint(u64::from(1000 << 3 | wire), &mut key);
        key
    };
    match kind % 3 {
        0 => [key(2), vec![2, 0x0a, 0]].concat(),
        1 => [key(3), vec![0x0a, 1, b'x'], key(4)].concat(),
        _ => [key(0), vec![7]].concat(),
    }
}

proptest! {
    #[test]
    fn fields_of_sound_messages_are_all_counted(searches in proptest::collection::vec(search(), 0..5)) {
        let mut expected = 0;
        for search in &searches {
            let own = fields(search);
            prop_assert_eq!(fields_of(SEARCH, &search.encode_to_vec()), own);
            expected += 1 + own;
        }
        let batch = v1::SearchBatchRequest { requests: searches };
        prop_assert_eq!(fields_of(BATCH, &batch.encode_to_vec()), expected);
    }

    #[test]
    fn unknown_fields_are_passed_over_as_prost_does(
        before in search(), after in search(), kinds in proptest::collection::vec(any::<u8>(), 0..4)
    ) {
        let between: Vec<u8> = kinds.into_iter().flat_map(unknown).collect();
        let bytes = [before.encode_to_vec(), between, after.encode_to_vec()].concat();
        prop_assert!(v1::SearchRequest::decode(bytes.as_slice()).is_ok());
        prop_assert_eq!(fields_of(SEARCH, &bytes), fields(&before) + fields(&after));
    }

    /// Whatever prost makes of bytes, it makes no more fields than were counted.
    #[test]
    fn no_bytes_become_more_fields_than_were_counted(
        search in search(), edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
    ) {
        let mut bytes = search.encode_to_vec();
        for (at, byte) in edits {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let mut decoded = v1::SearchRequest::default();
        // Also of what is refused, some is decoded before.
        let _ = decoded.merge(bytes.as_slice());
        prop_assert!(fields(&decoded) <= fields_of(SEARCH, &bytes));
    }

    #[test]
    fn any_bytes_can_be_counted(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for name in SCHEMA.names.keys() {
            prop_assert!(fields_of(name, &bytes) <= bytes.len().div_ceil(2));
        }
    }
}

/// An inner length may lead beyond the message around it; prost tells so only when it has decoded what is there.
#[test]
fn lengths_that_lead_out_of_their_message_hide_nothing() {
    // A query of one byte, whose set of signatures is much longer.
    let signatures = [0x0a, 0].repeat(1000);
    let bytes = [vec![0x0a, 1, 0x1a], varint(signatures.len()), signatures].concat();
    assert!(v1::SearchRequest::decode(bytes.as_slice()).is_err());
    assert_eq!(fields_of(SEARCH, &bytes), 1002, "query, set and signatures");
}

fn varint(value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(value as u64, &mut bytes);
    bytes
}

#[test]
fn counting_ends_behind_the_bound() {
    let empty = [0x0a, 0].repeat(11 << 18);
    assert_eq!(fields_of(BATCH, &empty), FIELDS_MAX + 1);
    // What the largest batch that passes takes, with the half of a vector that is free.
    assert!(2 * FIELDS_MAX * size_of::<v1::SearchRequest>() < 16 << 20);
}

#[test]
fn every_request_is_known_by_the_name_that_its_type_has() {
    use prost::Name;
    let requests = SCHEMA.names.keys().filter(|name| name.ends_with("Request")).count();
    assert!(requests >= 30, "{requests} requests");
    for name in [
        v1::SearchRequest::full_name(),
        v1::SearchBatchRequest::full_name(),
        v1::PersonaliseRequest::full_name(),
        v1::UpsertItemsRequest::full_name(),
        v1::DeleteItemsRequest::full_name(),
    ] {
        assert!(SCHEMA.names.contains_key(&name), "{name}");
    }
    assert!((SEARCH, BATCH) == (&v1::SearchRequest::full_name(), &v1::SearchBatchRequest::full_name()));
}
