//! The Lapel server: a catalogue of items with attribute signatures, searched over gRPC.

mod admission;
pub mod bench;
mod caches;
mod catalogue;
mod codes;
mod config;
mod core;
pub mod demo;
mod engine;
mod error;
mod features;
mod feedback;
mod front;
mod grpc;
mod heads;
mod kernels;
mod metrics;
mod model;
mod probes;
mod profiles;
mod search;
mod serve;
mod stages;
mod store;
#[cfg(test)]
mod testing;

pub use config::{
    AccessConfig, ByteSize, Config, ConfigError, FeatureConfig, Limits, ModelConfig, SearchConfig,
    StoreSettings, TlsFiles,
};
pub use core::{Core, NewItem, OpenError, Registration, RequestId, Scope, Upserted};
pub use error::{Error, Violation};
pub use front::{NewToken, Role, TokensError, TracesError};
pub use serve::{Reload, ServeError, Server};
pub use store::{BackupError, BackupSummary, Disk, Step, StepHook, StoreError, compact, restore};
