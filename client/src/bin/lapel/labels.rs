//! `lapel labels change`: labels of an attribute are renamed, merged and retired, and so are those that items carry.

mod items;
mod known;

use crate::{heads, output};
use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use known::Known;
use lapel_client::{Client, v1};
use std::path::PathBuf;
use tonic_types::StatusExt;
use v1::label_change::Change;

/// A label that changes, and the one in its place; `None` where it is retired.
type Moved<'a> = (&'a str, Option<&'a str>);

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Rename, merge and retire labels of an attribute without training. `lapel heads rollback` undoes it for the head; the
    /// labels of items that --items changed stay changed: see --backup. What splits a label must be taught: see `lapel teach`.
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
    /// Change the labels that items carry, too, once the next version serves. What would change is counted first, and a person
    /// at a terminal is asked. Repeated after an interruption, it goes on.
    /// With --json: one document, `{"change": ..., "items": ...}`, where `change` is null if the head had the labels already.
    #[arg(long)]
    items: bool,
    /// Change items' labels without asking.
    #[arg(long, requires = "items")]
    yes: bool,
    /// Write the labels that items had to this table first; `lapel items update FILE --merge` gives them back.
    #[arg(long, value_name = "FILE", requires = "items")]
    backup: Option<PathBuf>,
    /// The next version waits for `lapel heads promote` once its backfill is done, in place of serving at once. The labels of
    /// items can follow then: by the same command with --items in place of --hold.
    #[arg(long, conflicts_with = "items")]
    hold: bool,
}

pub(crate) async fn run(client: &mut Client, verb: Verb, json: bool) -> anyhow::Result<()> {
    let Verb::Change(options) = verb;
    let changes = changes(&options.rename, &options.merge, &options.retire)?;
    if options.items {
        return with_items(client, &options, &changes, json).await;
    }
    let changed = change_head(client, &options, &changes, json).await?;
    note_items(&changed, options.hold);
    Ok(())
}

async fn with_items(
    client: &mut Client,
    options: &Options,
    changes: &[Change],
    json: bool,
) -> anyhow::Result<()> {
    let (attribute, backup) = (options.attribute.as_str(), options.backup.as_deref());
    if let Some(file) = backup {
        items::ensure_writable(file, attribute)?;
    }
    let moved: Vec<Moved<'_>> =
        changes.iter().flat_map(new_labels).filter(|(label, new)| Some(*label) != *new).collect();
    let labels: Vec<&str> = moved.iter().map(|(label, _)| *label).collect();
    let known = Known::read(client, attribute).await?;
    known.ensure_has(client, &labels).await?;
    items::agree(&known, &moved, options.yes, backup)?;
    let served: Vec<&str> = known.served.iter().map(String::as_str).collect();
    let mut changed = None;
    if changes.iter().all(|change| is_made(change, &served)) {
        output::note(format!("the head of {attribute} has these labels already; only items are changed"));
    } else {
        changed = Some(change_head(client, options, changes, json).await?);
    }
    let (upload, sent) = items::relabel(client, attribute, &moved, backup).await?;
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

/// Changes the labels of the head, and shows what became of them.
async fn change_head(
    client: &mut Client,
    options: &Options,
    changes: &[Change],
    json: bool,
) -> anyhow::Result<v1::ChangeLabelsResponse> {
    let request = v1::ChangeLabelsRequest {
        attribute: options.attribute.clone(),
        changes: changes.iter().cloned().map(|change| v1::LabelChange { change: Some(change) }).collect(),
        hold: options.hold,
        request_id: String::new(),
    };
    let answer = client.heads.change_labels(request).await.map_err(refused)?.into_inner();
    show_changed(client, answer, (json, options.items)).await
}

/// The error of a change. Where the next version must be held, it says by which options.
fn refused(status: tonic::Status) -> anyhow::Error {
    let details = status.get_error_details();
    if details.error_info().is_some_and(|info| info.reason == "EXTERNAL_SIGNATURES") {
        output::note(
            "`hold` is --hold here; once the version is promoted, --items in its place changes the labels of items",
        );
    }
    status.into()
}

/// Says that items have their labels as before.
fn note_items(changed: &v1::ChangeLabelsResponse, is_held: bool) {
    let moved = changed.labels.iter().filter(|changed| changed.label != changed.new_label);
    let items: u64 = moved.map(|changed| changed.items).sum();
    if items == 0 {
        return;
    }
    let command = if is_held {
        "once it serves, the same command with --items in place of --hold"
    } else {
        "the same command with --items"
    };
    output::note(format!(
        "{items} items keep labels that the new version does not know; {command} changes them"
    ));
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

/// The labels that a change is of, each with the one in its place.
fn new_labels(change: &Change) -> Vec<Moved<'_>> {
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
