//! The gRPC services: messages to requests, answers to messages, errors to statuses.

mod admin;
mod asked;
mod catalog;
mod convert;
mod feedback;
mod generation;
mod head;
mod incoming;
mod outgoing;
mod paging;
mod search;
mod status;

use crate::core::Core;
use std::sync::Arc;

/// Implements every service on one core.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) core: Arc<Core>,
}
