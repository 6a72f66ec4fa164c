//! Colours by label.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A colour, 0 to 255 a channel.
pub(super) type Rgb = [f32; 3];

/// The label and a typical shade of each colour; `multi` is several of them.
pub(super) const COLOURS: [(&str, Rgb); 17] = [
    ("black", [28.0, 27.0, 30.0]),
    ("white", [240.0, 240.0, 238.0]),
    ("gray", [135.0, 136.0, 140.0]),
    ("navy", [30.0, 38.0, 78.0]),
    ("blue", [45.0, 90.0, 185.0]),
    ("light-blue", [150.0, 190.0, 225.0]),
    ("turquoise", [40.0, 170.0, 175.0]),
    ("green", [45.0, 130.0, 65.0]),
    ("olive", [98.0, 98.0, 52.0]),
    ("yellow", [235.0, 205.0, 60.0]),
    ("orange", [230.0, 125.0, 40.0]),
    ("red", [195.0, 35.0, 42.0]),
    ("maroon", [105.0, 25.0, 40.0]),
    ("pink", [230.0, 150.0, 175.0]),
    ("purple", [110.0, 60.0, 140.0]),
    ("brown", [105.0, 70.0, 45.0]),
    ("beige", [212.0, 192.0, 160.0]),
];

/// A shade of the colour with that label, or of any colour for `multi`.
pub(super) fn shade(label: &str, rng: &mut ChaCha8Rng) -> Rgb {
    let any = rng.random_range(0..COLOURS.len());
    let base = COLOURS.iter().find(|(name, _)| *name == label).unwrap_or(&COLOURS[any]).1;
    let light = rng.random_range(0.86..1.12f32);
    base.map(|c| (c * light + rng.random_range(-9.0..9.0f32)).clamp(8.0, 250.0))
}

/// A colour that stands out from `from`, for stripes, dots and prints.
pub(super) fn contrast(from: Rgb, rng: &mut ChaCha8Rng) -> Rgb {
    let candidates: Vec<Rgb> = (0..6).map(|_| COLOURS[rng.random_range(0..COLOURS.len())].1).collect();
    let preferred = if lightness(from) > 128.0 { COLOURS[0].1 } else { COLOURS[1].1 };
    let candidates = if rng.random_bool(0.45) { vec![preferred] } else { candidates };
    candidates.into_iter().max_by(|a, b| gap(*a, from).total_cmp(&gap(*b, from))).unwrap_or(preferred)
}

/// Euclidean distance in RGB.
pub(super) fn gap(a: Rgb, b: Rgb) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f32>().sqrt()
}

pub(super) fn lightness(c: Rgb) -> f32 {
    0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2]
}

/// The colour made lighter (above 1) or darker (below 1).
pub(super) fn scaled(c: Rgb, by: f32) -> Rgb {
    c.map(|v| (v * by).clamp(0.0, 255.0))
}

pub(super) fn paint(c: Rgb, alpha: f32) -> tiny_skia::Paint<'static> {
    let byte = |v: f32| v.clamp(0.0, 255.0) as u8;
    let mut paint = tiny_skia::Paint { anti_alias: true, ..Default::default() };
    paint.set_color_rgba8(byte(c[0]), byte(c[1]), byte(c[2]), byte(alpha * 255.0));
    paint
}
