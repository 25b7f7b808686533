//! Who does not wait behind a crowd; no clock of its own, no client.
//!
//! A customer who signs up while a provider moves a thousand subscriptions in has to be served as if nothing else went on.
//! Who comes alone gets a pass; who comes with many others is a part of the crowd, and waits with it.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

/// Arrivals within [`TOGETHER`] up to which each is alone.
const FEW: usize = 5;
/// How near arrivals are to be counted together.
const TOGETHER: Duration = Duration::from_secs(1);
/// How long a pass holds: it is long enough for a tenant to come to be.
const HOLDS: Duration = Duration::from_secs(60);

/// Passes by key.
#[derive(Debug)]
pub(super) struct Passes<K> {
    until: HashMap<K, Instant>,
    /// The last arrivals, oldest first.
    arrivals: VecDeque<Instant>,
}

// === impl Passes ===

impl<K> Default for Passes<K> {
    fn default() -> Self {
        Self { until: HashMap::new(), arrivals: VecDeque::new() }
    }
}

impl<K: Eq + Hash> Passes<K> {
    /// A key came from outside.
    pub(super) fn arrived(&mut self, key: K, now: Instant) {
        self.until.retain(|_, until| *until > now);
        self.arrivals.retain(|at| now.duration_since(*at) < TOGETHER);
        self.arrivals.push_back(now);
        if self.arrivals.len() > FEW {
            // A crowd that goes on is a crowd; how large it is does not matter.
            self.arrivals.pop_front();
        } else {
            self.until.insert(key, now + HOLDS);
        }
    }

    /// Whether a key has a pass.
    pub(super) fn holds(&self, key: &K, now: Instant) -> bool {
        self.until.get(key).is_some_and(|until| *until > now)
    }

    /// A key is gone.
    pub(super) fn forget(&mut self, key: &K) {
        self.until.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn who_comes_alone_has_a_pass_for_a_while_and_a_crowd_has_none() {
        let start = Instant::now();
        let mut passes = Passes::default();
        for key in 0..1_000 {
            passes.arrived(key, after(start, key));
        }
        let end = after(start, 1_000);
        assert_eq!((0..1_000).filter(|key| passes.holds(key, end)).count(), FEW, "the first of a crowd");
        passes.arrived(2_000, end);
        assert!(!passes.holds(&2_000, end), "it comes with the crowd");
        let alone = after(start, 2_500);
        passes.arrived(3_000, alone);
        assert!(passes.holds(&3_000, alone));
        assert!(!passes.holds(&3_000, alone + HOLDS));
    }

    #[test]
    fn some_a_second_are_no_crowd() {
        let start = Instant::now();
        let mut passes = Passes::default();
        for key in 0..40 {
            let at = after(start, key * 250);
            passes.arrived(key, at);
            assert!(passes.holds(&key, at), "{key}");
        }
        passes.arrived(100, after(start, 200_000));
        assert_eq!(passes.until.len(), 1, "passes that are over are not kept");
    }
}
