//! Nodes of filters from what is read of them.

use super::known::Named;
use super::{Fault, Value};
use crate::fields::{kind_name, read_value};
use crate::v1;
use crate::v1::FieldKind;
use crate::v1::field_filter::Condition;
use crate::v1::field_range::{Lower, Upper};
use crate::v1::filter::Node;

/// One filter as it is, several in a list.
pub(super) fn joined(mut filters: Vec<v1::Filter>, list: fn(v1::FilterList) -> Node) -> v1::Filter {
    match (filters.len(), filters.pop()) {
        (1, Some(one)) => one,
        (_, last) => {
            filters.extend(last);
            v1::Filter { node: Some(list(v1::FilterList { filters })) }
        }
    }
}

pub(super) fn negated(filter: v1::Filter) -> v1::Filter {
    v1::Filter { node: Some(Node::None(v1::FilterList { filters: vec![filter] })) }
}

fn on_field(field: String, condition: Condition) -> v1::Filter {
    let filter = v1::FieldFilter { field, condition: Some(condition), allow_unknown: false };
    v1::Filter { node: Some(Node::Field(filter)) }
}

/// Whether there is a value; or else why nobody can ask that.
pub(super) fn existence(named: Named, exists: bool) -> Result<v1::Filter, String> {
    match named {
        Named::Field(field, _) => Ok(on_field(field, Condition::Exists(exists))),
        Named::Label(attribute) => {
            let filter = v1::LabelFilter { attribute, exists: Some(exists), ..v1::LabelFilter::default() };
            Ok(v1::Filter { node: Some(Node::Label(filter)) })
        }
        Named::Predicted(attribute) => {
            Err(format!("exists and missing are for what is stored; predicted.{attribute} takes =, != or in"))
        }
        Named::Id => Err("every item has an id; expected =, != or in behind it".to_owned()),
    }
}

/// The value is one of these; a predicted one with at least a probability, where one is given.
pub(super) fn among(named: Named, values: Vec<Value>, least: Option<f32>) -> Result<v1::Filter, Fault> {
    match named {
        Named::Field(field, kind) => {
            // A condition on a field of several keywords names single ones.
            let kind = if kind == FieldKind::Keywords { FieldKind::Keyword } else { kind };
            let values = values.iter().map(|value| typed(&field, kind, value));
            let mut values: Vec<v1::FieldValue> = values.collect::<Result<_, _>>()?;
            let condition = match (values.len(), values.pop()) {
                (1, Some(one)) => Condition::Equals(one),
                (_, last) => {
                    values.extend(last);
                    Condition::AnyOf(v1::FieldValueList { values })
                }
            };
            Ok(on_field(field, condition))
        }
        Named::Label(attribute) => {
            let labels = values.into_iter().map(|value| value.text).collect();
            let filter = v1::LabelFilter { attribute, labels, ..v1::LabelFilter::default() };
            Ok(v1::Filter { node: Some(Node::Label(filter)) })
        }
        Named::Predicted(attribute) => {
            let labels = values.into_iter().map(|value| value.text).collect();
            let allow_unknown = false;
            let filter = v1::PredictedFilter { attribute, labels, probability_min: least, allow_unknown };
            Ok(v1::Filter { node: Some(Node::Predicted(filter)) })
        }
        Named::Id => {
            let item_ids = values.into_iter().map(|value| value.text).collect();
            Ok(v1::Filter { node: Some(Node::Ids(v1::IdFilter { item_ids })) })
        }
    }
}

pub(super) fn range(field: String, sign: &str, value: v1::FieldValue) -> v1::Filter {
    let (mut lower, mut upper) = (None, None);
    match sign {
        "<" => upper = Some(Upper::Below(value)),
        "<=" => upper = Some(Upper::To(value)),
        ">" => lower = Some(Lower::Above(value)),
        _ => lower = Some(Lower::From(value)),
    }
    on_field(field, Condition::Range(v1::FieldRange { lower, upper }))
}

pub(super) fn typed(field: &str, kind: FieldKind, value: &Value) -> Result<v1::FieldValue, Fault> {
    let fault = |why| Fault {
        at: value.at,
        what: format!("{field} is a field of the kind {}: {why}", kind_name(kind)),
    };
    read_value(kind, &value.text).map_err(fault)
}
