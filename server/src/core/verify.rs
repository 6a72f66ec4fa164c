//! What a start took over without a look at the store: it is read there behind all other work, so that damage is noticed. A damaged
//! signature is written again from memory; damaged records are told, as by a start that reads them, and items are served from memory
//! until the store is opened anew, by a start or after a refused write, and is then read.

use super::Core;
use super::load::Restored;
use crate::catalogue::Snapshot;
use crate::error::Error;
use crate::store::{Checked, SignaturesByHead, Store, StoreError, StoreHealth, of_key};
use std::sync::Arc;

/// Values that are read at once.
const AT_ONCE: usize = 2048;

/// A part of the store.
#[derive(Clone, Debug)]
enum Part {
    Items,
    /// A head's.
    Signatures {
        key: String,
        dim: usize,
    },
}

/// Reads what was restored, until all is read or the server stops.
pub(super) async fn verify(core: Arc<Core>, Restored { items, columns }: Restored) {
    let of_heads = columns.into_iter().map(|(key, dim)| Part::Signatures { key, dim });
    for part in items.then_some(Part::Items).into_iter().chain(of_heads) {
        if let Err(error) = core.verify_part(&part).await {
            tracing::error!(?part, %error, "this part of the store cannot be checked; it is served from memory");
            if matches!(part, Part::Items) {
                core.tell_damage(Vec::new(), 1).await;
            }
        }
    }
}

impl Core {
    async fn verify_part(&self, part: &Part) -> Result<(), Error> {
        let mut from = Some(String::new());
        while let Some(first) = from.take() {
            if self.stopping.is_cancelled() || self.store.health() != StoreHealth::Open {
                return Ok(());
            }
            let (store, of) = (self.store.clone(), part.clone());
            let check = move || of.check(&store, (&first, AT_ONCE));
            let Checked { damaged, next } = self.engine.bulk(check).await??;
            if !damaged.is_empty() {
                match part {
                    Part::Items => self.tell_damage(damaged, 0).await,
                    Part::Signatures { key, dim } => self.write_again(key, *dim, damaged).await?,
                }
            }
            from = next;
        }
        Ok(())
    }

    /// Adds to what is known to be damaged: ids of items whose record is, and so many others.
    async fn tell_damage(&self, ids: Vec<String>, others: u64) {
        let _writer = self.writer.lock().await;
        let mut next = Snapshot::clone(&self.snapshot());
        tracing::error!(
            ?ids,
            others,
            "records of the store are damaged; their items are served from memory until the catalogue is opened anew"
        );
        next.add_damage(ids, others);
        self.publish(next);
    }

    /// Writes those of the signatures of a head that are still damaged in the store as memory has them.
    async fn write_again(&self, key: &str, dim: usize, damaged: Vec<String>) -> Result<(), Error> {
        let _writer = self.writer.lock().await;
        self.check_open()?;
        let (store, snapshot, key) = (self.store.clone(), self.snapshot(), key.to_owned());
        let precision = self.config.search.precision();
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
            let (written, lost) = (held.len(), count - held.len());
            store.add_signatures(&SignaturesByHead::from([(key.clone(), held)]))?;
            tracing::error!(
                head = key,
                written,
                ?precision,
                lost,
                "stored signatures were damaged; those that memory has were written again as it has them"
            );
            Ok::<_, Error>(())
        });
        written.await?
    }
}

impl Part {
    fn check(&self, store: &Store, range: (&str, usize)) -> Result<Checked, StoreError> {
        match self {
            Self::Items => store.check_items(range),
            Self::Signatures { key, dim } => store.check_signatures((key, *dim), range),
        }
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
