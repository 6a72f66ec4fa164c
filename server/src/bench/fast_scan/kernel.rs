//! The inner loop: scores of 32 items by look-ups in registers, with its plain twin.

#[cfg(target_arch = "x86_64")]
mod avx2;

use lapel_search::Instructions;
use lapel_search::kernels::CODES;

/// Items whose codes lie together: their codes of two parts fill a register of 32 bytes.
pub(super) const ITEMS: usize = 32;

/// Two parts: of a query the tables, one after the other, or of 32 items the codes. Of codes, bytes 0 to 15 are of the first
/// part and the others of the second; byte j of each has the code of item j in its lower and of item j + 16 in its upper
/// half.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(32))]
pub(super) struct Pair(pub(super) [u8; ITEMS]);

/// Scores 32 items, the sums of their codes' entries in the tables, and returns a bit for each that is below the limit. The
/// largest entries of all parts must together be a word.
pub(super) fn scores_below(
    level: Instructions,
    tables: &[Pair],
    codes: &[Pair],
    limit: u16,
    scores: &mut [u16; ITEMS],
) -> u32 {
    match level {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 | Instructions::Avx512 => avx2::scores_below(tables, codes, limit, scores),
        _ => plain(tables, codes, limit, scores),
    }
}

fn plain(tables: &[Pair], codes: &[Pair], limit: u16, scores: &mut [u16; ITEMS]) -> u32 {
    scores.fill(0);
    let (first, second) = scores.split_at_mut(ITEMS / 2);
    for (tables, codes) in tables.iter().zip(codes) {
        let (tables, codes) = (tables.0.as_chunks::<CODES>().0, codes.0.as_chunks::<{ ITEMS / 2 }>().0);
        for (table, codes) in tables.iter().zip(codes) {
            for ((code, first), second) in codes.iter().zip(&mut *first).zip(&mut *second) {
                *first += u16::from(table[usize::from(code & 15)]);
                *second += u16::from(table[usize::from(code >> 4)]);
            }
        }
    }
    scores.iter().enumerate().fold(0, |bits, (at, score)| bits | u32::from(*score < limit) << at)
}
