//! Values of fields in an export: an object whose only key is the kind, as in `{"number": 49.9}`.

use anyhow::{Context, anyhow, bail};
use lapel_client::fields::{kind_name, kind_named, kind_names, kind_of, read_value, show_value};
use lapel_client::v1;
use lapel_client::v1::FieldKind;
use lapel_client::v1::field_value::Kind;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The fields of an item.
pub(crate) fn write(fields: &BTreeMap<String, v1::FieldValue>) -> Value {
    let one = |value: &v1::FieldValue| {
        let written = match &value.kind {
            Some(Kind::Keyword(text)) => json!(text),
            Some(Kind::Keywords(list)) => json!(list.keywords),
            Some(Kind::Integer(number)) => json!(number),
            Some(Kind::Number(number)) => json!(number),
            Some(Kind::Boolean(is_true)) => json!(is_true),
            Some(Kind::Timestamp(_)) | None => json!(show_value(value)),
        };
        let name = kind_name(kind_of(value)).to_owned();
        Value::Object(Map::from_iter([(name, written)]))
    };
    Value::Object(fields.iter().map(|(field, value)| (field.clone(), one(value))).collect())
}

/// The fields of a line of an export; none where it says nothing of them.
pub(crate) fn read(fields: &Value) -> anyhow::Result<BTreeMap<String, v1::FieldValue>> {
    let object = match fields {
        Value::Null => return Ok(BTreeMap::new()),
        Value::Object(object) => object,
        other => {
            bail!(
                "\"fields\" is {other} where values by field belong, as in {{\"price\": {{\"number\": 49.9}}}}"
            )
        }
    };
    let mut fields = BTreeMap::new();
    for (field, value) in object {
        fields.insert(field.clone(), read_one(field, value)?);
    }
    Ok(fields)
}

fn read_one(field: &str, value: &Value) -> anyhow::Result<v1::FieldValue> {
    let wrong = || {
        format!(
            "the field {field:?} is {value}; a value stands behind its kind ({}), as in {{\"number\": 49.9}}",
            kind_names()
        )
    };
    let object = value.as_object().filter(|object| object.len() == 1).with_context(wrong)?;
    let (kind, written) = object.iter().next().with_context(wrong)?;
    let kind = kind_named(kind).with_context(wrong)?;
    let read = match kind {
        FieldKind::Keyword => Kind::Keyword(written.as_str().with_context(wrong)?.to_owned()),
        FieldKind::Keywords => {
            let list = written.as_array().with_context(wrong)?;
            let keywords = list.iter().map(|keyword| keyword.as_str().map(str::to_owned));
            let keywords = keywords.collect::<Option<_>>().with_context(wrong)?;
            Kind::Keywords(v1::KeywordList { keywords })
        }
        FieldKind::Integer => Kind::Integer(written.as_i64().with_context(wrong)?),
        FieldKind::Number => Kind::Number(written.as_f64().with_context(wrong)?),
        FieldKind::Boolean => Kind::Boolean(written.as_bool().with_context(wrong)?),
        FieldKind::Timestamp => {
            let text = written.as_str().with_context(wrong)?;
            return read_value(kind, text).map_err(|why| anyhow!("the field {field:?}: {why}"));
        }
        FieldKind::Unspecified => bail!(wrong()),
    };
    Ok(v1::FieldValue { kind: Some(read) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let moment = "2026-11-30T01:15:00.000001Z";
        let value = |kind| v1::FieldValue { kind: Some(kind) };
        let fields = [
            ("a", value(Kind::Keyword("x|y \"z\"".into()))),
            ("b", value(Kind::Keywords(v1::KeywordList { keywords: vec!["x|y".into(), "z".into()] }))),
            ("c", value(Kind::Integer(i64::MIN))),
            ("d", value(Kind::Number(0.1 + 0.2))),
            ("e", value(Kind::Number(12.0))),
            ("f", value(Kind::Boolean(false))),
            ("g", read_value(FieldKind::Timestamp, moment).expect("a moment")),
        ];
        let fields: BTreeMap<String, v1::FieldValue> =
            fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
        let text = write(&fields).to_string();
        assert!(text.contains(r#""g":{"timestamp":"2026-11-30T01:15:00.000001Z"}"#), "{text}");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read(&value).expect("read"), fields);
        assert!(read(&Value::Null).expect("none").is_empty());
    }

    #[test]
    fn what_is_no_value_is_told() {
        for text in [
            r#"["price"]"#,
            r#"{"price": 5}"#,
            r#"{"price": {}}"#,
            r#"{"price": {"money": 5}}"#,
            r#"{"price": {"number": 5, "integer": 5}}"#,
            r#"{"price": {"integer": 5.5}}"#,
            r#"{"price": {"integer": 9223372036854775808}}"#,
            r#"{"price": {"keywords": ["a", 5]}}"#,
            r#"{"price": {"timestamp": "soon"}}"#,
        ] {
            let value: Value = serde_json::from_str(text).expect("JSON");
            let refused = read(&value).expect_err(text).to_string();
            assert!(refused.contains("price"), "{refused}");
        }
    }
}
