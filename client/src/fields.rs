//! Values of fields as people and tables write them.

use crate::v1;
use crate::v1::FieldKind;
use crate::v1::field_value::Kind;
use std::collections::BTreeSet;

/// Between the keywords of one value.
const BETWEEN_KEYWORDS: &str = "|";
/// The kinds and their names, which are those of the server's configuration.
const NAMES: [(FieldKind, &str); 6] = [
    (FieldKind::Keyword, "keyword"),
    (FieldKind::Keywords, "keywords"),
    (FieldKind::Integer, "integer"),
    (FieldKind::Number, "number"),
    (FieldKind::Boolean, "boolean"),
    (FieldKind::Timestamp, "timestamp"),
];

/// The name of a kind, e.g. `number`.
#[must_use]
pub fn kind_name(kind: FieldKind) -> &'static str {
    NAMES.into_iter().find(|(other, _)| *other == kind).map_or("unknown", |(_, name)| name)
}

/// The kind of a name.
#[must_use]
pub fn kind_named(name: &str) -> Option<FieldKind> {
    NAMES.into_iter().find(|(_, other)| *other == name).map(|(kind, _)| kind)
}

/// The names of all kinds on one line.
#[must_use]
pub fn kind_names() -> String {
    NAMES.map(|(_, name)| name).join(", ")
}

/// Whether values of a kind have an order, which ranges and the bounds of facets follow.
#[must_use]
pub fn is_ordered(kind: FieldKind) -> bool {
    match kind {
        FieldKind::Integer | FieldKind::Number | FieldKind::Timestamp => true,
        FieldKind::Unspecified | FieldKind::Keyword | FieldKind::Keywords | FieldKind::Boolean => false,
    }
}

/// Reads a value of a kind. Keywords of one value are separated by `|`, timestamps are RFC 3339 or a date, which is its
/// midnight in UTC.
///
/// # Errors
/// What would be right.
pub fn read_value(kind: FieldKind, text: &str) -> Result<v1::FieldValue, String> {
    let text = text.trim();
    let wrong = |right: &str| format!("{text:?} is not {right}");
    let value = match kind {
        FieldKind::Keyword if text.is_empty() => return Err(wrong("a keyword: a text that is not empty")),
        FieldKind::Keyword => Kind::Keyword(text.to_owned()),
        FieldKind::Keywords => {
            let keywords = text.split(BETWEEN_KEYWORDS).map(str::trim).filter(|one| !one.is_empty());
            // Each once.
            let keywords: BTreeSet<&str> = keywords.collect();
            if keywords.is_empty() {
                return Err(wrong("a list of keywords, as in summer|linen"));
            }
            Kind::Keywords(v1::KeywordList { keywords: keywords.into_iter().map(str::to_owned).collect() })
        }
        FieldKind::Integer => {
            Kind::Integer(text.parse().map_err(|_| wrong("a whole number, as in 12 or -3"))?)
        }
        FieldKind::Number => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            Kind::Number(number.ok_or_else(|| wrong("a number with a point, as in 49.90"))?)
        }
        FieldKind::Boolean if text.eq_ignore_ascii_case("true") => Kind::Boolean(true),
        FieldKind::Boolean if text.eq_ignore_ascii_case("false") => Kind::Boolean(false),
        FieldKind::Boolean => return Err(wrong("true or false")),
        FieldKind::Timestamp => Kind::Timestamp(
            text.parse()
                .map_err(|_| wrong("a moment, as in 2026-11-30T08:15:00Z, or a date, as in 2026-11-30"))?,
        ),
        FieldKind::Unspecified => return Err(wrong("of a kind that this version knows")),
    };
    Ok(v1::FieldValue { kind: Some(value) })
}

/// A value as [`read_value`] reads it; empty where it is not set.
#[must_use]
pub fn show_value(value: &v1::FieldValue) -> String {
    match &value.kind {
        Some(Kind::Keyword(text)) => text.clone(),
        Some(Kind::Keywords(list)) => list.keywords.join(BETWEEN_KEYWORDS),
        Some(Kind::Integer(number)) => number.to_string(),
        Some(Kind::Number(number)) => number.to_string(),
        Some(Kind::Boolean(is_true)) => is_true.to_string(),
        Some(Kind::Timestamp(moment)) => moment.to_string(),
        None => String::new(),
    }
}

/// The kind of a value.
#[must_use]
pub fn kind_of(value: &v1::FieldValue) -> FieldKind {
    match &value.kind {
        Some(Kind::Keyword(_)) => FieldKind::Keyword,
        Some(Kind::Keywords(_)) => FieldKind::Keywords,
        Some(Kind::Integer(_)) => FieldKind::Integer,
        Some(Kind::Number(_)) => FieldKind::Number,
        Some(Kind::Boolean(_)) => FieldKind::Boolean,
        Some(Kind::Timestamp(_)) => FieldKind::Timestamp,
        None => FieldKind::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_as_it_is_read() {
        for (kind, written, shown) in [
            (FieldKind::Keyword, " Acme & Co ", "Acme & Co"),
            (FieldKind::Keywords, "summer | linen||summer", "linen|summer"),
            (FieldKind::Integer, "-9223372036854775808", "-9223372036854775808"),
            (FieldKind::Number, "49.90", "49.9"),
            (FieldKind::Number, "12", "12"),
            (FieldKind::Boolean, "TRUE", "true"),
            (FieldKind::Timestamp, "2026-11-30", "2026-11-30T00:00:00Z"),
            (FieldKind::Timestamp, "2026-11-30T01:15:00.5+01:00", "2026-11-30T00:15:00.500Z"),
        ] {
            let value = read_value(kind, written).expect("read");
            assert_eq!((kind_of(&value), show_value(&value).as_str()), (kind, shown), "{written}");
            assert_eq!(read_value(kind, shown), Ok(value), "{written}");
            assert_eq!(kind_named(kind_name(kind)), Some(kind));
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_would_be_right() {
        for (kind, written, right) in [
            (FieldKind::Keyword, " ", "a text that is not empty"),
            (FieldKind::Keywords, "|", "as in summer|linen"),
            (FieldKind::Integer, "4.0", "a whole number"),
            (FieldKind::Integer, "9223372036854775808", "a whole number"),
            (FieldKind::Number, "49,90", "as in 49.90"),
            (FieldKind::Number, "NaN", "as in 49.90"),
            (FieldKind::Number, "inf", "as in 49.90"),
            (FieldKind::Boolean, "yes", "true or false"),
            (FieldKind::Timestamp, "30.11.2026", "as in 2026-11-30"),
            (FieldKind::Timestamp, "2026-02-30", "as in 2026-11-30"),
        ] {
            let refused = read_value(kind, written).expect_err("refused");
            assert!(refused.contains(right), "{refused}");
        }
        assert_eq!(kind_named("money"), None);
    }
}
