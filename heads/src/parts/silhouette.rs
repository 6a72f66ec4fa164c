//! The garment's silhouette, by the odds that a [`MaskHead`](crate::MaskHead) sees or, where there is none, by colours.
//!
//! By colours it is what is far from the border's colours, cleaned by dilation and erosion.
//! One border colour is enough for shop photos; for simple but real backgrounds (tiles, carpet, wood) the
//! border is described by several colours, the distance is weighted by a prior for the centre, and one
//! round of colour histograms redraws the line between garment and background.

mod colour;
mod mask;

use crate::mask::Odds;
use crate::photo::{Canvas, Content};
use crate::region::Rect;
use mask::Mask;

/// Shares of the photo between which a silhouette is believable.
const AREA_MIN: f32 = 0.05;
const AREA_MAX: f32 = 0.93;
/// Where a garment lies when no silhouette is found: photos of this kind share their pose.
const USUAL: Rect = Rect { x0: 0.12, y0: 0.08, x1: 0.88, y1: 0.94 };

/// Levels of 256 between the least and the largest value of each colour of a picture that shows nothing. Cloth that fills a
/// photo has more, by its folds, its light and the camera's noise.
const PLAIN_MAX: u8 = 6;

/// The garment's binary mask (the paper's B) at half the canvas' resolution, over the photo's content.
#[derive(Clone, Debug)]
pub struct Silhouette {
    mask: Mask,
    found: bool,
    content: Content,
    side: usize,
}

impl Silhouette {
    /// Segments the garment on `canvas`.
    #[must_use]
    pub(crate) fn of(canvas: &Canvas) -> Self {
        let pixels = colour::Opponent::of(canvas);
        let mask = colour::foreground(&pixels).closed(3).opened(2).largest_component().filled();
        let share = mask.count() as f32 / (mask.width() * mask.height()) as f32;
        let found = (AREA_MIN..=AREA_MAX).contains(&share);
        let mask = if found { mask } else { Mask::rectangle(mask.width(), mask.height(), USUAL) };
        Self { mask, found, content: canvas.content(), side: canvas.side() }
    }

    /// What the odds on `canvas` say. All of the photo may be garment, as of a shirt that is folded or seen from near.
    #[must_use]
    pub(crate) fn from_odds(canvas: &Canvas, odds: &Odds) -> Self {
        let (content, side) = (canvas.content(), canvas.side());
        let (width, height) = ((content.width / 2).max(1), (content.height / 2).max(1));
        let share = |at: usize, offset: usize| (offset + 2 * at + 1) as f32 / side as f32;
        let inside =
            |at: usize| odds.at(share(at % width, content.left), share(at / width, content.top)) > 0.0;
        let mask = Mask::new(width, height, (0..width * height).map(inside).collect());
        let mask = mask.opened(1).largest_component().filled();
        let covers = mask.count() as f32 >= AREA_MIN * (width * height) as f32;
        let mask = if covers { mask } else { Mask::rectangle(width, height, USUAL) };
        // What is looked at stays as it is: heads were trained on it.
        Self { mask, found: covers && !is_plain(canvas), content, side }
    }

