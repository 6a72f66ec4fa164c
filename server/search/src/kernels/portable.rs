//! The kernels in plain Rust: what runs without vector instructions, and what the others are tested against.

use super::{Bits, CELLS, CODES, ExactTerm, GROUP, GROUPS, Rows, Sums, Tables};

pub(super) fn estimates(tables: &Tables, codes: &[u8], present: u64, sums: &mut [f32; GROUP]) {
    let (cells, rest) = codes.split_at(GROUP);
    let (shares, residuals) = rest.split_at(GROUP);
    let mut products = [0u16; GROUP];
    for (pair, bytes) in tables.luts.as_chunks::<2>().0.iter().zip(residuals.chunks_exact(GROUP)) {
        for (at, byte) in bytes.iter().enumerate() {
            let sum = pair[0][usize::from(byte & 15)] + pair[1][usize::from(byte >> 4)];
            products[item(at)] += u16::from(sum);
        }
    }
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum += if present >> at & 1 == 1 {
            let (cell, gain) = (usize::from(cells[at] & 63), usize::from(cells[at] >> 6));
            let share = tables.share_min + tables.share_step * f32::from(shares[at]);
            let squared = tables.base
                + tables.cells[cell] * share
                + tables.gains[gain] * (tables.offset + f32::from(products[at]));
            let lowered = squared - tables.near_slope * (tables.near[gain] - squared).max(0.0);
            tables.weight * lowered.max(0.0).sqrt()
        } else {
            tables.missing
        };
    }
}

/// The item that a byte of residual codes belongs to: even bytes hold the first half of the group, odd bytes the
/// second, so that splitting a register of bytes into words leaves both in order.
pub(super) fn item(byte: usize) -> usize {
    byte / 2 + byte % 2 * (GROUP / 2)
}

pub(super) fn distances(term: &ExactTerm<'_>, rows: Rows<'_>, present: u64, sums: &mut [f32; GROUP]) {
    let dim = term.query.len();
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum += if present >> at & 1 == 1 {
            term.weight * squared_distance(term.query, rows.row(at, dim)).sqrt()
        } else {
            term.missing
        };
    }
}

pub(super) fn squared_distance(query: &[f32], row: Rows<'_>) -> f32 {
    match row {
        Rows::F32(row) => squared(query, row, |v| *v),
        Rows::F16(row) => squared(query, row, |v| v.to_f32()),
    }
}

/// Differences are squared and summed rather than `2 - 2 q.r`, which loses half the digits of a near pair.
fn squared<T>(query: &[f32], row: &[T], value: impl Fn(&T) -> f32) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (queries, rows) = (query.as_chunks::<LANES>(), row.as_chunks::<LANES>());
    for (q, r) in queries.0.iter().zip(rows.0) {
        for lane in 0..LANES {
            let gap = q[lane] - value(&r[lane]);
            sums[lane] += gap * gap;
        }
    }
    let rest = queries.1.iter().zip(rows.1).map(|(q, r)| (q - value(r)).powi(2));
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}

/// Inlined into the other levels too, where the compiler makes it of their registers.
#[inline(always)]
pub(super) fn products(vector: &[f32], matrix: &[f32], out: &mut [f32]) {
    match out.len() {
        CELLS => products_of::<CELLS>(vector, matrix, out),
        CODES => products_of::<CODES>(vector, matrix, out),
        columns => {
            out.fill(0.0);
            for (value, row) in vector.iter().zip(matrix.chunks_exact(columns.max(1))) {
                out.iter_mut().zip(row).for_each(|(sum, entry)| *sum += value * entry);
            }
        }
    }
}

/// A known number of columns keeps the sums in registers.
#[inline(always)]
fn products_of<const COLUMNS: usize>(vector: &[f32], matrix: &[f32], out: &mut [f32]) {
    let mut sums = [0.0f32; COLUMNS];
    for (value, row) in vector.iter().zip(matrix.as_chunks::<COLUMNS>().0) {
        for (sum, entry) in sums.iter_mut().zip(row) {
            *sum += value * entry;
        }
    }
    out.copy_from_slice(&sums);
}

pub(super) fn finish(allowed: &Bits, sums: &mut Sums, minima: &mut [f32; GROUPS]) {
    for ((bits, sums), least) in allowed.iter().zip(sums.as_chunks_mut::<GROUP>().0).zip(minima) {
        *least = f32::INFINITY;
        for (at, sum) in sums.iter_mut().enumerate() {
            if bits >> at & 1 == 0 {
                *sum = f32::INFINITY;
            }
            *least = least.min(*sum);
        }
    }
}

pub(super) fn between(sums: &[f32; GROUP], (above, up_to): (f32, f32)) -> u64 {
    let bit = |at: usize| u64::from(sums[at] > above && sums[at] <= up_to) << at;
    (0..GROUP).fold(0, |bits, at| bits | bit(at))
}

impl<'a> Rows<'a> {
    /// One row of a group.
    #[must_use]
    pub fn row(self, at: usize, dim: usize) -> Self {
        match self {
            Self::F32(rows) => Self::F32(&rows[at * dim..][..dim]),
            Self::F16(rows) => Self::F16(&rows[at * dim..][..dim]),
        }
    }
}
