//! Signed bundles: who may teach a server what (Ed25519, detached signatures over the whole file).

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not 64 hexadecimal digits, or no point of the curve.
    #[error("a key is 64 hexadecimal digits, as `lapel-train key` writes them")]
    Unsound,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// The public key that bundles must be signed for.
#[derive(Clone, Debug)]
pub struct BundleKey(VerifyingKey);

impl BundleKey {
    /// Reads a public key's 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyError::Unsound`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let bytes = digits(text).ok_or(KeyError::Unsound)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| KeyError::Unsound)
    }

    /// Whether a signature (64 bytes) is one of this file by the key's owner.
    #[must_use]
    pub fn verifies(&self, file: &[u8], signature: &[u8]) -> bool {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.0.verify_strict(file, &signature).is_ok())
    }
}

/// A new pair of keys, secret and public, 64 hexadecimal digits each.
///
/// # Errors
/// [`KeyError::Random`].
pub fn new_bundle_keys() -> Result<(String, String), KeyError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| KeyError::Random)?;
    let key = SigningKey::from_bytes(&secret);
    Ok((HEXLOWER.encode(&secret), HEXLOWER.encode(key.verifying_key().as_bytes())))
}

/// The signature of a file by a secret key, 128 hexadecimal digits.
///
/// # Errors
/// [`KeyError::Unsound`].
pub fn sign_bundle(secret: &str, file: &[u8]) -> Result<String, KeyError> {
    let key = SigningKey::from_bytes(&digits(secret).ok_or(KeyError::Unsound)?);
    Ok(HEXLOWER.encode(&key.sign(file).to_bytes()))
}

fn digits(text: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(signature: &str) -> Vec<u8> {
        HEXLOWER.decode(signature.as_bytes()).expect("digits")
    }

    #[test]
    fn a_signature_is_of_one_file_by_one_key() {
        let ((secret, public), (other, _)) =
            (new_bundle_keys().expect("made"), new_bundle_keys().expect("made"));
        let key = BundleKey::from_text(&(public + "\n")).expect("sound");
        let signature = bytes(&sign_bundle(&secret, b"a bundle").expect("signed"));
        assert!(key.verifies(b"a bundle", &signature));
        assert!(!key.verifies(b"a bundle!", &signature));
        assert!(!key.verifies(b"a bundle", &bytes(&sign_bundle(&other, b"a bundle").expect("signed"))));
        assert!(!key.verifies(b"a bundle", &signature[1..]) && !key.verifies(b"a bundle", &[]));
        assert!(BundleKey::from_text("abc").is_err() && sign_bundle(&"x".repeat(64), b"").is_err());
    }
}
