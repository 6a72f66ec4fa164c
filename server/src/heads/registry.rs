//! The versions of all heads, with their states and progress for whoever watches.

use super::lifecycle::{HeadEvent, HeadState, LifecycleError};
use crate::error::Error;
use crate::store::{HeadRecord, StoredState};
use lapel_heads::Head;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

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
    /// The head itself; `None` when its bundle could not be loaded or is gone.
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
    /// What the store keeps of it, in a state.
    #[must_use]
    pub fn record(&self, state: StoredState) -> HeadRecord {
        HeadRecord {
            name: self.name.clone(),
            version: self.version,
            bundle_sha256: self.bundle_sha256.clone(),
            backbone: self.backbone.clone(),
            state,
            promotes_itself: self.promotes_itself,
            served_ms: self.served_ms,
            registered_ms: self.registered_ms,
        }
    }

    /// Whether it belongs to the set of heads of a backbone; external heads belong to all.
    #[must_use]
    pub fn is_on(&self, fingerprint: &str) -> bool {
        self.backbone.as_deref().is_none_or(|b| b == fingerprint)
    }

    /// Whether it has data: it serves, stands by, or is on its way there.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.head.is_some()
    }
}

type Versions = BTreeMap<(String, u32), watch::Sender<HeadStatus>>;

/// All versions of all heads.
#[derive(Default)]
pub struct Registry {
    heads: Mutex<Versions>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Versions> {
        // Entries are replaced whole, so a poisoned lock holds no half change.
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version that a name means: the one that serves, or else the newest; or the version asked for.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, name: &str, version: u32) -> Result<HeadStatus, Error> {
        let versions = self.versions(name)?;
        let serves = |s: &&HeadStatus| s.state == HeadState::Active;
        let found = match version {
            0 => versions.iter().find(serves).or(versions.last()),
            _ => versions.iter().find(|s| s.version == version),
        };
        found.cloned().ok_or_else(|| no_version(&versions, version))
    }

    /// All versions of a head, oldest first; at least one.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn versions(&self, name: &str) -> Result<Vec<HeadStatus>, Error> {
        let heads = self.lock();
        let of_name = heads.iter().filter(|((n, _), _)| n == name);
        let versions: Vec<_> = of_name.map(|(_, sender)| sender.borrow().clone()).collect();
        if versions.is_empty() {
            let mut valid: Vec<String> = heads.keys().map(|(name, _)| name.clone()).collect();
            valid.dedup();
            return Err(Error::NotFound { what: "head", name: name.into(), valid });
        }
        Ok(versions)
    }

    /// The version with a key.
    #[must_use]
    pub fn of_key(&self, key: &str) -> Option<HeadStatus> {
        self.all().into_iter().find(|s| s.key == key)
    }

    /// The version that the next bundle of a name becomes.
    #[must_use]
    pub fn next_version(&self, name: &str) -> u32 {
        self.versions(name).map_or(1, |versions| versions.last().map_or(0, |s| s.version) + 1)
    }

    /// Changes of a version from now on; 0: the newest.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn watch(&self, name: &str, version: u32) -> Result<watch::Receiver<HeadStatus>, Error> {
        let versions = self.versions(name)?;
        let wanted = match version {
            0 => versions.last().map_or(0, |s| s.version),
            _ => version,
        };
        let heads = self.lock();
        let sender = heads.get(&(name.to_owned(), wanted));
        sender.map(watch::Sender::subscribe).ok_or_else(|| no_version(&versions, wanted))
    }

    /// All versions, by name and version.
    #[must_use]
    pub fn all(&self) -> Vec<HeadStatus> {
        self.lock().values().map(|sender| sender.borrow().clone()).collect()
    }

    /// Puts a version in, in place of what is known of it.
    pub fn insert(&self, status: HeadStatus) {
        let mut heads = self.lock();
        let place = (status.name.clone(), status.version);
        match heads.get(&place) {
            // Those who watch it see the change.
            Some(sender) => drop(sender.send_replace(status)),
            None => drop(heads.insert(place, watch::Sender::new(status))),
        }
    }

    /// Takes over what was read anew from the store.
    pub fn replace(&self, other: &Self) {
        other.all().into_iter().for_each(|status| self.insert(status));
        let known: Vec<_> = other.lock().keys().cloned().collect();
        self.lock().retain(|place, _| known.contains(place));
    }

    /// Moves the version with a key on by one event and returns its status.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Precondition`] for a step that its state does not allow.
    pub fn apply(&self, key: &str, event: HeadEvent) -> Result<HeadStatus, Error> {
        let heads = self.lock();
        let sender = heads.values().find(|s| s.borrow().key == key);
        let sender = sender.ok_or_else(|| Error::not_found("head", key))?;
        let served = event == HeadEvent::Promote;
        let next = sender.borrow().state.next(event).map_err(|e: LifecycleError| Error::Precondition {
            reason: "HEAD_STATE",
            message: format!("head {:?}: {e}", sender.borrow().name),
        })?;
        sender.send_modify(|status| {
            if matches!(next, HeadState::Retired | HeadState::Failed(_)) {
                status.head = None;
            }
            if served {
                status.served_ms = crate::core::now_ms();
            }
            status.state = next;
        });
        Ok(sender.borrow().clone())
    }

    /// Tells those who watch how far the backfill of the heads with these keys is.
    pub fn set_progress(&self, keys: &[String], progress: &Progress) {
        for sender in self.lock().values() {
            sender.send_if_modified(|status| {
                let told = keys.contains(&status.key);
                if told {
                    status.progress = progress.clone();
                }
                told
            });
        }
    }
}

fn no_version(versions: &[HeadStatus], version: u32) -> Error {
    let name = versions.first().map(|s| s.name.clone()).unwrap_or_default();
    let valid = versions.iter().map(|s| s.version.to_string()).collect();
    Error::NotFound { what: "version of the head", name: format!("{name} {version}"), valid }
}
