//! The colours of a garment as shares of fixed colours, fine enough to tell navy from black.
//!
//! Every pixel inside the silhouette is shared between the nearest of some hundred colours in CIELAB. Two distributions
//! are given: of the whole garment, and of the middle of its box, where background that the silhouette took for cloth
//! is rare. Roots of shares, so that differences are as Hellinger's distance has them and a small print shows. A third one
//! is of the ground, and with it mean and deviation of both: white cloth in warm light has the colour of beige, and what
//! lies around it tells. (Balancing the picture by its ground or by all of it gained nothing: docs/figures.md.)

use super::cloth::lab;
use crate::photo::Canvas;
use crate::region::Rect;
use std::f32::consts::TAU;
use std::sync::LazyLock;

/// Lightness of the fixed colours.
const LIGHTNESS: [f32; 8] = [5.0, 14.0, 25.0, 38.0, 52.0, 66.0, 80.0, 94.0];
/// Chroma and number of hues of the rings at every lightness.
const RINGS: [(f32, usize); 4] = [(0.0, 1), (10.0, 8), (26.0, 12), (52.0, 16)];
const RING_COLOURS: usize = 1 + 8 + 12 + 16;
const COLOURS: usize = LIGHTNESS.len() * RING_COLOURS;
/// Colours that share one pixel.
const SHARED: usize = 4;
/// Distance in CIELAB over which a pixel is shared.
const SOFTNESS: f32 = 9.0;
/// Bits of a colour's value by which its shares are looked up.
const BITS: u32 = 5;
/// The middle of the garment's box.
const MIDDLE: Rect = Rect { x0: 0.25, y0: 0.2, x1: 0.75, y1: 0.8 };
/// What means and deviations in CIELAB are divided by, so that they are about as large as roots of shares.
const MEAN: f32 = 100.0;
const DEVIATION: f32 = 50.0;
/// Numbers of a garment: three distributions, and mean and deviation of garment and ground.
pub(super) const NUMBERS: usize = 3 * COLOURS + 12;
/// The first of them, which are the garment's alone: all that there were in the first version of the pipeline.
pub(super) const GARMENT_NUMBERS: usize = 2 * COLOURS;

/// Pixels that are counted.
struct Count {
    pixels: f32,
    shares: Vec<f32>,
    lab: [f32; 3],
    squares: [f32; 3],
}

impl Count {
    fn new() -> Self {
        Self { pixels: 0.0, shares: vec![0.0; COLOURS], lab: [0.0; 3], squares: [0.0; 3] }
    }

    fn add(&mut self, known: &Known) {
        self.pixels += 1.0;
        for (colour, share) in known.shares {
            self.shares[usize::from(colour)] += share;
        }
        for (value, (sum, square)) in known.lab.iter().zip(self.lab.iter_mut().zip(&mut self.squares)) {
            *sum += value;
            *square += value * value;
        }
    }

    fn roots(&self) -> impl Iterator<Item = f32> + '_ {
        self.shares.iter().map(|share| (share / self.pixels.max(1.0)).sqrt())
    }

    /// Mean, then deviation, of lightness and both opponent colours.
    fn moments(&self) -> [f32; 6] {
        let mean = |at: usize| self.lab[at] / self.pixels.max(1.0);
        let variance = |at: usize| self.squares[at] / self.pixels.max(1.0) - mean(at).powi(2);
        std::array::from_fn(|at| match at {
            0..3 => mean(at) / MEAN,
            _ => variance(at - 3).max(0.0).sqrt() / DEVIATION,
        })
    }
}

