//! What the services' requests share: the caller's id of a request, the bound on ids, and the time.

use crate::store::{Outcome, Receipt, RequestHash};
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest id, in bytes.
pub(crate) const ID_LEN_MAX: usize = 256;

/// A caller's request: its id, empty where none was given, and what it asks for.
#[derive(Clone, Debug)]
pub struct RequestId {
    /// The caller's id.
    pub id: String,
    /// What is asked for, so that an id that is used twice is found.
    pub request: RequestHash,
}

impl RequestId {
    /// A request without an id: it is carried out as often as it comes.
    #[must_use]
    pub fn none() -> Self {
        Self { id: String::new(), request: RequestHash::NONE }
    }

    pub(crate) fn receipt(&self, outcome: Outcome) -> Option<Receipt> {
        let receipt = || Receipt { request_id: self.id.clone(), request: self.request, outcome };
        (!self.id.is_empty()).then(receipt)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
