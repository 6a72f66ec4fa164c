//! Where the weights that come with the project lie.

use std::path::PathBuf;

/// File name of the backbone of views that serves by default.
pub const BACKBONE_FILE: &str = "backbone.safetensors";
/// File name of AlexNet's weights, the backbone of the paper's system.
pub const ALEXNET_FILE: &str = "alexnet_features.safetensors";
/// File name of the "Extract Parts?" bundle of either.
pub const EXTRACT_PARTS_FILE: &str = "extract_parts.safetensors";

/// The folder of the shipped bundles in the source tree this was built from.
#[must_use]
pub fn shipped_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bundles")
}

/// The folder of the bundles of the paper's kind, on AlexNet.
#[must_use]
pub fn alexnet_folder() -> PathBuf {
    shipped_folder().join("alexnet")
}
