//! The watches that feed the controller: subscriptions, definitions, stored revisions, rights, kinds, storage classes.
//! Needs a client.

use super::context::Context;
use super::roots::{Observation, Root, RootObject};
use super::sayings::Sayings;
use super::servers;
use crate::definitions::content;
use crate::definitions::live::{Definition, read};
use crate::rights::{MANAGER_ROLE, WATCHER_ROLE};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Resource;
use kube::api::{Api, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::core::object::HasSpec;
use kube::runtime::watcher::{Config, Event};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use tenantry_apply::object::{MANAGED_BY, MANAGED_BY_LABEL};
use tenantry_apply::streams::follow;
use tenantry_checklist::saying::About;
use tenantry_checklist::select::{Catalogue as _, Latest};
use tenantry_crds::{
    BillingAccount, BillingRecord, Blueprint, HostedApplication, HostedApplicationVersion, InvoiceIssuer,
    ServerPool, ServicePlan, TenantSignOff, TenantSubscription, TenantSuspension,
};
use tokio::task::JoinSet;

/// Subscriptions per page of a full list: with its status one has 15 KB and may have much more, and a page is in memory
/// several times while it is read.
const SUBSCRIPTIONS_PAGE: u32 = 100;

/// Starts every watch of the controller. They end with the set.
pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<&'static str>) {
    let spawn = |tasks: &mut JoinSet<&'static str>, watch: Watch| {
        let context = Arc::clone(context);
        context.syncing(watch.word());
        tasks.spawn(async move {
            run(watch, context).await;
            watch.word()
        });
    };
    for watch in Watch::ALL {
        spawn(tasks, watch);
    }
}

/// What is watched.
#[derive(Clone, Copy, Debug)]
enum Watch {
    Subscriptions,
    SignOffs,
    Suspensions,
    Plans,
    Applications,
    Versions,
    Blueprints,
    Revisions,
    ManagerRole,
    WatcherRole,
    StorageClasses,
    ServerPools,
}

impl Watch {
    const ALL: [Self; 12] = [
        Self::Subscriptions,
        Self::SignOffs,
        Self::Suspensions,
        Self::Plans,
        Self::Applications,
        Self::Versions,
        Self::Blueprints,
        Self::Revisions,
        Self::ManagerRole,
        Self::WatcherRole,
        Self::StorageClasses,
        Self::ServerPools,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Subscriptions => "subscriptions",
            Self::SignOffs => "sign-offs",
            Self::Suspensions => "suspensions",
            Self::Plans => "plans",
            Self::Applications => "applications",
            Self::Versions => "versions",
            Self::Blueprints => "blueprints",
            Self::Revisions => "revisions",
            Self::ManagerRole => "manager-role",
            Self::WatcherRole => "watcher-role",
            Self::StorageClasses => "storage-classes",
            Self::ServerPools => "server-pools",
        }
    }
}

async fn run(watch: Watch, context: Arc<Context>) {
    let word = watch.word();
    match watch {
        Watch::Subscriptions => subscriptions(context).await,
        Watch::SignOffs => sayings::<TenantSignOff, _>(&context, word, &context.sign_offs).await,
        Watch::Suspensions => sayings::<TenantSuspension, _>(&context, word, &context.suspensions).await,
        Watch::Plans => definitions::<ServicePlan>(context, word).await,
        Watch::Applications => definitions::<HostedApplication>(context, word).await,
        Watch::Versions => definitions::<HostedApplicationVersion>(context, word).await,
        Watch::Blueprints => definitions::<Blueprint>(context, word).await,
        Watch::Revisions => revisions(context).await,
        Watch::ManagerRole => role(context, word, MANAGER_ROLE).await,
        Watch::WatcherRole => role(context, word, WATCHER_ROLE).await,
        Watch::StorageClasses => storage_classes(context).await,
        Watch::ServerPools => servers::follow_pools(context, word).await,
    }
}

