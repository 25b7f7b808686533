//! A work queue of keys: each key runs at most once at a time, and triggers that arrive meanwhile collapse into one
//! further run. Needs a clock (tokio's, so that tests can pause it); no client.
//!
//! The runtime of the client library has a scheduler of its own, but it looks objects up in a store of typed
//! objects, and keeps no due time that a caller can only bring forward. Both matter with thousands of tenants.

mod passes;

use passes::Passes;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Which keys a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// All, the one first that has waited longest.
    All,
    /// Those that do not wait behind a crowd; see [`Queue::arrived`].
    Fast,
}

/// The queue. Share it behind an `Arc`.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    state: Mutex<State<K>>,
    /// For workers that take all keys, and for those that take fast ones.
    all: Notify,
    fast: Notify,
}

#[derive(Debug)]
struct State<K> {
    /// Keys that wait, by due time.
    due: BTreeMap<Place, K>,
    /// Those of them that have a pass.
    fast: BTreeMap<Place, K>,
    passes: Passes<K>,
    entries: HashMap<K, Entry>,
    /// Breaks ties between equal due times in the order of arrival.
    arrivals: u64,
    closed: bool,
}

/// Due time and arrival.
type Place = (Instant, u64);

#[derive(Clone, Copy, Debug)]
struct Entry {
    waiting: Option<Place>,
    running: bool,
    /// Due time asked for while the key ran.
    again: Option<Instant>,
}

// === impl Queue ===

impl<K: Clone + Eq + Hash + Ord> Default for Queue<K> {
    fn default() -> Self {
        let state = State {
            due: BTreeMap::new(),
            fast: BTreeMap::new(),
            passes: Passes::default(),
            entries: HashMap::new(),
            arrivals: 0,
            closed: false,
        };
        Self { state: Mutex::new(state), all: Notify::new(), fast: Notify::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// Makes `key` due now.
    pub(crate) fn wake(&self, key: K) {
        self.wake_at(key, Instant::now());
    }

    /// Makes `key` due now because somebody outside wants something of it. Who comes alone does not wait behind those who came
    /// together before, for as long as it takes to serve him.
    pub(crate) fn arrived(&self, key: K) {
        let now = Instant::now();
        self.lock().passes.arrived(key.clone(), now);
        self.wake_at(key, now);
    }

    /// Whether a key does not wait behind a crowd.
    pub(crate) fn is_fast(&self, key: &K) -> bool {
        self.lock().passes.holds(key, Instant::now())
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
            Lane::All => &self.all,
            Lane::Fast => &self.fast,
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
                state.waiting(lane).keys().next().map(|(at, _)| *at)
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
        state.passes.forget(key);
        let Some(entry) = state.entries.get(key).copied() else { return };
        if let Some(place) = entry.waiting {
            state.take_out(place);
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
        for lane in [&self.all, &self.fast] {
            lane.notify_waiters();
            lane.notify_one();
        }
    }

    fn changed(&self) {
        self.all.notify_one();
        self.fast.notify_one();
    }

    /// A panic while the lock is held leaves the state usable: every method leaves it consistent.
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl<K: Clone + Eq + Hash + Ord> State<K> {
    fn schedule(&mut self, key: K, at: Instant) {
        if let Some(place) = self.entries.get(&key).and_then(|entry| entry.waiting) {
            // Who has got a pass since goes over to the fast ones where it stands.
            let at = at.min(place.0);
            let is_fast = self.passes.holds(&key, at);
            if at == place.0 && is_fast == self.fast.contains_key(&place) {
                return;
            }
            self.take_out(place);
            return self.put(key, at, is_fast);
        }
        let is_fast = self.passes.holds(&key, at);
        self.put(key, at, is_fast);
    }

    fn put(&mut self, key: K, at: Instant, is_fast: bool) {
        self.arrivals += 1;
        let place = (at, self.arrivals);
        if is_fast {
            self.fast.insert(place, key.clone());
        }
        self.due.insert(place, key.clone());
        self.entries.insert(key, Entry { waiting: Some(place), running: false, again: None });
    }

    fn waiting(&self, lane: Lane) -> &BTreeMap<Place, K> {
        match lane {
            Lane::All => &self.due,
            Lane::Fast => &self.fast,
        }
    }

    fn take_out(&mut self, place: Place) -> Option<K> {
        self.fast.remove(&place);
        self.due.remove(&place)
    }

    /// Takes the key out that a worker of this lane runs now, if there is one.
    fn start(&mut self, lane: Lane, now: Instant) -> Option<K> {
        let place = self.waiting(lane).keys().next().copied().filter(|(at, _)| *at <= now)?;
        let key = self.take_out(place)?;
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
        assert_eq!(queue.take(Lane::All).await, Some("a"));
        queue.wake("a");
        queue.wake("a");
        queue.wake("b");
        // `a` runs, so only `b` is to be had.
        assert_eq!(queue.take(Lane::All).await, Some("b"));
        queue.done(&"a", None);
        assert_eq!(queue.take(Lane::All).await, Some("a"));
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
        assert_eq!(queue.take(Lane::All).await, Some("a"));
        assert_eq!(start.elapsed(), seconds(10));
        queue.done(&"a", Some(start + seconds(60)));
        queue.wake_at("a", start + seconds(20));
        assert_eq!(queue.take(Lane::All).await, Some("a"));
        assert_eq!(start.elapsed(), seconds(20));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_due_at_the_same_time_run_in_the_order_of_arrival() {
        let queue = Queue::default();
        let now = Instant::now();
        for key in ["c", "a", "b"] {
            queue.wake_at(key, now);
        }
        let order = [queue.take(Lane::All).await, queue.take(Lane::All).await, queue.take(Lane::All).await];
        assert_eq!(order, [Some("c"), Some("a"), Some("b")]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_alone_is_not_behind_those_who_came_together() {
        let queue = Queue::default();
        for key in 0..1_000 {
            queue.arrived(key);
        }
        tokio::time::advance(seconds(2)).await;
        for _ in 0..5 {
            let first = queue.take(Lane::Fast).await.unwrap();
            assert!(first < 5, "the first of a crowd");
        }
        queue.wake(2_000);
        queue.arrived(1_000);
        assert!(queue.is_fast(&1_000) && !queue.is_fast(&2_000) && !queue.is_fast(&5));
        assert_eq!(queue.take(Lane::Fast).await, Some(1_000));
        assert_eq!(queue.take(Lane::All).await, Some(5), "the others are served meanwhile, in their order");
        queue.done(&1_000, Some(Instant::now() + seconds(1)));
        assert_eq!(queue.take(Lane::Fast).await, Some(1_000), "what is left to do for it is as fast");
        let idle = tokio::time::timeout(seconds(30), queue.take(Lane::Fast)).await;
        assert!(idle.is_err(), "the crowd is left to the others: {idle:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_the_crowd_and_comes_again_alone_goes_ahead() {
        let queue = Queue::default();
        for key in 0..1_000 {
            queue.arrived(key);
        }
        tokio::time::advance(seconds(2)).await;
        queue.arrived(700);
        let mut fast = Vec::new();
        for _ in 0..6 {
            fast.extend(queue.take(Lane::Fast).await);
        }
        assert!(fast.contains(&700), "{fast:?}");
        assert_eq!(queue.depth(), 994, "nobody is in it twice");
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
            let key = queue.take(Lane::All).await.unwrap();
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
                    while let Some(key) = queue.take(Lane::All).await {
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
        assert_eq!(queue.take(Lane::All).await, Some("here"));
    }
}
