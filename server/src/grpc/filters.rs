//! Filters from the wire: lists of conditions and trees of them, converted and checked once.

mod values;

pub(super) use values::Values;

use super::asked::fits;
use super::predicted;
use crate::catalogue::Snapshot;
use crate::config::Config;
use crate::error::Faults;
use crate::search::{check_labels, checked_field, field_kind};
use lapel_proto::v1;
use lapel_proto::v1::field_filter::Condition;
use lapel_proto::v1::field_range::{Lower, Upper};
use lapel_proto::v1::field_value::Kind;
use lapel_proto::v1::filter::Node;
use lapel_search::Filter;
use lapel_values::FieldValue;
use std::ops::Bound;
use values::shown;

const SECOND_NANOS: i32 = 1_000_000_000;
const MICROSECOND_NANOS: i32 = 1000;
/// How deep nodes lie within nodes; the whole tree is the first.
const DEPTH_MAX: usize = 16;

/// The filter that a request's list of conditions and its tree lead to together. Every name in it is there, or may be missing;
/// whatever is wrong is noted as a fault, and the filter then means nothing.
pub(super) fn filter(
    snapshot: &Snapshot,
    config: &Config,
    listed: Vec<v1::LabelFilter>,
    tree: Option<v1::Filter>,
    faults: &mut Faults,
) -> Filter {
    filter_of_page(snapshot, config, (listed, tree, false), faults)
}

/// As [`filter`]; of a page behind the first (`goes_on`) what is named may be missing: it was there when the pages began.
pub(super) fn filter_of_page(
    snapshot: &Snapshot,
    config: &Config,
    (listed, tree, goes_on): (Vec<v1::LabelFilter>, Option<v1::Filter>, bool),
    faults: &mut Faults,
) -> Filter {
    let mut reader = Reader { snapshot, config, goes_on, faults };
    let listed = Filter::All(reader.listed(listed));
    match tree {
        Some(tree) => listed.and(reader.tree(tree)),
        None => listed,
    }
}

/// Reads filters of one request.
struct Reader<'a> {
    snapshot: &'a Snapshot,
    config: &'a Config,
    goes_on: bool,
    faults: &'a mut Faults,
}

