//! The end of a server, and what it leaves to the next start.

use super::Core;
use crate::caches::Caches;
use crate::catalogue::Snapshot;
use crate::store::Store;
use std::io;
use std::time::Instant;

impl Core {
    /// Ends background work and waits for it, closes the store, and leaves what memory holds to the next start; an unfinished
    /// backfill goes on then.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // From here on nothing is written, so that the snapshot is what the store is closed with.
        let _writer = self.writer.lock().await;
        let _saving = self.saving.lock().await;
        let (caches, snapshot, store) = (self.caches.clone(), self.snapshot(), self.store.clone());
        let has_indexes = self.has_indexes();
        let begun = Instant::now();
        let (items, heads) = (snapshot.items().len(), snapshot.signature_columns().count());
        match tokio::task::spawn_blocking(move || leave(&caches, &snapshot, &store, has_indexes)).await {
            Ok(Ok(())) => {
                tracing::info!(items, heads, took = ?begun.elapsed(), "items and signatures left to the next start");
            }
            Ok(Err(error)) => tracing::warn!(%error, "the next start reads everything from the store"),
            Err(error) => tracing::error!(%error, "the next start reads everything from the store"),
        }
    }

    fn has_indexes(&self) -> bool {
        self.config.search.indexed_from().is_some()
    }

    /// Writes the caches of the present state. Without them the next start takes longer, and no more than that.
    pub(super) async fn save_caches(&self) {
        let _saving = self.saving.lock().await;
        let (caches, snapshot) = (self.caches.clone(), self.snapshot());
        let has_indexes = self.has_indexes();
        match tokio::task::spawn_blocking(move || caches.save(&snapshot, has_indexes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the caches cannot be written"),
            Err(error) => tracing::error!(%error, "the caches cannot be written"),
        }
    }
}

/// Closes the store, and saves what memory holds of it, all of one snapshot or nothing.
fn leave(caches: &Caches, snapshot: &Snapshot, store: &Store, has_indexes: bool) -> io::Result<()> {
    // First, so that whoever has no patience for the rest leaves a closed catalogue behind.
    let closed = store.close();
    caches.save(snapshot, has_indexes)?;
    let in_use = || io::Error::other("the catalogue is still in use, or its disk has failed");
    let catalogue = closed.ok_or_else(in_use)?;
    let (damaged, lost) = snapshot.damage();
    if !damaged.is_empty() || lost > 0 {
        return Err(io::Error::other("records of the catalogue are damaged"));
    }
    let saved = caches.save_states(snapshot).and_then(|stop| caches.seal(stop, catalogue));
    // A disk that had no room for all has room for what is more than a cache.
    saved.inspect_err(|_| caches.drop_states())
}
