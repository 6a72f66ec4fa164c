//! One pass over the blocks: D = sum of w_v * |q_v - r_v| of every item that passes, from codes or in full.

use crate::ahead::{Ahead, fetch};
use crate::allowed::Allowed;
use crate::best::{Best, Hit};
use crate::bits::positions;
use crate::kernels::{self, Bits, CodedTerm, ExactTerm, GROUP, GROUPS, Sums, Tables};
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
/// Items of sparse groups that are scored one after the other, at least, where there are as many.
const TOGETHER: usize = 256;

/// Fills `best` from the blocks in `range`, by the exact formula; from those looked at, once the search is abandoned.
pub(crate) fn exact<'a>(
    terms: &[BoundTerm<'_>],
    allowed: &Allowed<'_>,
    range: std::ops::Range<usize>,
    level: Instructions,
    mut best: Best<'a>,
    is_abandoned: IsAbandoned<'_>,
) -> Vec<Hit<'a>> {
    let mut sparse: Vec<Slot> = Vec::with_capacity(TOGETHER + BLOCK);
    for number in range {
        if is_abandoned() {
            break;
        }
        let bits = allowed.block(number);
        for (group, wanted) in bits.iter().enumerate().filter(|(_, wanted)| **wanted != 0) {
            let first = (number * BLOCK + group * GROUP) as Slot;
            let slots = positions(*wanted).map(|at| (at, first + at as Slot));
            if wanted.count_ones() < DENSE_MIN {
                sparse.extend(slots.map(|(_, slot)| slot));
                continue;
            }
            let mut sums = [0.0; GROUP];
            terms.iter().for_each(|term| add_exact(term, number, group, level, &mut sums));
            for (at, slot) in slots {
                let limit = best.limit();
                if f64::from(sums[at] * (1.0 - ROUNDING)) <= limit
                    && let Some(distance) = score(terms, slot, 0.0, limit)
                {
                    best.push(slot, distance);
                }
            }
        }
        if sparse.len() >= TOGETHER {
            score_sparse(terms, &sparse, &mut best);
            sparse.clear();
        }
    }
    score_sparse(terms, &sparse, &mut best);
    best.into_hits()
}

/// Scores items that are far from each other.
fn score_sparse(terms: &[BoundTerm<'_>], slots: &[Slot], best: &mut Best<'_>) {
    let mut ahead = Ahead::default();
    for (at, slot) in slots.iter().enumerate() {
        ahead.go_on(at, (slots.len(), terms.len()), |at| fetch(terms, slots[at]));
        if let Some(distance) = score(terms, *slot, 0.0, best.limit()) {
            best.push(*slot, distance);
        }
    }
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
}

/// One block of estimates.
pub(crate) struct BlockEstimates<'e> {
    sums: &'e mut Sums,
    minima: &'e mut [f32; GROUPS],
}

impl Estimates {
    /// Makes room for so many blocks.
    pub(crate) fn prepare(&mut self, blocks: usize) {
        self.sums.resize(blocks, [0.0; BLOCK]);
        self.minima.resize(blocks, [0.0; GROUPS]);
    }

    /// Bytes that are held.
    pub(crate) fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<Sums>() + self.minima.capacity() * size_of::<[f32; GROUPS]>()
    }

    /// The blocks, to be filled.
    pub(crate) fn blocks(&mut self) -> Vec<BlockEstimates<'_>> {
        let blocks = self.sums.iter_mut().zip(&mut self.minima);
        blocks.map(|(sums, minima)| BlockEstimates { sums, minima }).collect()
    }
}

/// A query's terms with what the kernels need of each; `None` for a column without codes, which is read in full.
pub(crate) type CodedTerms<'q, 'a> = [(&'q BoundTerm<'a>, Option<Tables>)];

/// Some of a query's terms over one block.
struct BlockTerms<'b, 'a> {
    coded: Vec<CodedTerm<'b>>,
    /// Those of columns, or of blocks, without codes.
    in_full: Vec<&'b BoundTerm<'a>>,
    number: usize,
}

impl<'b, 'a> BlockTerms<'b, 'a> {
    fn new(terms: &'b CodedTerms<'_, 'a>, number: usize) -> Self {
        let (mut coded, mut in_full) = (Vec::with_capacity(terms.len()), Vec::new());
        for (term, tables) in terms {
            let block = term.column.block(number);
            match (tables, block.and_then(|block| Some((block.codes()?, block.present())))) {
                (Some(tables), Some((codes, present))) => {
                    let next = term.column.block(number + 1).and_then(|block| block.codes());
                    coded.push(CodedTerm { tables, codes, present, next: next.unwrap_or_default() });
                }
                _ => in_full.push(*term),
            }
        }
        Self { coded, in_full, number }
    }

    /// Adds what they add to the sums of a group.
    fn add(&self, group: usize, level: Instructions, sums: &mut [f32; GROUP]) {
        kernels::add_estimates(level, &self.coded, group, sums);
        self.in_full.iter().for_each(|term| add_exact(term, self.number, group, level, sums));
    }
}

/// Estimates one block. What few items of a filter lie in is not read for the others.
pub(crate) fn estimate(
    terms: &CodedTerms<'_, '_>,
    number: usize,
    allowed: &Bits,
    level: Instructions,
    out: &mut BlockEstimates<'_>,
) {
    let BlockEstimates { sums, minima } = out;
    let terms = BlockTerms::new(terms, number);
    for (group, sums) in sums.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
        if allowed[group] == 0 {
            sums.fill(f32::INFINITY);
            minima[group] = f32::INFINITY;
            continue;
        }
        sums.fill(0.0);
        terms.add(group, level, sums);
        minima[group] = kernels::finish(level, allowed[group], sums);
    }
}
