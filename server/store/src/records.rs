//! What the tables hold, encoded with postcard: each record from the format that it last changed with. A record is never
//! changed here, but in the next format (`formats.rs`).

pub use crate::formats::four::{ItemRecord, Outcome, StoredImage};
pub use crate::formats::three::ProfileRecord;
pub use crate::formats::two::{HeadRecord, ModelRecord, ProfileVersion, StoredState};
use crate::values::ContentId;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHash {
    /// Hash of its method and its message.
    pub request: ContentId,
    /// Hash of its message alone, as receipts from before format 3 may have it.
    pub message: ContentId,
}

impl RequestHash {
    /// Of a request without an id, which nobody asks for again.
    pub const NONE: Self = Self { request: ContentId([0; 16]), message: ContentId([0; 16]) };
}

/// The proof that a request was carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The caller's id of the request.
    pub request_id: String,
    /// What was asked for, so that an id that is used twice is found.
    pub request: RequestHash,
    /// What it led to.
    pub outcome: Outcome,
}
