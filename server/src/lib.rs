//! The Lapel server: a catalogue of items with attribute signatures, searched over gRPC.

pub mod bench;
mod catalogue;
mod codes;
mod config;
mod core;
pub mod demo;
mod engine;
mod error;
mod feedback;
mod grpc;
mod heads;
mod kernels;
mod profiles;
mod search;
mod serve;
mod store;
#[cfg(test)]
mod testing;

pub use config::{ByteSize, Config, ConfigError, Limits, ModelConfig, SearchConfig};
pub use core::{Core, NewItem, OpenError, Upserted};
pub use error::{Error, Violation};
pub use serve::{ServeError, Server};