async fn subscriptions(context: Arc<Context>) {
    let api: Api<RootObject> = Api::all(context.watch_client.clone());
    let mut seen = HashSet::new();
    follow(
        api,
        Config::default().page_size(SUBSCRIPTIONS_PAGE),
        |event| match event {
            Event::Init => seen.clear(),
            Event::InitApply(object) | Event::Apply(object) => {
                let Some(root) = Root::from_object(object) else { return };
                seen.insert(root.name.clone());
                let name = root.name.clone();
                match context.roots.observe(root) {
                    Observation::Known => {}
                    Observation::Changed => context.queue.wake(name),
                    Observation::Wanted => context.queue.arrived(name),
                }
            }
            Event::InitDone => {
                for gone in context.roots.retain(&seen) {
                    context.subscription_gone(&gone);
                }
                context.synced("subscriptions");
            }
            Event::Delete(object) => {
                let Some(root) = Root::from_object(object) else { return };
                if let Some(gone) = context.roots.remove(&root.name, &root.uid) {
                    context.subscription_gone(&gone);
                }
            }
        },
        || {},
    )
    .await;
}

/// Follows what people say about subscriptions in objects of one kind.
async fn sayings<K, S>(context: &Context, word: &'static str, sayings: &Sayings<S>)
where
    K: Resource<DynamicType = ()> + HasSpec<Spec = S> + Clone + DeserializeOwned + Debug + Send + 'static,
    S: About + Clone + PartialEq,
{
    let api: Api<K> = Api::all(context.watch_client.clone());
    let mut seen = HashSet::new();
    follow(
        api,
        Config::default(),
        |event| match event {
            Event::Init => seen.clear(),
            Event::InitApply(object) | Event::Apply(object) => {
                seen.extend(object.meta().uid.clone());
                if let Some(subscription) = sayings.observe(&object) {
                    context.queue.wake(subscription);
                }
            }
            Event::InitDone => {
                for subscription in sayings.retain(&seen) {
                    context.queue.wake(subscription);
                }
                context.synced(word);
            }
            Event::Delete(object) => {
                if let Some(subscription) = sayings.remove(&object) {
                    context.queue.wake(subscription);
                }
            }
        },
        || {},
    )
    .await;
}

/// Watched without a type, so that one definition that cannot be read does not hide the others.
async fn definitions<D: Definition>(context: Arc<Context>, word: &'static str) {
    let api: Api<DynamicObject> = Api::all_with(context.watch_client.clone(), &D::resource());
    let mut seen = HashSet::new();
    follow(
        api,
        Config::default(),
        |event| match event {
            Event::Init => seen.clear(),
            Event::InitApply(object) | Event::Apply(object) => {
                let Some((key, live)) = read::<D>(object) else { return };
                seen.insert(key.name.clone());
                let told = context.store.live(&key).is_some_and(|known| known.notice != live.notice);
                let before = context.store.latest(D::KIND, &key.name);
                if context.store.observe(key.clone(), live) {
                    context.definition_changed(&key);
                    // Orders that were refused may go on, and tenants that stayed where they were may move.
                    if told || is_other_lifecycle(&before, &context.store.latest(D::KIND, &key.name)) {
                        context.wake_users_of(&key);
                    }
                }
            }
            Event::InitDone => {
                for key in context.store.retain(D::KIND, &seen) {
                    context.definition_changed(&key);
                }
                context.synced(word);
            }
            Event::Delete(object) => {
                let Some((key, _)) = read::<D>(object) else { return };
                context.store.remove(&key);
                context.definition_changed(&key);
            }
        },
        || {},
    )
    .await;
}

/// Whether a definition was published or retired. Its revision stays the same then, so its acceptance wakes nobody.
fn is_other_lifecycle(before: &Latest, after: &Latest) -> bool {
    match (before, after) {
        (Latest::Accepted { lifecycle: before, .. }, Latest::Accepted { lifecycle: after, .. }) => {
            before != after
        }
        _ => false,
    }
}

async fn revisions(context: Arc<Context>) {
    let namespace = &context.config.namespace;
    let api: Api<ControllerRevision> = Api::namespaced(context.watch_client.clone(), namespace);
    let labels = format!("{MANAGED_BY_LABEL}={MANAGED_BY}");
    follow(
        api,
        Config::default().labels(&labels),
        |event| match event {
            Event::Init => {}
            Event::InitApply(object) | Event::Apply(object) => match content::from_object(&object) {
                Some((key, revision, content, number)) => {
                    context.store.observe_stored(key, revision, content, number);
                }
                None => tracing::warn!(name = ?object.metadata.name, "a stored revision cannot be read"),
            },
            Event::InitDone => context.synced("revisions"),
            Event::Delete(object) => {
                if let Some((key, revision, ..)) = content::from_object(&object) {
                    context.store.remove_stored(&key, &revision);
                    // Stored again where it is what a live definition says.
                    context.definition_changed(&key);
                }
            }
        },
        || {},
    )
    .await;
}

async fn role(context: Arc<Context>, word: &'static str, name: &'static str) {
    let api: Api<ClusterRole> = Api::all(context.watch_client.clone());
    let fields = format!("metadata.name={name}");
    let mut rules = Vec::new();
    follow(
        api,
        Config::default().fields(&fields),
        |event| {
            let is_listed = matches!(event, Event::InitDone);
            if take_rules(&mut rules, event) {
                context.rights_changed(name, rules.clone());
            }
            if is_listed {
                context.synced(word);
            }
        },
        || {},
    )
    .await;
}

/// Takes in what a watch says of one role. Says whether it is known whole: while a list is under way nothing is, and rights
/// that seem to be missing for a moment would be told to every tenant.
fn take_rules(rules: &mut Vec<PolicyRule>, event: Event<ClusterRole>) -> bool {
    match event {
        Event::Init => {
            rules.clear();
            false
        }
        Event::InitApply(role) => {
            *rules = role.rules.unwrap_or_default();
            false
        }
        Event::Apply(role) => {
            *rules = role.rules.unwrap_or_default();
            true
        }
        Event::Delete(_) => {
            rules.clear();
            true
        }
        Event::InitDone => true,
    }
}

async fn storage_classes(context: Arc<Context>) {
    let api: Api<StorageClass> = Api::all(context.watch_client.clone());
    follow(
        api,
        Config::default(),
        |event| match event {
            Event::Init => {}
            Event::InitApply(class) | Event::Apply(class) => {
                let late = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
                context.storage_class(class.metadata.name.unwrap_or_default(), late);
            }
            Event::Delete(class) => context.storage_class(class.metadata.name.unwrap_or_default(), false),
            Event::InitDone => context.synced("storage-classes"),
        },
        || {},
    )
    .await;
}

/// Follows the custom resource definitions: a kind that appears or vanishes is noticed at once. Runs on every
/// replica, because readiness depends on our own kinds.
pub(crate) async fn kinds(context: Arc<Context>) {
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(context.watch_client.clone());
    let mut there = HashSet::new();
    follow(
        api,
        Config::default(),
        |event| {
            let defined = |kind: PartialObjectMeta<_>, exists| {
                if let Some(name) = kind.metadata.name {
                    context.discovery.defined(&name, exists);
                }
            };
            match event {
                Event::Init => return there.clear(),
                Event::InitApply(kind) => {
                    there.extend(kind.metadata.name);
                    return;
                }
                Event::Apply(kind) => defined(kind, true),
                Event::Delete(kind) => defined(kind, false),
                // One that went while nobody watched is gone as well.
                Event::InitDone => context.discovery.all_defined(&std::mem::take(&mut there)),
            }
            context.kinds_changed.notify_one();
        },
        || {},
    )
    .await;
}

/// Names of our own kinds.
pub(crate) fn own_kinds() -> Vec<String> {
    fn kind<K: kube::Resource<DynamicType = ()>>() -> String {
        format!("{}/{}", K::api_version(&()), K::kind(&()))
    }
    vec![
        kind::<TenantSubscription>(),
        kind::<TenantSignOff>(),
        kind::<TenantSuspension>(),
        kind::<ServicePlan>(),
        kind::<HostedApplication>(),
        kind::<HostedApplicationVersion>(),
        kind::<Blueprint>(),
        kind::<InvoiceIssuer>(),
        kind::<BillingAccount>(),
        kind::<ServerPool>(),
        kind::<BillingRecord>(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_not_missing_while_a_role_is_listed_anew() {
        let role = |verb: &str| ClusterRole {
            rules: Some(vec![PolicyRule { verbs: vec![verb.to_owned()], ..PolicyRule::default() }]),
            ..ClusterRole::default()
        };
        let events = vec![
            Event::Init,
            Event::InitApply(role("get")),
            Event::InitDone,
            Event::Init,
            Event::InitApply(role("get")),
            Event::InitDone,
            Event::Apply(role("list")),
            Event::Delete(role("list")),
            Event::Init,
            Event::InitDone,
        ];
        let mut rules = Vec::new();
        let mut told = Vec::new();
        for event in events {
            if take_rules(&mut rules, event) {
                told.push(rules.iter().flat_map(|rule| rule.verbs.clone()).collect::<String>());
            }
        }
        assert_eq!(told, ["get", "get", "list", "", ""]);
    }
}
