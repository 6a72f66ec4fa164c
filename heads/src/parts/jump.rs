//! Jump (step) detection on the silhouette: where sleeves leave the torso, where the shoulders begin.

use super::silhouette::Silhouette;

/// A step counts as a jump when it is at least this share of the torso's width ...
const JUMP_MIN: f32 = 0.10;
/// ... and happens within this many rows.
const JUMP_ROWS: usize = 3;

/// Key points of an upper-body garment, in fractions of the photo.
pub(super) struct Jumps {
    /// Column where the left sleeve ends and the torso begins.
    pub(super) torso_left: f32,
    /// Column where the torso ends and the right sleeve begins.
    pub(super) torso_right: f32,
    /// Row of the shoulders, where the collar widens into the body.
    pub(super) shoulders: f32,
}

impl Jumps {
    pub(super) fn find(silhouette: &Silhouette, sleeved: bool) -> Self {
        let body = silhouette.bounds();
        let profile = Profile::of(silhouette);
        let (left, right) = if sleeved { profile.armpits() } else { (None, None) };
        let axis = f32::midpoint(profile.torso.0, profile.torso.1);
        // One jump without the other: the garment is about symmetric.
        let (torso_left, torso_right) = match (left, right) {
            (Some(l), Some(r)) => (l, r),
            (Some(l), None) => (l, (2.0 * axis - l).min(body.x1)),
            (None, Some(r)) => ((2.0 * axis - r).max(body.x0), r),
            (None, None) if sleeved => {
                // No discontinuity, as with sleeves laid tight to the body: the pose's usual proportions.
                let width = body.x1 - body.x0;
                (body.x0 + 0.2 * width, body.x1 - 0.2 * width)
            }
            (None, None) => (body.x0, body.x1),
        };
        let shoulders = profile.shoulders((torso_right - torso_left).abs());
        Self { torso_left, torso_right: torso_right.max(torso_left + 0.1 * (body.x1 - body.x0)), shoulders }
    }
}

/// Row by row from top to bottom: the run of the silhouette that crosses the garment's axis.
struct Profile {
    top: f32,
    height: f32,
    /// Left and right end of the run; the row's neighbour is repeated where the axis is not covered.
    runs: Vec<(f32, f32)>,
    /// Median left and right end over the lower torso.
    torso: (f32, f32),
}

impl Profile {
    fn of(silhouette: &Silhouette) -> Self {
        let body = silhouette.bounds();
        let axis = silhouette.axis();
        let mut runs = silhouette.runs_at(axis);
        if runs.is_empty() {
            runs.push((body.x0, body.x1));
        }
        let lower = &runs[runs.len() * 6 / 10..(runs.len() * 92 / 100).max(runs.len() * 6 / 10 + 1)];
        let torso = (median(lower.iter().map(|r| r.0)), median(lower.iter().map(|r| r.1)));
        let height = runs.len() as f32 / silhouette.rows() as f32;
        Self { top: body.y0, height, runs, torso }
    }

    /// Columns of the left and right jump, searched upwards from the lower torso.
    fn armpits(&self) -> (Option<f32>, Option<f32>) {
        let step = JUMP_MIN * (self.torso.1 - self.torso.0);
        let outward = |end: fn(&(f32, f32)) -> f32, sign: f32| {
            let ends: Vec<f32> = self.runs.iter().map(|run| sign * end(run)).collect();
            (ends.len() / 12..ends.len() * 85 / 100)
                .rev()
                .find(|&row| {
                    let below = ends[(row + JUMP_ROWS).min(ends.len() - 1)];
                    let above = ends[row.saturating_sub(JUMP_ROWS)];
                    ends[row] - below > step && above - below > step
                })
                .map(|row| sign * ends[(row + JUMP_ROWS).min(ends.len() - 1)])
        };
        (outward(|run| run.0, -1.0), outward(|run| run.1, 1.0))
    }

    /// The first row as wide as most of the torso.
    fn shoulders(&self, torso_width: f32) -> f32 {
        let upper = self.runs.len() / 2;
        let row =
            self.runs[..upper].iter().position(|(l, r)| r - l > 0.75 * torso_width).unwrap_or(upper / 4);
        self.top + self.height * (row as f32 / self.runs.len() as f32).min(0.3)
    }
}

fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.5)
}
