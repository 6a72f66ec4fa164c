//! The kernels in AVX2, FMA and F16C.
#![allow(
    unsafe_code,
    reason = "intrinsics that read and write memory, and calls that need the processor's word"
)]

use super::{CELLS, CodedTerm, ExactTerm, GROUP, Rows, Tables, portable};
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

pub(super) fn estimates(terms: &[CodedTerm<'_>], group: usize, sums: &mut [f32; GROUP]) {
    on_avx2!(estimates_inner(terms, group, sums));
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

pub(super) fn nearest(vector: &[f32], matrix: &[f32], halves: &[f32], out: &mut [f32]) -> usize {
    on_avx2!(nearest_inner(vector, matrix, halves, out))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn nearest_inner(vector: &[f32], matrix: &[f32], halves: &[f32], out: &mut [f32]) -> usize {
    let (eights, rest) = halves.as_chunks::<8>();
    if !rest.is_empty() || out.len() != halves.len() {
        return portable::nearest(vector, matrix, halves, out);
    }
    portable::products(vector, matrix, out);
    let (products, _) = out.as_chunks::<8>();
    let mut most = _mm256_set1_ps(f32::NEG_INFINITY);
    for (products, halves) in products.iter().zip(eights) {
        most = _mm256_max_ps(most, _mm256_sub_ps(load8(products), load8(halves)));
    }
    most = _mm256_max_ps(most, _mm256_permute2f128_ps::<0x01>(most, most));
    most = _mm256_max_ps(most, _mm256_permute_ps::<0b01_00_11_10>(most));
    most = _mm256_max_ps(most, _mm256_permute_ps::<0b10_11_00_01>(most));
    for (eight, (products, halves)) in products.iter().zip(eights).enumerate() {
        let is_most = _mm256_cmp_ps::<_CMP_EQ_OQ>(most, _mm256_sub_ps(load8(products), load8(halves)));
        let found = _mm256_movemask_ps(is_most);
        if found != 0 {
            return 8 * eight + found.trailing_zeros() as usize;
        }
    }
    0
}

pub(super) fn product_of_quarters(vector: &[f32], bytes: &[u8]) -> f32 {
    on_avx2!(product_of_quarters_inner(vector, bytes))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn product_of_quarters_inner(vector: &[f32], bytes: &[u8]) -> f32 {
    portable::product_of_quarters(vector, bytes)
}

pub(super) fn finish(allowed: u64, sums: &mut [f32; GROUP]) -> f32 {
    on_avx2!(finish_inner(allowed, sums))
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
fn estimates_inner(terms: &[CodedTerm<'_>], group: usize, sums: &mut [f32; GROUP]) {
    // By quarter of the group, as words are unpacked: items 0 to 3 and 8 to 11, then 4 to 7 and 12 to 15.
    let mut all = [[_mm256_setzero_ps(); 2]; 4];
    for term in terms {
        let (tables, present) = (term.tables, term.present[group]);
        let missing = _mm256_set1_ps(tables.missing);
        if present == 0 {
            all.as_flattened_mut().iter_mut().for_each(|sum| *sum = _mm256_add_ps(*sum, missing));
            continue;
        }
        prefetch(term.ahead(group));
        let halves = halves(tables, term.group(group));
        let weight = _mm256_set1_ps(tables.weight);
        if present == u64::MAX {
            for (half, sums) in halves.into_iter().zip(&mut all) {
                let [first, second] = roots(half);
                sums[0] = _mm256_fmadd_ps(weight, first, sums[0]);
                sums[1] = _mm256_fmadd_ps(weight, second, sums[1]);
            }
            continue;
        }
        for (quarter, (half, sums)) in halves.into_iter().zip(&mut all).enumerate() {
            let [first, second, third, fourth] = [0, 4, 8, 12].map(|at| present >> (16 * quarter + at) & 15);
            let there = [first | third << 4, second | fourth << 4].map(|bits| lanes(bits as u8));
            for (at, root) in roots(half).into_iter().enumerate() {
                let term = _mm256_blendv_ps(missing, _mm256_mul_ps(weight, root), there[at]);
                sums[at] = _mm256_add_ps(sums[at], term);
            }
        }
    }
    let (eighths, _) = sums.as_chunks_mut::<8>();
    for ([a, b], out) in all.into_iter().zip(eighths.as_chunks_mut::<2>().0) {
        let first = _mm256_add_ps(load8(&out[0]), _mm256_permute2f128_ps::<0x20>(a, b));
        let second = _mm256_add_ps(load8(&out[1]), _mm256_permute2f128_ps::<0x31>(a, b));
        store8(&mut out[0], first);
        store8(&mut out[1], second);
    }
}

/// Roots of sixteen words above 0, as words are unpacked.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn roots(words: __m256i) -> [__m256; 2] {
    let zero = _mm256_setzero_si256();
    [_mm256_unpacklo_epi16(words, zero), _mm256_unpackhi_epi16(words, zero)].map(|words| {
        // The root as x * (1 / root x), to 12 bits: plenty for an estimate.
        let word = _mm256_cvtepi32_ps(words);
        _mm256_mul_ps(word, _mm256_rsqrt_ps(word))
    })
}

/// Halves of squared distances, in words: items 0 to 15, 16 to 31, 32 to 47, 48 to 63.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn halves(tables: &Tables, (cells, shares, residuals): (&[u8; GROUP], &[u8; GROUP], &[u8])) -> [__m256i; 4] {
    let sums = look_up(tables, residuals);
    let mut out = [_mm256_setzero_si256(); 4];
    let (cells, shares) = (cells.as_chunks::<32>().0, shares.as_chunks::<32>().0);
    for (at, (cells, shares)) in cells.iter().zip(shares).enumerate() {
        let (cells, shares) = (load_bytes32(cells), load_bytes32(shares));
        let gain = _mm256_and_si256(_mm256_srli_epi16::<6>(cells), _mm256_set1_epi8(3));
        let centres = centres(&tables.centres, cells);
        let gains = _mm256_shuffle_epi8(broadcast_four(bytemuck::cast(tables.gains)), gain);
        let near = _mm256_shuffle_epi8(broadcast_four(tables.near), gain);
        let bytes = [centres, shares, gains, near];
        out[at] = half(tables, bytes.map(|bytes| _mm256_slli_epi16::<8>(bytes)), sums[at]);
        let upper = _mm256_set1_epi16(-256);
        out[2 + at] = half(tables, bytes.map(|bytes| _mm256_and_si256(bytes, upper)), sums[2 + at]);
    }
    out
}

/// Halves of the squared distances of sixteen items, from the upper halves of words and the sums of look-ups.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn half(tables: &Tables, [centre, share, gain, near]: [__m256i; 4], sum: __m256i) -> __m256i {
    let share = _mm256_mulhi_epu16(share, set_word(tables.share_step));
    let share = _mm256_add_epi16(share, _mm256_set1_epi16(tables.share_min));
    let centre = _mm256_mulhrs_epi16(centre, share);
    let sum = _mm256_mullo_epi16(sum, _mm256_set1_epi16(tables.lut_scale));
    let residual = _mm256_mulhrs_epi16(gain, sum);
    let half = _mm256_subs_epi16(_mm256_set1_epi16(tables.base), centre);
    let half = _mm256_max_epi16(_mm256_subs_epi16(half, residual), _mm256_setzero_si256());
    let lack = _mm256_subs_epu16(_mm256_mulhi_epu16(near, set_word(tables.near_scale)), half);
    let lowered = _mm256_mulhi_epu16(_mm256_add_epi16(lack, lack), set_word(tables.near_slope));
    _mm256_max_epu16(_mm256_subs_epu16(half, lowered), _mm256_set1_epi16(1))
}

/// By item, the entry of its cell: bits 4 and 5 of the byte choose among four tables.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn centres(table: &[i8; CELLS], cells: __m256i) -> __m256i {
    let place = _mm256_and_si256(cells, _mm256_set1_epi8(15));
    let (parts, _) = table.as_chunks::<16>();
    let [a, b, c, d] =
        [0, 1, 2, 3].map(|at| _mm256_shuffle_epi8(broadcast_bytes(bytemuck::cast_ref(&parts[at])), place));
    // A byte is taken from the second where its highest bit is set.
    let (fourth, fifth) = (_mm256_slli_epi16::<3>(cells), _mm256_slli_epi16::<2>(cells));
    _mm256_blendv_epi8(_mm256_blendv_epi8(a, b, fourth), _mm256_blendv_epi8(c, d, fourth), fifth)
}

/// Shifted sums of the look-ups of all residual codes, in words: items 0 to 15, 16 to 31, 32 to 47, 48 to 63.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn look_up(tables: &Tables, residuals: &[u8]) -> [__m256i; 4] {
    let odd = _mm256_set1_epi16(tables.lut_offset);
    // As sums of bytes: even ones and 256 times the odd ones.
    let mut all = [_mm256_add_epi16(odd, _mm256_slli_epi16::<8>(odd)); 2];
    let mut odd = [odd; 2];
    let (fours, twos) = tables.luts.as_chunks::<4>();
    let (pairs, rest) = residuals.as_chunks::<{ 2 * GROUP }>();
    for (four, bytes) in fours.iter().zip(pairs) {
        let luts = four.each_ref().map(|lut| broadcast_bytes(lut));
        let (first, second) = bytes.split_at(GROUP);
        let both = first.as_chunks::<32>().0.iter().zip(second.as_chunks::<32>().0);
        for (half, (first, second)) in both.enumerate() {
            let sum = _mm256_add_epi8(
                look_up_two([luts[0], luts[1]], load_bytes32(first)),
                look_up_two([luts[2], luts[3]], load_bytes32(second)),
            );
            all[half] = _mm256_add_epi16(all[half], sum);
            odd[half] = _mm256_add_epi16(odd[half], _mm256_srli_epi16::<8>(sum));
        }
    }
    for (two, bytes) in twos.as_chunks::<2>().0.iter().zip(rest.as_chunks::<GROUP>().0) {
        let luts = two.each_ref().map(|lut| broadcast_bytes(lut));
        for (half, bytes) in bytes.as_chunks::<32>().0.iter().enumerate() {
            let sum = look_up_two(luts, load_bytes32(bytes));
            all[half] = _mm256_add_epi16(all[half], sum);
            odd[half] = _mm256_add_epi16(odd[half], _mm256_srli_epi16::<8>(sum));
        }
    }
    // Words wrap, so taking the odd bytes away leaves the even ones.
    let even = |half: usize| _mm256_sub_epi16(all[half], _mm256_slli_epi16::<8>(odd[half]));
    [even(0), even(1), odd[0], odd[1]]
}

/// Sums of the look-ups of two codes a byte, in bytes.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn look_up_two(luts: [__m256i; 2], codes: __m256i) -> __m256i {
    let low = _mm256_set1_epi8(15);
    let a = _mm256_shuffle_epi8(luts[0], _mm256_and_si256(codes, low));
    let b = _mm256_shuffle_epi8(luts[1], _mm256_and_si256(_mm256_srli_epi16::<4>(codes), low));
    _mm256_add_epi8(a, b)
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
fn finish_inner(allowed: u64, sums: &mut [f32; GROUP]) -> f32 {
    let infinity = _mm256_set1_ps(f32::INFINITY);
    let mut least = infinity;
    for (eighth, sums) in sums.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let mut kept = load8(sums);
        if allowed != u64::MAX {
            kept = _mm256_blendv_ps(infinity, kept, lanes((allowed >> (8 * eighth)) as u8));
            store8(sums, kept);
        }
        least = _mm256_min_ps(least, kept);
    }
    let four = _mm_min_ps(_mm256_castps256_ps128(least), _mm256_extractf128_ps::<1>(least));
    let two = _mm_min_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)))
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
fn broadcast_four(bytes: [u8; 4]) -> __m256i {
    _mm256_set1_epi32(i32::from_le_bytes(bytes))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn set_word(word: u16) -> __m256i {
    _mm256_set1_epi16(word.cast_signed())
}
