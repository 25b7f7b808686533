//! A pool as it is recorded and seen, and what it has; pure.

use crate::amounts::{Amounts, Room};
use crate::marks::Mark;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use tenantry_crds::pool::Tenancy;
use tenantry_crds::quantity::Quantity;

/// A pool of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Whether tenants share its nodes or have whole ones.
    pub tenancy: Tenancy,
    /// How far limits may exceed what the nodes have.
    pub overcommit: Overcommit,
    /// Nodes whose room is held back from new tenants, for when one fails.
    pub reserve_nodes: usize,
    /// Nodes that could be made besides those it has.
    pub makable: usize,
    /// Its nodes, by name.
    pub nodes: BTreeMap<String, Node>,
    /// Who has a share, by tenant.
    pub reservations: BTreeMap<String, Reservation>,
    /// Who waits for one, or for a larger one, by tenant.
    pub waiting: BTreeMap<String, Want>,
    /// Nodes that were a tenant's and are not cleaned yet, by name.
    pub quarantined: BTreeMap<String, Quarantine>,
}

/// How far the limits of all tenants may exceed what the nodes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overcommit {
    /// Of processors.
    pub cpu: Quantity,
    /// Of memory.
    pub memory: Quantity,
}

/// One node of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Identity of the object: another node of the same name has another.
    pub uid: String,
    /// What pods may have of it.
    pub allocatable: Room,
    /// Whether it works.
    pub ready: bool,
    /// Whether pods may be placed on it.
    pub schedulable: bool,
    /// What is said on it about whose it is.
    pub mark: Mark,
}

/// One node of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeRef {
    /// Name of the node.
    pub name: String,
    /// Identity of the object.
    pub uid: String,
}

/// What a tenant asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Identity of the tenant.
    pub tenant: String,
    /// Name of its subscription.
    pub subscription: String,
    /// UID of its subscription.
    pub uid: String,
    /// What it is promised.
    pub amounts: Amounts,
    /// What the largest of its pods requests, which has to fit on one node.
    pub largest: Room,
    /// Whole nodes that it is promised.
    pub nodes: usize,
    /// Since when it asks, in seconds since 1970.
    pub since: i64,
}

/// A share that a tenant has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Name of its subscription.
    pub subscription: String,
    /// UID of its subscription.
    pub uid: String,
    /// What it is promised.
    pub amounts: Amounts,
    /// Nodes that are its alone, sorted by name.
    pub nodes: Vec<NodeRef>,
    /// Names of those among them that it leaves: nothing new of it gets there.
    pub leaving: BTreeSet<String>,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

/// A node that was a tenant's and may still hold something of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Identity of the node.
    pub uid: String,
    /// Whose it was; empty where only the node says that it is quarantined.
    pub tenant: String,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

// === impl Node ===

impl Node {
    /// Whether new pods can run on it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.ready && self.schedulable
    }
}

// === impl Want ===

impl Want {
    /// Who is served first: whoever came first, and of two who came at once always the same one.
    pub(crate) fn turn(&self, other: &Self) -> Ordering {
        (self.since, &self.uid).cmp(&(other.since, &other.uid))
    }
}

// === impl Reservation ===

impl Reservation {
    /// How many nodes it keeps.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.nodes.len().saturating_sub(self.leaving.len())
    }
}

// === impl Pool ===

impl Pool {
    /// Everything the usable nodes have together.
    #[must_use]
    pub fn total(&self) -> Room {
        self.rooms().fold(Room::default(), Room::plus)
    }

    /// What tenants may have of it: without the room of the largest nodes that are held back, and with limits overcommitted.
    #[must_use]
    pub fn capacity(&self) -> Amounts {
        let without = |of: fn(Room) -> Quantity| {
            let mut all: Vec<Quantity> = self.rooms().map(of).collect();
            all.sort_unstable_by(|one, other| other.cmp(one));
            all.into_iter().skip(self.reserve_nodes).fold(Quantity::ZERO, Quantity::plus)
        };
        let requests = Room {
            cpu: without(|room| room.cpu),
            memory: without(|room| room.memory),
            disk: without(|room| room.disk),
            pods: without(|room| room.pods),
        };
        Amounts {
            requests,
            cpu_limits: requests.cpu.scaled(self.overcommit.cpu),
            memory_limits: requests.memory.scaled(self.overcommit.memory),
        }
    }

    /// What tenants have of it.
    #[must_use]
    pub fn reserved(&self) -> Amounts {
        self.reservations.values().fold(Amounts::default(), |sum, held| sum.plus(held.amounts))
    }

    /// What is left for others.
    #[must_use]
    pub fn free(&self) -> Amounts {
        self.capacity().minus(self.reserved())
    }

    /// Whether one of the usable nodes has this room, were it empty.
    #[must_use]
    pub fn has_node_for(&self, pod: Room) -> bool {
        self.rooms().any(|room| room.covers(pod))
    }

    /// Names of usable nodes that are nobody's, were seen empty, and are given to nobody yet.
    #[must_use]
    pub fn free_nodes(&self) -> Vec<&str> {
        let given: BTreeSet<&str> =
            self.reservations.values().flat_map(|held| &held.nodes).map(|node| node.name.as_str()).collect();
        let free = self.nodes.iter().filter(|(name, node)| {
            node.is_usable() && node.mark == Mark::Free && !self.quarantined.contains_key(*name)
        });
        free.map(|(name, _)| name.as_str()).filter(|name| !given.contains(name)).collect()
    }

    /// Whether a node of a tenant is still the one that it was given.
    #[must_use]
    pub fn is_there(&self, node: &NodeRef) -> bool {
        self.nodes.get(&node.name).is_some_and(|known| known.uid == node.uid)
    }

    /// Takes a tenant's share away. Its nodes are quarantined: what it left on them is not wiped by taking labels off.
    pub fn release(&mut self, tenant: &str, now: i64) {
        self.waiting.remove(tenant);
        let Some(held) = self.reservations.remove(tenant) else { return };
        for node in held.nodes.into_iter().filter(|node| self.is_there(node)).collect::<Vec<_>>() {
            let quarantine = Quarantine { uid: node.uid, tenant: tenant.to_owned(), since: now };
            self.quarantined.insert(node.name, quarantine);
        }
    }

    fn rooms(&self) -> impl Iterator<Item = Room> {
        self.nodes.values().filter(|node| node.is_usable()).map(|node| node.allocatable)
    }
}
