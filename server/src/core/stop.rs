//! The end of a server, and what it leaves to the next start.

use super::Core;

impl Core {
    /// Ends background work and waits for it, writes the caches, and closes the store; an unfinished backfill goes on at the next
    /// start.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.save_caches().await;
        // No write runs, so that the snapshot is what the store is closed with.
        let _writer = self.writer.lock().await;
        let (caches, snapshot, store) = (self.caches.clone(), self.snapshot(), self.store.clone());
        let left = tokio::task::spawn_blocking(move || {
            // First, so that whoever has no patience for the rest leaves a closed catalogue behind.
            let Some(catalogue) = store.close() else { return Ok(()) };
            caches.seal(caches.save_states(&snapshot)?, catalogue)
        });
        match left.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the next start reads all signatures from the store"),
            Err(error) => tracing::error!(%error, "the next start reads all signatures from the store"),
        }
    }

    /// Writes the caches of the present state. Without them the next start takes longer, and no more than that.
    pub(super) async fn save_caches(&self) {
        let _saving = self.saving.lock().await;
        let (caches, snapshot) = (self.caches.clone(), self.snapshot());
        let has_indexes = self.config.search.indexed_from().is_some();
        match tokio::task::spawn_blocking(move || caches.save(&snapshot, has_indexes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the caches cannot be written"),
            Err(error) => tracing::error!(%error, "the caches cannot be written"),
        }
    }
}
