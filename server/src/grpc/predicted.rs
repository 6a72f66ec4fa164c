//! Conditions on predicted labels.

use crate::catalogue::Snapshot;
use crate::error::Faults;
use crate::search::check_predicted;
use lapel_proto::v1;
use lapel_proto::v1::filter::Node;
use lapel_search::Filter;
use lapel_values::Finite;
use std::collections::BTreeSet;

/// The condition at a path of a request, which may name `most` labels.
pub(super) fn condition(
    snapshot: &Snapshot,
    path: &str,
    given: v1::PredictedFilter,
    most: usize,
    faults: &mut Faults,
) -> Filter {
    let v1::PredictedFilter { attribute, labels, probability_min, allow_unknown } = given;
    if attribute.is_empty() || labels.is_empty() || labels.len() > most {
        faults.refuse(path, format!("name an attribute and 1 to {most} labels"));
        return Filter::default();
    }
    let least = probability_min.map(f64::from);
    if let Some(least) = least
        && !(0.0..=1.0).contains(&least)
    {
        faults.refuse(format!("{path}.probability_min"), format!("{least} is given; 0 to 1 is accepted"));
        return Filter::default();
    }
    if !allow_unknown {
        check_predicted(snapshot, path, (attribute.as_str(), labels.as_slice()), faults);
    }
    Filter::Predicted { attribute, any_of: labels, least: least.and_then(Finite::new) }
}

/// Attributes whose predictions filters ask for: those of all items are needed before the request is answered. A loop, as
/// nothing of the filters is checked yet.
pub(super) fn attributes<'a>(filters: impl IntoIterator<Item = &'a v1::Filter>) -> BTreeSet<String> {
    let mut attributes = BTreeSet::new();
    let mut open: Vec<&v1::Filter> = filters.into_iter().collect();
    while let Some(filter) = open.pop() {
        match &filter.node {
            Some(Node::All(list) | Node::Any(list) | Node::None(list)) => open.extend(&list.filters),
            // What is refused anyway is worth no look at all items.
            Some(Node::Predicted(asked))
                if !asked.labels.is_empty()
                    && asked.probability_min.is_none_or(|least| (0.0..=1.0).contains(&least)) =>
            {
                attributes.insert(asked.attribute.clone());
            }
            Some(Node::Predicted(_) | Node::Label(_) | Node::Field(_) | Node::Ids(_)) | None => {}
        }
    }
    attributes
}
