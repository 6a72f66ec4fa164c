//! What may happen to heads and models.

use lapel_heads::Head;
use std::sync::Arc;

/// A change of the set of heads and models.
#[derive(Clone)]
pub enum Change {
    /// A head is stored beside those that are there, and its backfill begins.
    Register(NewHead),
    /// A model is stored with its heads, and their backfill begins.
    RegisterModel(NewModel),
    /// Every item has been tried for a head.
    HeadFilled {
        /// The head's key.
        key: String,
    },
    /// Every item has been tried for all heads of a model.
    ModelFilled {
        /// The model's fingerprint.
        fingerprint: String,
    },
    /// A version on standby is to serve.
    Promote {
        /// The head's name.
        name: String,
        /// The version; 0: the newest on standby.
        version: u32,
    },
    /// The version that served before is to serve again.
    RollBack {
        /// The head's name.
        name: String,
    },
    /// A backfill ends, and the version that it is for goes.
    Cancel {
        /// The head's name.
        name: String,
    },
    /// Versions go.
    Retire {
        /// The head's name.
        name: String,
        /// The version; 0: all of them.
        version: u32,
    },
    /// A head cannot go on.
    Fail {
        /// The head's key.
        key: String,
        /// Why.
        reason: String,
    },
    /// A model on standby is to serve, with its heads.
    Switch {
        /// Its fingerprint; empty: the newest of those that do not serve.
        fingerprint: String,
    },
    /// A model that does not serve goes, with its heads.
    DropModel {
        /// Its fingerprint.
        fingerprint: String,
    },
    /// A model cannot be built.
    FailModel {
        /// Its fingerprint.
        fingerprint: String,
        /// Why.
        reason: String,
    },
    /// The data of all that was draining is deleted.
    Drained,
}

impl Change {
    /// Whether it is a fault that was seen. A fault cannot be refused, and is shown even where it cannot be written down.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Fail { .. } | Self::FailModel { .. })
    }
}

/// A head that is to be registered.
#[derive(Clone)]
pub struct NewHead {
    /// The head.
    pub head: Arc<Head>,
    /// Whether it becomes the next version of a head of its name.
    pub update: bool,
    /// Whether it waits to be promoted once its backfill is done.
    pub hold: bool,
    /// Versions of heads that there may be.
    pub heads_max: usize,
}

/// A model that is to be built. Its heads have different names and attributes, and were trained on it.
#[derive(Clone)]
pub struct NewModel {
    /// Its backbone's fingerprint.
    pub fingerprint: String,
    /// Its heads, at least one.
    pub heads: Vec<Arc<Head>>,
    /// Whether it waits to be switched to once its heads are whole.
    pub hold: bool,
}
