//! Records every committed state of every kind by watches of its own. Needs a client.
//!
//! The resource versions of all kinds are revisions of one store, so sorted by them the changes of all watches are in
//! the order in which they were committed.

mod revisions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::future::try_join_all;
use http::Request;
use kube::core::{DynamicObject, WatchEvent};
use kube::discovery::verbs;
use kube::{Client, Discovery, Resource};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::board::Board;
use crate::history::{Change, Key, Sort, State, revision};
use revisions::Revisions;

/// Kinds that change all the time or are copied from others, labels included, and say nothing about tenants. Of these it is
/// only taken down that something changed.
const IGNORED: [&str; 6] = [
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "componentstatuses",
];
/// Longer than anything takes on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Objects with everything in them.
const WHOLE: &str = "application/json";
/// Names and versions are enough to know how far a watch is, and every tenant of a stage is in each list.
const VERSIONS: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// The same kind under another name.
const AGAIN: &str = "events";
/// How an event of a watch comes without the object.
const VERSION: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// In which watches deliver what is committed, mostly.
const MOMENT: Duration = Duration::from_millis(250);
/// Between two starts of a watch whose server is away.
const PAUSE: Duration = Duration::from_millis(100);

/// A running recorder. Ends when dropped.
pub struct Recorder {
    client: Client,
    kinds: Vec<Kind>,
    shared: Arc<Board<History>>,
    patience: Duration,
    /// Whether it follows all kinds that there are.
    is_complete: bool,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Debug)]
struct Kind {
    resource: String,
    path: String,
    /// Whether only the revisions of changes are taken down.
    is_ignored: bool,
}

#[derive(Default)]
struct History {
    before: State,
    now: State,
    changes: Vec<Change>,
    /// At which revision an object of this name was last deleted.
    buried: BTreeMap<Key, u64>,
    revisions: Revisions,
    /// Kinds of which everything that is committed from now on will be told.
    followed: BTreeSet<String>,
}

// === impl Recorder ===

impl Recorder {
    /// Begins to record every kind that the cluster serves and that says something about tenants.
    ///
    /// # Errors
    /// When a kind cannot be listed.
    pub async fn start(client: Client) -> Result<Self> {
        Self::record(client, |plural| plural != AGAIN, true).await
    }

    /// Begins to record the kinds that `matter`.
    ///
    /// # Errors
    /// When a kind cannot be listed.
    pub async fn of(client: Client, matter: impl Fn(&str) -> bool) -> Result<Self> {
        Self::record(client, matter, false).await
    }

