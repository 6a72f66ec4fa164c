//! Format 2: sealed values, versions of heads, models, receipts. A profile is one record with all of its versions.

use super::super::sealed::{decode, encode};
use super::{StoreError, rewrite, three};
use crate::values::{ContentId, Labels, StoredPartsCase};
use redb::{TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An item, without its image and signatures; of format 3, too.
#[derive(Serialize, Deserialize)]
pub(crate) struct ItemRecord {
    /// Labels by attribute.
    pub labels: Labels,
    /// The stored image; `None` where there is none.
    pub image: Option<ContentId>,
    /// The case of "Extract Parts?" seen in its image.
    pub parts_case: Option<StoredPartsCase>,
    /// When it was written, milliseconds since 1970.
    pub updated_ms: u64,
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

#[derive(Deserialize)]
struct ProfileRecord {
    version: u64,
    current: ProfileVersion,
    earlier: Vec<ProfileVersion>,
}

#[derive(Deserialize)]
enum Outcome {
    Upserted(bool),
    Deleted(Vec<String>),
    Profile(Option<ProfileRecord>),
    Head(String, u32),
    Model(String),
}

#[derive(Deserialize)]
struct Kept {
    request: ContentId,
    outcome: Outcome,
}

/// To format 3: versions of profiles get keys of their own, and receipts say what their hash is of.
pub(super) fn upgrade(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let definition = TableDefinition::<&str, &[u8]>::new("profile_versions");
    let mut versions = transaction.open_table(definition)?;
    rewrite(transaction, "profiles", |key, value| {
        let ProfileRecord { version, current, earlier } = decode("profiles", key, value)?;
        let mut places = Vec::new();
        for (place, version) in (0..).zip(earlier.iter().chain([&current])) {
            let at = three::version_key(key, place);
            versions.insert(at.as_str(), encode("profile_versions", &at, version).as_slice())?;
            places.push(place);
        }
        Ok(encode("profiles", key, &three::ProfileEntry { version, places }))
    })?;
    rewrite(transaction, "receipts", |id, value| {
        let Kept { request, outcome } = decode("receipts", id, value)?;
        // The message was hashed alone at first, and with its method later.
        let kept = three::Kept { request, names_method: false, outcome: three::Outcome::from(outcome) };
        Ok(encode("receipts", id, &kept))
    })?;
    // Receipts are numbered by the last one that is there.
    transaction.open_table(TableDefinition::<&str, &[u8]>::new("about"))?.remove("receipts")?;
    Ok(())
}

impl From<Outcome> for three::Outcome {
    fn from(outcome: Outcome) -> Self {
        let profile = |ProfileRecord { version, current, earlier }| three::ProfileRecord {
            version,
            current,
            undo_steps: earlier.len() as u32,
        };
        match outcome {
            Outcome::Upserted(replaced) => Self::Upserted(replaced),
            Outcome::Deleted(missing) => Self::Deleted(missing),
            Outcome::Profile(record) => Self::Profile(record.map(profile)),
            Outcome::Head(name, version) => Self::Head(name, version),
            Outcome::Model(fingerprint) => Self::Model(fingerprint),
        }
    }
}
