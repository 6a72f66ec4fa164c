//! What the tables hold, encoded with postcard.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The first half of the SHA-256 of some content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContentId(pub [u8; 16]);

impl ContentId {
    /// The id of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self(half)
    }
}

/// Labels by attribute.
pub type Labels = BTreeMap<String, String>;

/// The case of "Extract Parts?" that was seen in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredPartsCase {
    /// Lower-body clothing.
    LowerBody,
    /// Upper-body clothing with sleeves.
    Sleeved,
    /// Sleeveless upper-body clothing.
    Sleeveless,
}

/// An item, without its image and signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Labels by attribute.
    pub labels: Labels,
    /// The stored image; `None` where there is none.
    pub image: Option<ContentId>,
    /// The case of "Extract Parts?" seen in its image.
    pub parts_case: Option<StoredPartsCase>,
    /// When it was written, milliseconds since 1970.
    pub updated_ms: u64,
}

impl ItemRecord {
    /// Whether an image is stored.
    #[must_use]
    pub fn has_image(&self) -> bool {
        self.image.is_some()
    }
}

/// The states of a head or a model that are written down; the others pass by before anything is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredState {
    /// Stored; its backfill is to be done or went on when the server stopped.
    Backfilling,
    /// Whole and kept up to date, but not serving.
    Standby,
    /// It serves.
    Active,
    /// Taken out of service.
    Retired,
    /// It could not be made to serve.
    Failed(String),
}

/// One version of a head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRecord {
    /// Its name.
    pub name: String,
    /// Its version, from 1 on.
    pub version: u32,
    /// SHA-256 of its bundle.
    pub bundle_sha256: String,
    /// Fingerprint of the backbone that it reads; `None` for an external head.
    pub backbone: Option<String>,
    /// Its state.
    pub state: StoredState,
    /// Whether it serves as soon as its backfill is done.
    pub promotes_itself: bool,
    /// When it last came into service, milliseconds since 1970; 0: never.
    pub served_ms: u64,
    /// When it was registered, milliseconds since 1970.
    pub registered_ms: u64,
}

/// A backbone with its "Extract Parts?" head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Its state; heads in it have states of their own.
    pub state: StoredState,
    /// Whether it serves as soon as its heads are whole.
    pub promotes_itself: bool,
    /// Keys of the heads that serve with it: while it does not, those to begin with.
    pub heads: Vec<String>,
    /// When it was stored, milliseconds since 1970.
    pub registered_ms: u64,
}

/// One version of a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileVersion {
    /// Weights by head.
    pub weights: BTreeMap<String, f64>,
    /// The picks behind them.
    pub picked_ids: Vec<String>,
    /// When it was saved, milliseconds since 1970.
    pub saved_ms: u64,
}

/// A profile with the versions that undo can go back to, the latest last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileRecord {
    /// Counts up with every save and undo.
    pub version: u64,
    /// What it holds now.
    pub current: ProfileVersion,
    /// Earlier versions.
    pub earlier: Vec<ProfileVersion>,
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

/// The proof that a request was carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The caller's id of the request.
    pub request_id: String,
    /// What was asked for, so that an id that is used twice is found.
    pub request: ContentId,
    /// What it led to.
    pub outcome: Outcome,
}
