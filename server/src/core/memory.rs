//! What columns take in memory, and signatures that could not be read where they are instead.
//!
//! Neither is on the path of a query or a write: signatures are moved on a copy of their column, and adopted under the
//! writer's lock where nobody has written them meanwhile. What cannot be read is told to whoever asks (UNAVAILABLE), and is
//! taken from the store.

use super::Core;
use crate::catalogue::Snapshot;
use crate::error::Error;
use crate::store::StoreError;
use lapel_search::{RowFileError, SignatureColumn};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Bytes of signatures that are moved before it is looked again what is there.
const SPILLED_AT_ONCE: usize = 64 << 20;
/// Groups of a column that are taken from the store under one hold of the writer's lock.
const MENDED_AT_ONCE: usize = 64;
/// How often is looked whether there is something that could not be read.
const LOOK: Duration = Duration::from_secs(1);
/// Before a disk that refused is asked again.
const RETRY: Duration = Duration::from_secs(10);

/// Keeps the columns within `search.memory_bytes` until the server stops.
pub(super) async fn keep_bounded(core: Arc<Core>, mut changes: watch::Receiver<()>) {
    let mut faults = 0;
    while !core.stopping.is_cancelled() {
        if core.snapshot().signatures().faults() != faults {
            tracing::error!("signatures cannot be read from their files; they are taken from the store");
            match core.mend_signatures().await {
                Ok(seen) => faults = seen,
                Err(error) => tracing::error!(%error, "the signatures cannot be taken from the store yet"),
            }
        }
        let wait = match core.spill().await {
            Spilled::Some => continue,
            Spilled::Nothing => LOOK,
            Spilled::Refused => RETRY,
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = core.stopping.cancelled() => return,
            changed = changes.changed(), if wait == LOOK => if changed.is_err() { return },
        }
    }
}

/// What became of a try to move signatures out of memory.
enum Spilled {
    /// Some were moved.
    Some,
    /// There are not too many, or those that are cannot be moved.
    Nothing,
    /// The disk takes none.
    Refused,
}

impl Core {
    /// Moves some signatures out of memory if there are too many.
    async fn spill(&self) -> Spilled {
        let (snapshot, caches) = (self.snapshot(), self.caches.clone());
        let (bound, precision) = (self.config.search.memory_bytes.0, self.config.search.precision());
        let spilled = tokio::task::spawn_blocking(move || {
            let Some((before, over)) = largest(&snapshot, bound) else { return Ok(None) };
            let mut column = before.clone();
            if !column.has_files() {
                let [items, pictures] = caches.open_rows(column.key(), (column.dim(), precision))?;
                column.set_files(items.file, pictures.file);
            }
            let spilled = column.spilled(over.min(SPILLED_AT_ONCE))?;
            Ok::<_, RowFileError>(Some((before, spilled)))
        });
        let (before, spilled) = match spilled.await {
            Ok(Ok(Some(spilled))) => spilled,
            Ok(Ok(None)) => return Spilled::Nothing,
            Ok(Err(error)) => {
                tracing::warn!(%error, "signatures stay in memory beyond search.memory_bytes");
                return Spilled::Refused;
            }
            Err(error) => {
                tracing::error!(%error, "signatures stay in memory beyond search.memory_bytes");
                return Spilled::Refused;
            }
        };
        let _writer = self.writer.lock().await;
        let mut next = Snapshot::clone(&self.snapshot());
        if next.adopt_rows(&before, &spilled) {
            self.publish(next);
        }
        Spilled::Some
    }

    /// Takes all signatures that cannot be read from the store, and returns how often that had been met before.
    async fn mend_signatures(&self) -> Result<u64, Error> {
        let snapshot = self.snapshot();
        // One that cannot be read is seldom alone.
        let checked = tokio::task::spawn_blocking(move || {
            snapshot.signature_columns().for_each(SignatureColumn::check_rows);
            snapshot.signatures().faults()
        });
        // What is met from here on is looked for again.
        let seen = checked.await?;
        while !self.stopping.is_cancelled() {
            let _writer = self.writer.lock().await;
            self.check_open()?;
            let (store, mut next) = (self.store.clone(), Snapshot::clone(&self.snapshot()));
            let mended = tokio::task::spawn_blocking(move || {
                let damaged = next.signature_columns().filter(|column| column.is_damaged());
                let damaged: Vec<_> = damaged.map(|column| (column.key().clone(), column.dim())).collect();
                for (key, dim) in &damaged {
                    next.mend(key, MENDED_AT_ONCE, |item| match store.signature(key, *dim, item) {
                        // It is told as damaged by the next start, and computed anew where it can be.
                        Err(error) if error.is_damage() => Ok(None),
                        found => found,
                    })?;
                }
                Ok::<_, StoreError>((!damaged.is_empty()).then_some(next))
            });
            match mended.await?? {
                Some(next) => self.publish(next),
                None => return Ok(seen),
            }
        }
        Ok(seen)
    }
}

/// The column with the most exact signatures in memory, and by how many bytes all of them are over their bound; `None` where they
/// are not, or have none in memory.
fn largest(snapshot: &Snapshot, bound: usize) -> Option<(SignatureColumn, usize)> {
    let columns: Vec<_> = snapshot.signature_columns().map(|column| (column, column.bytes())).collect();
    let held: usize = columns.iter().map(|(_, bytes)| bytes.in_memory()).sum();
    let over = held.checked_sub(bound).filter(|over| *over > 0)?;
    let (column, bytes) = columns.into_iter().max_by_key(|(_, bytes)| bytes.rows)?;
    (bytes.rows > 0).then(|| (column.clone(), over))
}
