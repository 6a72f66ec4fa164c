//! All heads and models as they are now.

use super::refusal::Refusal;
use super::state::HeadState;
use lapel_heads::Head;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a backfill is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A head, by its key, that then serves or stands by.
    Head(String),
    /// A model, by its fingerprint, with all its heads.
    Model(String),
    /// Signatures of these heads, by key, that were lost.
    Heal(Vec<String>),
}

/// Why an item got no signature in a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// Its image is gone.
    NoImage,
    /// Its image can no longer be decoded.
    BadImage,
    /// Its stored image is damaged.
    DamagedImage,
    /// The head's output was not finite, or zero.
    NoSignature,
}

impl Skip {
    /// The reason's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoImage => "no_image",
            Self::BadImage => "bad_image",
            Self::DamagedImage => "damaged_image",
            Self::NoSignature => "no_signature",
        }
    }
}

/// How far a backfill has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Items to compute.
    pub total: u64,
    /// Items done, skipped ones included.
    pub done: u64,
    /// Items that got no signature, by reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Items whose features came from the feature cache.
    pub from_cache: u64,
    /// Items a second.
    pub per_second: f64,
}

/// A version of a head as it is now.
#[derive(Clone)]
pub struct HeadStatus {
    /// The name of its data in the store.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of its bundle.
    pub bundle_sha256: String,
    /// Fingerprint of the backbone that it reads; `None` for an external head.
    pub backbone: Option<String>,
    /// The head itself, as long as it is alive.
    pub head: Option<Arc<Head>>,
    /// Its state.
    pub state: HeadState,
    /// Its backfill.
    pub progress: Progress,
    /// Whether it serves as soon as its backfill is done.
    pub promotes_itself: bool,
    /// When it last came into service, milliseconds since 1970; 0: never.
    pub served_ms: u64,
    /// When it was registered, milliseconds since 1970.
    pub registered_ms: u64,
}

impl HeadStatus {
    /// Whether it belongs to the set of heads of a backbone; external heads belong to all.
    #[must_use]
    pub fn is_on(&self, fingerprint: &str) -> bool {
        self.backbone.as_deref().is_none_or(|b| b == fingerprint)
    }

    /// Whether it has a column: it serves, stands by, or is on its way there.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.state.is_alive()
    }

    /// The attributes that it tells apart; none once it is not alive.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.head.iter().flat_map(|head| &head.manifest().attributes).map(|a| a.name.as_str())
    }
}

/// A model as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelStatus {
    /// The backbone's fingerprint.
    pub fingerprint: String,
    /// Its state.
    pub state: HeadState,
    /// Whether it serves as soon as its heads are whole.
    pub promotes_itself: bool,
    /// Keys of the heads that serve with it: while it does not, those to begin with.
    pub heads: Vec<String>,
    /// When it was stored, milliseconds since 1970.
    pub registered_ms: u64,
}

impl ModelStatus {
    /// Whether it has data: it serves, stands by, or is being built.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.state.is_alive()
    }
}

/// By fingerprint.
pub type Models = BTreeMap<String, ModelStatus>;

/// All versions of all heads, and all models.
#[derive(Clone, Default)]
pub struct Life {
    /// By name and version.
    pub(super) heads: BTreeMap<(String, u32), HeadStatus>,
    pub(super) models: Models,
}

impl Life {
    /// Heads and models as they were found.
    #[must_use]
    pub fn new(heads: Vec<HeadStatus>, models: Models) -> Self {
        let heads = heads.into_iter().map(|status| ((status.name.clone(), status.version), status)).collect();
        Self { heads, models }
    }

    /// All versions, by name and version.
    pub fn heads(&self) -> impl Iterator<Item = &HeadStatus> {
        self.heads.values()
    }

    /// All models.
    #[must_use]
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// The version with a key.
    #[must_use]
    pub fn of_key(&self, key: &str) -> Option<&HeadStatus> {
        self.heads().find(|status| status.key == key)
    }

