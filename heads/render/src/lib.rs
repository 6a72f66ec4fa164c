//! A seeded renderer of garments with exact labels.
//!
//! Each garment is drawn frontally from vector shapes (cut, sleeves, collar, fastening, pockets, print), clothed in a
//! pattern, then warped, folded, shaded and given the fabric's texture and the camera's noise pixel by pixel. It is
//! spread out on a plain background, or shown as shops do: on a hanger, on a mannequin that was cut away, folded, or
//! folded and packaged. It feeds the demo catalogue, tests, load tests and, beside real photos, training.

mod cloth;
mod details;
mod garment;
mod outline;
mod palette;
mod presentation;
mod print;
mod scene;

pub use garment::Garment;
pub use presentation::Presentation;

use image::codecs::jpeg::JpegEncoder;
use lapel_heads::{Labels, Photo};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Width and height of a rendered photo, in pixels.
pub const WIDTH: u32 = 288;
/// Height of a rendered photo, in pixels.
pub const HEIGHT: u32 = 384;
/// Share of labels withheld as missing, about that of the paper's data set.
const MISSING_SHARE: f64 = 0.25;

/// A rendered garment: its photo and labels.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The photo.
    pub photo: Photo,
    /// Every label, exact.
    pub truth: Labels,
    /// The labels left after some were withheld as missing.
    pub labels: Labels,
}

/// Renders the garment number `index` of the collection `seed`; the same numbers give the same picture.
#[must_use]
pub fn render(seed: u64, index: u64) -> Rendered {
    let (garment, mut rng) = garment(seed, index);
    render_garment(&garment, &mut rng)
}

/// As [`render`], shown in one of the ways of shops, among which the same numbers always choose the same.
#[must_use]
pub fn render_in_shop(seed: u64, index: u64) -> Rendered {
    let (garment, mut rng) = garment(seed, index);
    let presentation = Presentation::sample(&garment, &mut rng);
    render_presented(&garment, presentation, &mut rng)
}

/// Every label of the garment number `index` of the collection `seed`, without drawing it.
#[must_use]
pub fn truth(seed: u64, index: u64) -> Labels {
    garment(seed, index).0.labels()
}

fn garment(seed: u64, index: u64) -> (Garment, ChaCha8Rng) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index);
    (Garment::sample(&mut rng), rng)
}

/// Renders a given garment, spread out; `rng` decides what its labels leave open: shade, cut, folds, background, noise.
#[must_use]
pub fn render_garment(garment: &Garment, rng: &mut ChaCha8Rng) -> Rendered {
    render_presented(garment, Presentation::Spread, rng)
}

/// Renders a given garment in a presentation. What the presentation hides is no label of the picture: nobody can tell how
/// long the sleeves of a folded shirt are.
#[must_use]
pub fn render_presented(garment: &Garment, presentation: Presentation, rng: &mut ChaCha8Rng) -> Rendered {
    let presentation = presentation.possible(garment);
    let photo = scene::draw(garment, presentation, rng);
    let mut truth = garment.labels();
    truth.retain(|attribute, _| presentation.shows(attribute));
    let labels =
        truth.iter().filter(|_| !rng.random_bool(MISSING_SHARE)).map(|(a, l)| (a.clone(), l.clone()));
    Rendered { photo, labels: labels.collect(), truth }
}

/// Encodes a photo as JPEG of quality 88.
#[must_use]
pub fn to_jpeg(photo: &Photo) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, 88);
    // Writing to memory cannot fail, and a Photo has as many bytes as its sides ask for.
    let _ = image::ImageEncoder::write_image(
        encoder,
        photo.rgb(),
        photo.width(),
        photo.height(),
        image::ExtendedColorType::Rgb8,
    );
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_picture_and_another_another() {
        let (a, b, c) = (render(1, 5), render(1, 5), render(2, 5));
        assert_eq!(a.photo.rgb(), b.photo.rgb());
        assert_eq!(a.labels, b.labels);
        assert_eq!(a.truth, truth(1, 5));
        assert_ne!(a.photo.rgb(), c.photo.rgb());
    }

    #[test]
    fn shops_show_all_kinds_and_hide_what_is_folded_away() {
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        for index in 0..120 {
            let (garment, mut rng) = garment(4, index);
            let presentation = Presentation::sample(&garment, &mut rng).possible(&garment);
            let shown = render_in_shop(4, index);
            assert_eq!(shown.photo.rgb(), render_in_shop(4, index).photo.rgb());
            let folded = matches!(presentation, Presentation::Folded | Presentation::Packaged);
            assert_eq!(folded, !shown.truth.contains_key("length"), "{presentation:?}");
            assert!(!folded || garment.is_upper() && shown.truth.contains_key("collar"));
            *seen.entry(format!("{presentation:?}")).or_default() += 1;
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert!(seen.values().all(|count| *count > 8), "{seen:?}");
    }

    #[test]
    fn a_dress_is_not_folded() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let dress = Garment::sample_category("dress", &mut rng).expect("a dress");
        assert_eq!(Presentation::Packaged.possible(&dress), Presentation::Spread);
    }

    #[test]
    fn labels_are_withheld_but_never_changed() {
        let (mut given, mut all) = (0.0, 0.0);
        for index in 0..60 {
            let r = render(3, index);
            assert!(r.labels.iter().all(|(a, l)| r.truth.get(a) == Some(l)));
            assert!(r.truth.len() >= 6, "{:?}", r.truth);
            given += r.labels.len() as f64;
            all += r.truth.len() as f64;
        }
        assert!((0.6..0.9).contains(&(given / all)), "{given} of {all}");
    }
}
