//! Clustered signatures with labels, made from a seed: what a catalogue looks like to the search.

use crate::catalogue::BLOCK;
use rand::distr::weighted::WeightedIndex;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Latent styles that tie the labels of an item's attributes together.
const STYLES: usize = 24;
/// How far before a variant its origin lies, at most.
const VARIANT_BACK: usize = 1000;
/// Noise of a variant's signatures, as a share of its head's spread.
const VARIANT_NOISE: f32 = 0.2;

/// What to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Items.
    pub items: usize,
    /// Heads, one attribute each.
    pub heads: usize,
    /// Numbers of a signature.
    pub dim: usize,
    /// Labels of an attribute.
    pub labels: usize,
    /// Exponent of Zipf's law for how frequent labels are.
    pub zipf: f64,
    /// Share of labels that follow from the item's style and not from chance.
    pub correlation: f64,
    /// Spread of signatures around their label's centre, first and last head; those between lie between.
    pub spread: (f64, f64),
    /// Share of items that are variants: as an earlier item but for one attribute.
    pub variants: f64,
    /// Share of signatures that are missing.
    pub missing: f64,
    /// Everything follows from it.
    pub seed: u64,
}

/// One item.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Label by head.
    pub labels: Vec<usize>,
    /// Signature by head; `None` where it is missing.
    pub signatures: Vec<Option<Vec<f32>>>,
}

/// Draws items.
pub struct Generator {
    shape: Shape,
    /// `[head][label][dim]`
    centres: Vec<Vec<Vec<f32>>>,
    /// `[style][head]`
    styles: Vec<Vec<usize>>,
    by_zipf: WeightedIndex<f64>,
    by_style: WeightedIndex<f64>,
    /// Items that were read from files instead.
    given: Vec<Sample>,
}

impl Generator {
    /// Prepares centres and styles.
    ///
    /// # Errors
    /// Words for whoever asked for an impossible shape.
    pub fn new(shape: Shape) -> Result<Self, String> {
        let mut rng = ChaCha8Rng::seed_from_u64(shape.seed);
        let zipf = |count: usize| {
            WeightedIndex::new((1..=count).map(|rank| (rank as f64).powf(-shape.zipf)))
                .map_err(|e| e.to_string())
        };
        let (by_zipf, by_style) = (zipf(shape.labels)?, zipf(STYLES)?);
        let centre = |rng: &mut ChaCha8Rng| unit((0..shape.dim).map(|_| normal(rng)).collect());
        let centres =
            (0..shape.heads).map(|_| (0..shape.labels).map(|_| centre(&mut rng)).collect()).collect();
        let style = |rng: &mut ChaCha8Rng| (0..shape.heads).map(|_| by_zipf.sample(rng)).collect();
        let styles = (0..STYLES).map(|_| style(&mut rng)).collect();
        Ok(Self { shape, centres, styles, by_zipf, by_style, given: Vec::new() })
    }

    /// Gives out the items it was given, again from the first when they are used up.
    ///
    /// # Errors
    /// As [`Generator::new`].
    pub fn of_samples(shape: Shape, given: Vec<Sample>) -> Result<Self, String> {
        Ok(Self { given, ..Self::new(shape)? })
    }

    /// What it makes.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Items `first..first + count`, on all cores; the same item always comes out the same.
    #[must_use]
    pub fn items(&self, first: usize, count: usize) -> Vec<Sample> {
        let one = |at: usize| self.item(at);
        (first..first + count).into_par_iter().with_min_len(BLOCK).map(one).collect()
    }

    fn item(&self, at: usize) -> Sample {
        if let Some(given) = self.given.get(at % self.given.len().max(1)) {
            return given.clone();
        }
        let mut rng = self.rng(at as u64);
        let is_variant = rng.random_bool(self.shape.variants) && at > 0;
        let mut sample = self.sample(&mut rng);
        if is_variant {
            let of = at - rng.random_range(1..=at.min(VARIANT_BACK));
            let mut origin_rng = self.rng(of as u64);
            let _: bool = origin_rng.random_bool(self.shape.variants);
            let origin = self.sample(&mut origin_rng);
            let changed = rng.random_range(0..self.shape.heads);
            for head in (0..self.shape.heads).filter(|head| *head != changed) {
                let scale = VARIANT_NOISE * (self.spread(head) / (self.shape.dim as f64).sqrt()) as f32;
                let near = origin.signatures[head].iter().flatten().map(|v| v + scale * normal(&mut rng));
                sample.signatures[head] = Some(unit(near.collect()));
                sample.labels[head] = origin.labels[head];
            }
        }
        for signature in &mut sample.signatures {
            if rng.random_bool(self.shape.missing) {
                *signature = None;
            }
        }
        sample
    }

    fn spread(&self, head: usize) -> f64 {
        let part = head as f64 / (self.shape.heads - 1).max(1) as f64;
        self.shape.spread.0 + part * (self.shape.spread.1 - self.shape.spread.0)
    }

    /// The `at`-th complete item that is not in the catalogue.
    #[must_use]
    pub fn query(&self, at: usize) -> Sample {
        if !self.given.is_empty() {
            return self.given_query(at);
        }
        self.sample(&mut self.rng(u64::MAX - at as u64))
    }

    /// A complete item that was given, with a little noise; what it lacks comes from other items.
    fn given_query(&self, at: usize) -> Sample {
        let mut rng = self.rng(u64::MAX - at as u64);
        let start = rng.random_range(0..self.given.len());
        let mut sample = self.given[start].clone();
        for head in 0..self.shape.heads {
            let present = (0..self.given.len())
                .find_map(|offset| self.given[(start + offset) % self.given.len()].signatures[head].clone());
            let scale = VARIANT_NOISE / (self.shape.dim as f32).sqrt();
            let values = present.unwrap_or_else(|| vec![1.0; self.shape.dim]);
            sample.signatures[head] =
                Some(unit(values.iter().map(|v| v + scale * normal(&mut rng)).collect()));
        }
        sample
    }

    fn rng(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.shape.seed);
        rng.set_stream(stream);
        rng
    }

    fn sample(&self, rng: &mut ChaCha8Rng) -> Sample {
        let style = &self.styles[self.by_style.sample(rng)];
        let (mut labels, mut signatures) = (Vec::new(), Vec::new());
        for (head, centres) in self.centres.iter().enumerate() {
            let from_style = rng.random_bool(self.shape.correlation);
            let label = if from_style { style[head] } else { self.by_zipf.sample(rng) };
            let scale = (self.spread(head) / (self.shape.dim as f64).sqrt()) as f32;
            let around = centres[label].iter().map(|c| c + scale * normal(rng)).collect();
            labels.push(label);
            signatures.push(Some(unit(around)));
        }
        Sample { labels, signatures }
    }
}

/// A draw from the standard normal distribution (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()) as f32
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.iter_mut().for_each(|v| *v /= length);
    vector
}
