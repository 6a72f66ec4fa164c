//! The kernels in NEON, but for those that only multiply and add: NEON is part of aarch64, so that the compiler makes those
//! of its registers from plain Rust. Nothing is fetched ahead, since stable Rust has no intrinsic that does.
#![allow(
    unsafe_code,
    reason = "intrinsics that read and write memory, and calls that need the processor's word"
)]

use super::{CELLS, CodedTerm, ExactTerm, GROUP, Rows, Tables, portable};
use half::f16;
use std::arch::aarch64::*;

/// Runs `$call`, a function compiled for NEON.
macro_rules! on_neon {
    ($call:expr) => {
        // SAFETY: this module's functions are called for `Instructions::Neon` alone, which exists only where the
        // processor has NEON.
        unsafe { $call }
    };
}

pub(super) fn estimates(terms: &[CodedTerm<'_>], group: usize, sums: &mut [f32; GROUP]) {
    on_neon!(estimates_inner(terms, group, sums));
}

pub(super) fn distances(term: &ExactTerm<'_>, rows: Rows<'_>, present: u64, sums: &mut [f32; GROUP]) {
    on_neon!(distances_inner(term, rows, present, sums));
}

pub(super) fn squared_distance(query: &[f32], row: Rows<'_>) -> f32 {
    on_neon!(squared_inner(query, row))
}

pub(super) fn nearest(vector: &[f32], matrix: &[f32], halves: &[f32], out: &mut [f32]) -> usize {
    on_neon!(nearest_inner(vector, matrix, halves, out))
}

pub(super) fn finish(allowed: u64, sums: &mut [f32; GROUP]) -> f32 {
    on_neon!(finish_inner(allowed, sums))
}

pub(super) fn between(sums: &[f32; GROUP], bounds: (f32, f32)) -> u64 {
    on_neon!(between_inner(sums, bounds))
}

#[target_feature(enable = "neon")]
fn nearest_inner(vector: &[f32], matrix: &[f32], halves: &[f32], out: &mut [f32]) -> usize {
    let (fours, rest) = halves.as_chunks::<4>();
    if !rest.is_empty() || out.len() != halves.len() {
        return portable::nearest(vector, matrix, halves, out);
    }
    portable::products(vector, matrix, out);
    let (products, _) = out.as_chunks::<4>();
    let mut most = vdupq_n_f32(f32::NEG_INFINITY);
    for (products, halves) in products.iter().zip(fours) {
        most = vmaxnmq_f32(most, vsubq_f32(load4(products), load4(halves)));
    }
    let most = vdupq_n_f32(vmaxnmvq_f32(most));
    for (four, (products, halves)) in products.iter().zip(fours).enumerate() {
        let is_most = vceqq_f32(most, vsubq_f32(load4(products), load4(halves)));
        let found = vaddvq_u32(vandq_u32(is_most, bit_of_lane()));
        if found != 0 {
            return 4 * four + found.trailing_zeros() as usize;
        }
    }
    0
}

#[target_feature(enable = "neon")]
fn estimates_inner(terms: &[CodedTerm<'_>], group: usize, sums: &mut [f32; GROUP]) {
    // By eight items: the first four and the others.
    let mut all = [[vdupq_n_f32(0.0); 2]; 8];
    for term in terms {
        let (tables, present) = (term.tables, term.present[group]);
        let missing = vdupq_n_f32(tables.missing);
        if present == 0 {
            all.as_flattened_mut().iter_mut().for_each(|sum| *sum = vaddq_f32(*sum, missing));
            continue;
        }
        let halves = halves(tables, term.group(group));
        let weight = vdupq_n_f32(tables.weight);
        if present == u64::MAX {
            for (half, sums) in halves.into_iter().zip(&mut all) {
                let [first, second] = roots(half);
                sums[0] = vfmaq_f32(sums[0], weight, first);
                sums[1] = vfmaq_f32(sums[1], weight, second);
            }
            continue;
        }
        for (eight, (half, sums)) in halves.into_iter().zip(&mut all).enumerate() {
            for (at, root) in roots(half).into_iter().enumerate() {
                let there = lanes(present >> (8 * eight + 4 * at));
                let term = vbslq_f32(there, vmulq_f32(weight, root), missing);
                sums[at] = vaddq_f32(sums[at], term);
            }
        }
    }
    for (sum, out) in all.as_flattened().iter().zip(sums.as_chunks_mut::<4>().0) {
        store4(out, vaddq_f32(load4(out), *sum));
    }
}

/// Roots of eight words above 0.
#[target_feature(enable = "neon")]
#[inline]
fn roots(words: uint16x8_t) -> [float32x4_t; 2] {
    [vmovl_u16(vget_low_u16(words)), vmovl_high_u16(words)].map(|words| {
        // The root as x * (1 / root x): the processor's guess has 8 bits, one step of Newton's makes 16 of them.
        let word = vcvtq_f32_u32(words);
        let guess = vrsqrteq_f32(word);
        let root = vmulq_f32(word, guess);
        vmulq_f32(root, vrsqrtsq_f32(root, guess))
    })
}

/// Halves of squared distances, in words, by eight items.
#[target_feature(enable = "neon")]
#[inline]
fn halves(
    tables: &Tables,
    (cells, shares, residuals): (&[u8; GROUP], &[u8; GROUP], &[u8]),
) -> [uint16x8_t; 8] {
    let sums = look_up(tables, residuals);
    let mut out = [vdupq_n_u16(0); 8];
    let (cells, shares) = (cells.as_chunks::<16>().0, shares.as_chunks::<16>().0);
    let (gains, near) = (load_four(bytemuck::cast(tables.gains)), load_four(tables.near));
    for (at, (cells, shares)) in cells.iter().zip(shares).enumerate() {
        let (cells, shares) = (load_bytes16(cells), load_bytes16(shares));
        let gain = vshrq_n_u8::<6>(cells);
        let bytes =
            [centres(&tables.centres, cells), shares, vqtbl1q_u8(gains, gain), vqtbl1q_u8(near, gain)];
        let words = bytes.map(|bytes| vreinterpretq_u16_u8(bytes));
        out[at] = half(tables, words.map(|words| vshlq_n_u16::<8>(words)), sums[at]);
        let upper = vdupq_n_u16(0xff00);
        out[4 + at] = half(tables, words.map(|words| vandq_u16(words, upper)), sums[4 + at]);
    }
    out
}

/// Halves of the squared distances of eight items, from the upper halves of words and the sums of look-ups.
#[target_feature(enable = "neon")]
#[inline]
fn half(tables: &Tables, [centre, share, gain, near]: [uint16x8_t; 4], sum: uint16x8_t) -> uint16x8_t {
    let share = vaddq_s16(signed(high_product(share, tables.share_step)), vdupq_n_s16(tables.share_min));
    // Unlike the plain kernel's, this product saturates where both factors are -2^15: centres and gains are not.
    let centre = vqrdmulhq_s16(signed(centre), share);
    let sum = vmulq_s16(signed(sum), vdupq_n_s16(tables.lut_scale));
    let residual = vqrdmulhq_s16(signed(gain), sum);
    let half = vqsubq_s16(vqsubq_s16(vdupq_n_s16(tables.base), centre), residual);
    let half = vreinterpretq_u16_s16(vmaxq_s16(half, vdupq_n_s16(0)));
    let lack = vqsubq_u16(high_product(near, tables.near_scale), half);
    let lowered = high_product(vaddq_u16(lack, lack), tables.near_slope);
    vmaxq_u16(vqsubq_u16(half, lowered), vdupq_n_u16(1))
}

/// The upper halves of products.
#[target_feature(enable = "neon")]
#[inline]
fn high_product(words: uint16x8_t, factor: u16) -> uint16x8_t {
    let factor = vdupq_n_u16(factor);
    let first = vmull_u16(vget_low_u16(words), vget_low_u16(factor));
    let second = vmull_high_u16(words, factor);
    vuzp2q_u16(vreinterpretq_u16_u32(first), vreinterpretq_u16_u32(second))
}

/// By item, the entry of its cell.
#[target_feature(enable = "neon")]
#[inline]
fn centres(table: &[i8; CELLS], cells: uint8x16_t) -> uint8x16_t {
    let (parts, _) = table.as_chunks::<16>();
    let [a, b, c, d] = [0, 1, 2, 3].map(|at| load_bytes16(bytemuck::cast_ref(&parts[at])));
    vqtbl4q_u8(uint8x16x4_t(a, b, c, d), vandq_u8(cells, vdupq_n_u8(63)))
}

/// Shifted sums of the look-ups of all residual codes, in words, by eight items.
#[target_feature(enable = "neon")]
#[inline]
fn look_up(tables: &Tables, residuals: &[u8]) -> [uint16x8_t; 8] {
    let odd = vdupq_n_u16(tables.lut_offset.cast_unsigned());
    // As sums of bytes: even ones and 256 times the odd ones.
    let mut all = [vaddq_u16(odd, vshlq_n_u16::<8>(odd)); 4];
    let mut odd = [odd; 4];
    let (fours, twos) = tables.luts.as_chunks::<4>();
    let (pairs, rest) = residuals.as_chunks::<{ 2 * GROUP }>();
    for (four, bytes) in fours.iter().zip(pairs) {
        let luts = four.each_ref().map(|lut| load_bytes16(lut));
        let (first, second) = bytes.split_at(GROUP);
        let both = first.as_chunks::<16>().0.iter().zip(second.as_chunks::<16>().0);
        for (quarter, (first, second)) in both.enumerate() {
            let sum = vreinterpretq_u16_u8(vaddq_u8(
                look_up_two([luts[0], luts[1]], load_bytes16(first)),
                look_up_two([luts[2], luts[3]], load_bytes16(second)),
            ));
            all[quarter] = vaddq_u16(all[quarter], sum);
            odd[quarter] = vsraq_n_u16::<8>(odd[quarter], sum);
        }
    }
    for (two, bytes) in twos.as_chunks::<2>().0.iter().zip(rest.as_chunks::<GROUP>().0) {
        let luts = two.each_ref().map(|lut| load_bytes16(lut));
        for (quarter, bytes) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let sum = vreinterpretq_u16_u8(look_up_two(luts, load_bytes16(bytes)));
            all[quarter] = vaddq_u16(all[quarter], sum);
            odd[quarter] = vsraq_n_u16::<8>(odd[quarter], sum);
        }
    }
    // Words wrap, so taking the odd bytes away leaves the even ones.
    std::array::from_fn(|at| match at {
        0..4 => vsubq_u16(all[at], vshlq_n_u16::<8>(odd[at])),
        _ => odd[at - 4],
    })
}

/// Sums of the look-ups of two codes a byte, in bytes.
#[target_feature(enable = "neon")]
#[inline]
fn look_up_two(luts: [uint8x16_t; 2], codes: uint8x16_t) -> uint8x16_t {
    let a = vqtbl1q_u8(luts[0], vandq_u8(codes, vdupq_n_u8(15)));
    vaddq_u8(a, vqtbl1q_u8(luts[1], vshrq_n_u8::<4>(codes)))
}

#[target_feature(enable = "neon")]
fn distances_inner(term: &ExactTerm<'_>, rows: Rows<'_>, present: u64, sums: &mut [f32; GROUP]) {
    let dim = term.query.len();
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum += if present >> at & 1 == 1 {
            term.weight * squared_inner(term.query, rows.row(at, dim)).sqrt()
        } else {
            term.missing
        };
    }
}

