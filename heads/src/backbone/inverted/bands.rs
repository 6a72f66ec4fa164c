//! Blocks of large maps, some rows at a time: what lies between expansion and projection stays in the nearer caches.

use super::depthwise::Filter;
use super::layers::{BlockLayers, Scratch, room};
use super::layout::{Block, Frame};
use super::pointwise::{Begin, Pointwise, Product};
use super::stem::{SEEN_LINES, seen};
use crate::product::{Line, lines_of};
use std::ops::Range;

/// Lines of hidden maps of a band, before and after the filter.
const BAND_LINES: usize = 4 << 10;

/// What a block's hidden maps are made from.
pub(crate) enum Source<'a> {
    /// The map of one picture: planes, and how far apart they are.
    Map(&'a [Line], usize),
    /// A picture, by way of the stem: the first block expands nothing.
    Picture { stem: &'a Pointwise, frame: Frame, normalised: &'a [[f32; 256]; 3], picture: &'a [u8] },
}

/// A block on the map of one picture.
pub(crate) struct Bands<'a> {
    pub(crate) layers: &'a BlockLayers,
    pub(crate) shape: &'a Block,
    pub(crate) frame: Frame,
    pub(crate) source: Source<'a>,
}

impl Bands<'_> {
    /// Some rows of the block's output, planes `apart` lines apart.
    pub(crate) fn forward(
        &self,
        rows: Range<usize>,
        scratch: &mut Scratch,
        (out, apart): (&mut [Line], usize),
    ) {
        let (width, columns, stride, kernel) =
            (self.frame.padded, self.frame.out, self.shape.stride, self.shape.kernel());
        let lines = lines_of(self.shape.hidden());
        let of_row = lines * (stride * width + columns);
        let most = (BAND_LINES.saturating_sub(lines * (kernel - stride) * width) / of_row)
            .clamp(1, rows.len().max(1));
        let height = (most - 1) * stride + kernel;
        let Scratch { expanded, filtered, seen, places } = scratch;
        let frames = room(expanded, lines * height * width);
        let filtered = room(filtered, lines * most * columns);
        // Columns of zeros stay as they are.
        frames.fill(Line::ZERO);
        let mut kept = 0;
        for first in rows.clone().step_by(most) {
            let band = first..(first + most).min(rows.end);
            let needed = (band.len() - 1) * stride + kernel;
            let new = Rows { first: first * stride, within: kept..needed };
            self.expand(&new, (frames, height * width), seen, places);
            let planes = frames.chunks_exact(height * width).zip(filtered.chunks_exact_mut(most * columns));
            for (line, (input, out)) in planes.enumerate() {
                Filter {
                    layer: &self.layers.depthwise,
                    line,
                    stride,
                    input,
                    width,
                    out: &mut out[..band.len() * columns],
                    columns,
                    clamped: true,
                }
                .compute();
            }
            Product {
                layer: &self.layers.project,
                input: (filtered, most * columns),
                inputs: 0..lines,
                outputs: 0..self.layers.project.lines(),
                pixels: band.len() * columns,
                out: (&mut out[(first - rows.start) * columns..], apart),
                places: None,
                begin: match &self.source {
                    Source::Map(map, apart) if self.shape.residual => {
                        Begin::Map(&map[first * columns..], *apart)
                    }
                    _ => Begin::Bias,
                },
                clamped: false,
            }
            .compute();
            // The last rows are the next band's first.
            kept = kernel - stride;
            for frame in frames.chunks_exact_mut(height * width) {
                frame.copy_within((needed - kept) * width..needed * width, 0);
            }
        }
    }

    /// Fills rows of all hidden maps' frames.
    fn expand(
        &self,
        rows: &Rows,
        (frames, apart): (&mut [Line], usize),
        seen_planes: &mut Vec<Line>,
        places: &mut Vec<u32>,
    ) {
        let Frame { side, before, padded: width, .. } = self.frame;
        let inside = |row: &usize| (before..before + side).contains(&(rows.first + row));
        for row in rows.within.clone().filter(|row| !inside(row)) {
            for frame in frames.chunks_exact_mut(apart) {
                frame[row * width..][..width].fill(Line::ZERO);
            }
        }
        places.clear();
        let mut of_map = None;
        for row in rows.within.clone().filter(inside) {
            let start = row * width + before;
            places.extend((start..start + side).map(|place| place as u32));
            of_map.get_or_insert(rows.first + row - before);
        }
        let Some(first) = of_map else { return };
        let places = &places[..];
        let pixels = places.len();
        let mut product = Product {
            layer: &self.layers.project,
            input: (&[], 0),
            inputs: 0..0,
            outputs: 0..lines_of(self.shape.hidden()),
            pixels,
            out: (frames, apart),
            places: Some(places),
            begin: Begin::Bias,
            clamped: true,
        };
        match (&self.source, &self.layers.expand) {
            (Source::Picture { stem, frame, normalised, picture }, _) => {
                let planes = room(seen_planes, SEEN_LINES * pixels);
                seen(picture, *frame, normalised, first..first + pixels / side, (planes, pixels));
                product.layer = stem;
                product.input = (planes, pixels);
                product.inputs = 0..SEEN_LINES;
                product.compute();
            }
            (Source::Map(map, map_apart), Some(expand)) => {
                product.layer = expand;
                product.input = (&map[first * side..], *map_apart);
                product.inputs = 0..lines_of(self.shape.inputs());
                product.compute();
            }
            (Source::Map(map, map_apart), None) => {
                for (line, frame) in frames.chunks_exact_mut(apart).enumerate() {
                    let plane = &map[line * map_apart + first * side..][..pixels];
                    for (pixel, place) in plane.iter().zip(places) {
                        frame[*place as usize] = *pixel;
                    }
                }
            }
        }
    }
}

/// Rows of a frame that are to be filled.
struct Rows {
    /// The row of the whole frame that the first one kept is.
    first: usize,
    /// Rows from there on.
    within: Range<usize>,
}
