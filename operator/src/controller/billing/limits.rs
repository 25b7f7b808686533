//! How much usage one caller may tell; needs a clock, which is given.
//!
//! Each caller has a bucket of events that fills at a steady rate (GCRA, as the crate `governor` has it). One that is empty refuses him
//! and nobody else, before the database is asked for anything. What is remembered of callers is bounded: buckets that are full again
//! say nothing and are forgotten, and while there are too many others, everybody shares one more.

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::Duration;

/// So many callers have a bucket of their own: 3 MB where all of them have the longest names.
const MOST: usize = 10_000;
/// For so many seconds a caller who told nothing may tell at once what would come in them: what a program kept while this address
/// was away.
const SECONDS_AT_ONCE: u32 = 10;
/// The most of one request, which has to fit into an empty bucket.
const REQUEST: u32 = 1_000;
/// The bucket of everybody while there are too many of their own. No caller has an empty name.
const OTHERS: &str = "";

/// Buckets of callers.
pub(crate) struct Limits<C: Clock = DefaultClock> {
    buckets: RateLimiter<String, HashMapStateStore<String>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    most: usize,
}

// === impl Limits ===

impl Limits {
    /// Buckets that fill with so many events a second.
    pub(crate) fn new(events_a_second: NonZeroU32) -> Self {
        Self::by(events_a_second, MOST, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limits<C> {
    fn by(events_a_second: NonZeroU32, most: usize, clock: C) -> Self {
        let at_once = events_a_second.saturating_mul(NonZeroU32::MIN.saturating_add(SECONDS_AT_ONCE - 1));
        let at_once = at_once.max(NonZeroU32::MIN.saturating_add(REQUEST - 1));
        let quota = Quota::per_second(events_a_second).allow_burst(at_once);
        Self { buckets: RateLimiter::new(quota, HashMapStateStore::default(), clock.clone()), clock, most }
    }

    /// Takes events out of a caller's bucket; a request without any counts as one.
    ///
    /// # Errors
    /// There are not so many in it: after how long there are. Nothing was taken then.
    pub(crate) fn admit(&self, caller: &str, events: usize) -> Result<(), Duration> {
        let events = u32::try_from(events).unwrap_or(u32::MAX).min(REQUEST);
        let events = NonZeroU32::new(events).unwrap_or(NonZeroU32::MIN);
        if self.buckets.len() >= self.most {
            self.buckets.retain_recent();
        }
        let key = if self.buckets.len() < self.most { caller } else { OTHERS };
        match self.buckets.check_key_n(&key.to_owned(), events) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.clock.now())),
            // A request is never more than an empty bucket takes.
            Err(_) => Err(Duration::from_secs(u64::from(SECONDS_AT_ONCE))),
        }
    }
}

impl<C: Clock> std::fmt::Debug for Limits<C> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Limits").field("callers", &self.buckets.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn limits(events_a_second: u32, most: usize) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Limits::by(NonZeroU32::new(events_a_second).unwrap(), most, clock.clone()), clock)
    }

    #[test]
    fn who_tells_too_much_waits_for_as_long_as_it_takes_and_nobody_else_does() {
        let (limits, clock) = limits(200, 10);
        for _ in 0..2 {
            assert_eq!(limits.admit("a", 1_000), Ok(()), "ten seconds' worth");
        }
        let wait = limits.admit("a", 1_000).unwrap_err();
        assert_eq!(wait, Duration::from_secs(5));
        assert_eq!(limits.admit("b", 1_000), Ok(()));
        // Refused, nothing was taken.
        clock.advance(wait);
        assert_eq!(limits.admit("a", 1_000), Ok(()));
        assert!(limits.admit("a", 0).is_err(), "a request without events counts as one");
        clock.advance(Duration::from_millis(5));
        assert_eq!(limits.admit("a", 0), Ok(()));
    }

    #[test]
    fn a_whole_request_fits_however_slow_a_bucket_fills() {
        let (limits, clock) = limits(1, 10);
        assert_eq!(limits.admit("a", 1_000), Ok(()));
        assert_eq!(limits.admit("a", usize::MAX).unwrap_err(), Duration::from_secs(1_000));
        clock.advance(Duration::from_secs(1_000));
        assert_eq!(limits.admit("a", 1_000), Ok(()));
    }

    #[test]
    fn what_is_remembered_of_callers_is_bounded() {
        let (limits, clock) = limits(100, 8);
        for caller in 0..1_000 {
            let admitted = limits.admit(&format!("caller-{caller}"), 100);
            // Eight have buckets of their own, and the others share one of a thousand.
            assert_eq!(admitted.is_ok(), caller < 18, "{caller}");
            assert!(limits.buckets.len() <= 9, "{}", limits.buckets.len());
        }
        // Full buckets are forgotten, so that newcomers have their own again.
        clock.advance(Duration::from_secs(60));
        assert_eq!(limits.admit("newcomer", 1_000), Ok(()));
        assert_eq!(limits.admit("another", 1_000), Ok(()));
    }
}
