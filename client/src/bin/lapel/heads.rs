//! `lapel heads`.

use crate::{compare, consent, download, input, output};
use anyhow::{Context, bail};
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
        /// It is the next version of a head that is there; that one serves until then, and stays for a roll-back.
        #[arg(long)]
        update: bool,
        /// It waits for `promote` once its backfill is done, in place of serving at once.
        #[arg(long)]
        hold: bool,
        /// Do not wait for the backfill.
        #[arg(long)]
        no_wait: bool,
    },
    /// Follow a head's backfill.
    Watch {
        /// The head's name.
        name: String,
        /// The version; the newest where none is given.
        #[arg(long = "of", value_name = "VERSION", default_value_t = 0)]
        version: u32,
    },
    /// Put a version on standby in service; the one that serves goes on standby. Before, both are shown on the items that
    /// carry labels, where there are any.
    Promote {
        /// The head's name.
        name: String,
        /// The version; the newest on standby where none is given.
        #[arg(long = "of", value_name = "VERSION", default_value_t = 0)]
        version: u32,
        /// Also where fewer items have a signature of it than of the one that serves.
        #[arg(long)]
        allow_missing: bool,
    },
    /// Put the version that served before back in service.
    Rollback {
        /// The head's name.
        name: String,
    },
    /// End a backfill and drop the version it is for.
    Cancel {
        /// The head's name.
        name: String,
    },
    /// Take a head out of service, or drop one version of it.
    Retire {
        /// The head's name.
        name: String,
        /// Only this version.
        #[arg(long = "of", alias = "version", value_name = "VERSION")]
        version: Option<u32>,
        /// All versions, without asking. Where neither this nor a version is given, a person at a terminal is asked.
        #[arg(long, conflicts_with = "version")]
        all_versions: bool,
    },
    /// Compare two versions of a head on the items that carry labels.
    Compare(compare::Options),
    /// Save a version's bundle to a file, to register it elsewhere.
    Download(download::Options),
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
            let request = v1::GetHeadRequest { name, ..Default::default() };
            let answer = client.heads.get_head(request).await?.into_inner();
            if json { output::json("GetHeadResponse", &answer) } else { show(answer.head.as_slice()) }
        }
        Verb::Register { bundle, update, hold, no_wait } => {
            let (bytes, signature) = input::signed(&bundle)?;
            let header = v1::RegisterHeadHeader { update, hold, signature, ..Default::default() };
            let head = client.register_bundle_as(&bytes, header).await?;
            if no_wait || matches!(head.state(), v1::HeadState::Active | v1::HeadState::Standby) {
                return one(Some(head), json);
            }
            watch(client, head.name, head.version, json).await
        }
        Verb::Watch { name, version } => watch(client, name, version, json).await,
        Verb::Promote { name, version, allow_missing } => {
            // What is printed as JSON is the answer and nothing else.
            if !json {
                compare::before_promotion(client, &name, version).await?;
            }
            let request = v1::PromoteHeadRequest { name, version, allow_missing, ..Default::default() };
            one(client.heads.promote_head(request).await?.into_inner().head, json)
        }
        Verb::Rollback { name } => {
            let request = v1::RollbackHeadRequest { name, ..Default::default() };
            one(client.heads.rollback_head(request).await?.into_inner().head, json)
        }
        Verb::Cancel { name } => {
            let request = v1::CancelHeadRequest { name, ..Default::default() };
            one(client.heads.cancel_head(request).await?.into_inner().head, json)
        }
        Verb::Retire { name, version, all_versions } => {
            let version = match version {
                // To the server it would mean all of them.
                Some(0) => bail!("versions count from 1; give --all-versions for all of them"),
                Some(version) => version,
                None if all_versions => 0,
                None => ask_for_all(&name)?,
            };
            let request = v1::RetireHeadRequest { name, version, ..Default::default() };
            one(client.heads.retire_head(request).await?.into_inner().head, json)
        }
        Verb::Compare(options) => compare::run(client, &options, json).await,
        Verb::Download(options) => download::run(client, &options, json).await,
        Verb::Labels { attribute } => labels(client, attribute.unwrap_or_default(), json).await,
    }
}

