//! What unit tests share.

use crate::backbone::{Backbone, FeatureLayout, MapShape};
use crate::photo::Canvas;
use candle_core::Tensor;

/// A backbone of the smallest map that pooling allows, 3 x 3, so that a region pools to one number a channel.
pub(crate) struct TinyBackbone {
    pub(crate) channels: usize,
}

impl Backbone for TinyBackbone {
    fn fingerprint(&self) -> &str {
        "tiny/1"
    }

    fn input_side(&self) -> usize {
        8
    }

    fn layout(&self) -> FeatureLayout {
        FeatureLayout::Map(MapShape { channels: self.channels, height: 3, width: 3 })
    }

    fn forward(&self, _: &[&Canvas]) -> candle_core::Result<Tensor> {
        candle_core::bail!("not used")
    }
}
