//! O17: no server is two tenants', no share is lost or left behind, and everything about a share happens in its order: record,
//! node, pod; and backwards when it is given back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tenantry_crds::quantity::Quantity;

use super::Finding;
use crate::hall::{CLASS_LABEL, NODES, POOLS, all, entries, labelled, tainted};
use crate::history::{Change, Key, Record, SUBSCRIPTIONS, Sort, State, TENANT_LABEL, uid};

/// Where plans are.
const PLANS: &str = "serviceplans.tenantry.io";
/// Kinds whose changes can make something wrong.
const ABOUT: [&str; 4] = [POOLS, NODES, "pods", "deployments.apps"];
/// Value of the taint of a node whose pods nobody has looked at yet.
const ENROLLING: &str = "enrolling";
/// Value of the taint of a node that was a tenant's.
const QUARANTINED: &str = "quarantined";

/// One share as the record of a pool has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Share {
    /// Name of the pool.
    pool: String,
    tenant: String,
    subscription: String,
    /// UID of the subscription.
    uid: String,
    /// Name and UID of each node.
    nodes: BTreeSet<(String, String)>,
}

/// A pod of a tenant on a node.
struct Placed<'a> {
    name: String,
    tenant: &'a str,
    node: &'a str,
}

/// What was so before a change: afterwards it cannot be seen any more.
#[derive(Default)]
struct Before {
    shares: Vec<Share>,
    /// Whose each node was last, by UID.
    owners: BTreeMap<String, String>,
}

/// At every revision: no node is given, labelled or tainted for two tenants, or for one while pods of another are on it; the
/// record comes before the label, the label before the pods; a share is given back when the pods are gone, and a node only after
/// somebody said that it is clean. Tenants that share are promised no more than there is.
#[must_use]
pub fn one_tenant_a_server(record: &Record) -> Vec<Finding> {
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let mut before = Before::default();
    before.keep(&record.before);
    record.replay(|change, state| {
        if !ABOUT.contains(&change.key.resource.as_str()) {
            return;
        }
        let mut wrong = at_once(state);
        wrong.extend(before.wrong(change, state));
        wrong.into_iter().for_each(|what| {
            found.entry(what).or_insert(change.revision);
        });
        before.keep(state);
    });
    let told = |(what, at): (String, u64)| Finding::new("O17", format!("{what}, first at revision {at}"));
    found.into_iter().map(told).collect()
}

/// At the end every share is a tenant's that is there, who is told of it, and every node that says whose it is is one of its.
#[must_use]
pub fn nothing_leaks(record: &Record) -> Vec<Finding> {
    let state = record.after();
    let shares = shares(&state);
    let mut wrong = Vec::new();
    let is_there = |name: &str, uid_of: &str| {
        state.get(&Key::new(SUBSCRIPTIONS, "", name)).is_some_and(|found| uid(found) == uid_of)
    };
    for share in shares.iter().filter(|share| !is_there(&share.subscription, &share.uid)) {
        wrong.push(format!("the share of {} in {} is nobody's", share.subscription, share.pool));
    }
    for (key, pool) in all(&state, POOLS) {
        let gone = entries(pool, "waiting").filter(|wish| {
            let text = |field: &str| wish[field].as_str().unwrap_or_default();
            !is_there(text("subscription"), text("uid"))
        });
        wrong.extend(gone.map(|wish| format!("{} waits for {} and is gone", wish["subscription"], key.name)));
    }
    for (key, node) in all(&state, NODES) {
        let Some(tenant) = labelled(node) else { continue };
        if !shares.iter().any(|share| share.tenant == tenant && share.has(&key.name, node)) {
            wrong.push(format!("{} stays labelled for somebody who does not have it", key.name));
        }
    }
    let mine: Vec<&Share> = shares.iter().filter(|share| share.subscription == record.tenant).collect();
    let subscription = state.get(&Key::new(SUBSCRIPTIONS, "", &record.tenant));
    let told = subscription.and_then(|found| found.pointer("/status/servers/pool")?.as_str());
    let has: Vec<&str> = mine.iter().map(|share| share.pool.as_str()).collect();
    if subscription.is_some() && told.map_or_else(|| !has.is_empty(), |told| has != [told]) {
        wrong.push(format!("the tenant has a share of {has:?} and is told of {told:?}"));
    }
    wrong.into_iter().map(|what| Finding::new("O17", what)).collect()
}

// === impl Share ===

