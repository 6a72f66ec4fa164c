//! Layers of networks of inverted residual blocks: one table for each architecture, from which everything else follows.

use crate::backbone::alexnet::NORMALISED;
use serde::{Deserialize, Serialize};

/// A published network of inverted residual blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// EfficientNet-Lite0: tensors `_conv_stem`, `_blocks.N._expand_conv`, `_conv_head`.
    #[serde(rename = "efficientnet_lite0")]
    EfficientNetLite0,
    /// MobileNetV2 1.0: tensors `features.N.conv.M` of torchvision.
    #[serde(rename = "mobilenet_v2")]
    MobileNetV2,
}

impl Architecture {
    /// The name used in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EfficientNetLite0 => "efficientnet_lite0",
            Self::MobileNetV2 => "mobilenet_v2",
        }
    }
}

/// Where a convolution puts the zeros around a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As few as needed, the odd one after the map: TensorFlow's SAME.
    Same,
    /// As many before as after, whatever the stride.
    Symmetric,
}

/// A convolution.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Of its tensors, followed by `.weight` and `.bias`.
    pub name: String,
    /// `[outputs, inputs, rows, columns]`; depthwise ones have one input.
    pub shape: [usize; 4],
}

/// An inverted residual block: expansion, depthwise convolution, projection.
#[derive(Clone, Debug)]
pub struct Block {
    /// Not there where the hidden map is the input.
    pub expand: Option<Convolution>,
    /// A filter a hidden channel.
    pub depthwise: Convolution,
    /// From the hidden channels to the output, without an activation.
    pub project: Convolution,
    /// Of the depthwise filter.
    pub stride: usize,
    /// Whether the input is added to the output.
    pub residual: bool,
}

impl Block {
    /// Channels of its input.
    pub(crate) fn inputs(&self) -> usize {
        self.expand.as_ref().map_or(self.hidden(), |expand| expand.shape[1])
    }

    /// Channels between expansion and projection.
    pub(crate) fn hidden(&self) -> usize {
        self.depthwise.shape[0]
    }

    /// Channels of its output.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.project.shape[0]
    }

    /// Rows and columns of the depthwise filter.
    #[must_use]
    pub fn kernel(&self) -> usize {
        self.depthwise.shape[2]
    }

    /// Its convolutions in the order of their use.
    pub(crate) fn convolutions(&self) -> impl Iterator<Item = &Convolution> {
        self.expand.iter().chain([&self.depthwise, &self.project])
    }
}

/// The layers of a network.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Where its convolutions put zeros.
    pub padding: Padding,
    /// What a byte of each colour becomes.
    pub(crate) normalised: Box<[[f32; 256]; 3]>,
    /// 3 x 3 with stride 2, from RGB.
    pub stem: Convolution,
    /// The first one expands nothing.
    pub blocks: Vec<Block>,
    /// To the last map; not there where the network is left after a block.
    pub head: Option<Convolution>,
}

/// Blocks in a row, of which the first alone has the stride.
#[derive(Clone, Copy)]
pub(crate) struct Stage {
    pub(crate) repeats: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) expansion: usize,
    pub(crate) channels: usize,
}

const fn stage([repeats, kernel, stride, expansion, channels]: [usize; 5]) -> Stage {
    Stage { repeats, kernel, stride, expansion, channels }
}

/// Channels of the stem and of the head of both architectures.
const STEM: usize = 32;
const HEAD: usize = 1280;

const EFFICIENTNET_LITE0: [Stage; 7] = [
    stage([1, 3, 1, 1, 16]),
    stage([2, 3, 2, 6, 24]),
    stage([2, 5, 2, 6, 40]),
    stage([3, 3, 2, 6, 80]),
    stage([3, 5, 1, 6, 112]),
    stage([4, 5, 2, 6, 192]),
    stage([1, 3, 1, 6, 320]),
];

const MOBILENET_V2: [Stage; 7] = [
    stage([1, 3, 1, 1, 16]),
    stage([2, 3, 2, 6, 24]),
    stage([3, 3, 2, 6, 32]),
    stage([4, 3, 2, 6, 64]),
    stage([3, 3, 1, 6, 96]),
    stage([3, 3, 2, 6, 160]),
    stage([1, 3, 1, 6, 320]),
];

impl Architecture {
    /// Its layers.
    #[must_use]
    pub fn layout(self) -> Layout {
        let stages = match self {
            Self::EfficientNetLite0 => EFFICIENTNET_LITE0,
            Self::MobileNetV2 => MOBILENET_V2,
        };
        self.layout_of(STEM, &stages, HEAD)
    }

