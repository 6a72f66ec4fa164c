//! Sets of slots as one bit a slot.
//!
//! The bitmaps hold most of their slots as bits, too, but give them one by one: 2 to 4 nanoseconds each, more than a scan
//! takes for them. Their portable serialisation ("Roaring bitmap serialization format", version of 2016) copies the bits as
//! they are, in a hundredth of the time, and is read here.

use crate::Slot;
use crate::kernels::{Bits, GROUP, GROUPS};
use roaring::RoaringBitmap;

/// The first number of a serialisation in which no container is a list of runs.
const NO_RUNS: u32 = 12346;
/// The low half of the first number where some are; the high half is the number of containers, less one.
const SOME_RUNS: u32 = 12347;
/// Containers from which on their offsets are written where some are lists of runs.
const OFFSETS_MIN: usize = 4;
/// Slots up to which a container is a list of them.
const LISTED_MAX: usize = 4096;
/// Bytes of a container of bits: 65,536 slots.
const CONTAINER_BYTES: usize = 8192;
const CONTAINER_WORDS: usize = CONTAINER_BYTES / 8;

/// The slots by block, one bit a slot; those behind the last block are left out.
pub(crate) fn bits(slots: &RoaringBitmap, blocks: usize) -> Vec<Bits> {
    let mut bits = vec![[0; GROUPS]; blocks];
    let mut bytes = Vec::with_capacity(slots.serialized_size());
    let is_whole =
        slots.serialize_into(&mut bytes).is_ok() && read(&bytes, bits.as_flattened_mut()).is_some();
    if !is_whole {
        // Memory does not fail, and a set that cannot be read is a defect of the library: right, if slowly.
        slots.iter().for_each(|slot| mark(bits.as_flattened_mut(), slot as usize));
    }
    bits
}

/// The set of the slots whose bits are set.
pub(crate) fn set(bits: &[Bits]) -> RoaringBitmap {
    let words = bits.as_flattened();
    let mut bytes = vec![0; words.len() * 8];
    bytes.as_chunks_mut::<8>().0.iter_mut().zip(words).for_each(|(bytes, word)| *bytes = word.to_le_bytes());
    RoaringBitmap::from_lsb0_bytes(0, &bytes)
}

/// How many slots of a block are set in both.
pub(crate) fn common(a: &Bits, b: &Bits) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from((a & b).count_ones())).sum()
}

/// Positions of the bits that are set in a word, ascending.
pub(crate) fn positions(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (at < GROUP).then_some(at)
    })
}

/// Whether the bit of a slot is set.
pub(crate) fn is_set(words: &[u64], slot: Slot) -> bool {
    words.get(slot as usize / GROUP).is_some_and(|word| word >> (slot as usize % GROUP) & 1 == 1)
}

fn mark(words: &mut [u64], slot: usize) {
    if let Some(word) = words.get_mut(slot / GROUP) {
        *word |= 1 << (slot % GROUP);
    }
}

/// Sets the bits of a serialised set; `None` where it is not of the form that is known here.
fn read(mut bytes: &[u8], words: &mut [u64]) -> Option<()> {
    let cookie = u32::from_le_bytes(take(&mut bytes)?);
    let (count, runs, has_offsets) = if cookie == NO_RUNS {
        (u32::from_le_bytes(take(&mut bytes)?) as usize, [].as_slice(), true)
    } else if cookie & 0xffff == SOME_RUNS {
        let count = (cookie >> 16) as usize + 1;
        (count, bytes.split_off(..count.div_ceil(8))?, count >= OFFSETS_MIN)
    } else {
        return None;
    };
    let headers = bytes.split_off(..count * 4)?.as_chunks::<4>().0;
    if has_offsets {
        bytes.split_off(..count * 4)?;
    }
    for (at, header) in headers.iter().enumerate() {
        let [key, last] = halves(*header);
        let from = key * CONTAINER_WORDS * GROUP;
        let is_runs = runs.get(at / 8).is_some_and(|flags| flags >> (at % 8) & 1 == 1);
        if is_runs {
            let count = usize::from(u16::from_le_bytes(take(&mut bytes)?));
            for run in bytes.split_off(..count * 4)?.as_chunks::<4>().0 {
                let [start, more] = halves(*run);
                (start..=start + more).for_each(|slot| mark(words, from + slot));
            }
        } else if last < LISTED_MAX {
            for slot in bytes.split_off(..(last + 1) * 2)?.as_chunks::<2>().0 {
                mark(words, from + usize::from(u16::from_le_bytes(*slot)));
            }
        } else {
            let there = bytes.split_off(..CONTAINER_BYTES)?.as_chunks::<8>().0;
            let words = words.iter_mut().skip(key * CONTAINER_WORDS);
            words.zip(there).for_each(|(word, bytes)| *word = u64::from_le_bytes(*bytes));
        }
    }
    Some(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}

fn halves([a, b, c, d]: [u8; 4]) -> [usize; 2] {
    [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])].map(usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BLOCK;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Few slots, many and runs of them, in several containers, and behind the last block.
        #[test]
        fn bits_are_those_of_the_slots(
            parts in proptest::collection::vec((0u32..300_000, 1u32..80_000, 1u32..40), 0..8),
            optimised in any::<bool>(), blocks in 0usize..400,
        ) {
            let mut slots = RoaringBitmap::new();
            for (from, length, step) in parts {
                slots.extend((from..from + length).step_by(step as usize));
            }
            if optimised {
                slots.optimize();
            }
            let mut serialised = Vec::new();
            slots.serialize_into(&mut serialised).expect("memory");
            let mut read_bits = vec![[0; GROUPS]; blocks];
            prop_assert_eq!(read(&serialised, read_bits.as_flattened_mut()), Some(()));
            let mut wanted = vec![[0; GROUPS]; blocks];
            slots.iter().for_each(|slot| mark(wanted.as_flattened_mut(), slot as usize));
            prop_assert!(read_bits == wanted && bits(&slots, blocks) == wanted);
            let end = (blocks * BLOCK) as Slot;
            prop_assert_eq!(set(&wanted), slots.iter().filter(|slot| *slot < end).collect::<RoaringBitmap>());
        }

        #[test]
        fn what_is_no_set_is_told(bytes in proptest::collection::vec(any::<u8>(), 0..200), runs in any::<bool>()) {
            let cookie: u32 = if runs { SOME_RUNS } else { NO_RUNS };
            let _ = read(&[&cookie.to_le_bytes(), &bytes[..]].concat(), &mut [0; 64]);
            prop_assert_eq!(read(&bytes[..bytes.len().min(3)], &mut [0; 64]), None);
        }
    }
}