    /// All versions of a head, oldest first; at least one.
    ///
    /// # Errors
    /// [`Refusal::Unknown`].
    pub fn versions(&self, name: &str) -> Result<Vec<&HeadStatus>, Refusal> {
        let versions: Vec<_> = self.heads().filter(|status| status.name == name).collect();
        if versions.is_empty() {
            let mut valid: Vec<String> = self.heads().map(|status| status.name.clone()).collect();
            valid.dedup();
            return Err(Refusal::Unknown { what: "head", name: name.to_owned(), valid });
        }
        Ok(versions)
    }

    /// The version that a name means: the one that serves, or else the newest; or the version asked for.
    ///
    /// # Errors
    /// [`Refusal::Unknown`], [`Refusal::UnknownVersion`].
    pub fn get(&self, name: &str, version: u32) -> Result<&HeadStatus, Refusal> {
        let versions = self.versions(name)?;
        let found = match version {
            0 => versions.iter().find(|s| s.state == HeadState::Active).or(versions.last()),
            _ => versions.iter().find(|s| s.version == version),
        };
        found.copied().ok_or_else(|| no_version(name, version, &versions))
    }

    /// The newest version of a head, or the one asked for.
    ///
    /// # Errors
    /// [`Refusal::Unknown`], [`Refusal::UnknownVersion`].
    pub fn newest(&self, name: &str, version: u32) -> Result<&HeadStatus, Refusal> {
        let versions = self.versions(name)?;
        let found = versions.iter().rfind(|s| version == 0 || s.version == version);
        found.copied().ok_or_else(|| no_version(name, version, &versions))
    }

    /// A model; an empty fingerprint means the newest of those that do not serve.
    ///
    /// # Errors
    /// [`Refusal::Unknown`]; [`Refusal::NoneWaits`] for an empty fingerprint where there is but the one that serves.
    pub fn model(&self, fingerprint: &str) -> Result<&ModelStatus, Refusal> {
        if fingerprint.is_empty() {
            let waiting = self.models.values().filter(|m| m.state != HeadState::Active);
            return waiting.max_by_key(|m| (m.is_alive(), m.registered_ms)).ok_or(Refusal::NoneWaits);
        }
        self.models.get(fingerprint).ok_or_else(|| Refusal::Unknown {
            what: "backbone",
            name: fingerprint.to_owned(),
            valid: self.models.keys().cloned().collect(),
        })
    }

    /// The model that serves.
    ///
    /// # Errors
    /// [`Refusal::NoModel`].
    pub fn serving(&self) -> Result<&ModelStatus, Refusal> {
        self.models.values().find(|m| m.state == HeadState::Active).ok_or(Refusal::NoModel)
    }

    /// The heads of a model, by name and version; external heads are of none.
    pub fn heads_of_model<'a>(&'a self, fingerprint: &'a str) -> impl Iterator<Item = &'a HeadStatus> {
        self.heads().filter(move |status| status.backbone.as_deref() == Some(fingerprint))
    }

    /// Whether a head is part of a generation that is being built.
    pub(super) fn is_part_of_build(&self, status: &HeadStatus) -> bool {
        let model = status.backbone.as_ref().and_then(|backbone| self.models.get(backbone));
        model.is_some_and(|m| m.state == HeadState::Backfilling)
    }

    /// The backfills that are to be done.
    #[must_use]
    pub fn unfinished(&self) -> Vec<Purpose> {
        let alone = |s: &&HeadStatus| s.state == HeadState::Backfilling && !self.is_part_of_build(s);
        let heads = self.heads().filter(alone).map(|s| Purpose::Head(s.key.clone()));
        let builds = self.models.values().filter(|m| m.state == HeadState::Backfilling);
        heads.chain(builds.map(|m| Purpose::Model(m.fingerprint.clone()))).collect()
    }
}

/// That a head has no such version, but others.
pub(super) fn no_version(name: &str, version: u32, versions: &[&HeadStatus]) -> Refusal {
    let valid = versions.iter().map(|s| s.version.to_string()).collect();
    Refusal::UnknownVersion { head: name.to_owned(), version: version.to_string(), valid }
}
