//! One photo: the garment's layers, then warp, folds, fabric, light, background and noise by pixel.

use super::cloth::Cloth;
use super::details::{self, Pen};
use super::garment::Garment;
use super::outline::{Cut, Lower};
use super::palette::{COLOURS, Rgb, gap, scaled};
use super::presentation::Presentation;
use super::print;
use super::{HEIGHT, WIDTH};
use lapel_heads::Photo;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tiny_skia::{FillRule, FilterQuality, Paint, Path, Pattern, Pixmap, PixmapPaint, SpreadMode, Transform};

/// Draws a photo of the garment.
pub(super) fn draw(garment: &Garment, presentation: Presentation, rng: &mut ChaCha8Rng) -> Photo {
    let blank = || Photo::from_rgb(WIDTH, HEIGHT, vec![255; (WIDTH * HEIGHT * 3) as usize]);
    let drawn = Cloth::of(garment, rng).and_then(|cloth| {
        let layer = garment_layer((garment, presentation), &cloth, rng)?;
        Photo::from_rgb(WIDTH, HEIGHT, develop(&layer, (garment, presentation), &cloth, rng))
    });
    // Only allocating a pixmap of a constant, valid size can fail above.
    drawn.or_else(blank).unwrap_or_else(|| unreachable!("the picture's size is a non-zero constant"))
}

/// The garment alone on a transparent layer.
fn garment_layer(
    (garment, presentation): (&Garment, Presentation),
    cloth: &Cloth,
    rng: &mut ChaCha8Rng,
) -> Option<Pixmap> {
    let mut layer = Pixmap::new(WIDTH, HEIGHT)?;
    if garment.is_upper() {
        upper(&mut layer, (garment, presentation), cloth, rng);
    } else {
        let lower = Lower::of(garment, rng);
        presentation.behind_lower(&mut Pen { canvas: &mut layer, zoom: WIDTH as f32 }, &lower, rng);
        shape(&mut layer, lower.outline(garment), cloth, 0.0);
        let mut pen = Pen { canvas: &mut layer, zoom: WIDTH as f32 };
        if garment.pattern == "print" {
            let at = (0.5 - lower.hip * 0.6, lower.crotch);
            print::print(&mut pen, garment, at, 0.08, cloth, rng);
        }
        details::lower(&mut pen, garment, &lower, cloth, rng);
    }
    // A little rotation and an off-centre camera.
    let mut placed = Pixmap::new(WIDTH, HEIGHT)?;
    let wide = !presentation.is_folded() && garment.sleeve_length == Some("long")
        || matches!(garment.length, "maxi" | "full" | "midi" | "knee");
    let zoom = if wide { rng.random_range(0.9..1.08f32) } else { rng.random_range(1.0..1.3) };
    let zoom = zoom * presentation.zoom(rng);
    let (cx, cy) = (WIDTH as f32 / 2.0, HEIGHT as f32 / 2.0);
    let transform = Transform::from_translate(-cx, -cy)
        .post_rotate(rng.random_range(-4.0..4.0))
        .post_scale(zoom, zoom)
        .post_translate(cx + rng.random_range(-9.0..9.0f32), cy + rng.random_range(-9.0..9.0f32));
    let paint = PixmapPaint { quality: FilterQuality::Bilinear, ..PixmapPaint::default() };
    placed.draw_pixmap(0, 0, layer.as_ref(), &paint, transform, None);
    Some(placed)
}

