//! Where the garment is: a light head on the first blocks of a network, which look at the whole photo.
//!
//! The maps of some blocks, each projected by a layer of its own and brought to the size of the finest, are added; a
//! rectifier and one more layer make of the sum one number a pixel, the logarithm of the odds that it is garment.

use crate::backbone::inverted::{Convolution, check_tensor, tensor_name};
use crate::backbone::{Architecture, BackboneFault, InvertedResidual, Map, Tap};
use crate::bundle::Weights;
use crate::photo::Canvas;
use crate::view::Square;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Sides of its picture, so that a file cannot ask for absurd amounts of work.
const SIDE_MAX: usize = 448;
/// Pixels of the picture for one of the last map of the network.
const STRIDE: usize = 32;
/// Numbers between the two layers.
const HIDDEN_MAX: usize = 256;

/// What a file says about the mask it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskManifest {
    /// The network whose first blocks it reads.
    pub architecture: Architecture,
    /// Side of its picture of the photo in pixels, a multiple of 32.
    pub input_side: usize,
    /// Blocks whose maps are read, counted from 0, in order; the network ends with the last.
    pub blocks: Vec<usize>,
    /// Numbers between its two layers.
    pub hidden: usize,
}

/// The network and the layers that find the garment.
pub struct MaskHead {
    network: InvertedResidual,
    side: usize,
    taps: Vec<Tap>,
    layers: MaskLayers,
}

/// The layers behind the network.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskLayers {
    /// By block that is read: `[hidden, channels]`.
    pub projections: Vec<Vec<f32>>,
    /// `[hidden]`.
    pub bias: Vec<f32>,
    /// `[hidden]`.
    pub weight: Vec<f32>,
    /// Of the logarithm of the odds.
    pub offset: f32,
}

/// Logarithms of the odds that pixels are garment, on a square grid over a whole canvas.
#[derive(Clone, Debug, PartialEq)]
pub struct Odds {
    /// Rows and columns.
    pub side: usize,
    /// Row by row.
    pub values: Vec<f32>,
}

impl Odds {
    /// Between its cells' middles, bilinear; `x` and `y` in shares of the canvas.
    pub(crate) fn at(&self, x: f32, y: f32) -> f32 {
        let ((x0, x1, dx), (y0, y1, dy)) = (between(x, self.side), between(y, self.side));
        let value = |x: usize, y: usize| self.values[y * self.side + x];
        let (above, below) =
            (mixed(value(x0, y0), value(x1, y0), dx), mixed(value(x0, y1), value(x1, y1), dx));
        mixed(above, below, dy)
    }
}

fn mixed(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// Bilinear interpolation along one side: the two of `count` cells whose middles are around a place in 0..1, and the share
/// of the second. Beyond the outermost middles both are the same cell, or the second's share is 0.
#[must_use]
pub fn between(place: f32, count: usize) -> (usize, usize, f32) {
    let at = (place * count as f32 - 0.5).clamp(0.0, count as f32 - 1.0);
    let first = (at as usize).min(count - 1);
    (first, (first + 1).min(count - 1), at - first as f32)
}

impl MaskManifest {
    /// Everything that is wrong with it.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let Self { architecture, input_side, blocks, hidden } = self;
        let mut faults = Vec::new();
        if !input_side.is_multiple_of(STRIDE) || !(STRIDE..=SIDE_MAX).contains(input_side) {
            faults.push(format!(
                "the mask's input_side is {input_side}; a multiple of {STRIDE} up to {SIDE_MAX} is accepted"
            ));
        }
        let all = architecture.layout().blocks.len();
        let sound =
            !blocks.is_empty() && blocks.is_sorted_by(|a, b| a < b) && blocks.iter().all(|b| *b < all);
        if !sound {
            faults.push(format!(
                "the mask's blocks must be at least one, in order, without repetition and below {all}"
            ));
        }
        if !(1..=HIDDEN_MAX).contains(hidden) {
            faults.push(format!("the mask's hidden is {hidden}; 1 to {HIDDEN_MAX} is accepted"));
        }
        faults
    }

    /// How many blocks of the network are computed.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.blocks.last().map_or(0, |last| last + 1)
    }

    /// Names of the tensors that its network reads.
    #[must_use]
    pub fn network_tensors(&self) -> BTreeSet<String> {
        let layout = self.architecture.layout().first(self.depth());
        let both = |of: &Convolution| ["weight", "bias"].map(|part| tensor_name(of, part));
        layout.convolutions().flat_map(both).collect()
    }

    /// Names and shapes of the tensors of [`MaskLayers`].
    fn layers(&self) -> Vec<(String, Vec<usize>)> {
        let layout = self.architecture.layout();
        let projection = |at: &usize| (projection_name(*at), vec![self.hidden, layout.blocks[*at].outputs()]);
        let own = [("bias", vec![self.hidden]), ("out.weight", vec![self.hidden]), ("out.bias", vec![1])];
        let own = own.map(|(name, shape)| (name.to_owned(), shape));
        self.blocks.iter().map(projection).chain(own).collect()
    }
}

