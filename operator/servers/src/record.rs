//! The record of a pool, between what the API holds and what is decided by; pure.

use crate::amounts::{Amounts, Room};
use crate::marks::Mark;
use crate::pool::{Node, NodeRef, Overcommit, Pool, Quarantine, Reservation, Want};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use tenantry_crds::pool::{
    PoolAmounts, PoolNode, PoolReservation, PoolWish, QuarantinedNode, ServerPoolSpec, ServerPoolStatus,
    Tenancy,
};
use tenantry_crds::quantity::Quantity;

/// A record that does not say what it must. Nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where, such as `status.reservations[7f3k].amounts`.
    pub field: String,
}

/// Somebody known to be a tenant, by whatever else says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Name of its subscription.
    pub subscription: String,
    /// UID of its subscription.
    pub uid: String,
    /// What its subscription says that it has in this pool: the amounts, and names of nodes.
    pub has: Option<(Amounts, Vec<String>)>,
}

/// The pool that a record and the nodes of it come to.
///
/// # Errors
/// The first field that cannot be read.
pub fn pool(
    spec: &ServerPoolSpec,
    status: &ServerPoolStatus,
    nodes: BTreeMap<String, Node>,
) -> Result<Pool, Unreadable> {
    let one = Quantity::from_count(1);
    let ratio = |field: &str, text: Option<&String>| {
        text.map_or(Ok(one), |text| text.parse().map_err(|_| unreadable(format!("spec.overcommit.{field}"))))
    };
    let overcommit = spec.overcommit.as_ref();
    let overcommit = Overcommit {
        cpu: ratio("cpu", overcommit.map(|overcommit| &overcommit.cpu))?,
        memory: ratio("memory", overcommit.map(|overcommit| &overcommit.memory))?,
    };
    let mut reservations = BTreeMap::new();
    for held in &status.reservations {
        let read = amounts(&held.amounts)
            .ok_or_else(|| unreadable(format!("status.reservations[{}].amounts", held.tenant)))?;
        let mut nodes: Vec<NodeRef> = held
            .nodes
            .iter()
            .map(|node| NodeRef { name: node.name.clone(), uid: node.uid.clone() })
            .collect();
        nodes.sort();
        let reservation = Reservation {
            subscription: held.subscription.clone(),
            uid: held.uid.clone(),
            amounts: read,
            leaving: held.nodes.iter().filter(|node| node.leaving).map(|node| node.name.clone()).collect(),
            nodes,
            since: seconds(&held.since),
        };
        reservations.insert(held.tenant.clone(), reservation);
    }
    let mut waiting = BTreeMap::new();
    for wish in &status.waiting {
        let field = |field: &str| unreadable(format!("status.waiting[{}].{field}", wish.tenant));
        let want = Want {
            tenant: wish.tenant.clone(),
            subscription: wish.subscription.clone(),
            uid: wish.uid.clone(),
            amounts: amounts(&wish.amounts).ok_or_else(|| field("amounts"))?,
            largest: amounts(&wish.largest).ok_or_else(|| field("largest"))?.requests,
            nodes: usize::try_from(wish.nodes).unwrap_or_default(),
            since: seconds(&wish.since),
        };
        waiting.insert(wish.tenant.clone(), want);
    }
    let quarantined = status.quarantined.iter().map(|known| {
        let quarantine =
            Quarantine { uid: known.uid.clone(), tenant: known.tenant.clone(), since: seconds(&known.since) };
        (known.node.clone(), quarantine)
    });
    Ok(Pool {
        tenancy: spec.tenancy,
        overcommit,
        reserve_nodes: usize::try_from(spec.reserve_nodes).unwrap_or_default(),
        // Which of its nodes were made is not said here: see `making::makable`.
        makable: 0,
        nodes,
        reservations,
        waiting,
        quarantined: quarantined.collect(),
    })
}

/// Puts back what the record has lost, by what tenants and nodes say, before anything new is decided. Gives whether anything
/// was missing. A node that says it is a tenant's whom nobody knows was one's that is gone.
pub fn restore(pool: &mut Pool, spec: &ServerPoolSpec, known: &BTreeMap<String, Known>, now: i64) -> bool {
    let mut changed = false;
    for (tenant, who) in known {
        let Some((amounts, nodes)) = who.has.as_ref().filter(|_| !pool.reservations.contains_key(tenant))
        else {
            continue;
        };
        let refs = nodes.iter().map(|name| {
            // One that is gone stays on the list, so that another takes its place.
            let uid = pool.nodes.get(name).map(|node| node.uid.clone()).unwrap_or_default();
            NodeRef { name: name.clone(), uid }
        });
        let mut nodes: Vec<NodeRef> = refs.collect();
        nodes.sort();
        insert(pool, tenant, who, *amounts, nodes, now);
        changed = true;
    }
    let marked: Vec<(String, String, Mark)> =
        pool.nodes.iter().map(|(name, node)| (name.clone(), node.uid.clone(), node.mark.clone())).collect();
    for (name, uid, mark) in marked {
        let is_quarantined = pool.quarantined.get(&name).is_some_and(|known| known.uid == uid);
        let lost = match mark {
            Mark::Tenant(tenant) if !is_quarantined => {
                let node = NodeRef { name: name.clone(), uid: uid.clone() };
                match (pool.reservations.get(&tenant), known.get(&tenant)) {
                    (Some(held), _) if held.nodes.contains(&node) => continue,
                    (None, Some(who)) => {
                        insert(pool, &tenant, who, Amounts::default(), vec![node], now);
                        changed = true;
                        continue;
                    }
                    _ => tenant,
                }
            }
            // Who left one has no share by it.
            Mark::Leaving(tenant) if !is_quarantined => {
                let node = NodeRef { name: name.clone(), uid: uid.clone() };
                if pool.reservations.get(&tenant).is_some_and(|held| held.nodes.contains(&node)) {
                    continue;
                }
                tenant
            }
            Mark::Quarantined if !is_quarantined && !spec.cleaned.iter().any(|act| act.node == name) => {
                String::new()
            }
            _ => continue,
        };
        pool.quarantined.insert(name, Quarantine { uid, tenant: lost, since: now });
        changed = true;
    }
    changed
}