/// Asks whether all versions of a head are to be retired; the number that stands for all of them where they are.
fn ask_for_all(name: &str) -> anyhow::Result<u32> {
    let what =
        format!("all versions of {name} are dropped with their signatures, and its attributes with them");
    let otherwise = "--of VERSION for one of them, or --all-versions";
    if !consent::agrees(&what, "Retire them?", otherwise)? {
        bail!("nothing was retired");
    }
    Ok(0)
}

fn one(head: Option<v1::Head>, json: bool) -> anyhow::Result<()> {
    let head = head.context("the server told nothing of the head")?;
    if json { output::json("Head", &head) } else { show(&[head]) }
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

pub(crate) fn show(heads: &[v1::Head]) -> anyhow::Result<()> {
    let mut table = output::table(&[
        "head",
        "version",
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
        let state = state(head);
        let state = if head.failure.is_empty() { state } else { format!("{state}: {}", head.failure) };
        table.add_row([
            head.name.clone(),
            head.version.to_string(),
            state,
            head.kind().as_str_name().trim_start_matches("HEAD_KIND_").to_lowercase(),
            head.region.clone() + if head.context { " + whole" } else { "" },
            head.dim.to_string(),
            weight(head),
            head.attributes.join(", "),
            head.bundle_sha256.chars().take(12).collect(),
            head.description.clone(),
        ]);
    }
    output::say(table)
}

/// A head's state, in a word.
pub(crate) fn state(head: &v1::Head) -> String {
    head.state().as_str_name().trim_start_matches("HEAD_STATE_").to_lowercase()
}

/// A head's weight, with p for the confidence in the query's label where the weight follows it, and the weight of the
/// changed head: `2.20 × p^1.50 (9.24)`.
fn weight(head: &v1::Head) -> String {
    let confidence = match head.confidence_exponent {
        0.0 => String::new(),
        exponent => format!(" × p^{exponent:.2}"),
    };
    format!("{:.2}{confidence} ({:.2})", head.weight, head.weight * head.changed_weight)
}

/// A bar that follows a backfill.
pub(crate) struct BackfillBar(ProgressBar);

impl BackfillBar {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let style = ProgressStyle::with_template("{prefix} {bar:32} {pos}/{len} {elapsed} {msg}")?;
        Ok(Self(ProgressBar::new(0).with_style(style)))
    }

    pub(crate) fn show(&self, name: &str, backfill: &v1::BackfillProgress) {
        self.0.set_length(backfill.items_total);
        self.0.set_position(backfill.items_done);
        self.0.set_prefix(name.to_owned());
        let left = backfill.seconds_left.map(|s| format!(", {s:.0} s left")).unwrap_or_default();
        let skipped: Vec<String> =
            backfill.skipped_by_reason.iter().map(|(reason, n)| format!(", {n} {reason}")).collect();
        self.0.set_message(format!("{:.0} items/s{left}{}", backfill.items_per_second, skipped.concat()));
    }

    pub(crate) fn finish(&self) {
        self.0.finish();
    }
}

/// Follows a head until nothing more happens to it, and gives what has become of it.
pub(crate) async fn followed(client: &mut Client, name: String, version: u32) -> anyhow::Result<v1::Head> {
    let request = v1::WatchHeadRequest { name, version };
    let mut changes = client.heads.watch_head(request).await?.into_inner();
    let bar = BackfillBar::new()?;
    let mut last = None;
    while let Some(change) = changes.message().await? {
        let Some(head) = change.head else { continue };
        if let Some(backfill) = &head.backfill {
            bar.show(&head.name, backfill);
        }
        last = Some(head);
    }
    bar.finish();
    last.context("the server told nothing of the head")
}

async fn watch(client: &mut Client, name: String, version: u32, json: bool) -> anyhow::Result<()> {
    let head = followed(client, name, version).await?;
    let failed = head.state() == v1::HeadState::Failed;
    if json {
        output::json("Head", &head)?;
    } else {
        show(&[head])?;
    }
    if failed { bail!("the head failed") } else { Ok(()) }
}

async fn labels(client: &mut Client, attribute: String, json: bool) -> anyhow::Result<()> {
    let answer = client.labels(&attribute).await?;
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