    async fn record(client: Client, matter: impl Fn(&str) -> bool, is_complete: bool) -> Result<Self> {
        let discovery = Discovery::new(client.clone()).run_aggregated().await?;
        let mut kinds = Vec::new();
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                let plural = match resource.group.as_str() {
                    "" => resource.plural.clone(),
                    group => format!("{}.{group}", resource.plural),
                };
                let can = capabilities.supports_operation(verbs::WATCH)
                    && capabilities.supports_operation(verbs::LIST);
                if can && matter(&plural) {
                    let path = DynamicObject::url_path(&resource, None);
                    let is_ignored = is_complete && IGNORED.contains(&plural.as_str());
                    kinds.push(Kind { resource: plural, path, is_ignored });
                }
            }
        }
        let shared = Arc::<Board<History>>::default();
        let mut tasks = JoinSet::new();
        let starts = kinds.iter().map(|kind| list(&client, kind, kind.as_a_list()));
        for (kind, list) in kinds.iter().zip(try_join_all(starts).await?) {
            if !kind.is_ignored {
                shared.lock().now.extend(items(kind, &list));
            }
            tasks.spawn(follow(client.clone(), kind.clone(), revision(&list), Arc::clone(&shared)));
        }
        Ok(Self { client, kinds, shared, patience: PATIENCE, is_complete, _tasks: tasks })
    }

    /// From now on waits so long for what shall happen, and not [`PATIENCE`].
    pub fn wait_at_most(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// How long it waits for what shall happen.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Forgets what was, up to now.
    pub fn begin(&self) {
        let mut history = self.shared.lock();
        history.before = history.now.clone();
        history.changes.clear();
    }

    /// What existed at the beginning and what changed since, in the order of the store.
    #[must_use]
    pub fn take(&self) -> (State, Vec<Change>) {
        let history = self.shared.lock();
        let mut changes = history.changes.clone();
        changes.sort_by_key(|change| change.revision);
        (history.before.clone(), changes)
    }

    /// Revision of the last change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let history = self.shared.lock();
        history.changes.iter().map(|change| change.revision).max().unwrap_or_default()
    }

    /// What exists, as far as the watches say.
    #[must_use]
    pub fn now(&self) -> State {
        self.shared.lock().now.clone()
    }

    /// Waits until what exists satisfies `holds`.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until(&self, what: &str, holds: impl Fn(&State) -> bool) -> Result<()> {
        self.wait(what, |history| holds(&history.now)).await
    }

    /// Waits, however long, until `look` finds something in what exists, and gives it.
    pub(crate) async fn first<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        loop {
            let changed = self.shared.changed();
            let found = look(&self.shared.lock().now);
            if let Some(found) = found {
                return found;
            }
            changed.await;
        }
    }

    /// Waits until every kind is followed again, as after an outage: what is committed before that is told in part.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub async fn follows(&self) -> Result<()> {
        let kinds = self.kinds.iter();
        let all: BTreeSet<String> = kinds.map(|kind| kind.resource.clone()).collect();
        self.wait("that every kind is followed again", |history| history.followed.is_superset(&all)).await
    }

    /// Waits until the watches have delivered everything that is committed by now, of the kinds that `matter`.
    ///
    /// # Errors
    /// When a kind cannot be listed, or the watches do not catch up.
    pub async fn settle(&self, matter: impl Fn(&str) -> bool) -> Result<()> {
        if self.is_complete && self.knows_everything().await? {
            return Ok(());
        }
        let all = self.kinds.iter().filter(|kind| !kind.is_ignored);
        let kinds: Vec<&Kind> = all.clone().filter(|kind| matter(&kind.resource)).collect();
        let lists = try_join_all(kinds.iter().map(|kind| list(&self.client, kind, VERSIONS))).await?;
        let are_all = kinds.len() == all.count();
        let oldest = lists.iter().map(revision).min().filter(|_| self.is_complete && are_all);
        for (kind, list) in kinds.into_iter().zip(lists) {
            let listed: State = items(kind, &list).collect();
            let what = format!("a caught-up watch of {}", kind.resource);
            self.wait(&what, |history| history.has_reached(kind, &listed, revision(&list))).await?;
        }
        if let Some(oldest) = oldest {
            self.shared.lock().revisions.verified(oldest);
        }
        Ok(())
    }

    /// Whether every revision up to now was seen. When one was not, that says nothing: the store has revisions that are no change
    /// of an object.
    async fn knows_everything(&self) -> Result<bool> {
        let is_sure = self.shared.lock().revisions.is_sure();
        let Some(kind) = self.kinds.first().filter(|_| is_sure) else { return Ok(false) };
        let one = Kind { path: format!("{}?limit=1", kind.path), ..kind.clone() };
        let now = revision(&list(&self.client, &one, VERSIONS).await?);
        let seen = self.shared.until(|history| history.revisions.have_reached(now));
        Ok(tokio::time::timeout(MOMENT, seen).await.is_ok())
    }

    async fn wait(&self, what: &str, holds: impl Fn(&History) -> bool) -> Result<()> {
        let in_time = tokio::time::timeout(self.patience, self.shared.until(holds)).await.is_ok();
        if !in_time {
            bail!("{what} did not happen within {:?}", self.patience);
        }
        Ok(())
    }
}

