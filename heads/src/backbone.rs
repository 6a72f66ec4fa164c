//! The convolutional network that turns a canvas into one feature map.

mod alexnet;
mod cloth;
mod convolutions;
mod plain;
mod winograd;

pub use alexnet::{AlexNet, AlexNetError, CONV5, LAYERS};
pub use plain::plain_conv5;

use crate::photo::Canvas;
use candle_core::Tensor;

/// Shape of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapShape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// A network whose last feature map every head reads.
pub trait Backbone: Send + Sync {
    /// Identity of the weights: name, layer and a hash. A head fits only the backbone it was trained on.
    fn fingerprint(&self) -> &str;

    /// Side of the square canvas it reads, in pixels.
    fn input_side(&self) -> usize;

    /// Shape of the map of one canvas.
    fn map_shape(&self) -> MapShape;

    /// Feature maps of a batch, `[batch, channels, height, width]`, f32.
    ///
    /// # Errors
    /// When a canvas has another side than [`Backbone::input_side`], or the tensor library fails.
    fn forward(&self, batch: &[&Canvas]) -> candle_core::Result<Tensor>;
}
