//! `lapel items update`: fields and labels of items that are there, from a table or for all that pass a filter, without their
//! images.

use crate::upload::{Draft, Purpose, Upload};
use crate::{asked, cells, import, output};
use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use lapel_client::fields::read_value;
use lapel_client::filter_text::{Known, Named};
use lapel_client::{Client, v1};
use lapel_wardrobe::{ItemRow, ItemTable, read_items};
use prost_types::FieldMask;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct Options {
    /// CSV file with a column `id`, columns of fields (`field:price:number`) and of labels (one an attribute). Separated by
    /// commas, semicolons or tabs.
    #[arg(required_unless_present = "set", conflicts_with = "set")]
    file: Option<PathBuf>,
    /// Remove the values of empty cells; otherwise they stay as they are.
    #[arg(long, requires = "file")]
    clear_empty: bool,
    /// Pass over rows without any value, as of a table that is filled in bit by bit; otherwise they are refused.
    #[arg(long, requires = "file", conflicts_with = "clear_empty")]
    merge: bool,
    /// In place of a file: a field or attribute and its value for all items that pass --where, as in `--set in_stock=false`;
    /// nothing behind the = removes it. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "expression")]
    set: Vec<String>,
    /// Which items get what is --set, as in `brand = acme`.
    #[arg(long = "where", value_name = "EXPRESSION", requires = "set")]
    expression: Option<String>,
}

/// Items a page of what passes.
const PAGE: u32 = 1000;

pub(crate) async fn run(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    match (&options.file, &options.expression) {
        (Some(file), _) => {
            let empty = match (options.clear_empty, options.merge) {
                (true, _) => Empty::Removes,
                (false, true) => Empty::Stays,
                (false, false) => Empty::IsRefused,
            };
            from_table(client, file, empty, json).await
        }
        (None, Some(expression)) => all_that_pass(client, expression, &options.set, json).await,
        (None, None) => bail!("give a file, or --set and --where"),
    }
}

async fn all_that_pass(
    client: &mut Client,
    expression: &str,
    set: &[String],
    json: bool,
) -> anyhow::Result<()> {
    let known = asked::known(client).await?;
    let filter = asked::filter(expression, &known)?;
    let item = setting(set, &known)?;
    // Before anything is written: an update may change what passes.
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListItemsRequest {
            page_size: PAGE,
            page_token,
            filter: Some(filter.clone()),
            ..v1::ListItemsRequest::default()
        };
        let page = client.catalog.list_items(request).await?.into_inner();
        ids.extend(page.items.into_iter().map(|found| found.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut upload = Upload::new(client, Purpose::Update, None, ids.len())?;
    let drafts = ids.into_iter().map(|id| {
        let item = v1::UpsertItemsRequest { id, ..item.clone() };
        Draft { item, images: Vec::new() }
    });
    let sent = send(&mut upload, drafts).await;
    upload.finish(sent, json)
}

/// What is set, as the request of an item without an id.
fn setting(set: &[String], known: &Known) -> anyhow::Result<v1::UpsertItemsRequest> {
    let (mut item, mut paths) = (v1::UpsertItemsRequest::default(), Vec::new());
    for text in set {
        let (name, value) = text.split_once('=').with_context(|| format!("{text:?} lacks a \"=\""))?;
        let value = value.trim();
        let named = known.resolve(name.trim()).map_err(anyhow::Error::msg)?;
        let path = match &named {
            Named::Field(field, _) => format!("fields.{field}"),
            Named::Label(attribute) => format!("labels.{attribute}"),
            Named::Predicted(_) => bail!("{text}: what heads see is not set; label.NAME is"),
            Named::Id => bail!("{text}: an item keeps its id"),
        };
        ensure!(!paths.contains(&path), "{} is set twice", name.trim());
        paths.push(path);
        match named {
            Named::Field(field, kind) => {
                if !value.is_empty() {
                    let value = read_value(kind, value).map_err(|why| anyhow!("{text}: {why}"))?;
                    item.fields.insert(field, value);
                }
            }
            Named::Label(name) => {
                if !value.is_empty() {
                    item.labels.insert(name, value.to_owned());
                }
            }
            Named::Predicted(_) | Named::Id => {}
        }
    }
    item.update_mask = Some(FieldMask { paths });
    Ok(item)
}

/// What cells without a value mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    /// They remove the item's value.
    Removes,
    /// They leave it.
    Stays,
    /// They leave it, and a row of nothing else is a mistake.
    IsRefused,
}

async fn from_table(client: &mut Client, file: &Path, empty: Empty, json: bool) -> anyhow::Result<()> {
    let table = read_items(file)?;
    let told = || file.display().to_string();
    ensure!(
        !table.fields.is_empty() || !table.attributes.is_empty(),
        "{} has no column to update items by: name one field:NAME:KIND, or after an attribute",
        told()
    );
    let fields = table.fields.iter();
    let fields = fields.map(|column| cells::column(column).map(|(name, _)| name.to_owned()));
    let fields = fields.collect::<anyhow::Result<Vec<String>>>().with_context(told)?;
    let ItemTable { attributes, fields: _, mut rows } = table;
    if empty == Empty::Stays {
        let before = rows.len();
        rows.retain(|row| !matches!(row, Ok(row) if row.labels.is_empty() && row.fields.is_empty()));
        let passed_over = before - rows.len();
        if passed_over > 0 {
            output::note(format!("passed over: {passed_over} rows without a value"));
        }
    }
    let cleared = (empty == Empty::Removes).then_some(Cleared { attributes, fields });
    import::reach(client).await?;
    let mut upload = Upload::new(client, Purpose::Update, None, rows.len())?;
    let mut unsound = Vec::new();
    let mut drafts = Vec::new();
    for row in rows {
        match row {
            Err(fault) => unsound.push((told(), fault.to_string())),
            Ok(row) => match request(&row, cleared.as_ref()) {
                Ok(item) => drafts.push(Draft { item, images: Vec::new() }),
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

async fn send(upload: &mut Upload<'_>, drafts: impl IntoIterator<Item = Draft>) -> anyhow::Result<()> {
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
    ensure!(
        !paths.is_empty(),
        "the row has no value; --clear-empty removes those of empty cells, --merge passes over it"
    );
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
    fn what_is_set_is_of_its_fields_kind_and_nothing_removes() {
        let known = Known {
            fields: [("price".to_owned(), v1::FieldKind::Number)].into(),
            attributes: ["color".to_owned()].into(),
        };
        let set = ["price=5".to_owned(), "color=".to_owned()];
        let item = setting(&set, &known).expect("sound");
        assert_eq!(item.update_mask.expect("a mask").paths, ["fields.price", "labels.color"]);
        assert_eq!((item.fields.len(), item.labels.len()), (1, 0));
        for unsound in ["price", "price=cheap", "size=5"] {
            assert!(setting(&[unsound.to_owned()], &known).is_err(), "{unsound}");
        }
        let twice = ["price=5".to_owned(), "field.price=".to_owned()];
        assert!(setting(&twice, &known).expect_err("refused").to_string().contains("set twice"));
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
