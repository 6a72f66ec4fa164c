//! A network's layers with their weights packed for computing, and how a block is computed.

use super::bands::{Bands, Source};
use super::depthwise::{Depthwise, Filter};
use super::layout::{Block, Convolution, Frame, Layout};
use super::pointwise::{Begin, Pointwise, Product};
use super::stem::SEEN;
use crate::level::Level;
use crate::product::{LINE, Line, lines_of};
use std::ops::Range;

/// Lines of hidden maps that are worked on at once, so that they stay in the nearer caches.
const HIDDEN_LINES: usize = 1 << 11;

/// All layers of a network.
pub(crate) struct Layers {
    pub(crate) stem: Pointwise,
    pub(crate) blocks: Vec<BlockLayers>,
    pub(crate) head: Option<Pointwise>,
}

/// The layers of a block.
pub(crate) struct BlockLayers {
    pub(crate) expand: Option<Pointwise>,
    pub(crate) depthwise: Depthwise,
    pub(crate) project: Pointwise,
}

/// A convolution's weight as it is stored, and its bias.
pub(crate) type Values<'a> = (&'a [f32], &'a [f32]);

impl Layers {
    /// `values` tells the weight and the bias of a convolution.
    pub(crate) fn new<'a>(
        level: Level,
        layout: &Layout,
        values: impl Fn(&Convolution) -> Values<'a>,
    ) -> Self {
        let pointwise = |convolution: &Convolution| {
            let ([outputs, inputs, ..], (weight, bias)) = (convolution.shape, values(convolution));
            Pointwise::new(level, (inputs, outputs), |i, o| weight[o * inputs + i], bias)
        };
        let (stem_weight, stem_bias) = values(&layout.stem);
        let stem = |input: usize, output: usize| stem_weight[output * SEEN + stem_tap(input)];
        let block = |block: &Block| {
            let (weight, bias) = values(&block.depthwise);
            let taps = block.kernel() * block.kernel();
            let tap = |channel: usize, tap: usize| weight[channel * taps + tap];
            BlockLayers {
                expand: block.expand.as_ref().map(pointwise),
                depthwise: Depthwise::new(level, (block.hidden(), block.kernel()), tap, bias),
                project: pointwise(&block.project),
            }
        };
        Self {
            stem: Pointwise::new(level, (SEEN, layout.stem.shape[0]), stem, stem_bias),
            blocks: layout.blocks.iter().map(block).collect(),
            head: layout.head.as_ref().map(pointwise),
        }
    }
}

/// The place in the stem's stored filter, `[colour, row, column]`, of a number that it sees, `[row, column, colour]`.
pub(crate) fn stem_tap(seen: usize) -> usize {
    let (place, colour) = (seen / 3, seen % 3);
    colour * 9 + place
}

/// Buffers that are kept, since a fresh allocation costs more than what is done in it.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Hidden maps with the zeros around them.
    pub(crate) expanded: Vec<Line>,
    /// Hidden maps after the filter.
    pub(crate) filtered: Vec<Line>,
    /// What the stem reads.
    pub(crate) seen: Vec<Line>,
    /// Where pixels lie in their frames.
    pub(crate) places: Vec<u32>,
}

/// Room for some lines, whatever they hold.
pub(crate) fn room(buffer: &mut Vec<Line>, lines: usize) -> &mut [Line] {
    if buffer.len() < lines {
        buffer.resize(lines, Line::ZERO);
    }
    &mut buffer[..lines]
}

/// A block on the maps of some pictures.
pub(crate) struct BlockPass<'a> {
    pub(crate) layers: &'a BlockLayers,
    pub(crate) shape: &'a Block,
    pub(crate) frame: Frame,
    pub(crate) pictures: usize,
    /// Planes `[line, picture, row, column]`, and how far apart they are.
    pub(crate) input: (&'a [Line], usize),
}

