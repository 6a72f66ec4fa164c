//! Networks of inverted residual blocks with weights that training can move, from a block on.

use super::channels_last::{Filter, add_bias, cut_off, depthwise, depthwise_gradients, pool, pool_gradient};
use candle_core::{DType, Device, Error, Result, Tensor, Var};
use lapel_heads::inverted::{Convolution, Layout};
use lapel_heads::{Architecture, Map, Weights};
use std::collections::{BTreeMap, HashMap};

/// The blocks of a network from one on, and its head, as a differentiable function of their weights.
pub struct TrainableInverted {
    layout: Layout,
    /// The first block that is trained.
    from: usize,
    blocks: Vec<Block>,
    head: Layer,
}

struct Block {
    expand: Option<Layer>,
    /// Its weight is `[rows * columns, channels]`.
    depthwise: Layer,
    project: Layer,
}

/// A convolution: weight `[outputs, inputs]`, bias `[outputs]`.
struct Layer {
    of: Convolution,
    weight: Var,
    bias: Var,
}

impl Layer {
    fn new(of: &Convolution, tensors: &BTreeMap<String, Weights>, dtype: DType) -> Result<Self> {
        let find = |part: &str| {
            let name = format!("{}.{part}", of.name);
            let found = tensors.get(&name).ok_or_else(|| Error::Msg(format!("{name} is missing")))?;
            Tensor::from_slice(&found.data, found.shape.clone(), &Device::Cpu)?.to_dtype(dtype)
        };
        let [outputs, inputs, rows, columns] = of.shape;
        let weight = find("weight")?.reshape((outputs, inputs * rows * columns))?;
        let weight = if rows > 1 { weight.t()?.contiguous()? } else { weight };
        let (weight, bias) = (Var::from_tensor(&weight)?, Var::from_tensor(&find("bias")?)?);
        Ok(Self { of: of.clone(), weight, bias })
    }

    /// The weight as it is stored.
    fn stored(&self, weight: &Tensor) -> Result<Weights> {
        let weight = if self.of.shape[2] > 1 { weight.t()?.contiguous()? } else { weight.clone() };
        Ok(Weights { shape: self.of.shape.to_vec(), data: weight.flatten_all()?.to_vec1()? })
    }

    /// Of a pointwise convolution: `[pixels, inputs]` to `[pixels, outputs]`.
    fn forward(&self, rows: &Tensor, clamped: bool) -> Result<Tensor> {
        let out = rows.matmul(&self.weight.as_detached_tensor().t()?)?;
        add_bias(&out, &self.bias.as_detached_tensor(), clamped)?;
        Ok(out)
    }

    /// The gradient of a pointwise convolution's input; its own go to `gradients`.
    fn backward(&self, rows: &Tensor, gradient: &Tensor, gradients: &mut Gradients) -> Result<Tensor> {
        gradients.insert(format!("{}.weight", self.of.name), gradient.t()?.matmul(rows)?);
        self.of_bias(gradient, gradients)?;
        gradient.matmul(&self.weight.as_detached_tensor())
    }

    fn of_bias(&self, gradient: &Tensor, gradients: &mut Gradients) -> Result<()> {
        // A product, since candle's sum over rows is slow.
        let ones = Tensor::ones((1, gradient.dim(0)?), gradient.dtype(), gradient.device())?;
        gradients.insert(format!("{}.bias", self.of.name), ones.matmul(gradient)?.squeeze(0)?);
        Ok(())
    }
}

/// Gradients by the names of [`TrainableInverted::variables`].
pub type Gradients = HashMap<String, Tensor>;

/// What a forward pass keeps for the backward one.
pub struct Tape {
    batch: usize,
    blocks: Vec<BlockTape>,
    /// What the head reads, and what it gives, `[pixels, channels]` both.
    head: [Tensor; 2],
    /// Which blocks' maps were pooled.
    taps: Vec<usize>,
}

struct BlockTape {
    filter: Filter,
    /// Rows `[pixels, channels]`: what the block reads, its hidden maps before and after the filter, what it gives.
    input: Tensor,
    expanded: Tensor,
    filtered: Tensor,
    out: Tensor,
}

/// Rows `[pixels, channels]` of square maps as `[batch, row, column, channel]`.
fn maps(rows: &Tensor, batch: usize, side: usize) -> Result<Tensor> {
    rows.reshape((batch, side, side, ()))
}

