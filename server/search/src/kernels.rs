//! The inner loops of a scan, each with a portable twin, chosen once by what the processor can do.
//!
//! Everything here works on one group of [`GROUP`] slots: it adds to a query's `sums`, one an item, what heads
//! contribute. Vectors stay in the caller's hands; no kernel allocates.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;

use crate::Instructions;
use half::f16;

/// Slots a block, a multiple of [`GROUP`].
pub const BLOCK: usize = 1024;
/// Items whose codes lie together: as many as a 64-byte register has bytes.
pub const GROUP: usize = 64;
/// Groups a block.
pub const GROUPS: usize = BLOCK / GROUP;
/// Coarse cells of a column's codec.
pub const CELLS: usize = 64;
/// Gain levels of a column's codec.
pub const GAINS: usize = 4;
/// Entries of a residual codebook.
pub const CODES: usize = 16;

/// One float an item of a block.
pub type Sums = [f32; BLOCK];
/// One bit an item of a block.
pub type Bits = [u64; GROUPS];

/// What a query needs to estimate its distances to a column's coded signatures, in integers.
///
/// With c the item's cell, p its share, g its gain and e its residual codes, half the squared distance is
/// `h = base - centres[c] * (share_min + p * share_step) - gains[g] * lut_scale * (lut_offset + sum of luts[m][e_m])`,
/// and at least 0, lowered to `h - near_slope * max(0, near[g] * near_scale - h)`, and at least 1: see
/// [`crate::codes::Codec`]. It adds `weight * sqrt(h)` to the item's sum. How far each product is shifted is written
/// down in the plain kernel.
#[derive(Clone, Debug)]
pub struct Tables {
    /// Half the squared lengths of the query and of a signature.
    pub base: i16,
    /// By cell: the query along its centre, at least -127.
    pub centres: [i8; CELLS],
    /// Least share of a centre.
    pub share_min: i16,
    /// Step of the quantised share.
    pub share_step: u16,
    /// By residual code: its product with the query in steps, such that the entries of four fit in a byte.
    pub luts: Vec<[u8; CODES]>,
    /// What the look-up tables were shifted by, in their steps.
    pub lut_offset: i16,
    /// Makes the most of a word.
    pub lut_scale: i16,
    /// By gain, at least 0.
    pub gains: [i8; GAINS],
    /// By gain: halves of squared distances below this are too large, and lowered by `near_slope` times what they lack.
    pub near: [u8; GAINS],
    /// See `near`.
    pub near_scale: u16,
    /// See `near`.
    pub near_slope: u16,
    /// For processors that look words up.
    pub words: WordTables,
    /// The head's weight, for the root of `h`.
    pub weight: f32,
    /// What an item without a signature adds: weight times expected distance.
    pub missing: f32,
}

/// What of a query's tables is looked up by cell or gain, as words.
#[derive(Clone, Debug)]
pub struct WordTables {
    /// The centres as upper halves of words, in two registers.
    pub centres: [[i16; CELLS / 2]; 2],
    /// The gains as upper halves of words.
    pub gains: [i16; GAINS],
    /// The products of `near` and `near_scale`.
    pub near: [u16; GAINS],
}

impl WordTables {
    /// Those of a query.
    #[must_use]
    pub fn of(centres: [i8; CELLS], gains: [i8; GAINS], near: [u8; GAINS], near_scale: u16) -> Self {
        let near = near.map(|near| portable::high_product(u16::from(near) << 8, near_scale));
        Self {
            centres: bytemuck::cast(centres.map(portable::upper)),
            gains: gains.map(portable::upper),
            near,
        }
    }
}

/// One head of a query over one block.
#[derive(Clone, Copy, Debug)]
pub struct CodedTerm<'a> {
    /// The query's tables.
    pub tables: &'a Tables,
    /// The block's codes, its groups one after the other.
    pub codes: &'a [u8],
    /// Items that have a signature.
    pub present: &'a Bits,
    /// The codes of the block that is read next; empty where there is none.
    pub next: &'a [u8],
}

/// Exact signatures of one group, `[GROUP, dim]`.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision.
    F16(&'a [f16]),
}

/// What a query needs to score exact signatures.
#[derive(Clone, Copy, Debug)]
pub struct ExactTerm<'a> {
    /// Unit vector.
    pub query: &'a [f32],
    /// The head's weight.
    pub weight: f32,
    /// What an item without a signature adds.
    pub missing: f32,
}

/// Groups whose codes are fetched before they are read.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 4;

