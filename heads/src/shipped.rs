//! Where the weights that come with the project lie.

use std::path::PathBuf;

/// File name of the backbone's weights.
pub const BACKBONE_FILE: &str = "alexnet_features.safetensors";
/// File name of the "Extract Parts?" bundle.
pub const EXTRACT_PARTS_FILE: &str = "extract_parts.safetensors";

/// The folder of the shipped bundles in the source tree this was built from.
#[must_use]
pub fn shipped_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bundles")
}
