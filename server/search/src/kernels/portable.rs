//! The kernels in plain Rust: what runs without vector instructions, and what the others are tested against.

use super::{CELLS, CODES, CodedTerm, ExactTerm, GROUP, Rows, Tables, byte_of};

pub(super) fn estimates(terms: &[CodedTerm<'_>], group: usize, sums: &mut [f32; GROUP]) {
    for term in terms {
        let (tables, present) = (term.tables, term.present[group]);
        let (cells, shares, residuals) = term.group(group);
        for (at, sum) in sums.iter_mut().enumerate() {
            let byte = byte_of(at);
            *sum += if present >> at & 1 == 1 {
                let codes = residuals.chunks_exact(GROUP).map(|pair| pair[byte]);
                tables.weight * f32::from(half(tables, cells[byte], shares[byte], codes)).sqrt()
            } else {
                tables.missing
            };
        }
    }
}

/// Half the squared distance of an item.
fn half(tables: &Tables, cell: u8, share: u8, residuals: impl Iterator<Item = u8>) -> u16 {
    let pairs = tables.luts.as_chunks::<2>().0.iter().zip(residuals);
    let entries = pairs.map(|(pair, byte)| pair[0][usize::from(byte & 15)] + pair[1][usize::from(byte >> 4)]);
    let sum = entries.fold(tables.lut_offset, |sum, entry| sum.wrapping_add(i16::from(entry)));
    let gain = usize::from(cell >> 6);
    let residual = rounded_product(upper(tables.gains[gain]), sum.wrapping_mul(tables.lut_scale));
    let share = tables.share_min.wrapping_add(high_product(u16::from(share) << 8, tables.share_step) as i16);
    let centre = rounded_product(upper(tables.centres[usize::from(cell & 63)]), share);
    let half = tables.base.saturating_sub(centre).saturating_sub(residual).max(0) as u16;
    let near = high_product(u16::from(tables.near[gain]) << 8, tables.near_scale);
    let lack = near.saturating_sub(half);
    half.saturating_sub(high_product(2 * lack, tables.near_slope)).max(1)
}

/// A signed byte as the upper half of a word.
pub(super) fn upper(byte: i8) -> i16 {
    i16::from(byte) << 8
}

/// The product of two fractions of 2^15, rounded.
fn rounded_product(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b) + (1 << 14)) >> 15) as i16
}

/// The upper half of a product.
pub(super) fn high_product(a: u16, b: u16) -> u16 {
    ((u32::from(a) * u32::from(b)) >> 16) as u16
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
pub(super) fn product_of_quarters(vector: &[f32], bytes: &[u8]) -> f32 {
    const LANES: usize = 8;
    let (mut sums, mut rest) = ([0.0f32; LANES], 0.0);
    for (quarter, numbers) in vector.chunks(bytes.len().max(1)).enumerate() {
        let value = |byte: &u8| f32::from(byte >> (2 * quarter) & 3);
        let (whole, tail) = numbers.as_chunks::<LANES>();
        for (bytes, numbers) in bytes.as_chunks::<LANES>().0.iter().zip(whole) {
            for lane in 0..LANES {
                sums[lane] += value(&bytes[lane]) * numbers[lane];
            }
        }
        let tail = bytes[numbers.len() - tail.len()..].iter().zip(tail);
        rest += tail.map(|(byte, number)| value(byte) * number).sum::<f32>();
    }
    sums.iter().sum::<f32>() + rest
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

pub(super) fn nearest(vector: &[f32], matrix: &[f32], halves: &[f32], out: &mut [f32]) -> usize {
    products(vector, matrix, out);
    let mut best = (0, f32::NEG_INFINITY);
    for (at, (product, half)) in out.iter().zip(halves).enumerate() {
        if product - half > best.1 {
            best = (at, product - half);
        }
    }
    best.0
}

pub(super) fn finish(allowed: u64, sums: &mut [f32; GROUP]) -> f32 {
    let mut least = f32::INFINITY;
    for (at, sum) in sums.iter_mut().enumerate() {
        if allowed >> at & 1 == 0 {
            *sum = f32::INFINITY;
        }
        least = least.min(*sum);
    }
    least
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