// === impl Kind ===

impl Kind {
    /// How a list of it is asked for.
    fn as_a_list(&self) -> &'static str {
        if self.is_ignored { VERSIONS } else { WHOLE }
    }

    /// How a watch of it is asked for.
    fn as_an_event(&self) -> &'static str {
        if self.is_ignored { VERSION } else { WHOLE }
    }
}

// === impl History ===

impl History {
    fn put(&mut self, change: Change) {
        self.revisions.saw(change.revision);
        match change.sort {
            Sort::Created | Sort::Changed => {
                self.now.insert(change.key.clone(), Arc::clone(&change.object));
            }
            Sort::Deleted => {
                self.now.remove(&change.key);
                self.buried.insert(change.key.clone(), change.revision);
            }
        }
        self.changes.push(change);
    }

    /// Whether everything of a list is known, or known to be over.
    fn has_reached(&self, kind: &Kind, listed: &State, at: u64) -> bool {
        let is_known = |(key, object): (&Key, &Arc<Value>)| {
            let version = revision(object);
            let is_buried = || self.buried.get(key).is_some_and(|buried| *buried > version);
            self.now.get(key).map_or_else(is_buried, |known| revision(known) >= version)
        };
        let first = Key::new(&kind.resource, "", "");
        let mut known = self.now.range(first..).take_while(|(key, _)| key.resource == kind.resource);
        listed.iter().all(is_known)
            && known.all(|(key, object)| listed.contains_key(key) || revision(object) > at)
    }
}

// === impl Board ===

impl Board<History> {
    fn put(&self, change: Change) {
        self.lock().put(change);
        self.tell();
    }

    /// A watch could not go on where it was: what changed meanwhile is told by a list.
    fn catch_up(&self, kind: &Kind, list: &Value) {
        let listed: State = items(kind, list).collect();
        let at = revision(list);
        let known: State = {
            let history = self.lock();
            let first = Key::new(&kind.resource, "", "");
            let of_kind = history.now.range(first..).take_while(|(key, _)| key.resource == kind.resource);
            of_kind.map(|(key, object)| (key.clone(), Arc::clone(object))).collect()
        };
        for (key, object) in known.iter().filter(|(key, _)| !listed.contains_key(*key)) {
            let (key, object) = (key.clone(), Arc::clone(object));
            self.put(Change { revision: at, sort: Sort::Deleted, key, object });
        }
        for (key, object) in listed {
            let sort = match known.get(&key) {
                Some(before) if revision(before) >= revision(&object) => continue,
                Some(_) => Sort::Changed,
                None => Sort::Created,
            };
            self.put(Change { revision: revision(&object), sort, key, object });
        }
    }
}

async fn list(client: &Client, kind: &Kind, accept: &str) -> Result<Value> {
    let asked = async {
        loop {
            let request = Request::get(&kind.path).header(http::header::ACCEPT, accept).body(Vec::new())?;
            match client.request(request).await {
                // A kind that was just installed is served a moment later.
                Err(kube::Error::Api(status)) if status.code == 429 => {}
                Err(kube::Error::Api(status)) => return Err(kube::Error::Api(status).into()),
                // The API server is away: that is a fault which may strike at the very end of a run.
                Err(error) if is_away(&error) => {}
                answer => return anyhow::Ok(answer?),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await?
        .with_context(|| format!("{} cannot be listed", kind.resource))
}

/// Whether no answer came, whatever it would have been.
fn is_away(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Service(_) | kube::Error::HyperError(_))
}

fn items<'a>(kind: &'a Kind, list: &'a Value) -> impl Iterator<Item = (Key, Arc<Value>)> + 'a {
    let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|object| (Key::of(&kind.resource, object), Arc::new(typed(list, object))))
}

/// An object of a list with its type, which the API server writes once for the whole list and a watch with each object.
fn typed(list: &Value, object: &Value) -> Value {
    let mut object = object.clone();
    let kind = list.get("kind").and_then(Value::as_str).and_then(|kind| kind.strip_suffix("List"));
    if let (Some(fields), Some(kind)) = (object.as_object_mut(), kind) {
        fields.entry("kind").or_insert_with(|| kind.into());
        fields.entry("apiVersion").or_insert_with(|| list.get("apiVersion").cloned().unwrap_or_default());
    }
    object
}

/// Follows one kind for ever. While a watch is interrupted nobody knows what is missing.
async fn follow(client: Client, kind: Kind, from: u64, shared: Arc<Board<History>>) {
    let mut at = from;
    let mut is_listed = true;
    loop {
        let ended = watch(&client, &kind, &mut at, is_listed, &shared).await;
        {
            let mut history = shared.lock();
            history.revisions.doubt();
            history.followed.remove(&kind.resource);
        }
        is_listed = false;
        let is_gone = match ended {
            Ok(is_gone) => is_gone,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                false
            }
        };
        if is_gone && let Ok(list) = list(&client, &kind, kind.as_a_list()).await {
            if !kind.is_ignored {
                shared.catch_up(&kind, &list);
            }
            at = revision(&list);
            is_listed = true;
        }
    }
}

