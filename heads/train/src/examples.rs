//! What a head is trained on: a picture, one of its variants, and labels.

use lapel_heads::{Labels, PARTS_ATTRIBUTE, PartsCase, Photo, PhotoLimits, sha256_hex};
use lapel_render::{render, truth};
use lapel_wardrobe::LabelledPhoto;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;

/// Where an example's picture comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A photo's file.
    Photo(PathBuf),
    /// The renderer: seed and index.
    Render(u64, u64),
}

/// One training example.
#[derive(Clone, Debug)]
pub struct Example {
    /// Its picture.
    pub source: Source,
    /// 0 is the picture as it is; others are mirrored, cropped and lit differently.
    pub variant: u64,
    /// Its labels, among them the case of "Extract Parts?" where it is known.
    pub labels: Labels,
}

impl Example {
    /// Loads the picture and applies the variant.
    ///
    /// # Errors
    /// When a file cannot be read or decoded.
    pub fn photo(&self) -> anyhow::Result<Photo> {
        let photo = match &self.source {
            Source::Photo(path) => Photo::decode(&fs_err::read(path)?, PhotoLimits::default())?,
            Source::Render(seed, index) => render(*seed, *index).photo,
        };
        Ok(if self.variant == 0 { photo } else { varied(&photo, self.variant) })
    }

    /// Names the picture by what it shows: a photo's content, not its path.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn key(&self) -> std::io::Result<String> {
        let picture = match &self.source {
            Source::Photo(path) => sha256_hex(&fs_err::read(path)?),
            Source::Render(seed, index) => format!("render {seed} {index}"),
        };
        Ok(format!("{picture} {}", self.variant))
    }

    /// Whether it is a real photo.
    #[must_use]
    pub fn is_real(&self) -> bool {
        matches!(self.source, Source::Photo(_))
    }
}

/// `variants` examples of each photo.
#[must_use]
pub fn examples_of_photos(photos: &[LabelledPhoto], variants: u64) -> Vec<Example> {
    let all = photos.iter().flat_map(|photo| (0..variants).map(move |variant| (photo, variant)));
    all.map(|(photo, variant)| Example {
        source: Source::Photo(photo.path.clone()),
        variant,
        labels: with_case(photo.labels.clone()),
    })
    .collect()
}

/// The first `count` garments of the collection `seed`, with all their labels.
#[must_use]
pub fn examples_of_renders(seed: u64, count: u64) -> Vec<Example> {
    let example = |index| Example {
        source: Source::Render(seed, index),
        variant: 0,
        labels: with_case(truth(seed, index)),
    };
    (0..count).map(example).collect()
}

/// The case of "Extract Parts?" that labels imply; `None` when they do not tell.
#[must_use]
pub fn parts_case(labels: &Labels) -> Option<PartsCase> {
    let label = |attribute: &str| labels.get(attribute).map(String::as_str);
    match (label("category"), label("sleeve_length")) {
        (Some("trouser" | "jean" | "shorts" | "skirt" | "leggings"), _) => Some(PartsCase::LowerBody),
        (_, Some("sleeveless" | "spaghetti" | "strapless")) => Some(PartsCase::Sleeveless),
        (_, Some(_)) => Some(PartsCase::Sleeved),
        (_, None) => None,
    }
}

fn with_case(mut labels: Labels) -> Labels {
    if let Some(case) = parts_case(&labels) {
        labels.insert(PARTS_ATTRIBUTE.into(), case.name().into());
    }
    labels
}

/// Mirrors (odd variants), crops up to an eighth of each side and changes the light a little. Hue stays:
/// colour is a label.
fn varied(photo: &Photo, variant: u64) -> Photo {
    let mut rng = ChaCha8Rng::seed_from_u64(variant.wrapping_mul(0x51ed_270b) ^ photo.rgb().len() as u64);
    let (width, height) = (photo.width() as usize, photo.height() as usize);
    let crop = if variant == 1 { 0.0 } else { 0.11f32 };
    let mut cut = |side: usize| (side as f32 * rng.random_range(0.0..=crop / 2.0)) as usize;
    let (left, right, top, bottom) = (cut(width), cut(width), cut(height), cut(height));
    let gain = if variant == 1 { 1.0 } else { rng.random_range(0.85..1.15f32) };
    let mut rgb = Vec::with_capacity(photo.rgb().len());
    for y in top..height - bottom {
        for x in left..width - right {
            let x = if variant % 2 == 1 { width - 1 - x } else { x };
            let at = (y * width + x) * 3;
            rgb.extend(photo.rgb()[at..at + 3].iter().map(|v| (f32::from(*v) * gain).min(255.0) as u8));
        }
    }
    let (w, h) = ((width - left - right) as u32, (height - top - bottom) as u32);
    Photo::from_rgb(w, h, rgb).unwrap_or_else(|| photo.clone())
}
