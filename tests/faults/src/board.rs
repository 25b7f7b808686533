//! State that several tasks share and wait for. Needs no client and no clock.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Shared state. Whoever changes it says so, and whoever waits looks again.
#[derive(Default)]
pub(crate) struct Board<T> {
    state: Mutex<T>,
    changed: Notify,
}

// === impl Board ===

impl<T> Board<T> {
    /// The state, for as long as nothing is awaited. Nobody panics while holding it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the state is another.
    pub(crate) fn tell(&self) {
        self.changed.notify_waiters();
    }

    /// Resolves when somebody says so after this call.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Waits until the state satisfies `holds`.
    pub(crate) async fn until(&self, holds: impl Fn(&T) -> bool) {
        loop {
            let changed = self.changed();
            if holds(&self.lock()) {
                return;
            }
            changed.await;
        }
    }
}