fn upper(
    layer: &mut Pixmap,
    (garment, presentation): (&Garment, Presentation),
    cloth: &Cloth,
    rng: &mut ChaCha8Rng,
) {
    let cut = Cut::of(garment, rng);
    let cut = presentation.cut(cut, rng);
    let zoom = WIDTH as f32;
    presentation.behind_upper(&mut Pen { canvas: layer, zoom }, &cut, rng);
    if garment.collar == Some("hood") {
        details::hood(&mut Pen { canvas: layer, zoom }, &cut, cloth);
    }
    let strappy = matches!(garment.sleeve_length, Some("spaghetti" | "strapless"));
    if !strappy && garment.collar != Some("hood") {
        Pen { canvas: layer, zoom }.fill(cut.back_of_neck(garment), scaled(cloth.main, 0.6));
    }
    for sign in [-1.0, 1.0] {
        if let Some(sleeve) = cut.sleeve(garment, sign) {
            shape(layer, Some(sleeve), cloth, -sign * cut.angle.to_degrees());
            cuff(&mut Pen { canvas: layer, zoom }, garment, &cut, cloth, sign);
        }
    }
    if garment.category == "jumpsuit" {
        let legs = Lower {
            top: cut.top + cut.waist_at,
            hem: if garment.length == "short" { cut.hem + 0.02 } else { 1.27 },
            waist: cut.waist,
            hip: cut.waist * 1.15,
            leg: 0.075,
            crotch: cut.top + cut.waist_at + 0.2,
        };
        let cropped = Cut { hem: cut.top + cut.waist_at + 0.05, bottom: cut.waist, ..cut.clone() };
        shape(layer, legs.outline(garment), cloth, 0.0);
        shape(layer, cropped.body(garment), cloth, 0.0);
    } else {
        shape(layer, cut.body(garment), cloth, 0.0);
    }
    let mut pen = Pen { canvas: layer, zoom };
    if garment.sleeve_length == Some("spaghetti") {
        details::straps(&mut pen, &cut, cloth);
    }
    if garment.pattern == "print" {
        let at = (0.5, cut.top + cut.armpit + 0.09);
        print::print(&mut pen, garment, at, cut.chest * rng.random_range(0.45..0.75f32), cloth, rng);
    }
    if presentation.shows("pocket") {
        details::pockets(&mut pen, garment, &cut, cloth);
    }
    details::fastening(&mut pen, garment, &cut, cloth, rng);
    details::collar(&mut pen, garment, &cut, cloth, rng);
    if matches!(garment.category, "sweatshirt" | "hoodie" | "jumper" | "jacket")
        && cut.hem < 1.2
        && !presentation.is_folded()
    {
        let y = cut.hem - 0.045;
        let seam = details::polygon(&[(0.5 - cut.bottom, y), (0.5, y + 0.018), (0.5 + cut.bottom, y)], false);
        pen.stroke(seam, details::seam(cloth.main), 0.005, 0.8);
    }
    presentation.on_upper(&mut pen, &cut, cloth, rng);
}

fn cuff(pen: &mut Pen<'_>, garment: &Garment, cut: &Cut, cloth: &Cloth, sign: f32) {
    let ((x, y), (dx, dy)) = cut.cuff_of(sign);
    let back = if garment.sleeve_length == Some("short") { 0.022 } else { 0.05 };
    let (ux, uy) = (sign * cut.angle.sin() * back, cut.angle.cos() * back);
    let line = details::polygon(&[(x + dx - ux, y + dy - uy), (x - dx - ux, y - dy - uy)], false);
    pen.stroke(line, details::seam(cloth.main), 0.005, 0.8);
}

/// Fills an outline with the cloth, turned by `degrees`, and draws its edge.
fn shape(layer: &mut Pixmap, outline: Option<Path>, cloth: &Cloth, degrees: f32) {
    let Some(outline) = outline else { return };
    let zoom = WIDTH as f32;
    let turn = Transform::from_rotate(degrees).post_scale(1.0 / zoom, 1.0 / zoom);
    let shader = Pattern::new(cloth.tile.as_ref(), SpreadMode::Repeat, FilterQuality::Bilinear, 1.0, turn);
    let paint = Paint { shader, anti_alias: true, ..Paint::default() };
    layer.fill_path(&outline, &paint, FillRule::Winding, Transform::from_scale(zoom, zoom), None);
    let mut pen = Pen { canvas: layer, zoom };
    pen.stroke(Some(outline), details::seam(cloth.main), 0.006, 0.55);
}

/// Smooth random numbers over the picture, -1 to 1: values on a grid, interpolated.
struct Smooth {
    columns: usize,
    cell: f32,
    values: Vec<f32>,
}

impl Smooth {
    fn new(cell: f32, rng: &mut ChaCha8Rng) -> Self {
        let (columns, rows) = ((WIDTH as f32 / cell) as usize + 3, (HEIGHT as f32 / cell) as usize + 3);
        Self { columns, cell, values: (0..columns * rows).map(|_| rng.random_range(-1.0..1.0)).collect() }
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        let (gx, gy) = (x / self.cell, y / self.cell);
        let (column, row) = (gx as usize, gy as usize);
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (tx, ty) = (ease(gx.fract()), ease(gy.fract()));
        let at = |c: usize, r: usize| self.values.get(r * self.columns + c).copied().unwrap_or(0.0);
        let above = at(column, row) + (at(column + 1, row) - at(column, row)) * tx;
        let below = at(column, row + 1) + (at(column + 1, row + 1) - at(column, row + 1)) * tx;
        above + (below - above) * ty
    }
}