impl Reader<'_> {
    fn listed(&mut self, given: Vec<v1::LabelFilter>) -> Vec<Filter> {
        let limits = &self.config.limits;
        if !fits("filters", given.len(), limits, self.faults) {
            return Vec::new();
        }
        let most = limits.query_terms_max;
        let given = given.into_iter().enumerate();
        given.map(|(at, asked)| self.label(&format!("filters[{at}]"), asked, most)).collect()
    }

    fn tree(&mut self, given: v1::Filter) -> Filter {
        let limits = &self.config.limits;
        let (nodes, values) = size(&given);
        for (count, most, what) in
            [(nodes, limits.filter_nodes_max, "nodes"), (values, limits.filter_values_max, "values")]
        {
            if count > most {
                self.faults
                    .refuse("filter", format!("there are {count} {what}; at most {most} are accepted"));
                return Filter::default();
            }
        }
        self.node("filter", 1, given)
    }

    fn node(&mut self, path: &str, depth: usize, given: v1::Filter) -> Filter {
        let v1::Filter { node } = given;
        if depth > DEPTH_MAX {
            self.faults.refuse(path, format!("this node is {depth} deep; at most {DEPTH_MAX} are accepted"));
            return Filter::default();
        }
        match node {
            Some(Node::All(list)) => Filter::All(self.nodes(&format!("{path}.all"), depth, list)),
            Some(Node::Any(list)) => Filter::Any(self.nodes(&format!("{path}.any"), depth, list)),
            Some(Node::None(list)) => Filter::None(self.nodes(&format!("{path}.none"), depth, list)),
            Some(Node::Label(asked)) => {
                self.label(&format!("{path}.label"), asked, self.config.limits.filter_values_max)
            }
            Some(Node::Field(asked)) => self.field(&format!("{path}.field"), asked),
            // Also of a page behind the first: what heads predict does not go with items.
            Some(Node::Predicted(asked)) => {
                let most = self.config.limits.filter_values_max;
                predicted::condition(self.snapshot, &format!("{path}.predicted"), asked, most, self.faults)
            }
            Some(Node::Ids(v1::IdFilter { item_ids })) => {
                if item_ids.is_empty() {
                    self.faults.refuse(format!("{path}.ids"), "give at least one id");
                }
                Filter::Id { any_of: item_ids }
            }
            None => {
                self.faults.refuse(path, "set one of all, any, none, label, field, predicted and ids");
                Filter::default()
            }
        }
    }

    fn nodes(&mut self, path: &str, depth: usize, given: v1::FilterList) -> Vec<Filter> {
        let v1::FilterList { filters } = given;
        let mut nodes = Vec::with_capacity(filters.len());
        for (at, filter) in filters.into_iter().enumerate() {
            nodes.push(self.node(&format!("{path}[{at}]"), depth + 1, filter));
            if self.faults.is_full() {
                break;
            }
        }
        nodes
    }

    /// A condition on labels, of which it may name `most`.
    fn label(&mut self, path: &str, given: v1::LabelFilter, most: usize) -> Filter {
        let v1::LabelFilter { attribute, labels, allow_unknown, exists } = given;
        let wrong = match exists {
            _ if attribute.is_empty() => Some(format!("name an attribute and 1 to {most} labels")),
            Some(_) if !labels.is_empty() => Some("give labels or set `exists`, not both".to_owned()),
            None if labels.is_empty() || labels.len() > most => {
                Some(format!("name an attribute and 1 to {most} labels"))
            }
            Some(_) | None => None,
        };
        if let Some(wrong) = wrong {
            self.faults.refuse(path, wrong);
            return Filter::default();
        }
        if !(allow_unknown || self.goes_on) {
            check_labels(self.snapshot, path, (attribute.as_str(), labels.as_slice()), self.faults);
        }
        match exists {
            None => Filter::Label { attribute, any_of: labels },
            Some(true) => Filter::HasLabel { attribute },
            Some(false) => Filter::None(vec![Filter::HasLabel { attribute }]),
        }
    }

    fn field(&mut self, path: &str, given: v1::FieldFilter) -> Filter {
        let v1::FieldFilter { field, condition, allow_unknown } = given;
        if field.is_empty() {
            self.faults.refuse(path, "name a field");
            return Filter::default();
        }
        let declared = &self.config.catalog.fields;
        let kind = if allow_unknown || self.goes_on {
            field_kind(self.snapshot, declared, &field)
        } else {
            let named = format!("{path}.field");
            checked_field(self.snapshot, declared, (named.as_str(), field.as_str()), self.faults)
        };
        let mut values = Values::of(&field, kind);
        match condition {
            Some(Condition::Equals(value)) => {
                let value = values.take(&format!("{path}.equals"), value, self.faults);
                Filter::Field { any_of: value.into_iter().collect(), field }
            }
            Some(Condition::AnyOf(list)) => {
                let any_of = any_of(&format!("{path}.any_of"), list, &mut values, self.faults);
                Filter::Field { any_of, field }
            }
            Some(Condition::Range(asked)) => {
                let ends = range(&format!("{path}.range"), asked, &mut values, self.faults);
                let (from, to) = ends.unwrap_or((Bound::Unbounded, Bound::Unbounded));
                Filter::Range { field, from, to }
            }
            Some(Condition::Exists(true)) => Filter::HasField { field },
            Some(Condition::Exists(false)) => Filter::None(vec![Filter::HasField { field }]),
            None => {
                self.faults.refuse(path, "set one of equals, any_of, range and exists");
                Filter::default()
            }
        }
    }
}