#[target_feature(enable = "neon")]
fn squared_inner(query: &[f32], row: Rows<'_>) -> f32 {
    let (queries, rest) = query.as_chunks::<16>();
    let mut sums = [vdupq_n_f32(0.0); 4];
    let tail = match row {
        Rows::F32(row) => {
            let (rows, tail) = row.as_chunks::<16>();
            for (q, r) in queries.iter().zip(rows) {
                for (quarter, (q, r)) in q.as_chunks::<4>().0.iter().zip(r.as_chunks::<4>().0).enumerate() {
                    let gap = vsubq_f32(load4(q), load4(r));
                    sums[quarter] = vfmaq_f32(sums[quarter], gap, gap);
                }
            }
            Rows::F32(tail)
        }
        Rows::F16(row) => {
            let (rows, tail) = row.as_chunks::<16>();
            for (q, r) in queries.iter().zip(rows) {
                for (quarter, (q, r)) in q.as_chunks::<4>().0.iter().zip(r.as_chunks::<4>().0).enumerate() {
                    let gap = vsubq_f32(load4(q), load_halves(r));
                    sums[quarter] = vfmaq_f32(sums[quarter], gap, gap);
                }
            }
            Rows::F16(tail)
        }
    };
    let sum = vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])));
    if rest.is_empty() { sum } else { sum + portable::squared_distance(rest, tail) }
}

