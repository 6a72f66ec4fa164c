//! Heads that come and go while the server runs.

mod backfill;
mod lifecycle;
mod registry;

pub(crate) use backfill::{Found, Purpose, Tried, is_whole, spawn as spawn_backfill};
pub use lifecycle::{HeadEvent, HeadState};
pub use registry::{HeadStatus, Progress, Registry};