    /// With this architecture's padding and names, any stages.
    pub(crate) fn layout_of(self, stem: usize, stages: &[Stage], head: usize) -> Layout {
        let mut blocks = Vec::new();
        let mut inputs = stem;
        for stage in stages {
            for repeat in 0..stage.repeats {
                let stride = if repeat == 0 { stage.stride } else { 1 };
                blocks.push(self.block(blocks.len(), inputs, Stage { stride, ..*stage }));
                inputs = stage.channels;
            }
        }
        let [stem_name, head_name] = match self {
            Self::EfficientNetLite0 => ["_conv_stem".to_owned(), "_conv_head".to_owned()],
            Self::MobileNetV2 => ["features.0.0".to_owned(), format!("features.{}.0", blocks.len() + 1)],
        };
        Layout {
            padding: match self {
                Self::EfficientNetLite0 => Padding::Same,
                Self::MobileNetV2 => Padding::Symmetric,
            },
            normalised: Box::new(match self {
                Self::EfficientNetLite0 => [std::array::from_fn(|value| (value as f32 - 127.0) / 128.0); 3],
                Self::MobileNetV2 => *NORMALISED,
            }),
            stem: Convolution { name: stem_name, shape: [stem, 3, 3, 3] },
            blocks,
            head: Some(Convolution { name: head_name, shape: [head, inputs, 1, 1] }),
        }
    }

    fn block(self, number: usize, inputs: usize, stage: Stage) -> Block {
        let hidden = inputs * stage.expansion;
        let expands = stage.expansion > 1;
        let names = match self {
            Self::EfficientNetLite0 => ["_expand_conv", "_depthwise_conv", "_project_conv"]
                .map(|part| format!("_blocks.{number}.{part}")),
            Self::MobileNetV2 => {
                let places = if expands { [0, 3, 6] } else { [0, 0, 3] };
                places.map(|place| format!("features.{}.conv.{place}", number + 1))
            }
        };
        let [expand, depthwise, project] = names;
        Block {
            expand: expands.then_some(Convolution { name: expand, shape: [hidden, inputs, 1, 1] }),
            depthwise: Convolution { name: depthwise, shape: [hidden, 1, stage.kernel, stage.kernel] },
            project: Convolution { name: project, shape: [stage.channels, hidden, 1, 1] },
            stride: stage.stride,
            residual: stage.stride == 1 && inputs == stage.channels,
        }
    }
}

impl Layout {
    /// All convolutions in the order of their use.
    pub(crate) fn convolutions(&self) -> impl Iterator<Item = &Convolution> {
        let blocks = self.blocks.iter().flat_map(Block::convolutions);
        [&self.stem].into_iter().chain(blocks).chain(&self.head)
    }

    /// The same network, left after some blocks.
    #[must_use]
    pub fn first(mut self, blocks: usize) -> Self {
        if blocks < self.blocks.len() {
            self.blocks.truncate(blocks);
            self.head = None;
        }
        self
    }

    /// Where the stem's filter lies on a picture.
    pub(crate) fn stem_frame(&self, side: usize) -> Frame {
        Frame::new(self.padding, 3, 2, side)
    }

    /// Where a block's depthwise filter lies on a map of `side` rows and columns.
    #[must_use]
    pub fn frame(&self, block: &Block, side: usize) -> Frame {
        Frame::new(self.padding, block.kernel(), block.stride, side)
    }
}

/// A square map, the zeros around it and what a filter gives for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Rows and columns of the map.
    pub side: usize,
    /// Rows and columns of zeros before it.
    pub before: usize,
    /// Rows and columns with the zeros.
    pub padded: usize,
    /// Rows and columns that the filter gives.
    pub out: usize,
}

impl Frame {
    /// Of a filter of `kernel` rows and columns on a map of `side`.
    #[must_use]
    pub fn new(padding: Padding, kernel: usize, stride: usize, side: usize) -> Self {
        let out = side.div_ceil(stride);
        let needed = (out.max(1) - 1) * stride + kernel;
        let before = match padding {
            Padding::Same => needed.saturating_sub(side) / 2,
            Padding::Symmetric => kernel / 2,
        };
        Self { side, before, padded: needed.max(before + side), out }
    }

    /// Where the pixels of a number of maps lie in their frames.
    pub(crate) fn places(self, maps: usize) -> Vec<u32> {
        let pixel = |at: usize| {
            let (map, row, column) =
                (at / (self.side * self.side), at / self.side % self.side, at % self.side);
            ((map * self.padded + row + self.before) * self.padded + column + self.before) as u32
        };
        (0..maps * self.side * self.side).map(pixel).collect()
    }
}
