//! Format 3, today's: versions of a profile under keys of their own, receipts that say what their hash is of.

use super::two::ProfileVersion;
use crate::values::ContentId;
use serde::{Deserialize, Serialize};

/// Stands between a profile's key and the place of a version; no name holds it.
const MARK: char = '\u{1e}';

/// The key of a version of a profile.
pub(crate) fn version_key(profile: &str, place: u64) -> String {
    format!("{profile}{MARK}{place:020}")
}

/// What a profile's record holds: where its versions are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProfileEntry {
    /// Counts up with every save and undo.
    pub version: u64,
    /// Places of its versions, ascending; the last is what it holds now.
    pub places: Vec<u64>,
}

/// A profile as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileRecord {
    /// Counts up with every save and undo.
    pub version: u64,
    /// What it holds now.
    pub current: ProfileVersion,
    /// Earlier versions that undo can go back to.
    pub undo_steps: u32,
}

/// What a mutation led to, kept under the caller's request id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// An item was stored; whether it was there before.
    Upserted(bool),
    /// Items were deleted; these ids did not exist.
    Deleted(Vec<String>),
    /// A profile was changed; `None`: deleted.
    Profile(Option<ProfileRecord>),
    /// A version of a head was registered or moved on.
    Head(String, u32),
    /// A model was stored or moved on, by its backbone's fingerprint.
    Model(String),
}

/// A receipt, under the request's id.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What was asked for.
    pub request: ContentId,
    /// Whether that is of the method and the message for certain; it may be of the message alone otherwise.
    pub names_method: bool,
    /// What it led to.
    pub outcome: Outcome,
}
