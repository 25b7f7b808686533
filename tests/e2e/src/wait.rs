//! Waiting for a state by a watch, never by sleeping. Needs a client and a clock.

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Debug;
use std::time::Duration;
use tenantry_crds::TenantSubscription;
use tenantry_crds::common::{Condition, ConditionStatus};
use tenantry_crds::subscription::{ChecklistEntry, ItemState};

/// Longer than anything takes on a slow machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until the object `name` satisfies `holds`; `None` is an object that does not exist.
///
/// # Errors
/// When it does not within [`PATIENCE`]; the message shows the last state.
pub async fn until<K>(api: Api<K>, name: &str, mut holds: impl FnMut(Option<&K>) -> bool) -> Result<Option<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut last: Option<K> = None;
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let watching = async {
        let mut stream = std::pin::pin!(watcher(api, config).default_backoff());
        let mut found = false;
        while let Some(event) = stream.try_next().await.transpose() {
            match event {
                // Nothing is known until the first list is complete.
                Ok(watcher::Event::Init) => {
                    found = false;
                    continue;
                }
                Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                    found = true;
                    last = Some(object);
                }
                Ok(watcher::Event::Delete(_)) => last = None,
                Ok(watcher::Event::InitDone) if !found => last = None,
                Ok(watcher::Event::InitDone) => {}
                // An API server that is down: the watch comes back on its own.
                Err(_) => continue,
            }
            if holds(last.as_ref()) {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, watching).await.is_ok();
    if !in_time {
        bail!("{name} did not become what was waited for in {PATIENCE:?}; last seen: {last:#?}");
    }
    Ok(last)
}

/// Waits until a subscription satisfies `holds`.
///
/// # Errors
/// When it does not within [`PATIENCE`].
pub async fn subscription(
    client: &Client,
    name: &str,
    mut holds: impl FnMut(&TenantSubscription) -> bool,
) -> Result<TenantSubscription> {
    let api = Api::all(client.clone());
    let found = until(api, name, |object| object.is_some_and(&mut holds)).await?;
    match found {
        Some(found) => Ok(found),
        None => bail!("{name} vanished"),
    }
}

/// Waits until nothing of that name exists.
///
/// # Errors
/// When it still does after [`PATIENCE`].
pub async fn gone<K>(api: Api<K>, name: &str) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    until(api, name, |object| object.is_none()).await.map(|_| ())
}

/// An API in a namespace, for the types that live in one.
#[must_use]
pub fn namespaced<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(client.clone(), namespace)
}

/// A condition of a subscription.
#[must_use]
pub fn condition<'a>(subscription: &'a TenantSubscription, type_: &str) -> Option<&'a Condition> {
    subscription.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition is true for the present spec.
#[must_use]
pub fn is_true(subscription: &TenantSubscription, type_: &str) -> bool {
    condition(subscription, type_).is_some_and(|condition| {
        condition.status == ConditionStatus::True
            && Some(condition.observed_generation) == subscription.metadata.generation
    })
}

/// Whether a condition is false for the present spec, with this reason.
#[must_use]
pub fn is_false(subscription: &TenantSubscription, type_: &str, reason: &str) -> bool {
    condition(subscription, type_).is_some_and(|condition| {
        condition.status == ConditionStatus::False
            && condition.reason == reason
            && Some(condition.observed_generation) == subscription.metadata.generation
    })
}

/// Waits until the controller has told of something by an event; gives how many events tell of it.
///
/// # Errors
/// When the API server does not answer, or no event does within [`PATIENCE`].
pub async fn told(client: &Client, is_told: impl Fn(&Event) -> bool) -> Result<usize> {
    // Events of cluster-scoped objects lie in this namespace.
    let events: Api<Event> = Api::namespaced(client.clone(), "default");
    let looking = async {
        loop {
            let found =
                events.list(&ListParams::default()).await?.iter().filter(|event| is_told(event)).count();
            if found > 0 {
                return anyhow::Ok(found);
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.context("no event tells of it")?
}

/// An item of the checklist, as it was reported.
#[must_use]
pub fn entry<'a>(subscription: &'a TenantSubscription, name: &str) -> Option<&'a ChecklistEntry> {
    subscription.status.as_ref()?.checklist.iter().find(|entry| entry.name == name)
}

/// Whether an item is in a state for a reason, to wait for.
pub fn stands(
    name: &'static str,
    state: ItemState,
    reason: &'static str,
) -> impl Fn(&TenantSubscription) -> bool {
    move |subscription| entry(subscription, name).is_some_and(|e| e.state == state && e.reason == reason)
}

/// Whether the pods of every run were let go, so that nothing more is written for it.
#[must_use]
pub fn keeps_nothing(subscription: &TenantSubscription) -> bool {
    let entries = subscription.status.iter().flat_map(|status| &status.checklist);
    entries.filter_map(|entry| entry.job.as_ref()).all(|run| run.let_go)
}

/// Whether everything is done and the customer can use the application, for the present spec, and nothing is kept that is
/// let go in a moment.
#[must_use]
pub fn is_live(subscription: &TenantSubscription) -> bool {
    is_true(subscription, "Live") && is_true(subscription, "Ready") && keeps_nothing(subscription)
}

/// Why the present spec was refused, as reason and message; nothing when it was not.
#[must_use]
pub fn refusal(subscription: &TenantSubscription) -> Option<(&str, &str)> {
    let condition = condition(subscription, "Accepted")?;
    let is_refused = condition.status == ConditionStatus::False
        && Some(condition.observed_generation) == subscription.metadata.generation;
    is_refused.then_some((condition.reason.as_str(), condition.message.as_str()))
}

/// Waits until the latest state of a definition is accepted, or refused, and gives what its condition says.
///
/// # Errors
/// When that does not happen within [`PATIENCE`].
pub async fn definition<K>(client: &Client, name: &str, accepted: bool) -> Result<String>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()>,
{
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::erase::<K>(&()));
    let wanted = if accepted { "True" } else { "False" };
    let mut message = String::new();
    until(api, name, |object| {
        let Some(object) = object else { return false };
        let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
        let is_judged = |condition: &&Value| {
            condition["type"] == "Accepted"
                && condition["status"] == wanted
                && condition["observedGeneration"].as_i64() == object.metadata.generation
        };
        let found = conditions.and_then(|all| all.iter().find(is_judged));
        message = found.and_then(|c| c["message"].as_str()).unwrap_or_default().to_owned();
        found.is_some()
    })
    .await?;
    Ok(message)
}
