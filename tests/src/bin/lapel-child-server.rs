//! A server in a process of its own, for tests that kill it: serves a folder until it is killed, or ends itself before
//! the n-th durable step.

use clap::Parser;
use lapel_server::{Disk, Server, Step, StepHook};
use lapel_tests::{by_default, config_in};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator gives large buffers back and fetches them anew with every picture, and its arenas grow.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
struct Options {
    /// Folder above the catalogue's.
    folder: PathBuf,
    /// Abort before this durable step, counted from the moment the server listens.
    #[arg(long)]
    abort_at: Option<u64>,
    /// Serve by the model of the default configuration in place of the paper's; of its heads the first alone, where they
    /// are not registered.
    #[arg(long)]
    default_model: bool,
    /// Register the shipped heads.
    #[arg(long)]
    shipped_heads: bool,
    /// Signatures of a head from which on its index is kept.
    #[arg(long)]
    hnsw_items_min: Option<u64>,
    /// Bytes of memory for signatures; as configured where none are given.
    #[arg(long)]
    signature_bytes: Option<usize>,
    /// Mebibytes for pages of the catalogue's file; as configured where none are given.
    #[arg(long)]
    page_cache_mib: Option<usize>,
    /// Bytes of the feature cache.
    #[arg(long, default_value_t = 0)]
    features: usize,
    /// Have probes, on a free port.
    #[arg(long)]
    probes: bool,
    /// Seconds that a caller may stand still; as configured where none are given.
    #[arg(long)]
    stall_seconds: Option<u32>,
}

/// Counts steps once it is armed.
#[derive(Debug, Default)]
struct Abort {
    left: AtomicU64,
}

impl StepHook for Abort {
    fn before(&self, _: Step) -> std::io::Result<()> {
        // 0: not armed.
        if self.left.load(Ordering::SeqCst) > 0 && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // No destructor runs, nothing is flushed.
            std::process::abort();
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let mut config = config_in(&options.folder);
    if options.default_model {
        by_default(&mut config);
    }
    if !options.shipped_heads && options.default_model {
        config.model.heads.truncate(1);
    } else if !options.shipped_heads {
        config.model.heads.clear();
    }
    if let Some(least) = options.hnsw_items_min {
        config.search.hnsw_items_min = least;
    }
    if let Some(bytes) = options.signature_bytes {
        config.search.memory_bytes = lapel_server::ByteSize(bytes);
        // What is read back is compared with what was written.
        config.search.signatures = Some(lapel_server::Precision::F32);
    }
    if let Some(mib) = options.page_cache_mib {
        config.store.cache_bytes = lapel_server::ByteSize(mib << 20);
    }
    config.features.budget_bytes = lapel_server::ByteSize(options.features);
    config.operation.probes = options.probes.then_some(([127, 0, 0, 1], 0).into());
    if let Some(seconds) = options.stall_seconds {
        config.limits.stall_seconds = seconds;
    }
    let hook = Arc::new(Abort::default());
    let server = Server::start_on(config, Disk::watched(hook.clone())).await.expect("starts");
    if let Some(probes) = server.probes_address() {
        println!("PROBES {probes}");
    }
    println!("LISTENING http://{}", server.address());
    hook.left.store(options.abort_at.unwrap_or(0), Ordering::SeqCst);
    server.serve(std::future::pending()).await.expect("serves");
}