fn projection_name(block: usize) -> String {
    format!("block.{block}.weight")
}

impl MaskLayers {
    /// As tensors by the names that [`MaskHead::new`] reads.
    #[must_use]
    pub fn tensors(&self, manifest: &MaskManifest) -> BTreeMap<String, Weights> {
        let offset = vec![self.offset];
        let data = self.projections.iter().chain([&self.bias, &self.weight, &offset]);
        let named = manifest.layers().into_iter().zip(data);
        named.map(|((name, shape), data)| (name, Weights { shape, data: data.clone() })).collect()
    }

    /// The odds by the maps of one picture, of which the first is the finest.
    #[must_use]
    pub fn odds(&self, maps: &[Map]) -> Odds {
        let hidden = self.bias.len();
        let side = maps.first().map_or(1, |map| map.height);
        let mut sums: Vec<f32> = self.bias.iter().copied().cycle().take(side * side * hidden).collect();
        for (map, weight) in maps.iter().zip(&self.projections) {
            let projected = project(map, weight, hidden);
            if map.height == side {
                sums.iter_mut().zip(&projected).for_each(|(sum, value)| *sum += value);
            } else {
                add_enlarged(&projected, map.height, hidden, (&mut sums, side));
            }
        }
        let value = |cell: &[f32]| {
            let products = cell.iter().zip(&self.weight).map(|(value, weight)| value.max(0.0) * weight);
            self.offset + products.sum::<f32>()
        };
        Odds { side, values: sums.chunks_exact(hidden).map(value).collect() }
    }
}

/// `[pixels, hidden]` of a map by `[hidden, channels]`.
fn project(map: &Map, weight: &[f32], hidden: usize) -> Vec<f32> {
    let channels = map.channels;
    // By channel, so that the inner loop runs along the outputs.
    let by_channel: Vec<f32> =
        (0..channels).flat_map(|c| (0..hidden).map(move |h| weight[h * channels + c])).collect();
    let mut out = vec![0.0f32; map.height * map.width * hidden];
    for (pixel, to) in map.data.chunks_exact(channels).zip(out.chunks_exact_mut(hidden)) {
        for (value, row) in pixel.iter().zip(by_channel.chunks_exact(hidden)) {
            to.iter_mut().zip(row).for_each(|(to, weight)| *to += value * weight);
        }
    }
    out
}

/// Adds a square map of `from` rows to one of `side` rows, bilinear.
fn add_enlarged(map: &[f32], from: usize, hidden: usize, (sums, side): (&mut [f32], usize)) {
    let places: Vec<_> = (0..side).map(|at| between((at as f32 + 0.5) / side as f32, from)).collect();
    let mut line = vec![0.0f32; from * hidden];
    for (row, (y0, y1, dy)) in places.iter().enumerate() {
        let (above, below) = (&map[y0 * from * hidden..], &map[y1 * from * hidden..]);
        for ((to, a), b) in line.iter_mut().zip(above).zip(below) {
            *to = mixed(*a, *b, *dy);
        }
        let sums = &mut sums[row * side * hidden..][..side * hidden];
        for (to, (x0, x1, dx)) in sums.chunks_exact_mut(hidden).zip(&places) {
            let (left, right) = (&line[x0 * hidden..][..hidden], &line[x1 * hidden..][..hidden]);
            for ((to, a), b) in to.iter_mut().zip(left).zip(right) {
                *to += mixed(*a, *b, *dx);
            }
        }
    }
}

impl MaskHead {
    /// Reads it from a manifest without faults and tensors: the network's by its names, the layers' as
    /// [`MaskLayers::tensors`] gives them.
    ///
    /// # Errors
    /// [`BackboneFault`] when a tensor is missing, has another shape or holds a number that is not finite.
    pub fn new(manifest: &MaskManifest, tensors: &BTreeMap<String, Weights>) -> Result<Self, BackboneFault> {
        let layers = manifest.layers().into_iter();
        let values =
            |(name, shape): (String, Vec<usize>)| Ok(check_tensor(name, &shape, tensors)?.data.clone());
        let mut read = layers.map(values).collect::<Result<Vec<_>, BackboneFault>>()?;
        let (offset, weight) = (read.pop().unwrap_or_default(), read.pop().unwrap_or_default());
        let bias = read.pop().unwrap_or_default();
        Ok(Self {
            network: InvertedResidual::first_blocks(manifest.architecture, manifest.depth(), tensors)?,
            side: manifest.input_side,
            taps: manifest.blocks.iter().map(|block| Tap::Block(*block)).collect(),
            layers: MaskLayers {
                projections: read,
                bias,
                weight,
                offset: offset.first().copied().unwrap_or(0.0),
            },
        })
    }

    /// The odds on a canvas. What another photo is in the same batch changes nothing: each is looked at by itself.
    ///
    /// # Errors
    /// [`BackboneFault`] when the network fails.
    pub fn odds(&self, canvas: &Canvas) -> Result<Odds, BackboneFault> {
        let maps = self.network.forward(&[&Self::picture(canvas, self.side)], self.side, &self.taps)?;
        Ok(maps.first().map_or(Odds { side: 1, values: vec![0.0] }, |maps| self.layers.odds(maps)))
    }