/// Maps as rows.
fn rows(maps: &Tensor) -> Result<Tensor> {
    maps.flatten(0, 2)
}

impl TrainableInverted {
    /// Starts from a network's tensors, f32; blocks before `from` stay as they are, and are not computed here.
    ///
    /// # Errors
    /// When there is no such block, or a tensor is missing or has another shape.
    pub fn new(architecture: Architecture, tensors: &BTreeMap<String, Weights>, from: usize) -> Result<Self> {
        Self::with_type(architecture, tensors, from, DType::F32)
    }

    fn with_type(
        architecture: Architecture,
        tensors: &BTreeMap<String, Weights>,
        from: usize,
        dtype: DType,
    ) -> Result<Self> {
        let layout = architecture.layout();
        if from == 0 || from >= layout.blocks.len() {
            candle_core::bail!("blocks 1 to {} can be trained from", layout.blocks.len() - 1);
        }
        let layer = |of: &Convolution| Layer::new(of, tensors, dtype);
        let blocks = layout.blocks[from..].iter().map(|block| {
            Ok(Block {
                expand: block.expand.as_ref().map(layer).transpose()?,
                depthwise: layer(&block.depthwise)?,
                project: layer(&block.project)?,
            })
        });
        let blocks = blocks.collect::<Result<_>>()?;
        let head = layout.head.as_ref().ok_or_else(|| Error::Msg("the network has no head".into()))?;
        Ok(Self { blocks, head: layer(head)?, layout, from })
    }

