//! What can go wrong with a request, in words for the caller.

mod choices;
mod faults;

pub use choices::Choices;
pub use faults::{Fault, Faults};

use crate::catalogue::NoItem;
use crate::engine::EngineError;
use crate::model::ModelError;
use crate::store::StoreError;
use lapel_heads::{BundleError, PhotoError, SignatureError};
use lapel_proto::FIELDS_MAX;
use lapel_search::SignaturesError;
use std::sync::Arc;

/// One fault of a request's field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, e.g. `weights.by_head[color]`.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
}

impl Violation {
    /// A fault of `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields that cannot be accepted, all of them.
    #[error("{}", list(.0))]
    Invalid(Vec<Violation>),
    /// Faults of several kinds, or of fields that name what is not there, all of them.
    #[error("{0}")]
    Faults(Faults),
    /// Something named does not exist.
    #[error("there is no {what} {:?}{}", shortened(.name), .valid.text("there are"))]
    NotFound {
        /// Its kind, e.g. `item`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        valid: Choices,
    },
    /// An attribute has no such label.
    #[error(
        "attribute {:?} has no label {:?}{}", shortened(.attribute), shortened(.label), .valid.text("it has")
    )]
    UnknownLabel {
        /// The attribute, which exists.
        attribute: String,
        /// The label asked for.
        label: String,
        /// The labels it has.
        valid: Choices,
    },
    /// A head has no such version.
    #[error("head {:?} has no version {version}{}", shortened(.head), .valid.text("it has"))]
    UnknownVersion {
        /// The head, which exists.
        head: String,
        /// The version asked for.
        version: String,
        /// The versions it has.
        valid: Choices,
    },
    /// A name is taken by something else.
    #[error("{0}")]
    Exists(String),
    /// The request is fine but not now or not for this.
    #[error("{message}")]
    Precondition {
        /// Stable, UPPER_SNAKE.
        reason: &'static str,
        /// In words.
        message: String,
    },
    /// Nobody knows who asks.
    #[error("this server wants a token it knows: send `authorization: Bearer TOKEN`")]
    Unauthenticated,
    /// The caller is known and may not do this.
    #[error("this takes a token with the role {roles}; this one has another")]
    Forbidden {
        /// The roles of which it takes one.
        roles: String,
    },
    /// This server has no such method.
    #[error("this server has no such method; its reflection tells those that it has")]
    UnknownMethod,
    /// A message is larger than one may be, in bytes or in fields.
    #[error(
        "the message is larger than the {most} bytes that one may have (limits.image_bytes_max and 1 MiB), or has more \
         than {} texts and messages in it",
        FIELDS_MAX
    )]
    MessageTooLarge {
        /// Bytes.
        most: usize,
    },
    /// The caller's deadline has passed.
    #[error("the deadline passed before there was an answer")]
    Late,
    /// The caller stood still.
    #[error("too little was sent, or nothing was read, for too long (limits.stall_seconds)")]
    Stalled,
    /// Nobody is there any more to be answered.
    #[error("the caller has left")]
    Left,
    /// A bound is reached.
    #[error("{0}")]
    Exhausted(String),
    /// The bundle is unsound.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The files of a model are unsound.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The image is unsound.
    #[error(transparent)]
    Photo(#[from] PhotoError),
    /// One of an item's further images is unsound.
    #[error("more_images[{at}]: {fault}")]
    Picture {
        /// Its place.
        at: usize,
        /// What is wrong with it.
        fault: PhotoError,
    },
    /// The store failed.
    #[error("the catalogue's store failed: {0}")]
    Store(Arc<StoreError>),
    /// Signatures could not be read, and are being taken from the store.
    #[error("signatures could not be read and are being taken from the store; repeat the request")]
    Unreadable,
    /// The model failed or is busy.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A bug: a task ended early or an index failed.
    #[error("internal error")]
    Internal(String),
}

impl Error {
    /// The same error for another of those whom it hit together.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Store(error) => Self::Store(error.clone()),
            Self::Unreadable => Self::Unreadable,
            other => Self::Internal(other.to_string()),
        }
    }

    /// One fault of one field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, description)])
    }

    /// Something that does not exist, with no list to choose from.
    pub fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound { what, name: name.into(), valid: Choices::default() }
    }

    /// A signature's fault, at `field`.
    pub fn signature(field: impl Into<String>, error: SignatureError) -> Self {
        Self::invalid(field, error.to_string())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<NoItem> for Error {
    fn from(error: NoItem) -> Self {
        match error {
            NoItem::Unknown(id) => Self::not_found("item", id),
            NoItem::Damaged(key) => StoreError::Damaged { table: "items".into(), key }.into(),
        }
    }
}

impl From<SignaturesError> for Error {
    fn from(error: SignaturesError) -> Self {
        match error {
            // What a query names is looked up in the same snapshot before.
            SignaturesError::UnknownColumn(_)
            | SignaturesError::Dimension { .. }
            | SignaturesError::NoTerms => Self::Internal(error.to_string()),
            SignaturesError::Unreadable => Self::Unreadable,
        }
    }
}

impl From<tokio::task::JoinError> for Error {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Internal(error.to_string())
    }
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect::<Vec<_>>().join("; ")
}

/// Characters of a caller's name that are said again.
const ECHOED_MAX: usize = 100;

/// The beginning of a name that came from a caller.
fn shortened(name: &str) -> String {
    within(name, ECHOED_MAX)
}

/// A text, cut where it would take more than `bytes` as a header of the answer.
#[must_use]
pub fn within(text: &str, bytes: usize) -> String {
    let mut taken = 0;
    let cut = text.char_indices().find(|(_, c)| {
        taken += header_bytes(c.encode_utf8(&mut [0; 4]));
        taken > bytes
    });
    cut.map_or_else(|| text.to_owned(), |(at, _)| format!("{}...", &text[..at]))
}

/// Bytes of a text as a header: what is not printable ASCII is percent-encoded.
#[must_use]
pub fn header_bytes(text: &str) -> usize {
    text.bytes().map(|byte| if matches!(byte, b' '..=b'~') { 1 } else { 3 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_long_names_stays_short() {
        let valid: Vec<String> = (0..60).map(|n| format!("{n} {}", "ш".repeat(30))).collect();
        let name = "я".repeat(10_000);
        let valid = Choices::of(&name, valid.iter().map(String::as_str));
        let missing = Error::NotFound { what: "label", name, valid };
        let text = missing.to_string();
        assert!(header_bytes(&text) < 1500, "{}", header_bytes(&text));
        assert!(text.contains("there are: 0 ш") && text.contains("more"), "{text}");
    }

    #[test]
    fn short_names_are_all_listed() {
        let valid = Choices::of("rad", ["red", "blue"]);
        let missing = Error::NotFound { what: "head", name: "rad".into(), valid: valid.clone() };
        let text = "there is no head \"rad\"; did you mean \"red\"? there are: red, blue";
        assert_eq!(missing.to_string(), text);
        let label = Error::UnknownLabel { attribute: "color".into(), label: "rad".into(), valid };
        let text = "attribute \"color\" has no label \"rad\"; did you mean \"red\"? it has: red, blue";
        assert_eq!(label.to_string(), text);
    }
}
