//! `lapel`: the command line of a Lapel server.

mod asked;
mod backup;
mod cells;
mod compare;
mod consent;
mod count;
mod deletion;
mod describe;
mod download;
mod export;
mod exported;
mod facets;
mod field_json;
mod generations;
mod heads;
mod html;
mod import;
mod input;
mod interruption;
mod items;
mod labels;
mod load;
mod npy;
mod output;
mod photos;
mod pick;
mod profiles;
mod reach;
mod report;
mod results;
mod search;
mod shell;
mod signatures;
mod status;
mod suggest;
mod teach;
mod update;
mod upload;
mod worth;

use anyhow::{anyhow, bail};
use clap::{Parser, Subcommand};
use lapel_client::{Access, Client, ConnectError, TlsMistake};
use std::path::PathBuf;
use std::process::ExitCode;

/// Describe photos, search a catalogue by them, and keep the catalogue.
#[derive(Parser)]
#[command(name = "lapel", version)]
struct Arguments {
    /// Address of the server.
    #[arg(long, global = true, default_value = "http://127.0.0.1:7700", env = "LAPEL_SERVER")]
    server: String,
    /// The token's secret.
    #[arg(long, global = true, env = "LAPEL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Authority of the server's certificate (PEM), for an `https` address.
    #[arg(long, global = true, env = "LAPEL_CA")]
    ca: Option<PathBuf>,
    /// Client certificate (PEM), for a server that wants one; `--key` is its key.
    #[arg(long, global = true, requires = "key")]
    certificate: Option<PathBuf>,
    /// Key of the client certificate (PEM).
    #[arg(long, global = true, requires = "certificate")]
    key: Option<PathBuf>,
    /// Print the server's answer as JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Say what the server sees in a photo or an item.
    Describe(describe::Options),
    /// Find the items most like a photo or an item, with attributes changed or weighted.
    Search(Box<search::Options>),
    /// Say which changes of a photo or an item lead to items, best first.
    Suggest(suggest::Options),
    /// Turn picked items into weights and search with them.
    Pick(Box<pick::Options>),
    /// Teach a head from labelled items or photos, and say which items to label next.
    Teach(Box<teach::Options>),
    /// List, register, update, promote, compare, download, roll back and retire heads.
    #[command(subcommand)]
    Heads(heads::Verb),
    /// Rename, merge and retire labels of an attribute.
    #[command(subcommand)]
    Labels(labels::Verb),
    /// List, read, count, import, update, export and delete items.
    #[command(subcommand)]
    Items(items::Verb),
    /// Save, read, undo and delete profiles.
    #[command(subcommand)]
    Profiles(profiles::Verb),
    /// Build another backbone with its heads, switch to it, and back.
    #[command(subcommand)]
    Generations(generations::Verb),
    /// Measure how many requests a second the server answers, and how fast.
    Load(Box<load::Options>),
    /// Say what the server does at present: calls and their times over the last minute, memory, health.
    Status,
    /// Save everything the server keeps to one file; `lapel-server restore` reads it.
    Backup(backup::Options),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let server = arguments.server.clone();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe has seen enough, as with `lapel items list | head`.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let mistake = TlsMistake::of(&*error, &server);
            let told = mistake.map(|mistake| anyhow!("{server}: {mistake} ({})", error.root_cause()));
            output::report(&told.unwrap_or(error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let access = access(&arguments)?;
    let Arguments { server, json, verb, .. } = arguments;
    if !server.contains("://") {
        bail!("--server {server}: it needs a scheme, as in http://HOST:7700");
    }
    let mut client = Client::connect_with(&server, &access).await.map_err(|error| match error {
        ConnectError::Token => anyhow!(error),
        ConnectError::Transport(error) => anyhow!(error).context(format!(
            "{server} cannot be reached; is a Lapel server running there? Else give --server"
        )),
    })?;
    match verb {
        Verb::Describe(options) => describe::run(&mut client, options, json).await,
        Verb::Search(options) => search::run(&mut client, &options, json).await,
        Verb::Suggest(options) => suggest::run(&mut client, options, json).await,
        Verb::Pick(options) => pick::run(&mut client, *options, json).await,
        Verb::Teach(options) => teach::run(&mut client, &options, json).await,
        Verb::Heads(verb) => heads::run(&mut client, verb, json).await,
        Verb::Labels(verb) => labels::run(&mut client, verb, json).await,
        Verb::Items(verb) => items::run(&mut client, verb, json).await,
        Verb::Profiles(verb) => profiles::run(&mut client, verb, json).await,
        Verb::Generations(verb) => generations::run(&mut client, verb, json).await,
        Verb::Status => status::run(&mut client, json).await,
        Verb::Backup(options) => backup::run(&mut client, &options).await,
        Verb::Load(options) => load::run(&server, &access, &options, json).await,
    }
}

fn access(arguments: &Arguments) -> anyhow::Result<Access> {
    let read = |path: &PathBuf| fs_err::read(path);
    let identity = match (&arguments.certificate, &arguments.key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
        (Some(_), None) | (None, Some(_) | None) => None,
    };
    Ok(Access { token: arguments.token.clone(), ca: arguments.ca.as_ref().map(read).transpose()?, identity })
}
