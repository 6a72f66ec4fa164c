//! The Lapel server: a catalogue of items with attribute signatures, searched over gRPC.

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
mod grpc;
mod heads;
mod kernels;
mod model;
mod profiles;
mod search;
mod serve;
mod store;
#[cfg(test)]
mod testing;

pub use config::{
    ByteSize, Config, ConfigError, FeatureConfig, Limits, ModelConfig, SearchConfig, StoreSettings,
};
pub use core::{Core, NewItem, OpenError, Registration, RequestId, Scope, Upserted};
pub use error::{Error, Violation};
pub use serve::{ServeError, Server};
pub use store::{BackupError, BackupSummary, Disk, Step, StepHook, StoreError, compact, restore};
