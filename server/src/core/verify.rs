//! What a start took over without a look at the store: it is read there behind all other work, so that a record or a signature that is
//! damaged is noticed, and written again from memory while that still has it.

use super::Core;
use super::load::Restored;
use crate::catalogue::Snapshot;
use crate::error::Error;
use crate::store::{Checked, PackedRecord, SignaturesByHead, Store, StoreError, StoreHealth, of_key};
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
                self.write_again(part, damaged).await?;
            }
            from = next;
        }
        Ok(())
    }

    /// Writes those that are still damaged in the store as memory has them.
    async fn write_again(&self, part: &Part, damaged: Vec<String>) -> Result<(), Error> {
        let _writer = self.writer.lock().await;
        self.check_open()?;
        let (store, snapshot, part) = (self.store.clone(), self.snapshot(), part.clone());
        let precision = self.config.search.signatures;
        let written = tokio::task::spawn_blocking(move || {
            let is_damaged =
                |key: &String| part.check(&store, (key, 1)).is_ok_and(|found| found.damaged.contains(key));
            let damaged: Vec<String> = damaged.into_iter().filter(is_damaged).collect();
            let count = damaged.len();
            if count == 0 {
                return Ok(());
            }
            let written = part.write_again(&store, &snapshot, damaged)?;
            let lost = count - written;
            tracing::error!(
                ?part,
                written,
                ?precision,
                lost,
                "a part of the store was damaged; what memory has of it was written again as it has it"
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

    /// Writes values by their keys as memory has them, and returns how many it has.
    fn write_again(&self, store: &Store, snapshot: &Snapshot, damaged: Vec<String>) -> Result<usize, Error> {
        match self {
            Self::Items => {
                let packed = |id: String| Some((id.clone(), snapshot.items().of_id(&id)?.packed().clone()));
                let records: Vec<(String, PackedRecord)> = damaged.into_iter().filter_map(packed).collect();
                store.write_records(&records)?;
                Ok(records.len())
            }
            Self::Signatures { key, .. } => {
                let held = |of: String| held(snapshot, key, &of).map(|values| (of, values));
                let held: Vec<_> = snapshot.reading(|| damaged.into_iter().filter_map(held).collect())?;
                let written = held.len();
                store.add_signatures(&SignaturesByHead::from([(key.clone(), held)]))?;
                Ok(written)
            }
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
