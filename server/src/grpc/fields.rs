//! Values of fields: between messages and the server's own types.

use crate::error::Faults;
use lapel_proto::v1;
use lapel_proto::v1::field_value::Kind;
use lapel_values::{FieldKind, FieldValue, Fields, Finite, MOMENTS_US};
use prost_types::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Microseconds of a second.
const SECOND_US: i64 = 1_000_000;

/// A value as it came, or what is wrong with it, in words.
pub(super) fn field_value(given: v1::FieldValue) -> Result<FieldValue, String> {
    let v1::FieldValue { kind } = given;
    match kind {
        Some(Kind::Keyword(text)) => Ok(FieldValue::Keyword(text)),
        Some(Kind::Keywords(v1::KeywordList { keywords })) => {
            let count = keywords.len();
            let distinct: BTreeSet<String> = keywords.into_iter().collect();
            if distinct.len() < count {
                return Err("a keyword is given twice".into());
            }
            Ok(FieldValue::Keywords(distinct))
        }
        Some(Kind::Integer(number)) => Ok(FieldValue::Integer(number)),
        Some(Kind::Number(number)) => {
            let finite = Finite::new(number).ok_or_else(|| format!("{number} is no finite number"))?;
            Ok(FieldValue::Number(finite))
        }
        Some(Kind::Boolean(yes)) => Ok(FieldValue::Boolean(yes)),
        Some(Kind::Timestamp(moment)) => Ok(FieldValue::Timestamp(microseconds(moment)?)),
        None => Err("set one of keyword, keywords, integer, number, boolean and timestamp".into()),
    }
}

/// Microseconds since 1970 of a moment; what is finer is cut off.
fn microseconds(moment: Timestamp) -> Result<i64, String> {
    let Timestamp { seconds, nanos } = moment;
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(format!("a timestamp has {nanos} nanoseconds; 0 to 999,999,999 are accepted"));
    }
    let whole = seconds.checked_mul(SECOND_US).and_then(|us| us.checked_add(i64::from(nanos) / 1000));
    whole.filter(|us| MOMENTS_US.contains(us)).ok_or_else(|| {
        format!("a timestamp lies {seconds} seconds from 1970; the years 1 to 9999 are accepted")
    })
}

/// Values as they came; what is wrong with one is noted with its field.
pub(super) fn from_wire(given: BTreeMap<String, v1::FieldValue>, faults: &mut Faults) -> Fields {
    let mut fields = Fields::new();
    for (field, value) in given {
        match field_value(value) {
            Ok(value) => {
                fields.insert(field, value);
            }
            Err(fault) => faults.refuse(format!("fields[{field}]"), fault),
        }
    }
    fields
}

/// A value as it goes.
pub(super) fn to_wire(value: &FieldValue) -> v1::FieldValue {
    let kind = match value {
        FieldValue::Keyword(text) => Kind::Keyword(text.clone()),
        FieldValue::Keywords(texts) => {
            Kind::Keywords(v1::KeywordList { keywords: texts.iter().cloned().collect() })
        }
        FieldValue::Integer(number) => Kind::Integer(*number),
        FieldValue::Number(number) => Kind::Number(number.get()),
        FieldValue::Boolean(yes) => Kind::Boolean(*yes),
        FieldValue::Timestamp(us) => {
            let nanos = (us.rem_euclid(SECOND_US) * 1000) as i32;
            Kind::Timestamp(Timestamp { seconds: us.div_euclid(SECOND_US), nanos })
        }
    };
    v1::FieldValue { kind: Some(kind) }
}

/// An item's values as they go.
pub(super) fn fields(fields: &Fields) -> BTreeMap<String, v1::FieldValue> {
    fields.iter().map(|(field, value)| (field.clone(), to_wire(value))).collect()
}

/// Those of an item's values that are named, as they go.
pub(super) fn some(fields: &Fields, names: &[String]) -> BTreeMap<String, v1::FieldValue> {
    let one = |name: &String| Some((name.clone(), to_wire(fields.get(name)?)));
    names.iter().filter_map(one).collect()
}

/// A kind as it goes.
pub(super) fn kind(kind: FieldKind) -> v1::FieldKind {
    match kind {
        FieldKind::Keyword => v1::FieldKind::Keyword,
        FieldKind::Keywords => v1::FieldKind::Keywords,
        FieldKind::Integer => v1::FieldKind::Integer,
        FieldKind::Number => v1::FieldKind::Number,
        FieldKind::Boolean => v1::FieldKind::Boolean,
        FieldKind::Timestamp => v1::FieldKind::Timestamp,
    }
}

/// Keywords of a list, which take memory however short they are.
pub(super) fn entries(value: &v1::FieldValue) -> usize {
    if let Some(Kind::Keywords(list)) = &value.kind { list.keywords.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: Kind) -> Result<FieldValue, String> {
        field_value(v1::FieldValue { kind: Some(kind) })
    }

    #[test]
    fn values_come_back_as_they_went() {
        let values = [
            FieldValue::Keyword("a".into()),
            FieldValue::Keywords(["b", "a"].map(str::to_owned).into()),
            FieldValue::Integer(i64::MIN),
            FieldValue::Number(Finite::new(-0.25).expect("finite")),
            FieldValue::Boolean(true),
            FieldValue::Timestamp(-1),
            FieldValue::Timestamp(1_700_000_000_123_456),
        ];
        for value in values {
            assert_eq!(field_value(to_wire(&value)), Ok(value));
        }
        let before = Timestamp { seconds: -1, nanos: 999_999_000 };
        assert_eq!(to_wire(&FieldValue::Timestamp(-1)).kind, Some(Kind::Timestamp(before)));
        let finer = Timestamp { seconds: 0, nanos: 1_999 };
        assert_eq!(told(Kind::Timestamp(finer)), Ok(FieldValue::Timestamp(1)));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let twice = v1::KeywordList { keywords: vec!["a".into(), "a".into()] };
        let faults = [
            Kind::Number(f64::NAN),
            Kind::Number(f64::INFINITY),
            Kind::Keywords(twice),
            Kind::Timestamp(Timestamp { seconds: i64::MAX, nanos: 0 }),
            Kind::Timestamp(Timestamp { seconds: 0, nanos: -1 }),
            Kind::Timestamp(Timestamp { seconds: 0, nanos: 1_000_000_000 }),
        ];
        for kind in faults {
            assert!(told(kind.clone()).is_err(), "{kind:?}");
        }
        assert!(field_value(v1::FieldValue { kind: None }).is_err());
        let mut faults = Faults::default();
        let given = BTreeMap::from([("price".to_owned(), v1::FieldValue { kind: None })]);
        assert!(from_wire(given, &mut faults).is_empty());
        let found: Vec<&str> = faults.all().iter().map(crate::error::Fault::field).collect();
        assert_eq!(found, ["fields[price]"]);
    }
}
