//! The catalogue and its images as they were at once.

use super::Core;
use crate::catalogue::Snapshot;
use crate::error::Error;
use crate::store::Moment;
use std::sync::Arc;

impl Core {
    /// The catalogue in memory and in the store, with no write between the two. `None`: the store cannot be read now, but
    /// what is in memory can.
    ///
    /// # Errors
    /// [`Error::Internal`] for a bug.
    pub(crate) async fn moment(&self) -> Result<(Arc<Snapshot>, Option<Moment>), Error> {
        // Nobody waits while the store is opened anew.
        if self.check_open().is_err() {
            return Ok((self.snapshot(), None));
        }
        // What is durable is published before the writer's lock is given back.
        let _writer = self.writer.lock().await;
        let (snapshot, store) = (self.snapshot(), self.store.clone());
        let moment = tokio::task::spawn_blocking(move || store.moment()).await?;
        Ok((snapshot, moment.ok()))
    }
}
