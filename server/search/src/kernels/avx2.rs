//! The kernels in AVX2, FMA and F16C.
#![allow(
    unsafe_code,
    reason = "intrinsics that read and write memory, and calls that need the processor's word"
)]

use super::{Bits, ExactTerm, GROUP, GROUPS, Rows, Sums, Tables, portable};
use half::f16;
use std::arch::x86_64::*;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Runs `$call`, a function compiled for AVX2.
macro_rules! on_avx2 {
    ($call:expr) => {
        // SAFETY: this module's functions are called for `Instructions::Avx2` alone, which exists only where the
        // processor said that it has AVX2, FMA and F16C.
        unsafe { $call }
    };
}

pub(super) fn estimates(tables: &Tables, codes: &[u8], present: u64, sums: &mut [f32; GROUP]) {
    on_avx2!(estimates_inner(tables, codes, present, sums));
}

pub(super) fn distances(term: &ExactTerm<'_>, rows: Rows<'_>, present: u64, sums: &mut [f32; GROUP]) {
    on_avx2!(distances_inner(term, rows, present, sums));
}

pub(super) fn squared_distance(query: &[f32], row: Rows<'_>) -> f32 {
    on_avx2!(squared_inner(query, row))
}

pub(super) fn products(vector: &[f32], matrix: &[f32], out: &mut [f32]) {
    on_avx2!(products_inner(vector, matrix, out));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn products_inner(vector: &[f32], matrix: &[f32], out: &mut [f32]) {
    portable::products(vector, matrix, out);
}

pub(super) fn finish(allowed: &Bits, sums: &mut Sums, minima: &mut [f32; GROUPS]) {
    on_avx2!(finish_inner(allowed, sums, minima));
}

pub(super) fn between(sums: &[f32; GROUP], bounds: (f32, f32)) -> u64 {
    on_avx2!(between_inner(sums, bounds))
}

/// Fetches the lines of a row into the cache.
pub(super) fn prefetch<T>(row: &[T]) {
    let bytes = size_of_val(row);
    for line in (0..bytes).step_by(LINE) {
        // SAFETY: a prefetch reads nothing that the program can see and cannot fault; the address is inside the
        // row. The instruction is part of SSE, which every x86-64 has.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.as_ptr().cast::<i8>().add(line)) }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn estimates_inner(tables: &Tables, codes: &[u8], present: u64, sums: &mut [f32; GROUP]) {
    let (head, residuals) = codes.split_at(2 * GROUP);
    let words = look_up(&tables.luts, residuals);
    let gain_table = broadcast_floats(&tables.gains);
    let near_table = broadcast_floats(&tables.near);
    let near_slope = _mm256_set1_ps(tables.near_slope);
    let (base, offset) = (_mm256_set1_ps(tables.base), _mm256_set1_ps(tables.offset));
    let (share_min, share_step) = (_mm256_set1_ps(tables.share_min), _mm256_set1_ps(tables.share_step));
    let (weight, missing) = (_mm256_set1_ps(tables.weight), _mm256_set1_ps(tables.missing));
    let (cells, shares) = (head[..GROUP].as_chunks::<8>().0, head[GROUP..].as_chunks::<8>().0);
    for (eighth, sums) in sums.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let cell = _mm256_cvtepu8_epi32(load_bytes8(&cells[eighth]));
        let share = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_bytes8(&shares[eighth])));
        let half = words[eighth / 2];
        let half =
            if eighth % 2 == 0 { _mm256_castsi256_si128(half) } else { _mm256_extracti128_si256::<1>(half) };
        let product = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(half)), offset);
        let level = _mm256_srli_epi32::<6>(cell);
        let gain = _mm256_permutevar_ps(gain_table, level);
        let near = _mm256_permutevar_ps(near_table, level);
        let centre = gather(&tables.cells, cell);
        let share = _mm256_fmadd_ps(share_step, share, share_min);
        let squared = _mm256_fmadd_ps(gain, product, _mm256_fmadd_ps(centre, share, base));
        let lack = _mm256_max_ps(_mm256_sub_ps(near, squared), _mm256_setzero_ps());
        let squared = _mm256_fnmadd_ps(near_slope, lack, squared);
        // As in the AVX-512 kernel, the root as x * (1 / root x), here to 12 bits.
        let squared = _mm256_max_ps(squared, _mm256_set1_ps(1e-12));
        let root = _mm256_mul_ps(squared, _mm256_rsqrt_ps(squared));
        let there = lanes((present >> (8 * eighth)) as u8);
        let term = _mm256_blendv_ps(missing, _mm256_mul_ps(weight, root), there);
        let sum = _mm256_add_ps(load8(sums), term);
        store8(sums, sum);
    }
}

/// Sums of the look-ups of all residual codes, in words: items 0 to 15, 16 to 31, 32 to 47, 48 to 63.
#[target_feature(enable = "avx2,fma,f16c")]
fn look_up(luts: &[[u8; 16]], residuals: &[u8]) -> [__m256i; 4] {
    let low = _mm256_set1_epi8(15);
    let mut all = [_mm256_setzero_si256(); 2];
    let mut odd = [_mm256_setzero_si256(); 2];
    for (pair, bytes) in luts.as_chunks::<2>().0.iter().zip(residuals.as_chunks::<GROUP>().0) {
        let tables = (broadcast_bytes(&pair[0]), broadcast_bytes(&pair[1]));
        for (half, bytes) in bytes.as_chunks::<32>().0.iter().enumerate() {
            let codes = load_bytes32(bytes);
            let a = _mm256_shuffle_epi8(tables.0, _mm256_and_si256(codes, low));
            let b = _mm256_shuffle_epi8(tables.1, _mm256_and_si256(_mm256_srli_epi16::<4>(codes), low));
            let sum = _mm256_add_epi8(a, b);
            all[half] = _mm256_add_epi16(all[half], sum);
            odd[half] = _mm256_add_epi16(odd[half], _mm256_srli_epi16::<8>(sum));
        }
    }
    let even = |half: usize| _mm256_sub_epi16(all[half], _mm256_slli_epi16::<8>(odd[half]));
    [even(0), even(1), odd[0], odd[1]]
}

