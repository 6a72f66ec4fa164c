//! Patterned cloth, drawn as a tile that shapes are filled with.

use super::garment::Garment;
use super::palette::{Rgb, contrast, paint, scaled, shade};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tiny_skia::{Color, FillRule, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};

/// Side of the tile in pixels; one picture width.
const SIDE: f32 = 288.0;

/// The tile and the colours details are drawn in.
pub(super) struct Cloth {
    pub(super) tile: Pixmap,
    pub(super) main: Rgb,
    pub(super) second: Rgb,
}

impl Cloth {
    pub(super) fn of(garment: &Garment, rng: &mut ChaCha8Rng) -> Option<Self> {
        let main = shade(garment.color, rng);
        let second = contrast(main, rng);
        let mut tile = Pixmap::new(SIDE as u32, (SIDE * 1.5) as u32)?;
        let [r, g, b] = main.map(|v| v / 255.0);
        tile.fill(Color::from_rgba(r, g, b, 1.0)?);
        let colours = if garment.color == "multi" {
            vec![second, shade("multi", rng), shade("multi", rng), shade("multi", rng)]
        } else {
            vec![second]
        };
        match garment.pattern {
            "striped" => stripes(&mut tile, &colours, rng),
            "checked" => checks(&mut tile, &colours, rng),
            "polka-dot" => dots(&mut tile, second, rng),
            "floral" => flowers(&mut tile, &colours, rng),
            "animal" => spots(&mut tile, main, rng),
            "camouflage" => camouflage(&mut tile, main, rng),
            "colour-block" => blocks(&mut tile, &colours, rng),
            "colour-gradient" => gradient(&mut tile, second),
            "herringbone" => herringbone(&mut tile, main),
            "marl" => marl(&mut tile, main, rng),
            _ => {}
        }
        Some(Self { tile, main, second })
    }
}

fn band(tile: &mut Pixmap, colour: Rgb, alpha: f32, at: f32, thick: f32, vertical: bool) {
    let (x, y, w, h) = if vertical { (at, 0.0, thick, SIDE * 1.5) } else { (0.0, at, SIDE, thick) };
    if let Some(rect) = Rect::from_xywh(x, y, w, h) {
        tile.fill_rect(rect, &paint(colour, alpha), Transform::identity(), None);
    }
}

fn stripes(tile: &mut Pixmap, colours: &[Rgb], rng: &mut ChaCha8Rng) {
    let period = *[8.0, 12.0, 18.0, 26.0, 36.0].get(rng.random_range(0..5usize)).unwrap_or(&12.0);
    let thick = period * rng.random_range(0.2..0.6);
    let vertical = rng.random_bool(0.35);
    let mut at = 0.0;
    let mut count = 0;
    while at < SIDE * 1.5 {
        band(tile, colours[count % colours.len()], 1.0, at, thick, vertical);
        at += period;
        count += 1;
    }
}

fn checks(tile: &mut Pixmap, colours: &[Rgb], rng: &mut ChaCha8Rng) {
    let period = rng.random_range(14.0..44.0f32);
    let thick = period * rng.random_range(0.3..0.55);
    let thin = rng.random_bool(0.6);
    for vertical in [false, true] {
        let mut at = 0.0;
        let mut count = 0;
        while at < SIDE * 1.5 {
            band(tile, colours[count % colours.len()], 0.5, at, thick, vertical);
            if thin {
                let line = colours[(count + 1) % colours.len()];
                band(tile, line, 0.7, at + period * 0.75, period * 0.06, vertical);
            }
            at += period;
            count += 1;
        }
    }
}

fn circle(tile: &mut Pixmap, colour: Rgb, x: f32, y: f32, radius: f32) {
    if let Some(path) = PathBuilder::from_circle(x, y, radius) {
        fill(tile, &path, colour, 1.0);
    }
}

fn fill(tile: &mut Pixmap, path: &Path, colour: Rgb, alpha: f32) {
    tile.fill_path(path, &paint(colour, alpha), FillRule::Winding, Transform::identity(), None);
}

fn dots(tile: &mut Pixmap, colour: Rgb, rng: &mut ChaCha8Rng) {
    let period = rng.random_range(10.0..26.0f32);
    let radius = period * rng.random_range(0.16..0.33);
    let (columns, rows) = ((SIDE / period) as i32 + 1, (SIDE * 1.5 / period) as i32 + 1);
    for row in 0..=rows {
        for column in 0..=columns {
            let shift = if row % 2 == 0 { 0.0 } else { 0.5 };
            circle(tile, colour, (column as f32 + shift) * period, row as f32 * period, radius);
        }
    }
}

fn flowers(tile: &mut Pixmap, colours: &[Rgb], rng: &mut ChaCha8Rng) {
    let size = rng.random_range(6.0..16.0f32);
    let count = (SIDE * SIDE * 1.5 / (size * size) * 0.16) as usize;
    let leaf = shade(if rng.random_bool(0.7) { "green" } else { "multi" }, rng);
    for _ in 0..count {
        let (x, y) = (rng.random_range(0.0..SIDE), rng.random_range(0.0..SIDE * 1.5));
        let colour = colours[rng.random_range(0..colours.len())];
        let turn = rng.random_range(0.0..1.3f32);
        let radius = size * rng.random_range(0.35..0.6);
        circle(tile, leaf, x + radius * turn.cos() * 1.8, y + radius * turn.sin() * 1.8, radius * 0.55);
        for petal in 0..5 {
            let angle = turn + petal as f32 * 1.2566;
            circle(tile, colour, x + radius * angle.cos(), y + radius * angle.sin(), radius * 0.72);
        }
        circle(tile, scaled(colour, 0.6), x, y, radius * 0.5);
    }
}

