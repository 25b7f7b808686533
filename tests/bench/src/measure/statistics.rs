//! Numbers out of samples: percentiles, medians, spread, a bootstrap interval, ratios. Pure.

/// Draws of a bootstrap. More change no digit that is shown.
const DRAWS: usize = 2_000;
/// Any number: the same samples always give the same interval.
const SEED: u64 = 0x7465_6e61_6e74_7279;

/// What several runs of the same thing came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Number of runs.
    pub count: usize,
    /// Middle of the runs.
    pub median: f64,
    /// Smallest run.
    pub min: f64,
    /// Largest run.
    pub max: f64,
    /// Bounds of the median with 95 % confidence, by bootstrap.
    pub interval: (f64, f64),
}

// === impl Summary ===

impl Summary {
    /// Sums runs up; nothing when there are none.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        let sorted = sorted(samples);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let median = median_of_sorted(&sorted)?;
        Some(Self { count: sorted.len(), median, min, max, interval: bootstrap(&sorted)? })
    }
}

/// The smallest sample that at least `share` (0 to 1) of all samples do not exceed: nearest rank, so that it is a time
/// which did occur.
#[must_use]
pub fn percentile(samples: &[f64], share: f64) -> Option<f64> {
    let sorted = sorted(samples);
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The middle sample, or the mean of the two in the middle.
#[must_use]
pub fn median(samples: &[f64]) -> Option<f64> {
    median_of_sorted(&sorted(samples))
}

/// One number as a share of another; nothing when that is zero.
#[must_use]
pub fn ratio(value: f64, of: f64) -> Option<f64> {
    (of > 0.0).then(|| value / of)
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// Percentile bootstrap of the median.
fn bootstrap(samples: &[f64]) -> Option<(f64, f64)> {
    let mut random = Random(SEED);
    let mut medians = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let draw: Vec<f64> =
            (0..samples.len()).filter_map(|_| samples.get(random.below(samples.len())).copied()).collect();
        medians.push(median(&draw)?);
    }
    Some((percentile(&medians, 0.025)?, percentile(&medians, 0.975)?))
}

/// SplitMix64 (Steele, Lea and Flood 2014): good enough to draw samples, and the same everywhere.
struct Random(u64);

// === impl Random ===

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed % bound.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_to(n: u32) -> Vec<f64> {
        // Not in order: nothing may rely on that.
        (1..=n).rev().map(f64::from).collect()
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let cases = [
            (100, 0.5, 50.0),
            (100, 0.99, 99.0),
            (200, 0.99, 198.0),
            (10, 0.99, 10.0),
            (10, 0.0, 1.0),
            (1, 0.5, 1.0),
        ];
        for (n, share, expected) in cases {
            assert_eq!(percentile(&one_to(n), share), Some(expected), "{share} of {n}");
        }
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&one_to(7)), Some(4.0));
        assert_eq!(median(&one_to(8)), Some(4.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_summary_holds_its_samples() {
        let summary = Summary::of(&[3.0, 1.0, 2.0, 10.0, 2.5]).unwrap();
        assert_eq!((summary.count, summary.median, summary.min, summary.max), (5, 2.5, 1.0, 10.0));
        let (low, high) = summary.interval;
        assert!(summary.min <= low && low < summary.median && summary.median < high && high <= summary.max);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn the_interval_shrinks_with_more_runs_and_is_the_same_every_time() {
        let width = |n| {
            let (low, high) = bootstrap(&one_to(n)).unwrap();
            (high - low) / f64::from(n)
        };
        assert!(width(7) > width(50) && width(50) > width(400));
        assert_eq!(bootstrap(&one_to(9)), bootstrap(&one_to(9)));
        assert_eq!(bootstrap(&[4.0]), Some((4.0, 4.0)));
    }

    #[test]
    fn nothing_is_a_share_of_nothing() {
        assert_eq!(ratio(3.0, 4.0), Some(0.75));
        assert_eq!(ratio(3.0, 0.0), None);
    }
}
