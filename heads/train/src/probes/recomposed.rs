//! The same photos as others would have taken, composed or saved them: what is told of them should stay the same.

use super::draws::Pixels;
use anyhow::Context;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use lapel_heads::{Backbone, Photo, PhotoLimits};
use moxcms::{ColorProfile, Layout, TransformOptions};
use serde::Serialize;

/// Longer side of the largest recomposition, in pixels.
const LARGE: u32 = 2000;
const QUALITY: u8 = 40;

/// A way to compose or save a photo again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recomposed {
    /// White around the garment.
    WhiteBackground,
    /// The photo at half its size in a corner of a white picture.
    HalfInCorner,
    /// The upper half of the garment alone, as if folded.
    UpperHalf,
    /// Saved in Adobe RGB, with the profile.
    AdobeRgb,
    /// Saved as JPEG of quality 40.
    LowQuality,
    /// Enlarged to 2,000 pixels.
    Enlarged,
}

impl Recomposed {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::WhiteBackground,
        Self::HalfInCorner,
        Self::UpperHalf,
        Self::AdobeRgb,
        Self::LowQuality,
        Self::Enlarged,
    ];

    /// What reports call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WhiteBackground => "white background",
            Self::HalfInCorner => "half size in a corner",
            Self::UpperHalf => "upper half only",
            Self::AdobeRgb => "Adobe RGB",
            Self::LowQuality => "JPEG quality 40",
            Self::Enlarged => "2,000 pixels",
        }
    }

    /// Attributes that the picture still shows; `None`: all of them.
    #[must_use]
    pub fn shown(self) -> Option<[&'static str; 4]> {
        (self == Self::UpperHalf).then_some(["collar", "color", "pattern", "fastening"])
    }

    /// The photo, composed and saved so and read again; a backbone says where the garment is.
    ///
    /// # Errors
    /// When it cannot be saved or read again.
    pub fn of(self, photo: &Photo, backbone: &dyn Backbone) -> anyhow::Result<Photo> {
        let pixels = match self {
            Self::WhiteBackground => Pixels::of(photo).on_white(&backbone.canvas(photo)),
            Self::HalfInCorner => Pixels::of(photo).in_corner(),
            Self::UpperHalf => Pixels::of(photo).upper_half(&backbone.canvas(photo), 0.5),
            Self::AdobeRgb => {
                return read(&png(photo, Some(ColorProfile::new_adobe_rgb()))?);
            }
            Self::LowQuality => return read(&jpeg(photo)?),
            Self::Enlarged => {
                let size = |side: u32| side * LARGE / photo.width().max(photo.height());
                let picture = image::RgbImage::from_raw(photo.width(), photo.height(), photo.rgb().to_vec());
                let picture = picture.context("a photo has its pixels")?;
                let (width, height) = (size(photo.width()).max(1), size(photo.height()).max(1));
                let large =
                    image::imageops::resize(&picture, width, height, image::imageops::FilterType::Triangle);
                return Photo::from_rgb(width, height, large.into_raw()).context("an enlarged photo");
            }
        };
        pixels.into_photo().context("a recomposed photo")
    }
}

fn read(bytes: &[u8]) -> anyhow::Result<Photo> {
    Ok(Photo::decode(bytes, PhotoLimits::default())?)
}

fn png(photo: &Photo, profile: Option<ColorProfile>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    let mut rgb = photo.rgb().to_vec();
    if let Some(profile) = profile {
        let options = TransformOptions::default();
        let transform =
            ColorProfile::new_srgb().create_transform_8bit(Layout::Rgb, &profile, Layout::Rgb, options)?;
        transform.transform(photo.rgb(), &mut rgb)?;
        encoder.set_icc_profile(profile.encode()?)?;
    }
    encoder.write_image(&rgb, photo.width(), photo.height(), ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

fn jpeg(photo: &Photo) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    encoder.write_image(photo.rgb(), photo.width(), photo.height(), ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::draws::tests::ByColours;

    #[test]
    fn every_recomposition_can_be_read_and_only_the_colour_space_leaves_pixels_alike() {
        let photo = lapel_render::render(3, 4).photo;
        for recomposed in Recomposed::ALL {
            let again = recomposed.of(&photo, &ByColours).expect("recomposed");
            let same_size = (again.width(), again.height()) == (photo.width(), photo.height());
            let far = |a: &Photo| {
                a.rgb().iter().zip(photo.rgb()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>()
            };
            match recomposed {
                Recomposed::AdobeRgb => {
                    assert!(far(&again) / (photo.rgb().len() as f64) < 2.0, "{}", far(&again));
                }
                Recomposed::UpperHalf => assert!(again.height() < photo.height()),
                Recomposed::Enlarged => assert_eq!(again.width().max(again.height()), 2000),
                _ => assert!(same_size && again.rgb() != photo.rgb(), "{recomposed:?}"),
            }
        }
    }
}
