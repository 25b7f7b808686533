//! Pools and wishes for tests.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use tenantry_crds::pool::Tenancy;
use tenantry_crds::quantity::Quantity;
use tenantry_servers::{Amounts, Mark, Node, Overcommit, Pool, Room, Want};

pub fn cores(count: i64) -> Quantity {
    Quantity::from_count(count)
}

/// Room for so many cores with four times as much memory and ten times as many pods.
pub fn room(size: i64) -> Room {
    Room {
        cpu: cores(size),
        memory: Quantity::from_count((4 * size) << 30),
        disk: Quantity::from_count((10 * size) << 30),
        pods: Quantity::from_count(10 * size),
    }
}

/// A tenant's share of so many cores, whose limits are as its requests.
pub fn amounts(size: i64) -> Amounts {
    let requests = room(size);
    Amounts { requests, cpu_limits: requests.cpu, memory_limits: requests.memory }
}

pub fn want(tenant: &str, size: i64, since: i64) -> Want {
    let pod = Room { cpu: cores(1), memory: Quantity::from_count(1 << 30), ..Room::default() };
    Want {
        tenant: tenant.to_owned(),
        subscription: format!("s-{tenant}"),
        uid: format!("u-{tenant}"),
        amounts: amounts(size),
        largest: pod,
        nodes: 0,
        since,
    }
}

/// A wish for whole nodes.
pub fn wants_nodes(tenant: &str, nodes: usize, since: i64) -> Want {
    Want { nodes, ..want(tenant, 1, since) }
}

pub fn node(uid: &str, size: i64, mark: Mark) -> Node {
    Node { uid: uid.to_owned(), allocatable: room(size), ready: true, schedulable: true, mark }
}

/// A pool of so many nodes `n0`, `n1`, ... of so many cores.
pub fn pool(tenancy: Tenancy, nodes: usize, size: i64) -> Pool {
    let mark = if tenancy == Tenancy::Dedicated { Mark::Free } else { Mark::None };
    let nodes = (0..nodes).map(|at| (format!("n{at}"), node(&format!("n{at}"), size, mark.clone())));
    Pool {
        tenancy,
        overcommit: Overcommit { cpu: cores(1), memory: cores(1) },
        reserve_nodes: 0,
        makable: 0,
        nodes: nodes.collect(),
        reservations: BTreeMap::new(),
        waiting: BTreeMap::new(),
        quarantined: BTreeMap::new(),
    }
}