    /// Every second pixel of the photo in both directions, in canvas coordinates, and whether it is inside.
    pub fn grid(&self) -> impl Iterator<Item = (usize, usize, bool)> + '_ {
        let Content { left, top, width, height } = self.content;
        (0..self.mask.height()).flat_map(move |y| {
            (0..self.mask.width()).map(move |x| {
                let (px, py) = (left + (2 * x).min(width - 1), top + (2 * y).min(height - 1));
                (px, py, self.mask.get(x, y))
            })
        })
    }

    /// Whether a believable silhouette was found; otherwise it is the usual rectangle, or a picture of one colour.
    #[must_use]
    pub(super) fn is_found(&self) -> bool {
        self.found
    }

    /// Bounding box, in fractions of the photo's content.
    #[must_use]
    pub fn bounds(&self) -> Rect {
        self.mask.bounds().unwrap_or(USUAL)
    }

    /// Column of the garment's axis: the median of the mask's columns.
    ///
    /// Of all rows, not of the lower half alone: sleeves of a cropped jacket hang lower than its body.
    pub(super) fn axis(&self) -> f32 {
        self.median_column(0.0, 1.0)
    }

    /// The median column of what the mask covers between two rows; the middle of the box where it covers nothing.
    pub(crate) fn median_column(&self, y0: f32, y1: f32) -> f32 {
        let body = self.bounds();
        let row = |y: f32| ((y * self.mask.height() as f32) as usize).min(self.mask.height());
        let mut columns = vec![0usize; self.mask.width()];
        for y in row(y0)..row(y1).max(row(y0) + 1).min(self.mask.height()) {
            for (x, count) in columns.iter_mut().enumerate() {
                *count += usize::from(self.mask.get(x, y));
            }
        }
        let half = columns.iter().sum::<usize>() / 2;
        let mut seen = 0;
        let middle = columns.iter().position(|count| {
            seen += count;
            seen > half
        });
        middle.map_or(f32::midpoint(body.x0, body.x1), |x| (x as f32 + 0.5) / self.mask.width() as f32)
    }

    /// Rows of the mask.
    pub(super) fn rows(&self) -> usize {
        self.mask.height()
    }

    /// For each row of the body, the run of covered columns that crosses `axis`.
    ///
    /// Above the first row that covers the axis (a wide neck) it is the nearest run, in gaps below the run of the row
    /// above. The body ends with the last row that covers the axis: sleeves may hang lower, and are no torso.
    pub(super) fn runs_at(&self, axis: f32) -> Vec<(f32, f32)> {
        let (width, height) = (self.mask.width(), self.mask.height());
        let column = ((axis * width as f32) as usize).min(width - 1);
        let covers = |run: &(usize, usize)| (run.0..run.1).contains(&column);
        let rows: Vec<Option<(usize, usize)>> = (0..height).map(|y| self.mask.run_near(column, y)).collect();
        let first = rows.iter().position(Option::is_some).unwrap_or(0);
        let last = rows.iter().rposition(Option::is_some).unwrap_or(0);
        let crossing = rows.iter().rposition(|run| run.as_ref().is_some_and(covers));
        // A garment that is open in front down to the hem has its body on both sides of the axis.
        let end = crossing.filter(|row| 2 * (row - first.min(*row)) > last - first).unwrap_or(last);
        let mut runs: Vec<(f32, f32)> = Vec::new();
        let mut crossed = false;
        for run in rows.iter().take(end + 1).skip(first) {
            crossed |= run.as_ref().is_some_and(covers);
            match run {
                Some(run) if covers(run) || !crossed || end == last => {
                    runs.push((run.0 as f32 / width as f32, run.1 as f32 / width as f32));
                }
                Some(_) | None => runs.extend(runs.last().copied()),
            }
        }
        runs
    }

    /// First and last covered row between two columns, all in fractions.
    pub(super) fn rows_between(&self, x0: f32, x1: f32) -> Option<(f32, f32)> {
        let (width, height) = (self.mask.width(), self.mask.height());
        let columns = (x0.max(0.0) * width as f32) as usize..((x1 * width as f32).ceil() as usize).min(width);
        let covered = |y: &usize| columns.clone().any(|x| self.mask.get(x, *y));
        let first = (0..height).find(covered)?;
        let last = (0..height).rev().find(covered)?;
        Some((first as f32 / height as f32, (last + 1) as f32 / height as f32))
    }

    /// From fractions of the photo's content to fractions of the canvas.
    pub(super) fn to_canvas(&self, r: Rect) -> Rect {
        let side = self.side as f32;
        let map = |v: f32, offset: usize, size: usize| (offset as f32 + v * size as f32) / side;
        let c = self.content;
        Rect {
            x0: map(r.x0, c.left, c.width),
            x1: map(r.x1, c.left, c.width),
            y0: map(r.y0, c.top, c.height),
            y1: map(r.y1, c.top, c.height),
        }
    }
}

/// Whether the photo on a canvas is of one colour; the canvas repeats its edge.
fn is_plain(canvas: &Canvas) -> bool {
    let (pixels, _) = canvas.rgb().as_chunks::<3>();
    let Some(first) = pixels.first() else { return true };
    let (mut least, mut most) = (*first, *first);
    for pixel in pixels {
        for ((value, least), most) in pixel.iter().zip(&mut least).zip(&mut most) {
            *least = (*least).min(*value);
            *most = (*most).max(*value);
            if *most - *least > PLAIN_MAX {
                return false;
            }
        }
    }
    true
}