    /// The weights that training moves.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, Var)> {
        let both = self.layers().flat_map(|layer| {
            [("weight", &layer.weight), ("bias", &layer.bias)]
                .map(|(part, var)| (format!("{}.{part}", layer.of.name), var.clone()))
        });
        both.collect()
    }

    /// Weights of [`TrainableInverted::variables`] as the network's file has them.
    ///
    /// # Errors
    /// When one is missing.
    pub fn stored(&self, variables: &HashMap<String, Tensor>) -> Result<BTreeMap<String, Weights>> {
        let mut stored = BTreeMap::new();
        for layer in self.layers() {
            let find = |part: &str| {
                let name = format!("{}.{part}", layer.of.name);
                let found = variables.get(&name).ok_or_else(|| Error::Msg(format!("{name} is missing")))?;
                Ok::<_, Error>((name, found))
            };
            let (name, weight) = find("weight")?;
            stored.insert(name, layer.stored(weight)?);
            let (name, bias) = find("bias")?;
            stored.insert(name, Weights { shape: vec![layer.of.shape[0]], data: bias.to_vec1()? });
        }
        Ok(stored)
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        let blocks = self.blocks.iter().flat_map(|b| b.expand.iter().chain([&b.depthwise, &b.project]));
        blocks.chain([&self.head])
    }

    /// Means and maxima, `[batch, numbers]`, of the maps of `taps` and of the head's: of each channel its mean, then
    /// of each its maximum, map by map as the backbone pools them. `inputs` are what block `from - 1` gives.
    ///
    /// # Errors
    /// When a tap lies before that block, or the tensor library fails.
    pub fn forward(&self, inputs: &[&Map], taps: &[usize]) -> Result<(Tensor, Tape)> {
        let Some(first) = inputs.first() else { candle_core::bail!("there are no maps") };
        let (mut side, channels) = (first.height, first.channels);
        if let Some(tap) = taps.iter().find(|tap| **tap + 1 < self.from) {
            candle_core::bail!("block {tap} lies before the first that is trained, {}", self.from);
        }
        let batch = inputs.len();
        let data: Vec<f32> = inputs.iter().flat_map(|map| &map.data).copied().collect();
        let mut map = Tensor::from_vec(data, (batch * side * side, channels), &Device::Cpu)?;
        map = map.to_dtype(self.head.weight.dtype())?;
        let mut pooled = Vec::new();
        if taps.contains(&(self.from - 1)) {
            pooled.push(pool(&maps(&map, batch, side)?)?);
        }
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for (number, block) in (self.from..).zip(&self.blocks) {
            let of = &self.layout.blocks[number];
            let expanded = match &block.expand {
                Some(expand) => expand.forward(&map, true)?,
                None => map.clone(),
            };
            let filter = Filter {
                kernel: of.kernel(),
                stride: of.stride,
                frame: self.layout.frame(of, side),
                channels: of.depthwise.shape[0],
            };
            let weight = block.depthwise.weight.as_detached_tensor();
            let filtered = rows(&depthwise(&maps(&expanded, batch, side)?, &weight, filter)?)?;
            add_bias(&filtered, &block.depthwise.bias.as_detached_tensor(), true)?;
            side = filter.frame.out;
            let out = block.project.forward(&filtered, false)?;
            let out = if of.residual { (out + &map)? } else { out };
            if taps.contains(&number) {
                pooled.push(pool(&maps(&out, batch, side)?)?);
            }
            blocks.push(BlockTape { filter, input: map, expanded, filtered, out: out.clone() });
            map = out;
        }
        let last = self.head.forward(&map, true)?;
        pooled.push(pool(&maps(&last, batch, side)?)?);
        let tape = Tape { batch, blocks, head: [map, last], taps: taps.to_vec() };
        Ok((Tensor::cat(&pooled, 1)?, tape))
    }

    /// The gradients of all weights by that of what [`TrainableInverted::forward`] gave, of the same shape.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn backward(&self, tape: &Tape, gradient: &Tensor) -> Result<Gradients> {
        let batch = tape.batch;
        let mut gradients = Gradients::new();
        // Where in the pooled numbers those of the map before lie.
        let mut end = gradient.dim(1)?;
        let mut of_pooled = |map: &Tensor, side: usize| {
            let numbers = 2 * map.dim(1)?;
            end -= numbers;
            let part = gradient.narrow(1, end, numbers)?.contiguous()?;
            rows(&pool_gradient(&maps(map, batch, side)?, &part)?)
        };
        let side = tape.blocks.last().map_or(0, |block| block.filter.frame.out);
        let [input, out] = &tape.head;
        let of_head = of_pooled(out, side)?;
        cut_off(&of_head, out)?;
        let mut of_map = self.head.backward(input, &of_head, &mut gradients)?;
        for (at, (block, taped)) in self.blocks.iter().zip(&tape.blocks).enumerate().rev() {
            let number = self.from + at;
            let BlockTape { filter, input, expanded, filtered, out } = taped;
            if tape.taps.contains(&number) {
                of_map = (of_map + of_pooled(out, filter.frame.out)?)?;
            }
            let of_filtered = block.project.backward(filtered, &of_map, &mut gradients)?;
            cut_off(&of_filtered, filtered)?;
            block.depthwise.of_bias(&of_filtered, &mut gradients)?;
            let (of_expanded, of_weight) = depthwise_gradients(
                (&maps(expanded, batch, filter.frame.side)?, &block.depthwise.weight.as_detached_tensor()),
                &maps(&of_filtered, batch, filter.frame.out)?,
                *filter,
            )?;
            gradients.insert(format!("{}.weight", block.depthwise.of.name), of_weight);
            let of_expanded = rows(&of_expanded)?;
            let of_input = match &block.expand {
                Some(expand) => {
                    cut_off(&of_expanded, expanded)?;
                    expand.backward(input, &of_expanded, &mut gradients)?
                }
                None => of_expanded,
            };
            of_map = if self.layout.blocks[number].residual { (of_input + of_map)? } else { of_input };
        }
        Ok(gradients)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use lapel_heads::{InvertedResidual, Tap};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// A network of random weights that neither fade nor grow from layer to layer.
    pub(crate) fn tensors(architecture: Architecture) -> BTreeMap<String, Weights> {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let layout = architecture.layout();
        let mut tensors = BTreeMap::new();
        let blocks = layout.blocks.iter().flat_map(|b| b.expand.iter().chain([&b.depthwise, &b.project]));
        for of in [&layout.stem].into_iter().chain(blocks).chain(&layout.head) {
            let size: usize = of.shape.iter().product();
            let spread = (3.0 / (size / of.shape[0]) as f32).sqrt() * 1.3;
            let data = (0..size).map(|_| rng.random_range(-spread..spread)).collect();
            tensors.insert(format!("{}.weight", of.name), Weights { shape: of.shape.to_vec(), data });
            let data = (0..of.shape[0]).map(|_| rng.random_range(-0.1..0.3)).collect();
            tensors.insert(format!("{}.bias", of.name), Weights { shape: vec![of.shape[0]], data });
        }
        tensors
    }

    #[test]
    fn what_is_trained_is_what_serves() -> Result<()> {
        for architecture in [Architecture::EfficientNetLite0, Architecture::MobileNetV2] {
            let tensors = tensors(architecture);
            let network = InvertedResidual::from_tensors(architecture, &tensors).map_err(Error::wrap)?;
            let picture: Vec<u8> = (0..64 * 64 * 3).map(|i| (i * 37 % 251) as u8).collect();
            let maps = network
                .forward(&[&picture], 64, &[Tap::Block(4), Tap::Block(10), Tap::Head])
                .map_err(Error::wrap)?;
            let trained = TrainableInverted::new(architecture, &tensors, 5)?;
            let (pooled, _) = trained.forward(&[&maps[0][0]], &[4, 10])?;
            let pooled = pooled.flatten_all()?.to_vec1::<f32>()?;
            let mut wanted = Vec::new();
            for map in &maps[0] {
                let column = |channel: usize| map.data.iter().skip(channel).step_by(map.channels);
                let pixels = (map.width * map.height) as f32;
                wanted.extend((0..map.channels).map(|c| column(c).sum::<f32>() / pixels));
                wanted
                    .extend((0..map.channels).map(|c| column(c).copied().fold(f32::NEG_INFINITY, f32::max)));
            }
            assert_eq!(pooled.len(), wanted.len());
            let most = wanted.iter().map(|v| v.abs()).fold(0.0, f32::max);
            for (at, (found, wanted)) in pooled.iter().zip(&wanted).enumerate() {
                assert!((found - wanted).abs() < 1e-4 * most.max(1.0), "{at}: {found} {wanted}");
            }
            // Weights come back as they were read.
            let variables =
                trained.variables().into_iter().map(|(n, v)| (n, v.as_tensor().clone())).collect();
            for (name, stored) in trained.stored(&variables)? {
                assert_eq!(
                    (stored.shape, stored.data),
                    (tensors[&name].shape.clone(), tensors[&name].data.clone())
                );
            }
        }
        Ok(())
    }

    /// Against central differences in f64, over blocks of both filters, strides and kinds of input.
    #[test]
    fn gradients_of_all_weights_are_numerically_right() -> Result<()> {
        for (architecture, from, channels, side) in
            [(Architecture::EfficientNetLite0, 10, 112, 8), (Architecture::MobileNetV2, 13, 96, 6)]
        {
            let trained =
                TrainableInverted::with_type(architecture, &tensors(architecture), from, DType::F64)?;
            let numbers = |seed: usize| {
                (0..side * side * channels).map(|i| (i * (29 + seed) % 97) as f32 / 48.0 - 1.0).collect()
            };
            let inputs = [0, 4].map(|seed| Map { channels, height: side, width: side, data: numbers(seed) });
            let inputs = inputs.each_ref();
            let taps = [from - 1, from, from + 2];
            // A loss in which every number has another weight, so that no mistake cancels out.
            let uneven = |pooled: &Tensor| -> Result<(Tensor, Tensor)> {
                let count = pooled.elem_count();
                let weights = (0..count).map(|i| (i * 37 % 101) as f64 / 50.0 - 1.0).collect();
                let weights = Tensor::from_vec(weights, pooled.shape(), &Device::Cpu)?;
                Ok(((pooled * &weights)?.sum_all()?, weights))
            };
            let (pooled, tape) = trained.forward(&inputs, &taps)?;
            let gradients = trained.backward(&tape, &uneven(&pooled)?.1)?;
            for (name, var) in trained.variables() {
                let found = gradients[&name].flatten_all()?.to_vec1::<f64>()?;
                assert!(found.iter().any(|value| *value != 0.0), "{name}");
                let start = var.flatten_all()?.to_vec1::<f64>()?;
                for at in (0..3).map(|i| (i * 7919 + 11) % start.len()) {
                    let at_offset = |offset: f64| -> Result<f64> {
                        let mut moved = start.clone();
                        moved[at] += offset;
                        var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu)?)?;
                        uneven(&trained.forward(&inputs, &taps)?.0)?.0.to_scalar()
                    };
                    let step = 1e-6;
                    let wanted = (at_offset(step)? - at_offset(-step)?) / (2.0 * step);
                    let gap = (found[at] - wanted).abs();
                    assert!(gap < 1e-5 * (1.0 + wanted.abs()), "{name} {at}: {} {wanted}", found[at]);
                }
                var.set(&Tensor::from_vec(start, var.shape(), &Device::Cpu)?)?;
            }
        }
        Ok(())
    }
}
