//! After a failure: the store is opened anew, and the memory is brought to what is there.

use super::Core;
use super::backfill::spawn;
use super::load::load;
use crate::engine::HeadFailure;
use crate::life::Purpose;
use crate::store::{StoreError, StoreHealth};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Before a store that could not be opened is tried again.
const RETRY: Duration = Duration::from_millis(250);

impl Core {
    /// Opens the store anew and reads all of it: of the write that failed nobody knows whether it is there.
    async fn reopen(self: &Arc<Self>) -> Result<(), super::OpenError> {
        let _writer = self.writer.lock().await;
        let core = self.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            core.store.reopen()?;
            // This process has the files of signatures open, and memory is not what was left.
            load(&core.store, &core.config, None)
        });
        let loaded = loaded.await.map_err(|e| super::OpenError::Thread(std::io::Error::other(e)))??;
        self.publish(loaded.snapshot);
        self.registry.show(&loaded.life);
        if !self.store.opened() {
            return Err(StoreError::Reopening.into());
        }
        resume(self, loaded.lacking);
        Ok(())
    }
}

/// Opens the store anew whenever it has failed, until the server stops. Queries go on with what is in memory; writes are
/// refused meanwhile.
pub(super) async fn keep_mended(core: Arc<Core>) {
    loop {
        tokio::select! {
            () = core.store.failed() => {}
            () = core.stopping.cancelled() => return,
        }
        while core.store.health() != StoreHealth::Open {
            match core.reopen().await {
                Ok(()) => tracing::info!("the store was opened anew"),
                Err(error) => {
                    tracing::error!(%error, "the store cannot be opened anew yet");
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        () = core.stopping.cancelled() => return,
                    }
                }
            }
        }
    }
}

/// Takes heads that cannot go on out of service, until the server stops.
pub(super) async fn keep_sound(core: Arc<Core>, mut failures: mpsc::Receiver<HeadFailure>) {
    loop {
        let failure = tokio::select! {
            failure = failures.recv() => failure,
            () = core.stopping.cancelled() => return,
        };
        let Some(HeadFailure { head, reason }) = failure else { return };
        let key =
            core.snapshot().all_columns().find(|c| Arc::ptr_eq(c.head(), &head)).map(|c| c.key().to_string());
        if let Some(key) = key {
            core.fail_head(&key, &reason).await;
        }
    }
}

/// Goes on with backfills that were cut off, and computes signatures that were lost.
pub(super) fn resume(core: &Arc<Core>, lacking: Vec<String>) {
    core.registry.life().unfinished().into_iter().for_each(|purpose| spawn(core, purpose));
    if !lacking.is_empty() {
        tracing::warn!(heads = ?lacking, "items lack signatures; they are computed anew");
        spawn(core, Purpose::Heal(lacking));
    }
}
