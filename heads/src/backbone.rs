//! The network that turns a canvas into features: one map, or vectors of several views.

mod alexnet;
mod cloth;
mod convolutions;
mod file;
pub mod inverted;
mod layout;
mod network;
mod palette;
mod plain;
mod transformer;
mod views;
mod winograd;

pub use alexnet::{AlexNet, AlexNetError, CONV5, LAYERS};
pub use file::{BackboneError, load_backbone};
pub use inverted::{Architecture, BackboneFault, InvertedResidual, Map, Tap};
pub use layout::{FeatureLayout, MapShape, Source};
pub use network::NetworkKind;
pub use palette::colours as cloth_colours;
pub use plain::plain_conv5;
pub use transformer::{
    PROMPT_BYTES_MAX, TextConfig, TextError, TextTower, TransformerConfig, TransformerKind, VisionTransformer,
};
pub use views::{BackboneManifest, PIPELINE, Views, ViewsError};

use crate::photo::{Canvas, Photo};
use candle_core::Tensor;

/// A network whose features every head reads.
pub trait Backbone: Send + Sync {
    /// Identity of the weights: name, layer and a hash. A head fits only the backbone it was trained on.
    fn fingerprint(&self) -> &str;

    /// Side of the square canvas it reads, in pixels.
    fn input_side(&self) -> usize;

    /// What it gives for one canvas.
    fn layout(&self) -> FeatureLayout;

    /// The canvas of a photo that it reads.
    fn canvas(&self, photo: &Photo) -> Canvas {
        photo.fit(self.input_side())
    }

    /// Whether a canvas without a believable silhouette shows no garment. A mask that was taught what garments look like
    /// can tell; colours, which a garment may share with what is behind it, cannot.
    fn tells_garments(&self) -> bool {
        false
    }

    /// Features of a batch, f32: `[batch, channels, height, width]` of maps, `[batch, numbers]` of vectors.
    ///
    /// # Errors
    /// When a canvas has another side than [`Backbone::input_side`], or the tensor library fails.
    fn forward(&self, batch: &[&Canvas]) -> candle_core::Result<Tensor>;
}
