//! Which pixels differ from the border's colours.

use super::mask::Mask;
use crate::photo::Canvas;

/// Width of the border that is taken for background, as a share of the photo.
const BORDER: f32 = 0.04;
/// Colours that describe the border.
const MODES: usize = 3;
/// A colour of the border with a smaller share is not background: the garment may touch the edge.
const MODE_SHARE_MIN: f32 = 0.10;
/// Bins a channel of the histograms.
const BINS: usize = 12;

/// The photo at half the canvas' resolution in three opponent channels: lightness, red-green, yellow-blue.
///
/// Lightness counts less than in RGB, since shadows on a background change it and hardly the others.
pub(super) struct Opponent {
    width: usize,
    height: usize,
    pixels: Vec<[f32; 3]>,
}

impl Opponent {
    pub(super) fn of(canvas: &Canvas) -> Self {
        let content = canvas.content();
        let (width, height) = ((content.width / 2).max(1), (content.height / 2).max(1));
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = [0.0; 3];
                for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let px = content.left + (2 * x + dx).min(content.width - 1);
                    let py = content.top + (2 * y + dy).min(content.height - 1);
                    let at = (py * canvas.side() + px) * 3;
                    for (total, value) in sum.iter_mut().zip(&canvas.rgb()[at..at + 3]) {
                        *total += f32::from(*value) / 4.0;
                    }
                }
                let [r, g, b] = sum;
                pixels.push([(r + g + b) / 3.0 * 0.7, r - g, f32::midpoint(r, g) - b]);
            }
        }
        Self { width, height, pixels }.blurred()
    }

    /// A 3 x 3 mean, against texture.
    fn blurred(self) -> Self {
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..self.height {
            for x in 0..self.width {
                let (mut sum, mut count) = ([0.0; 3], 0.0);
                for ny in y.saturating_sub(1)..(y + 2).min(self.height) {
                    for nx in x.saturating_sub(1)..(x + 2).min(self.width) {
                        let near = self.pixels[ny * self.width + nx];
                        sum = [sum[0] + near[0], sum[1] + near[1], sum[2] + near[2]];
                        count += 1.0;
                    }
                }
                pixels.push(sum.map(|v| v / count));
            }
        }
        Self { pixels, ..self }
    }

    fn border(&self) -> Vec<[f32; 3]> {
        let margin = |n: usize| ((n as f32 * BORDER).ceil() as usize).max(1);
        let (mx, my) = (margin(self.width), margin(self.height));
        let on_border = |i: usize| {
            let (x, y) = (i % self.width, i / self.width);
            x < mx || x + mx >= self.width || y < my || y + my >= self.height
        };
        (0..self.pixels.len()).filter(|i| on_border(*i)).map(|i| self.pixels[i]).collect()
    }

    /// Belief, before any colour is seen, that each pixel belongs to the garment: 1 in the middle, less outside.
    fn prior(&self) -> Vec<f32> {
        let along = |count: usize| -> Vec<f32> {
            (0..count).map(|at| ((at as f32 + 0.5) / count as f32 * 2.0 - 1.0).powi(4)).collect()
        };
        let (columns, rows) = (along(self.width), along(self.height));
        rows.iter().flat_map(|y| columns.iter().map(move |x| (-(x + y)).exp())).collect()
    }
}

/// The pixels that belong to the garment, not yet cleaned.
pub(super) fn foreground(image: &Opponent) -> Mask {
    let (modes, prior) = (border_modes(&image.border()), image.prior());
    let distance = |(pixel, prior): (&[f32; 3], &f32)| {
        let nearest = modes.iter().map(|m| m.distance(pixel)).fold(f32::INFINITY, f32::min);
        nearest.min(12.0) * (0.5 + 0.5 * prior)
    };
    let distances: Vec<f32> = image.pixels.iter().zip(&prior).map(distance).collect();
    let cut = otsu(&distances).clamp(1.8, 5.0);
    let first: Vec<bool> = distances.iter().map(|d| *d > cut).collect();
    Mask::new(image.width, image.height, redraw(image, &prior, first))
}

