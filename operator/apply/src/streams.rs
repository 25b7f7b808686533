//! One watch per kind, cluster-wide, selecting by our label, feeding the index; uses the client and tokio.
//!
//! A quiet cluster costs one renewal per kind and watch period. The watch of kube resumes where it broke off, with
//! the same resource version for ever; so a watch that cannot start three times in a row, or fails for a minute
//! without delivering anything, is dropped and built anew from a full list.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::api::Api;
use kube::core::ApiResource;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::child::{Child, ChildFull, ChildMeta};
use crate::counters::Counters;
use crate::health::has_status;
use crate::object::{Desired, HealthRule, Kind, MANAGED_BY, MANAGED_BY_LABEL};
use crate::shared::SharedIndex;

/// Seconds a watch lasts before it is renewed. Below five minutes, which is where common load balancers cut.
const WATCH_SECONDS: u32 = 290;
/// Objects per page of a full list, where metadata is asked for and where everything is: bounds the memory of a start.
const PAGE: u32 = 250;
const FULL_PAGE: u32 = 100;
/// Kinds whose first lists are asked for at once, for the same reason: a page of each is in memory. One that is not answered holds up
/// nobody but the next.
const LISTS_AT_ONCE: usize = 4;
/// Failed starts in a row after which the resource version is given up.
const MAX_FAILED_STARTS: u32 = 3;
/// How long a watch may fail without delivering anything before it is given up.
const MAX_FAILING: Duration = Duration::from_secs(60);

/// How much of a kind's objects is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Metadata only.
    Metadata,
    /// In full, for health by the rules of the kind.
    Health,
    /// In full, keeping the status for predicates.
    Status,
}

/// The watches.
pub struct Streams {
    client: Client,
    index: Arc<SharedIndex>,
    counters: Arc<Counters>,
    running: Mutex<HashMap<Kind, Running>>,
    lists: Arc<Semaphore>,
}

struct Running {
    mode: Mode,
    task: JoinHandle<()>,
    turn: Arc<Turn>,
}

/// Which watch of a kind may speak: one that was replaced may be in the midst of an event, and what it says after that
/// would be taken for what its successor says.
#[derive(Debug, Default)]
struct Turn(Mutex<u64>);

/// How a watch has failed since it last delivered something.
#[derive(Debug, Default)]
struct Trouble {
    failed_starts: u32,
    since: Option<Instant>,
}

impl Mode {
    /// What a desired object needs.
    #[must_use]
    pub fn of(desired: &Desired) -> Self {
        match desired.health {
            HealthRule::ReadyWhen(_) => Self::Status,
            HealthRule::Builtin if has_status(&desired.id.kind) => Self::Health,
            HealthRule::Builtin => Self::Metadata,
        }
    }
}

// === impl Streams ===

impl Streams {
    /// No watches yet. `client` should be one of its own, since every watch holds a connection.
    #[must_use]
    pub fn new(client: Client, index: Arc<SharedIndex>, counters: Arc<Counters>) -> Self {
        let lists = Arc::new(Semaphore::new(LISTS_AT_ONCE));
        Self { client, index, counters, running: Mutex::default(), lists }
    }

    /// Watches a kind, unless it is watched in at least this mode. A stronger mode replaces the watch; until that has
    /// delivered its first set the kind counts as not delivered, because what the weaker one brought lacks what the stronger
    /// is for: a healthy object would be taken for one whose status nobody has seen.
    ///
    /// Secrets are never watched: their values would be on the wire, and a role cannot be limited to metadata.
    pub fn ensure(&self, kind: &Kind, resource: &ApiResource, mode: Mode) {
        if kind.is_secret() {
            return;
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(kind).is_some_and(|running| running.mode >= mode && !running.task.is_finished()) {
            return;
        }
        let turn = running.get(kind).map(|running| Arc::clone(&running.turn)).unwrap_or_default();
        let feed = Feed {
            kind: kind.clone(),
            index: self.index.clone(),
            counters: self.counters.clone(),
            retain: mode == Mode::Status,
            number: turn.next(|| self.index.unsettle(kind)),
            turn: Arc::clone(&turn),
            lists: Arc::clone(&self.lists),
        };
        let (client, resource) = (self.client.clone(), resource.clone());
        let task = match mode {
            Mode::Metadata => {
                tokio::spawn(async move { feed.run::<ChildMeta>(client, resource, PAGE).await })
            }
            Mode::Health | Mode::Status => {
                tokio::spawn(async move { feed.run::<ChildFull>(client, resource, FULL_PAGE).await })
            }
        };
        if let Some(replaced) = running.insert(kind.clone(), Running { mode, task, turn }) {
            replaced.task.abort();
        }
    }

    /// Stops watching a kind: it is no longer served, or nothing of ours is of that kind. Nothing is known of its
    /// objects afterwards.
    pub fn remove(&self, kind: &Kind) {
        let removed = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(kind);
        if let Some(removed) = removed {
            removed.task.abort();
            removed.turn.next(|| self.index.forget(kind));
        }
    }

    /// Whether every watched kind has delivered its first set.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.pending().is_empty()
    }

