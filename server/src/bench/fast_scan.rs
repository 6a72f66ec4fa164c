//! For comparison: 4-bit product quantisation of the concatenation of all signatures, scanned by byte shuffles, as FAISS's
//! `PQ{M}x4fs` does it, and the best rescored by the formula of the searches.
//!
//! A query is the concatenation of its vectors times their weights, so that the scan ranks by the inner product, which is
//! the weighted sum of squared distances turned round; a missing signature is a vector of zeros. Rows lie as a whole, one item
//! after the other, since rescoring reads all of an item.
//! The kernel is AVX2's also where there is AVX-512, which the searches then use; where they use NEON, it is plain Rust's.

mod compare;
mod kernel;
mod quantiser;
mod reservoir;
mod tables;
#[cfg(test)]
mod tests;

pub(super) use compare::{Case, CaseQuery, run};

use kernel::{ITEMS, Pair};
use lapel_search::kernels::{self, Rows};
use lapel_search::{Instructions, LocalSignatures, SearchTerm, Slot};
use quantiser::{Codebook, PART};
use rayon::prelude::*;
use reservoir::Reservoir;
use std::ops::Range;
use std::sync::Arc;
use tables::Tables;

/// Rows that the codebooks are trained on, at most.
const SAMPLE_MAX: usize = 65_536;
/// How many candidates ahead rows are fetched: each comes from memory, for the next ones are far behind it.
const AHEAD: usize = 16;

/// The codes and rows of all items.
struct FastScan {
    /// Where each column's signatures lie in a row.
    places: Vec<(Arc<str>, Range<usize>)>,
    /// Numbers of a row, of whole pairs of parts.
    width: usize,
    /// `[items, width]`; a missing signature is NaN.
    rows: Vec<f32>,
    /// By part.
    codebooks: Vec<Codebook>,
    /// By 32 items, by two parts.
    codes: Vec<Pair>,
}

impl FastScan {
    /// Trains on and codes the signatures of items that lie in the first slots, as they do where none was deleted.
    fn new(signatures: &LocalSignatures) -> Self {
        let mut places = Vec::new();
        let mut end = 0;
        for column in signatures.columns() {
            places.push((column.key().clone(), end..end + column.dim()));
            end += column.dim();
        }
        let width = end.max(1).next_multiple_of(2 * PART);
        let items = signatures.items().len();
        let mut rows = vec![0.0; items * width];
        for (slot, row) in (0..).zip(rows.chunks_exact_mut(width)) {
            for (column, (_, place)) in signatures.columns().iter().zip(&places) {
                match column.get(slot) {
                    Some(signature) => row[place.clone()].copy_from_slice(&signature),
                    None => row[place.clone()].fill(f32::NAN),
                }
            }
        }
        let parts = width / PART;
        let codebooks: Vec<Codebook> =
            (0..parts).into_par_iter().map(|part| codebook(&rows, parts, part)).collect();
        let blocks = rows.par_chunks(ITEMS * width);
        let codes = blocks.flat_map_iter(|rows| coded(rows, &codebooks)).collect();
        Self { places, width, rows, codebooks, codes }
    }

    /// Bytes of an item's codes.
    fn code_bytes(&self) -> usize {
        self.width / PART / 2
    }
}

/// The numbers of a part, zeros of a missing signature.
fn part_of(rows: &[f32], at: usize) -> [f32; PART] {
    let part = rows.as_chunks::<PART>().0.get(at).copied().unwrap_or_default();
    part.map(|v| if v.is_nan() { 0.0 } else { v })
}

/// The codebook of one of the parts of a row.
fn codebook(rows: &[f32], parts: usize, part: usize) -> Codebook {
    let items = rows.len() / (parts * PART);
    let sample = (0..items).step_by(items.div_ceil(SAMPLE_MAX).max(1));
    let points: Vec<[f32; PART]> = sample.map(|item| part_of(rows, item * parts + part)).collect();
    Codebook::train(&points, part as u64)
}

/// The codes of up to 32 items.
fn coded(rows: &[f32], codebooks: &[Codebook]) -> Vec<Pair> {
    let parts = codebooks.len();
    let mut codes = vec![Pair::default(); parts / 2];
    for item in 0..rows.len() / (parts * PART) {
        for (part, codebook) in codebooks.iter().enumerate() {
            let code = codebook.nearest(&part_of(rows, item * parts + part));
            let byte = part % 2 * ITEMS / 2 + item % (ITEMS / 2);
            codes[part / 2].0[byte] |= code << (item / (ITEMS / 2) * 4);
        }
    }
    codes
}

