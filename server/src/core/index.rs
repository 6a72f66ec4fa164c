//! What follows the columns in the background: their codes, and their HNSW indexes.
//!
//! Neither is on the path of a write or a query: until codes are there the exact scan answers, and until an index
//! equals its column a scan does.

use super::Core;
use super::memory::keep_bounded;
use crate::catalogue::{BLOCK, Snapshot};
use lapel_search::{FollowError, SignatureColumn};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Signatures of a head from which on they are coded; a column below fits the processor's cache as it is.
const CODED_MIN: u64 = 4096;

/// Items that are moved under one hold of the writer's lock.
const COMPACTED_AT_ONCE: usize = 2048;

/// Time without a write after which the indexes catch up, so that they do not compete with a running import.
const QUIET: Duration = Duration::from_millis(300);

/// Follows every change until the server stops.
pub(super) fn spawn(core: &Arc<Core>) {
    // Subscribed before the first look, so that no change in between is missed.
    let (codes, indexes) = (core.changed.subscribe(), core.changed.subscribe());
    core.tasks.spawn(keep_compact(core.clone(), core.changed.subscribe()));
    core.tasks.spawn(keep_coded(core.clone(), codes));
    if let Some(items_min) = core.config.search.indexed_from() {
        core.tasks.spawn(keep_indexed(core.clone(), indexes, items_min));
    }
    if core.config.search.memory_bytes.0 > 0 {
        core.tasks.spawn(keep_bounded(core.clone(), core.changed.subscribe()));
    }
}

/// Gives the memory of deleted items back: once half of the slots are free, items from the end move into them, some at
/// a time, so that no write waits long.
async fn keep_compact(core: Arc<Core>, mut changes: watch::Receiver<()>) {
    while !core.stopping.is_cancelled() {
        // Whether items are sparse, and pictures.
        let wants = |snapshot: &Snapshot| {
            let (items, pictures) = (snapshot.items(), snapshot.items().pictures());
            let is_sparse = |free: u64, live: u64| free > live.max(BLOCK as u64);
            (is_sparse(items.free(), items.len() as u64), is_sparse(pictures.free(), pictures.len()))
        };
        let sparse = wants(&core.snapshot());
        if sparse == (false, false) {
            if next_change(&core, &mut changes).await { continue } else { return }
        }
        let mut moved = COMPACTED_AT_ONCE;
        while moved == COMPACTED_AT_ONCE && !core.stopping.is_cancelled() {
            let writer = core.writer.lock().await;
            let mut next = Snapshot::clone(&core.snapshot());
            let faults = next.signatures().faults();
            let compacted =
                tokio::task::spawn_blocking(move || (next.compact(sparse, COMPACTED_AT_ONCE), next)).await;
            let Ok((count, next)) = compacted else { return };
            if next.signatures().faults() != faults {
                // Once they can be read.
                drop(writer);
                if next_change(&core, &mut changes).await { break } else { return }
            }
            moved = count;
            core.publish(next);
            drop(writer);
        }
        tracing::info!(items = core.snapshot().items().len(), "memory of deleted items given back");
    }
}

async fn keep_coded(core: Arc<Core>, mut changes: watch::Receiver<()>) {
    while !core.stopping.is_cancelled() {
        let snapshot = core.snapshot();
        let wanting = snapshot.signature_columns().find(|c| c.wants_coding(CODED_MIN)).cloned();
        drop(snapshot);
        let Some(before) = wanting else {
            if next_change(&core, &mut changes).await { continue } else { return }
        };
        let (column, caches) = (before.clone(), core.caches.clone());
        let faults = before.faults();
        let code = move || {
            // The codec it had before the server was started does as well as a new one, and is there at once.
            let cached = || caches.codec(column.key(), column.dim());
            match if column.codec().is_none() { cached() } else { None } {
                Some(codec) => column.coded_by(codec),
                None => column.coded(),
            }
        };
        match tokio::task::spawn_blocking(code).await {
            // Signatures that could not be read have no codes; they are taken from the store, and that is a change.
            Ok(coded) if coded.faults() != faults => {
                if !next_change(&core, &mut changes).await {
                    return;
                }
            }
            Ok(coded) => {
                core.adopt_codes(&before, &coded).await;
                if !core.snapshot().signature_columns().any(|c| c.wants_coding(CODED_MIN)) {
                    core.save_caches().await;
                }
            }
            Err(error) => {
                tracing::error!(column = &**before.key(), %error, "coding failed; queries scan in full");
                return;
            }
        }
    }
}

async fn keep_indexed(core: Arc<Core>, mut changes: watch::Receiver<()>, items_min: u64) {
    while !core.stopping.is_cancelled() {
        let snapshot = core.snapshot();
        let is_behind = |c: &&SignatureColumn| c.count() >= items_min && !c.is_indexed();
        let active = snapshot.columns().iter().filter_map(|c| snapshot.signatures().column(c.key()));
        let behind: Vec<_> = active.filter(is_behind).cloned().collect();
        drop(snapshot);
        let (mut failed, mut built) = (false, false);
        let nothing_to_do = behind.is_empty();
        for column in behind {
            let (name, stopping) = (column.key().clone(), core.stopping.clone());
            let caches = core.caches.clone();
            let is_new = column.is_index_empty();
            let follow = move || {
                if is_new && caches.restore_index(&column) {
                    return Ok(false);
                }
                column.follow_index(&|| stopping.is_cancelled()).map(|()| is_new)
            };
            match tokio::task::spawn_blocking(follow).await {
                Ok(Ok(anew)) => built |= anew,
                Ok(Err(FollowError::Stopped)) => return,
                Ok(Err(FollowError::Index(error))) => {
                    failed = true;
                    tracing::error!(
                        column = &*name,
                        error,
                        "the index failed; it is rebuilt, queries scan meanwhile"
                    );
                }
                Err(error) => {
                    failed = true;
                    tracing::error!(column = &*name, %error, "the index failed; queries scan");
                }
            }
        }
        if built {
            // What took long is not lost with the process.
            core.save_caches().await;
        }
        // An index that failed is tried again with the next change, not at once and for ever.
        if (nothing_to_do || failed)
            && !(next_change(&core, &mut changes).await && is_quiet(&core, &mut changes).await)
        {
            return;
        }
    }
}

/// Waits for the next change; false when the server stops.
async fn next_change(core: &Core, changes: &mut watch::Receiver<()>) -> bool {
    tokio::select! {
        changed = changes.changed() => changed.is_ok(),
        () = core.stopping.cancelled() => false,
    }
}

/// Waits until nothing has changed for a while; false when the server stops.
async fn is_quiet(core: &Core, changes: &mut watch::Receiver<()>) -> bool {
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return false },
            () = tokio::time::sleep(QUIET) => return true,
            () = core.stopping.cancelled() => return false,
        }
    }
}

impl Core {
    /// Publishes codes that were made from an earlier state of a column; what was written since is coded here.
    async fn adopt_codes(&self, before: &SignatureColumn, coded: &SignatureColumn) {
        let _writer = self.writer.lock().await;
        let mut next = Snapshot::clone(&self.snapshot());
        if next.adopt_codes(before, coded) {
            self.publish(next);
            tracing::info!(column = &**before.key(), signatures = before.count(), "signatures coded");
        }
    }
}
