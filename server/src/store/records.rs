//! What the tables hold, encoded with postcard.

use lapel_heads::{Labels, PartsCase};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An item, without its image and signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Labels by attribute.
    pub labels: Labels,
    /// Whether an image is stored.
    pub has_image: bool,
    /// The case of "Extract Parts?" seen in its image.
    pub parts_case: Option<PartsCase>,
    /// When it was written, milliseconds since 1970.
    pub updated_ms: u64,
}

/// The states of a head that are written down; the others pass by before anything is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredState {
    /// Stored; its backfill is to be done or went on when the server stopped.
    Backfilling,
    /// It serves.
    Active,
    /// Taken out of service.
    Retired,
    /// It could not be made to serve.
    Failed(String),
}

/// A head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRecord {
    /// Its name.
    pub name: String,
    /// SHA-256 of its bundle.
    pub bundle_sha256: String,
    /// Its state.
    pub state: StoredState,
    /// When it was registered, milliseconds since 1970.
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