impl Share {
    fn has(&self, name: &str, node: &Value) -> bool {
        self.nodes.contains(&(name.to_owned(), uid(node).to_owned()))
    }
}

// === impl Before ===

impl Before {
    fn keep(&mut self, state: &State) {
        self.shares = shares(state);
        for (_, node) in all(state, NODES) {
            if let Some(tenant) = labelled(node) {
                self.owners.insert(uid(node).to_owned(), tenant.to_owned());
            }
        }
    }

    /// What a change did that should have waited.
    fn wrong(&self, change: &Change, state: &State) -> Vec<String> {
        match (change.key.resource.as_str(), change.sort) {
            (POOLS, _) => self.given_back_too_early(state),
            (NODES, Sort::Changed) => self.given_on_uncleaned(&change.key.name, &change.object, state),
            (_, Sort::Created) => started_without_a_share(&change.key, state).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Shares that went while pods of their tenants were where they have them.
    fn given_back_too_early(&self, state: &State) -> Vec<String> {
        let now = shares(state);
        let placed = placed(state);
        let went =
            |share: &&Share| !now.iter().any(|one| one.pool == share.pool && one.tenant == share.tenant);
        let mut wrong = Vec::new();
        for share in self.shares.iter().filter(went) {
            let is_in_it = |pod: &&Placed<'_>| {
                let node = state.get(&Key::new(NODES, "", pod.node));
                let is_its = node.is_some_and(|node| labelled(node) == Some(share.tenant.as_str()));
                let is_of_it = match share.nodes.is_empty() {
                    true => !is_its,
                    false => share.nodes.iter().any(|(name, _)| name == pod.node),
                };
                pod.tenant == share.tenant && is_of_it
            };
            if let Some(pod) = placed.iter().find(is_in_it) {
                wrong.push(format!(
                    "the share of {} in {} was given back while {} was on {}",
                    share.subscription, share.pool, pod.name, pod.node
                ));
            }
        }
        wrong
    }

    /// A node that was a tenant's and is another's, or nobody's, before somebody said that it is clean.
    fn given_on_uncleaned(&self, name: &str, node: &Value, state: &State) -> Vec<String> {
        let Some(owner) = self.owners.get(uid(node)) else { return Vec::new() };
        let says = tainted(node).unwrap_or_default();
        if says == owner || says == QUARANTINED {
            return Vec::new();
        }
        let is_said = |pool: &Value| {
            let cleaned = pool.pointer("/spec/cleaned").and_then(Value::as_array);
            cleaned.into_iter().flatten().any(|word| word["node"] == name && word["tenant"] == owner.as_str())
        };
        if all(state, POOLS).any(|(_, pool)| is_said(pool)) {
            return Vec::new();
        }
        vec![format!("{name} was {owner}'s and is {says:?} before anybody cleaned it")]
    }
}

/// What is wrong of what exists, however it came about.
fn at_once(state: &State) -> Vec<String> {
    let shares = shares(state);
    let mut wrong = Vec::new();
    let mut given: BTreeMap<&(String, String), &str> = BTreeMap::new();
    let mut tenants: BTreeSet<(&str, &str)> = BTreeSet::new();
    for share in &shares {
        if !tenants.insert((&share.pool, &share.tenant)) {
            wrong.push(format!("{} has two shares in {}", share.tenant, share.pool));
        }
        for node in &share.nodes {
            if let Some(other) = given.insert(node, &share.tenant).filter(|other| *other != share.tenant) {
                wrong.push(format!("{} is given to {} and {other}", node.0, share.tenant));
            }
        }
    }
    for (key, node) in all(state, NODES) {
        let Some(tenant) = labelled(node) else { continue };
        let name = &key.name;
        if tainted(node) != Some(tenant) {
            wrong.push(format!("{name} is labelled for {tenant} and tainted for {:?}", tainted(node)));
        }
        let is_given = shares.iter().any(|share| share.tenant == tenant && share.has(name, node));
        if !is_given && !is_left(state, name, node, tenant) {
            wrong.push(format!("{name} is labelled for {tenant}, to whom no record gives it"));
        }
    }
    for pod in placed(state) {
        let node = state.get(&Key::new(NODES, "", pod.node));
        let Some(says) = node.and_then(|node| tainted(node)) else { continue };
        if says != pod.tenant && says != ENROLLING {
            wrong.push(format!("{} of {} is on {}, which is {says}", pod.name, pod.tenant, pod.node));
        }
    }
    wrong.extend(overpromised(state));
    wrong
}

/// Whether a node is on its way from its last tenant into quarantine.
fn is_left(state: &State, name: &str, node: &Value, tenant: &str) -> bool {
    all(state, POOLS).any(|(_, pool)| {
        entries(pool, "quarantined")
            .any(|entry| entry["node"] == name && entry["uid"] == uid(node) && entry["tenant"] == tenant)
    })
}

/// Pools that promise more to tenants who share than their nodes have.
fn overpromised(state: &State) -> Vec<String> {
    let quantity = |of: &Value, pointer: &str| {
        let read = of.pointer(pointer).and_then(Value::as_str).and_then(|text| text.parse().ok());
        read.unwrap_or(Quantity::ZERO)
    };
    let sum = |all: &mut dyn Iterator<Item = Quantity>| all.fold(Quantity::ZERO, Quantity::plus);
    let mut wrong = Vec::new();
    for (key, pool) in
        all(state, POOLS).filter(|(_, pool)| pool.pointer("/spec/tenancy").is_some_and(|is| is == "Shared"))
    {
        let class = pool.pointer("/spec/class");
        let is_its = |node: &Value| {
            let labels = node.pointer("/metadata/labels");
            tainted(node).is_none() && labels.and_then(|labels| labels.get(CLASS_LABEL)) == class
        };
        for (field, resource) in
            [("cpu", "cpu"), ("memory", "memory"), ("disk", "ephemeral-storage"), ("pods", "pods")]
        {
            let promised =
                sum(&mut entries(pool, "reservations")
                    .map(|held| quantity(held, &format!("/amounts/{field}"))));
            let nodes = all(state, NODES).filter(|(_, node)| is_its(node));
            let has =
                sum(&mut nodes.map(|(_, node)| quantity(node, &format!("/status/allocatable/{resource}"))));
            if promised > has {
                wrong.push(format!("{} promises {promised} of {resource} and has {has}", key.name));
            }
        }
    }
    wrong
}

/// Something of a tenant that runs, or lets run, and whose share is on no record, where there is a pool of its class.
fn started_without_a_share(key: &Key, state: &State) -> Option<String> {
    let name = key.namespace.strip_prefix("tenant-")?;
    let subscription = state.get(&Key::new(SUBSCRIPTIONS, "", name))?;
    let tenant = subscription.pointer("/status/tenant/id")?.as_str()?;
    let plan = subscription.pointer("/spec/planRef/name")?.as_str()?;
    let class = state.get(&Key::new(PLANS, "", plan))?.pointer("/spec/servers/class").cloned();
    let is_accounted = all(state, POOLS).any(|(_, pool)| pool.pointer("/spec/class").cloned() == class);
    let has = shares(state).iter().any(|share| share.tenant == tenant);
    (is_accounted && !has).then(|| format!("{key} was made before there was a share for it"))
}

fn shares(state: &State) -> Vec<Share> {
    let read = |pool: &str, held: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let nodes = held["nodes"].as_array().into_iter().flatten();
        Share {
            pool: pool.to_owned(),
            tenant: text(&held["tenant"]),
            subscription: text(&held["subscription"]),
            uid: text(&held["uid"]),
            nodes: nodes.map(|node| (text(&node["name"]), text(&node["uid"]))).collect(),
        }
    };
    let of_pool = |(key, pool)| {
        let key: &Key = key;
        entries(pool, "reservations").map(|held| read(&key.name, held)).collect::<Vec<_>>()
    };
    all(state, POOLS).flat_map(of_pool).collect()
}

/// Pods of tenants that are on a node and have not ended.
fn placed(state: &State) -> Vec<Placed<'_>> {
    let first = Key::new("pods", "", "");
    let pods = state.range(first..).take_while(|(key, _)| key.resource == "pods");
    let is_over = |pod: &Value| {
        pod.pointer("/status/phase").is_some_and(|phase| phase == "Succeeded" || phase == "Failed")
    };
    let of = |(key, pod)| {
        let (key, pod): (&Key, &std::sync::Arc<Value>) = (key, pod);
        let namespace = state.get(&Key::new("namespaces", "", &key.namespace))?;
        let tenant = namespace.pointer(TENANT_LABEL)?.as_str()?;
        // Of a node that is gone nothing runs any more.
        let (node, _) =
            state.get_key_value(&Key::new(NODES, "", pod.pointer("/spec/nodeName")?.as_str()?))?;
        (!is_over(pod)).then(|| Placed { name: key.name.clone(), tenant, node: &node.name })
    };
    pods.filter_map(of).collect()
}

#[cfg(test)]
mod tests;
