//! What stands between a connection and a service: encryption, identity, admission, deadlines, and the record of what
//! became of each request.

mod addresses;
mod answer;
mod caller;
mod compression;
mod connections;
mod files;
mod gate;
mod headers;
mod inflow;
mod record;
mod roles;
mod socket;
mod tls;
mod tokens;
#[cfg_attr(not(feature = "otel"), path = "front/without_traces.rs")]
mod traces;
mod transport;
mod web;

pub(crate) use caller::Caller;
pub(crate) use connections::accept;
pub(crate) use files::allow as allow_files;
pub(crate) use gate::{Gate, GateLayer};
pub use roles::Role;
pub(crate) use tls::{Tls, TlsError};
pub(crate) use tokens::Tokens;
pub use tokens::{NewToken, TokensError};
pub(crate) use traces::Traces;
pub use traces::TracesError;
pub(crate) use transport::serve;
pub(crate) use web::{Web, WebLayer};
