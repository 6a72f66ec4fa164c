//! A column's codec: trained on a sample of its signatures, codes every one of them.

use super::finer::{FinerCodec, FinerProducts, finer_bytes};
use super::kmeans::{Centroids, dot, kmeans};
use super::products::Products;
use super::refiner::{ItemCodes, Refiner};
use crate::kernels::{CELLS, CODES, GAINS, GROUP, Tables, byte_of, group_bytes};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Residual codes and the numbers that they stand for: 18 codes for 64. With 16, one-head queries rescored twice as
/// many items in their worst cases.
const CODES_A_NUMBER: (usize, usize) = (9, 32);
/// Rounds of k-means for cells and for residual codes.
const ROUNDS: usize = 8;
/// A code whose squared error is this many times the mean is a bad one.
const BAD_ERROR: f32 = 3.0;
/// Estimates are lowered up to this many times a twin's, at least.
const NEAR_MIN: f32 = 1.6;
/// Least squared residual of a query, in squared gains, that has a twin among signatures of that gain.
const TWIN_RESIDUAL: f32 = 0.6;
/// One in so many of a sample shows where twins lie by both codes.
const FINER_TWINS: usize = 8;
/// The largest gain in steps: the others are whole numbers of them.
const GAIN_STEPS: f32 = 127.0;
/// Residuals shorter than the median by more than this (natural logarithm) count as if they were not.
const LENGTHS_RANGE: f32 = 3.0;
/// Least length of a residual; a signature on its cell's centre has none.
const LENGTH_MIN: f32 = 1e-6;

/// How the signatures of one column are coded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Codec {
    dim: usize,
    cells: Centroids,
    /// Ascending.
    gains: [f32; GAINS],
    /// One codebook a part of the residual over its gain; an even number.
    books: Vec<Centroids>,
    share_min: f32,
    share_step: f32,
    /// In squared gains: squared distances that strangers hardly ever fall below, and those of twins.
    near: f32,
    twin: f32,
    trained_on: u64,
    error: f32,
    finer: FinerCodec,
    /// As `twin`, by both codes.
    finer_twin: f32,
}

/// A coded signature, before it is laid out in its group.
struct Code {
    cell: u8,
    gain: u8,
    /// How long the reconstruction is along the cell's centre.
    share: f32,
    residuals: Vec<u8>,
    /// What is left over across the cell's centre, over the gain.
    rest: Vec<f32>,
    /// Squared distance from the reconstruction.
    error: f32,
}

impl Codec {
    /// Trains on `[n, dim]` signatures, a sample of a column of `of` signatures. The same sample gives the same
    /// codec.
    #[must_use]
    pub fn train(sample: &[f32], dim: usize, of: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(0x1a9e1);
        let subs = (dim * CODES_A_NUMBER.0).div_ceil(CODES_A_NUMBER.1).next_multiple_of(2);
        let cells = kmeans(sample, dim, CELLS, ROUNDS, &mut rng);
        let mut scratch = [0.0; CELLS];
        let mut residuals = Vec::with_capacity(sample.len());
        let mut lengths = Vec::with_capacity(sample.len() / dim);
        for row in sample.chunks_exact(dim) {
            let cell = cells.nearest(row, &mut scratch);
            let start = residuals.len();
            residuals.extend_from_slice(row);
            cells.project_out(cell, &mut residuals[start..]);
            lengths.push(length(&residuals[start..]));
        }
        let gains = gain_levels(&lengths);
        for (residual, length) in residuals.chunks_exact_mut(dim).zip(&lengths) {
            let gain = gains[nearest_gain(&gains, *length)];
            residual.iter_mut().for_each(|v| *v /= gain);
        }
        let book = |sub: usize| {
            let part = part(dim, subs, sub);
            let parts = residuals.chunks_exact(dim).flat_map(|r| &r[part.clone()]);
            kmeans(&parts.copied().collect::<Vec<_>>(), part.len(), CODES, ROUNDS, &mut rng.clone())
        };
        let books = (0..subs).map(book).collect();
        let mut codec = Self {
            dim,
            cells,
            gains,
            books,
            share_min: 0.0,
            share_step: 0.0,
            near: 0.0,
            twin: 0.0,
            trained_on: of,
            error: f32::INFINITY,
            finer: FinerCodec::of_nothing(dim),
            finer_twin: 0.0,
        };
        codec.fit_shares(sample);
        codec.fit_near(sample);
        codec.fit_finer(sample);
        codec
    }