impl BlockPass<'_> {
    pub(crate) fn pixels_in(&self) -> usize {
        self.pictures * self.frame.side.pow(2)
    }

    pub(crate) fn pixels_out(&self) -> usize {
        self.pictures * self.frame.out.pow(2)
    }

    pub(crate) fn framed(&self) -> usize {
        self.pictures * self.frame.padded.pow(2)
    }

    /// Hidden lines in groups that are worked on at once.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let panel = (self.layers.project.level.width() / LINE).max(1);
        let lines = lines_of(self.shape.hidden());
        let group = (HIDDEN_LINES / self.framed()).max(1).next_multiple_of(panel);
        (0..lines).step_by(group).map(move |first| first..(first + group).min(lines))
    }

    /// Lines of the largest group.
    pub(crate) fn group_lines(&self) -> usize {
        self.groups().next().map_or(0, |group| group.len())
    }

    /// The hidden maps of a group, in frames whose zeros are there already, and after the filter.
    pub(crate) fn hidden(
        &self,
        group: Range<usize>,
        places: &[u32],
        expanded: &mut [Line],
        filtered: &mut [Line],
    ) {
        let (framed, pixels) = (self.framed(), self.pixels_in());
        let (input, apart) = self.input;
        match &self.layers.expand {
            Some(expand) => Product {
                layer: expand,
                input: self.input,
                inputs: 0..lines_of(self.shape.inputs()),
                outputs: group.clone(),
                pixels,
                out: (expanded, framed),
                places: Some(places),
                begin: Begin::Bias,
                clamped: true,
            }
            .compute(),
            None => {
                for (line, to) in group.clone().zip(expanded.chunks_exact_mut(framed)) {
                    for (pixel, place) in input[line * apart..][..pixels].iter().zip(places) {
                        to[*place as usize] = *pixel;
                    }
                }
            }
        }
        let (frame, out) = (self.frame.padded.pow(2), self.frame.out.pow(2));
        let filtered = filtered.chunks_exact_mut(out * self.pictures);
        for ((line, planes), out_planes) in group.zip(expanded.chunks_exact(framed)).zip(filtered) {
            for (input, out) in planes.chunks_exact(frame).zip(out_planes.chunks_exact_mut(out)) {
                Filter {
                    layer: &self.layers.depthwise,
                    line,
                    stride: self.shape.stride,
                    input,
                    width: self.frame.padded,
                    out,
                    columns: self.frame.out,
                    clamped: true,
                }
                .compute();
            }
        }
    }

    /// The block's output, planes `apart` lines apart.
    pub(crate) fn forward(&self, scratch: &mut Scratch, (out, apart): (&mut [Line], usize)) {
        let places = self.frame.places(self.pictures);
        let (framed, pixels) = (self.framed(), self.pixels_out());
        let expanded = room(&mut scratch.expanded, self.group_lines() * framed);
        let filtered = room(&mut scratch.filtered, self.group_lines() * pixels);
        expanded.fill(Line::ZERO);
        for group in self.groups() {
            self.hidden(group.clone(), &places, expanded, filtered);
            Product {
                layer: &self.layers.project,
                input: (filtered, pixels),
                inputs: group.clone(),
                outputs: 0..self.layers.project.lines(),
                pixels,
                out: (out, apart),
                places: None,
                begin: match (group.start, self.shape.residual) {
                    (0, true) => Begin::Map(self.input.0, self.input.1),
                    (0, false) => Begin::Bias,
                    _ => Begin::Out,
                },
                clamped: false,
            }
            .compute();
        }
    }
}

/// Pictures whose frames of hidden lines are worked on at once.
pub(crate) fn pictures_at_once(frame: Frame) -> usize {
    (HIDDEN_LINES / frame.padded.pow(2)).max(1)
}

/// Whether a block's hidden maps are too large to be worked on as a whole.
pub(crate) fn is_large(frame: Frame) -> bool {
    frame.padded.pow(2) > HIDDEN_LINES
}

/// Writes what a block gives for the maps of some pictures, planes `[line, picture, row, column]` both.
pub(crate) fn block_forward(
    (shape, layers): (&Block, &BlockLayers),
    frame: Frame,
    pictures: usize,
    input: &[Line],
    (scratch, out): (&mut Scratch, &mut [Line]),
) {
    let [area_in, area_out] = [frame.side.pow(2), frame.out.pow(2)];
    let step = pictures_at_once(frame);
    for first in (0..pictures).step_by(step) {
        let input = (&input[first * area_in..], pictures * area_in);
        let out = (&mut out[first * area_out..], pictures * area_out);
        if is_large(frame) {
            let source = Source::Map(input.0, input.1);
            Bands { layers, shape, frame, source }.forward(0..frame.out, scratch, out);
        } else {
            let pictures = step.min(pictures - first);
            BlockPass { layers, shape, frame, pictures, input }.forward(scratch, out);
        }
    }
}
