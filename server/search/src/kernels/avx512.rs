//! The kernels in AVX-512 F and BW.
#![allow(
    unsafe_code,
    reason = "intrinsics that read and write memory, and calls of functions that only some processors can run"
)]

use super::{Bits, CELLS, ExactTerm, GROUP, GROUPS, Rows, Sums, Tables, portable};
use half::f16;
use std::arch::x86_64::*;

/// Runs `$call`, a function compiled for AVX-512.
macro_rules! on_avx512 {
    ($call:expr) => {
        // SAFETY: this module's functions are called for `Instructions::Avx512` alone, which exists only where the
        // processor said that it has AVX-512 F and BW.
        unsafe { $call }
    };
}

pub(super) fn estimates(tables: &Tables, codes: &[u8], present: u64, sums: &mut [f32; GROUP]) {
    on_avx512!(estimates_inner(tables, codes, present, sums));
}

pub(super) fn distances(term: &ExactTerm<'_>, rows: Rows<'_>, present: u64, sums: &mut [f32; GROUP]) {
    on_avx512!(distances_inner(term, rows, present, sums));
}

pub(super) fn squared_distance(query: &[f32], row: Rows<'_>) -> f32 {
    on_avx512!(squared_inner(query, row))
}

pub(super) fn products(vector: &[f32], matrix: &[f32], out: &mut [f32]) {
    on_avx512!(products_inner(vector, matrix, out));
}

#[target_feature(enable = "avx512f,avx512bw")]
fn products_inner(vector: &[f32], matrix: &[f32], out: &mut [f32]) {
    portable::products(vector, matrix, out);
}

pub(super) fn finish(allowed: &Bits, sums: &mut Sums, minima: &mut [f32; GROUPS]) {
    on_avx512!(finish_inner(allowed, sums, minima));
}

pub(super) fn between(sums: &[f32; GROUP], bounds: (f32, f32)) -> u64 {
    on_avx512!(between_inner(sums, bounds))
}

#[target_feature(enable = "avx512f,avx512bw")]
fn between_inner(sums: &[f32; GROUP], (above, up_to): (f32, f32)) -> u64 {
    let (above, up_to) = (_mm512_set1_ps(above), _mm512_set1_ps(up_to));
    let quarters = sums.as_chunks::<16>().0.iter().enumerate();
    quarters.fold(0, |bits, (quarter, sums)| {
        let sums = load16(sums);
        let is_above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(sums, above);
        let found = _mm512_mask_cmp_ps_mask::<_CMP_LE_OQ>(is_above, sums, up_to);
        bits | u64::from(found) << (16 * quarter)
    })
}

#[target_feature(enable = "avx512f,avx512bw")]
fn estimates_inner(tables: &Tables, codes: &[u8], present: u64, sums: &mut [f32; GROUP]) {
    let (head, residuals) = codes.split_at(2 * GROUP);
    let (first, second) = look_up(&tables.luts, residuals);
    let wide = [
        _mm512_cvtepu16_epi32(_mm512_castsi512_si256(first)),
        _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(first)),
        _mm512_cvtepu16_epi32(_mm512_castsi512_si256(second)),
        _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(second)),
    ];
    let cell_table = load_floats(&tables.cells);
    let gain_table = _mm512_broadcast_f32x4(load_four(&tables.gains));
    let near_table = _mm512_broadcast_f32x4(load_four(&tables.near));
    let near_slope = _mm512_set1_ps(tables.near_slope);
    let (base, offset) = (_mm512_set1_ps(tables.base), _mm512_set1_ps(tables.offset));
    let (share_min, share_step) = (_mm512_set1_ps(tables.share_min), _mm512_set1_ps(tables.share_step));
    let (weight, missing) = (_mm512_set1_ps(tables.weight), _mm512_set1_ps(tables.missing));
    let (cells, shares) = (head[..GROUP].as_chunks::<16>().0, head[GROUP..].as_chunks::<16>().0);
    for (quarter, product) in wide.into_iter().enumerate() {
        let cell = _mm512_cvtepu8_epi32(load_bytes16(&cells[quarter]));
        let share = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_bytes16(&shares[quarter])));
        let product = _mm512_add_ps(_mm512_cvtepi32_ps(product), offset);
        let level = _mm512_srli_epi32::<6>(cell);
        let gain = _mm512_permutevar_ps(gain_table, level);
        let near = _mm512_permutevar_ps(near_table, level);
        let lower = _mm512_permutex2var_ps(cell_table[0], cell, cell_table[1]);
        let upper = _mm512_permutex2var_ps(cell_table[2], cell, cell_table[3]);
        let is_upper = _mm512_test_epi32_mask(cell, _mm512_set1_epi32(32));
        let centre = _mm512_mask_blend_ps(is_upper, lower, upper);
        let share = _mm512_fmadd_ps(share_step, share, share_min);
        let squared = _mm512_fmadd_ps(gain, product, _mm512_fmadd_ps(centre, share, base));
        let lack = _mm512_max_ps(_mm512_sub_ps(near, squared), _mm512_setzero_ps());
        let squared = _mm512_fnmadd_ps(near_slope, lack, squared);
        // The root as x * (1 / root x), to 14 bits: plenty for an estimate and a fifth of the time. The least
        // value keeps the reciprocal finite.
        let squared = _mm512_max_ps(squared, _mm512_set1_ps(1e-12));
        let root = _mm512_mul_ps(squared, _mm512_rsqrt14_ps(squared));
        let term = _mm512_mask_mul_ps(missing, (present >> (16 * quarter)) as __mmask16, weight, root);
        add_to(&mut sums.as_chunks_mut::<16>().0[quarter], term);
    }
}

