//! A work queue of keys: each key runs at most once at a time, and triggers that arrive meanwhile collapse into one
//! further run. Needs a clock (tokio's, so that tests can pause it); no client.
//!
//! The runtime of the client library has a scheduler of its own, but it looks objects up in a store of typed
//! objects, and keeps no due time that a caller can only bring forward. Both matter with thousands of tenants.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a key counts as one that came a moment ago.
const FRESH: Duration = Duration::from_secs(2);

/// Which of the keys that are due a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The one that has waited longest.
    Ordinary,
    /// The one that came last, if it came a moment ago: who orders now does not wait behind a thousand orders that came
    /// before. Only some workers do this, so nobody waits for ever.
    Fresh,
}

/// The queue. Share it behind an `Arc`.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    state: Mutex<State<K>>,
    /// For workers of either lane.
    ordinary: Notify,
    fresh: Notify,
}

#[derive(Debug)]
struct State<K> {
    /// Keys that wait, by due time.
    due: BTreeMap<(Instant, u64), K>,
    entries: HashMap<K, Entry>,
    /// Breaks ties between equal due times in the order of arrival.
    arrivals: u64,
    closed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    waiting: Option<(Instant, u64)>,
    running: bool,
    /// Due time asked for while the key ran.
    again: Option<Instant>,
}

// === impl Queue ===

