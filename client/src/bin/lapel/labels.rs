//! `lapel labels change`: labels of an attribute are renamed, merged and retired, and so are those that items carry.

use crate::upload::{Draft, Purpose, Upload};
use crate::{heads, output};
use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use lapel_client::{Client, v1};
use prost_types::FieldMask;
use v1::label_change::Change;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Rename, merge and retire labels of an attribute without training; `lapel heads rollback` undoes it. What splits a
    /// label must be taught: see `lapel teach`.
    Change(Options),
}

#[derive(Args)]
pub(crate) struct Options {
    /// The attribute.
    attribute: String,
    /// Give a label another name, as in `navy=marine`. May be repeated.
    #[arg(long, value_name = "LABEL=NEW", required_unless_present_any = ["merge", "retire"])]
    rename: Vec<String>,
    /// Make labels one, as in `navy,marine=blue`; the new one may be one of them. May be repeated.
    #[arg(long, value_name = "LABEL,LABEL=NEW")]
    merge: Vec<String>,
    /// Tell a label no more. May be repeated.
    #[arg(long, value_name = "LABEL")]
    retire: Vec<String>,
    /// Change the labels that items carry, too, once the next version serves. Repeated after an interruption, it goes on.
    /// With --json: one document, `{"change": ..., "items": ...}`, where `change` is null if the head had the labels already.
    #[arg(long)]
    items: bool,
    /// The next version waits for `lapel heads promote` once its backfill is done, in place of serving at once.
    #[arg(long, conflicts_with = "items")]
    hold: bool,
}

/// Items a page of those that carry a label.
const PAGE: u32 = 1000;

pub(crate) async fn run(client: &mut Client, verb: Verb, json: bool) -> anyhow::Result<()> {
    match verb {
        Verb::Change(options) => change(client, &options, json).await,
    }
}

async fn change(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    let Options { attribute, rename, merge, retire, items, hold } = options;
    let changes = changes(rename, merge, retire)?;
    let there = client.labels(attribute).await?;
    let there: Vec<&str> =
        there.attributes.iter().flat_map(|a| &a.labels).map(|label| label.label.as_str()).collect();
    let mut changed = None;
    if *items && changes.iter().all(|change| is_made(change, &there)) {
        output::note(format!("the head of {attribute} has these labels already; only items are changed"));
    } else {
        let request = v1::ChangeLabelsRequest {
            attribute: attribute.clone(),
            changes: changes.iter().cloned().map(|change| v1::LabelChange { change: Some(change) }).collect(),
            hold: *hold,
            request_id: String::new(),
        };
        let answer = client.heads.change_labels(request).await?.into_inner();
        changed = Some(show_changed(client, answer, (json, *items)).await?);
    }
    if !items {
        return Ok(());
    }
    let (upload, sent) = relabel_items(client, attribute, &changes).await?;
    if !json {
        return upload.finish(sent, false);
    }
    let change = changed.map(|changed| output::value("ChangeLabelsResponse", &changed)).transpose()?;
    upload.finish_with(sent, |stored| {
        let items = output::value("UpsertItemsResponse", stored)?;
        let document = serde_json::json!({ "change": change, "items": items });
        output::say(serde_json::to_string_pretty(&document)?)
    })
}

/// Follows the next version until it serves or stands by, and tells what becomes of the labels; as JSON not where items
/// follow, which are of the same document.
async fn show_changed(
    client: &mut Client,
    answer: v1::ChangeLabelsResponse,
    (json, items_follow): (bool, bool),
) -> anyhow::Result<v1::ChangeLabelsResponse> {
    let v1::ChangeLabelsResponse { head, labels } = answer;
    let mut head = head.context("the server told nothing of the head")?;
    if !matches!(head.state(), v1::HeadState::Active | v1::HeadState::Standby) {
        head = heads::followed(client, head.name, head.version).await?;
    }
    let (name, version, state) = (head.name.clone(), head.version, heads::state(&head));
    let is_sound = matches!(head.state(), v1::HeadState::Active | v1::HeadState::Standby);
    let changed = v1::ChangeLabelsResponse { head: Some(head), labels };
    if !json {
        let mut table = output::table(&["label", "becomes", "items that carry it"]);
        for v1::ChangedLabel { label, new_label, items } in &changed.labels {
            let new_label = if new_label.is_empty() { "(retired)" } else { new_label.as_str() };
            table.add_row([label.as_str(), new_label, items.to_string().as_str()]);
        }
        output::say(table)?;
        output::say(format!("{name} version {version} is {state}"))?;
    } else if !items_follow {
        output::json("ChangeLabelsResponse", &changed)?;
    }
    ensure!(is_sound, "version {version} of {name} is {state}; the version before serves on");
    Ok(changed)
}

