//! What the store keeps of heads and models, from their states and back.

use super::state::HeadState;
use super::status::{HeadStatus, ModelStatus, Progress};
use crate::store::{HeadRecord, ModelRecord, StoredState};
use lapel_heads::Head;
use std::sync::Arc;

/// Where the store keeps the files of a model: its backbone, and its "Extract Parts?" head.
#[must_use]
pub fn file_keys(fingerprint: &str) -> [String; 2] {
    [format!("{fingerprint}/backbone"), format!("{fingerprint}/extract_parts")]
}

impl HeadState {
    /// What the store keeps of it. What drains is retired already: after a restart only its data is left to delete.
    #[must_use]
    pub fn stored(&self) -> StoredState {
        match self {
            Self::Backfilling => StoredState::Backfilling,
            Self::Standby => StoredState::Standby,
            Self::Active => StoredState::Active,
            Self::Draining | Self::Retired => StoredState::Retired,
            Self::Failed(reason) => StoredState::Failed(reason.clone()),
        }
    }
}

impl From<StoredState> for HeadState {
    fn from(stored: StoredState) -> Self {
        match stored {
            StoredState::Backfilling => Self::Backfilling,
            StoredState::Standby => Self::Standby,
            StoredState::Active => Self::Active,
            StoredState::Retired => Self::Retired,
            StoredState::Failed(reason) => Self::Failed(reason),
        }
    }
}

impl HeadStatus {
    /// What the store keeps of it.
    #[must_use]
    pub fn record(&self) -> HeadRecord {
        HeadRecord {
            name: self.name.clone(),
            version: self.version,
            bundle_sha256: self.bundle_sha256.clone(),
            backbone: self.backbone.clone(),
            state: self.state.stored(),
            promotes_itself: self.promotes_itself,
            served_ms: self.served_ms,
            registered_ms: self.registered_ms,
        }
    }

    /// A version as its record says. One that is alive needs its head; see [`HeadStatus::with_head`].
    #[must_use]
    pub fn from_record(key: String, record: HeadRecord) -> Self {
        Self {
            key,
            name: record.name,
            version: record.version,
            bundle_sha256: record.bundle_sha256,
            backbone: record.backbone,
            head: None,
            state: record.state.into(),
            progress: Progress::default(),
            promotes_itself: record.promotes_itself,
            served_ms: record.served_ms,
            registered_ms: record.registered_ms,
        }
    }

    /// The same version with its head, or failed with the reason why there is none.
    #[must_use]
    pub fn with_head(mut self, loaded: Result<Arc<Head>, String>) -> Self {
        match loaded {
            Ok(head) => {
                let backbone = head.manifest().backbone.clone().filter(|_| head.has_network());
                self.backbone = self.backbone.or(backbone);
                self.head = Some(head);
            }
            Err(reason) => self.state = HeadState::Failed(reason),
        }
        self
    }
}

impl ModelStatus {
    /// What the store keeps of it.
    #[must_use]
    pub fn record(&self) -> ModelRecord {
        ModelRecord {
            state: self.state.stored(),
            promotes_itself: self.promotes_itself,
            heads: self.heads.clone(),
            registered_ms: self.registered_ms,
        }
    }

    /// A model as its record says.
    #[must_use]
    pub fn from_record(fingerprint: String, record: ModelRecord) -> Self {
        let ModelRecord { state, promotes_itself, heads, registered_ms } = record;
        Self { fingerprint, state: state.into(), promotes_itself, heads, registered_ms }
    }
}
