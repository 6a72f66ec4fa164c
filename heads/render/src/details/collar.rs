//! Collars that lie on the body, and what is seen of the neckline's edge.

use super::{Pen, polygon, seam};
use crate::cloth::Cloth;
use crate::garment::Garment;
use crate::outline::Cut;
use crate::palette::{Rgb, scaled};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tiny_skia::PathBuilder;

/// Collars that lie on the body, and what is seen of the neckline's edge.
pub(crate) fn collar(pen: &mut Pen<'_>, garment: &Garment, cut: &Cut, cloth: &Cloth, rng: &mut ChaCha8Rng) {
    let (n, t) = (cut.neck, cut.top);
    let colour =
        if rng.random_bool(0.15) { cloth.second } else { scaled(cloth.main, rng.random_range(0.9..1.06)) };
    let both = |pen: &mut Pen<'_>, points: &[(f32, f32)]| both(pen, points, colour);
    let drop = n * rng.random_range(1.15..1.6f32);
    match garment.collar.unwrap_or("none") {
        "shirt" => both(
            pen,
            &[(0.0, t + n * 0.75), (n * 0.95, t - 0.03), (n * 1.35, t + 0.035), (n * 0.95, t + drop + 0.01)],
        ),
        "polo" => {
            both(
                pen,
                &[(0.0, t + n * 0.8), (n * 0.95, t - 0.025), (n * 1.4, t + 0.03), (n * 0.8, t + n * 1.1)],
            );
        }
        "high" => high(pen, cut, colour, rng),
        "mandarin" => both(
            pen,
            &[(0.006, t + n * 0.85), (n * 0.9, t - 0.03), (n * 1.08, t + 0.012), (0.012, t + n * 1.28)],
        ),
        "lapel" => lapel(pen, cut, colour, rng),
        "shawl" => shawl(pen, cut, colour, rng),
        "peter-pan" => peter_pan(pen, cut, colour, rng),
        "hood" => {
            for sign in [-1.0, 1.0] {
                let x = 0.5 + sign * n * 0.5;
                let end = t + cut.depth + rng.random_range(0.1..0.2f32);
                pen.line(&[(x, t + cut.depth + 0.02), (x + sign * 0.006, end)], cloth.second, 0.008);
            }
        }
        _ => {
            // The ribbed edge that most collarless garments have.
            let edge = if rng.random_bool(0.2) { cloth.second } else { seam(cloth.main) };
            let rim = cut.back_of_neck(garment);
            if !matches!(garment.sleeve_length, Some("spaghetti" | "strapless")) {
                pen.stroke(rim, edge, rng.random_range(0.005..0.014), 0.85);
            }
        }
    }
}

/// A piece on both sides, by its distances from the middle and its heights.
fn both(pen: &mut Pen<'_>, points: &[(f32, f32)], colour: Rgb) {
    for sign in [-1.0, 1.0] {
        let side: Vec<_> = points.iter().map(|(x, y)| (0.5 + sign * x, *y)).collect();
        pen.piece(polygon(&side, true), colour);
    }
}

fn high(pen: &mut Pen<'_>, cut: &Cut, colour: Rgb, rng: &mut ChaCha8Rng) {
    let (n, t) = (cut.neck, cut.top);
    let rise = rng.random_range(0.075..0.12f32);
    let band = [
        (0.5 - n * 1.02, t + 0.05),
        (0.5 - n * 0.92, t - rise),
        (0.5 + n * 0.92, t - rise),
        (0.5 + n * 1.02, t + 0.05),
        (0.5, t + 0.085),
    ];
    pen.piece(polygon(&band, true), colour);
    let fold = t - rise * 0.3;
    pen.stroke(polygon(&[(0.5 - n * 0.95, fold), (0.5 + n * 0.95, fold)], false), seam(colour), 0.004, 0.6);
}

fn lapel(pen: &mut Pen<'_>, cut: &Cut, colour: Rgb, rng: &mut ChaCha8Rng) {
    let (n, t) = (cut.neck, cut.top);
    let deep = cut.armpit + rng.random_range(0.02..0.12f32);
    both(
        pen,
        &[
            (0.0, t + deep),
            (n * 0.7, t - 0.025),
            (n * 1.3, t + 0.02),
            (n * 1.6, t + deep * 0.42),
            (n * 1.15, t + deep * 0.46),
            (n * 1.35, t + deep * 0.58),
        ],
        colour,
    );
}

fn shawl(pen: &mut Pen<'_>, cut: &Cut, colour: Rgb, rng: &mut ChaCha8Rng) {
    let (n, t) = (cut.neck, cut.top);
    let deep = cut.armpit + rng.random_range(0.0..0.1f32);
    for sign in [-1.0, 1.0] {
        let mut p = PathBuilder::new();
        p.move_to(0.5, t + deep);
        p.quad_to(0.5 + sign * n * 0.4, t + deep * 0.4, 0.5 + sign * n * 0.75, t - 0.03);
        p.line_to(0.5 + sign * n * 1.25, t + 0.015);
        p.quad_to(0.5 + sign * n * 1.75, t + deep * 0.5, 0.5, t + deep);
        p.close();
        pen.piece(p.finish(), colour);
    }
}

fn peter_pan(pen: &mut Pen<'_>, cut: &Cut, colour: Rgb, rng: &mut ChaCha8Rng) {
    let (n, t) = (cut.neck, cut.top);
    for sign in [-1.0, 1.0] {
        let mut p = PathBuilder::new();
        p.move_to(0.5, t + cut.depth * 0.9);
        p.quad_to(0.5 + sign * n * 0.6, t + cut.depth * 0.8, 0.5 + sign * n, t);
        p.line_to(0.5 + sign * n * 1.3, t + 0.02);
        p.cubic_to(
            0.5 + sign * n * 1.5,
            t + cut.depth + 0.06,
            0.5 + sign * n * 0.5,
            t + cut.depth + 0.1,
            0.5,
            t + cut.depth * 0.9,
        );
        p.close();
        pen.piece(p.finish(), if rng.random_bool(0.5) { [240.0, 240.0, 236.0] } else { colour });
    }
}
