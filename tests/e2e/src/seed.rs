//! Numbers that look random and come again from the same seed. Pure but for [`Seed::fresh`], which reads the clock.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

/// Environment variable that repeats an earlier run.
const VARIABLE: &str = "TENANTRY_SEED";

/// A seed, and where its sequence (SplitMix64) is. It prints as the way to run the same again.
#[derive(Clone, Debug)]
pub struct Seed {
    seed: u64,
    state: u64,
}

// === impl Seed ===

impl Seed {
    /// From a number.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// The one of `TENANTRY_SEED`, else another one each time, so that many runs see many moments.
    #[must_use]
    pub fn fresh() -> Self {
        let given = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
        let now =
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::from(now.subsec_nanos()));
        Self::new(given.unwrap_or_else(now))
    }

    /// `count` different numbers of the range, or all of it where it has fewer.
    pub fn distinct(&mut self, count: usize, range: RangeInclusive<usize>) -> Vec<usize> {
        let mut left: Vec<usize> = range.collect();
        let mut picked = Vec::new();
        while picked.len() < count && !left.is_empty() {
            let at = usize::try_from(self.next() % left.len() as u64).unwrap_or_default();
            picked.push(left.swap_remove(at));
        }
        picked
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VARIABLE}={}", self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_different_numbers_of_the_range() {
        let picked = Seed::new(7).distinct(10, 1..=30);
        assert_eq!(picked, Seed::new(7).distinct(10, 1..=30));
        assert_ne!(picked, Seed::new(8).distinct(10, 1..=30));
        let mut sorted = picked.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 10);
        assert!(sorted.iter().all(|number| (1..=30).contains(number)), "{sorted:?}");
    }

    #[test]
    fn a_small_range_is_given_whole() {
        let mut picked = Seed::new(1).distinct(10, 1..=3);
        picked.sort_unstable();
        assert_eq!(picked, [1, 2, 3]);
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The first values for the seed 1234567, as published with the algorithm.
        let mut seed = Seed::new(1_234_567);
        let first = [seed.next(), seed.next()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
