//! The kernels in AVX-512 F and BW.
#![allow(
    unsafe_code,
    reason = "intrinsics that read and write memory, and calls of functions that only some processors can run"
)]

use super::avx2::prefetch;
use super::{CodedTerm, ExactTerm, GROUP, Rows, Tables, portable};
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

pub(super) fn estimates(terms: &[CodedTerm<'_>], group: usize, sums: &mut [f32; GROUP]) {
    on_avx512!(estimates_inner(terms, group, sums));
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

pub(super) fn finish(allowed: u64, sums: &mut [f32; GROUP]) -> f32 {
    on_avx512!(finish_inner(allowed, sums))
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
fn estimates_inner(terms: &[CodedTerm<'_>], group: usize, sums: &mut [f32; GROUP]) {
    let mut all = [_mm512_setzero_ps(); 4];
    for term in terms {
        let (tables, present) = (term.tables, term.present[group]);
        let (weight, missing) = (_mm512_set1_ps(tables.weight), _mm512_set1_ps(tables.missing));
        if present == 0 {
            all.iter_mut().for_each(|sum| *sum = _mm512_add_ps(*sum, missing));
            continue;
        }
        prefetch(term.ahead(group));
        let [first, second] = halves(tables, term.group(group));
        let words = [lower(first), upper(first), lower(second), upper(second)];
        // The root as x * (1 / root x), to 14 bits: plenty for an estimate and a fifth of the time. No half is 0.
        let roots = words.map(|words| {
            let half = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(words));
            _mm512_mul_ps(half, _mm512_rsqrt14_ps(half))
        });
        if present == u64::MAX {
            all.iter_mut().zip(roots).for_each(|(sum, root)| *sum = _mm512_fmadd_ps(weight, root, *sum));
            continue;
        }
        for (quarter, (sum, root)) in all.iter_mut().zip(roots).enumerate() {
            let there = (present >> (16 * quarter)) as __mmask16;
            *sum = _mm512_add_ps(*sum, _mm512_mask_mul_ps(missing, there, weight, root));
        }
    }
    all.into_iter().zip(sums.as_chunks_mut::<16>().0).for_each(|(sum, out)| add_to(out, sum));
}

/// Halves of squared distances, in words: items 0 to 31, 32 to 63. Of a word of codes the lower byte is of the first half.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn halves(tables: &Tables, (cells, shares, residuals): (&[u8; GROUP], &[u8; GROUP], &[u8])) -> [__m512i; 2] {
    let [first, second] = look_up(tables, residuals);
    let (cells, shares) = (load_bytes64(cells), load_bytes64(shares));
    let gains = [_mm512_srli_epi16::<6>(cells), _mm512_srli_epi16::<14>(cells)];
    let upper = _mm512_and_si512(shares, _mm512_set1_epi16(-256));
    [
        half(tables, cells, gains[0], _mm512_slli_epi16::<8>(shares), first),
        half(tables, _mm512_srli_epi16::<8>(cells), gains[1], upper, second),
    ]
}

/// Halves of the squared distances of 32 items, by words: cells in the lowest six bits, gains in the lowest two, shares in the upper
/// byte, sums of look-ups.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn half(tables: &Tables, cell: __m512i, gain: __m512i, share: __m512i, sum: __m512i) -> __m512i {
    let words = &tables.words;
    let [first, second] = words.centres.each_ref().map(|words| load_words(words));
    // A permutation looks at no more bits of a place than the table has entries, so that nothing need be masked away: the
    // entries of a gain, four words, lie in theirs eight times.
    let centre = _mm512_permutex2var_epi16(first, cell, second);
    let near = _mm512_permutexvar_epi16(gain, _mm512_set1_epi64(bytemuck::cast(words.near)));
    let gain = _mm512_permutexvar_epi16(gain, _mm512_set1_epi64(bytemuck::cast(words.gains)));
    let share = _mm512_mulhi_epu16(share, set_word(tables.share_step));
    let share = _mm512_add_epi16(share, _mm512_set1_epi16(tables.share_min));
    let centre = _mm512_mulhrs_epi16(centre, share);
    let sum = _mm512_mullo_epi16(sum, _mm512_set1_epi16(tables.lut_scale));
    let residual = _mm512_mulhrs_epi16(gain, sum);
    let half = _mm512_subs_epi16(_mm512_set1_epi16(tables.base), centre);
    let half = _mm512_max_epi16(_mm512_subs_epi16(half, residual), _mm512_setzero_si512());
    let lack = _mm512_subs_epu16(near, half);
    let lowered = _mm512_mulhi_epu16(_mm512_add_epi16(lack, lack), set_word(tables.near_slope));
    _mm512_max_epu16(_mm512_subs_epu16(half, lowered), _mm512_set1_epi16(1))
}

/// Shifted sums of the look-ups of all residual codes, in words: items 0 to 31, 32 to 63.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn look_up(tables: &Tables, residuals: &[u8]) -> [__m512i; 2] {
    let mut odd = _mm512_set1_epi16(tables.lut_offset);
    // As sums of bytes: even ones and 256 times the odd ones.
    let mut all = _mm512_add_epi16(odd, _mm512_slli_epi16::<8>(odd));
    let (fours, twos) = tables.luts.as_chunks::<4>();
    let (pairs, rest) = residuals.as_chunks::<GROUP>().0.as_chunks::<2>();
    for ([a, b, c, d], [first, second]) in fours.iter().zip(pairs) {
        let sum = _mm512_add_epi8(
            look_up_two([a, b], load_bytes64(first)),
            look_up_two([c, d], load_bytes64(second)),
        );
        all = _mm512_add_epi16(all, sum);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(sum));
    }
    for ([a, b], bytes) in twos.as_chunks::<2>().0.iter().zip(rest) {
        let sum = look_up_two([a, b], load_bytes64(bytes));
        all = _mm512_add_epi16(all, sum);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(sum));
    }
    // Words wrap, so taking the odd bytes away leaves the even ones.
    [_mm512_sub_epi16(all, _mm512_slli_epi16::<8>(odd)), odd]
}

/// Sums of the look-ups of two codes a byte, in bytes.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn look_up_two([a, b]: [&[u8; 16]; 2], codes: __m512i) -> __m512i {
    let low = _mm512_set1_epi8(15);
    let a = _mm512_shuffle_epi8(broadcast(a), _mm512_and_si512(codes, low));
    let b = _mm512_shuffle_epi8(broadcast(b), _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low));
    _mm512_add_epi8(a, b)
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
fn finish_inner(allowed: u64, sums: &mut [f32; GROUP]) -> f32 {
    let infinity = _mm512_set1_ps(f32::INFINITY);
    let mut least = infinity;
    for (quarter, sums) in sums.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let kept = _mm512_mask_mov_ps(infinity, (allowed >> (16 * quarter)) as __mmask16, load16(sums));
        store16(sums, kept);
        least = _mm512_min_ps(least, kept);
    }
    _mm512_reduce_min_ps(least)
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
fn load_bytes64(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the array is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn load_words(words: &[i16; 32]) -> __m512i {
    // SAFETY: the array is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn lower(words: __m512i) -> __m256i {
    _mm512_castsi512_si256(words)
}

#[target_feature(enable = "avx512f,avx512bw")]
fn upper(words: __m512i) -> __m256i {
    _mm512_extracti64x4_epi64::<1>(words)
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

#[target_feature(enable = "avx512f,avx512bw")]
fn set_word(word: u16) -> __m512i {
    _mm512_set1_epi16(word.cast_signed())
}