    /// The watched kinds that have not delivered their first set, for a readiness message.
    #[must_use]
    pub fn pending(&self) -> Vec<Kind> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pending: Vec<Kind> =
            running.keys().filter(|kind| !self.index.is_synced([*kind])).cloned().collect();
        pending.sort();
        pending
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        running.values().for_each(|running| running.task.abort());
    }
}

/// What one watch needs.
struct Feed {
    kind: Kind,
    index: Arc<SharedIndex>,
    counters: Arc<Counters>,
    retain: bool,
    number: u64,
    turn: Arc<Turn>,
    lists: Arc<Semaphore>,
}

// === impl Turn ===

impl Turn {
    /// Gives the word to another watch, and gives its number. `change` is done before it says anything, and after everything
    /// that the one before said.
    fn next(&self, change: impl FnOnce()) -> u64 {
        let mut number = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *number += 1;
        change();
        *number
    }

    /// Lets the watch of this number speak, if it has the word.
    fn speak(&self, number: u64, say: impl FnOnce()) {
        let whose = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *whose == number {
            say();
        }
    }
}

// === impl Feed ===

impl Feed {
    async fn run<C: Child + 'static>(self, client: Client, resource: ApiResource, page: u32) {
        let selector = format!("{MANAGED_BY_LABEL}={MANAGED_BY}");
        let config = watcher::Config::default().labels(&selector).page_size(page);
        let api = Api::<C>::all_with(client, &resource);
        let place = Arc::clone(&self.lists).acquire_owned().await.ok();
        follow_from(place, api, config, |event| self.take(event), || self.counters.watch_restart()).await;
    }

    fn take<C: Child>(&self, event: Event<C>) {
        self.turn.speak(self.number, || match event {
            Event::Init => self.index.begin(&self.kind),
            Event::InitApply(child) | Event::Apply(child) => {
                self.index.deliver(&child.id(&self.kind), child.observe(&self.kind, self.retain));
            }
            Event::InitDone => self.index.finish(&self.kind),
            Event::Delete(child) => {
                let (uid, version) = child.version();
                self.index.remove(&child.id(&self.kind), uid, version);
            }
        });
    }
}

/// Follows a watch for ever and hands every event to `take`. When it cannot go on, `given_up` is called and it begins anew
/// from a full list. The length of the watch is set here.
pub async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    take: impl FnMut(Event<K>),
    given_up: impl FnMut(),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    follow_from(None, api, config, take, given_up).await;
}

/// The same, with a place among those who ask for their first list. It is given back when the list is there, or has failed once: what cannot
/// be listed is tried again for ever.
async fn follow_from<K>(
    mut place: Option<OwnedSemaphorePermit>,
    api: Api<K>,
    config: watcher::Config,
    mut take: impl FnMut(Event<K>),
    mut given_up: impl FnMut(),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = config.timeout(WATCH_SECONDS);
    loop {
        let mut events = pin!(watcher(api.clone(), config.clone()).default_backoff());
        let mut trouble = Trouble::default();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if !matches!(event, Event::Init) {
                        trouble = Trouble::default();
                    }
                    if matches!(event, Event::InitDone) {
                        drop(place.take());
                    }
                    take(event);
                }
                Err(error) => {
                    drop(place.take());
                    tracing::debug!(url = api.resource_url(), %error, "watch failed");
                    if trouble.is_hopeless(&error, Instant::now()) {
                        break;
                    }
                }
            }
        }
        given_up();
        tracing::warn!(url = api.resource_url(), "watch given up, starting anew from a full list");
    }
}

impl Trouble {
    /// Whether to give the watch up. Failing lists start anew by themselves and are not counted.
    #[must_use]
    fn is_hopeless(&mut self, error: &watcher::Error, now: Instant) -> bool {
        if matches!(error, watcher::Error::InitialListFailed(_)) {
            return false;
        }
        if matches!(error, watcher::Error::WatchStartFailed(_)) {
            self.failed_starts += 1;
        }
        let since = *self.since.get_or_insert(now);
        self.failed_starts >= MAX_FAILED_STARTS || now.duration_since(since) >= MAX_FAILING
    }
}

#[cfg(test)]
mod tests;
