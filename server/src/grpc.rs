//! The gRPC services: messages to requests, answers to messages, errors to statuses.

mod admin;
mod asked;
mod catalog;
mod convert;
mod export;
mod feedback;
mod framed;
mod frames;
mod generation;
mod head;
mod incoming;
mod outgoing;
mod page_token;
mod paging;
mod ranking;
mod search;
mod stats;
mod status;
mod upload;

pub(crate) use framed::Framed;

use crate::core::Core;
use std::sync::Arc;

/// Implements every service on one core.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) core: Arc<Core>,
}