    /// Whether it can code signatures of dimension `dim`, as it can after reading a file.
    #[must_use]
    pub fn is_sound(&self, dim: usize) -> bool {
        let subs = (dim * CODES_A_NUMBER.0).div_ceil(CODES_A_NUMBER.1).next_multiple_of(2);
        let numbers = [self.share_min, self.share_step, self.near, self.twin, self.error, self.finer_twin];
        self.dim == dim
            && self.books.len() == subs
            && self.cells.is_sound(dim, CELLS)
            && (0..subs).all(|sub| self.books[sub].is_sound(part(dim, subs, sub).len(), CODES))
            && numbers.iter().chain(&self.gains).all(|v| v.is_finite())
            && self.finer.is_sound(dim)
    }

    /// Spreads the 256 steps of the share over what the sample needs, and measures the error.
    fn fit_shares(&mut self, sample: &[f32]) {
        let (mut least, mut most, mut error) = (f32::INFINITY, f32::NEG_INFINITY, 0.0f64);
        for row in sample.chunks_exact(self.dim) {
            let code = self.code(row);
            (least, most) = (least.min(code.share), most.max(code.share));
            error += f64::from(code.error);
        }
        self.error = (error / (sample.len() / self.dim).max(1) as f64) as f32;
        if least <= most {
            // Some room for signatures that the sample did not have.
            let room = (most - least) * 0.05 + 1e-3;
            self.share_min = least - room;
            self.share_step = (most - least + 2.0 * room) / 255.0;
        }
    }

    /// Learns where twins and strangers lie; see [`Codec::lowering`].
    fn fit_near(&mut self, sample: &[f32]) {
        let mut last: [Option<&[f32]>; CELLS] = [None; CELLS];
        let (mut strangers, mut twins) = (Moments::default(), Moments::default());
        for row in sample.chunks_exact(self.dim) {
            let code = self.code(row);
            let squared_gain = self.gains[usize::from(code.gain)].powi(2);
            twins.add(self.estimate(row, &code), squared_gain);
            if let Some(other) = last[usize::from(code.cell)].replace(row) {
                strangers.add(self.estimate(other, &code), squared_gain);
            }
        }
        self.near = strangers.mean() - 2.5 * strangers.deviation();
        self.twin = twins.mean() + twins.deviation();
    }

    /// Learns how far apart the values of the finer code should be, and where twins lie by both codes.
    fn fit_finer(&mut self, sample: &[f32]) {
        let mut squares = vec![0.0f64; self.dim];
        for row in sample.chunks_exact(self.dim) {
            squares.iter_mut().zip(self.code(row).rest).for_each(|(sum, v)| *sum += f64::from(v * v));
        }
        self.finer = FinerCodec::of_squares(&squares, sample.len() / self.dim);
        let mut twins = Moments::default();
        let (mut group, mut finer) = (vec![0; self.group_bytes()], vec![0; self.finer_bytes()]);
        for row in sample.chunks_exact(self.dim).step_by(FINER_TWINS) {
            self.encode(row, &mut group, 0, &mut finer);
            let distance = self.refiner(row).distance(ItemCodes { group: &group, at: 0, finer: &finer });
            twins.add(distance * distance, self.gains[usize::from(group[byte_of(0)]) / CELLS].powi(2));
        }
        self.finer_twin = twins.mean() + twins.deviation();
    }

    /// By gain, below which squared distance estimates are lowered, and how steeply.
    ///
    /// Between strangers, even of one label, the coding error has nothing to do with the query, and estimates are
    /// right but for their spread. Between a signature and its twin the error is all there is: the estimate is
    /// twice its square, and the truth is nought. So squared distances that strangers hardly ever reach (2.5
    /// deviations below their mean) are lowered, down to nought where twins lie.
    ///
    /// A twin has the query's own residual. A query that lies close to its cell's centre, as prototypes do, has no twin
    /// among signatures that lie well away from theirs, and is nearer to all of those than they are to each other:
    /// their gains are left alone. `cell` is the query's own, and twins are estimated at `twin`, in squared gains.
    fn lowering(&self, query: &[f32], cell: usize, twin: f32) -> ([f32; GAINS], f32) {
        let twin = twin.max(f32::MIN_POSITIVE);
        let near = self.near.max(twin * NEAR_MIN);
        let mut residual = query.to_vec();
        self.cells.project_out(cell, &mut residual);
        let own = residual.iter().map(|v| v * v).sum::<f32>();
        let of_gain = |gain: f32| if own < TWIN_RESIDUAL * gain * gain { 0.0 } else { near * gain * gain };
        (self.gains.map(of_gain), twin / (near - twin))
    }

