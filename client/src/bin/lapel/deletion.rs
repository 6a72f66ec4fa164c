//! `lapel items delete`: by id, or all that pass a filter.

use crate::{asked, consent, output};
use anyhow::bail;
use clap::Args;
use lapel_client::{Client, v1};

/// Ids that are shown before items are deleted.
const SHOWN_MAX: usize = 10;

#[derive(Args)]
pub(crate) struct Options {
    /// The items' ids.
    #[arg(required_unless_present = "expression")]
    ids: Vec<String>,
    /// Delete all items that pass this filter in one step, as in `price > 500 and not in_stock = true`. What would go is
    /// counted first, and nothing is deleted where another number of items passes by then.
    #[arg(long = "where", value_name = "EXPRESSION", conflicts_with = "ids")]
    expression: Option<String>,
    /// Say only what would be deleted.
    #[arg(long, requires = "expression")]
    dry_run: bool,
    /// Delete without asking.
    #[arg(long, requires = "expression", conflicts_with = "dry_run")]
    yes: bool,
}

pub(crate) async fn run(client: &mut Client, options: Options, json: bool) -> anyhow::Result<()> {
    let Options { ids, expression, dry_run, yes } = options;
    match asked::filter_of(client, expression.as_deref()).await? {
        Some(filter) => by_filter(client, filter, &Consent { dry_run, yes }, json).await,
        None => by_id(client, ids, json).await,
    }
}

async fn by_id(client: &mut Client, ids: Vec<String>, json: bool) -> anyhow::Result<()> {
    let request = v1::DeleteItemsRequest { ids, ..v1::DeleteItemsRequest::default() };
    let answer = client.catalog.delete_items(request).await?.into_inner();
    if json {
        return output::json("DeleteItemsResponse", &answer);
    }
    let missing = if answer.not_found.is_empty() {
        String::new()
    } else {
        format!("; not there: {}", answer.not_found.join(", "))
    };
    output::say(format!("deleted {}{missing}", answer.deleted))
}

/// What the caller said beforehand.
struct Consent {
    dry_run: bool,
    yes: bool,
}

async fn by_filter(
    client: &mut Client,
    filter: v1::Filter,
    consent: &Consent,
    json: bool,
) -> anyhow::Result<()> {
    let request = v1::DeleteItemsByFilterRequest {
        filter: Some(filter),
        dry_run: true,
        ..v1::DeleteItemsByFilterRequest::default()
    };
    let found = client.catalog.delete_items_by_filter(request.clone()).await?.into_inner();
    if consent.dry_run || found.items == 0 {
        return if json {
            output::json("DeleteItemsByFilterResponse", &found)
        } else {
            output::say(told(&found))
        };
    }
    if !consent.yes && !consent::agrees(&told(&found), "Delete them?", "--yes to delete them")? {
        bail!("nothing was deleted");
    }
    let request =
        v1::DeleteItemsByFilterRequest { dry_run: false, expected_items: Some(found.items), ..request };
    let deleted = client.catalog.delete_items_by_filter(request).await?.into_inner();
    if json {
        return output::json("DeleteItemsByFilterResponse", &deleted);
    }
    output::say(format!("deleted {}", deleted.items))
}

/// What passes, in words.
fn told(found: &v1::DeleteItemsByFilterResponse) -> String {
    let shown: Vec<&str> = found.first_ids.iter().take(SHOWN_MAX).map(String::as_str).collect();
    match (found.items, shown.is_empty()) {
        (items, true) => format!("{items} items pass"),
        (items, false) if items > shown.len() as u64 => {
            format!("{items} items pass: {}, ...", shown.join(", "))
        }
        (items, false) => format!("{items} items pass: {}", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_named_until_there_are_many() {
        let found = |items: u64| v1::DeleteItemsByFilterResponse {
            items,
            first_ids: (0..items.min(100)).map(|n| n.to_string()).collect(),
        };
        assert_eq!(told(&found(0)), "0 items pass");
        assert_eq!(told(&found(2)), "2 items pass: 0, 1");
        assert!(told(&found(200)).ends_with(", 9, ..."));
    }
}