/// Sums of the look-ups of all residual codes: words of items 0 to 31, and of items 32 to 63.
#[target_feature(enable = "avx512f,avx512bw")]
fn look_up(luts: &[[u8; 16]], residuals: &[u8]) -> (__m512i, __m512i) {
    let low = _mm512_set1_epi8(15);
    let (mut all, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (pair, bytes) in luts.as_chunks::<2>().0.iter().zip(residuals.as_chunks::<GROUP>().0) {
        let codes = load_bytes64(bytes);
        let a = _mm512_shuffle_epi8(broadcast(&pair[0]), _mm512_and_si512(codes, low));
        let b =
            _mm512_shuffle_epi8(broadcast(&pair[1]), _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low));
        let sum = _mm512_add_epi8(a, b);
        all = _mm512_add_epi16(all, sum);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(sum));
    }
    // `all` has the odd bytes 256 times too; words wrap, so taking them away leaves the even ones.
    (_mm512_sub_epi16(all, _mm512_slli_epi16::<8>(odd)), odd)
}

#[target_feature(enable = "avx512f,avx512bw")]
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

#[target_feature(enable = "avx512f,avx512bw")]
fn squared_inner(query: &[f32], row: Rows<'_>) -> f32 {
    let (queries, rest) = query.as_chunks::<16>();
    let mut sum = _mm512_setzero_ps();
    let tail = match row {
        Rows::F32(row) => {
            let (rows, tail) = row.as_chunks::<16>();
            for (q, r) in queries.iter().zip(rows) {
                let gap = _mm512_sub_ps(load16(q), load16(r));
                sum = _mm512_fmadd_ps(gap, gap, sum);
            }
            Rows::F32(tail)
        }
        Rows::F16(row) => {
            let (rows, tail) = row.as_chunks::<16>();
            for (q, r) in queries.iter().zip(rows) {
                let gap = _mm512_sub_ps(load16(q), _mm512_cvtph_ps(load_halves(r)));
                sum = _mm512_fmadd_ps(gap, gap, sum);
            }
            Rows::F16(tail)
        }
    };
    let sum = _mm512_reduce_add_ps(sum);
    if rest.is_empty() { sum } else { sum + portable::squared_distance(rest, tail) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn finish_inner(allowed: &Bits, sums: &mut Sums, minima: &mut [f32; GROUPS]) {
    let infinity = _mm512_set1_ps(f32::INFINITY);
    for ((bits, sums), least) in allowed.iter().zip(sums.as_chunks_mut::<GROUP>().0).zip(minima) {
        let mut all = infinity;
        for (quarter, sums) in sums.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let kept = _mm512_mask_mov_ps(infinity, (bits >> (16 * quarter)) as __mmask16, load16(sums));
            store16(sums, kept);
            all = _mm512_min_ps(all, kept);
        }
        *least = _mm512_reduce_min_ps(all);
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn load_floats(table: &[f32; CELLS]) -> [__m512; 4] {
    let parts = table.as_chunks::<16>().0;
    [load16(&parts[0]), load16(&parts[1]), load16(&parts[2]), load16(&parts[3])]
}

#[target_feature(enable = "avx512f,avx512bw")]
fn add_to(sums: &mut [f32; 16], term: __m512) {
    let sum = _mm512_add_ps(load16(sums), term);
    store16(sums, sum);
}

#[target_feature(enable = "avx512f,avx512bw")]
fn load16(values: &[f32; 16]) -> __m512 {
    // SAFETY: the array is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn store16(values: &mut [f32; 16], register: __m512) {
    // SAFETY: the array is 64 writable bytes; the store needs no alignment.
    unsafe { _mm512_storeu_ps(values.as_mut_ptr(), register) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn load_four(values: &[f32; 4]) -> __m128 {
    // SAFETY: the array is 16 readable bytes; the load needs no alignment.
    unsafe { _mm_loadu_ps(values.as_ptr()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn load_bytes64(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the array is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn load_bytes16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the array is 16 readable bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn load_halves(values: &[f16; 16]) -> __m256i {
    // SAFETY: the array is 32 readable bytes (f16 is two); the load needs no alignment.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn broadcast(lut: &[u8; 16]) -> __m512i {
    _mm512_broadcast_i32x4(load_bytes16(lut))
}
