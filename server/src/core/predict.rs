//! Predicted labels of all items, when a filter asks for them.

use super::Core;
use crate::catalogue::Snapshot;
use crate::error::Error;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Items that a head looks at under one hold of the writer's lock: some 20 ms, that a write may wait.
const PREDICTED_AT_ONCE: usize = 8192;

impl Core {
    /// The present state, with the predictions of these attributes of all items. Of attributes that no head predicts there
    /// are none.
    ///
    /// The first request for an attribute has its head look at every item, some at a time, and publishes what it saw each
    /// time; others that come meanwhile wait. When the caller leaves, it ends after the items that it looks at, and the next
    /// one goes on from there.
    ///
    /// # Errors
    /// [`Error::Internal`] when a head panicked.
    pub(crate) async fn predicting(&self, attributes: &BTreeSet<String>) -> Result<Arc<Snapshot>, Error> {
        let lacking = |snapshot: &Snapshot| {
            attributes.iter().find(|attribute| snapshot.lacks_predictions(attribute)).cloned()
        };
        let snapshot = self.snapshot();
        if lacking(&snapshot).is_none() {
            return Ok(snapshot);
        }
        drop(snapshot);
        let _predictor = self.predictor.lock().await;
        loop {
            let snapshot = self.snapshot();
            match lacking(&snapshot) {
                None => return Ok(snapshot),
                Some(attribute) => self.predict_some(attribute).await?,
            }
        }
    }

    async fn predict_some(&self, attribute: String) -> Result<(), Error> {
        let _writer = self.writer.lock().await;
        let mut next = Snapshot::clone(&self.snapshot());
        let predicted = tokio::task::spawn_blocking(move || {
            next.predict(&attribute, PREDICTED_AT_ONCE);
            next
        });
        self.publish(predicted.await?);
        Ok(())
    }
}
