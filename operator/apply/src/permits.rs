//! How many requests are in flight, and who goes first; uses tokio, no client.
//!
//! Writes of all tenants share one bound. What somebody waits for at this moment does not queue behind a thousand orders that
//! came before it: while such urgent work is under way, the others go one by one, and urgent requests have a bound of their
//! own. The API server then answers them nearly as quickly as an idle one does. A request that is not answered soon stops nobody:
//! another one goes beside it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::{Instant, timeout};

/// While urgent work is under way a request of the others that has waited so long for its answer is counted no more: with one
/// place it would stop everybody (found by the fault harness).
const PATIENCE: Duration = Duration::from_millis(500);

/// Permits for requests. Clones share one bound.
#[derive(Clone, Debug)]
pub struct Permits {
    shared: Arc<Shared>,
    /// That they are for urgent work.
    urgent: Option<Arc<Urgent>>,
}

#[derive(Debug)]
struct Shared {
    most: usize,
    state: Mutex<State>,
    /// Places for urgent requests.
    urgent: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    /// When each ordinary request in flight left.
    in_flight: Vec<Instant>,
    /// Urgent pieces of work under way.
    urgent: usize,
    waiting: VecDeque<oneshot::Sender<Ordinary>>,
}

/// Leave to send one request, until it is dropped.
#[derive(Debug)]
pub struct Permit<'a> {
    _held: Held<'a>,
}

#[derive(Debug)]
enum Held<'a> {
    Ordinary { _place: Ordinary },
    Urgent { _place: Option<SemaphorePermit<'a>> },
}

/// A place among the ordinary requests in flight, by when it was given.
#[derive(Debug)]
struct Ordinary(Arc<Shared>, Instant);

/// Urgent work is under way until this is dropped.
#[derive(Debug)]
struct Urgent(Arc<Shared>);

// === impl Permits ===

impl Permits {
    /// At most so many requests in flight, and at least one.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        let urgent = Semaphore::new(most);
        Self { shared: Arc::new(Shared { most, state: Mutex::default(), urgent }), urgent: None }
    }

    /// Permits for a piece of urgent work, which is under way until they are dropped.
    #[must_use]
    pub fn urgently(&self) -> Self {
        let shared = Arc::clone(&self.shared);
        shared.state().urgent += 1;
        Self { urgent: Some(Arc::new(Urgent(Arc::clone(&shared)))), shared }
    }

    /// Waits for leave to send one request.
    pub async fn acquire(&self) -> Permit<'_> {
        let held = match &self.urgent {
            // The semaphore is never closed.
            Some(_) => Held::Urgent { _place: self.shared.urgent.acquire().await.ok() },
            None => Held::Ordinary { _place: self.ordinary().await },
        };
        Permit { _held: held }
    }

    async fn ordinary(&self) -> Ordinary {
        let mut turn = {
            let mut state = self.shared.state();
            if state.waiting.is_empty()
                && let Some(at) = state.take(self.shared.most)
            {
                return Ordinary(Arc::clone(&self.shared), at);
            }
            let (grant, turn) = oneshot::channel();
            state.waiting.push_back(grant);
            turn
        };
        loop {
            match timeout(PATIENCE, &mut turn).await {
                Ok(Ok(place)) => return place,
                // Nobody drops a waiting sender without a grant.
                Ok(Err(_)) => return Ordinary::uncounted(&self.shared),
                // Whoever is in flight may have been there too long by now.
                Err(_) => self.shared.grant(),
            }
        }
    }
}

// === impl Shared ===

impl Shared {
    /// A panic while the lock is held leaves the state usable: it is never held across a call that can fail.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free places to those who wait. A place whose waiter is gone comes back by being dropped, which must not happen
    /// under the lock.
    fn grant(self: &Arc<Self>) {
        loop {
            let (next, at) = {
                let mut state = self.state();
                state.waiting.retain(|waiting| !waiting.is_closed());
                if state.waiting.is_empty() {
                    return;
                }
                let Some(at) = state.take(self.most) else { return };
                let Some(next) = state.waiting.pop_front() else { return };
                (next, at)
            };
            let _gone = next.send(Ordinary(Arc::clone(self), at));
        }
    }
}

// === impl State ===

impl State {
    /// Takes a place, if there is one now.
    fn take(&mut self, most: usize) -> Option<Instant> {
        let now = Instant::now();
        let unanswered = self.in_flight.iter().filter(|at| now.duration_since(**at) >= PATIENCE).count();
        let bound = if self.urgent > 0 { most.min(unanswered + 1) } else { most };
        (self.in_flight.len() < bound).then(|| {
            self.in_flight.push(now);
            now
        })
    }

    fn leave(&mut self, at: Instant) {
        if let Some(place) = self.in_flight.iter().position(|known| *known == at) {
            self.in_flight.swap_remove(place);
        }
    }
}

// === impl Ordinary ===

impl Ordinary {
    fn uncounted(shared: &Arc<Shared>) -> Self {
        let now = Instant::now();
        shared.state().in_flight.push(now);
        Self(Arc::clone(shared), now)
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        self.0.state().leave(self.1);
        self.0.grant();
    }
}

// === impl Urgent ===

impl Drop for Urgent {
    fn drop(&mut self) {
        self.0.state().urgent -= 1;
        self.0.grant();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether leave is had at once.
    async fn at_once(permits: &Permits) -> Option<Permit<'_>> {
        timeout(Duration::from_millis(1), permits.acquire()).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_bounded_and_wait_in_the_order_of_arrival() {
        let permits = Permits::new(2);
        let (one, _two) = (permits.acquire().await, permits.acquire().await);
        assert!(at_once(&permits).await.is_none());
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..3)
            .map(|number| {
                let (permits, order) = (permits.clone(), Arc::clone(&order));
                tokio::spawn(async move {
                    let _permit = permits.acquire().await;
                    order.lock().unwrap().push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(one);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn urgent_work_does_not_queue_and_holds_the_others_back() {
        let permits = Permits::new(8);
        let mut busy = Vec::new();
        for _ in 0..8 {
            busy.push(permits.acquire().await);
        }
        let work = permits.urgently();
        let mut urgent = Vec::new();
        for _ in 0..8 {
            urgent.push(at_once(&work).await.expect("beside the others"));
        }
        assert!(at_once(&work).await.is_none(), "bounded as well");
        busy.truncate(1);
        assert!(at_once(&permits).await.is_none(), "the others go one by one");
        busy.clear();
        busy.extend(at_once(&permits).await);
        assert_eq!(busy.len(), 1, "nobody is stopped");
        assert!(at_once(&permits).await.is_none());
        let beside = timeout(PATIENCE * 2, permits.acquire()).await;
        busy.push(beside.expect("who waits long for an answer keeps nobody"));
        assert!(at_once(&permits).await.is_none(), "and the next goes alone again");
        drop(urgent);
        drop(work);
        for _ in 0..6 {
            busy.push(at_once(&permits).await.expect("everything is theirs again"));
        }
        assert!(at_once(&permits).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_given_to_somebody_who_left_is_not_lost() {
        let permits = Permits::new(1);
        let busy = permits.acquire().await;
        let mut leaves = Box::pin(permits.acquire());
        assert!(futures::poll!(&mut leaves).is_pending());
        // The grant is on its way when its receiver goes.
        drop(busy);
        drop(leaves);
        assert!(at_once(&permits).await.is_some());
    }
}
