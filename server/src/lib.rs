//! The Lapel server: a catalogue of items with attribute signatures, searched over gRPC.

mod admission;
pub mod bench;
mod caches;
mod cases;
mod catalogue;
mod config;
mod core;
pub mod demo;
mod engine;
mod error;
mod features;
mod feedback;
mod front;
mod grpc;
mod life;
mod metrics;
mod model;
mod probes;
mod profiles;
mod request;
mod search;
mod serve;
mod stages;
#[cfg(test)]
mod testing;
mod traffic;

pub(crate) use lapel_store as store;

pub use config::{
    AccessConfig, ByteSize, CatalogConfig, Config, ConfigError, FeatureConfig, Limits, ModelConfig,
    SearchConfig, StoreSettings, TlsFiles, UnknownLabels, WebConfig,
};
pub use core::{
    Core, DeletedWhere, Named, NewItem, OpenError, Parts, Registration, RequestId, Scope, Upserted,
};
pub use error::{Choices, Error, Fault, Faults, Violation};
pub use front::{NewToken, Role, TokensError, TracesError};
pub use lapel_search::Precision;
pub use serve::{Reload, ServeError, Server};
pub use store::{BackupError, BackupSummary, Disk, Step, StepHook, StoreError, compact, restore};
