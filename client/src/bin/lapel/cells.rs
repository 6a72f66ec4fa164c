//! Columns and cells of tables: those of fields, `field:NAME:KIND`, and of labels that are written.

use anyhow::{Context, anyhow, ensure};
use lapel_client::fields::{kind_named, kind_names, read_value};
use lapel_client::v1;
use lapel_client::v1::FieldKind;
use lapel_wardrobe::{FIELD, NO_ATTRIBUTES};
use std::collections::BTreeMap;

/// The field and the kind of a column, of which `column` is what follows [`FIELD`].
pub(crate) fn column(column: &str) -> anyhow::Result<(&str, FieldKind)> {
    let right = || format!("a column of values is named {FIELD}NAME:KIND, with a kind of {}", kind_names());
    let wrong = || format!("the column \"{FIELD}{column}\" cannot be read: {}", right());
    let (name, kind) = column.rsplit_once(':').with_context(wrong)?;
    ensure!(!name.is_empty(), wrong());
    Ok((name, kind_named(kind).with_context(wrong)?))
}

/// The values of a row's cells, by field.
pub(crate) fn values(cells: &BTreeMap<String, String>) -> anyhow::Result<BTreeMap<String, v1::FieldValue>> {
    let mut values = BTreeMap::new();
    for (name, cell) in cells {
        let (field, kind) = column(name)?;
        let value = read_value(kind, cell).map_err(|why| anyhow!("column {FIELD}{name}: {why}"))?;
        let before = values.insert(field.to_owned(), value);
        ensure!(before.is_none(), "the field {field} has several columns with a value");
    }
    Ok(values)
}

/// Refuses an attribute of which a table cannot have a column.
pub(crate) fn ensure_column(attribute: &str) -> anyhow::Result<()> {
    let is_field = attribute.get(..FIELD.len()).is_some_and(|start| start.eq_ignore_ascii_case(FIELD));
    let is_taken = is_field || NO_ATTRIBUTES.iter().any(|no| no.eq_ignore_ascii_case(attribute));
    ensure!(
        !is_taken,
        "a table cannot have a column {attribute:?} of labels, which means something else in tables"
    );
    Ok(())
}

/// A cell of a table, in quotes where it needs them.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = !text.contains([',', ';', '\t', '"', '\n', '\r']) && text.trim() == text;
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(column: &str, cell: &str) -> anyhow::Result<BTreeMap<String, v1::FieldValue>> {
        values(&BTreeMap::from([(column.to_owned(), cell.to_owned())]))
    }

    #[test]
    fn a_cell_is_read_as_its_column_says() {
        let read_as = |column: &str| read(column, "12").expect("read").into_iter().next().expect("one");
        for (column, name, kind) in [
            ("price:number", "price", FieldKind::Number),
            ("pieces:integer", "pieces", FieldKind::Integer),
            ("size:eu:keyword", "size:eu", FieldKind::Keyword),
        ] {
            let (field, value) = read_as(column);
            assert_eq!((field.as_str(), lapel_client::fields::kind_of(&value)), (name, kind));
        }
        for (column, cell, why) in [
            ("price", "12", "field:NAME:KIND"),
            (":number", "12", "field:NAME:KIND"),
            ("price:money", "12", "keyword, keywords, integer, number, boolean, timestamp"),
            ("price:number", "12 EUR", "column field:price:number: \"12 EUR\" is not a number"),
        ] {
            let refused = read(column, cell).expect_err("refused").to_string();
            assert!(refused.contains(why), "{refused}");
        }
        let twice = ["a:number", "a:integer"].map(|column| (column.to_owned(), "1".to_owned()));
        assert!(values(&BTreeMap::from(twice)).expect_err("refused").to_string().contains("several columns"));
    }
}
