//! Dice from one seed (SplitMix64): the same throws on every machine.

use std::time::Duration;

/// The dice of one run, whose seed is shown, so that it can be named. Processes that they are thrown at have a timing of
/// their own, so there the same seed is not the same run.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Begins with a seed; `None` takes one from the system.
    pub fn new(seed: Option<u64>) -> Dice {
        let system = std::collections::hash_map::RandomState::new();
        let seed = seed.unwrap_or_else(|| std::hash::BuildHasher::hash_one(&system, 0) >> 16);
        Dice(seed)
    }

    /// Returns the seed, before the first throw.
    pub fn seed(&self) -> u64 {
        self.0
    }

    /// Throws them.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// Returns a time from `least` milliseconds up to `most`.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }
}