/// Light on the cloth: folds, the fabric's relief, and its sheen; a factor about 1.
struct Relief {
    fabric: &'static str,
    folds: [Smooth; 2],
    slant: f32,
    depth: f32,
    period: f32,
}

impl Relief {
    fn of(garment: &Garment, rng: &mut ChaCha8Rng) -> Self {
        let stiff = matches!(garment.fabric, "denim" | "leather" | "quilted");
        Self {
            fabric: garment.fabric,
            folds: [Smooth::new(46.0, rng), Smooth::new(20.0, rng)],
            slant: rng.random_range(-0.6..0.6),
            depth: rng.random_range(0.08..0.2) * if stiff { 0.7 } else { 1.0 },
            period: match garment.fabric {
                "quilted" => rng.random_range(20.0..34.0),
                "knit" => rng.random_range(3.2..7.0),
                _ => rng.random_range(2.6..3.4),
            },
        }
    }

    fn at(&self, x: f32, y: f32, grain: f32) -> f32 {
        // Folds run mostly downwards: the noise is stretched along a slanted vertical.
        let fx = (x + self.slant * y).rem_euclid(WIDTH as f32);
        let fold = 0.65 * self.folds[0].at(fx, y * 0.35) + 0.35 * self.folds[1].at(fx, y * 0.45);
        let wave = |v: f32| (v * std::f32::consts::TAU / self.period).sin();
        let texture = match self.fabric {
            "knit" => 0.10 * wave(x) * (0.6 + 0.4 * wave(y + 0.5 * x)) + 0.05 * grain,
            "denim" => 0.07 * wave(x + y) + 0.07 * grain,
            "quilted" => 0.16 * wave(y).abs().sqrt() - 0.13,
            "lace" => 0.16 * wave(x * 0.45 + y * 0.26) * wave(x * 0.45 - y * 0.26) + 0.03 * grain,
            "fleece" => 0.11 * grain,
            "sweat" => 0.05 * grain,
            "leather" => 0.28 * (fold.abs() - 0.32).max(0.0) * 2.0,
            "woven" => 0.025 * wave(x) * wave(y),
            _ => 0.02 * grain,
        };
        1.0 + self.depth * fold * 1.6 + texture
    }
}

/// A wall or table: one colour, unevenly lit.
struct Backdrop {
    colour: Rgb,
    light: Smooth,
    depth: f32,
    grain: f32,
}

impl Backdrop {
    fn of(main: Rgb, rng: &mut ChaCha8Rng) -> Self {
        let mut any = || {
            if rng.random_bool(0.65) {
                let gray = rng.random_range(185.0..252.0f32);
                let tint = rng.random_range(-9.0..9.0f32);
                [gray + tint, gray, gray - tint]
            } else {
                scaled(COLOURS[rng.random_range(0..COLOURS.len())].1, rng.random_range(0.7..1.2))
            }
        };
        let tries: Vec<Rgb> = (0..3).map(|_| any()).collect();
        // A garment must stand out a little, or no photographer would have taken the picture.
        let colour = tries.iter().copied().find(|c| gap(*c, main) > 55.0);
        let colour =
            colour.or_else(|| tries.into_iter().max_by(|a, b| gap(*a, main).total_cmp(&gap(*b, main))));
        let shiny = rng.random_bool(0.4);
        Self {
            colour: colour.unwrap_or([255.0; 3]).map(|c| c.clamp(5.0, 252.0)),
            light: Smooth::new(130.0, rng),
            depth: if shiny { 0.02 } else { 0.09 },
            grain: rng.random_range(0.5..6.0),
        }
    }
}

