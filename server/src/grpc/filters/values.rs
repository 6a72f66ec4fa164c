//! Values that conditions and facets give, checked against the kind of their field.

use crate::core::with_article;
use crate::error::Faults;
use crate::grpc::fields::{field_value, to_wire};
use lapel_proto::v1;
use lapel_proto::v1::field_value::Kind;
use lapel_values::{FieldKind, FieldValue};

/// Takes the values that a condition or facet gives for a field: all of the kind that it asks for.
pub(in crate::grpc) struct Values<'a> {
    /// The field, where it is known.
    field: Option<&'a str>,
    /// Of a field that is not known: the kind of the first value.
    kind: Option<FieldKind>,
}

impl<'a> Values<'a> {
    /// Those of a field; `None` for the kind: there is no such field.
    pub(in crate::grpc) fn of(field: &'a str, kind: Option<FieldKind>) -> Self {
        Self { field: kind.map(|_| field), kind }
    }

    /// A value that fits; otherwise it is noted as a fault.
    pub(in crate::grpc) fn take(
        &mut self,
        path: &str,
        given: v1::FieldValue,
        faults: &mut Faults,
    ) -> Option<FieldValue> {
        let value = match field_value(given) {
            Ok(value) => value,
            Err(wrong) => {
                faults.refuse(path, wrong);
                return None;
            }
        };
        let given = value.kind();
        if given == FieldKind::Keywords {
            faults.refuse(path, "keywords are named one by one: set `keyword`");
            return None;
        }
        match self.kind {
            Some(kind) if kind.asked() != given => {
                let subject = self.subject();
                let (kind, given) = (with_article(kind), with_article(given));
                faults.refuse(path, format!("{subject} is {kind}; {} is {given}", shown(&value)));
                None
            }
            Some(_) => Some(value),
            None => {
                self.kind = Some(given);
                Some(value)
            }
        }
    }

    /// Whether the values have an order, as far as their kind is known; otherwise it is noted as a fault that `what` want one.
    pub(in crate::grpc) fn have_order(&self, path: &str, what: &str, faults: &mut Faults) -> bool {
        match self.kind {
            Some(kind) if !kind.is_ordered() => {
                let (subject, kind) = (self.subject(), with_article(kind));
                faults.refuse(
                    path,
                    format!("{subject} is {kind}; {what} are for integers, numbers and timestamps"),
                );
                false
            }
            Some(_) | None => true,
        }
    }

    /// What a fault says of the field: its name, if there is such a field. Others have any name, of any length.
    fn subject(&self) -> &'a str {
        self.field.unwrap_or("the first value")
    }
}

pub(super) fn shown(value: &FieldValue) -> String {
    match value {
        FieldValue::Keyword(keyword) => format!("{keyword:?}"),
        FieldValue::Keywords(keywords) => format!("{keywords:?}"),
        FieldValue::Integer(number) => number.to_string(),
        FieldValue::Number(number) => number.get().to_string(),
        FieldValue::Boolean(is_true) => is_true.to_string(),
        FieldValue::Timestamp(_) => match to_wire(value).kind {
            Some(Kind::Timestamp(moment)) => moment.to_string(),
            Some(_) | None => String::new(),
        },
    }
}
