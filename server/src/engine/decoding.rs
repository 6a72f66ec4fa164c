//! A photo on its way to a canvas.

use super::EngineError;
use super::place::Place;
use crate::model::Model;
use lapel_heads::{Canvas, Photo, PhotoLimits};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

/// Decoding, with the places that it takes up: they are given back when it has ended, and not when its caller leaves.
pub(super) struct Decoding {
    pub(super) image: Vec<u8>,
    pub(super) limits: PhotoLimits,
    pub(super) model: Arc<Model>,
    /// Cancelled when nobody waits for the canvas any more.
    pub(super) abandoned: CancellationToken,
    /// In the model's queue.
    pub(super) place: Place,
    /// None where the threads that run it bound the decoders.
    pub(super) _decoder: Option<OwnedSemaphorePermit>,
    pub(super) _pixels: OwnedSemaphorePermit,
}

impl Decoding {
    /// The canvas, and the place in the model's queue.
    pub(super) fn run(self) -> Result<(Canvas, Place), crate::Error> {
        self.check_wanted()?;
        let photo = Photo::decode(&self.image, self.limits)?;
        // The canvas takes the mask's network.
        self.check_wanted()?;
        Ok((self.model.backbone().canvas(&photo), self.place))
    }

    fn check_wanted(&self) -> Result<(), EngineError> {
        if self.abandoned.is_cancelled() { Err(EngineError::Stopped) } else { Ok(()) }
    }
}
