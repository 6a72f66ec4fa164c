//! Views: the squares of a photo that a network looks at.

use crate::photo::Canvas;
use serde::{Deserialize, Serialize};

/// Room around the garment's box, in shares of its larger side.
const MARGIN: f32 = 0.08;
/// Side of the upper view, in shares of the box' larger side.
const UPPER: f32 = 0.56;
/// What of that lies above the box.
const ABOVE: f32 = 0.04;
/// Share of the box' height whose columns tell where the upper view's middle is.
const SHOULDERS: f32 = 0.4;

/// A square of the photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// The garment's box with a margin: the garment at its own scale, whatever its size in the photo.
    Garment,
    /// The upper part of the garment: collar, fastening, neckline and cloth, twice as large.
    Upper,
}

/// A square in pixels of a picture; it may reach beyond the edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Square {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Side.
    pub side: f32,
}

impl View {
    /// Every view.
    pub const ALL: [Self; 2] = [Self::Garment, Self::Upper];

    /// The name used in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Garment => "garment",
            Self::Upper => "upper",
        }
    }

    /// Where it lies on a photo that is on `canvas`, in pixels of the photo's content there.
    #[must_use]
    pub fn square(self, canvas: &Canvas) -> Square {
        let silhouette = canvas.silhouette();
        let content = canvas.content();
        let (width, height) = (content.width as f32, content.height as f32);
        let bounds = silhouette.bounds();
        let (left, right) = (bounds.x0 * width, bounds.x1 * width);
        let (top, bottom) = (bounds.y0 * height, bounds.y1 * height);
        let larger = (right - left).max(bottom - top);
        let around = |x: f32, y: f32, side: f32| Square { x: x - side / 2.0, y: y - side / 2.0, side };
        match self {
            Self::Garment => {
                around(f32::midpoint(left, right), f32::midpoint(top, bottom), larger * (1.0 + MARGIN))
            }
            Self::Upper => {
                let shoulders = bounds.y0 + SHOULDERS * (bounds.y1 - bounds.y0);
                let middle = silhouette.median_column(bounds.y0, shoulders) * width;
                let side = UPPER * larger;
                around(middle, top - ABOVE * larger + side / 2.0, side)
            }
        }
    }
}