/// One round of histograms: each pixel goes to the side whose colours it resembles.
fn redraw(image: &Opponent, prior: &[f32], first: Vec<bool>) -> Vec<bool> {
    let inside = first.iter().filter(|b| **b).count() as f32;
    let outside = first.len() as f32 - inside;
    if inside < 30.0 || outside < 30.0 {
        return first;
    }
    let bin = |p: &[f32; 3]| {
        let of =
            |v: f32, low: f32, high: f32| (((v - low) / (high - low) * BINS as f32) as usize).min(BINS - 1);
        (of(p[0], 0.0, 180.0) * BINS + of(p[1], -90.0, 90.0)) * BINS + of(p[2], -90.0, 90.0)
    };
    let bins: Vec<usize> = image.pixels.iter().map(bin).collect();
    let mut counts = vec![(0.0f32, 0.0f32); BINS * BINS * BINS];
    for (bin, garment) in bins.iter().zip(&first) {
        let cell = &mut counts[*bin];
        if *garment { cell.0 += 1.0 } else { cell.1 += 1.0 }
    }
    let likelihood =
        |(garment, background): &(f32, f32)| ((garment / inside + 1e-4) / (background / outside + 1e-4)).ln();
    let colours: Vec<f32> = counts.iter().map(likelihood).collect();
    let pixels = bins.iter().zip(prior).zip(&first);
    pixels
        .map(|((bin, prior), first)| {
            colours[*bin] + 2.0 * (prior - 0.55) + if *first { 0.8 } else { -0.8 } > 0.0
        })
        .collect()
}

/// One of the border's colours.
struct Mode {
    mean: [f32; 3],
    deviation: [f32; 3],
}

impl Mode {
    /// In deviations, the floor keeping a perfectly plain background from calling noise a garment.
    fn distance(&self, pixel: &[f32; 3]) -> f32 {
        (0..3).map(|c| ((pixel[c] - self.mean[c]) / (self.deviation[c] + 3.5)).powi(2)).sum::<f32>().sqrt()
    }
}

/// k-means over the border's pixels, started at quantiles of lightness.
fn border_modes(border: &[[f32; 3]]) -> Vec<Mode> {
    let mut sorted: Vec<&[f32; 3]> = border.iter().collect();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let mut centres: Vec<[f32; 3]> =
        (0..MODES).map(|m| *sorted[(2 * m + 1) * sorted.len() / (2 * MODES)]).collect();
    let gap = |a: &[f32; 3], b: &[f32; 3]| (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f32>();
    let nearest = |centres: &[[f32; 3]], p: &[f32; 3]| {
        (0..MODES).min_by(|a, b| gap(&centres[*a], p).total_cmp(&gap(&centres[*b], p))).unwrap_or(0)
    };
    for _ in 0..8 {
        let mut sums = [([0.0f32; 3], 0.0f32); MODES];
        for pixel in border {
            let (sum, count) = &mut sums[nearest(&centres, pixel)];
            *sum = [sum[0] + pixel[0], sum[1] + pixel[1], sum[2] + pixel[2]];
            *count += 1.0;
        }
        for (centre, (sum, count)) in centres.iter_mut().zip(sums) {
            if count > 0.0 {
                *centre = sum.map(|v| v / count);
            }
        }
    }
    let mut groups: Vec<Vec<&[f32; 3]>> = vec![Vec::new(); MODES];
    for pixel in border {
        groups[nearest(&centres, pixel)].push(pixel);
    }
    let spread = |group: &[&[f32; 3]], mean: &[f32; 3], c: usize| {
        (group.iter().map(|p| (p[c] - mean[c]).powi(2)).sum::<f32>() / group.len() as f32).sqrt()
    };
    centres
        .into_iter()
        .zip(&groups)
        .filter(|(_, group)| group.len() as f32 >= MODE_SHARE_MIN * border.len() as f32)
        .map(|(mean, group)| Mode { mean, deviation: [0, 1, 2].map(|c| spread(group, &mean, c)) })
        .collect()
}

/// Otsu's threshold: the cut that parts the values into two classes of least spread.
fn otsu(values: &[f32]) -> f32 {
    const CELLS: usize = 64;
    let most = values.iter().copied().fold(1e-6, f32::max);
    let mut histogram = [0.0f64; CELLS];
    for value in values {
        histogram[((value / most * CELLS as f32) as usize).min(CELLS - 1)] += 1.0;
    }
    let total = values.len() as f64;
    let mean: f64 = histogram.iter().enumerate().map(|(i, n)| i as f64 * n).sum::<f64>() / total;
    let (mut weight, mut sum, mut best) = (0.0, 0.0, (0.0, 0));
    for (i, n) in histogram.iter().enumerate() {
        weight += n / total;
        sum += i as f64 * n / total;
        let between = (mean * weight - sum).powi(2) / (weight * (1.0 - weight)).max(1e-9);
        if between > best.0 {
            best = (between, i);
        }
    }
    (best.1 + 1) as f32 / CELLS as f32 * most
}
