//! The Lapel server's command line.

use anyhow::Context;
use clap::{Parser, Subcommand};
use lapel_server::{Config, Server, bench, demo};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Attribute-based visual search server.
#[derive(Parser)]
#[command(name = "lapel-server", version)]
struct Arguments {
    /// Configuration file (TOML); see config.example.toml for every key.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Address to listen on, in place of the configured one.
    #[arg(long, global = true)]
    listen: Option<SocketAddr>,
    /// Folder of the catalogue, in place of the configured one.
    #[arg(long, global = true)]
    data: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve a catalogue.
    Serve,
    /// Measure recall and speed of the search on clustered signatures, beside the exact scan in the same run.
    BenchSearch(Box<bench::Options>),
    /// Render a catalogue of garments, ingest it, and serve it.
    Demo(demo::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let arguments = Arguments::parse();
    let mut config = Config::load(arguments.config.as_deref())?;
    if let Some(listen) = arguments.listen {
        config.listen = listen;
    }
    match arguments.verb {
        Verb::BenchSearch(options) => tokio::task::block_in_place(|| bench::run(&options)),
        Verb::Serve => {
            if let Some(data) = arguments.data {
                config.data = data;
            }
            let server = Server::start(config).await?;
            tracing::info!(address = %server.address(), "serving");
            server.serve(stop_signal()).await.context("serving")
        }
        Verb::Demo(options) => {
            config.data = arguments.data.unwrap_or_else(|| "data/demo".into());
            let server = Server::start(config).await?;
            demo::fill(&server, &options).await?;
            server.serve(stop_signal()).await.context("serving")
        }
    }
}

/// Ends at the first interrupt or termination; a second one exits at once.
async fn stop_signal() {
    interrupted().await;
    tokio::spawn(async {
        interrupted().await;
        std::process::exit(130);
    });
}

async fn interrupted() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
