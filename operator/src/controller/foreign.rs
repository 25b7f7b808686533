//! Objects that somebody else makes and keeps, and that checklists wait for. Needs a client.
//!
//! One watch a kind, however many tenants wait. Of namespaced kinds only what lies in tenants' namespaces is kept. Nothing
//! here is ever written. Of Secrets only those of one name are looked at, whose rights name it, and only their metadata is
//! asked for; no item may wait for another one.

use super::patience::until;
use super::queue::Queue;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, PartialObjectMeta};
use kube::runtime::watcher::{Config, Event};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenantry_apply::object::{Kind, ObjectId};
use tenantry_apply::streams::follow;
use tenantry_checklist::access::NAMESPACE_PREFIX;
use tenantry_checklist::job::SOURCE_SECRET;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Objects per page of a list.
const PAGE: u32 = 100;

/// Namespace and name.
type Key = (Option<String>, String);

/// Everything that is watched for others' sake.
pub(crate) struct Foreign {
    client: Client,
    queue: Arc<Queue<String>>,
    kinds: Mutex<HashMap<Kind, Watched>>,
}

struct Watched {
    known: Arc<Known>,
    task: JoinHandle<()>,
}

/// What is known of one kind.
#[derive(Default)]
struct Known {
    state: Mutex<State>,
    synced: Notify,
}

#[derive(Default)]
struct State {
    is_synced: bool,
    objects: HashMap<Key, Arc<Value>>,
    /// Who waits for which object.
    interest: HashMap<Key, BTreeSet<String>>,
    /// Keys that a list has brought so far.
    arriving: HashSet<Key>,
}

/// What is seen of one object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sight {
    /// The watch has not delivered its first set.
    NotSynced,
    /// There is none of that name.
    Absent,
    /// There is.
    There(Arc<Value>),
}

// === impl Foreign ===

impl Foreign {
    /// Watches nothing yet. `client` should be the one for watches; `queue` is told who has to look again.
    pub(crate) fn new(client: Client, queue: Arc<Queue<String>>) -> Self {
        Self { client, queue, kinds: Mutex::default() }
    }

    /// Looks at an object for a subscription, which looks again whenever it changes from here on.
    pub(crate) fn look(&self, id: &ObjectId, resource: &ApiResource, subscription: &str) -> Sight {
        let known = self.watch(&id.kind, resource);
        let key = (id.namespace.as_ref().map(ToString::to_string), id.name.to_string());
        let mut state = known.lock();
        state.interest.entry(key.clone()).or_default().insert(subscription.to_owned());
        match (state.is_synced, state.objects.get(&key)) {
            (false, _) => Sight::NotSynced,
            (true, None) => Sight::Absent,
            (true, Some(object)) => Sight::There(Arc::clone(object)),
        }
    }

    /// Whether the watch of a kind has delivered its first set.
    pub(crate) fn is_synced(&self, kind: &Kind, resource: &ApiResource) -> bool {
        self.watch(kind, resource).lock().is_synced
    }

    /// Waits until the watch of a kind has delivered its first set, but no longer than `patience`.
    pub(crate) async fn synced(&self, kind: &Kind, resource: &ApiResource, patience: Duration) {
        let known = self.watch(kind, resource);
        let _late = until(&known.synced, patience, || known.lock().is_synced).await;
    }

    /// A subscription is gone and waits for nothing any more.
    pub(crate) fn forget(&self, subscription: &str) {
        for watched in self.lock().values() {
            let mut state = watched.known.lock();
            state.interest.retain(|_, names| {
                names.remove(subscription);
                !names.is_empty()
            });
        }
    }

    /// A kind is not served any more.
    pub(crate) fn remove(&self, kind: &Kind) {
        if let Some(watched) = self.lock().remove(kind) {
            watched.task.abort();
        }
    }

    fn watch(&self, kind: &Kind, resource: &ApiResource) -> Arc<Known> {
        let mut kinds = self.lock();
        if let Some(watched) = kinds.get(kind) {
            return Arc::clone(&watched.known);
        }
        let known = Arc::<Known>::default();
        let (feed, queue) = (Arc::clone(&known), Arc::clone(&self.queue));
        let config = Config::default().page_size(PAGE);
        let task = if kind.is_secret() {
            let api: Api<PartialObjectMeta<Secret>> = Api::all(self.client.clone());
            let config = config.fields(&format!("metadata.name={SOURCE_SECRET}"));
            tokio::spawn(async move {
                follow(api, config, |event| feed.take(mapped(event, bare), &queue), || {}).await;
            })
        } else {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
            tokio::spawn(async move { follow(api, config, |event| feed.take(event, &queue), || {}).await })
        };
        kinds.insert(kind.clone(), Watched { known: Arc::clone(&known), task });
        known
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Watched>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let kinds = self.kinds.get_mut().unwrap_or_else(PoisonError::into_inner);
        kinds.values().for_each(|watched| watched.task.abort());
    }
}

// === impl Known ===

