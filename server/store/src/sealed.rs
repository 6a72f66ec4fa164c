//! Values with a checksum over their table, their key and themselves.
//!
//! redb checks its pages only while it repairs a file, so a flipped bit would be served. With the key in the sum, a
//! value that turns up under another key is found too.

use super::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of the checksum behind a value.
const SEAL: usize = 4;

fn checksum(table: &str, key: &str, value: &[u8]) -> [u8; SEAL] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(table.as_bytes());
    sum.update(&[0]);
    sum.update(key.as_bytes());
    sum.update(&[0]);
    sum.update(value);
    sum.finalize().to_le_bytes()
}

/// `value` followed by its checksum.
pub(super) fn seal(table: &str, key: &str, mut value: Vec<u8>) -> Vec<u8> {
    let sum = checksum(table, key, &value);
    value.extend_from_slice(&sum);
    value
}

/// The value without its checksum.
pub(super) fn unseal<'a>(table: &str, key: &str, sealed: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let parts = sealed.split_last_chunk::<SEAL>();
    match parts.filter(|(value, sum)| checksum(table, key, value) == **sum) {
        Some((value, _)) => Ok(value),
        None => Err(StoreError::damaged(table, key)),
    }
}

pub(super) fn encode<T: Serialize>(table: &str, key: &str, record: &T) -> Vec<u8> {
    // Records are plain structs of strings, numbers and maps, which always encode.
    seal(table, key, postcard::to_stdvec(record).unwrap_or_default())
}

pub(super) fn decode<T: DeserializeOwned>(table: &str, key: &str, sealed: &[u8]) -> Result<T, StoreError> {
    let value = unseal(table, key, sealed)?;
    postcard::from_bytes(value).map_err(|_| StoreError::damaged(table, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_flipped_bit_is_found(value in proptest::collection::vec(any::<u8>(), 0..80), bit in 0usize..10_000) {
            let mut sealed = seal("items", "a", value.clone());
            prop_assert_eq!(unseal("items", "a", &sealed).expect("sound"), value.as_slice());
            prop_assert!(unseal("items", "b", &sealed).is_err() && unseal("images", "a", &sealed).is_err());
            let bit = bit % (sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(unseal("items", "a", &sealed).is_err());
        }
    }
}
