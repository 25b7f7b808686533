//! The watches of pools and nodes. Needs a client.
//!
//! Nodes are watched once there is a pool, only those that are of some class of servers, and only what matters of them is
//! kept: a heartbeat of a kubelet changes nothing.

use super::nodes::NodeObject;
use super::{Servers, State};
use crate::controller::context::Context;
use crate::controller::roots::is_later;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::watcher::{Config, Event};
use std::collections::HashSet;
use std::sync::Arc;
use tenantry_apply::streams::follow;
use tenantry_blueprint::decorate::SERVER_CLASS_LABEL;
use tenantry_crds::ServerPool;

/// Nodes per page of a full list: with its images one has 10 KB and more.
const NODES_PAGE: u32 = 100;

/// Follows pools. One that comes, goes or is changed by others makes everybody look again.
pub(crate) async fn follow_pools(context: Arc<Context>, word: &'static str) {
    let api: Api<ServerPool> = Api::all(context.watch_client.clone());
    let mut seen = HashSet::new();
    follow(
        api,
        Config::default(),
        |event| match event {
            Event::Init => seen.clear(),
            Event::InitApply(pool) | Event::Apply(pool) => {
                seen.insert(pool.name_any());
                if context.servers.observe_pool(pool) {
                    context.wake_everybody();
                }
            }
            Event::InitDone => {
                if context.servers.retain_pools(&seen) {
                    context.wake_everybody();
                }
                context.synced(word);
            }
            Event::Delete(pool) => {
                if context.servers.remove_pool(&pool.name_any()) {
                    context.wake_everybody();
                }
            }
        },
        || {},
    )
    .await;
}

/// Follows nodes, once there is a pool.
pub(crate) async fn follow_nodes(context: Arc<Context>) {
    while context.servers.pools().is_empty() {
        context.servers.pooled.notified().await;
    }
    let api: Api<NodeObject> = Api::all(context.watch_client.clone());
    let mut seen = HashSet::new();
    let look = |names: Vec<String>| names.into_iter().for_each(|name| context.queue.wake(name));
    follow(
        api,
        Config::default().labels(SERVER_CLASS_LABEL).page_size(NODES_PAGE),
        |event| match event {
            Event::Init => seen.clear(),
            Event::InitApply(node) => {
                if let Some((name, node)) = node.seen() {
                    seen.insert(name.clone());
                    look(context.servers.observe_node(name, node));
                }
            }
            Event::Apply(node) => {
                if let Some((name, node)) = node.seen() {
                    look(context.servers.observe_node(name, node));
                }
            }
            Event::InitDone => look(context.servers.retain_nodes(&seen)),
            Event::Delete(node) => {
                if let Some((name, _)) = node.seen() {
                    look(context.servers.remove_node(&name));
                }
            }
        },
        || {},
    )
    .await;
}

// === impl Servers ===

impl Servers {
    /// Takes in a pool. Whether it is another than the one that is known: what the desk wrote it knows.
    fn observe_pool(&self, pool: ServerPool) -> bool {
        let name = pool.name_any();
        let mut state = self.lock();
        let known = state.pools.get(&name);
        let is_known =
            known.is_some_and(|known| known.metadata.uid == pool.metadata.uid && !is_newer(&pool, known));
        if is_known {
            return false;
        }
        state.pools.insert(name, Arc::new(pool));
        drop(state);
        self.pooled.notify_one();
        self.changed.notify_one();
        true
    }

    /// Takes in the answer to a write of the desk. A newer state that the watch delivered meanwhile stays.
    pub(super) fn record(&self, pool: ServerPool) {
        let mut state = self.lock();
        if let Some(known) = state.pools.get_mut(&pool.name_any())
            && known.metadata.uid == pool.metadata.uid
            && is_newer(&pool, known)
        {
            *known = Arc::new(pool);
        }
    }

    fn retain_pools(&self, names: &HashSet<String>) -> bool {
        let mut state = self.lock();
        let before = state.pools.len();
        state.pools.retain(|name, _| names.contains(name));
        let changed = state.pools.len() != before;
        drop(state);
        self.changed.notify_one();
        changed
    }

    fn remove_pool(&self, name: &str) -> bool {
        let mut state = self.lock();
        state.decisions.retain(|(pool, _), _| pool != name);
        // What was seen of it is nothing about another one of its name.
        state.left.retain(|(pool, _)| pool != name);
        state.traces.remove(name);
        let was_there = state.pools.remove(name).is_some();
        drop(state);
        self.changed.notify_one();
        was_there
    }

    /// Takes in a node. Gives the subscriptions whose tenant has it.
    pub(super) fn observe_node(&self, name: String, node: super::SeenNode) -> Vec<String> {
        let mut state = self.lock();
        if let Some(known) = state.nodes.get(&name)
            && known.uid == node.uid
            && !is_later(&node.resource_version, &known.resource_version)
        {
            return Vec::new();
        }
        let is_same = state.nodes.get(&name).is_some_and(|known| known.is_same(&node));
        state.nodes.insert(name.clone(), node);
        if is_same {
            return Vec::new();
        }
        let tenants = state.tenants_of(&name);
        let is_known = state.nodes_known;
        drop(state);
        if is_known {
            self.changed.notify_one();
        }
        tenants
    }

    /// The first set of nodes, or a later one, is there: others are gone.
    fn retain_nodes(&self, names: &HashSet<String>) -> Vec<String> {
        let mut state = self.lock();
        state.nodes_known = true;
        let gone: Vec<String> = state.nodes.keys().filter(|name| !names.contains(*name)).cloned().collect();
        let mut tenants = Vec::new();
        for name in gone {
            state.nodes.remove(&name);
            tenants.extend(state.tenants_of(&name));
        }
        drop(state);
        self.changed.notify_one();
        tenants
    }

    fn remove_node(&self, name: &str) -> Vec<String> {
        let mut state = self.lock();
        state.nodes.remove(name);
        let tenants = state.tenants_of(name);
        drop(state);
        self.changed.notify_one();
        tenants
    }
}

// === impl State ===

impl State {
    /// Subscriptions whose tenant has a node.
    fn tenants_of(&self, node: &str) -> Vec<String> {
        let statuses = self.pools.values().filter_map(|pool| pool.status.as_ref());
        let held = statuses.flat_map(|status| &status.reservations);
        held.filter(|held| held.nodes.iter().any(|known| known.name == node))
            .map(|held| held.subscription.clone())
            .collect()
    }
}

/// Whether one state of a pool is later than another one.
fn is_newer(new: &ServerPool, known: &ServerPool) -> bool {
    let version = |pool: &ServerPool| pool.metadata.resource_version.clone().unwrap_or_default();
    is_later(&version(new), &version(known))
}
