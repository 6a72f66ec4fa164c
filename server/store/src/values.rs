//! Values that records of every format are made of.

pub use lapel_values::{FieldValue, Fields, Labels};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The first half of the SHA-256 of some content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContentId(pub [u8; 16]);

impl ContentId {
    /// The id of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self(half)
    }
}

/// The case of "Extract Parts?" that was seen in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredPartsCase {
    /// Lower-body clothing.
    LowerBody,
    /// Upper-body clothing with sleeves.
    Sleeved,
    /// Sleeveless upper-body clothing.
    Sleeveless,
}
