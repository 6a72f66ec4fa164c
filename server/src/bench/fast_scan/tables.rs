//! A query's look-up tables in bytes.

use super::kernel::Pair;
use super::quantiser::{Codebook, PART};
use lapel_search::kernels::CODES;

/// The largest sum that a score may reach: below the largest word, which stands for no limit.
const SUM_MAX: f32 = 65_534.0;

/// Tables of one query after the other, in the same memory.
#[derive(Default)]
pub(super) struct Tables {
    /// By part, what a code lacks of the largest product.
    losses: Vec<[f32; CODES]>,
    /// The same in steps of one size, two parts a pair.
    pairs: Vec<Pair>,
}

impl Tables {
    /// The tables of a query of as many numbers as the codebooks have together. The sum of an item's entries tells how far its
    /// inner product with the query is below the largest one that codes can have. Returns them with the largest such sum.
    pub(super) fn of_query(&mut self, codebooks: &[Codebook], query: &[f32]) -> (&[Pair], u16) {
        self.losses.clear();
        let (mut widest, mut total) = (0.0f32, 0.0);
        for (codebook, part) in codebooks.iter().zip(query.as_chunks::<PART>().0) {
            let products = codebook.products(part);
            let largest = products.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let losses = products.map(|product| largest - product);
            let span = losses.iter().copied().fold(0.0, f32::max);
            widest = widest.max(span);
            total += span;
            self.losses.push(losses);
        }
        // Each entry is rounded up by half a step at most.
        let room = (SUM_MAX - self.losses.len() as f32).max(0.0);
        let scale = (f32::from(u8::MAX) / widest).min(room / total);
        self.pairs.clear();
        let mut largest = 0;
        for two in self.losses.as_chunks::<2>().0 {
            let entries = two.map(|losses| losses.map(|loss| (loss * scale).round() as u8));
            largest +=
                entries.iter().filter_map(|part| part.iter().max()).map(|most| u16::from(*most)).sum::<u16>();
            let mut pair = Pair::default();
            pair.0.copy_from_slice(entries.as_flattened());
            self.pairs.push(pair);
        }
        (&self.pairs, largest)
    }
}
