//! One door for backbones' files: what a file holds decides which module reads it.

use super::views::MANIFEST_KEY;
use super::{AlexNet, AlexNetError, Backbone, Views, ViewsError};
use safetensors::SafeTensors;
use std::sync::Arc;

/// Why a file is no backbone.
#[derive(Debug, thiserror::Error)]
pub enum BackboneError {
    /// A file without a manifest is AlexNet's, and this one is not.
    #[error("{0}; a file of another network has a manifest ({MANIFEST_KEY} in its metadata)")]
    AlexNet(#[from] AlexNetError),
    /// A file with a manifest is unsound.
    #[error(transparent)]
    Views(#[from] ViewsError),
}

/// Reads a backbone: of the architecture that the file's manifest names, or AlexNet's weights under torchvision's names.
///
/// # Errors
/// [`BackboneError`], one variant a kind of file.
pub fn load_backbone(bytes: &[u8]) -> Result<Arc<dyn Backbone>, BackboneError> {
    let metadata = SafeTensors::read_metadata(bytes).ok();
    let has_manifest =
        metadata.is_some_and(|(_, m)| m.metadata().as_ref().is_some_and(|m| m.contains_key(MANIFEST_KEY)));
    Ok(if has_manifest { Arc::new(Views::from_bytes(bytes)?) } else { Arc::new(AlexNet::from_bytes(bytes)?) })
}
