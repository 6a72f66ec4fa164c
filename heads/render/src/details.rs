//! Collars, fastenings, pockets, straps and seams.

mod collar;
mod lower;

pub(super) use collar::collar;
pub(super) use lower::lower;

use super::cloth::Cloth;
use super::garment::Garment;
use super::outline::Cut;
use super::palette::{Rgb, lightness, paint, scaled, shade};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tiny_skia::{FillRule, LineCap, Path, PathBuilder, Pixmap, Stroke, Transform};

/// Draws on a pixmap in picture widths.
pub(super) struct Pen<'a> {
    pub(super) canvas: &'a mut Pixmap,
    pub(super) zoom: f32,
}

impl Pen<'_> {
    fn transform(&self) -> Transform {
        Transform::from_scale(self.zoom, self.zoom)
    }

    pub(super) fn fill(&mut self, path: Option<Path>, colour: Rgb) {
        if let Some(path) = path {
            let transform = self.transform();
            self.canvas.fill_path(&path, &paint(colour, 1.0), FillRule::Winding, transform, None);
        }
    }

    pub(super) fn stroke(&mut self, path: Option<Path>, colour: Rgb, width: f32, alpha: f32) {
        if let Some(path) = path {
            let stroke = Stroke { width, line_cap: LineCap::Round, ..Stroke::default() };
            let transform = self.transform();
            self.canvas.stroke_path(&path, &paint(colour, alpha), &stroke, transform, None);
        }
    }

    pub(super) fn line(&mut self, points: &[(f32, f32)], colour: Rgb, width: f32) {
        self.stroke(polygon(points, false), colour, width, 1.0);
    }

    /// A filled polygon with a darker seam around it.
    fn piece(&mut self, path: Option<Path>, colour: Rgb) {
        self.fill(path.clone(), colour);
        self.stroke(path, seam(colour), 0.005, 0.8);
    }

    pub(super) fn dot(&mut self, x: f32, y: f32, radius: f32, colour: Rgb) {
        self.fill(PathBuilder::from_circle(x, y, radius), colour);
    }
}

/// A line through points, closed or not.
pub(super) fn polygon(points: &[(f32, f32)], closed: bool) -> Option<Path> {
    let mut p = PathBuilder::new();
    for (at, (x, y)) in points.iter().enumerate() {
        if at == 0 { p.move_to(*x, *y) } else { p.line_to(*x, *y) }
    }
    if closed {
        p.close();
    }
    p.finish()
}

/// The colour of seams on a piece.
pub(super) fn seam(colour: Rgb) -> Rgb {
    if lightness(colour) > 55.0 { scaled(colour, 0.6) } else { scaled(colour, 1.9) }
}

/// The hood, which lies behind everything else.
pub(super) fn hood(pen: &mut Pen<'_>, cut: &Cut, cloth: &Cloth) {
    let (wide, high, top) = (cut.neck * 2.1, cut.neck * 2.6, cut.top + 0.03);
    let outline = |shrink: f32| {
        let mut p = PathBuilder::new();
        p.move_to(0.5 - wide * shrink, top);
        p.cubic_to(
            0.5 - wide * 1.15 * shrink,
            top - high * shrink,
            0.5 + wide * 1.15 * shrink,
            top - high * shrink,
            0.5 + wide * shrink,
            top,
        );
        p.quad_to(0.5, top + cut.depth + 0.07, 0.5 - wide * shrink, top);
        p.close();
        p.finish()
    };
    pen.piece(outline(1.0), cloth.main);
    pen.fill(outline(0.68), scaled(cloth.main, 0.55));
}

/// Straps of a spaghetti top.
pub(super) fn straps(pen: &mut Pen<'_>, cut: &Cut, cloth: &Cloth) {
    let edge = cut.top + cut.armpit - 0.07;
    for sign in [-1.0, 1.0] {
        pen.line(
            &[(0.5 + sign * cut.chest * 0.52, edge), (0.5 + sign * cut.neck * 0.95, cut.top)],
            cloth.main,
            0.013,
        );
    }
}

/// Fastening of an upper garment.
pub(super) fn fastening(
    pen: &mut Pen<'_>,
    garment: &Garment,
    cut: &Cut,
    cloth: &Cloth,
    rng: &mut ChaCha8Rng,
) {
    let collar = garment.collar.unwrap_or("none");
    let start = match collar {
        "lapel" | "shawl" => cut.top + cut.armpit + 0.08,
        "high" => cut.top - 0.05,
        _ => cut.top + cut.depth,
    };
    let short = matches!(garment.category, "polo" | "t-shirt" | "jumper" | "top" | "dress" | "blouse")
        && !garment.opens();
    let end = if short && garment.category != "dress" && garment.category != "blouse" {
        start + 0.2 * (cut.hem - cut.top)
    } else {
        cut.hem - 0.01
    };
    let dark = seam(cloth.main);
    let metal = if rng.random_bool(0.5) { [190.0, 188.0, 180.0] } else { scaled(dark, 0.7) };
    match garment.fastening {
        "button" => {
            pen.line(&[(0.485, start), (0.485, end)], dark, 0.003);
            pen.line(&[(0.518, start), (0.518, end)], dark, 0.003);
            let button = if rng.random_bool(0.6) {
                if lightness(cloth.main) > 120.0 { [60.0, 50.0, 45.0] } else { [225.0, 222.0, 215.0] }
            } else {
                cloth.second
            };
            let few = matches!(garment.category, "blazer" | "coat");
            let count = if short || few { 3 } else { rng.random_range(6..9) };
            let radius = if few { 0.014 } else { 0.008 };
            for i in 0..count {
                pen.dot(0.502, start + (end - start) * (i as f32 + 0.5) / count as f32, radius, button);
            }
        }
        "zip" => {
            pen.line(&[(0.5, start - 0.03), (0.5, end)], metal, 0.012);
            pen.line(&[(0.5, start - 0.03), (0.5, end)], scaled(dark, 0.6), 0.003);
            pen.line(&[(0.503, start + 0.01), (0.503, start + 0.05)], metal, 0.009);
        }
        "laces" => lacing(pen, start, 5, cloth.second),
        "belt" => {
            belt(pen, (0.5 - cut.waist * 1.05, 0.5 + cut.waist * 1.05), cut.top + cut.waist_at, cloth, rng);
        }
        _ if garment.opens() => pen.line(&[(0.5, start), (0.5, end)], dark, 0.004),
        _ => {}
    }
}

