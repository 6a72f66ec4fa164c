//! The same networks in plain loops, each convolution from its definition: what the kernels are compared with.

use super::layout::{Convolution, Layout, Padding};
use super::{Tap, tensor_name};
use crate::bundle::Weights;
use std::collections::BTreeMap;

/// Tensors by name, in double precision.
pub(crate) type Tensors = BTreeMap<String, Vec<f64>>;

pub(crate) fn doubled(tensors: &BTreeMap<String, Weights>) -> Tensors {
    let double = |w: &Weights| w.data.iter().map(|value| f64::from(*value)).collect();
    tensors.iter().map(|(name, weights)| (name.clone(), double(weights))).collect()
}

/// A map, `[row, column, channel]`.
#[derive(Clone)]
pub(crate) struct PlainMap {
    pub(crate) channels: usize,
    pub(crate) side: usize,
    pub(crate) data: Vec<f64>,
}

/// The maps `taps` of a picture.
pub(crate) fn plain_maps(
    layout: &Layout,
    tensors: &Tensors,
    picture: &[u8],
    side: usize,
    taps: &[Tap],
) -> Vec<PlainMap> {
    let data = picture
        .iter()
        .enumerate()
        .map(|(at, v)| f64::from(layout.normalised[at % 3][usize::from(*v)]))
        .collect();
    let input = PlainMap { channels: 3, side, data };
    let apply = |input: &PlainMap, of: &Convolution, stride, clamped| {
        convolved(layout.padding, tensors, input, of, stride, clamped)
    };
    let mut map = apply(&input, &layout.stem, 2, true);
    let mut maps = Vec::new();
    for block in &layout.blocks {
        let expanded = block.expand.as_ref().map_or(map.clone(), |of| apply(&map, of, 1, true));
        let filtered = apply(&expanded, &block.depthwise, block.stride, true);
        let mut out = apply(&filtered, &block.project, 1, false);
        if block.residual {
            out.data.iter_mut().zip(&map.data).for_each(|(to, from)| *to += from);
        }
        maps.push(out.clone());
        map = out;
    }
    let head = layout.head.as_ref().map(|of| apply(&map, of, 1, true));
    let tapped = |tap: &Tap| match tap {
        Tap::Block(number) => maps[*number].clone(),
        Tap::Head => head.clone().expect("a head"),
    };
    taps.iter().map(tapped).collect()
}

fn convolved(
    padding: Padding,
    tensors: &Tensors,
    input: &PlainMap,
    of: &Convolution,
    stride: usize,
    clamped: bool,
) -> PlainMap {
    let [outputs, inputs, kernel, _] = of.shape;
    let (weight, bias) = (&tensors[&tensor_name(of, "weight")], &tensors[&tensor_name(of, "bias")]);
    let out_side = input.side.div_ceil(stride);
    let before = match padding {
        Padding::Symmetric => (kernel - 1) / 2,
        Padding::Same => ((out_side - 1) * stride + kernel).saturating_sub(input.side) / 2,
    };
    let mut data = Vec::with_capacity(out_side * out_side * outputs);
    for (row, column) in (0..out_side * out_side).map(|at| (at / out_side, at % out_side)) {
        for output in 0..outputs {
            let mut sum = bias[output];
            for (dy, dx) in (0..kernel * kernel).map(|at| (at / kernel, at % kernel)) {
                let (y, x) = (row * stride + dy, column * stride + dx);
                if y < before || x < before || y - before >= input.side || x - before >= input.side {
                    continue;
                }
                let pixel = &input.data[((y - before) * input.side + x - before) * input.channels..];
                for i in 0..inputs {
                    let channel = if inputs == 1 { output } else { i };
                    let value = weight[((output * inputs + i) * kernel + dy) * kernel + dx];
                    sum += value * pixel[channel];
                }
            }
            data.push(if clamped { sum.clamp(0.0, 6.0) } else { sum });
        }
    }
    PlainMap { channels: outputs, side: out_side, data }
}