/// The nodes of a tree, and the labels, values and ids that they name. A loop, as the depth is not checked yet.
fn size(tree: &v1::Filter) -> (usize, usize) {
    let (mut nodes, mut values) = (0, 0);
    let mut open = vec![tree];
    while let Some(filter) = open.pop() {
        nodes += 1;
        match &filter.node {
            Some(Node::All(list) | Node::Any(list) | Node::None(list)) => open.extend(&list.filters),
            Some(Node::Label(label)) => values += label.labels.len(),
            Some(Node::Predicted(predicted)) => values += predicted.labels.len(),
            Some(Node::Ids(ids)) => values += ids.item_ids.len(),
            Some(Node::Field(field)) => {
                values += match &field.condition {
                    Some(Condition::Equals(_)) => 1,
                    Some(Condition::AnyOf(list)) => list.values.len(),
                    Some(Condition::Range(range)) => {
                        usize::from(range.lower.is_some()) + usize::from(range.upper.is_some())
                    }
                    Some(Condition::Exists(_)) | None => 0,
                };
            }
            None => {}
        }
    }
    (nodes, values)
}

fn any_of(
    path: &str,
    list: v1::FieldValueList,
    values: &mut Values<'_>,
    faults: &mut Faults,
) -> Vec<FieldValue> {
    let v1::FieldValueList { values: given } = list;
    if given.is_empty() {
        faults.refuse(path, "give at least one value");
    }
    let given = given.into_iter().enumerate();
    given.filter_map(|(at, value)| values.take(&format!("{path}[{at}]"), value, faults)).collect()
}

/// The ends of a range; `None` where it is faulty.
fn range(
    path: &str,
    given: v1::FieldRange,
    values: &mut Values<'_>,
    faults: &mut Faults,
) -> Option<(Bound<FieldValue>, Bound<FieldValue>)> {
    let v1::FieldRange { lower, upper } = given;
    if !values.have_order(path, "ranges", faults) {
        return None;
    }
    if lower.is_none() && upper.is_none() {
        faults.refuse(path, "set at least one end");
        return None;
    }
    let from = match lower {
        None => Some(Bound::Unbounded),
        Some(Lower::From(value)) => {
            values.take(&format!("{path}.from"), raised(value), faults).map(Bound::Included)
        }
        Some(Lower::Above(value)) => {
            values.take(&format!("{path}.above"), value, faults).map(Bound::Excluded)
        }
    };
    let to = match upper {
        None => Some(Bound::Unbounded),
        Some(Upper::To(value)) => values.take(&format!("{path}.to"), value, faults).map(Bound::Included),
        Some(Upper::Below(value)) => {
            values.take(&format!("{path}.below"), raised(value), faults).map(Bound::Excluded)
        }
    };
    let (from, to) = (from?, to?);
    // The values themselves say the kind of a field that is not known.
    if !values.have_order(path, "ranges", faults) {
        return None;
    }
    if is_empty(&from, &to) {
        let (begin, end) = (end_words(&from, ["from", "above"]), end_words(&to, ["to", "below"]));
        faults.refuse(path, format!("the range is empty: {begin} {end}"));
        return None;
    }
    Some((from, to))
}

/// A moment that is finer than a microsecond, raised to the next one. Values are kept to the microsecond: what lies from this
/// moment on, or below it, is the same.
fn raised(mut value: v1::FieldValue) -> v1::FieldValue {
    if let Some(Kind::Timestamp(moment)) = &mut value.kind
        && (0..SECOND_NANOS).contains(&moment.nanos)
        && moment.nanos % MICROSECOND_NANOS != 0
    {
        moment.nanos += MICROSECOND_NANOS - moment.nanos % MICROSECOND_NANOS;
        if moment.nanos == SECOND_NANOS {
            (moment.seconds, moment.nanos) = (moment.seconds.saturating_add(1), 0);
        }
    }
    value
}

/// Whether no value can lie between two ends.
fn is_empty(from: &Bound<FieldValue>, to: &Bound<FieldValue>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            from >= to
        }
    }
}

fn end_words(end: &Bound<FieldValue>, [included, excluded]: [&str; 2]) -> String {
    match end {
        Bound::Included(value) => format!("{included} {}", shown(value)),
        Bound::Excluded(value) => format!("{excluded} {}", shown(value)),
        Bound::Unbounded => String::new(),
    }
}

#[cfg(test)]
mod tests;
