//! Search by weighted signatures: plain data in, hits out. Nothing here knows of tasks, the network or models.
//!
//! [`Signatures`] is what a search needs of an engine, [`LocalSignatures`] the engine in this process: a
//! [`SignatureColumn`] a head over an [`ItemIndex`] of ids, labels and fields.

mod ahead;
mod allowed;
mod best;
mod bits;
mod block;
pub mod codes;
mod column;
mod cost;
mod facets;
mod fields;
mod filter;
mod hnsw;
mod instructions;
mod items;
pub mod kernels;
mod labels;
mod leading;
mod local;
#[cfg(test)]
mod model;
mod numbers;
mod ordinals;
mod passing;
mod pictures;
mod places;
mod plan;
mod predictions;
mod reach;
mod refinement;
mod rescore;
mod row_file;
mod scan;
mod signatures;
mod slots;
mod stop;
mod summed;
mod terms;
mod tuning;
mod words;

pub use block::{Precision, Slot};
pub use column::{ColumnBytes, LoadingSignatures, RestoreError, SignatureColumn};
pub use cost::Costs;
pub use facets::{FacetCounter, FacetCounts, FacetOf};
pub use fields::FieldIndex;
pub use filter::Filter;
pub use hnsw::FollowError;
pub use instructions::Instructions;
pub use items::{ItemIndex, ItemIndexBuilder, ItemIndexState, SlotLookup};
pub use kernels::BLOCK;
pub use labels::{LabelIndex, LabelSlots};
pub use local::{DamagedSlot, LocalSignatures};
pub use pictures::{PictureIndex, PicturePlace};
pub use predictions::{Prediction, PredictionIndex, Predictions};
pub use reach::Attained;
pub use row_file::{BeforeWrite, FoundRows, OpenedRows, RowFile, RowFileError, RowFiles};
pub use signatures::{
    Budget, Change, IsAbandoned, ItemRows, NewSignatures, PictureMode, Plan, PlanKind, Replaced, SearchTerm,
    SignatureAnswer, SignatureHit, SignatureQuery, Signatures, SignaturesError, TermDistance,
};
pub use tuning::Tuning;