/// An irregular closed blob around a point.
fn blob(x: f32, y: f32, radius: f32, rng: &mut ChaCha8Rng) -> Option<Path> {
    let corner = |angle: f32, rng: &mut ChaCha8Rng| {
        let r = radius * rng.random_range(0.5..1.3f32);
        (x + r * angle.cos(), y + r * angle.sin() * 0.7)
    };
    let corners: Vec<(f32, f32)> = (0..7).map(|i| corner(i as f32 * 0.8976, rng)).collect();
    let middle = |a: (f32, f32), b: (f32, f32)| (f32::midpoint(a.0, b.0), f32::midpoint(a.1, b.1));
    let mut p = PathBuilder::new();
    let start = middle(corners[6], corners[0]);
    p.move_to(start.0, start.1);
    for i in 0..7 {
        let end = middle(corners[i], corners[(i + 1) % 7]);
        p.quad_to(corners[i].0, corners[i].1, end.0, end.1);
    }
    p.close();
    p.finish()
}

fn scatter(tile: &mut Pixmap, count: usize, radius: f32, colour: Rgb, rng: &mut ChaCha8Rng) {
    for _ in 0..count {
        let (x, y) = (rng.random_range(0.0..SIDE), rng.random_range(0.0..SIDE * 1.5));
        if let Some(path) = blob(x, y, radius * rng.random_range(0.7..1.4f32), rng) {
            fill(tile, &path, colour, 1.0);
        }
    }
}

fn spots(tile: &mut Pixmap, main: Rgb, rng: &mut ChaCha8Rng) {
    let dark = scaled(main, if super::palette::lightness(main) > 70.0 { 0.3 } else { 2.6 });
    let size = rng.random_range(5.0..9.0f32);
    for _ in 0..(SIDE * SIDE * 1.5 / (size * size * 6.0)) as usize {
        let (x, y) = (rng.random_range(0.0..SIDE), rng.random_range(0.0..SIDE * 1.5));
        if let (Some(outer), Some(inner)) = (blob(x, y, size, rng), blob(x, y, size * 0.5, rng)) {
            fill(tile, &outer, dark, 1.0);
            fill(tile, &inner, scaled(main, 0.8), 1.0);
        }
    }
}

fn camouflage(tile: &mut Pixmap, main: Rgb, rng: &mut ChaCha8Rng) {
    let size = rng.random_range(12.0..22.0f32);
    let brown = shade("brown", rng);
    for (colour, count) in
        [(scaled(main, 0.55), 110), (brown, 90), (scaled(main, 1.5), 80), (scaled(main, 0.35), 60)]
    {
        scatter(tile, count, size, colour, rng);
    }
}

fn blocks(tile: &mut Pixmap, colours: &[Rgb], rng: &mut ChaCha8Rng) {
    let mut at = SIDE * rng.random_range(0.2..0.55f32);
    for colour in colours.iter().chain(colours).take(rng.random_range(1..4usize).max(colours.len().min(3))) {
        let thick = SIDE * rng.random_range(0.12..0.4f32);
        band(tile, *colour, 1.0, at, thick, false);
        at += thick * rng.random_range(1.0..1.5f32);
    }
}

fn gradient(tile: &mut Pixmap, second: Rgb) {
    let mut at = 0.0;
    while at < SIDE * 1.5 {
        band(tile, second, ((at / SIDE - 0.2) * 0.95).clamp(0.0, 0.95), at, 2.0, false);
        at += 2.0;
    }
}

fn herringbone(tile: &mut Pixmap, main: Rgb) {
    let colour = scaled(main, if super::palette::lightness(main) > 60.0 { 0.62 } else { 2.2 });
    let (step, wide) = (7.0, 14.0);
    let mut p = PathBuilder::new();
    for column in 0..=(SIDE / wide) as i32 {
        for row in -2..(SIDE * 1.5 / step) as i32 {
            let (x, y) = (column as f32 * wide, row as f32 * step);
            let rise = if column % 2 == 0 { wide } else { -wide };
            p.move_to(x, y + wide);
            p.line_to(x + wide, y + wide - rise);
        }
    }
    if let Some(path) = p.finish() {
        let stroke = Stroke { width: 2.2, ..Stroke::default() };
        tile.stroke_path(&path, &paint(colour, 0.9), &stroke, Transform::identity(), None);
    }
}

fn marl(tile: &mut Pixmap, main: Rgb, rng: &mut ChaCha8Rng) {
    for _ in 0..9000 {
        let (x, y) = (rng.random_range(0.0..SIDE), rng.random_range(0.0..SIDE * 1.5));
        let colour = scaled(main, if rng.random_bool(0.5) { 1.45 } else { 0.6 });
        if let Some(rect) = Rect::from_xywh(x, y, rng.random_range(1.5..4.5f32), 1.2) {
            tile.fill_rect(rect, &paint(colour, 0.6), Transform::identity(), None);
        }
    }
}
