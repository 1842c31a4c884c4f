//! Random numbers: names of processes and epochs, and the spread of retries.

use core::hash::{BuildHasher, Hasher};
use std::hash::RandomState;

/// A number that no other process has: by the system's random numbers, which std seeds its maps with.
pub(crate) fn seed() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

/// `SplitMix64`.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between half of it and all of it.
    pub(crate) fn spread(&mut self, length: u64) -> u64 {
        length / 2 + self.next() % (length / 2 + 1)
    }
}
