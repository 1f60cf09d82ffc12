//! A hash for keys that come from playbooks: quick, and without a defence that an index does not need.
//!
//! The defence of the standard library's hash is against those who choose what a map holds. Here playbooks choose it, and alerts only look up.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map that is filled from playbooks.
pub(super) type Keyed<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// Multiplies and rotates, eight bytes at a time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mix(u64);

impl Mix {
    fn add(&mut self, word: u64) {
        // The multiplier of SplitMix64, whose bits have no pattern.
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.add(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, number: u8) {
        self.add(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.add(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn finish(&self) -> u64 {
        // Multiplication carries upwards only, and maps use the lowest bits too.
        self.0 ^ (self.0 >> 32)
    }
}
