//! `lapel heads`.

use crate::output;
use anyhow::bail;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_client::{Client, v1};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List the heads.
    List,
    /// Show one head.
    Get {
        /// The head's name.
        name: String,
    },
    /// Register a bundle and wait until the head serves.
    Register {
        /// The bundle's file.
        bundle: PathBuf,
        /// Do not wait for the backfill.
        #[arg(long)]
        no_wait: bool,
    },
    /// Follow a head's backfill.
    Watch {
        /// The head's name.
        name: String,
    },
    /// Take a head out of service.
    Retire {
        /// The head's name.
        name: String,
    },
    /// List attributes and labels with the items behind their prototypes.
    Labels {
        /// Only this attribute.
        attribute: Option<String>,
    },
}

pub(crate) async fn run(client: &mut Client, verb: Verb, json: bool) -> anyhow::Result<()> {
    match verb {
        Verb::List => list(client, json).await,
        Verb::Get { name } => {
            let answer = client.heads.get_head(v1::GetHeadRequest { name }).await?.into_inner();
            if json { output::json("GetHeadResponse", &answer) } else { show(answer.head.as_slice()) }
        }
        Verb::Register { bundle, no_wait } => {
            let head = client.register_bundle(&fs_err::read(bundle)?).await?;
            if no_wait || head.state() == v1::HeadState::Active {
                return if json { output::json("Head", &head) } else { show(&[head]) };
            }
            watch(client, head.name, json).await
        }
        Verb::Watch { name } => watch(client, name, json).await,
        Verb::Retire { name } => {
            let answer = client.heads.retire_head(v1::RetireHeadRequest { name }).await?.into_inner();
            if json { output::json("RetireHeadResponse", &answer) } else { show(answer.head.as_slice()) }
        }
        Verb::Labels { attribute } => labels(client, attribute.unwrap_or_default(), json).await,
    }
}

async fn list(client: &mut Client, json: bool) -> anyhow::Result<()> {
    let request = v1::ListHeadsRequest { page_size: 1000, ..v1::ListHeadsRequest::default() };
    let answer = client.heads.list_heads(request).await?.into_inner();
    if json {
        return output::json("ListHeadsResponse", &answer);
    }
    show(&answer.heads)?;
    output::say(format!("backbone: {}; generation {}", answer.backbone, answer.generation))
}

fn show(heads: &[v1::Head]) -> anyhow::Result<()> {
    let mut table = output::table(&[
        "head",
        "state",
        "kind",
        "region",
        "dim",
        "weight (changed)",
        "attributes",
        "bundle",
        "trained on",
    ]);
    for head in heads {
        let state = head.state().as_str_name().trim_start_matches("HEAD_STATE_").to_lowercase();
        let state = if head.failure.is_empty() { state } else { format!("{state}: {}", head.failure) };
        table.add_row([
            head.name.clone(),
            state,
            head.kind().as_str_name().trim_start_matches("HEAD_KIND_").to_lowercase(),
            head.region.clone() + if head.context { " + whole" } else { "" },
            head.dim.to_string(),
            format!("{:.2} ({:.2})", head.weight, head.weight * head.changed_weight),
            head.attributes.join(", "),
            head.bundle_sha256.chars().take(12).collect(),
            head.description.clone(),
        ]);
    }
    output::say(table)
}

async fn watch(client: &mut Client, name: String, json: bool) -> anyhow::Result<()> {
    let mut changes = client.heads.watch_head(v1::WatchHeadRequest { name }).await?.into_inner();
    let style = ProgressStyle::with_template("{prefix} {bar:32} {pos}/{len} {elapsed} (left {eta}) {msg}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let mut last = None;
    while let Some(change) = changes.message().await? {
        let Some(head) = change.head else { continue };
        if let Some(backfill) = &head.backfill {
            bar.set_length(backfill.items_total);
            bar.set_position(backfill.items_done);
            bar.set_message(format!("{:.0} items/s", backfill.items_per_second));
        }
        bar.set_prefix(head.name.clone());
        last = Some(head);
    }
    bar.finish();
    let Some(head) = last else { bail!("the server told nothing of the head") };
    let failed = head.state() == v1::HeadState::Failed;
    if json {
        output::json("Head", &head)?;
    } else {
        show(&[head])?;
    }
    if failed { bail!("the head failed") } else { Ok(()) }
}

async fn labels(client: &mut Client, attribute: String, json: bool) -> anyhow::Result<()> {
    let answer = client.heads.list_labels(v1::ListLabelsRequest { attribute }).await?.into_inner();
    if json {
        return output::json("ListLabelsResponse", &answer);
    }
    let mut table = output::table(&["attribute", "head", "label", "items", "prototype"]);
    for a in &answer.attributes {
        for label in &a.labels {
            let prototype = match (label.prototype_count, label.prototype_from_catalog) {
                (0, _) => "none yet".to_owned(),
                (n, true) => format!("{n} items of the catalogue"),
                (n, false) => format!("{n} items of its training"),
            };
            table.add_row([
                a.attribute.clone(),
                a.head.clone(),
                label.label.clone(),
                label.items.to_string(),
                prototype,
            ]);
        }
    }
    output::say(table)
}
