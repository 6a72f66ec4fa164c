//! A model: a backbone with its "Extract Parts?" head, under the name of the backbone's fingerprint.

use lapel_heads::{Backbone, BackboneError, BundleError, EmbedError, Embedder, Head, load_backbone};
use std::sync::Arc;

/// What turns pictures into what heads read. Heads belong to the model whose fingerprint their bundles name.
pub struct Model {
    backbone: Arc<dyn Backbone>,
    embedder: Embedder,
    extract_parts_id: String,
}

/// Why files do not make a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The backbone is unsound.
    #[error("the backbone is unsound: {0}")]
    Backbone(#[from] BackboneError),
    /// The bundle of "Extract Parts?" is unsound.
    #[error("the \"Extract Parts?\" head is unsound: {0}")]
    ExtractParts(#[from] BundleError),
    /// It is another head.
    #[error(transparent)]
    PartHead(#[from] EmbedError),
}

impl Model {
    /// Builds a model from its two files.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn from_bytes(backbone: &[u8], extract_parts: &[u8]) -> Result<Self, ModelError> {
        Self::new(load_backbone(backbone)?, extract_parts)
    }

    /// Joins a backbone with the bundle of its "Extract Parts?" head.
    ///
    /// # Errors
    /// [`ModelError`].
    pub(crate) fn new(backbone: Arc<dyn Backbone>, extract_parts: &[u8]) -> Result<Self, ModelError> {
        let extract_parts = Head::from_bytes(extract_parts, backbone.as_ref())?;
        let extract_parts_id = extract_parts.id().to_owned();
        Ok(Self { embedder: Embedder::new(backbone.clone(), extract_parts)?, backbone, extract_parts_id })
    }

    /// Identity of the backbone's weights.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.backbone.fingerprint()
    }

    /// SHA-256 of the bundle of its "Extract Parts?" head.
    #[must_use]
    pub fn extract_parts_id(&self) -> &str {
        &self.extract_parts_id
    }

    /// The backbone.
    #[must_use]
    pub fn backbone(&self) -> &dyn Backbone {
        self.backbone.as_ref()
    }

    /// Computes features and signatures.
    #[must_use]
    pub fn embedder(&self) -> &Embedder {
        &self.embedder
    }

    /// Whether a head was trained on this backbone.
    #[must_use]
    pub fn is_read_by(&self, head: &Head) -> bool {
        head.manifest().backbone.as_deref() == Some(self.fingerprint())
    }
}
