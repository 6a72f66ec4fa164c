//! A picture's place in the model's queue.

use crate::admission::PictureAdmitted;
use tokio::sync::OwnedSemaphorePermit;

/// A picture's place in a queue, and what its request has taken. The work holds it and gives it back with its answer.
pub(super) struct Place {
    _queue: OwnedSemaphorePermit,
    /// `None` for work of the server's own, and for that of uploads, which outlasts their requests.
    _request: Option<PictureAdmitted>,
}

impl Place {
    pub(super) fn of_query(queue: OwnedSemaphorePermit, request: Option<PictureAdmitted>) -> Self {
        Self { _queue: queue, _request: request }
    }
}

impl From<OwnedSemaphorePermit> for Place {
    fn from(queue: OwnedSemaphorePermit) -> Self {
        Self { _queue: queue, _request: None }
    }
}
