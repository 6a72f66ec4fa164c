//! One pass over the blocks: D = sum of w_v * |q_v - r_v| of every item that passes, from codes or in full.

use crate::allowed::Allowed;
use crate::best::{Best, Hit};
use crate::kernels::{self, Bits, ExactTerm, GROUP, GROUPS, Sums, Tables};
use crate::terms::BoundTerm;
use crate::{BLOCK, Instructions, IsAbandoned, Slot};

/// The distance of the item in a slot, on top of the sum `from` of the terms before; `None` once it exceeds `limit`. Every
/// plan adds the same terms in the same order, so that a distance is the same to the last bit.
pub(crate) fn score(terms: &[BoundTerm<'_>], slot: Slot, from: f64, limit: f64) -> Option<f64> {
    let mut sum = from;
    for term in terms {
        sum += term.weight * f64::from(term.distance(slot));
        if sum > limit {
            return None;
        }
    }
    Some(sum)
}

/// How much further than the limit a sum in single precision may be and still belong to a hit.
const ROUNDING: f32 = 1e-5;
/// Items of a group from which on scoring the whole group is cheaper than looking for the wanted ones.
const DENSE_MIN: u32 = 16;

/// Fills `best` from the blocks in `range`, by the exact formula; from those looked at, once the search is abandoned.
pub(crate) fn exact<'a>(
    terms: &[BoundTerm<'_>],
    allowed: &Allowed<'_>,
    range: std::ops::Range<usize>,
    level: Instructions,
    mut best: Best<'a>,
    is_abandoned: IsAbandoned<'_>,
) -> Vec<Hit<'a>> {
    for number in range {
        if is_abandoned() {
            break;
        }
        let bits = allowed.block(number);
        for (group, wanted) in bits.iter().enumerate().filter(|(_, wanted)| **wanted != 0) {
            let mut left = *wanted;
            let mut sums = [0.0; GROUP];
            if wanted.count_ones() >= DENSE_MIN {
                terms.iter().for_each(|term| add_exact(term, number, group, level, &mut sums));
            }
            while left != 0 {
                let at = left.trailing_zeros() as usize;
                left &= left - 1;
                let limit = best.limit();
                if f64::from(sums[at] * (1.0 - ROUNDING)) > limit {
                    continue;
                }
                let slot = (number * BLOCK + group * GROUP + at) as Slot;
                if let Some(distance) = score(terms, slot, 0.0, limit) {
                    best.push(slot, distance);
                }
            }
        }
    }
    best.into_hits()
}

/// Adds a head's exact terms to the sums of one group.
fn add_exact(
    term: &BoundTerm<'_>,
    number: usize,
    group: usize,
    level: Instructions,
    sums: &mut [f32; GROUP],
) {
    let weight = term.weight as f32;
    let exact = ExactTerm { query: term.vector, weight, missing: weight * term.expected };
    let block = term.column.block(number);
    match block.and_then(|block| Some((block.rows(group)?, block.present()[group]))) {
        Some((rows, present)) => kernels::add_distances(level, &exact, rows.rows(), present, sums),
        None => sums.iter_mut().for_each(|sum| *sum += exact.missing),
    }
}

/// Estimated distances of every slot: infinite where it may not be returned.
#[derive(Default)]
pub(crate) struct Estimates {
    /// By slot.
    pub(crate) sums: Vec<Sums>,
    /// The least of each group.
    pub(crate) minima: Vec<[f32; GROUPS]>,
    /// How many of the terms are heavy.
    pub(crate) heavy: usize,
    /// By slot, what the heavy terms add; empty when all terms are heavy.
    heavy_sums: Vec<Sums>,
}

/// One block of estimates.
pub(crate) struct BlockEstimates<'e> {
    sums: &'e mut Sums,
    minima: &'e mut [f32; GROUPS],
    heavy: usize,
    heavy_sums: Option<&'e mut Sums>,
}

impl Estimates {
    /// Makes room for a search in which `heavy` of `all` terms are heavy.
    pub(crate) fn prepare(&mut self, blocks: usize, heavy: usize, all: usize) {
        self.sums.resize(blocks, [0.0; BLOCK]);
        self.minima.resize(blocks, [0.0; GROUPS]);
        self.heavy_sums.resize(if heavy < all { blocks } else { 0 }, [0.0; BLOCK]);
        self.heavy = heavy;
    }

    /// What the heavy terms add to the estimate of a slot.
    pub(crate) fn heavy_sum(&self, slot: Slot, estimate: f32) -> f32 {
        let block = self.heavy_sums.get(slot as usize / BLOCK);
        block.map_or(estimate, |sums| sums[slot as usize % BLOCK])
    }

    /// The blocks, to be filled.
    pub(crate) fn blocks(&mut self) -> Vec<BlockEstimates<'_>> {
        let heavy = self.heavy;
        let mut heavy_sums = self.heavy_sums.iter_mut();
        let blocks = self.sums.iter_mut().zip(&mut self.minima);
        blocks
            .map(|(sums, minima)| BlockEstimates { sums, minima, heavy, heavy_sums: heavy_sums.next() })
            .collect()
    }
}

/// A query's terms with what the kernels need of each; `None` for a column without codes, which is read in full.
pub(crate) type CodedTerms<'q, 'a> = [(&'q BoundTerm<'a>, Option<Tables>)];

/// Estimates one block.
pub(crate) fn estimate(
    terms: &CodedTerms<'_, '_>,
    number: usize,
    allowed: &Bits,
    level: Instructions,
    out: &mut BlockEstimates<'_>,
) {
    let BlockEstimates { sums, minima, heavy, heavy_sums } = out;
    sums.fill(0.0);
    for (at, (term, tables)) in terms.iter().enumerate() {
        if at == *heavy
            && let Some(heavy_sums) = heavy_sums
        {
            heavy_sums.copy_from_slice(*sums);
        }
        let (next_term, next_number) =
            if at + 1 < terms.len() { (terms[at + 1].0, number) } else { (terms[0].0, number + 1) };
        let next = next_term.column.block(next_number).and_then(|block| block.codes()).unwrap_or_default();
        let codes = term.column.block(number).and_then(|block| Some((block.codes()?, block.present())));
        match (tables, codes) {
            (Some(tables), Some((codes, present))) => {
                kernels::add_estimates(level, tables, codes, (present, allowed), next, sums);
            }
            _ => {
                let groups = sums.as_chunks_mut::<GROUP>().0.iter_mut().enumerate();
                groups.for_each(|(group, sums)| add_exact(term, number, group, level, sums));
            }
        }
    }
    kernels::finish(level, allowed, sums, minima);
}
