//! What the convolutions lose: the colours, the extent and the fine texture of the cloth itself.
//!
//! ImageNet's classes hardly depend on colour and not at all on where background ends, so conv5 keeps little of
//! either. These channels lie beside conv5's on the same grid. Each cell looks at its pixels inside the silhouette:
//! soft histogram over fixed colours in CIELAB, mean colour, contrast, edges, and the share of the cell covered.

use super::MapShape;
use crate::photo::Canvas;
use std::f32::consts::TAU;
use std::sync::LazyLock;

/// Lightness of the colours of each chroma, and how many hues they have: greys, muted, clear and vivid colours.
const RINGS: [(f32, usize, &[f32]); 4] = [
    (0.0, 1, &[5.0, 22.0, 40.0, 57.0, 74.0, 90.0]),
    (14.0, 6, &[35.0, 65.0, 85.0]),
    (38.0, 12, &[35.0, 60.0, 80.0]),
    (70.0, 6, &[50.0]),
];
const COLOURS: usize = 6 + 18 + 36 + 6;
/// After the colours: coverage, mean L, a and b, contrast of L, edges across and along.
const OTHERS: usize = 7;
/// Channels that are added to conv5's.
pub(super) const CHANNELS: usize = COLOURS + OTHERS;
/// Distance in CIELAB over which a pixel is shared between neighbouring colours.
const SOFTNESS: f32 = 12.0;
/// Colours that share one pixel.
const SHARED: usize = 3;
/// Brings the channels to about the size of conv5's.
const GAIN: f32 = 2.0;
/// A cell with less of its area covered counts its cloth only in part.
const COVERED_MIN: f32 = 0.25;

/// The channels of one canvas, `[CHANNELS, height, width]` of `shape`.
pub(super) fn channels(canvas: &Canvas, shape: MapShape) -> Vec<f32> {
    let mut cells = vec![Cell::default(); shape.height * shape.width];
    let side = canvas.side();
    // The cell of each row or column of pixels.
    let along = |cells: usize| -> Vec<usize> {
        let at = |pixel: usize| pixel as f32 / (side - 1) as f32 * (cells - 1) as f32;
        (0..side).map(|pixel| at(pixel).round() as usize).collect()
    };
    let (rows, columns) = (along(shape.height), along(shape.width));
    fill(canvas, &mut cells, |x, y| rows[y] * shape.width + columns[x]);
    let plane = cells.len();
    let mut channels = vec![0.0; CHANNELS * plane];
    for (at, cell) in cells.iter().enumerate() {
        for (channel, value) in cell.values().into_iter().enumerate() {
            channels[channel * plane + at] = GAIN * value;
        }
    }
    channels
}

/// Adds every second pixel of the photo to its cell.
fn fill(canvas: &Canvas, cells: &mut [Cell], cell_of: impl Fn(usize, usize) -> usize) {
    let side = canvas.side();
    let pixel = |x: usize, y: usize| -> [u8; 3] {
        let at = (y * side + x) * 3;
        [canvas.rgb()[at], canvas.rgb()[at + 1], canvas.rgb()[at + 2]]
    };
    let light = |x: usize, y: usize| pixel(x, y).map(f32::from).iter().sum::<f32>() / 765.0;
    for (x, y, inside) in canvas.silhouette().grid() {
        let cell = &mut cells[cell_of(x, y)];
        cell.all += 1.0;
        if inside {
            let (right, below) = ((x + 1).min(side - 1), (y + 1).min(side - 1));
            let here = light(x, y);
            cell.add(pixel(x, y), [(light(right, y) - here).abs(), (light(x, below) - here).abs()]);
        }
    }
}

#[derive(Clone)]
struct Cell {
    all: f32,
    inside: f32,
    colours: [f32; COLOURS],
    lab: [f32; 3],
    lightness_squared: f32,
    edges: [f32; 2],
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            all: 0.0,
            inside: 0.0,
            colours: [0.0; COLOURS],
            lab: [0.0; 3],
            lightness_squared: 0.0,
            edges: [0.0; 2],
        }
    }
}

impl Cell {
    fn add(&mut self, rgb: [u8; 3], edges: [f32; 2]) {
        let known = &TABLE[rgb.iter().fold(0, |at, v| at << 4 | usize::from(v >> 4))];
        self.inside += 1.0;
        for (colour, share) in known.shares {
            self.colours[usize::from(colour)] += share;
        }
        for (sum, value) in self.lab.iter_mut().zip(known.lab) {
            *sum += value;
        }
        self.lightness_squared += known.lab[0].powi(2);
        self.edges = [self.edges[0] + edges[0], self.edges[1] + edges[1]];
    }

