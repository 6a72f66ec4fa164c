//! The kernel in AVX2.
#![allow(
    unsafe_code,
    reason = "intrinsics that read and write memory, and a call of what is compiled for AVX2 alone"
)]

use super::{ITEMS, Pair};
use std::arch::x86_64::*;

pub(super) fn scores_below(tables: &[Pair], codes: &[Pair], limit: u16, scores: &mut [u16; ITEMS]) -> u32 {
    // SAFETY: this is called for `Instructions::Avx2` and above alone, which exist only where the processor said that it
    // has AVX2.
    unsafe { scores_inner(tables, codes, limit, scores) }
}

#[target_feature(enable = "avx2")]
fn scores_inner(tables: &[Pair], codes: &[Pair], limit: u16, scores: &mut [u16; ITEMS]) -> u32 {
    let low = _mm256_set1_epi8(15);
    // Of items 0 to 15 and 16 to 31; a lane has the sums of every other part, a word those of an even and an odd item.
    let mut all = [_mm256_setzero_si256(); 2];
    // The odd ones alone.
    let mut odd = [_mm256_setzero_si256(); 2];
    for (table, codes) in tables.iter().zip(codes) {
        let (table, codes) = (load(table), load(codes));
        let entries = [codes, _mm256_srli_epi16::<4>(codes)]
            .map(|codes| _mm256_shuffle_epi8(table, _mm256_and_si256(codes, low)));
        for (half, entries) in entries.into_iter().enumerate() {
            all[half] = _mm256_add_epi16(all[half], entries);
            odd[half] = _mm256_add_epi16(odd[half], _mm256_srli_epi16::<8>(entries));
        }
    }
    let halves = scores.as_chunks_mut::<{ ITEMS / 2 }>().0;
    let limit = _mm256_set1_epi16(limit.cast_signed());
    let mut below = [_mm256_setzero_si256(); 2];
    for (half, scores) in halves.iter_mut().enumerate() {
        // Words wrap, so taking the odd bytes away leaves the even ones.
        let even = both_lanes(_mm256_sub_epi16(all[half], _mm256_slli_epi16::<8>(odd[half])));
        let odd = both_lanes(odd[half]);
        let sums = _mm256_set_m128i(_mm_unpackhi_epi16(even, odd), _mm_unpacklo_epi16(even, odd));
        store(scores, sums);
        // What is at least the limit leaves nothing of it.
        below[half] = _mm256_cmpeq_epi16(_mm256_subs_epu16(limit, sums), _mm256_setzero_si256());
    }
    // Packing works lane by lane: the quarters come out as 0, 2, 1, 3.
    let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(below[0], below[1]));
    !_mm256_movemask_epi8(packed).cast_unsigned()
}

/// The sum of the two lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn both_lanes(words: __m256i) -> __m128i {
    _mm_add_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(pair: &Pair) -> __m256i {
    // SAFETY: a pair is 32 readable bytes and aligned to them.
    unsafe { _mm256_load_si256(pair.0.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(words: &mut [u16; ITEMS / 2], register: __m256i) {
    // SAFETY: the array is 32 writable bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), register) }
}
