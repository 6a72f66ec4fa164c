//! How a shop shows a garment: spread out, on a hanger, on a mannequin that was cut away, folded, packaged.

use super::cloth::Cloth;
use super::details::{Pen, polygon, seam};
use super::garment::Garment;
use super::outline::{Cut, Lower};
use super::palette::{Rgb, lightness, paint, scaled};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tiny_skia::{FillRule, PathBuilder, Transform};

/// How a garment is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presentation {
    /// Flat on a plain background.
    Spread,
    /// On a hanger.
    Hanger,
    /// As if worn by nobody: sleeves straight down, the back of the neck with its label seen from inside.
    Mannequin,
    /// Folded to a rectangle, the sleeves behind.
    Folded,
    /// Folded, in a transparent bag.
    Packaged,
}

/// What cannot be seen of a folded garment.
const FOLDED_AWAY: [&str; 4] = ["sleeve_length", "length", "fit", "pocket"];

impl Presentation {
    /// One of the ways of shops that goes with the garment.
    #[must_use]
    pub fn sample(garment: &Garment, rng: &mut ChaCha8Rng) -> Self {
        let folds =
            [Self::Folded, Self::Packaged, Self::Folded, Self::Packaged, Self::Hanger, Self::Mannequin];
        let all = if Self::Folded.possible(garment) == Self::Folded { &folds[..] } else { &folds[4..] };
        all.choose(rng).copied().unwrap_or(Self::Spread)
    }

    /// Itself, or spread out where the garment cannot be shown so.
    #[must_use]
    pub fn possible(self, garment: &Garment) -> Self {
        let long = ["dress", "jumpsuit", "coat"].contains(&garment.category);
        let bare = matches!(garment.sleeve_length, Some("sleeveless" | "spaghetti" | "strapless"));
        let folds = garment.is_upper() && !long && !bare && garment.collar != Some("hood");
        if folds || !self.is_folded() { self } else { Self::Spread }
    }

    /// Whether a picture of it shows what an attribute tells of.
    #[must_use]
    pub fn shows(self, attribute: &str) -> bool {
        !(self.is_folded() && FOLDED_AWAY.contains(&attribute))
    }

    pub(super) fn is_folded(self) -> bool {
        matches!(self, Self::Folded | Self::Packaged)
    }

    /// The garment's cut as it is shown.
    pub(super) fn cut(self, cut: Cut, rng: &mut ChaCha8Rng) -> Cut {
        match self {
            Self::Spread => cut,
            Self::Hanger => Cut { angle: rng.random_range(0.05..0.2), ..cut },
            Self::Mannequin => Cut { angle: rng.random_range(0.1..0.28), chest: cut.chest * 1.06, ..cut },
            Self::Folded | Self::Packaged => folded(&cut, rng),
        }
    }

    /// What lies behind an upper garment.
    pub(super) fn behind_upper(self, pen: &mut Pen<'_>, cut: &Cut, rng: &mut ChaCha8Rng) {
        if self == Self::Hanger {
            let colour = hanger_colour(rng);
            let (left, right) = (0.5 - cut.shoulder * 0.98, 0.5 + cut.shoulder * 0.98);
            let tip = cut.top + cut.slope + 0.012;
            pen.line(&[(left, tip), (0.5, cut.top - 0.035), (right, tip)], colour, 0.022);
            hook(pen, cut.top - 0.035, colour);
        }
    }

    /// What lies behind trousers, shorts and skirts: a bar whose clips hold the waist.
    pub(super) fn behind_lower(self, pen: &mut Pen<'_>, lower: &Lower, rng: &mut ChaCha8Rng) {
        if self == Self::Hanger {
            let colour = hanger_colour(rng);
            let (bar, clip) = (lower.top - 0.05, lower.waist * 0.82);
            pen.line(&[(0.5 - clip - 0.03, bar), (0.5 + clip + 0.03, bar)], colour, 0.014);
            for x in [0.5 - clip, 0.5 + clip] {
                pen.line(&[(x, bar), (x, lower.top + 0.03)], [70.0, 70.0, 74.0], 0.028);
            }
            hook(pen, bar, colour);
        }
    }

    /// What lies on an upper garment when everything else is drawn.
    pub(super) fn on_upper(self, pen: &mut Pen<'_>, cut: &Cut, cloth: &Cloth, rng: &mut ChaCha8Rng) {
        match self {
            Self::Spread | Self::Hanger => {}
            Self::Mannequin => neck_label(pen, cut, rng),
            Self::Folded | Self::Packaged => {
                neck_label(pen, cut, rng);
                if rng.random_bool(0.35) {
                    cuff_in_front(pen, cut, cloth, rng);
                }
                if self == Self::Packaged {
                    bag(pen, cut, rng);
                }
            }
        }
    }

    /// A shop's background: mostly white. `None`: as of any photo.
    pub(super) fn backdrop(self, main: Rgb, rng: &mut ChaCha8Rng) -> Option<Rgb> {
        if self == Self::Spread || rng.random_bool(0.25) {
            return None;
        }
        let light = rng.random_range(244.0..254.0f32);
        // White cloth is photographed on light grey.
        Some(if lightness(main) > 225.0 { [light - 26.0; 3] } else { [light; 3] })
    }

    /// How large the garment is in the picture, beside what its cut asks for.
    pub(super) fn zoom(self, rng: &mut ChaCha8Rng) -> f32 {
        if self != Self::Spread && rng.random_bool(0.3) { rng.random_range(0.45..0.75) } else { 1.0 }
    }
}

