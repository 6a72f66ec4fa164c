//! The heads by name, with their states and progress for whoever watches.

use super::lifecycle::{HeadEvent, HeadState, LifecycleError};
use crate::error::Error;
use lapel_heads::Head;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How far a backfill has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Items to compute.
    pub total: u64,
    /// Items done, skipped ones included.
    pub done: u64,
    /// Items that got no signature.
    pub skipped: u64,
    /// Items a second.
    pub per_second: f64,
}

/// A head as it is now.
#[derive(Clone)]
pub struct HeadStatus {
    /// The name of its data in the store.
    pub key: String,
    /// Its name.
    pub name: String,
    /// SHA-256 of its bundle.
    pub bundle_sha256: String,
    /// The head itself; `None` when its bundle could not be loaded or is gone.
    pub head: Option<Arc<Head>>,
    /// Its state.
    pub state: HeadState,
    /// Its backfill.
    pub progress: Progress,
    /// When it was registered, milliseconds since 1970.
    pub registered_ms: u64,
}

/// All heads by name; a name whose head is retired or failed can be taken anew.
#[derive(Default)]
pub struct Registry {
    heads: Mutex<BTreeMap<String, watch::Sender<HeadStatus>>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, watch::Sender<HeadStatus>>> {
        // Entries are replaced whole, so a poisoned lock holds no half change.
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A head as it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, name: &str) -> Result<HeadStatus, Error> {
        Ok(self.watch(name)?.borrow().clone())
    }

    /// A head's changes from now on.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn watch(&self, name: &str) -> Result<watch::Receiver<HeadStatus>, Error> {
        let heads = self.lock();
        match heads.get(name) {
            Some(sender) => Ok(sender.subscribe()),
            None => Err(Error::NotFound {
                what: "head",
                name: name.into(),
                valid: heads.keys().cloned().collect(),
            }),
        }
    }

    /// All heads, by name.
    #[must_use]
    pub fn all(&self) -> Vec<HeadStatus> {
        self.lock().values().map(|sender| sender.borrow().clone()).collect()
    }

    /// Puts a head's status in, in place of an earlier head of its name.
    pub fn insert(&self, status: HeadStatus) {
        let mut heads = self.lock();
        match heads.get(&status.name) {
            // Those who watch the name go on with the new head.
            Some(sender) => drop(sender.send_replace(status)),
            None => drop(heads.insert(status.name.clone(), watch::Sender::new(status))),
        }
    }

    /// Moves a head on by one event and returns its status.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Precondition`] for a step that its state does not allow.
    pub fn apply(&self, name: &str, event: HeadEvent) -> Result<HeadStatus, Error> {
        let heads = self.lock();
        let sender = heads.get(name).ok_or_else(|| Error::not_found("head", name))?;
        let next = sender.borrow().state.next(event).map_err(|e: LifecycleError| Error::Precondition {
            reason: "HEAD_STATE",
            message: format!("head {name:?}: {e}"),
        })?;
        sender.send_modify(|status| {
            if matches!(next, HeadState::Retired) {
                status.head = None;
            }
            status.state = next;
        });
        Ok(sender.borrow().clone())
    }

    /// Tells those who watch how far the backfill of the head with this key is.
    pub fn set_progress(&self, name: &str, key: &str, progress: Progress) {
        if let Some(sender) = self.lock().get(name) {
            sender.send_if_modified(|status| {
                let same = status.key == key;
                if same {
                    status.progress = progress;
                }
                same
            });
        }
    }
}