#[target_feature(enable = "avx2,fma,f16c")]
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

#[target_feature(enable = "avx2,fma,f16c")]
fn squared_inner(query: &[f32], row: Rows<'_>) -> f32 {
    let (queries, rest) = query.as_chunks::<16>();
    let mut sums = [_mm256_setzero_ps(); 2];
    let tail = match row {
        Rows::F32(row) => {
            let (rows, tail) = row.as_chunks::<16>();
            for (q, r) in queries.iter().zip(rows) {
                for (half, (q, r)) in q.as_chunks::<8>().0.iter().zip(r.as_chunks::<8>().0).enumerate() {
                    let gap = _mm256_sub_ps(load8(q), load8(r));
                    sums[half] = _mm256_fmadd_ps(gap, gap, sums[half]);
                }
            }
            Rows::F32(tail)
        }
        Rows::F16(row) => {
            let (rows, tail) = row.as_chunks::<16>();
            for (q, r) in queries.iter().zip(rows) {
                for (half, (q, r)) in q.as_chunks::<8>().0.iter().zip(r.as_chunks::<8>().0).enumerate() {
                    let gap = _mm256_sub_ps(load8(q), _mm256_cvtph_ps(load_halves(r)));
                    sums[half] = _mm256_fmadd_ps(gap, gap, sums[half]);
                }
            }
            Rows::F16(tail)
        }
    };
    let sum = total(_mm256_add_ps(sums[0], sums[1]));
    if rest.is_empty() { sum } else { sum + portable::squared_distance(rest, tail) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn finish_inner(allowed: &Bits, sums: &mut Sums, minima: &mut [f32; GROUPS]) {
    let infinity = _mm256_set1_ps(f32::INFINITY);
    for ((bits, sums), least) in allowed.iter().zip(sums.as_chunks_mut::<GROUP>().0).zip(minima) {
        let mut all = infinity;
        for (eighth, sums) in sums.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let kept = _mm256_blendv_ps(infinity, load8(sums), lanes((bits >> (8 * eighth)) as u8));
            store8(sums, kept);
            all = _mm256_min_ps(all, kept);
        }
        let mut lanes = [0.0; 8];
        store8(&mut lanes, all);
        *least = lanes.into_iter().fold(f32::INFINITY, f32::min);
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn between_inner(sums: &[f32; GROUP], (above, up_to): (f32, f32)) -> u64 {
    let (above, up_to) = (_mm256_set1_ps(above), _mm256_set1_ps(up_to));
    let eighths = sums.as_chunks::<8>().0.iter().enumerate();
    eighths.fold(0, |bits, (eighth, sums)| {
        let sums = load8(sums);
        let is_above = _mm256_cmp_ps::<_CMP_GT_OQ>(sums, above);
        let found = _mm256_and_ps(is_above, _mm256_cmp_ps::<_CMP_LE_OQ>(sums, up_to));
        bits | u64::from(_mm256_movemask_ps(found) as u8) << (8 * eighth)
    })
}

/// Sum of the eight lanes.
#[target_feature(enable = "avx2,fma,f16c")]
fn total(register: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(register), _mm256_extractf128_ps::<1>(register));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// All ones in the lanes whose bit is set.
#[target_feature(enable = "avx2,fma,f16c")]
fn lanes(bits: u8) -> __m256 {
    let each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    let set = _mm256_and_si256(_mm256_set1_epi32(i32::from(bits)), each);
    _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, each))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn gather(table: &[f32; 64], indexes: __m256i) -> __m256 {
    let indexes = _mm256_and_si256(indexes, _mm256_set1_epi32(63));
    // SAFETY: every index is below 64, the length of the table; the scale is the size of an f32.
    unsafe { _mm256_i32gather_ps::<4>(table.as_ptr(), indexes) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn load8(values: &[f32; 8]) -> __m256 {
    // SAFETY: the array is 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn store8(values: &mut [f32; 8], register: __m256) {
    // SAFETY: the array is 32 writable bytes; the store needs no alignment.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), register) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn load_bytes32(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the array is 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn load_bytes8(bytes: &[u8; 8]) -> __m128i {
    _mm_cvtsi64_si128(i64::from_le_bytes(*bytes))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn load_halves(values: &[f16; 8]) -> __m128i {
    // SAFETY: the array is 16 readable bytes (f16 is two); the load needs no alignment.
    unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn broadcast_bytes(lut: &[u8; 16]) -> __m256i {
    // SAFETY: the array is 16 readable bytes; the load needs no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(lut.as_ptr().cast()) })
}

#[target_feature(enable = "avx2,fma,f16c")]
fn broadcast_floats(values: &[f32; 4]) -> __m256 {
    // SAFETY: the array is 16 readable bytes; the load needs no alignment.
    let four = unsafe { _mm_loadu_ps(values.as_ptr()) };
    _mm256_set_m128(four, four)
}
