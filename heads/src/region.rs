//! The regions of a garment that heads look at.

use serde::{Deserialize, Serialize};

/// A rectangle on the canvas, in fractions of its side, `x0 < x1`, `y0 < y1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub x0: f32,
    /// Upper edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Lower edge.
    pub y1: f32,
}

impl Rect {
    /// The whole canvas.
    pub const WHOLE: Self = Self { x0: 0.0, y0: 0.0, x1: 1.0, y1: 1.0 };

    /// The rectangle clipped to the canvas and grown, where needed, to at least `side` a side.
    #[must_use]
    pub fn clipped(self, side: f32) -> Self {
        let axis = |low: f32, high: f32| {
            let (low, high) = (low.clamp(0.0, 1.0), high.clamp(0.0, 1.0));
            let (middle, half) = (f32::midpoint(low, high), ((high - low) / 2.0).max(side / 2.0));
            let low = (middle - half).clamp(0.0, 1.0 - side);
            (low, (low + 2.0 * half).min(1.0))
        };
        let ((x0, x1), (y0, y1)) = (axis(self.x0, self.x1), axis(self.y0, self.y1));
        Self { x0, y0, x1, y1 }
    }
}

/// What a head's signature is pooled from (section 4.3; the paper's parts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// The whole feature map.
    Whole,
    /// Torso without sleeves.
    Torso,
    /// Left and right sleeve, averaged after pooling.
    Sleeves,
    /// Collar and neckline.
    Collar,
    /// The middle strip of the torso.
    Fastening,
    /// The chest, which shows pattern and colour best (section 6).
    Chest,
}

impl Region {
    /// Every region.
    pub const ALL: [Self; 6] =
        [Self::Whole, Self::Torso, Self::Sleeves, Self::Collar, Self::Fastening, Self::Chest];

    /// The name used in manifests and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Torso => "torso",
            Self::Sleeves => "sleeves",
            Self::Collar => "collar",
            Self::Fastening => "fastening",
            Self::Chest => "chest",
        }
    }
}

/// The three cases of "Extract Parts?" (section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartsCase {
    /// Lower-body clothing: no parts, every head reads the whole map.
    LowerBody,
    /// Upper-body clothing with sleeves: all parts.
    Sleeved,
    /// Sleeveless upper-body clothing: all parts but the sleeves.
    Sleeveless,
}

impl PartsCase {
    /// Every case, in the order of the classifier's outputs.
    pub const ALL: [Self; 3] = [Self::LowerBody, Self::Sleeved, Self::Sleeveless];

    /// The name used in manifests and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LowerBody => "lower_body",
            Self::Sleeved => "sleeved",
            Self::Sleeveless => "sleeveless",
        }
    }

    /// Whether a garment of this case has the region at all. Trousers have neither sleeves nor a collar, so
    /// what a head of those regions says of them means nothing.
    #[must_use]
    pub fn has(self, region: Region) -> bool {
        match self {
            Self::LowerBody => !matches!(region, Region::Sleeves | Region::Collar),
            Self::Sleeved | Self::Sleeveless => true,
        }
    }
}

/// The parts found on one canvas; a part that the case does not have is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// The case they were extracted for.
    pub case: PartsCase,
    /// Whether the silhouette was found; otherwise the parts are the usual proportions of the pose, or the picture is of one
    /// colour.
    pub segmented: bool,
    /// Torso without sleeves.
    pub torso: Option<Rect>,
    /// The sleeve on the left of the picture.
    pub left_sleeve: Option<Rect>,
    /// The sleeve on the right of the picture.
    pub right_sleeve: Option<Rect>,
    /// Collar and neckline.
    pub collar: Option<Rect>,
    /// The middle strip of the torso.
    pub fastening: Option<Rect>,
    /// The chest.
    pub chest: Option<Rect>,
}

impl Parts {
    /// The parts of lower-body clothing: none.
    #[must_use]
    pub fn none() -> Self {
        Self {
            case: PartsCase::LowerBody,
            segmented: false,
            torso: None,
            left_sleeve: None,
            right_sleeve: None,
            collar: None,
            fastening: None,
            chest: None,
        }
    }

    /// The rectangles that `region` is pooled from: two for sleeves, one otherwise, the whole canvas when
    /// the part is missing (section 4.3: without extraction the whole map is passed on).
    #[must_use]
    pub fn rects(&self, region: Region) -> Vec<Rect> {
        let one = |part: Option<Rect>| vec![part.unwrap_or(Rect::WHOLE)];
        match region {
            Region::Whole => one(None),
            Region::Torso => one(self.torso),
            Region::Sleeves => match (self.left_sleeve, self.right_sleeve) {
                (Some(left), Some(right)) => vec![left, right],
                (part, None) | (None, part) => one(part),
            },
            Region::Collar => one(self.collar),
            Region::Fastening => one(self.fastening),
            Region::Chest => one(self.chest),
        }
    }

    /// The parts by name, those that were found.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, Rect)> {
        [
            ("torso", self.torso),
            ("left_sleeve", self.left_sleeve),
            ("right_sleeve", self.right_sleeve),
            ("collar", self.collar),
            ("fastening", self.fastening),
            ("chest", self.chest),
        ]
        .into_iter()
        .filter_map(|(name, rect)| Some((name, rect?)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_keeps_rectangles_inside_and_large_enough() {
        let r = Rect { x0: -0.2, y0: 0.98, x1: 0.02, y1: 1.4 }.clipped(0.1);
        assert!(r.x0 >= 0.0 && r.x1 - r.x0 >= 0.0999 && r.y1 <= 1.0 && r.y1 - r.y0 >= 0.0999, "{r:?}");
        let inner = Rect { x0: 0.2, y0: 0.3, x1: 0.6, y1: 0.9 };
        let same = inner.clipped(0.1);
        assert!((same.x0 - inner.x0).abs() < 1e-6 && (same.y1 - inner.y1).abs() < 1e-6);
    }

    #[test]
    fn a_missing_part_means_the_whole_map() {
        assert_eq!(Parts::none().rects(Region::Collar), vec![Rect::WHOLE]);
        assert_eq!(Parts::none().rects(Region::Sleeves), vec![Rect::WHOLE]);
    }
}
