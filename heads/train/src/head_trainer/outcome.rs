//! What training comes to: a head, or why there is none.

use crate::vocabulary::{REAL_MIN, RENDERED_MIN};
use lapel_heads::{Bundle, BundleError, Head};

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The tensor library failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// The bundle cannot be written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A picture cannot be read.
    #[error("{0:#}")]
    Examples(anyhow::Error),
    /// No example to learn from has a label of the head's.
    #[error("nothing to train the head {head} from: no picture to learn from has a label of {}", attributes.join(", "))]
    NoExamples {
        /// The head.
        head: String,
        /// What it tells apart.
        attributes: Vec<String>,
    },
    /// No label occurs often enough.
    #[error("no label of {attribute} has {REAL_MIN} photos or {RENDERED_MIN} rendered garments")]
    NoLabels {
        /// The attribute.
        attribute: String,
    },
}

/// A trained head.
pub struct Trained {
    /// Its bundle.
    pub bundle: Bundle,
    /// By epoch: mean loss, and share of the validation labels told right.
    pub trace: Vec<[f32; 2]>,
    /// The share of the epoch whose weights these are.
    pub score: f32,
}

impl Trained {
    /// The head itself, for pooled regions as it was trained on.
    ///
    /// # Errors
    /// When the bundle is not sound.
    pub fn head(&self) -> Result<Head, BundleError> {
        let inputs = self.bundle.tensors.get("fc6.weight").and_then(|w| w.shape.get(1)).copied().unwrap_or(0);
        Head::reading(&self.bundle, String::new(), inputs)
    }
}