/// Searches, one after the other in the same memory.
struct Searcher<'a> {
    scan: &'a FastScan,
    level: Instructions,
    query: Vec<f32>,
    tables: Tables,
    reservoir: Reservoir,
    /// Slots of what was scanned last.
    candidates: Vec<Slot>,
    /// Distances and slots of what was rescored last, best first.
    best: Vec<(f64, Slot)>,
}

impl<'a> Searcher<'a> {
    fn new(scan: &'a FastScan, level: Instructions) -> Self {
        let (query, candidates, best) = (vec![0.0; scan.width], Vec::new(), Vec::new());
        Self {
            scan,
            level,
            query,
            tables: Tables::default(),
            reservoir: Reservoir::default(),
            candidates,
            best,
        }
    }

    /// Where the signatures of a term lie in a row.
    fn place(scan: &'a FastScan, term: &SearchTerm) -> Option<Range<usize>> {
        let (_, place) = scan.places.iter().find(|(column, _)| *column == term.column)?;
        (place.len() == term.vector.len()).then(|| place.clone())
    }

    /// Finds the candidates: the `count` items whose codes promise most, in the order of their slots.
    fn scan(&mut self, terms: &[SearchTerm], count: usize) {
        self.query.fill(0.0);
        for term in terms {
            let Some(place) = Self::place(self.scan, term) else { continue };
            for (scaled, v) in self.query[place].iter_mut().zip(&term.vector) {
                *scaled = term.weight as f32 * v;
            }
        }
        let (tables, largest) = self.tables.of_query(&self.scan.codebooks, &self.query);
        self.reservoir.start(count, largest);
        let items = self.scan.rows.len() / self.scan.width;
        let mut scores = [0; ITEMS];
        for (block, codes) in self.scan.codes.chunks_exact(tables.len()).enumerate() {
            let first = block * ITEMS;
            let mut below =
                kernel::scores_below(self.level, tables, codes, self.reservoir.limit(), &mut scores);
            // The last block may have room for more items than there are.
            below &= u32::MAX >> (ITEMS - (items - first).min(ITEMS));
            while below != 0 {
                let at = below.trailing_zeros() as usize;
                self.reservoir.push((first + at) as Slot, scores[at]);
                below &= below - 1;
            }
        }
        self.candidates.clear();
        self.candidates.extend(self.reservoir.slots());
    }

    /// Scores the candidates by the sum of weight times distance, each until it is beyond the `k`-th, and returns distances and
    /// slots of the best, those first. Terms are heaviest first.
    fn rescore(&mut self, terms: &[SearchTerm], k: usize) -> &[(f64, Slot)] {
        let terms: Vec<_> =
            terms.iter().filter_map(|term| Some((term, Self::place(self.scan, term)?))).collect();
        let row = |slot: Slot| &self.scan.rows[slot as usize * self.scan.width..][..self.scan.width];
        self.best.clear();
        for (at, slot) in self.candidates.iter().enumerate() {
            if let Some(ahead) = self.candidates.get(at + AHEAD) {
                // The heaviest mostly tell that an item is beyond the limit.
                let heavy = terms.iter().take_while(|(term, _)| 4.0 * term.weight >= terms[0].0.weight);
                heavy.for_each(|(_, place)| kernels::prefetch(Rows::F32(&row(*ahead)[place.clone()])));
            }
            let limit = if self.best.len() < k { None } else { self.best.last() };
            let limit = limit.map_or(f64::INFINITY, |(distance, _)| *distance);
            let Some(distance) = distance(self.level, &terms, row(*slot), limit) else { continue };
            let place = self.best.partition_point(|best| *best < (distance, *slot));
            self.best.insert(place, (distance, *slot));
            self.best.truncate(k);
        }
        &self.best
    }
}

/// The distance of an item; `None` where it is beyond the limit.
fn distance(
    level: Instructions,
    terms: &[(&SearchTerm, Range<usize>)],
    row: &[f32],
    limit: f64,
) -> Option<f64> {
    let mut sum = 0.0;
    for (term, place) in terms {
        let squared = kernels::squared_distance(level, &term.vector, Rows::F32(&row[place.clone()]));
        let distance = if squared.is_nan() { term.expected } else { squared.sqrt() };
        sum += term.weight * f64::from(distance);
        if sum > limit {
            return None;
        }
    }
    Some(sum)
}
