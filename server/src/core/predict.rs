//! Predicted labels of all items, when a filter asks for them.

use super::Core;
use crate::catalogue::{Column, Snapshot};
use crate::error::Error;
use lapel_heads::Attribute;
use lapel_search::SignaturesError;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// Items that a head looks at, at most, under one hold of the writer's lock.
const PREDICTED_AT_ONCE: usize = 8192;
/// Products of a classifier under one hold: some tens of milliseconds, that a write may wait.
const PRODUCTS_AT_ONCE: usize = 1 << 26;
/// Items that a head looks at under one hold, however large it is.
const PREDICTED_MIN: usize = 16;

impl Core {
    /// The present state, with the predictions of these attributes of all items. Of attributes that no head predicts there
    /// are none.
    ///
    /// The first request for an attribute has its head look at every item, some at a time, and publishes what it saw each
    /// time; others that come meanwhile wait. When the caller leaves, it ends after the items that it looks at, and the next
    /// one goes on from there.
    ///
    /// # Errors
    /// [`Error::Internal`] when a head panicked, [`Error::Unreadable`].
    pub(crate) async fn predicting(
        self: &Arc<Self>,
        attributes: &BTreeSet<String>,
    ) -> Result<Arc<Snapshot>, Error> {
        let lacking = |snapshot: &Snapshot| {
            attributes.iter().find(|attribute| snapshot.lacks_predictions(attribute)).cloned()
        };
        let snapshot = self.snapshot();
        if lacking(&snapshot).is_none() {
            return Ok(snapshot);
        }
        drop(snapshot);
        let mut predictor = self.predictor.clone().lock_owned().await;
        loop {
            let snapshot = self.snapshot();
            match lacking(&snapshot) {
                None => return Ok(snapshot),
                Some(attribute) => predictor = self.predict_some(attribute, predictor).await?,
            }
        }
    }

    /// On a task of its own: whether the caller stays or not, what was seen is published, and nobody does it again meanwhile.
    async fn predict_some(
        self: &Arc<Self>,
        attribute: String,
        predictor: OwnedMutexGuard<()>,
    ) -> Result<OwnedMutexGuard<()>, Error> {
        let core = self.clone();
        let looking = tokio::spawn(async move {
            let _writer = core.writer.lock().await;
            let mut next = Snapshot::clone(&core.snapshot());
            let predicted = tokio::task::spawn_blocking(move || {
                let (most, faults) = (items_at_once(next.predicting(&attribute)), next.signatures().faults());
                next.predict(&attribute, most);
                if next.signatures().faults() == faults { Ok(next) } else { Err(SignaturesError::Unreadable) }
            });
            core.publish(predicted.await??);
            Ok::<_, Error>(predictor)
        });
        looking.await?
    }
}

/// How many items a head looks at under one hold.
pub(super) fn items_at_once(head: Option<(&Column, &Attribute)>) -> usize {
    let products = head.map_or(1, |(column, known)| column.head().dim() * known.labels.len());
    (PRODUCTS_AT_ONCE / products.max(1)).clamp(PREDICTED_MIN, PREDICTED_AT_ONCE)
}