    /// Dimension of the signatures.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Signatures that the column had when this was trained.
    #[must_use]
    pub fn trained_on(&self) -> u64 {
        self.trained_on
    }

    /// Mean squared distance of the training sample from its reconstruction.
    #[must_use]
    pub fn error(&self) -> f32 {
        self.error
    }

    /// Bytes of one group's codes.
    #[must_use]
    pub fn group_bytes(&self) -> usize {
        group_bytes(self.books.len())
    }

    /// Bytes of one signature's finer code.
    #[must_use]
    pub fn finer_bytes(&self) -> usize {
        finer_bytes(self.dim)
    }

    /// Codes a signature into position `at` of a group and into its `finer` code, and returns the squared distance of the
    /// signature from its reconstruction by the group's.
    pub fn encode(&self, signature: &[f32], group: &mut [u8], at: usize, finer: &mut [u8]) -> f32 {
        let code = self.code(signature);
        let byte = byte_of(at);
        group[byte] = code.cell | code.gain << 6;
        let share = ((code.share - self.share_min) / self.share_step).round();
        group[GROUP + byte] = share.clamp(0.0, 255.0) as u8;
        self.finer.encode(&code.rest, finer);
        for (pair, codes) in group[2 * GROUP..].chunks_exact_mut(GROUP).zip(code.residuals.chunks_exact(2)) {
            pair[byte] = codes[0] | codes[1] << 4;
        }
        code.error
    }

    /// The code of a signature. One that comes out badly is tried with every gain.
    fn code(&self, signature: &[f32]) -> Code {
        let mut scratch = [0.0; CELLS];
        let cell = self.cells.nearest(signature, &mut scratch);
        let mut residual = signature.to_vec();
        self.cells.project_out(cell, &mut residual);
        let first =
            self.code_at(signature, cell, residual.clone(), nearest_gain(&self.gains, length(&residual)));
        if first.error <= self.error * BAD_ERROR {
            return first;
        }
        let all = (0..GAINS).map(|gain| self.code_at(signature, cell, residual.clone(), gain));
        all.min_by(|a, b| a.error.total_cmp(&b.error)).unwrap_or(first)
    }

    fn code_at(&self, signature: &[f32], cell: usize, mut residual: Vec<f32>, gain: usize) -> Code {
        let mut scratch = [0.0; CODES];
        let level = self.gains[gain];
        residual.iter_mut().for_each(|v| *v /= level);
        let mut codes = Vec::with_capacity(self.books.len());
        let mut coded = vec![0.0; residual.len()];
        for (sub, book) in self.books.iter().enumerate() {
            let part = self.part(sub);
            let code = book.nearest(&residual[part.clone()], &mut scratch);
            coded[part].copy_from_slice(book.row(code));
            codes.push(code as u8);
        }
        residual.iter_mut().zip(&coded).for_each(|(v, coded)| *v -= coded);
        // The share of the centre makes good what the residual's code has added along it.
        let share = self.cells.along(cell, signature) - level * self.cells.along(cell, &coded);
        let error = dot(&residual, &residual) * level * level;
        Code { cell: cell as u8, gain: gain as u8, share, residuals: codes, rest: residual, error }
    }

    /// The estimate of the squared distance of a vector to a coded signature, before it is lowered.
    fn estimate(&self, vector: &[f32], code: &Code) -> f32 {
        let cell = usize::from(code.cell);
        let mut product = code.share * self.cells.along(cell, vector);
        for (sub, (book, residual)) in self.books.iter().zip(&code.residuals).enumerate() {
            let product_of_part = dot(book.row(usize::from(*residual)), &vector[self.part(sub)]);
            product += self.gains[usize::from(code.gain)] * product_of_part;
        }
        2.0 - 2.0 * product
    }

    fn part(&self, sub: usize) -> Range<usize> {
        part(self.dim, self.books.len(), sub)
    }

    /// What the kernels need to estimate distances of a unit `query` to coded signatures.
    #[must_use]
    pub fn tables(&self, query: &[f32], weight: f32, expected: f32) -> Tables {
        self.products(query, self.twin).tables(weight, weight * expected)
    }

    /// What it takes to estimate distances of a unit `query` to signatures one by one, by both of their codes.
    pub(crate) fn refiner<'a>(&'a self, query: &'a [f32]) -> Refiner<'a> {
        Refiner::new(self, query, self.products(query, self.finer_twin))
    }

