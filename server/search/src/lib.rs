//! Search by weighted signatures: plain data in, hits out. Nothing here knows of tasks, the network or models.
//!
//! [`Signatures`] is what a search needs of an engine, [`LocalSignatures`] the engine in this process: a
//! [`SignatureColumn`] a head over an [`ItemIndex`] of ids and labels.

mod allowed;
mod block;
pub mod codes;
mod column;
mod cost;
mod filter;
mod hnsw;
mod instructions;
mod items;
pub mod kernels;
mod labels;
mod local;
mod plan;
mod rescore;
mod scan;
mod signatures;
mod stop;
mod terms;
mod tuning;

pub use block::{Precision, Slot};
pub use column::SignatureColumn;
pub use cost::Costs;
pub use filter::{Condition, Filter};
pub use hnsw::FollowError;
pub use instructions::Instructions;
pub use items::ItemIndex;
pub use kernels::BLOCK;
pub use labels::{ItemLabels, LabelIndex, LabelSlots};
pub use local::LocalSignatures;
pub use signatures::{
    Budget, Change, IsAbandoned, ItemRows, NewSignatures, Plan, PlanKind, Replaced, SearchTerm,
    SignatureAnswer, SignatureHit, SignatureQuery, Signatures, SignaturesError, TermDistance,
};
pub use tuning::Tuning;
