//! What a head is trained on: a picture, one of its variants, and labels.

use lapel_heads::{Labels, PARTS_ATTRIBUTE, PartsCase, Photo, PhotoLimits, sha256_hex};
use lapel_render::{render, truth};
use lapel_wardrobe::LabelledPhoto;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Where an example's picture comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A photo's file.
    Photo(PathBuf),
    /// The renderer: seed and index.
    Render(u64, u64),
}

impl Source {
    /// Names the picture by what it shows.
    fn key(&self) -> std::io::Result<String> {
        Ok(match self {
            Self::Photo(path) => sha256_hex(&fs_err::read(path)?),
            Self::Render(seed, index) => format!("render {seed} {index}"),
        })
    }
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
        Ok(format!("{} {}", self.source.key()?, self.variant))
    }

    /// The keys of examples, in their order; a photo of many variants is read once.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn keys(examples: &[Self]) -> std::io::Result<Vec<String>> {
        let different: BTreeSet<&Source> = examples.iter().map(|example| &example.source).collect();
        let known: BTreeMap<&Source, String> = different
            .into_par_iter()
            .map(|source| Ok((source, source.key()?)))
            .collect::<std::io::Result<_>>()?;
        Ok(examples.iter().map(|example| format!("{} {}", known[&example.source], example.variant)).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_many_are_those_of_each() {
        let folder = tempfile::tempdir().expect("a folder");
        let photo = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("written");
            Source::Photo(path)
        };
        let (first, second, same) = (photo("1", b"one"), photo("2", b"two"), photo("3", b"one"));
        let sources = [first.clone(), second.clone(), first, Source::Render(1, 2), same, second];
        let example =
            |(at, source): (usize, Source)| Example { source, variant: at as u64 / 2, labels: Labels::new() };
        let examples: Vec<Example> = sources.into_iter().enumerate().map(example).collect();
        let each: Vec<String> = examples.iter().map(|e| e.key().expect("read")).collect();
        assert_eq!(Example::keys(&examples).expect("read"), each);
        assert_eq!(each[0].split(' ').next(), each[4].split(' ').next(), "by content and not by name");
        let gone = [Example { source: Source::Photo(folder.path().join("gone")), ..examples[0].clone() }];
        assert!(Example::keys(&gone).is_err());
    }
}
