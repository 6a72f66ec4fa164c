//! A binary image with the few morphological operations that segmentation needs.

use crate::region::Rect;

/// Rows of booleans.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mask {
    width: usize,
    height: usize,
    bits: Vec<bool>,
}

impl Mask {
    pub(super) fn new(width: usize, height: usize, bits: Vec<bool>) -> Self {
        debug_assert_eq!(bits.len(), width * height);
        Self { width, height, bits }
    }

    pub(super) fn rectangle(width: usize, height: usize, r: Rect) -> Self {
        let inside = |v: usize, n: usize, low: f32, high: f32| {
            let v = (v as f32 + 0.5) / n as f32;
            (low..high).contains(&v)
        };
        let bits = (0..width * height)
            .map(|i| inside(i % width, width, r.x0, r.x1) && inside(i / width, height, r.y0, r.y1))
            .collect();
        Self { width, height, bits }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn get(&self, x: usize, y: usize) -> bool {
        self.bits[y * self.width + x]
    }

    pub(super) fn count(&self) -> usize {
        self.bits.iter().filter(|b| **b).count()
    }

    /// Bounding box in fractions of width and height.
    pub(super) fn bounds(&self) -> Option<Rect> {
        let rows = |y: &usize| self.bits[y * self.width..][..self.width].contains(&true);
        let columns = |x: &usize| (0..self.height).any(|y| self.get(*x, y));
        let (top, bottom) = ((0..self.height).find(rows)?, (0..self.height).rev().find(rows)?);
        let (left, right) = ((0..self.width).find(columns)?, (0..self.width).rev().find(columns)?);
        Some(Rect {
            x0: left as f32 / self.width as f32,
            x1: (right + 1) as f32 / self.width as f32,
            y0: top as f32 / self.height as f32,
            y1: (bottom + 1) as f32 / self.height as f32,
        })
    }

    /// The run of row `y` that holds `column`, or else the one nearest to it, as `[start, end)`.
    pub(super) fn run_near(&self, column: usize, y: usize) -> Option<(usize, usize)> {
        let row = &self.bits[y * self.width..][..self.width];
        let seed = (0..self.width).filter(|x| row[*x]).min_by_key(|x| x.abs_diff(column))?;
        let start = row[..seed].iter().rposition(|b| !b).map_or(0, |x| x + 1);
        let end = row[seed..].iter().position(|b| !b).map_or(self.width, |n| seed + n);
        Some((start, end))
    }

    /// Dilation, then erosion: fills gaps up to twice `radius`.
    pub(super) fn closed(&self, radius: usize) -> Self {
        self.dilated(radius).eroded(radius)
    }

    /// Erosion, then dilation: removes specks up to twice `radius`.
    pub(super) fn opened(&self, radius: usize) -> Self {
        self.eroded(radius).dilated(radius)
    }

    fn dilated(&self, radius: usize) -> Self {
        self.swept(radius, true)
    }

    fn eroded(&self, radius: usize) -> Self {
        self.swept(radius, false)
    }

    /// Square structuring element, one axis after the other; a cell takes `value` if any neighbour has it.
    fn swept(&self, radius: usize, value: bool) -> Self {
        let sweep = |bits: &[bool], count: usize, stride: usize, lines: usize, line_stride: usize| {
            let mut out = vec![!value; bits.len()];
            for line in 0..lines {
                let at = |i: usize| line * line_stride + i * stride;
                let mut nearest = None;
                // Distance to the last `value` seen, forwards and backwards.
                for i in (0..count).chain((0..count).rev()) {
                    if bits[at(i)] == value {
                        nearest = Some(i);
                    }
                    if nearest.is_some_and(|n: usize| n.abs_diff(i) <= radius) {
                        out[at(i)] = value;
                    }
                }
            }
            out
        };
        let rows = sweep(&self.bits, self.width, 1, self.height, self.width);
        let bits = sweep(&rows, self.height, self.width, self.width, 1);
        Self { bits, ..*self }
    }

    /// The largest 4-connected component, and any other of at least a quarter of its area.
    pub(super) fn largest_component(&self) -> Self {
        let (labels, areas) = self.components(true);
        let largest = areas.iter().copied().max().unwrap_or(0);
        let bits = labels.iter().map(|l| *l > 0 && areas[*l - 1] * 4 >= largest).collect();
        Self { bits, ..*self }
    }

    /// Holes filled: background that does not reach the border becomes foreground unless it is large, as
    /// the gap between a sleeve and the torso is.
    pub(super) fn filled(&self) -> Self {
        let (labels, areas) = self.components(false);
        let mut open = vec![false; areas.len()];
        for i in 0..self.bits.len() {
            let (x, y) = (i % self.width, i / self.width);
            if labels[i] > 0 && (x == 0 || y == 0 || x + 1 == self.width || y + 1 == self.height) {
                open[labels[i] - 1] = true;
            }
        }
        let large = self.count() / 50;
        let bits = (0..self.bits.len())
            .map(|i| labels[i] == 0 || !open[labels[i] - 1] && areas[labels[i] - 1] <= large);
        Self { bits: bits.collect(), ..*self }
    }

    /// Labels (0: not `value`) and areas of the components of cells equal to `value`.
    fn components(&self, value: bool) -> (Vec<usize>, Vec<usize>) {
        let mut labels = vec![0; self.bits.len()];
        let mut areas = Vec::new();
        let mut stack = Vec::new();
        for seed in 0..self.bits.len() {
            if self.bits[seed] != value || labels[seed] > 0 {
                continue;
            }
            areas.push(0);
            labels[seed] = areas.len();
            stack.push(seed);
            while let Some(i) = stack.pop() {
                areas[labels[seed] - 1] += 1;
                let (x, y) = (i % self.width, i / self.width);
                let neighbours = [
                    (x > 0).then(|| i - 1),
                    (x + 1 < self.width).then(|| i + 1),
                    (y > 0).then(|| i - self.width),
                    (y + 1 < self.height).then(|| i + self.width),
                ];
                for n in neighbours.into_iter().flatten() {
                    if self.bits[n] == value && labels[n] == 0 {
                        labels[n] = labels[seed];
                        stack.push(n);
                    }
                }
            }
        }
        (labels, areas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(rows: &[&str]) -> Mask {
        Mask::new(rows[0].len(), rows.len(), rows.concat().chars().map(|c| c == '#').collect())
    }

    #[test]
    fn closing_fills_gaps_and_opening_removes_specks() {
        let gap = mask(&["......", ".##.#.", ".##.#.", "......", "......"]);
        assert!(gap.closed(1).get(3, 1));
        let speck = mask(&["#.....", "......", "...###", "...###", "...###"]);
        let opened = speck.opened(1);
        assert!(!opened.get(0, 0) && opened.get(4, 3));
    }

    #[test]
    fn components_and_holes() {
        let m = mask(&["#.......", "...#####", "...#.###", "...#####"]);
        let main = m.largest_component();
        assert!(!main.get(0, 0) && main.get(3, 1));
        assert!(!main.filled().get(4, 2), "a hole of a fourteenth of the area is kept");
        assert_eq!(m.run_near(0, 2), Some((3, 4)));
        assert_eq!(main.bounds().map(|r| r.x0), Some(0.375));
    }
}