    fn values(&self) -> Vec<f32> {
        let counted = self.inside.max(COVERED_MIN * self.all).max(1.0);
        let mean = |sum: f32| sum / counted;
        let [l, a, b] = self.lab.map(mean);
        let covered = self.inside / counted;
        let contrast = (mean(self.lightness_squared) - l * l).max(0.0).sqrt();
        let mut values: Vec<f32> = self.colours.iter().map(|sum| mean(*sum)).collect();
        values.extend([
            self.inside / self.all.max(1.0),
            l / 100.0,
            (a / 120.0) + 0.5 * covered,
            (b / 120.0) + 0.5 * covered,
            contrast / 25.0,
            mean(self.edges[0]) * 8.0,
            mean(self.edges[1]) * 8.0,
        ]);
        values
    }
}

/// What a colour of 4 bits a channel is in CIELAB, and the fixed colours that share it.
struct Known {
    lab: [f32; 3],
    shares: [(u8, f32); SHARED],
}

static TABLE: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let fixed = fixed_colours();
    let known = |code: usize| {
        let lab = lab([code >> 8, code >> 4 & 15, code & 15].map(|v| (v * 17) as f32 / 255.0));
        let mut nearest: Vec<(u8, f32)> = fixed
            .iter()
            .enumerate()
            .map(|(at, c)| (at as u8, (0..3).map(|i| (c[i] - lab[i]).powi(2)).sum::<f32>()))
            .collect();
        nearest.sort_by(|a, b| a.1.total_cmp(&b.1));
        // Relative to the nearest, so that a colour far from all fixed ones still has shares.
        let least = nearest[0].1;
        let weight = |d: f32| ((least - d) / (2.0 * SOFTNESS * SOFTNESS)).exp();
        let total: f32 = nearest[..SHARED].iter().map(|(_, d)| weight(*d)).sum();
        Known { lab, shares: std::array::from_fn(|i| (nearest[i].0, weight(nearest[i].1) / total)) }
    };
    (0..4096).map(known).collect()
});

fn fixed_colours() -> Vec<[f32; 3]> {
    let ring = |(chroma, hues, lightness): &(f32, usize, &'static [f32])| {
        let (chroma, hues, lightness) = (*chroma, *hues, *lightness);
        (0..hues).flat_map(move |hue| {
            let angle = TAU * hue as f32 / hues as f32;
            lightness.iter().map(move |l| [*l, chroma * angle.cos(), chroma * angle.sin()])
        })
    };
    RINGS.iter().flat_map(ring).collect()
}

/// CIELAB (D65) of sRGB in 0..1.
pub(super) fn lab(rgb: [f32; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(|v| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) });
    let xyz = [
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
    ];
    let [x, y, z] = xyz.map(|t| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::Photo;

    const SHAPE: MapShape = MapShape { channels: 256, height: 13, width: 13 };

    /// A garment of one colour in the middle of a light background.
    fn picture(colour: [u8; 3]) -> Canvas {
        let mut rgb = vec![235; 120 * 120 * 3];
        for y in 20..100 {
            for x in 30..90 {
                rgb[(y * 120 + x) * 3..][..3].copy_from_slice(&colour);
            }
        }
        Photo::from_rgb(120, 120, rgb).expect("sized").fit(224)
    }

    #[test]
    fn the_fixed_colours_are_as_many_as_the_channels() {
        assert_eq!(fixed_colours().len(), COLOURS);
        let red = lab([1.0, 0.0, 0.0]);
        assert!(
            (red[0] - 53.2).abs() < 0.5 && (red[1] - 80.1).abs() < 0.5 && (red[2] - 67.2).abs() < 0.5,
            "{red:?}"
        );
    }

    #[test]
    fn cells_inside_the_garment_see_its_colour_and_those_outside_nothing() {
        let map = channels(&picture([200, 30, 40]), SHAPE);
        let (middle, corner) = (6 * 13 + 6, 0);
        let at = |channel: usize, cell: usize| map[channel * 169 + cell];
        assert!((at(COLOURS, middle) - GAIN).abs() < 1e-3 && at(COLOURS, corner) < 1e-3, "coverage");
        let total: f32 = (0..COLOURS).map(|c| at(c, middle)).sum();
        assert!((total - GAIN).abs() < 1e-3, "shares sum to one: {total}");
        assert!((0..CHANNELS).all(|c| at(c, corner) == 0.0));
        let blue = channels(&picture([30, 40, 200]), SHAPE);
        let differ: f32 = (0..COLOURS).map(|c| (at(c, middle) - blue[c * 169 + middle]).abs()).sum();
        assert!(differ > 1.9 * GAIN, "red and blue share no colour: {differ}");
    }
}