/// The colours of the garment on a canvas: the roots of 296 shares each of the garment, of its middle and of the ground,
/// then mean and deviation in CIELAB of the garment and of the ground.
#[must_use]
pub fn colours(canvas: &Canvas) -> Vec<f32> {
    let (side, content) = (canvas.side(), canvas.content());
    let bounds = canvas.silhouette().bounds();
    let within =
        |low: f32, high: f32, from: f32, to: f32| (low + from * (high - low), low + to * (high - low));
    let (x0, x1) = within(bounds.x0, bounds.x1, MIDDLE.x0, MIDDLE.x1);
    let (y0, y1) = within(bounds.y0, bounds.y1, MIDDLE.y0, MIDDLE.y1);
    let (mut garment, mut middle, mut ground) = (Count::new(), Count::new(), Count::new());
    for (x, y, inside) in canvas.silhouette().grid() {
        let at = (y * side + x) * 3;
        let pixel = [canvas.rgb()[at], canvas.rgb()[at + 1], canvas.rgb()[at + 2]];
        let known = &TABLE[pixel.iter().fold(0, |at, v| at << BITS | usize::from(v >> (8 - BITS)))];
        let (u, v) = (
            (x - content.left) as f32 / content.width as f32,
            (y - content.top) as f32 / content.height as f32,
        );
        if !inside {
            ground.add(known);
            continue;
        }
        garment.add(known);
        if (x0..x1).contains(&u) && (y0..y1).contains(&v) {
            middle.add(known);
        }
    }
    let shares = garment.roots().chain(middle.roots()).chain(ground.roots());
    shares.chain(garment.moments()).chain(ground.moments()).collect()
}

/// What a colour is in CIELAB, and the fixed colours that share it.
struct Known {
    lab: [f32; 3],
    shares: [(u16, f32); SHARED],
}

static TABLE: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let fixed = fixed_colours();
    let levels = 1usize << BITS;
    let value = |level: usize| level as f32 / (levels - 1) as f32;
    let shares = |code: usize| {
        let rgb = [code >> (2 * BITS), code >> BITS & (levels - 1), code & (levels - 1)];
        let lab = lab(rgb.map(value));
        let mut nearest: Vec<(u16, f32)> = fixed
            .iter()
            .enumerate()
            .map(|(at, c)| (at as u16, (0..3).map(|i| (c[i] - lab[i]).powi(2)).sum::<f32>()))
            .collect();
        nearest.select_nth_unstable_by(SHARED - 1, |a, b| a.1.total_cmp(&b.1));
        nearest.truncate(SHARED);
        let least = nearest.iter().map(|n| n.1).fold(f32::INFINITY, f32::min);
        let weight = |d: f32| ((least - d) / (2.0 * SOFTNESS * SOFTNESS)).exp();
        let total: f32 = nearest.iter().map(|(_, d)| weight(*d)).sum();
        Known { lab, shares: std::array::from_fn(|i| (nearest[i].0, weight(nearest[i].1) / total)) }
    };
    (0..levels.pow(3)).map(shares).collect()
});

fn fixed_colours() -> Vec<[f32; 3]> {
    let ring = |lightness: f32, (chroma, hues): (f32, usize)| {
        (0..hues).map(move |hue| {
            let angle = TAU * hue as f32 / hues as f32;
            [lightness, chroma * angle.cos(), chroma * angle.sin()]
        })
    };
    LIGHTNESS.iter().flat_map(|l| RINGS.iter().flat_map(move |r| ring(*l, *r))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::Photo;

    fn garment(colour: [u8; 3]) -> Vec<f32> {
        let mut rgb = vec![235; 120 * 120 * 3];
        for y in 20..100 {
            for x in 30..90 {
                rgb[(y * 120 + x) * 3..][..3].copy_from_slice(&colour);
            }
        }
        colours(&Photo::from_rgb(120, 120, rgb).expect("sized").fit(224))
    }

    #[test]
    fn shares_sum_to_one_and_moments_are_those_of_garment_and_ground() {
        assert_eq!(fixed_colours().len(), COLOURS);
        let colours = garment([200, 30, 40]);
        assert_eq!(colours.len(), NUMBERS);
        for part in colours[..3 * COLOURS].chunks_exact(COLOURS) {
            assert!((part.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-3);
        }
        let moments = &colours[3 * COLOURS..];
        // The garment is red and the ground light grey, both plain but for the edge between.
        assert!((moments[1] - 0.64).abs() < 0.05 && moments[7].abs() < 0.02, "{moments:?}");
        assert!(moments[6] > 0.9 && moments[9..12].iter().all(|v| *v < 0.2), "{moments:?}");
    }

    #[test]
    fn navy_is_told_from_black_and_a_shade_is_near_its_neighbour() {
        let distance = |a: [u8; 3], b: [u8; 3]| {
            garment(a).iter().zip(garment(b)).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
        };
        let (black, navy) = ([22, 22, 24], [22, 26, 58]);
        assert!(distance(black, navy) > 1.0, "{}", distance(black, navy));
        assert!(distance(navy, [26, 30, 62]) < 0.6 * distance(black, navy));
    }
}
