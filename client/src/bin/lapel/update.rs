//! `lapel items update`: fields and labels of items that are there, from a table, without their images.

use crate::upload::{Draft, Purpose, Upload};
use crate::{cells, import};
use anyhow::{Context, ensure};
use clap::Args;
use lapel_client::{Client, v1};
use lapel_wardrobe::{ItemRow, ItemTable, read_items};
use prost_types::FieldMask;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// CSV file with a column `id`, columns of fields (`field:price:number`) and of labels (one an attribute). Separated by
    /// commas, semicolons or tabs.
    file: PathBuf,
    /// Remove the values of empty cells; otherwise they stay as they are.
    #[arg(long)]
    clear_empty: bool,
}

pub(crate) async fn run(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    let table = read_items(&options.file)?;
    let told = || options.file.display().to_string();
    ensure!(
        !table.fields.is_empty() || !table.attributes.is_empty(),
        "{} has no column to update items by: name one field:NAME:KIND, or after an attribute",
        told()
    );
    let fields = table.fields.iter();
    let fields = fields.map(|column| cells::column(column).map(|(name, _)| name.to_owned()));
    let fields = fields.collect::<anyhow::Result<Vec<String>>>().with_context(told)?;
    let ItemTable { attributes, fields: _, rows } = table;
    let cleared = options.clear_empty.then_some(Cleared { attributes, fields });
    import::reach(client).await?;
    let mut upload = Upload::new(client, Purpose::Update, None, rows.len())?;
    let mut unsound = Vec::new();
    let mut drafts = Vec::new();
    for row in rows {
        match row {
            Err(fault) => unsound.push((told(), fault.to_string())),
            Ok(row) => match request(&row, cleared.as_ref()) {
                Ok(item) => drafts.push(Draft { item, image: None }),
                Err(error) => unsound.push((row.id, format!("{error:#}"))),
            },
        }
    }
    for (id, why) in unsound {
        upload.refuse(id, why)?;
    }
    let sent = send(&mut upload, drafts).await;
    upload.finish(sent, json)
}

async fn send(upload: &mut Upload<'_>, drafts: Vec<Draft>) -> anyhow::Result<()> {
    for draft in drafts {
        upload.add(draft).await?;
    }
    upload.flush().await
}

/// What a row without a value removes.
struct Cleared {
    attributes: Vec<String>,
    fields: Vec<String>,
}

/// The request of a row: what it names is written, all else of the item stays.
fn request(row: &ItemRow, cleared: Option<&Cleared>) -> anyhow::Result<v1::UpsertItemsRequest> {
    let fields = cells::values(&row.fields)?;
    let mut paths: Vec<String> = fields.keys().map(|field| format!("fields.{field}")).collect();
    paths.extend(row.labels.keys().map(|attribute| format!("labels.{attribute}")));
    if let Some(Cleared { attributes, fields: names }) = cleared {
        let without = names.iter().filter(|name| !fields.contains_key(*name));
        paths.extend(without.map(|field| format!("fields.{field}")));
        let without = attributes.iter().filter(|name| !row.labels.contains_key(*name));
        paths.extend(without.map(|attribute| format!("labels.{attribute}")));
    }
    // An empty mask would mean the whole item.
    ensure!(!paths.is_empty(), "the row has no value; --clear-empty removes those of empty cells");
    Ok(v1::UpsertItemsRequest {
        id: row.id.clone(),
        labels: row.labels.clone(),
        fields,
        update_mask: Some(FieldMask { paths }),
        ..v1::UpsertItemsRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(labels: &[(&str, &str)], fields: &[(&str, &str)]) -> ItemRow {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        ItemRow { id: "a".into(), labels: owned(labels), fields: owned(fields) }
    }

    #[test]
    fn only_what_a_row_names_is_written() {
        let paths = |row: &ItemRow, cleared: Option<&Cleared>| {
            request(row, cleared).expect("sound").update_mask.expect("a mask").paths
        };
        let cleared =
            Cleared { attributes: vec!["color".into()], fields: vec!["price".into(), "stock".into()] };
        let full = row(&[("color", "red")], &[("price:number", "5")]);
        assert_eq!(paths(&full, None), ["fields.price", "labels.color"]);
        assert_eq!(paths(&full, Some(&cleared)), ["fields.price", "labels.color", "fields.stock"]);
        let empty = row(&[], &[]);
        assert_eq!(paths(&empty, Some(&cleared)), ["fields.price", "fields.stock", "labels.color"]);
        assert!(request(&empty, None).is_err(), "an empty mask would replace the whole item");
        assert!(request(&row(&[], &[("price:number", "cheap")]), None).is_err());
    }
}
