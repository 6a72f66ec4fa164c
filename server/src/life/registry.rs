//! What is shown of heads and models: the present state, with the progress of backfills, for whoever watches.

use super::refusal::Refusal;
use super::status::{HeadStatus, Life, Models, Progress};
use crate::error::Error;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

type Versions = BTreeMap<(String, u32), watch::Sender<HeadStatus>>;

/// The one place that the present state is kept in.
#[derive(Default)]
pub struct Registry {
    heads: Mutex<Versions>,
    models: watch::Sender<Models>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Versions> {
        // Entries are replaced whole, so a poisoned lock holds no half change.
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present state.
    #[must_use]
    pub fn life(&self) -> Life {
        Life::new(self.all(), self.models())
    }

    /// Shows another state. Those who watch a version or the models see what is new; what is known of backfills stays.
    pub fn show(&self, life: &Life) {
        let mut heads = self.lock();
        heads.retain(|place, _| life.heads.contains_key(place));
        for (place, status) in &life.heads {
            let Some(sender) = heads.get(place) else {
                heads.insert(place.clone(), watch::Sender::new(status.clone()));
                continue;
            };
            sender.send_if_modified(|shown| {
                let is_new = !is_same(shown, status);
                if is_new {
                    *shown = HeadStatus { progress: shown.progress.clone(), ..status.clone() };
                }
                is_new
            });
        }
        drop(heads);
        // Who sees a model settled finds its heads settled too.
        self.models.send_if_modified(|shown| {
            let is_new = *shown != *life.models();
            if is_new {
                shown.clone_from(life.models());
            }
            is_new
        });
    }

    /// All versions, by name and version.
    #[must_use]
    pub fn all(&self) -> Vec<HeadStatus> {
        self.lock().values().map(|sender| sender.borrow().clone()).collect()
    }

    /// The version that a name means: the one that serves, or else the newest; or the version asked for.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, name: &str, version: u32) -> Result<HeadStatus, Error> {
        Ok(self.life().get(name, version)?.clone())
    }

    /// The version with a key.
    #[must_use]
    pub fn of_key(&self, key: &str) -> Option<HeadStatus> {
        self.life().of_key(key).cloned()
    }

    /// Changes of a version from now on; 0: the newest.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn watch(&self, name: &str, version: u32) -> Result<watch::Receiver<HeadStatus>, Error> {
        let found = self.life().newest(name, version)?.clone();
        let heads = self.lock();
        let sender = heads.get(&(found.name, found.version));
        let gone = || Refusal::Unknown { what: "head", name: name.to_owned(), valid: Vec::new() };
        Ok(sender.map(watch::Sender::subscribe).ok_or_else(gone)?)
    }

    /// All models, by fingerprint.
    #[must_use]
    pub fn models(&self) -> Models {
        self.models.borrow().clone()
    }

    /// Changes of the models from now on.
    #[must_use]
    pub fn watch_models(&self) -> watch::Receiver<Models> {
        self.models.subscribe()
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

/// Whether nothing of a version has changed but its progress.
fn is_same(shown: &HeadStatus, status: &HeadStatus) -> bool {
    let is_same_head = match (&shown.head, &status.head) {
        (Some(shown), Some(status)) => Arc::ptr_eq(shown, status),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    is_same_head
        && shown.state == status.state
        && shown.key == status.key
        && shown.record() == status.record()
}