impl<K: Clone + Eq + Hash + Ord> Default for Queue<K> {
    fn default() -> Self {
        let state = State { due: BTreeMap::new(), entries: HashMap::new(), arrivals: 0, closed: false };
        Self { state: Mutex::new(state), ordinary: Notify::new(), fresh: Notify::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// Makes `key` due now.
    pub(crate) fn wake(&self, key: K) {
        self.wake_at(key, Instant::now());
    }

    /// Makes `key` due at `at` unless it is due earlier already.
    pub(crate) fn wake_at(&self, key: K, at: Instant) {
        let mut state = self.lock();
        let running = state.entries.get(&key).is_some_and(|entry| entry.running);
        if running {
            if let Some(entry) = state.entries.get_mut(&key) {
                entry.again = Some(entry.again.map_or(at, |earlier| earlier.min(at)));
            }
            return;
        }
        state.schedule(key, at);
        drop(state);
        self.changed();
    }

    /// Takes a key that is due, waiting until one is. `None` once the queue is closed.
    ///
    /// It lets others have their turn first. A run without requests never waits, and after a restart there are thousands
    /// of them in a row: lease, watches and administration address would have to wait for all of them.
    pub(crate) async fn take(&self, lane: Lane) -> Option<K> {
        tokio::task::yield_now().await;
        let changed = match lane {
            Lane::Ordinary => &self.ordinary,
            Lane::Fresh => &self.fresh,
        };
        loop {
            let next_due = {
                let mut state = self.lock();
                if state.closed {
                    changed.notify_one();
                    return None;
                }
                let now = Instant::now();
                if let Some(key) = state.start(lane, now) {
                    // Another worker may have slept through the notification this one consumed.
                    changed.notify_one();
                    return Some(key);
                }
                state.due.range((now, u64::MAX)..).next().map(|((at, _), _)| *at)
            };
            match next_due {
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = changed.notified() => {}
                },
                None => changed.notified().await,
            }
        }
    }

    /// Ends the run of `key`; `next` is when it wants to run again if nothing wakes it earlier.
    pub(crate) fn done(&self, key: &K, next: Option<Instant>) {
        let mut state = self.lock();
        let again = state.entries.get(key).and_then(|entry| entry.again);
        let next = match (again, next) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        state.entries.remove(key);
        if let Some(at) = next {
            state.schedule(key.clone(), at);
        }
        drop(state);
        self.changed();
    }

    /// Forgets a waiting key, for an object that is gone.
    pub(crate) fn forget(&self, key: &K) {
        let mut state = self.lock();
        let Some(entry) = state.entries.get(key).copied() else { return };
        if let Some((at, arrival)) = entry.waiting {
            state.due.remove(&(at, arrival));
            state.entries.remove(key);
        }
    }

    /// Number of keys that are due now, for metrics.
    pub(crate) fn depth(&self) -> usize {
        self.lock().due.range(..=(Instant::now(), u64::MAX)).count()
    }

    /// Ends the queue: every `take` returns `None` from now on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        for lane in [&self.ordinary, &self.fresh] {
            lane.notify_waiters();
            lane.notify_one();
        }
    }

    fn changed(&self) {
        self.ordinary.notify_one();
        self.fresh.notify_one();
    }

    /// A panic while the lock is held leaves the state usable: every method leaves it consistent.
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl<K: Clone + Eq + Hash + Ord> State<K> {
    fn schedule(&mut self, key: K, at: Instant) {
        if let Some((earlier, arrival)) = self.entries.get(&key).and_then(|entry| entry.waiting) {
            if earlier <= at {
                return;
            }
            self.due.remove(&(earlier, arrival));
        }
        self.arrivals += 1;
        let waiting = Some((at, self.arrivals));
        self.due.insert((at, self.arrivals), key.clone());
        self.entries.insert(key, Entry { waiting, running: false, again: None });
    }

    /// Takes the key out that a worker of this lane runs now, if there is one.
    fn start(&mut self, lane: Lane, now: Instant) -> Option<K> {
        let mut due = self.due.range(..=(now, u64::MAX));
        let (place, _) = match lane {
            Lane::Ordinary => due.next(),
            Lane::Fresh => due.next_back().filter(|((at, _), _)| now.duration_since(*at) <= FRESH),
        }?;
        let place = *place;
        let key = self.due.remove(&place)?;
        self.entries.insert(key.clone(), Entry { waiting: None, running: true, again: None });
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[tokio::test(start_paused = true)]
    async fn triggers_during_a_run_collapse_into_one_further_run() {
        let queue = Queue::default();
        queue.wake("a");
        assert_eq!(queue.take(Lane::Ordinary).await, Some("a"));
        queue.wake("a");
        queue.wake("a");
        queue.wake("b");
        // `a` runs, so only `b` is to be had.
        assert_eq!(queue.take(Lane::Ordinary).await, Some("b"));
        queue.done(&"a", None);
        assert_eq!(queue.take(Lane::Ordinary).await, Some("a"));
        queue.done(&"a", None);
        queue.done(&"b", None);
        assert_eq!(queue.depth(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_due_time_is_only_brought_forward() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.wake_at("a", start + seconds(10));
        queue.wake_at("a", start + seconds(30));
        assert_eq!(queue.take(Lane::Ordinary).await, Some("a"));
        assert_eq!(start.elapsed(), seconds(10));
        queue.done(&"a", Some(start + seconds(60)));
        queue.wake_at("a", start + seconds(20));
        assert_eq!(queue.take(Lane::Ordinary).await, Some("a"));
        assert_eq!(start.elapsed(), seconds(20));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_due_at_the_same_time_run_in_the_order_of_arrival() {
        let queue = Queue::default();
        let now = Instant::now();
        for key in ["c", "a", "b"] {
            queue.wake_at(key, now);
        }
        let order = [
            queue.take(Lane::Ordinary).await,
            queue.take(Lane::Ordinary).await,
            queue.take(Lane::Ordinary).await,
        ];
        assert_eq!(order, [Some("c"), Some("a"), Some("b")]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_now_is_taken_before_those_who_came_long_ago() {
        let queue = Queue::default();
        for key in 0..1_000 {
            queue.wake(key);
        }
        tokio::time::advance(FRESH + seconds(1)).await;
        queue.wake_at(2_000, Instant::now() + seconds(60));
        queue.wake(1_000);
        queue.wake(1_001);
        let fresh = [queue.take(Lane::Fresh).await, queue.take(Lane::Fresh).await];
        assert_eq!(fresh, [Some(1_001), Some(1_000)]);
        assert_eq!(
            queue.take(Lane::Ordinary).await,
            Some(0),
            "the others are served meanwhile, in their order"
        );
        let idle = tokio::time::timeout(seconds(30), queue.take(Lane::Fresh)).await;
        assert!(idle.is_err(), "who has waited long is left to the others: {idle:?}");
        assert_eq!(queue.take(Lane::Fresh).await, Some(2_000), "what becomes due counts from then");
    }

    #[tokio::test]
    async fn others_have_their_turn_between_two_keys() {
        let queue = Queue::default();
        for key in 0..10 {
            queue.wake(key);
        }
        let turns = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let others = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move {
                loop {
                    turns.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            }
        });
        for taken in 0..10 {
            let key = queue.take(Lane::Ordinary).await.unwrap();
            assert!(turns.load(std::sync::atomic::Ordering::SeqCst) > taken, "after {taken} keys");
            queue.done(&key, None);
        }
        others.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn every_worker_gets_work_and_stops_when_the_queue_closes() {
        let queue = Arc::new(Queue::<u32>::default());
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move {
                    let mut seen = 0;
                    while let Some(key) = queue.take(Lane::Ordinary).await {
                        seen += 1;
                        tokio::time::sleep(seconds(1)).await;
                        queue.done(&key, None);
                    }
                    seen
                })
            })
            .collect();
        for key in 0..40 {
            queue.wake(key);
        }
        tokio::time::sleep(seconds(10) + Duration::from_millis(500)).await;
        queue.close();
        let mut total = 0;
        for worker in workers {
            total += worker.await.unwrap();
        }
        assert_eq!(total, 40, "four workers do forty runs of one second in ten seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn a_forgotten_key_does_not_run() {
        let queue = Queue::default();
        queue.wake("gone");
        queue.forget(&"gone");
        queue.wake("here");
        assert_eq!(queue.take(Lane::Ordinary).await, Some("here"));
    }
}
