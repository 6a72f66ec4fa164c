//! The stored signatures of columns that a start took from its caches. They are read behind all other work, so that one that is
//! damaged is noticed, and written again from memory while that still has it.

use super::Core;
use crate::catalogue::Snapshot;
use crate::error::Error;
use crate::store::{SignaturesByHead, StoreHealth, of_key};
use std::sync::Arc;

/// Signatures that are read at once.
const AT_ONCE: usize = 2048;

/// Reads the stored signatures of columns, given by key and dimension, until all are read or the server stops.
pub(super) async fn verify(core: Arc<Core>, columns: Vec<(String, usize)>) {
    for (key, dim) in columns {
        if let Err(error) = core.verify_column(&key, dim).await {
            tracing::error!(head = key, %error, "its stored signatures cannot be checked; they are served from memory");
        }
    }
}

impl Core {
    async fn verify_column(&self, key: &str, dim: usize) -> Result<(), Error> {
        let mut from = Some(String::new());
        while let Some(first) = from.take() {
            if self.stopping.is_cancelled() || self.store.health() != StoreHealth::Open {
                return Ok(());
            }
            let (store, name) = (self.store.clone(), key.to_owned());
            let check = move || store.check_signatures(&name, dim, (&first, AT_ONCE));
            let (damaged, next) = self.engine.bulk(check).await??;
            if !damaged.is_empty() {
                self.write_again(key, dim, damaged).await?;
            }
            from = next;
        }
        Ok(())
    }

    /// Writes those of the signatures of a head that are still damaged in the store as memory has them.
    async fn write_again(&self, key: &str, dim: usize, damaged: Vec<String>) -> Result<(), Error> {
        let _writer = self.writer.lock().await;
        self.check_open()?;
        let (store, snapshot, key) = (self.store.clone(), self.snapshot(), key.to_owned());
        let precision = self.config.search.signatures;
        let written = tokio::task::spawn_blocking(move || {
            let is_damaged =
                |id: &String| store.signature(&key, dim, id).is_err_and(|error| error.is_damage());
            let damaged: Vec<String> = damaged.into_iter().filter(is_damaged).collect();
            let held = |id: String| held(&snapshot, &key, &id).map(|values| (id, values));
            let count = damaged.len();
            if count == 0 {
                return Ok(());
            }
            let held: Vec<_> = snapshot.reading(|| damaged.into_iter().filter_map(held).collect())?;
            let lost = count - held.len();
            tracing::error!(
                head = key,
                written = held.len(),
                ?precision,
                lost,
                "stored signatures were damaged; those that memory has are written again as it has them"
            );
            Ok::<_, Error>(store.add_signatures(&SignaturesByHead::from([(key, held)]))?)
        });
        written.await?
    }
}

/// A signature by its key in the store, as memory has it.
fn held(snapshot: &Snapshot, head_key: &str, key: &str) -> Option<Vec<f32>> {
    let (id, picture) = of_key(key);
    let (column, slot) = (snapshot.column_of_key(head_key)?, snapshot.items().slot(id)?);
    let signature = match picture {
        Some(number) => snapshot.picture_signature(column, slot, number)?,
        None => snapshot.signature_column(column)?.get(slot)?,
    };
    Some(signature.into_owned())
}