    /// What `query` has in common with the finer codes of a cell, along whose centre it is `along` long.
    pub(super) fn finer_products(&self, query: &[f32], cell: usize, along: f32) -> FinerProducts {
        let scale = self.cells.inverse_length(cell);
        let centre = self.cells.row(cell).iter().map(|value| scale * value);
        self.finer.products(query, centre, along)
    }

    fn products(&self, query: &[f32], twin: f32) -> Products {
        let mut centres = [0.0; CELLS];
        // The products with all centres are what the nearest is found by.
        let cell = self.cells.nearest(query, &mut centres);
        centres.iter_mut().enumerate().for_each(|(at, product)| *product *= self.cells.inverse_length(at));
        let mut residuals = vec![[0.0f32; CODES]; self.books.len()];
        for (sub, (book, out)) in self.books.iter().zip(&mut residuals).enumerate() {
            book.products(&query[self.part(sub)], out);
        }
        let (near, near_slope) = self.lowering(query, cell, twin);
        let squared: f32 = query.iter().map(|v| v * v).sum();
        Products {
            half: (1.0 + squared) / 2.0,
            centres,
            residuals,
            gains: self.gains,
            shares: (self.share_min, self.share_step),
            near: near.map(|near| near / 2.0),
            near_slope,
        }
    }
}

/// The numbers that a residual code stands for: the codes share the dimension as evenly as they can.
fn part(dim: usize, subs: usize, sub: usize) -> Range<usize> {
    sub * dim / subs..(sub + 1) * dim / subs
}

/// Mean and deviation of numbers in units of their own, each counting by its unit: signatures on their cell's
/// centre, with hardly any residual, then say hardly anything.
#[derive(Default)]
struct Moments {
    units: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f32, unit: f32) {
        let (value, unit) = (f64::from(value), f64::from(unit).max(f64::MIN_POSITIVE));
        self.units += unit;
        self.sum += value;
        self.squares += value * value / unit;
    }

    fn mean(&self) -> f32 {
        (self.sum / self.units.max(f64::MIN_POSITIVE)) as f32
    }

    fn deviation(&self) -> f32 {
        let mean = f64::from(self.mean());
        (self.squares / self.units.max(f64::MIN_POSITIVE) - mean * mean).max(0.0).sqrt() as f32
    }
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|v| v * v).sum::<f32>().sqrt().max(LENGTH_MIN)
}

/// Four levels that the lengths lie close to, by ratio.
fn gain_levels(lengths: &[f32]) -> [f32; GAINS] {
    let mut logs: Vec<f32> = lengths.iter().map(|l| l.ln()).collect();
    if logs.is_empty() {
        return [1.0; GAINS];
    }
    logs.sort_by(f32::total_cmp);
    // A signature alone in its cell has no residual; that is not worth a level.
    let least = logs[logs.len() / 2] - LENGTHS_RANGE;
    logs.iter_mut().for_each(|log| *log = log.max(least));
    let mut levels: [f32; GAINS] = std::array::from_fn(|at| logs[(2 * at + 1) * logs.len() / (2 * GAINS)]);
    for _ in 0..ROUNDS {
        let mut sums = [(0.0f64, 0u32); GAINS];
        for log in &logs {
            let nearest =
                (0..GAINS).min_by(|a, b| (levels[*a] - log).abs().total_cmp(&(levels[*b] - log).abs()));
            let sum = &mut sums[nearest.unwrap_or(0)];
            *sum = (sum.0 + f64::from(*log), sum.1 + 1);
        }
        for (level, (sum, count)) in levels.iter_mut().zip(sums).filter(|(_, (_, count))| *count > 0) {
            *level = (sum / f64::from(count)) as f32;
        }
    }
    // As the bytes that the kernels have them in, so that they are exact there.
    let most = levels.iter().copied().fold(f32::NEG_INFINITY, f32::max).exp();
    levels.map(|log| (log.exp() / most * GAIN_STEPS).round().max(1.0) / GAIN_STEPS * most)
}

fn nearest_gain(gains: &[f32; GAINS], length: f32) -> usize {
    let ratio = |gain: f32| (length / gain).ln().abs();
    (0..GAINS).min_by(|a, b| ratio(gains[*a]).total_cmp(&ratio(gains[*b]))).unwrap_or(0)
}

#[cfg(test)]
mod tests;