/// Adds the estimated terms of several heads to the sums of one group.
pub fn add_estimates(level: Instructions, terms: &[CodedTerm<'_>], group: usize, sums: &mut [f32; GROUP]) {
    match level {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => avx512::estimates(terms, group, sums),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => avx2::estimates(terms, group, sums),
        #[cfg(target_arch = "aarch64")]
        Instructions::Neon => neon::estimates(terms, group, sums),
        _ => portable::estimates(terms, group, sums),
    }
}

impl<'a> CodedTerm<'a> {
    /// The codes of a group: cells and gains, shares, residual codes.
    fn group(&self, group: usize) -> (&'a [u8; GROUP], &'a [u8; GROUP], &'a [u8]) {
        const NONE: &[u8; GROUP] = &[0; GROUP];
        let bytes = group_bytes(self.tables.luts.len());
        let codes = self.codes.get(group * bytes..(group + 1) * bytes).unwrap_or_default();
        match codes.as_chunks::<GROUP>().0 {
            [cells, shares, ..] => (cells, shares, &codes[2 * GROUP..]),
            _ => (NONE, NONE, &[]),
        }
    }

    /// The codes of a group that is read soon; empty where there is none.
    #[cfg(target_arch = "x86_64")]
    fn ahead(&self, group: usize) -> &'a [u8] {
        let bytes = group_bytes(self.tables.luts.len());
        let group = group + AHEAD;
        let (codes, group) = if group < GROUPS { (self.codes, group) } else { (self.next, group - GROUPS) };
        codes.get(group * bytes..(group + 1) * bytes).unwrap_or_default()
    }
}

/// Where the byte of an item lies among the 64 of a group: those of the first half of the items are the even ones, so
/// that splitting a register of bytes into words leaves both halves in order.
#[must_use]
pub fn byte_of(item: usize) -> usize {
    item % (GROUP / 2) * 2 + item / (GROUP / 2)
}

/// Bytes of one group of codes with `subs` residual codes an item, an even number.
#[must_use]
pub fn group_bytes(subs: usize) -> usize {
    GROUP * (2 + subs / 2)
}

/// Adds one head's exact terms to the sums of a group.
pub fn add_distances(
    level: Instructions,
    term: &ExactTerm<'_>,
    rows: Rows<'_>,
    present: u64,
    sums: &mut [f32; GROUP],
) {
    match level {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => avx512::distances(term, rows, present, sums),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => avx2::distances(term, rows, present, sums),
        #[cfg(target_arch = "aarch64")]
        Instructions::Neon => neon::distances(term, rows, present, sums),
        _ => portable::distances(term, rows, present, sums),
    }
}

/// Squared Euclidean distance of a query to one stored row.
#[must_use]
pub fn squared_distance(level: Instructions, query: &[f32], row: Rows<'_>) -> f32 {
    match level {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => avx512::squared_distance(query, row),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => avx2::squared_distance(query, row),
        #[cfg(target_arch = "aarch64")]
        Instructions::Neon => neon::squared_distance(query, row),
        _ => portable::squared_distance(query, row),
    }
}

/// Products of a vector with the columns of a `[vector.len(), out.len()]` matrix.
pub fn products(level: Instructions, vector: &[f32], matrix: &[f32], out: &mut [f32]) {
    match level {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => avx512::products(vector, matrix, out),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => avx2::products(vector, matrix, out),
        _ => portable::products(vector, matrix, out),
    }
}

/// The column of a `[vector.len(), out.len()]` matrix that is nearest to a vector, the first of equal ones: that of the largest
/// product, less half the squared length of the column, which `halves` has. `out` gets the products.
pub fn nearest(
    level: Instructions,
    vector: &[f32],
    matrix: &[f32],
    halves: &[f32],
    out: &mut [f32],
) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        // Sixteen columns are two of its registers.
        Instructions::Avx2 | Instructions::Avx512 => avx2::nearest(vector, matrix, halves, out),
        #[cfg(target_arch = "aarch64")]
        Instructions::Neon => neon::nearest(vector, matrix, halves, out),
        _ => portable::nearest(vector, matrix, halves, out),
    }
}

/// The product of `vector` with numbers of two bits: byte b of n has those of b, n + b, 2 n + b and 3 n + b, from its lowest bits on.
#[must_use]
pub fn product_of_quarters(level: Instructions, vector: &[f32], bytes: &[u8]) -> f32 {
    match level {
        #[cfg(target_arch = "x86_64")]
        // Nothing is won by longer registers: 64 numbers are 16 bytes.
        Instructions::Avx2 | Instructions::Avx512 => avx2::product_of_quarters(vector, bytes),
        _ => portable::product_of_quarters(vector, bytes),
    }
}

/// Sets the sums of a group's items that are not allowed to infinity, and returns the least.
pub fn finish(level: Instructions, allowed: u64, sums: &mut [f32; GROUP]) -> f32 {
    match level {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => avx512::finish(allowed, sums),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => avx2::finish(allowed, sums),
        #[cfg(target_arch = "aarch64")]
        Instructions::Neon => neon::finish(allowed, sums),
        _ => portable::finish(allowed, sums),
    }
}

/// Which sums of a group are above the first bound and at most the second.
#[must_use]
pub fn between(level: Instructions, sums: &[f32; GROUP], bounds: (f32, f32)) -> u64 {
    match level {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => avx512::between(sums, bounds),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => avx2::between(sums, bounds),
        #[cfg(target_arch = "aarch64")]
        Instructions::Neon => neon::between(sums, bounds),
        _ => portable::between(sums, bounds),
    }
}

/// Asks the processor to fetch a row that will be scored soon; does nothing where it cannot be asked.
pub fn prefetch(row: Rows<'_>) {
    match row {
        Rows::F32(row) => prefetch_values(row),
        Rows::F16(row) => prefetch_values(row),
    }
}

/// The same of any values that will be read soon.
pub fn prefetch_values<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    avx2::prefetch(values);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}
