//! Prints: a sport's sign, or a motif of shapes and lettering.

use super::cloth::Cloth;
use super::details::{Pen, polygon};
use super::garment::Garment;
use super::palette::{Rgb, shade};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tiny_skia::PathBuilder;

/// The print on a chest (or on shorts): a sport's sign, or a motif of shapes and lines of lettering.
pub(super) fn print(
    pen: &mut Pen<'_>,
    garment: &Garment,
    (x, y): (f32, f32),
    size: f32,
    cloth: &Cloth,
    rng: &mut ChaCha8Rng,
) {
    let ink = cloth.second;
    match garment.sport {
        "football" => {
            digit(pen, (x - size * 0.32, y), size * 0.42, rng.random_range(1..10), ink);
            if rng.random_bool(0.6) {
                digit(pen, (x + size * 0.32, y), size * 0.42, rng.random_range(0..10), ink);
            }
        }
        "basketball" => {
            pen.dot(x, y, size * 0.6, [225.0, 120.0, 45.0]);
            let line = [50.0, 30.0, 20.0];
            pen.line(&[(x - size * 0.6, y), (x + size * 0.6, y)], line, size * 0.06);
            pen.line(&[(x, y - size * 0.6), (x, y + size * 0.6)], line, size * 0.06);
            for sign in [-1.0, 1.0] {
                let mut p = PathBuilder::new();
                p.move_to(x + sign * size * 0.42, y - size * 0.43);
                p.quad_to(x + sign * size * 0.05, y, x + sign * size * 0.42, y + size * 0.43);
                pen.stroke(p.finish(), line, size * 0.06, 1.0);
            }
        }
        "running" => {
            for i in 0..3 {
                let left = x - size * 0.7 + i as f32 * size * 0.45;
                pen.line(
                    &[(left, y - size * 0.5), (left + size * 0.4, y), (left, y + size * 0.5)],
                    ink,
                    size * 0.16,
                );
            }
        }
        "yoga" => {
            for i in -2i32..=2 {
                let (sin, cos) = (i as f32 * 0.55).sin_cos();
                let (tx, ty) = (x + sin * size * 0.8, y + size * 0.4 - cos * size * 0.9);
                let mut p = PathBuilder::new();
                p.move_to(x, y + size * 0.4);
                p.quad_to(x + sin * size * 0.3 - size * 0.2, y - size * 0.05, tx, ty);
                p.quad_to(x + sin * size * 0.3 + size * 0.2, y - size * 0.05, x, y + size * 0.4);
                p.close();
                pen.stroke(p.finish(), ink, size * 0.07, 1.0);
            }
        }
        "surfing" => {
            for i in 0..3 {
                let base = y - size * 0.35 + i as f32 * size * 0.35;
                let mut p = PathBuilder::new();
                p.move_to(x - size * 0.8, base);
                p.cubic_to(x - size * 0.4, base - size * 0.5, x - size * 0.2, base + size * 0.4, x, base);
                p.cubic_to(
                    x + size * 0.2,
                    base - size * 0.5,
                    x + size * 0.5,
                    base + size * 0.4,
                    x + size * 0.8,
                    base,
                );
                pen.stroke(p.finish(), ink, size * 0.11, 1.0);
            }
        }
        _ => motif(pen, (x, y), size, cloth, garment.color == "multi", rng),
    }
}

fn motif(pen: &mut Pen<'_>, (x, y): (f32, f32), size: f32, cloth: &Cloth, multi: bool, rng: &mut ChaCha8Rng) {
    for _ in 0..rng.random_range(2..7) {
        let colour = if multi { shade("multi", rng) } else { cloth.second };
        let (px, py) = (x + size * rng.random_range(-0.5..0.5f32), y + size * rng.random_range(-0.5..0.5f32));
        let s = size * rng.random_range(0.15..0.45f32);
        match rng.random_range(0..4) {
            0 => pen.dot(px, py, s * 0.7, colour),
            1 => pen
                .fill(polygon(&[(px, py - s), (px + s, py + s * 0.7), (px - s, py + s * 0.7)], true), colour),
            2 => {
                let star = |i: usize| {
                    let (sin, cos) = (i as f32 * 0.6283).sin_cos();
                    let r = if i.is_multiple_of(2) { s } else { s * 0.42 };
                    (px + r * sin, py - r * cos)
                };
                pen.fill(polygon(&(0..10).map(star).collect::<Vec<_>>(), true), colour);
            }
            _ => {
                // Lettering: strokes of uneven height.
                for i in 0..5 {
                    let lx = px - s + s * 0.45 * i as f32;
                    let top = py - s * rng.random_range(0.1..0.5f32);
                    pen.line(&[(lx, py + s * 0.3), (lx, top), (lx + s * 0.25, top)], colour, s * 0.13);
                }
            }
        }
    }
}

/// A digit in seven segments.
fn digit(pen: &mut Pen<'_>, (x, y): (f32, f32), s: f32, digit: usize, colour: Rgb) {
    const SEGMENTS: [u8; 10] = [0x77, 0x24, 0x5d, 0x6d, 0x2e, 0x6b, 0x7b, 0x25, 0x7f, 0x6f];
    let (l, r, t, b) = (x - s * 0.5, x + s * 0.5, y - s, y + s);
    let lines = [
        ((l, t), (r, t)),
        ((l, t), (l, y)),
        ((r, t), (r, y)),
        ((l, y), (r, y)),
        ((l, y), (l, b)),
        ((r, y), (r, b)),
        ((l, b), (r, b)),
    ];
    for (i, (from, to)) in lines.into_iter().enumerate() {
        if SEGMENTS[digit % 10] >> i & 1 == 1 {
            pen.line(&[from, to], colour, s * 0.32);
        }
    }
}
