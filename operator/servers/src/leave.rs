//! How a tenant gives back single servers of those that are its own; pure.
//!
//! A server goes in two steps. First nothing new of the tenant is put on it: the record says that it is left, and it loses its
//! label. When it was seen after that without a pod of the tenant, it is quarantined like any other that was somebody's. Nothing
//! is forced off it. What is on it leaves when its pods are replaced, by whoever replaces them.

use crate::amounts::Room;
use crate::pool::{NodeRef, Pool, Quarantine, Want};
use std::collections::{BTreeMap, BTreeSet};
use tenantry_crds::pool::ServerPoolSpec;

/// What was seen of a tenant on the nodes that are its own, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Those with pods of it.
    pub pods: BTreeSet<String>,
    /// Those that volumes of it can only be used on. A pod with such a volume starts nowhere else, so they are not left.
    pub volumes: BTreeSet<String>,
}

/// Lets whoever asks for more than it keeps have what it was about to leave.
pub(crate) fn take_again(pool: &mut Pool, want: &Want) {
    let Some(held) = pool.reservations.get_mut(&want.tenant) else { return };
    let works = |name: &String| pool.nodes.get(name).is_some_and(|node| node.is_usable());
    while held.kept() < want.nodes
        && let Some(name) = held.leaving.iter().find(|name| works(name)).cloned()
    {
        held.leaving.remove(&name);
    }
}

/// Forgets servers that are left and gone.
pub(crate) fn forget_gone(pool: &mut Pool) {
    let Pool { reservations, nodes, .. } = pool;
    for held in reservations.values_mut().filter(|held| !held.leaving.is_empty()) {
        let is_there = |node: &NodeRef| nodes.get(&node.name).is_some_and(|known| known.uid == node.uid);
        held.nodes.retain(|node| !held.leaving.contains(&node.name) || is_there(node));
        held.leaving.retain(|name| held.nodes.iter().any(|node| node.name == *name));
    }
}

/// Tenants about whom it has to be seen what is on their servers before anything more is decided about those: they have more than
/// they ask for, or somebody wants one exchanged.
#[must_use]
pub fn to_look_at(pool: &Pool, wants: &[Want], spec: &ServerPoolSpec) -> BTreeSet<String> {
    let of_more = wants.iter().filter(|want| surplus(pool, want) > 0).map(|want| want.tenant.clone());
    let exchanged = exchangeable(pool, spec).into_iter().filter(|_| !pool.free_nodes().is_empty());
    let leaving = pool.reservations.iter().filter(|(_, held)| !held.leaving.is_empty());
    of_more
        .chain(exchanged.map(|(tenant, _)| tenant))
        .chain(leaving.map(|(tenant, _)| tenant.clone()))
        .collect()
}

/// Leaves what tenants have too much of, and what somebody wants exchanged, by what was seen on it; and quarantines what is left
/// and was seen empty after nothing new could get there (`closed`).
pub fn leave(
    pool: &mut Pool,
    wants: &[Want],
    spec: &ServerPoolSpec,
    seen: &BTreeMap<String, Traces>,
    closed: &BTreeSet<String>,
    now: i64,
) {
    for (tenant, traces) in seen {
        vacate(pool, tenant, traces, closed, now);
    }
    for (tenant, node) in exchangeable(pool, spec) {
        if let Some(traces) = seen.get(&tenant) {
            exchange(pool, &tenant, &node, traces);
        }
    }
    for want in wants {
        if let Some(traces) = seen.get(&want.tenant) {
            shed(pool, want, traces);
        }
    }
}

/// How many servers a tenant keeps and does not ask for.
fn surplus(pool: &Pool, want: &Want) -> usize {
    pool.reservations.get(&want.tenant).map_or(0, |held| held.kept().saturating_sub(want.nodes))
}

/// Servers that do not work, or are cordoned, and that a person wants exchanged: what he said about one that works again, or of
/// another tenant's, is void.
fn exchangeable(pool: &Pool, spec: &ServerPoolSpec) -> Vec<(String, String)> {
    let is_meant = |act: &&tenantry_crds::pool::ExchangedNode| {
        let held = pool.reservations.get(&act.tenant);
        let keeps = held.is_some_and(|held| {
            held.nodes.iter().any(|node| node.name == act.node && pool.is_there(node))
                && !held.leaving.contains(&act.node)
        });
        keeps && pool.nodes.get(&act.node).is_some_and(|node| !node.is_usable())
    };
    spec.exchange.iter().filter(is_meant).map(|act| (act.tenant.clone(), act.node.clone())).collect()
}

