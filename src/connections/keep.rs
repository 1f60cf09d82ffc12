//! Keeps a rotated refresh token over a restart, sealed so that the store alone does not give it away.

use std::{fmt, pin::Pin};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
    rand::{SecureRandom, SystemRandom},
};

use crate::{
    secret::Secret,
    store::{Store, StoreError},
};

pub(super) type Kept<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What a connection needs of the store.
pub(super) trait Keeper: fmt::Debug + Send + Sync {
    /// The bytes kept under a name.
    fn kept<'a>(&'a self, name: &'a str) -> Kept<'a, Option<Vec<u8>>>;
    /// Keeps bytes under a name, durably when this returns.
    fn keep<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> Kept<'a, ()>;
}

impl Keeper for Store {
    fn kept<'a>(&'a self, name: &'a str) -> Kept<'a, Option<Vec<u8>>> {
        Box::pin(Self::kept(self, name))
    }

    fn keep<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> Kept<'a, ()> {
        Box::pin(Self::keep(self, name, bytes))
    }
}

/// Seals and opens. What one pair of credentials has sealed, no other opens.
pub(super) struct Seal {
    key: LessSafeKey,
    random: SystemRandom,
}

/// Tells a later form of sealed bytes from this one.
const VERSION: u8 = 1;

impl Seal {
    /// A seal under a key. The configured token takes part, so that a new one in the settings, after a person has consented again, makes what
    /// was kept of the old one unreadable and thereby forgotten.
    pub(super) fn new(key: &[u8], configured: Option<&Secret>) -> Result<Self, String> {
        let salt = configured.map(Secret::expose).unwrap_or_default();
        let material = Salt::new(HKDF_SHA256, salt.as_bytes()).extract(key);
        let derived = material.expand(&[b"quell refresh token"], &AES_256_GCM);
        let key = derived.ok().ok_or("derive the key that seals the refresh token")?;
        Ok(Self { key: LessSafeKey::new(UnboundKey::from(key)), random: SystemRandom::new() })
    }

    /// The token as bytes that may be stored under that name.
    pub(super) fn seal(&self, name: &str, token: &Secret) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = token.expose().as_bytes().to_vec();
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name), &mut sealed).ok()?;
        Some([&[VERSION][..], &nonce, &sealed].concat())
    }

    /// The token; `None` when other credentials have sealed it, under another name, or the bytes were changed.
    pub(super) fn open(&self, name: &str, bytes: &[u8]) -> Option<Secret> {
        let (&version, rest) = bytes.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        if version != VERSION {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let text = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(name), &mut sealed).ok()?;
        Some(Secret::new(String::from_utf8_lossy(text)))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: &str, configured: &str) -> Seal {
        Seal::new(secret.as_bytes(), Some(&Secret::new(configured))).unwrap()
    }

    #[test]
    fn only_the_same_credentials_and_name_open_what_was_sealed() {
        let bytes = seal("secret", "first").seal("a", &Secret::new("canary")).unwrap();
        assert_eq!(seal("secret", "first").open("a", &bytes).unwrap().expose(), "canary");
        assert!(seal("other", "first").open("a", &bytes).is_none());
        assert!(seal("secret", "second").open("a", &bytes).is_none());
        assert!(seal("secret", "first").open("b", &bytes).is_none());
        assert!(!String::from_utf8_lossy(&bytes).contains("canary"));
    }

    #[test]
    fn changed_bytes_do_not_open() {
        let seal = seal("secret", "first");
        let bytes = seal.seal("a", &Secret::new("canary")).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(seal.open("a", &changed).is_none());
            assert!(seal.open("a", &bytes[..at]).is_none());
        }
    }
}
