//! Why a catalogue cannot be opened.

use crate::error::Error;
use crate::model::ModelError;
use crate::store::StoreError;
use lapel_heads::BundleError;
use std::path::PathBuf;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file of the model is not there.
    #[error(
        "the model's file {path} cannot be read ({source}); start in the project's folder, or name it in the configuration"
    )]
    Model {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configured files are no model.
    #[error("{path}: {source}")]
    Unsound {
        /// The backbone's file.
        path: PathBuf,
        /// What is wrong with it.
        source: ModelError,
    },
    /// The stored model cannot be loaded, and the configured one is another.
    #[error(
        "the catalogue's backbone {fingerprint} cannot be read ({reason}), and the configured one is {configured}; \
         configure the same, or restore a backup"
    )]
    ModelLost {
        /// The backbone that serves.
        fingerprint: String,
        /// What is wrong with it.
        reason: String,
        /// The configured one.
        configured: String,
    },
    /// Declared fields that items have as another kind, each in words.
    #[error("catalog.fields contradicts the catalogue:\n  {}", .0.join("\n  "))]
    Fields(Vec<String>),
    /// The configured key for signed bundles is none.
    #[error("access.bundle_key {path}: {reason}")]
    BundleKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gives no thread.
    #[error("no thread: {0}")]
    Thread(std::io::Error),
    /// A configured bundle is unsound.
    #[error("{path}: {source}")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BundleError,
    },
    /// The store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A configured head cannot be registered.
    #[error("{path}: {source}")]
    Register {
        /// The bundle's file.
        path: PathBuf,
        /// Why.
        source: Box<Error>,
    },
}
