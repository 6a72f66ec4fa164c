//! `lapel items`.

use crate::{asked, count, deletion, export, import, input, output, signatures, update};
use clap::Subcommand;
use comfy_table::Table;
use lapel_client::fields::kind_name;
use lapel_client::{Client, v1};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List items by id.
    List {
        /// Items to show.
        #[arg(short = 'n', default_value_t = 20)]
        count: u32,
        /// Begin after this id.
        #[arg(long, default_value = "")]
        after: String,
        /// Only items with a stored label: `--filter category=dress,skirt`; may be repeated.
        #[arg(long = "filter", value_name = "ATTRIBUTE=LABEL,...")]
        filter: Vec<String>,
        /// Only items that pass this filter, as in `in_stock = true and price < 50`.
        #[arg(long = "where", value_name = "EXPRESSION")]
        expression: Option<String>,
    },
    /// Show one item.
    #[command(visible_alias = "show")]
    Get {
        /// The item's id.
        id: String,
    },
    /// Save one of an item's images to a file.
    Image {
        /// The item's id.
        id: String,
        /// Where to.
        file: PathBuf,
        /// Which of the item's images, from 0 on.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        picture: u32,
    },
    /// Count the items that pass a filter, and how many have which labels and values.
    Count(count::Options),
    /// Import a folder of photos, with labels from a CSV file where there is one, or a folder written by `export`.
    Import(import::Options),
    /// Write fields and labels of items that are there, from a CSV file, without their images.
    #[command(visible_alias = "label")]
    Update(update::Options),
    /// Give items that are there their signatures of an external head, from a NumPy file (.npy) of one row an item.
    Signatures(signatures::Options),
    /// Write the whole catalogue to a folder: items.jsonl with labels and fields, images as files, signatures as .npy.
    Export(export::Options),
    /// Delete items: those of the ids, or all that pass a filter.
    Delete(deletion::Options),
    /// Count items, labels, fields and missing signatures, and list labels that no head knows.
    Stats,
}

pub(crate) async fn run(client: &mut Client, verb: Verb, json: bool) -> anyhow::Result<()> {
    match verb {
        Verb::List { count, after, filter, expression } => {
            let filters = filter.iter().map(|f| input::filter(f)).collect::<anyhow::Result<_>>()?;
            let filter = asked::filter_of(client, expression.as_deref()).await?;
            let request = v1::ListItemsRequest { page_size: count, page_token: after, filters, filter };
            let answer = client.catalog.list_items(request).await?.into_inner();
            if json {
                return output::json("ListItemsResponse", &answer);
            }
            show(&answer.items)?;
            let next = &answer.next_page_token;
            if next.is_empty() { Ok(()) } else { output::say(format!("more: --after {next}")) }
        }
        Verb::Get { id } => {
            let answer = client.catalog.get_item(v1::GetItemRequest { id }).await?.into_inner();
            if json { output::json("GetItemResponse", &answer) } else { show(answer.item.as_slice()) }
        }
        Verb::Image { id, file, picture } => {
            let answer = client.image(&id, picture).await?;
            fs_err::write(&file, answer.image)?;
            output::say(format!("wrote {} ({})", file.display(), answer.content_type))
        }
        Verb::Import(options) => import::run(client, &options, json).await,
        Verb::Count(options) => count::run(client, &options, json).await,
        Verb::Update(options) => update::run(client, &options, json).await,
        Verb::Signatures(options) => signatures::run(client, &options, json).await,
        Verb::Export(options) => export::run(client, &options).await,
        Verb::Delete(options) => deletion::run(client, options, json).await,
        Verb::Stats => stats(client, json).await,
    }
}

fn show(items: &[v1::Item]) -> anyhow::Result<()> {
    let mut table = output::table(&["item", "images", "signatures", "labels", "fields"]);
    for item in items {
        table.add_row([
            item.id.clone(),
            // A server from before items had several tells only that there is one.
            item.images.max(u32::from(item.has_image)).to_string(),
            item.heads.join(", "),
            output::labels(&item.labels),
            output::fields(&item.fields),
        ]);
    }
    output::say(table)
}

async fn stats(client: &mut Client, json: bool) -> anyhow::Result<()> {
    let answer = client.stats().await?;
    if json {
        return output::json("CatalogStatsResponse", &answer);
    }
    let mut heads = output::table(&["head", "items with a signature", "without"]);
    for head in &answer.heads {
        heads.add_row([head.head.clone(), head.signatures.to_string(), head.missing.to_string()]);
    }
    let mut labels = output::table(&["attribute", "labelled", "labels"]);
    for (attribute, counts) in &answer.labels {
        let mut sorted: Vec<_> = counts.counts.iter().collect();
        sorted.sort_by(|a, b| b.1.cmp(a.1));
        let list: Vec<String> = sorted.iter().map(|(label, n)| format!("{label} {n}")).collect();
        let total: u64 = counts.counts.values().sum();
        labels.add_row([attribute.clone(), total.to_string(), list.join(", ")]);
    }
    output::say(format!("{} items, generation {}", answer.items, answer.generation))?;
    if answer.cached_features > 0 {
        output::say(format!("features of {} photos are kept for new heads", answer.cached_features))?;
    }
    if !answer.damaged_items.is_empty() || answer.lost_records > 0 {
        let (items, lost) = (answer.damaged_items.join(", "), answer.lost_records);
        output::say(format!(
            "damaged on disk: {items} and {lost} records more; write them again, or restore a backup"
        ))?;
    }
    output::say(heads)?;
    output::say(labels)?;
    if !answer.unknown_labels.is_empty() {
        output::say(unknown_labels(&answer.unknown_labels))?;
    }
    if answer.fields.is_empty() {
        return Ok(());
    }
    let mut fields = output::table(&["field", "kind", "items with a value", "declared"]);
    for field in &answer.fields {
        let declared = if field.declared { "yes" } else { "" };
        let kind = kind_name(field.kind()).to_owned();
        fields.add_row([field.field.clone(), kind, field.items.to_string(), declared.into()]);
    }
    output::say(fields)
}

/// Labels that items carry and that the head of their attribute does not know.
fn unknown_labels(unknown: &[v1::UnknownLabels]) -> Table {
    let mut table = output::table(&["attribute", "head", "labels that the head does not know"]);
    for v1::UnknownLabels { attribute, head, labels, labels_total } in unknown {
        let mut list: Vec<String> =
            labels.iter().map(|label| format!("{} {}", label.label, label.items)).collect();
        let more = labels_total.saturating_sub(labels.len() as u64);
        if more > 0 {
            list.push(format!("and {more} more"));
        }
        table.add_row([attribute.clone(), head.clone(), list.join(", ")]);
    }
    table
}
