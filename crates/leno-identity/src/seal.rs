//! What a proxy keeps on disk, closed to whoever has the disk but not the key.
//!
//! AES-256-GCM with a random nonce each time; the format and the file's name are authenticated with it, so that one file
//! cannot stand in for another. The key is handed over by whoever starts the proxy and is never written down (ADR 9).

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;

use crate::tls::sha256;

/// The first bytes of a sealed file; the number is the format's.
const MAGIC: &[u8; 8] = b"LENOSEA1";
/// Tells one key from another and nothing about either.
const KEY_ID_BYTES: usize = 8;
const TAG_BYTES: usize = 16;

/// A key, ready to seal and to open.
pub struct Seal {
    key: RandomizedNonceKey,
    id: [u8; KEY_ID_BYTES],
}

/// Why a file cannot be opened, or not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was written without a key, and there is one now.
    #[error("it is not sealed")]
    Plain,
    /// It was sealed, and there is no key.
    #[error("it is sealed, and no key was handed over")]
    Locked,
    /// Bytes are missing.
    #[error("it is cut short")]
    Cut,
    /// It was sealed with another key.
    #[error("it was sealed with another key")]
    OtherKey,
    /// It is not what was sealed under this name.
    #[error("it was changed")]
    Changed,
    /// The system gave no randomness, or the key is unusable.
    #[error("it cannot be sealed")]
    Crypto,
}

impl From<Unspecified> for SealError {
    fn from(_: Unspecified) -> Self {
        Self::Crypto
    }
}

// What holds a key is printed with others' settings; the key is not.
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// The size of a key.
    pub const KEY_BYTES: usize = 32;

    /// A new key.
    ///
    /// # Errors
    /// [`SealError::Crypto`] when the system gives no randomness.
    pub fn new_key() -> Result<[u8; Self::KEY_BYTES], SealError> {
        let mut key = [0; Self::KEY_BYTES];
        aws_lc_rs::rand::fill(&mut key)?;
        Ok(key)
    }

    /// Makes a key ready.
    ///
    /// # Errors
    /// [`SealError::Crypto`].
    pub fn new(key: &[u8; Self::KEY_BYTES]) -> Result<Self, SealError> {
        let labelled = [b"leno seal key id", key.as_slice()].concat();
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&sha256(&labelled)[..KEY_ID_BYTES]);
        Ok(Self { key: RandomizedNonceKey::new(&AES_256_GCM, key)?, id })
    }

    fn close(&self, name: &str, content: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut body = content.to_vec();
        let nonce = self.key.seal_in_place_append_tag(authenticated(name), &mut body)?;
        Ok([MAGIC.as_slice(), &self.id, nonce.as_ref(), &body].concat())
    }

    fn open(&self, name: &str, file: &[u8]) -> Result<Vec<u8>, SealError> {
        let rest = file.strip_prefix(MAGIC).ok_or(match MAGIC.starts_with(file) {
            true => SealError::Cut,
            false => SealError::Plain,
        })?;
        let (id, rest) = rest.split_at_checked(KEY_ID_BYTES).ok_or(SealError::Cut)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Cut)?;
        if body.len() < TAG_BYTES {
            return Err(SealError::Cut);
        }
        if id != self.id {
            return Err(SealError::OtherKey);
        }
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(nonce, authenticated(name), &mut body);
        let length = opened.map_err(|_| SealError::Changed)?.len();
        body.truncate(length);
        Ok(body)
    }
}

/// The bytes to write for `content` in the file called `name`: sealed with a key, as they are without.
///
/// # Errors
/// [`SealError::Crypto`].
pub fn seal(key: Option<&Seal>, name: &str, content: Vec<u8>) -> Result<Vec<u8>, SealError> {
    match key {
        Some(key) => key.close(name, &content),
        None => Ok(content),
    }
}

/// What is in the file called `name`. With a key only what that key sealed under this name is taken.
///
/// # Errors
/// [`SealError`], which says what is wrong with the file.
pub fn unseal(key: Option<&Seal>, name: &str, file: Vec<u8>) -> Result<Vec<u8>, SealError> {
    match key {
        Some(key) => key.open(name, &file),
        None if file.starts_with(MAGIC) => Err(SealError::Locked),
        None => Ok(file),
    }
}

fn authenticated(name: &str) -> Aad<Vec<u8>> {
    Aad::from([MAGIC.as_slice(), name.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> Seal {
        Seal::new(&[byte; Seal::KEY_BYTES]).unwrap()
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened(content: Vec<u8>, name in "[a-z.]{1,9}", bytes: [u8; 32]) {
            let key = Seal::new(&bytes).unwrap();
            let file = seal(Some(&key), &name, content.clone()).unwrap();
            prop_assert_eq!(unseal(Some(&key), &name, file).unwrap(), content);
        }
    }

    #[test]
    fn what_is_not_as_it_was_sealed_is_refused_with_the_reason() {
        let (own, other) = (key(1), key(2));
        let file = seal(Some(&own), "a", b"secret".to_vec()).unwrap();
        assert!(!file.windows(6).any(|part| part == b"secret"));
        assert_ne!(file, seal(Some(&own), "a", b"secret".to_vec()).unwrap(), "a nonce each");
        let open = |key: Option<&Seal>, name: &str, file: &[u8]| unseal(key, name, file.to_vec());
        // (key, name, file, what is said)
        let table: [(Option<&Seal>, &str, &[u8], SealError); 6] = [
            (Some(&own), "a", b"-----BEGIN", SealError::Plain),
            (Some(&own), "b", &file, SealError::Changed),
            (Some(&other), "a", &file, SealError::OtherKey),
            (None, "a", &file, SealError::Locked),
            (Some(&own), "a", b"", SealError::Cut),
            (Some(&own), "a", &file[..8 + 8 + NONCE_LEN + TAG_BYTES - 1], SealError::Cut),
        ];
        for (key, name, file, expected) in table {
            assert_eq!(open(key, name, file), Err(expected), "{name} {expected:?}");
        }
        for cut in 1..file.len() {
            assert!(open(Some(&own), "a", &file[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(open(Some(&own), "a", &changed).is_err(), "changed at {at}");
        }
        assert_eq!(open(None, "a", b"plain").unwrap(), b"plain", "without keys all is as it was");
    }
}
