//! Maps of pictures, for serving: large maps picture by picture, small ones of several pictures together.

use super::bands::{Bands, Source};
use super::layers::{BlockPass, Layers, Scratch, block_forward, is_large, room};
use super::layout::{Frame, Layout};
use super::pointwise::{Begin, Pointwise, Product};
use super::{Map, Tap, map_of};
use crate::product::{LINE, Line, lines_of};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Buffers of calls that have ended.
#[derive(Default)]
pub(super) struct Free(Mutex<Vec<Workspace>>);

impl Free {
    fn take(&self) -> Workspace {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn put(&self, workspace: Workspace) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
    }
}

#[derive(Default)]
struct Workspace {
    scratch: Scratch,
    /// The map of one picture that a block reads, and the one that it writes.
    one: [Vec<Line>; 2],
    /// Of all pictures.
    all: [Vec<Line>; 2],
}

/// A pass over some pictures.
pub(super) struct Inference<'a> {
    pub(super) layout: &'a Layout,
    pub(super) layers: &'a Layers,
    pub(super) free: &'a Free,
    pub(super) side: usize,
    pub(super) taps: &'a [Tap],
    /// Threads that share the work on a map.
    pub(super) threads: usize,
}

impl Inference<'_> {
    /// The maps asked for of each picture.
    pub(super) fn maps(&self, pictures: &[&[u8]]) -> Vec<Vec<Map>> {
        let mut workspace = self.free.take();
        let mut maps = vec![vec![None; self.taps.len()]; pictures.len()];
        self.pass(pictures, &mut workspace, &mut maps);
        self.free.put(workspace);
        maps.into_iter().map(|maps| maps.into_iter().flatten().collect()).collect()
    }

    fn pass(&self, pictures: &[&[u8]], workspace: &mut Workspace, maps: &mut [Vec<Option<Map>>]) {
        let Workspace { scratch, one, all } = workspace;
        let (count, frames) = (pictures.len(), self.frames());
        // The first block reads the picture itself.
        let alone = 1 + frames.iter().skip(1).take_while(|frame| is_large(**frame)).count();
        for (at, picture) in pictures.iter().enumerate() {
            for (number, frame) in frames.iter().enumerate().take(alone) {
                let [map, next] = &mut *one;
                let source = match number {
                    0 => self.first(picture),
                    _ => Source::Map(map, frame.side.pow(2)),
                };
                let out = self.block((number, *frame), (source, 1), scratch, next);
                self.tap(Tap::Block(number), out, &mut maps[at..=at]);
                one.swap(0, 1);
            }
            let Some(area) = frames.get(alone - 1).map(|frame| frame.out.pow(2)) else { continue };
            let lines = lines_of(self.layout.blocks[alone - 1].outputs());
            let together = room(&mut all[0], lines * count * area);
            for (from, to) in one[0].chunks_exact(area).zip(together.chunks_exact_mut(count * area)) {
                to[at * area..][..area].copy_from_slice(from);
            }
        }
        for (number, frame) in frames.iter().enumerate().skip(alone) {
            let [map, next] = &mut *all;
            let source = Source::Map(map, count * frame.side.pow(2));
            let out = self.block((number, *frame), (source, count), scratch, next);
            self.tap(Tap::Block(number), out, maps);
            all.swap(0, 1);
        }
        if let (Some(head), Some(of), true) =
            (&self.layers.head, &self.layout.head, self.taps.contains(&Tap::Head))
        {
            let [map, next] = &mut *all;
            let pixels = count * frames.last().map_or(0, |frame| frame.out.pow(2));
            let out = room(next, head.lines() * pixels);
            self.product(head, (map, pixels), Begin::Bias, (out, true));
            self.tap(Tap::Head, (out, of.shape[0]), maps);
        }
    }

    fn frames(&self) -> Vec<Frame> {
        let mut side = self.layout.stem_frame(self.side).out;
        let frame = |block| {
            let frame = self.layout.frame(block, side);
            side = frame.out;
            frame
        };
        self.layout.blocks.iter().map(frame).collect()
    }

    fn first<'b>(&'b self, picture: &'b [u8]) -> Source<'b> {
        Source::Picture {
            stem: &self.layers.stem,
            frame: self.layout.stem_frame(self.side),
            normalised: &self.layout.normalised,
            picture,
        }
    }

    /// A block's output for some pictures, and its channels.
    fn block<'o>(
        &self,
        (number, frame): (usize, Frame),
        (source, pictures): (Source<'_>, usize),
        scratch: &mut Scratch,
        out: &'o mut Vec<Line>,
    ) -> (&'o [Line], usize) {
        let (shape, layers) = (&self.layout.blocks[number], &self.layers.blocks[number]);
        let area = frame.out.pow(2);
        let out = room(out, lines_of(shape.outputs()) * pictures * area);
        match source {
            Source::Map(map, apart) if !is_large(frame) => {
                let pass = BlockPass { layers, shape, frame, pictures, input: (map, apart) };
                if self.threads > 1 {
                    self.shared(&pass, scratch, out);
                } else {
                    block_forward((shape, layers), frame, pictures, map, (scratch, out));
                }
            }
            source => {
                let bands = Bands { layers, shape, frame, source };
                if self.threads > 1 {
                    self.shared_bands(&bands, out);
                } else {
                    bands.forward(0..frame.out, scratch, (out, area));
                }
            }
        }
        (out, shape.outputs())
    }

    /// A block whose hidden maps, then outputs, are shared between threads.
    fn shared(&self, pass: &BlockPass<'_>, scratch: &mut Scratch, out: &mut [Line]) {
        let (framed, pixels) = (pass.framed(), pass.pixels_out());
        let places = pass.frame.places(pass.pictures);
        let lines = lines_of(pass.shape.hidden());
        let panel = panel_lines(&pass.layers.project);
        let most = lines.div_ceil(self.threads).min(pass.group_lines()).next_multiple_of(panel);
        let filtered = room(&mut scratch.filtered, lines * pixels);
        filtered.par_chunks_mut(most * pixels).enumerate().for_each(|(at, filtered)| {
            let mut workspace = self.free.take();
            let expanded = room(&mut workspace.scratch.expanded, most * framed);
            expanded.fill(Line::ZERO);
            let first = at * most;
            pass.hidden(first..(first + most).min(lines), &places, expanded, filtered);
            self.free.put(workspace);
        });
        let begin = if pass.shape.residual { Begin::Map(pass.input.0, pass.input.1) } else { Begin::Bias };
        self.product(&pass.layers.project, (filtered, pixels), begin, (out, false));
    }

    /// A block whose rows are shared between threads.
    fn shared_bands(&self, bands: &Bands<'_>, out: &mut [Line]) {
        let (side, lines) = (bands.frame.out, lines_of(bands.shape.outputs()));
        let parts = self.threads.min(side);
        let rows = |part: usize| part * side / parts..(part + 1) * side / parts;
        let computed = (0..parts).into_par_iter().map(|part| {
            let mut workspace = self.free.take();
            let apart = rows(part).len() * side;
            let out = room(&mut workspace.one[0], lines * apart);
            bands.forward(rows(part), &mut workspace.scratch, (out, apart));
            workspace
        });
        for (part, workspace) in computed.collect::<Vec<_>>().into_iter().enumerate() {
            let (rows, from) = (rows(part), &workspace.one[0]);
            let planes = out.chunks_exact_mut(side * side).zip(from.chunks_exact(rows.len() * side));
            for (plane, part) in planes {
                plane[rows.start * side..rows.end * side].copy_from_slice(part);
            }
            self.free.put(workspace);
        }
    }

    /// A product of whole maps, its outputs shared between threads.
    fn product(
        &self,
        layer: &Pointwise,
        (input, pixels): (&[Line], usize),
        begin: Begin<'_>,
        (out, clamped): (&mut [Line], bool),
    ) {
        let panels = layer.lines().div_ceil(panel_lines(layer));
        let panels = if self.threads > 1 { panels.div_ceil(4 * self.threads) } else { panels };
        let lines = panels * panel_lines(layer);
        let compute = |(at, out): (usize, &mut [Line])| {
            let first = at * lines;
            Product {
                layer,
                input: (input, pixels),
                inputs: 0..layer.input_lines(),
                outputs: first..(first + lines).min(layer.lines()),
                pixels,
                out: (out, pixels),
                places: None,
                begin: match begin {
                    Begin::Map(map, apart) => Begin::Map(&map[first * apart..], apart),
                    other => other,
                },
                clamped,
            }
            .compute();
        };
        if self.threads > 1 {
            out.par_chunks_mut((lines * pixels).max(1)).enumerate().for_each(compute);
        } else {
            out.chunks_mut((lines * pixels).max(1)).enumerate().for_each(compute);
        }
    }

    /// Keeps the maps of some pictures, `[line, picture, row, column]`, where they were asked for.
    fn tap(&self, tap: Tap, (planes, channels): (&[Line], usize), maps: &mut [Vec<Option<Map>>]) {
        let pictures = maps.len();
        let side = (planes.len() / lines_of(channels) / pictures.max(1)).isqrt();
        for (place, _) in self.taps.iter().enumerate().filter(|(_, wanted)| **wanted == tap) {
            for (picture, maps) in maps.iter_mut().enumerate() {
                maps[place] = Some(map_of(planes, channels, side, (picture, pictures)));
            }
        }
    }
}

/// Lines of the outputs that are computed at once.
fn panel_lines(layer: &Pointwise) -> usize {
    (layer.level.width() / LINE).max(1)
}
