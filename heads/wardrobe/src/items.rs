//! Tables of items that are there: a column `id`, one column an attribute, and columns of fields, without photos.

use crate::{FIELD, Header, Key, Lines, NO_ATTRIBUTES, TableFault, WardrobeError};
use crate::{first_line, reader, separator_of, text};
use std::collections::BTreeMap;
use std::path::Path;

/// A table of items.
#[derive(Debug, Default)]
pub struct ItemTable {
    /// Attributes that have a column.
    pub attributes: Vec<String>,
    /// What follows [`FIELD`] in the names of columns that begin with it.
    pub fields: Vec<String>,
    /// Its rows, but those that are empty.
    pub rows: Vec<Result<ItemRow, TableFault>>,
}

/// A row of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemRow {
    /// The item's id.
    pub id: String,
    /// Attribute to label, of cells that are not empty.
    pub labels: BTreeMap<String, String>,
    /// Cells of fields that are not empty, by [`ItemTable::fields`].
    pub fields: BTreeMap<String, String>,
}

/// Reads a table of items; columns `image`, `split` and `view` are passed over.
///
/// # Errors
/// [`WardrobeError`] where the file or its first line cannot be read.
pub fn read_items(file: &Path) -> Result<ItemTable, WardrobeError> {
    table(file).map_err(|fault| WardrobeError { path: file.to_owned(), fault })
}

fn table(file: &Path) -> Result<ItemTable, TableFault> {
    let bytes = std::fs::read(file).map_err(TableFault::Io)?;
    let (text, named) = text::decode(&bytes)?;
    let separator = separator_of(&text, named, Key::Id)?;
    let header = Header::read(&first_line(&text, separator).map_err(TableFault::Csv)?, Key::Id)?;
    let mut table = ItemTable::default();
    for column in header.columns.iter().filter(|column| !column.is_empty()) {
        match column.strip_prefix(FIELD) {
            Some(field) => table.fields.push(field.to_owned()),
            None if NO_ATTRIBUTES.contains(&column.as_str()) => {}
            None => table.attributes.push(column.clone()),
        }
    }
    let mut lines = Lines::of(&text);
    for row in reader(&text, separator).records() {
        let row = row
            .map_err(TableFault::Csv)
            .and_then(|row| item(&header, &row, || lines.number_of(row.position())));
        table.rows.extend(row.transpose());
    }
    Ok(table)
}

/// The item of a row; `None` of an empty one.
fn item(
    header: &Header,
    row: &csv::StringRecord,
    mut line: impl FnMut() -> usize,
) -> Result<Option<ItemRow>, TableFault> {
    let cells = header.cells(row, &mut line)?;
    if cells.id.is_empty() {
        let empty = row.iter().all(str::is_empty);
        return if empty { Ok(None) } else { Err(TableFault::NoId { line: line() }) };
    }
    Ok(Some(ItemRow { id: cells.id, labels: cells.labels, fields: cells.fields }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_items_and_columns_of_fields_are_no_labels() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("stock.csv");
        let text = "ID;color;field:price:number;image\na;red;49.90;a.jpg\n;blue;;\nb;;12;\n;;;\n";
        std::fs::write(&file, text).expect("written");
        let table = read_items(&file).expect("read");
        assert_eq!(
            (table.attributes, table.fields),
            (vec!["color".to_owned()], vec!["price:number".to_owned()])
        );
        let [a, nameless, b] = table.rows.try_into().expect("three");
        let a = a.expect("sound");
        assert_eq!((a.labels["color"].as_str(), a.fields["price:number"].as_str()), ("red", "49.90"));
        assert!(matches!(nameless, Err(TableFault::NoId { line: 3 })), "{nameless:?}");
        let b = b.expect("sound");
        assert_eq!((b.id.as_str(), b.labels.len(), b.fields.len()), ("b", 0, 1));
        std::fs::write(&file, "image,color\na.jpg,red\n").expect("written");
        let refused = read_items(&file).expect_err("refused").to_string();
        assert!(refused.contains("no column \"id\" (found \"image\", \"color\")"), "{refused}");
    }
}