fn lacing(pen: &mut Pen<'_>, top: f32, rows: usize, colour: Rgb) {
    for i in 0..rows {
        let (y, next) = (top + 0.028 * i as f32, top + 0.028 * (i + 1) as f32);
        pen.line(&[(0.48, y), (0.52, next)], colour, 0.006);
        pen.line(&[(0.52, y), (0.48, next)], colour, 0.006);
    }
    let bottom = top + 0.028 * rows as f32;
    pen.line(&[(0.48, bottom), (0.465, bottom + 0.09)], colour, 0.006);
    pen.line(&[(0.52, bottom), (0.535, bottom + 0.09)], colour, 0.006);
}

fn belt(pen: &mut Pen<'_>, (left, right): (f32, f32), y: f32, cloth: &Cloth, rng: &mut ChaCha8Rng) {
    let colour = if rng.random_bool(0.5) { shade("brown", rng) } else { seam(cloth.main) };
    let band = [(left, y - 0.02), (right, y - 0.02), (right, y + 0.022), (left, y + 0.022)];
    pen.piece(polygon(&band, true), colour);
    if rng.random_bool(0.5) {
        let buckle = [(0.475, y - 0.026), (0.525, y - 0.026), (0.525, y + 0.028), (0.475, y + 0.028)];
        pen.stroke(polygon(&buckle, true), [205.0, 190.0, 130.0], 0.008, 1.0);
    } else {
        pen.line(&[(0.5, y), (0.47, y + 0.13)], colour, 0.024);
        pen.line(&[(0.5, y), (0.52, y + 0.15)], colour, 0.024);
    }
}

/// Pockets of an upper garment.
pub(super) fn pockets(pen: &mut Pen<'_>, garment: &Garment, cut: &Cut, cloth: &Cloth) {
    let dark = seam(cloth.main);
    let low = cut.top + (cut.hem - cut.top).min(0.9) * 0.68;
    let x = cut.waist * 0.62;
    let chest = cut.top + cut.armpit * 0.95;
    let patch = |cx: f32, y: f32, w: f32, h: f32| {
        polygon(
            &[(cx - w, y), (cx + w, y), (cx + w, y + h * 0.85), (cx, y + h), (cx - w, y + h * 0.85)],
            true,
        )
    };
    match garment.pocket {
        "chest" => pen.stroke(patch(0.5 + cut.chest * 0.48, chest, 0.042, 0.085), dark, 0.005, 1.0),
        "flap" => {
            let y = if garment.category == "shirt" { chest } else { low };
            for sign in [-1.0, 1.0] {
                let cx = 0.5 + sign * if garment.category == "shirt" { cut.chest * 0.48 } else { x };
                pen.stroke(patch(cx, y, 0.048, 0.09), dark, 0.004, 0.9);
                pen.piece(
                    polygon(
                        &[
                            (cx - 0.052, y),
                            (cx + 0.052, y),
                            (cx + 0.05, y + 0.03),
                            (cx, y + 0.042),
                            (cx - 0.05, y + 0.03),
                        ],
                        true,
                    ),
                    scaled(cloth.main, 0.92),
                );
            }
        }
        "side" => {
            for sign in [-1.0, 1.0] {
                pen.line(&[(0.5 + sign * x * 0.9, low), (0.5 + sign * x * 1.25, low + 0.11)], dark, 0.008);
            }
        }
        "zip" => {
            for sign in [-1.0, 1.0] {
                let (a, b) = ((0.5 + sign * x * 0.85, low), (0.5 + sign * x * 1.25, low + 0.11));
                pen.line(&[a, b], [195.0, 195.0, 190.0], 0.012);
                pen.line(&[a, b], [40.0, 40.0, 40.0], 0.004);
                pen.dot(a.0, a.1, 0.011, [205.0, 205.0, 200.0]);
            }
        }
        "kangaroo" => {
            let w = cut.waist * 0.72;
            let outline = [
                (0.5 - w * 0.55, low - 0.06),
                (0.5 + w * 0.55, low - 0.06),
                (0.5 + w, low + 0.06),
                (0.5 + w, low + 0.11),
                (0.5 - w, low + 0.11),
                (0.5 - w, low + 0.06),
            ];
            pen.piece(polygon(&outline, true), scaled(cloth.main, 0.95));
        }
        _ => {}
    }
}
