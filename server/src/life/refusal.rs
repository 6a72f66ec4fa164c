//! Why a change is not allowed, in words for the caller.

use crate::error::{Choices, Error};

/// Why a change of the set of heads and models is refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something named does not exist.
    #[error("there is no {what} {name:?}")]
    Unknown {
        /// Its kind.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        valid: Vec<String>,
    },
    /// A head has no such version.
    #[error("head {head:?} has no version {version}")]
    UnknownVersion {
        /// The head, which exists.
        head: String,
        /// The version asked for.
        version: String,
        /// The versions it has.
        valid: Vec<String>,
    },
    /// Nothing waits beside the generation that serves.
    #[error("there is no generation but the one that serves; build another first")]
    NoneWaits,
    /// The catalogue has no model.
    #[error("no model serves")]
    NoModel,
    /// The backbone was switched since the bundle was checked.
    #[error("another backbone has come into service; train the head on it")]
    OtherBackbone,
    /// The name belongs to another head, or to another version of it.
    #[error(
        "head {name:?} is there already (version {version}, bundle {bundle}); ask for its next version with `update`, or \
         retire it first"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The newest version.
        version: u32,
        /// The beginning of its bundle's hash.
        bundle: String,
    },
    /// One version of a name is backfilled at a time.
    #[error("version {version} of {name:?} is being backfilled; wait or cancel it")]
    BackfillRunning {
        /// The name.
        name: String,
        /// The version that is being backfilled.
        version: u32,
    },
    /// One attribute is told apart by one head.
    #[error("attribute {attribute:?} is told apart by head {head:?} already; retire it first")]
    AttributeTaken {
        /// The attribute.
        attribute: String,
        /// The head that tells it.
        head: String,
    },
    /// A bound is reached.
    #[error("there are {count} versions of heads already; retire one first")]
    TooManyHeads {
        /// Versions that are there.
        count: usize,
    },
    /// Nothing waits to be promoted.
    #[error("no version of {name:?} is on standby")]
    NoneOnStandby {
        /// The name.
        name: String,
    },
    /// The version does not wait to be promoted.
    #[error("version {version} of {name:?} is {state}, not on standby")]
    NotOnStandby {
        /// The name.
        name: String,
        /// The version asked for.
        version: u32,
        /// The name of its state.
        state: &'static str,
    },
    /// The version waits for its own backbone.
    #[error("version {version} of {name:?} belongs to another backbone; switch the generation instead")]
    OnOtherBackbone {
        /// The name.
        name: String,
        /// The version asked for.
        version: u32,
    },
    /// Items would be without a signature that have one of the version that serves.
    #[error(
        "{signed} items have a signature of version {version} of {name:?}, and {serving_signed} one of version {serving}, \
         which serves; send the others, or promote it with allow_missing"
    )]
    Incomplete {
        /// The name.
        name: String,
        /// The version asked for.
        version: u32,
        /// Items with a signature of it.
        signed: u64,
        /// The version that serves.
        serving: u32,
        /// Items with a signature of that one.
        serving_signed: u64,
    },
    /// There is no version to go back to.
    #[error("no version of {name:?} that served before is still there")]
    NothingToRollBack {
        /// The name.
        name: String,
    },
    /// There is no backfill to cancel.
    #[error("no backfill of {name:?} is going on")]
    NoBackfill {
        /// The name.
        name: String,
    },
    /// A generation would be taken for whole without the head.
    #[error("{head:?} is built with backbone {fingerprint}; drop that generation")]
    PartOfBuild {
        /// The head's name.
        head: String,
        /// The backbone that it is built with.
        fingerprint: String,
    },
    /// There is nothing left of the head to retire.
    #[error("there is no head in service {name:?}")]
    NoHeadInService {
        /// The name.
        name: String,
    },
    /// A version serves while others stand by.
    #[error(
        "version {version} of {name:?} serves while others stand by; promote one of them, or retire the head with all \
         its versions"
    )]
    VersionServes {
        /// The name.
        name: String,
        /// The version that serves.
        version: u32,
    },
    /// A catalogue keeps one active head.
    #[error("{name:?} is the last active head; register another one first")]
    LastHead {
        /// The name.
        name: String,
    },
    /// The backbone was stored with other heads.
    #[error("backbone {fingerprint} is there with other heads; register heads on it one by one, or drop it")]
    OtherHeads {
        /// The backbone.
        fingerprint: String,
    },
    /// The backbone was stored with another "Extract Parts?" head.
    #[error("backbone {fingerprint} is there with another \"Extract Parts?\" head; drop it first")]
    OtherParts {
        /// The backbone.
        fingerprint: String,
    },
    /// What is there was asked to wait, or not to, and now it is asked otherwise.
    #[error("{what} is {how}")]
    OtherHold {
        /// The version or the model.
        what: String,
        /// Its state, and what leads to what is asked for.
        how: &'static str,
    },
    /// One generation waits beside the one that serves.
    #[error("backbone {fingerprint} is {state} already; drop it first")]
    GenerationWaits {
        /// The backbone that waits.
        fingerprint: String,
        /// The name of its state.
        state: &'static str,
    },
    /// External heads serve with every backbone.
    #[error("head {head:?} has the name or an attribute of the external head {external:?}")]
    ExternalHead {
        /// The head of the new model.
        head: String,
        /// The external head.
        external: String,
    },
    /// The model does not wait to be switched to.
    #[error("backbone {fingerprint} is {state}, not on standby")]
    ModelNotOnStandby {
        /// The backbone.
        fingerprint: String,
        /// The name of its state.
        state: &'static str,
    },
    /// All heads of the model failed or were retired.
    #[error("backbone {fingerprint} has no heads left to serve")]
    NoHeadsLeft {
        /// The backbone.
        fingerprint: String,
    },
    /// The model that serves cannot be dropped.
    #[error("backbone {fingerprint} serves; switch to another one first")]
    GenerationServes {
        /// The backbone.
        fingerprint: String,
    },
    /// A generation is built whole or not at all.
    #[error("its head {head:?} failed")]
    HeadOfBuildFailed {
        /// The head's name.
        head: String,
    },
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let reason = match refusal {
            Refusal::Unknown { what, name, valid } => {
                let valid = Choices::of(&name, valid.iter().map(String::as_str));
                return Self::NotFound { what, name, valid };
            }
            Refusal::UnknownVersion { head, version, valid } => {
                let valid = Choices::listed(valid.iter().map(String::as_str));
                return Self::UnknownVersion { head, version, valid };
            }
            Refusal::NoHeadInService { name } => return Self::not_found("head in service", name),
            Refusal::NoModel => return Self::Internal(message),
            Refusal::TooManyHeads { .. } => return Self::Exhausted(message),
            Refusal::NameTaken { .. }
            | Refusal::AttributeTaken { .. }
            | Refusal::OtherHeads { .. }
            | Refusal::OtherParts { .. }
            | Refusal::ExternalHead { .. } => return Self::Exists(message),
            Refusal::OtherBackbone => "OTHER_BACKBONE",
            Refusal::OtherHold { .. } => "OTHER_HOLD",
            Refusal::BackfillRunning { .. } => "BACKFILL_RUNNING",
            Refusal::NoneWaits
            | Refusal::NoneOnStandby { .. }
            | Refusal::NotOnStandby { .. }
            | Refusal::OnOtherBackbone { .. }
            | Refusal::ModelNotOnStandby { .. } => "NOT_ON_STANDBY",
            Refusal::Incomplete { .. } => "INCOMPLETE",
            Refusal::NothingToRollBack { .. } => "NOTHING_TO_ROLL_BACK",
            Refusal::NoBackfill { .. } => "NO_BACKFILL",
            Refusal::PartOfBuild { .. } => "PART_OF_A_BUILD",
            Refusal::VersionServes { .. } => "VERSION_SERVES",
            Refusal::LastHead { .. } => "LAST_HEAD",
            Refusal::GenerationWaits { .. } => "GENERATION_WAITS",
            Refusal::NoHeadsLeft { .. } => "NO_HEADS",
            Refusal::GenerationServes { .. } => "GENERATION_SERVES",
            Refusal::HeadOfBuildFailed { .. } => "HEAD_FAILED",
        };
        Self::Precondition { reason, message }
    }
}
