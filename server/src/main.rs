//! The Lapel server's command line.

use anyhow::Context;
use clap::{Parser, Subcommand};
use lapel_server::{Config, Disk, NewToken, Reload, Role, Server, bench, compact, demo, restore};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// The system's allocator gives large buffers back and fetches them anew with every picture, and its arenas grow.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
    /// Listen on addresses that others reach, although without encryption or tokens.
    #[arg(long, global = true)]
    insecure_public: bool,
    /// Write the log as JSON, a line an event.
    #[arg(long, global = true, env = "LAPEL_LOG_JSON")]
    log_json: bool,
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
    /// Make a token: the entry for the token file goes to the standard output, the secret, once, to the standard error.
    Token {
        /// Its name, for logs.
        name: String,
        /// What it may be used for; may be given several times.
        #[arg(long, required = true)]
        role: Vec<Role>,
    },
    /// Restore a backup (written by `lapel backup`) into a folder without a catalogue.
    Restore {
        /// The backup's file.
        backup: PathBuf,
    },
    /// Give the disk space of deleted items back; the server must not run meanwhile.
    Compact,
    /// Measure recall and speed of the search on clustered signatures, beside the exact scan in the same run.
    BenchSearch(Box<bench::Options>),
    /// Ingest photos of real clothes, or rendered garments, and serve them.
    Demo(demo::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let arguments = Arguments::parse();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Where nobody reads the log any more, saying so there would panic, and end what wanted to log.
    let log = log.log_internal_errors(false);
    if arguments.log_json {
        log.json().init();
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).init();
    }
    let mut config = Config::load(arguments.config.as_deref())?;
    if let Some(listen) = arguments.listen {
        config.listen = listen;
    }
    config.access.insecure_public = arguments.insecure_public;
    match arguments.verb {
        Verb::BenchSearch(options) => tokio::task::block_in_place(|| bench::run(&options)),
        Verb::Token { name, role } => {
            let NewToken { secret, entry } = NewToken::new(&name, &role)?;
            // The entry alone, so that it can be appended to the token file as it is.
            write!(std::io::stdout().lock(), "{entry}")?;
            let mut told = std::io::stderr().lock();
            writeln!(
                told,
                "The entry belongs into the token file (access.tokens); then send the server SIGHUP."
            )?;
            writeln!(told, "The secret, shown this once: LAPEL_TOKEN={secret}")?;
            Ok(())
        }
        Verb::Restore { backup } => {
            let folder = arguments.data.unwrap_or(config.data);
            let file = std::fs::File::open(&backup).with_context(|| backup.display().to_string())?;
            let input = std::io::BufReader::with_capacity(1 << 20, file);
            let restored = restore(input, &folder, &Disk::default())?;
            tracing::info!(restored.items, restored.records, folder = %folder.display(), "restored");
            Ok(())
        }
        Verb::Compact => {
            let (before, after) = compact(&arguments.data.unwrap_or(config.data))?;
            tracing::info!(before, after, "bytes of the catalogue's file");
            Ok(())
        }
        Verb::Serve => {
            if let Some(data) = arguments.data {
                config.data = data;
            }
            let server = Server::start(config).await?;
            reload_on_hangup(server.reload());
            if let Some(address) = server.probes_address() {
                tracing::info!(%address, "probes and metrics");
            }
            if let Some(address) = server.console() {
                tracing::info!(%address, "console");
            }
            // Whoever reads the next line may tell it to stop.
            let stop = stop_signal();
            tracing::info!(address = %server.address(), "serving");
            server.serve(stop).await.context("serving")
        }
        Verb::Demo(options) => {
            config.data = arguments.data.unwrap_or_else(|| "data/demo".into());
            let server = demo::start(config, &options).await?;
            reload_on_hangup(server.reload());
            demo::fill(&server, &options).await?;
            server.serve(stop_signal()).await.context("serving")
        }
    }
}

/// Reads certificates and tokens anew whenever the process is told to (SIGHUP).
fn reload_on_hangup(reload: Reload) {
    #[cfg(unix)]
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
        while hangups.recv().await.is_some() {
            if let Err(error) = reload.reload() {
                tracing::error!(%error, "nothing was read anew; what was in force stays");
            }
        }
    });
    #[cfg(not(unix))]
    drop(reload);
}

/// Ends at the first interrupt or termination from this call on; a second one exits at once.
fn stop_signal() -> impl Future<Output = ()> {
    let mut signals = StopSignals::listen();
    async move {
        signals.next().await;
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(130);
        });
    }
}

/// Interrupts and terminations.
struct StopSignals {
    #[cfg(unix)]
    terminations: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    interrupts: Option<tokio::signal::unix::Signal>,
}

impl StopSignals {
    #[cfg(unix)]
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self {
            terminations: signal(SignalKind::terminate()).ok(),
            interrupts: signal(SignalKind::interrupt()).ok(),
        }
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        async fn of(signal: &mut Option<tokio::signal::unix::Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = of(&mut self.terminations) => {}
            () = of(&mut self.interrupts) => {}
        }
    }

    #[cfg(not(unix))]
    fn listen() -> Self {
        Self {}
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
