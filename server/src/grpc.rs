//! The gRPC services: messages to requests, answers to messages, errors to statuses.

mod admin;
mod asked;
mod catalog;
mod convert;
mod download;
mod export;
mod facets;
mod feedback;
mod fields;
mod filters;
mod framed;
mod frames;
mod generation;
mod head;
mod incoming;
mod mask;
mod outgoing;
mod page_token;
mod paging;
mod passing;
mod predicted;
mod ranking;
mod relabel;
mod search;
mod stats;
mod status;
mod suggest;
mod teach;
mod teach_source;
mod unknown_labels;
mod upload;
mod versions;

pub(crate) use framed::Framed;

use crate::core::Core;
use crate::metrics::Metrics;
use std::sync::Arc;

/// Implements every service on one core.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) core: Arc<Core>,
    pub(crate) metrics: Arc<Metrics>,
}
