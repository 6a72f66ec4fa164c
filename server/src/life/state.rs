//! The states of a head, or of a model with its heads.

/// States of a head or a model. Before the first of them nothing is durable, and nobody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadState {
    /// Signatures of the stored items are being computed.
    Backfilling,
    /// Whole and kept up to date by every write, but not serving: an update that waits to be promoted, or the version
    /// before, kept for a roll-back.
    Standby,
    /// It serves.
    Active,
    /// No query and no write uses it; its data is being deleted.
    Draining,
    /// Gone.
    Retired,
    /// It could not be made to serve, with the reason. Its data is kept until it is retired.
    Failed(String),
}

impl HeadState {
    /// The state's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Backfilling => "backfilling",
            Self::Standby => "on standby",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Retired => "retired",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether writes fill it: it serves, stands by, or is on its way there.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match self {
            Self::Backfilling | Self::Standby | Self::Active => true,
            Self::Draining | Self::Retired | Self::Failed(_) => false,
        }
    }

    /// Whether nothing more will happen by itself.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Standby | Self::Active | Self::Retired | Self::Failed(_) => true,
            Self::Backfilling | Self::Draining => false,
        }
    }
}