impl Known {
    /// Takes in an event, and wakes whoever waits for what changed.
    fn take(&self, event: Event<DynamicObject>, queue: &Queue<String>) {
        let mut state = self.lock();
        let changed: Vec<Key> = match event {
            Event::Init => {
                state.arriving.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let changed = state.put(object);
                state.arriving.extend(changed.key);
                changed.news.into_iter().collect()
            }
            Event::Apply(object) => state.put(object).news.into_iter().collect(),
            Event::Delete(object) => {
                let key = key_of(&object);
                state.objects.remove(&key).map(|_| key).into_iter().collect()
            }
            Event::InitDone => {
                let arrived = std::mem::take(&mut state.arriving);
                let gone: Vec<Key> =
                    state.objects.keys().filter(|key| !arrived.contains(*key)).cloned().collect();
                gone.iter().for_each(|key| drop(state.objects.remove(key)));
                let is_first = !std::mem::replace(&mut state.is_synced, true);
                // Before the first set nobody could know.
                if is_first { state.interest.keys().cloned().collect() } else { gone }
            }
        };
        let names: BTreeSet<String> =
            changed.iter().filter_map(|key| state.interest.get(key)).flatten().cloned().collect();
        let is_synced = state.is_synced;
        drop(state);
        if is_synced {
            self.synced.notify_waiters();
        }
        names.into_iter().for_each(|name| queue.wake(name));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of an object that was delivered.
struct Put {
    /// Its key, if it is one that is kept.
    key: Option<Key>,
    /// Its key, if it is another than before.
    news: Option<Key>,
}

// === impl State ===

impl State {
    fn put(&mut self, mut object: DynamicObject) -> Put {
        let key = key_of(&object);
        if key.0.as_ref().is_some_and(|namespace| !namespace.starts_with(NAMESPACE_PREFIX)) {
            return Put { key: None, news: None };
        }
        object.metadata.managed_fields = None;
        let Ok(object) = serde_json::to_value(object) else { return Put { key: Some(key), news: None } };
        let is_news = self.objects.get(&key).is_none_or(|known| **known != object);
        self.objects.insert(key.clone(), Arc::new(object));
        Put { key: Some(key.clone()), news: is_news.then_some(key) }
    }
}

/// An object of which only the metadata is known.
fn bare<K>(meta: PartialObjectMeta<K>) -> DynamicObject {
    DynamicObject { types: meta.types, metadata: meta.metadata, data: Value::Null }
}

/// The event with another form of its object.
fn mapped<K, L>(event: Event<K>, form: impl Fn(K) -> L) -> Event<L> {
    match event {
        Event::Apply(object) => Event::Apply(form(object)),
        Event::Delete(object) => Event::Delete(form(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(form(object)),
        Event::InitDone => Event::InitDone,
    }
}

fn key_of(object: &DynamicObject) -> Key {
    (object.metadata.namespace.clone(), object.metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(namespace: &str, name: &str, ready: bool) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "example.org/v1", "kind": "Line",
            "metadata": {"namespace": namespace, "name": name, "managedFields": [{"manager": "x"}]},
            "status": {"ready": ready},
        }))
        .unwrap()
    }

    fn key(namespace: &str, name: &str) -> Key {
        (Some(namespace.to_owned()), name.to_owned())
    }

    /// Hands in events, and gives who is woken by each.
    fn woken(known: &Known, events: Vec<Event<DynamicObject>>) -> Vec<usize> {
        let depth = |event| {
            let queue = Queue::default();
            known.take(event, &queue);
            queue.depth()
        };
        events.into_iter().map(depth).collect()
    }

    fn waits_for(known: &Known, namespace: &str, name: &str, subscription: &str) {
        let mut state = known.lock();
        state.interest.entry(key(namespace, name)).or_default().insert(subscription.to_owned());
    }

    #[test]
    fn who_waits_is_woken_by_what_he_waits_for_and_by_nothing_else() {
        let known = Known::default();
        waits_for(&known, "tenant-acme", "public", "acme");
        waits_for(&known, "tenant-bolt", "public", "bolt");
        let acme = |ready| object("tenant-acme", "public", ready);
        let events = vec![
            Event::Init,
            Event::InitApply(acme(false)),
            Event::InitDone,
            Event::Apply(acme(false)),
            Event::Apply(acme(true)),
            Event::Apply(object("tenant-acme", "other", true)),
            Event::Delete(acme(true)),
            Event::Delete(acme(true)),
        ];
        // The first set tells everybody who waits that he can know now.
        assert_eq!(woken(&known, events), [0, 1, 2, 0, 1, 0, 1, 0]);
    }

    #[test]
    fn a_list_that_comes_again_takes_away_what_is_gone() {
        let known = Known::default();
        waits_for(&known, "tenant-acme", "public", "acme");
        let there = || Event::InitApply(object("tenant-acme", "public", true));
        woken(&known, vec![Event::Init, there(), Event::InitDone]);
        assert_eq!(woken(&known, vec![Event::Init, there(), Event::InitDone]), [0, 0, 0]);
        assert_eq!(known.lock().objects.len(), 1);
        assert_eq!(woken(&known, vec![Event::Init, Event::InitDone]), [0, 1]);
        assert!(known.lock().objects.is_empty());
    }

    #[test]
    fn only_what_lies_with_tenants_is_kept_and_without_its_bookkeeping() {
        let known = Known::default();
        let events = vec![
            Event::Init,
            Event::InitApply(object("kube-system", "public", true)),
            Event::InitApply(object("tenant-acme", "public", true)),
            Event::InitDone,
        ];
        woken(&known, events);
        let state = known.lock();
        assert_eq!(state.objects.keys().collect::<Vec<_>>(), [&key("tenant-acme", "public")]);
        assert!(state.objects.values().all(|object| object.pointer("/metadata/managedFields").is_none()));
    }
}
