//! `lapel generations`.

use crate::heads::{BackfillBar, show as show_heads};
use crate::{input, output};
use anyhow::{Context, bail};
use clap::Subcommand;
use lapel_client::{Client, Upload, v1};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List the backbones with their states and heads.
    List,
    /// Send a backbone with its heads, compute their signatures, and wait until they serve.
    Build {
        /// The backbone's weights.
        #[arg(long)]
        backbone: PathBuf,
        /// The bundle of its "Extract Parts?" head.
        #[arg(long)]
        extract_parts: PathBuf,
        /// Bundles of its heads.
        #[arg(required = true)]
        heads: Vec<PathBuf>,
        /// It waits for `switch` once it is built, in place of serving at once.
        #[arg(long)]
        hold: bool,
        /// Do not wait for the build.
        #[arg(long)]
        no_wait: bool,
    },
    /// Follow a build.
    Watch {
        /// The backbone's fingerprint; the newest that does not serve where none is given.
        #[arg(default_value = "")]
        backbone: String,
    },
    /// Put the generation on standby in service; the one that serves goes on standby. Again: the roll-back.
    Switch {
        /// The backbone's fingerprint; the one on standby where none is given.
        #[arg(default_value = "")]
        backbone: String,
    },
    /// Drop a generation that does not serve.
    Drop {
        /// The backbone's fingerprint.
        backbone: String,
    },
}

pub(crate) async fn run(client: &mut Client, verb: Verb, json: bool) -> anyhow::Result<()> {
    match verb {
        Verb::List => {
            let answer =
                client.generations.list_generations(v1::ListGenerationsRequest {}).await?.into_inner();
            if json {
                return output::json("ListGenerationsResponse", &answer);
            }
            answer.generations.iter().try_for_each(show)?;
            output::say(format!("generation {}", answer.generation))
        }
        Verb::Build { backbone, extract_parts, heads, hold, no_wait } => {
            let upload = |file, path: &PathBuf| {
                input::signed(path).map(|(bytes, signature)| Upload { file, bytes, signature })
            };
            let mut files = vec![
                upload(v1::GenerationFile::Backbone, &backbone)?,
                upload(v1::GenerationFile::ExtractParts, &extract_parts)?,
            ];
            for head in &heads {
                files.push(upload(v1::GenerationFile::Head, head)?);
            }
            let built = client.build_generation(&files, hold).await?;
            if no_wait { one(Some(built), json) } else { watch(client, built.backbone, json).await }
        }
        Verb::Watch { backbone } => watch(client, backbone, json).await,
        Verb::Switch { backbone } => {
            let request = v1::SwitchGenerationRequest { backbone, ..Default::default() };
            one(client.generations.switch_generation(request).await?.into_inner().generation, json)
        }
        Verb::Drop { backbone } => {
            let request = v1::DropGenerationRequest { backbone, ..Default::default() };
            one(client.generations.drop_generation(request).await?.into_inner().generation, json)
        }
    }
}

async fn watch(client: &mut Client, backbone: String, json: bool) -> anyhow::Result<()> {
    let request = v1::WatchGenerationRequest { backbone };
    let mut changes = client.generations.watch_generation(request).await?.into_inner();
    let bar = BackfillBar::new()?;
    let mut last = None;
    while let Some(change) = changes.message().await? {
        let Some(generation) = change.generation else { continue };
        if let Some(backfill) = &generation.backfill {
            bar.show("building", backfill);
        }
        last = Some(generation);
    }
    bar.finish();
    let failed = last.as_ref().is_some_and(|g| g.state() == v1::HeadState::Failed);
    one(last, json)?;
    if failed { bail!("the build failed") } else { Ok(()) }
}

fn one(generation: Option<v1::Generation>, json: bool) -> anyhow::Result<()> {
    let generation = generation.context("the server told nothing of the generation")?;
    if json { output::json("Generation", &generation) } else { show(&generation) }
}

fn show(generation: &v1::Generation) -> anyhow::Result<()> {
    let state = generation.state().as_str_name().trim_start_matches("HEAD_STATE_").to_lowercase();
    let why = if generation.failure.is_empty() { String::new() } else { format!(": {}", generation.failure) };
    output::say(format!("backbone {}, {state}{why}", generation.backbone))?;
    show_heads(&generation.heads)
}