/// One watch, until it ends. Says whether the server has forgotten where it was, which it tells at once, and never of a place that was
/// listed a moment ago.
async fn watch(
    client: &Client,
    kind: &Kind,
    at: &mut u64,
    is_listed: bool,
    shared: &Board<History>,
) -> Result<bool> {
    let path = format!("{}?watch=true&allowWatchBookmarks=true&resourceVersion={at}", kind.path);
    let request = Request::get(&path).header(http::header::ACCEPT, kind.as_an_event()).body(Vec::new())?;
    let events = match client.request_events::<Value>(request).await {
        Ok(events) => events,
        Err(kube::Error::Api(status)) if status.code == 410 => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let mut events = std::pin::pin!(events.peekable());
    let is_followed = is_listed
        || !matches!(
            tokio::time::timeout(MOMENT, events.as_mut().peek()).await,
            Ok(None | Some(Err(_) | Ok(WatchEvent::Error(_))))
        );
    if is_followed {
        shared.lock().followed.insert(kind.resource.clone());
        shared.tell();
    }
    while let Some(event) = events.next().await {
        let (sort, object) = match event? {
            WatchEvent::Added(object) => (Sort::Created, object),
            WatchEvent::Modified(object) => (Sort::Changed, object),
            WatchEvent::Deleted(object) => (Sort::Deleted, object),
            WatchEvent::Bookmark(bookmark) => {
                *at = bookmark.metadata.resource_version.parse().unwrap_or(*at);
                continue;
            }
            WatchEvent::Error(status) => return Ok(status.code == 410),
        };
        let version = revision(&object);
        *at = version;
        if kind.is_ignored {
            shared.lock().revisions.saw(version);
            shared.tell();
            continue;
        }
        let key = Key::of(&kind.resource, &object);
        shared.put(Change { revision: version, sort, key, object: Arc::new(object) });
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_of_a_list_are_told_like_those_of_a_watch() {
        let kind = Kind { resource: "secrets".to_owned(), path: String::new(), is_ignored: false };
        let list = json!({"apiVersion": "v1", "kind": "SecretList", "items": [
            {"metadata": {"name": "session", "namespace": "tenant-a"}},
            {"apiVersion": "v2", "kind": "Other", "metadata": {"name": "own"}},
        ]});
        let found: Vec<(Key, Arc<Value>)> = items(&kind, &list).collect();
        assert_eq!(found[0].0, Key::new("secrets", "tenant-a", "session"));
        assert_eq!((&found[0].1["apiVersion"], &found[0].1["kind"]), (&json!("v1"), &json!("Secret")));
        assert_eq!((&found[1].1["apiVersion"], &found[1].1["kind"]), (&json!("v2"), &json!("Other")));
    }
}
