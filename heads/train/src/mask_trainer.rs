//! Training the mask's head: what a teacher sees of the garment in photos, told again by a few numbers on the first
//! blocks of a small network.
//!
//! The network stays as it is. Every epoch sees other squares of the photos, mirrored, in another light and partly on
//! another ground, with the teacher's picture of the garment cut alike.

use crate::Adam;
use crate::saliency::{SALIENCY_SIDE, TEACHER_SIDE};
use anyhow::Context;
use candle_core::{Device, Tensor, Var};
use lapel_heads::{Canvas, InvertedResidual, Map, MaskLayers, MaskManifest, Tap, Weights, between};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};

const BATCH: usize = 16;
const RATE: f64 = 3e-3;
const WEIGHT_DECAY: f64 = 1e-3;
/// Share of the running mean of the weights that a step keeps.
const KEPT: f64 = 0.99;

/// A photo and what the teacher sees in it.
pub struct MaskLesson {
    /// Side [`TEACHER_SIDE`].
    pub canvas: Canvas,
    /// Probabilities that pixels are garment, 0 to 255, `[SALIENCY_SIDE, SALIENCY_SIDE]`.
    pub garment: Vec<u8>,
}

impl MaskLesson {
    /// The colour and the teacher's probability at a place of the canvas, in shares of its side.
    fn at(&self, x: f32, y: f32) -> ([f32; 3], f32) {
        let rgb = self.canvas.rgb();
        let colour = |c: usize| bilinear((x, y), TEACHER_SIDE, |at| f32::from(rgb[at * 3 + c]));
        let garment = bilinear((x, y), SALIENCY_SIDE, |at| f32::from(self.garment[at]) / 255.0);
        ([0, 1, 2].map(colour), garment)
    }

    /// A picture of a draw, `[side, side, 3]`, and the probabilities at the middles of `cells` x `cells`.
    fn drawn(&self, draw: &Draw, side: usize, cells: usize) -> (Vec<u8>, Vec<f32>) {
        let place = |at: usize, count: usize, middle: f32| {
            middle + ((at as f32 + 0.5) / count as f32 - 0.5) / draw.zoom
        };
        let x = |at: usize, count: usize| {
            let at = if draw.mirrored { count - 1 - at } else { at };
            place(at, count, draw.middle.0)
        };
        let mut rgb = Vec::with_capacity(side * side * 3);
        for (row, column) in (0..side * side).map(|at| (at / side, at % side)) {
            let (colour, garment) = self.at(x(column, side), place(row, side, draw.middle.1));
            // A sharp edge: half sure is half covered.
            let covered = draw.ground.map_or(1.0, |_| ((garment - 0.5) * 4.0 + 0.5).clamp(0.0, 1.0));
            let ground = draw.ground.unwrap_or_default();
            for ((colour, light), ground) in colour.iter().zip(draw.light).zip(ground) {
                let lit = (colour * light).min(255.0);
                rgb.push((covered * lit + (1.0 - covered) * ground).round() as u8);
            }
        }
        let cell = |at: usize| self.at(x(at % cells, cells), place(at / cells, cells, draw.middle.1)).1;
        (rgb, (0..cells * cells).map(cell).collect())
    }
}

/// Of a square grid of `side` values over the canvas, edges repeated.
fn bilinear((x, y): (f32, f32), side: usize, value: impl Fn(usize) -> f32) -> f32 {
    let ((x0, x1, dx), (y0, y1, dy)) = (between(x, side), between(y, side));
    let line = |y: usize| value(y * side + x0) * (1.0 - dx) + value(y * side + x1) * dx;
    line(y0) * (1.0 - dy) + line(y1) * dy
}

/// Where and how a photo is looked at.
struct Draw {
    zoom: f32,
    middle: (f32, f32),
    mirrored: bool,
    light: [f32; 3],
    /// The colour around the garment; `None`: as it is.
    ground: Option<[f32; 3]>,
}

impl Draw {
    const AS_IT_IS: Self =
        Self { zoom: 1.0, middle: (0.5, 0.5), mirrored: false, light: [1.0; 3], ground: None };

    /// Any part of the photo from half of its sides on, or the photo small in the frame.
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let zoom = 2f32.powf(rng.random_range(-0.8..1.1));
        let room = (1.0 - 1.0 / zoom).abs() / 2.0;
        let mut middle = || 0.5 + rng.random_range(-room - 0.05..room + 0.05);
        let middle = (middle(), middle());
        let all = rng.random_range(0.75..1.2);
        let ground = match rng.random_range(0..10) {
            0..2 => Some([rng.random_range(242.0..255.0); 3]),
            2 => Some([(); 3].map(|()| rng.random_range(60.0..255.0))),
            _ => None,
        };
        Self {
            zoom,
            middle,
            mirrored: rng.random_bool(0.5),
            light: [(); 3].map(|()| all * rng.random_range(0.92..1.08)),
            ground,
        }
    }
}

