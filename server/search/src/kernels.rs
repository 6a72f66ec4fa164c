//! The inner loops of a scan, each with a portable twin, chosen once by what the processor can do.
//!
//! Everything here works on one block of [`BLOCK`] slots: it adds to a query's `sums`, one an item, what one head
//! contributes. Vectors stay in the caller's hands; no kernel allocates.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
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

/// What a query needs to estimate its distances to a column's coded signatures.
///
/// With c the item's cell, p its quantised share of the cell's centre, g its gain and e its residual codes, the
/// estimate of the squared distance is `s = base + cells[c] * (share_min + share_step * p) + gains[g] * (offset + sum
/// of luts[m][e_m])`, lowered to `s - near_slope * max(0, near[g] - s)`: see [`crate::codes::Codec`].
#[derive(Clone, Debug)]
pub struct Tables {
    /// Squared lengths of the query and of a signature.
    pub base: f32,
    /// By cell: -2 times the product of the query with the cell's centre.
    pub cells: [f32; CELLS],
    /// By gain: -2 times the gain times the step of the look-up tables.
    pub gains: [f32; GAINS],
    /// What the look-up tables were shifted by, in their steps.
    pub offset: f32,
    /// Least share of a centre.
    pub share_min: f32,
    /// Step of the quantised share.
    pub share_step: f32,
    /// By gain: squared distances below this are too large, and lowered by `near_slope` times what they lack.
    pub near: [f32; GAINS],
    /// See `near`.
    pub near_slope: f32,
    /// By residual code: its product with the query in steps, at most 127 so that two fit in a byte.
    pub luts: Vec<[u8; CODES]>,
    /// The head's weight.
    pub weight: f32,
    /// What an item without a signature adds: weight times expected distance.
    pub missing: f32,
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

/// Adds one head's estimated terms to the sums of a block; `codes` are its groups one after the other. Groups of
/// which no item is `wanted` are left as they are.
pub fn add_estimates(
    level: Instructions,
    tables: &Tables,
    codes: &[u8],
    (present, wanted): (&Bits, &Bits),
    next: &[u8],
    sums: &mut Sums,
) {
    let bytes = group_bytes(tables.luts.len());
    let codes = codes.chunks_exact(bytes);
    let groups = codes.zip(sums.as_chunks_mut::<GROUP>().0);
    for (at, ((codes, sums), (present, wanted))) in groups.zip(present.iter().zip(wanted)).enumerate() {
        // What few items of a filter lie in is not fetched for the others.
        if *wanted != 0
            && let Some(next) = next.get(at * bytes..(at + 1) * bytes)
        {
            #[cfg(target_arch = "x86_64")]
            avx2::prefetch(next);
        }
        match (level, *present) {
            (_, _) if *wanted == 0 => {}
            (_, 0) => sums.iter_mut().for_each(|s| *s += tables.missing),
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx512, present) => avx512::estimates(tables, codes, present, sums),
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx2, present) => avx2::estimates(tables, codes, present, sums),
            (_, present) => portable::estimates(tables, codes, present, sums),
        }
    }
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

/// Sets the sums of items that are not allowed to infinity, and writes the least of each group.
pub fn finish(level: Instructions, allowed: &Bits, sums: &mut Sums, minima: &mut [f32; GROUPS]) {
    match level {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => avx512::finish(allowed, sums, minima),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => avx2::finish(allowed, sums, minima),
        _ => portable::finish(allowed, sums, minima),
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
        _ => portable::between(sums, bounds),
    }
}

/// Asks the processor to fetch a row that will be scored soon; does nothing where it cannot be asked.
pub fn prefetch(row: Rows<'_>) {
    #[cfg(target_arch = "x86_64")]
    match row {
        Rows::F32(row) => avx2::prefetch(row),
        Rows::F16(row) => avx2::prefetch(row),
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}