/// A rectangle of cloth: shoulders, waist and hem have one width, and the lower part is folded under.
fn folded(cut: &Cut, rng: &mut ChaCha8Rng) -> Cut {
    let half = rng.random_range(0.24..0.31f32);
    let high = half * rng.random_range(2.1..2.9f32);
    let top = 0.667 - high / 2.0;
    Cut {
        top,
        hem: top + high,
        neck: cut.neck.min(half * 0.45),
        shoulder: half * 0.97,
        chest: half,
        waist: half,
        bottom: half,
        slope: rng.random_range(0.02..0.05),
        armpit: high * 0.3,
        waist_at: high * 0.6,
        depth: cut.depth.min(high * 0.3),
        armhole: 1.01,
        sleeve: 0.0,
        ..cut.clone()
    }
}

fn hanger_colour(rng: &mut ChaCha8Rng) -> Rgb {
    [[150.0, 110.0, 70.0], [40.0, 40.0, 42.0], [225.0, 225.0, 222.0]]
        .choose(rng)
        .copied()
        .unwrap_or([40.0; 3])
}

/// The hook above the middle of a hanger.
fn hook(pen: &mut Pen<'_>, y: f32, colour: Rgb) {
    let mut p = PathBuilder::new();
    p.move_to(0.5, y);
    p.line_to(0.5, y - 0.04);
    p.cubic_to(0.545, y - 0.055, 0.54, y - 0.115, 0.5, y - 0.11);
    p.quad_to(0.475, y - 0.107, 0.472, y - 0.085);
    pen.stroke(p.finish(), scaled(colour, 0.85), 0.009, 1.0);
}

/// The brand's label inside the back of the neck.
fn neck_label(pen: &mut Pen<'_>, cut: &Cut, rng: &mut ChaCha8Rng) {
    let (wide, y) = (cut.neck * rng.random_range(0.22..0.36f32), cut.top + 0.012);
    let high = (cut.depth * 0.35).clamp(0.012, 0.035);
    let colour = if rng.random_bool(0.5) { [238.0, 236.0, 230.0] } else { [45.0, 45.0, 50.0] };
    let corners = [(0.5 - wide, y), (0.5 + wide, y), (0.5 + wide, y + high), (0.5 - wide, y + high)];
    pen.fill(polygon(&corners, true), colour);
}

/// The end of one sleeve, laid over the front.
fn cuff_in_front(pen: &mut Pen<'_>, cut: &Cut, cloth: &Cloth, rng: &mut ChaCha8Rng) {
    let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    let y = cut.top + (cut.hem - cut.top) * rng.random_range(0.55..0.75f32);
    let (outer, inner) = (cut.chest, cut.chest * rng.random_range(0.05..0.35f32));
    let (half, drop) = (rng.random_range(0.035..0.06f32), rng.random_range(-0.02..0.06f32));
    let at = |x: f32, y: f32| (0.5 + sign * x, y);
    let sleeve =
        [at(outer, y - half), at(inner, y + drop - half), at(inner, y + drop + half), at(outer, y + half)];
    let colour = scaled(cloth.main, rng.random_range(0.88..1.05));
    pen.fill(polygon(&sleeve, true), colour);
    pen.stroke(polygon(&sleeve, true), seam(colour), 0.005, 0.8);
    let cuff = inner + 0.055;
    pen.line(&[at(cuff, y + drop - half), at(cuff, y + drop + half)], seam(colour), 0.004);
}

/// A transparent bag: its edge, its gloss, sometimes a sticker.
fn bag(pen: &mut Pen<'_>, cut: &Cut, rng: &mut ChaCha8Rng) {
    let edge = rng.random_range(0.015..0.04f32);
    let (left, right) = (0.5 - cut.chest - edge, 0.5 + cut.chest + edge);
    let (top, bottom) = (cut.top - 0.05 - edge, cut.hem + 0.01 + edge);
    let outline = polygon(&[(left, top), (right, top), (right, bottom), (left, bottom)], true);
    let white = |alpha: f32| paint([255.0; 3], alpha);
    let zoom = Transform::from_scale(pen.zoom, pen.zoom);
    if let Some(outline) = &outline {
        pen.canvas.fill_path(outline, &white(rng.random_range(0.04..0.14)), FillRule::Winding, zoom, None);
    }
    pen.stroke(outline, [205.0, 207.0, 210.0], 0.004, 0.8);
    for _ in 0..rng.random_range(2..6) {
        let (x, y) = (rng.random_range(left..right - 0.05), rng.random_range(top..bottom - 0.1));
        let (wide, long, lean) = (
            rng.random_range(0.006..0.035f32),
            rng.random_range(0.1..0.4f32),
            rng.random_range(-0.12..0.12f32),
        );
        let end = (y + long).min(bottom);
        let streak = [(x, y), (x + wide, y), (x + wide * 0.6 + lean, end), (x + lean, end)]
            .map(|(x, y)| (x.clamp(left, right), y));
        if let Some(streak) = polygon(&streak, true) {
            pen.canvas.fill_path(&streak, &white(rng.random_range(0.1..0.4)), FillRule::Winding, zoom, None);
        }
    }
    if rng.random_bool(0.3) {
        let (x, y) = (right - 0.11, bottom - 0.08);
        pen.fill(polygon(&[(x, y), (x + 0.09, y), (x + 0.09, y + 0.055), (x, y + 0.055)], true), [250.0; 3]);
        for bar in 0..8 {
            let x = x + 0.012 + 0.009 * bar as f32;
            pen.line(&[(x, y + 0.012), (x, y + 0.043)], [30.0; 3], 0.003);
        }
    }
}