    /// The whole canvas, `[side, side, 3]`.
    #[must_use]
    pub fn picture(canvas: &Canvas, side: usize) -> Vec<u8> {
        let content = canvas.content();
        let whole =
            Square { x: -(content.left as f32), y: -(content.top as f32), side: canvas.side() as f32 };
        canvas.look(whole, side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::Photo;
    use rand::{RngExt, SeedableRng};

    const HIDDEN: usize = 5;

    fn manifest() -> MaskManifest {
        MaskManifest {
            architecture: Architecture::EfficientNetLite0,
            input_side: 64,
            blocks: vec![2, 4, 10],
            hidden: HIDDEN,
        }
    }

    fn layers(rng: &mut rand_chacha::ChaCha8Rng) -> MaskLayers {
        let mut random = |count: usize| (0..count).map(|_| rng.random_range(-0.5..0.5)).collect::<Vec<f32>>();
        MaskLayers {
            projections: [24, 40, 112].map(|channels| random(HIDDEN * channels)).to_vec(),
            bias: random(HIDDEN),
            weight: random(HIDDEN),
            offset: 0.25,
        }
    }

    /// Pixel by pixel, in f64, from the definition.
    #[test]
    fn the_odds_are_those_of_plain_loops() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(9);
        let layers = layers(&mut rng);
        let maps = [(24, 8), (40, 4), (112, 2)].map(|(channels, side)| Map {
            channels,
            height: side,
            width: side,
            data: (0..side * side * channels).map(|_| rng.random_range(-1.0..1.0)).collect(),
        });
        let odds = layers.odds(&maps);
        assert_eq!((odds.side, odds.values.len()), (8, 64));
        for (at, found) in odds.values.iter().enumerate() {
            let mut wanted = f64::from(layers.offset);
            for h in 0..HIDDEN {
                let mut sum = f64::from(layers.bias[h]);
                for (map, weight) in maps.iter().zip(&layers.projections) {
                    // Each cell of the map by how near its middle is.
                    for cell in 0..map.height * map.width {
                        let near = |place: usize, cell: usize| {
                            let of = map.height as f64;
                            let place = ((place as f64 + 0.5) / 8.0 * of - 0.5).clamp(0.0, of - 1.0);
                            (1.0 - (place - cell as f64).abs()).max(0.0)
                        };
                        let share = near(at % 8, cell % map.width) * near(at / 8, cell / map.width);
                        for c in 0..map.channels {
                            let product = weight[h * map.channels + c] * map.data[cell * map.channels + c];
                            sum += share * f64::from(product);
                        }
                    }
                }
                wanted += sum.max(0.0) * f64::from(layers.weight[h]);
            }
            assert!((f64::from(*found) - wanted).abs() < 1e-4, "{found} {wanted}");
        }
    }

    #[test]
    fn tensors_are_read_again_and_faults_are_named() {
        let (manifest, layers) = (manifest(), layers(&mut rand_chacha::ChaCha8Rng::seed_from_u64(2)));
        let layout = Architecture::EfficientNetLite0.layout().first(manifest.depth());
        let mut tensors = crate::backbone::inverted::tests::random_tensors(&layout, 3);
        tensors.extend(layers.tensors(&manifest));
        let mask = MaskHead::new(&manifest, &tensors).expect("sound");
        assert_eq!(mask.layers, layers);
        let odds = mask.odds(&Photo::from_rgb(30, 50, vec![90; 4500]).expect("sized").fit(64));
        assert_eq!(odds.expect("computed").side, 16);
        tensors.remove("block.4.weight");
        let missing = BackboneFault::MissingTensor { name: "block.4.weight".into(), shape: vec![HIDDEN, 40] };
        assert_eq!(MaskHead::new(&manifest, &tensors).err(), Some(missing));
        assert!(manifest.faults().is_empty());
        for change in [
            |m: &mut MaskManifest| m.input_side = 100,
            |m: &mut MaskManifest| m.input_side = 0,
            |m: &mut MaskManifest| m.blocks = vec![4, 2],
            |m: &mut MaskManifest| m.blocks = vec![16],
            |m: &mut MaskManifest| m.blocks.clear(),
            |m: &mut MaskManifest| m.hidden = 0,
        ] {
            let mut changed = manifest.clone();
            change(&mut changed);
            assert_eq!(changed.faults().len(), 1, "{changed:?}");
        }
    }

    #[test]
    fn between_cells_odds_are_mixed_and_beyond_them_the_last_ones() {
        let odds = Odds { side: 2, values: vec![0.0, 1.0, 2.0, 3.0] };
        assert!((odds.at(0.5, 0.5) - 1.5).abs() < 1e-6);
        assert!((odds.at(0.0, 0.0)).abs() < 1e-6 && (odds.at(1.0, 1.0) - 3.0).abs() < 1e-6);
        assert!((odds.at(0.75, 0.25) - 1.0).abs() < 1e-6);
    }
}