/// Gives a tenant another server, of those that are held back as well, and leaves this one. One of at least its size is looked
/// for, so that what is promised stays true.
fn exchange(pool: &mut Pool, tenant: &str, name: &str, traces: &Traces) {
    let Some(size) = pool.nodes.get(name).map(|node| node.allocatable) else { return };
    if traces.volumes.contains(name) {
        return;
    }
    let fits = |free: &&str| pool.nodes.get(*free).is_some_and(|node| node.allocatable.covers(size));
    let another = pool.free_nodes().into_iter().find(fits).and_then(|free| {
        pool.nodes.get(free).map(|node| NodeRef { name: free.to_owned(), uid: node.uid.clone() })
    });
    if let (Some(another), Some(held)) = (another, pool.reservations.get_mut(tenant)) {
        held.nodes.push(another);
        held.nodes.sort();
        held.leaving.insert(name.to_owned());
    }
}

/// Leaves what a tenant has too much of: what does not work first, then what has none of its pods. The rest has to hold what the
/// tenant is promised.
fn shed(pool: &mut Pool, want: &Want, traces: &Traces) {
    let mut too_many = surplus(pool, want);
    let Some(held) = pool.reservations.get(&want.tenant) else { return };
    let mut kept: Vec<NodeRef> =
        held.nodes.iter().filter(|node| !held.leaving.contains(&node.name)).cloned().collect();
    let is_usable = |name: &str| pool.nodes.get(name).is_some_and(|node| node.is_usable());
    let mut order: Vec<NodeRef> =
        kept.iter().filter(|node| !traces.volumes.contains(&node.name)).cloned().collect();
    // Of two alike the one that comes last by name, so that what is given by name first is kept.
    order.sort_by_key(|node| {
        (is_usable(&node.name), traces.pods.contains(&node.name), std::cmp::Reverse(node.name.clone()))
    });
    let mut left = Vec::new();
    for node in order {
        if too_many == 0 {
            break;
        }
        let rest: Vec<NodeRef> = kept.iter().filter(|other| **other != node).cloned().collect();
        if suffices(pool, &rest, want) {
            kept = rest;
            left.push(node.name);
            too_many -= 1;
        }
    }
    if let Some(held) = pool.reservations.get_mut(&want.tenant) {
        held.leaving.extend(left);
    }
}

/// Whether these servers hold what a tenant is promised.
fn suffices(pool: &Pool, nodes: &[NodeRef], want: &Want) -> bool {
    let rooms = || nodes.iter().filter_map(|node| pool.nodes.get(&node.name)).map(|node| node.allocatable);
    rooms().fold(Room::default(), Room::plus).covers(want.amounts.requests)
        && rooms().any(|room| room.covers(want.largest))
}

/// Quarantines what a tenant left and has nothing on any more.
fn vacate(pool: &mut Pool, tenant: &str, traces: &Traces, closed: &BTreeSet<String>, now: i64) {
    let Some(held) = pool.reservations.get_mut(tenant) else { return };
    let is_empty = |name: &String| {
        closed.contains(name) && !traces.pods.contains(name) && !traces.volumes.contains(name)
    };
    let empty: BTreeSet<String> = held.leaving.iter().filter(|name| is_empty(name)).cloned().collect();
    held.leaving.retain(|name| !empty.contains(name));
    let (gone, kept): (Vec<NodeRef>, Vec<NodeRef>) =
        std::mem::take(&mut held.nodes).into_iter().partition(|node| empty.contains(&node.name));
    held.nodes = kept;
    for node in
        gone.into_iter().filter(|node| pool.nodes.get(&node.name).is_some_and(|known| known.uid == node.uid))
    {
        let quarantine = Quarantine { uid: node.uid, tenant: tenant.to_owned(), since: now };
        pool.quarantined.insert(node.name, quarantine);
    }
}