/// The head in training.
struct MaskTrainer<'a> {
    manifest: &'a MaskManifest,
    network: InvertedResidual,
    taps: Vec<Tap>,
    projections: Vec<Var>,
    bias: Var,
    weight: Var,
    offset: Var,
}

/// How much two masks have in common: the mean over pictures of intersection over union.
#[must_use]
pub fn agreement(pairs: &[(Vec<bool>, Vec<bool>)]) -> f64 {
    let one = |(a, b): &(Vec<bool>, Vec<bool>)| {
        let both = a.iter().zip(b).filter(|(a, b)| **a && **b).count();
        let either = a.iter().zip(b).filter(|(a, b)| **a || **b).count();
        if either == 0 { 1.0 } else { both as f64 / either as f64 }
    };
    pairs.iter().map(one).sum::<f64>() / pairs.len().max(1) as f64
}

/// Trains the layers behind the first blocks of a network whose `tensors` are given; `progress` hears of each epoch its
/// number, its mean loss and the agreement with the teacher on the photos of `exam`.
///
/// # Errors
/// When a tensor is missing, there is nothing to learn from, or the tensor library fails.
pub fn train_mask(
    manifest: &MaskManifest,
    tensors: &BTreeMap<String, Weights>,
    (lessons, exam): (&[MaskLesson], &[MaskLesson]),
    (epochs, seed): (usize, u64),
    mut progress: impl FnMut(usize, f64, f64),
) -> anyhow::Result<MaskLayers> {
    anyhow::ensure!(lessons.len() >= BATCH, "{} photos are too few; {BATCH} are wanted", lessons.len());
    let trainer = MaskTrainer::new(manifest, tensors, seed)?;
    let mut adam = Adam::new(trainer.variables(), WEIGHT_DECAY, KEPT)?;
    let steps = lessons.len() / BATCH;
    for epoch in 0..epochs {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (epoch as u64 + 1) << 20);
        let mut order: Vec<usize> = (0..lessons.len()).collect();
        order.shuffle(&mut rng);
        let mut sum = 0.0;
        for (step, rows) in order.chunks_exact(BATCH).enumerate() {
            let share = (epoch * steps + step) as f64 / (epochs * steps) as f64;
            let rate = RATE * 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
            let drawn: Vec<_> = rows.iter().map(|row| (&lessons[*row], Draw::random(&mut rng))).collect();
            sum += trainer.step(&drawn, &mut adam, rate)?;
        }
        let told_of = trainer.layers(&adam.means()?)?;
        progress(epoch + 1, sum / steps as f64, trainer.examined(&told_of, exam)?);
    }
    trainer.layers(&adam.means()?)
}

impl<'a> MaskTrainer<'a> {
    fn new(
        manifest: &'a MaskManifest,
        tensors: &BTreeMap<String, Weights>,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let network = InvertedResidual::first_blocks(manifest.architecture, manifest.depth(), tensors)?;
        let layout = manifest.architecture.layout();
        let hidden = manifest.hidden;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut random = |shape: (usize, usize), spread: f32| {
            let data = (0..shape.0 * shape.1).map(|_| rng.random_range(-spread..spread)).collect();
            Var::from_tensor(&Tensor::from_vec(data, shape, &Device::Cpu)?)
        };
        let projections = manifest.blocks.iter().map(|block| {
            let channels = layout.blocks[*block].outputs();
            random((hidden, channels), 0.5 / (channels as f32).sqrt())
        });
        Ok(Self {
            taps: manifest.blocks.iter().map(|block| Tap::Block(*block)).collect(),
            projections: projections.collect::<candle_core::Result<_>>()?,
            bias: random((1, hidden), 0.1)?,
            weight: random((hidden, 1), 1.0 / (hidden as f32).sqrt())?,
            offset: random((1, 1), 0.1)?,
            manifest,
            network,
        })
    }

    fn variables(&self) -> Vec<(String, Var)> {
        let projections = self.projections.iter().enumerate().map(|(at, var)| (format!("{at}.weight"), var));
        let own = [("bias", &self.bias), ("out.weight", &self.weight), ("out.bias", &self.offset)];
        let own = own.map(|(name, var)| (name.to_owned(), var));
        projections.chain(own).map(|(name, var)| (name, var.clone())).collect()
    }