/// From the garment's layer to the photo's pixels.
fn develop(
    layer: &Pixmap,
    (garment, presentation): (&Garment, Presentation),
    cloth: &Cloth,
    rng: &mut ChaCha8Rng,
) -> Vec<u8> {
    let (width, height) = (WIDTH as usize, HEIGHT as usize);
    let warp = [Smooth::new(40.0, rng), Smooth::new(40.0, rng)];
    let strength = rng.random_range(2.0..5.0f32);
    let relief = Relief::of(garment, rng);
    let backdrop = Backdrop::of(cloth.main, rng);
    let backdrop = match presentation.backdrop(cloth.main, rng) {
        Some(colour) => Backdrop { colour, depth: 0.01, grain: 1.0, ..backdrop },
        None => backdrop,
    };
    let exposure = rng.random_range(0.9..1.08f32);
    let warmth = rng.random_range(-0.03..0.03f32);
    let shadow = Shadow::of(layer, rng);
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let (fx, fy) = (x as f32, y as f32);
            let [r, g, b, alpha] =
                sample(layer, fx + strength * warp[0].at(fx, fy), fy + strength * warp[1].at(fx, fy));
            let grain = rng.random_range(-1.0..1.0f32);
            let behind = (1.0 + backdrop.depth * backdrop.light.at(fx, fy)) * (1.0 - 0.38 * shadow.at(x, y));
            let light = if alpha > 0.0 { relief.at(fx, fy, grain) } else { 1.0 };
            for (channel, (cloth, cast)) in
                [r, g, b].into_iter().zip([1.0 + warmth, 1.0, 1.0 - warmth]).enumerate()
            {
                let wall = backdrop.colour[channel] * behind + backdrop.grain * grain;
                // Dark cloth still shows its folds.
                let front = cloth * light + (light - 1.0) * 34.0 * alpha;
                let value = (front + wall * (1.0 - alpha)) * cast * exposure + grain * 2.0;
                rgb.push(value.clamp(0.0, 255.0) as u8);
            }
        }
    }
    rgb
}

/// Premultiplied colour (0 to 255) and alpha (0 to 1) of the layer, bilinear.
fn sample(layer: &Pixmap, x: f32, y: f32) -> [f32; 4] {
    let (width, height) = (WIDTH as usize, HEIGHT as usize);
    let (x, y) = (x.clamp(0.0, width as f32 - 1.001), y.clamp(0.0, height as f32 - 1.001));
    let (column, row, tx, ty) = (x as usize, y as usize, x.fract(), y.fract());
    let data = layer.data();
    let at = |c: usize, r: usize, channel: usize| f32::from(data[(r * width + c) * 4 + channel]);
    [0, 1, 2, 3].map(|k| {
        let (c, r) = ((column + 1).min(width - 1), (row + 1).min(height - 1));
        let above = at(column, row, k) * (1.0 - tx) + at(c, row, k) * tx;
        let below = at(column, r, k) * (1.0 - tx) + at(c, r, k) * tx;
        (above * (1.0 - ty) + below * ty) / if k == 3 { 255.0 } else { 1.0 }
    })
}

/// The garment's soft shadow: its alpha at an eighth of the resolution, moved and blurred.
struct Shadow {
    cells: Vec<f32>,
    columns: usize,
}

const SHADOW_CELL: usize = 8;

impl Shadow {
    fn of(layer: &Pixmap, rng: &mut ChaCha8Rng) -> Self {
        let (columns, rows) = (WIDTH as usize / SHADOW_CELL, HEIGHT as usize / SHADOW_CELL);
        let (dx, dy) = (rng.random_range(-5..6i32), rng.random_range(2..9i32));
        let strength = rng.random_range(0.2..1.0f32);
        let alpha = |column: usize, row: usize| {
            let x = (column * SHADOW_CELL) as i32 + 4 - dx;
            let y = (row * SHADOW_CELL) as i32 + 4 - dy;
            let inside = (0..WIDTH as i32).contains(&x) && (0..HEIGHT as i32).contains(&y);
            let at = if inside { (y * WIDTH as i32 + x) as usize * 4 + 3 } else { return 0.0 };
            f32::from(layer.data()[at]) / 255.0 * strength
        };
        let raw: Vec<f32> = (0..columns * rows).map(|i| alpha(i % columns, i / columns)).collect();
        let near = |i: usize| {
            let (x, y) = (i % columns, i / columns);
            let mut sum = 0.0;
            for ny in y.saturating_sub(1)..(y + 2).min(rows) {
                for nx in x.saturating_sub(1)..(x + 2).min(columns) {
                    sum += raw[ny * columns + nx];
                }
            }
            sum / 9.0
        };
        Self { cells: (0..columns * rows).map(near).collect(), columns }
    }

    fn at(&self, x: usize, y: usize) -> f32 {
        let (gx, gy) = (x as f32 / SHADOW_CELL as f32, y as f32 / SHADOW_CELL as f32);
        let rows = self.cells.len() / self.columns;
        let at = |c: usize, r: usize| self.cells[r.min(rows - 1) * self.columns + c.min(self.columns - 1)];
        let (c, r, tx, ty) = (gx as usize, gy as usize, gx.fract(), gy.fract());
        let above = at(c, r) + (at(c + 1, r) - at(c, r)) * tx;
        let below = at(c, r + 1) + (at(c + 1, r + 1) - at(c, r + 1)) * tx;
        above + (below - above) * ty
    }
}
