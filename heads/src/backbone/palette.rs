//! The colours of a garment as shares of fixed colours, fine enough to tell navy from black.
//!
//! Every pixel inside the silhouette is shared between the nearest of some hundred colours in CIELAB. Two distributions
//! are given: of the whole garment, and of the middle of its box, where background that the silhouette took for cloth
//! is rare. Roots of shares, so that differences are as Hellinger's distance has them and a small print shows.

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
/// Numbers of a garment.
pub(super) const NUMBERS: usize = 2 * COLOURS;

/// The colours of the garment on a canvas: the roots of 592 shares, of the garment and of its middle.
#[must_use]
pub fn colours(canvas: &Canvas) -> Vec<f32> {
    let (side, content) = (canvas.side(), canvas.content());
    let bounds = canvas.silhouette().bounds();
    let within =
        |low: f32, high: f32, from: f32, to: f32| (low + from * (high - low), low + to * (high - low));
    let (x0, x1) = within(bounds.x0, bounds.x1, MIDDLE.x0, MIDDLE.x1);
    let (y0, y1) = within(bounds.y0, bounds.y1, MIDDLE.y0, MIDDLE.y1);
    let mut sums = vec![0.0f32; NUMBERS];
    let (mut all, mut middle) = (0.0f32, 0.0f32);
    for (x, y, inside) in canvas.silhouette().grid() {
        if !inside {
            continue;
        }
        let at = (y * side + x) * 3;
        let pixel = [canvas.rgb()[at], canvas.rgb()[at + 1], canvas.rgb()[at + 2]];
        let shares = &TABLE[pixel.iter().fold(0, |at, v| at << BITS | usize::from(v >> (8 - BITS)))];
        let (u, v) = (
            (x - content.left) as f32 / content.width as f32,
            (y - content.top) as f32 / content.height as f32,
        );
        let is_middle = (x0..x1).contains(&u) && (y0..y1).contains(&v);
        all += 1.0;
        middle += f32::from(u8::from(is_middle));
        for (colour, share) in shares {
            sums[usize::from(*colour)] += share;
            if is_middle {
                sums[COLOURS + usize::from(*colour)] += share;
            }
        }
    }
    let (whole, part) = sums.split_at_mut(COLOURS);
    whole.iter_mut().for_each(|share| *share = (*share / all.max(1.0)).sqrt());
    part.iter_mut().for_each(|share| *share = (*share / middle.max(1.0)).sqrt());
    sums
}

static TABLE: LazyLock<Vec<[(u16, f32); SHARED]>> = LazyLock::new(|| {
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
        std::array::from_fn(|i| (nearest[i].0, weight(nearest[i].1) / total))
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
    fn shares_of_the_whole_and_of_the_middle_sum_to_one() {
        assert_eq!(fixed_colours().len(), COLOURS);
        let colours = garment([200, 30, 40]);
        for part in colours.chunks_exact(COLOURS) {
            assert!((part.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-3);
        }
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