    fn layers(&self, variables: &HashMap<String, Tensor>) -> anyhow::Result<MaskLayers> {
        let find = |name: &str| -> anyhow::Result<Vec<f32>> {
            let found = variables.get(name).with_context(|| format!("{name} is missing"))?;
            Ok(found.flatten_all()?.to_vec1()?)
        };
        Ok(MaskLayers {
            projections: (0..self.projections.len())
                .map(|at| find(&format!("{at}.weight")))
                .collect::<anyhow::Result<_>>()?,
            bias: find("bias")?,
            weight: find("out.weight")?,
            offset: find("out.bias")?.first().copied().context("the offset")?,
        })
    }

    fn step(&self, drawn: &[(&MaskLesson, Draw)], adam: &mut Adam, rate: f64) -> anyhow::Result<f64> {
        let side = self.manifest.input_side;
        let cells = self.cells();
        let drawn: Vec<(Vec<u8>, Vec<f32>)> =
            drawn.par_iter().map(|(lesson, draw)| lesson.drawn(draw, side, cells)).collect();
        let pictures: Vec<&[u8]> = drawn.iter().map(|(rgb, _)| rgb.as_slice()).collect();
        let maps = self.network.forward(&pictures, side, &self.taps)?;
        let wanted: Vec<f32> = drawn.iter().flat_map(|(_, garment)| garment).copied().collect();
        let wanted = Tensor::from_vec(wanted, (drawn.len(), cells * cells, 1), &Device::Cpu)?;
        let logits = self.logits(&maps)?;
        // Cross entropy: log(1 + e^x) - x y, of which the first is max(x, 0) + log(1 + e^-|x|).
        let soft = (logits.relu()? + (logits.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
        let loss = (soft - (logits * wanted)?)?.mean_all()?;
        let of_loss = loss.backward()?;
        let gradients: HashMap<String, Tensor> = self
            .variables()
            .into_iter()
            .filter_map(|(name, var)| Some((name, of_loss.get(&var)?.clone())))
            .collect();
        adam.step(&gradients, rate)?;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }

    /// Rows and columns of the finest map.
    fn cells(&self) -> usize {
        let layout = self.manifest.architecture.layout();
        let first = self.manifest.blocks.first().copied().unwrap_or(0);
        let strides = layout.blocks[..=first].iter().map(|block| block.stride).product::<usize>();
        self.manifest.input_side / (2 * strides)
    }

    /// `[pictures, cells, 1]`.
    fn logits(&self, maps: &[Vec<Map>]) -> anyhow::Result<Tensor> {
        let cells = self.cells();
        let mut sum = self.bias.as_tensor().unsqueeze(0)?;
        for (at, projection) in self.projections.iter().enumerate() {
            let own: Vec<&Map> = maps.iter().filter_map(|maps| maps.get(at)).collect();
            let (side, channels) = own.first().map_or((1, 1), |map| (map.height, map.channels));
            let data: Vec<f32> = own.iter().flat_map(|map| &map.data).copied().collect();
            let rows = Tensor::from_vec(data, (own.len() * side * side, channels), &Device::Cpu)?;
            let projected = rows.matmul(&projection.t()?)?.reshape((own.len(), side * side, ()))?;
            let projected = if side == cells {
                projected
            } else {
                let enlarged = enlarging(side, cells)?.unsqueeze(0)?;
                enlarged.broadcast_matmul(&projected)?
            };
            sum = projected.broadcast_add(&sum)?;
        }
        let hidden = sum.relu()?;
        let (pictures, cells, width) = hidden.dims3()?;
        let logits = hidden.reshape((pictures * cells, width))?.matmul(&self.weight)?;
        Ok(logits.broadcast_add(&self.offset)?.reshape((pictures, cells, 1))?)
    }

    /// The agreement with the teacher where it is the same photo that both see.
    fn examined(&self, layers: &MaskLayers, exam: &[MaskLesson]) -> anyhow::Result<f64> {
        let (side, cells) = (self.manifest.input_side, self.cells());
        let pairs = exam.par_iter().map(|lesson| {
            let (rgb, garment) = lesson.drawn(&Draw::AS_IT_IS, side, cells);
            let maps = self.network.forward(&[&rgb], side, &self.taps)?;
            let odds = layers.odds(maps.first().context("a picture has maps")?);
            let told = odds.values.iter().map(|odds| *odds > 0.0).collect();
            anyhow::Ok((told, garment.iter().map(|p| *p > 0.5).collect()))
        });
        Ok(agreement(&pairs.collect::<anyhow::Result<Vec<_>>>()?))
    }
}

/// From a square map to a larger one, bilinear: `[cells * cells, side * side]`.
fn enlarging(side: usize, cells: usize) -> candle_core::Result<Tensor> {
    let mut data = vec![0.0f32; cells * cells * side * side];
    for (at, row) in data.chunks_exact_mut(side * side).enumerate() {
        let place = |at: usize| {
            let (first, second, share) = between((at as f32 + 0.5) / cells as f32, side);
            [(first, 1.0 - share), (second, share)]
        };
        for (y, of_y) in place(at / cells) {
            for (x, of_x) in place(at % cells) {
                row[y * side + x] += of_y * of_x;
            }
        }
    }
    Tensor::from_vec(data, (cells * cells, side * side), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::random_tensors;
    use lapel_heads::{Architecture, Content, MaskHead, Photo};

    fn manifest() -> MaskManifest {
        MaskManifest {
            architecture: Architecture::EfficientNetLite0,
            input_side: 64,
            blocks: vec![2, 4],
            hidden: 8,
        }
    }

    /// Dark squares anywhere on light grounds, and what a teacher would say of them.
    fn lessons(count: u64) -> Vec<MaskLesson> {
        let lesson = |seed: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (left, top) = (rng.random_range(20..100), rng.random_range(20..100));
            let inside = |x: usize, y: usize| (left..left + 90).contains(&x) && (top..top + 90).contains(&y);
            let side = TEACHER_SIDE;
            let rgb =
                (0..side * side).flat_map(|at| [if inside(at % side, at / side) { 40 } else { 220 }; 3]);
            let content = Content { left: 0, top: 0, width: side, height: side };
            let scale = |at: usize| at * side / SALIENCY_SIDE;
            let of = |at: usize| inside(scale(at % SALIENCY_SIDE), scale(at / SALIENCY_SIDE));
            MaskLesson {
                canvas: Canvas::new(side, content, rgb.collect()),
                garment: (0..SALIENCY_SIDE * SALIENCY_SIDE).map(|at| if of(at) { 255 } else { 0 }).collect(),
            }
        };
        (0..count).map(lesson).collect()
    }

    #[test]
    fn what_was_learnt_is_what_serves() {
        let (manifest, tensors) = (manifest(), random_tensors(Architecture::EfficientNetLite0));
        let (lessons, exam) = (lessons(48), lessons(53).split_off(48));
        let mut told = Vec::new();
        let layers = train_mask(&manifest, &tensors, (&lessons, &exam), (40, 1), |_, loss, iou| {
            told.push((loss, iou));
        })
        .expect("trained");
        assert!(told[39].0 < 0.8 * told[0].0 && told[39].1 > 0.7, "{told:?}");
        let mut all = tensors.clone();
        all.extend(layers.tensors(&manifest));
        let head = MaskHead::new(&manifest, &all).expect("sound");
        let trainer = MaskTrainer::new(&manifest, &tensors, 1).expect("sound");
        let picture = MaskHead::picture(&exam[0].canvas, 64);
        let maps = trainer.network.forward(&[&picture], 64, &trainer.taps).expect("maps");
        assert_eq!(head.odds(&exam[0].canvas).expect("odds"), layers.odds(&maps[0]));
        // And the trainer's own arithmetic is that of the layers.
        let variables = trainer.variables().into_iter().map(|(n, v)| (n, v.as_tensor().clone())).collect();
        let started = trainer.layers(&variables).expect("layers").odds(&maps[0]);
        let logits = trainer.logits(&maps).expect("logits").flatten_all().expect("flat");
        let gaps = logits.to_vec1::<f32>().expect("numbers").into_iter().zip(&started.values);
        assert!(gaps.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 1e-4);
    }

    #[test]
    fn a_draw_moves_photo_and_garment_alike() {
        let lesson = &lessons(1)[0];
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for _ in 0..20 {
            let draw = Draw { light: [1.0; 3], ground: None, ..Draw::random(&mut rng) };
            let (rgb, garment) = lesson.drawn(&draw, 64, 64);
            let differ =
                garment.iter().enumerate().filter(|(at, g)| (rgb[at * 3] < 130) != (**g > 0.5)).count();
            assert!(differ < 64 * 64 / 25, "{differ}");
        }
        let photo = Photo::from_rgb(8, 8, vec![7; 192]).expect("sized");
        assert_eq!(photo.fit(TEACHER_SIDE).side(), TEACHER_SIDE);
    }
}