fn insert(pool: &mut Pool, tenant: &str, who: &Known, amounts: Amounts, nodes: Vec<NodeRef>, now: i64) {
    let reservation = Reservation {
        subscription: who.subscription.clone(),
        uid: who.uid.clone(),
        amounts,
        nodes,
        leaving: BTreeSet::new(),
        since: now,
    };
    pool.reservations.insert(tenant.to_owned(), reservation);
}

/// Takes nodes out of quarantine that somebody cleaned, and those that are other ones by now.
pub fn take_back(pool: &mut Pool, spec: &ServerPoolSpec) {
    let Pool { nodes, quarantined, .. } = pool;
    quarantined.retain(|name, known| {
        let is_there = nodes.get(name).is_some_and(|node| node.uid == known.uid);
        let is_cleaned = spec.cleaned.iter().any(|act| act.node == *name && act.tenant == known.tenant);
        is_there && !is_cleaned
    });
}

/// The record of a pool, with the conditions that it has. What did not change keeps its place in every list.
#[must_use]
pub fn status(pool: &Pool, before: &ServerPoolStatus, generation: Option<i64>) -> ServerPoolStatus {
    let reservations = pool.reservations.iter().map(|(tenant, held)| PoolReservation {
        tenant: tenant.clone(),
        subscription: held.subscription.clone(),
        uid: held.uid.clone(),
        amounts: written(held.amounts),
        nodes: held
            .nodes
            .iter()
            .map(|node| PoolNode {
                name: node.name.clone(),
                uid: node.uid.clone(),
                leaving: held.leaving.contains(&node.name),
            })
            .collect(),
        since: time(held.since),
    });
    let waiting = pool.waiting.values().map(|want| PoolWish {
        tenant: want.tenant.clone(),
        subscription: want.subscription.clone(),
        uid: want.uid.clone(),
        amounts: written(want.amounts),
        largest: written(Amounts { requests: want.largest, ..Amounts::default() }),
        nodes: i32::try_from(want.nodes).unwrap_or(i32::MAX),
        since: time(want.since),
    });
    let quarantined = pool.quarantined.iter().map(|(node, known)| QuarantinedNode {
        node: node.clone(),
        uid: known.uid.clone(),
        tenant: known.tenant.clone(),
        since: time(known.since),
    });
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    ServerPoolStatus {
        observed_generation: generation,
        nodes: count(pool.nodes.values().filter(|node| node.is_usable()).count()),
        free_nodes: if pool.tenancy == Tenancy::Dedicated { count(pool.free_nodes().len()) } else { 0 },
        // Told by who knows what is made.
        coming: 0,
        tenants: count(pool.reservations.len()),
        queue: count(pool.waiting.len()),
        capacity: Some(written(pool.capacity())),
        reserved: Some(written(pool.reserved())),
        reservations: in_order(reservations.collect(), &before.reservations, |held| &held.tenant),
        waiting: in_order(waiting.collect(), &before.waiting, |wish| &wish.tenant),
        quarantined: in_order(quarantined.collect(), &before.quarantined, |known| &known.node),
        made: before.made.clone(),
        conditions: before.conditions.clone(),
    }
}

/// The entries in the order of a list before, the new ones behind.
fn in_order<T>(entries: Vec<T>, before: &[T], key: impl Fn(&T) -> &String) -> Vec<T> {
    let places: BTreeMap<String, usize> =
        before.iter().enumerate().map(|(at, entry)| (key(entry).clone(), at)).collect();
    let mut entries = entries;
    // Stable: new ones stay in the order of their keys.
    entries.sort_by_key(|entry| places.get(key(entry)).copied().unwrap_or(usize::MAX));
    entries
}

/// Amounts as the API writes them.
#[must_use]
pub fn written(amounts: Amounts) -> PoolAmounts {
    PoolAmounts {
        cpu: amounts.requests.cpu.to_string(),
        memory: amounts.requests.memory.to_string(),
        disk: amounts.requests.disk.to_string(),
        pods: amounts.requests.pods.to_string(),
        cpu_limits: amounts.cpu_limits.to_string(),
        memory_limits: amounts.memory_limits.to_string(),
    }
}

/// Amounts as they were written; nothing where one cannot be read.
#[must_use]
pub fn amounts(written: &PoolAmounts) -> Option<Amounts> {
    Some(Amounts {
        requests: Room {
            cpu: written.cpu.parse().ok()?,
            memory: written.memory.parse().ok()?,
            disk: written.disk.parse().ok()?,
            pods: written.pods.parse().ok()?,
        },
        cpu_limits: written.cpu_limits.parse().ok()?,
        memory_limits: written.memory_limits.parse().ok()?,
    })
}

fn unreadable(field: String) -> Unreadable {
    Unreadable { field }
}

fn seconds(time: &Time) -> i64 {
    time.0.as_second()
}

fn time(seconds: i64) -> Time {
    Time(Timestamp::from_second(seconds).unwrap_or_default())
}
