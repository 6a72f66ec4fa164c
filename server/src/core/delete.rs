//! Deletions: of items by their ids, and of all that pass a filter.

use super::Core;
use super::write::{Done, Work};
use crate::error::Error;
use crate::request::RequestId;
use crate::stages::{Stage, timed};
use crate::store::Outcome;
use lapel_search::Filter;
use std::sync::Arc;

/// Ids that a deletion by a filter tells.
pub(crate) const FIRST_IDS: usize = 100;

/// What a deletion by a filter deleted, or would delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedWhere {
    /// How many items.
    pub items: u64,
    /// The first of them, by id: up to 100.
    pub first_ids: Vec<String>,
}

impl Core {
    /// Deletes items in one durable step and returns the ids that did not exist.
    ///
    /// # Errors
    /// When the store failed; nothing was deleted then.
    pub async fn delete(
        self: &Arc<Self>,
        ids: Vec<String>,
        request: RequestId,
    ) -> Result<Vec<String>, Error> {
        match timed(Stage::Commit, self.submit(Work::Delete(ids, request))).await? {
            Done::Deleted(missing) => Ok(missing),
            Done::Upserted(_) | Done::Stale(_) | Done::DeletedWhere(_) => Err(other_answer()),
        }
    }

    /// Deletes the items that pass a filter at the moment of the deletion, after every write before it, in one durable step.
    /// `expected`: so many must pass. `generation` is that of the state in which the filter was checked.
    ///
    /// # Errors
    /// [`Error::Precondition`] (`COUNT_DIFFERS`, `TOO_MANY_ITEMS`, `HEADS_CHANGED`), or when the store failed; nothing was deleted then.
    pub async fn delete_where(
        self: &Arc<Self>,
        (filter, generation): (Filter, u64),
        expected: Option<u64>,
        request: RequestId,
    ) -> Result<DeletedWhere, Error> {
        let work = Work::DeleteWhere { filter, generation, expected, request };
        match timed(Stage::Commit, self.submit(work)).await? {
            Done::DeletedWhere(deleted) => Ok(deleted),
            Done::Upserted(_) | Done::Stale(_) | Done::Deleted(_) => Err(other_answer()),
        }
    }

    /// What an earlier request of this id deleted by a filter.
    ///
    /// # Errors
    /// When the id was used for another request, or the store fails.
    pub(crate) async fn deleted_before(&self, request: &RequestId) -> Result<Option<DeletedWhere>, Error> {
        if request.id.is_empty() {
            return Ok(None);
        }
        Ok(self.outcome(request).await?.and_then(deleted_by_filter))
    }
}

/// What a receipt says of a deletion by a filter.
pub(super) fn deleted_by_filter(outcome: Outcome) -> Option<DeletedWhere> {
    match outcome {
        Outcome::DeletedByFilter { items, first_ids } => Some(DeletedWhere { items, first_ids }),
        Outcome::Upserted(_)
        | Outcome::Deleted(_)
        | Outcome::Profile(_)
        | Outcome::Head(..)
        | Outcome::Model(_) => None,
    }
}

/// Whether as many items pass as the caller expects.
///
/// # Errors
/// [`Error::Precondition`] (`COUNT_DIFFERS`).
pub(crate) fn check_count(passing: u64, expected: Option<u64>, most: usize) -> Result<(), Error> {
    if passing > most as u64 {
        let message = format!(
            "{passing} items pass the filter, and one deletion takes up to {most}; narrow the filter"
        );
        return Err(Error::Precondition { reason: "TOO_MANY_ITEMS", message });
    }
    match expected {
        Some(expected) if expected != passing => {
            let message = format!("{passing} items pass the filter, and {expected} are expected");
            Err(Error::Precondition { reason: "COUNT_DIFFERS", message })
        }
        Some(_) | None => Ok(()),
    }
}

fn other_answer() -> Error {
    Error::Internal("a delete was answered as another write".into())
}