#[target_feature(enable = "neon")]
fn finish_inner(allowed: u64, sums: &mut [f32; GROUP]) -> f32 {
    let infinity = vdupq_n_f32(f32::INFINITY);
    let mut least = infinity;
    for (four, sums) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let mut kept = load4(sums);
        if allowed != u64::MAX {
            kept = vbslq_f32(lanes(allowed >> (4 * four)), kept, infinity);
            store4(sums, kept);
        }
        least = vminnmq_f32(least, kept);
    }
    vminnmvq_f32(least)
}

#[target_feature(enable = "neon")]
fn between_inner(sums: &[f32; GROUP], (above, up_to): (f32, f32)) -> u64 {
    let (above, up_to) = (vdupq_n_f32(above), vdupq_n_f32(up_to));
    let found = |sums: &[f32; 4]| {
        let sums = load4(sums);
        vreinterpretq_u16_u32(vandq_u32(vcgtq_f32(sums, above), vcleq_f32(sums, up_to)))
    };
    let bit_of_byte = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    let mut quarters = [vdupq_n_u8(0); 4];
    for (bits, sixteen) in quarters.iter_mut().zip(sums.as_chunks::<4>().0.as_chunks::<4>().0) {
        let [a, b, c, d] = sixteen.each_ref().map(found);
        let (first, second) = (vuzp1q_u16(a, b), vuzp1q_u16(c, d));
        let bytes = vuzp1q_u8(vreinterpretq_u8_u16(first), vreinterpretq_u8_u16(second));
        *bits = vandq_u8(bytes, bit_of_byte);
    }
    // Sums of neighbours, three times: a byte has the bits of eight.
    let bits = vpaddq_u8(vpaddq_u8(quarters[0], quarters[1]), vpaddq_u8(quarters[2], quarters[3]));
    vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(bits, bits)))
}

