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
        for word in bytes.as_chunks::<8>().0 {
            self.add(u64::from_le_bytes(*word));
        }
        // What is left is taken in words that overlap, which is quicker than byte by byte.
        let half = |it: &[u8; 4]| u64::from(u32::from_le_bytes(*it));
        self.add(match (bytes.last_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(last), ..) => u64::from_le_bytes(*last),
            (None, Some(first), Some(last)) => half(first) << 32 | half(last),
            (None, ..) => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        });
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