/// Writes the new labels of items that carry old ones, and nothing else of them. Gives the upload with how it ended.
async fn relabel_items<'a>(
    client: &'a mut Client,
    attribute: &str,
    changes: &[Change],
) -> anyhow::Result<(Upload<'a>, anyhow::Result<()>)> {
    let mut drafts = Vec::new();
    // Before anything is written: a written item leaves the pages of those that carry the label.
    for (label, new_label) in changes.iter().flat_map(new_labels).filter(|(label, new)| Some(*label) != *new)
    {
        let labels = new_label.map(|new| (attribute.to_owned(), new.to_owned()));
        for id in carriers(client, attribute, label).await? {
            let item = v1::UpsertItemsRequest {
                id,
                labels: labels.clone().into_iter().collect(),
                update_mask: Some(FieldMask { paths: vec![format!("labels.{attribute}")] }),
                ..v1::UpsertItemsRequest::default()
            };
            drafts.push(Draft { item, images: Vec::new() });
        }
    }
    let mut upload = Upload::new(client, Purpose::Update, None, drafts.len())?;
    let sent = send(&mut upload, drafts).await;
    Ok((upload, sent))
}

async fn send(upload: &mut Upload<'_>, drafts: Vec<Draft>) -> anyhow::Result<()> {
    for draft in drafts {
        upload.add(draft).await?;
    }
    upload.flush().await
}

/// Ids of the items that carry a label.
async fn carriers(client: &mut Client, attribute: &str, label: &str) -> anyhow::Result<Vec<String>> {
    let filter = v1::LabelFilter {
        attribute: attribute.to_owned(),
        labels: vec![label.to_owned()],
        // No item may carry it, and the head that serves has it no more.
        allow_unknown: true,
        exists: None,
    };
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            v1::ListItemsRequest { page_size: PAGE, page_token, filters: vec![filter.clone()], filter: None };
        let page = client.catalog.list_items(request).await?.into_inner();
        ids.extend(page.items.into_iter().map(|item| item.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(ids);
        }
    }
}

/// The labels that a change is of, each with the one in its place.
fn new_labels(change: &Change) -> Vec<(&str, Option<&str>)> {
    match change {
        Change::Rename(v1::LabelRename { from, to }) => vec![(from.as_str(), Some(to.as_str()))],
        Change::Merge(v1::LabelMerge { from, into }) => {
            from.iter().map(|from| (from.as_str(), Some(into.as_str()))).collect()
        }
        Change::Retire(label) => vec![(label.as_str(), None)],
        Change::Split(v1::LabelSplit { from: _, into: _ }) => Vec::new(),
    }
}

/// Whether labels are what a change makes of them.
fn is_made(change: &Change, there: &[&str]) -> bool {
    new_labels(change).into_iter().all(|(label, new)| {
        (Some(label) == new || !there.contains(&label)) && new.is_none_or(|new| there.contains(&new))
    })
}

fn changes(rename: &[String], merge: &[String], retire: &[String]) -> anyhow::Result<Vec<Change>> {
    let mut changes = Vec::new();
    for text in rename {
        let (from, to) = sides("--rename", text)?;
        changes.push(Change::Rename(v1::LabelRename { from: from.to_owned(), to: to.to_owned() }));
    }
    for text in merge {
        let (from, into) = sides("--merge", text)?;
        let from: Vec<String> = from.split(',').map(|label| label.trim().to_owned()).collect();
        if from.len() < 2 {
            bail!("--merge {text:?}: name two or more labels, as in navy,marine=blue");
        }
        changes.push(Change::Merge(v1::LabelMerge { from, into: into.to_owned() }));
    }
    changes.extend(retire.iter().cloned().map(Change::Retire));
    Ok(changes)
}

/// The text before and behind the sign of equality.
fn sides<'a>(option: &str, text: &'a str) -> anyhow::Result<(&'a str, &'a str)> {
    let (from, to) = text.split_once('=').with_context(|| format!("{option} {text:?} lacks a \"=\""))?;
    Ok((from.trim(), to.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(rename: &[&str], merge: &[&str], retire: &[&str]) -> anyhow::Result<Vec<Change>> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        changes(&owned(rename), &owned(merge), &owned(retire))
    }

    #[test]
    fn changes_are_read_and_known_once_they_are_made() {
        let read = parsed(&["navy = marine"], &["red, scarlet=red"], &["other"]).expect("sound");
        let all: Vec<_> = read.iter().flat_map(new_labels).collect();
        let wanted =
            [("navy", Some("marine")), ("red", Some("red")), ("scarlet", Some("red")), ("other", None)];
        assert_eq!(all, wanted);
        let is_made = |there: &[&str]| read.iter().all(|change| is_made(change, there));
        assert!(is_made(&["marine", "red"]));
        for there in
            [&["navy", "red"][..], &["marine"], &["marine", "red", "scarlet"], &["marine", "red", "other"]]
        {
            assert!(!is_made(there), "{there:?}");
        }
        let unsound: [(&[&str], &[&str]); 3] = [(&["navy"], &[]), (&[], &["red=blue"]), (&[], &["red,blue"])];
        for (rename, merge) in unsound {
            assert!(parsed(rename, merge, &[]).is_err(), "{rename:?} {merge:?}");
        }
    }
}