/// All ones in the lanes whose bit is set, of the lowest four.
#[target_feature(enable = "neon")]
fn lanes(bits: u64) -> uint32x4_t {
    vtstq_u32(vdupq_n_u32(bits as u32), bit_of_lane())
}

/// One bit a lane.
#[target_feature(enable = "neon")]
fn bit_of_lane() -> uint32x4_t {
    // SAFETY: the array is 16 readable bytes; the load needs no alignment.
    unsafe { vld1q_u32([1, 2, 4, 8].as_ptr()) }
}

#[target_feature(enable = "neon")]
fn signed(words: uint16x8_t) -> int16x8_t {
    vreinterpretq_s16_u16(words)
}

#[target_feature(enable = "neon")]
fn load4(values: &[f32; 4]) -> float32x4_t {
    // SAFETY: the array is 16 readable bytes; the load needs no alignment.
    unsafe { vld1q_f32(values.as_ptr()) }
}

#[target_feature(enable = "neon")]
fn store4(values: &mut [f32; 4], register: float32x4_t) {
    // SAFETY: the array is 16 writable bytes; the store needs no alignment.
    unsafe { vst1q_f32(values.as_mut_ptr(), register) }
}

#[target_feature(enable = "neon")]
fn load_halves(values: &[f16; 4]) -> float32x4_t {
    // SAFETY: the array is 8 readable bytes (f16 is two); the load needs no alignment.
    let halves = unsafe { vld1_u16(values.as_ptr().cast()) };
    vcvt_f32_f16(vreinterpret_f16_u16(halves))
}

#[target_feature(enable = "neon")]
fn load_bytes16(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the array is 16 readable bytes; the load needs no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// A table of four entries, repeated.
#[target_feature(enable = "neon")]
fn load_four(bytes: [u8; 4]) -> uint8x16_t {
    vreinterpretq_u8_u32(vdupq_n_u32(u32::from_le_bytes(bytes)))
}
