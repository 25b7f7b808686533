//! Who has a share of which servers: what tenants ask for, what the pools' records say, and what becomes of it. Needs
//! clients and a clock in its parts.
//!
//! A tenant's run asks here ([`Servers::ask`]) and is told at once what is known; whatever has to be decided, the one desk
//! (`desk`) decides for everybody who asked meanwhile, and it counts once the record of the pool is written. So no two
//! tenants are promised the same, and nobody starts a pod before its share is on record. Where no pool accounts for a class
//! of servers, nothing is asked and nothing is written.

mod desk;
mod leaving;
mod making;
mod nodes;
mod outlook;
mod promise;
mod say;
mod watch;
mod write;

pub(crate) use desk::run;
pub(crate) use leaving::leave_others;
pub(crate) use outlook::{Outlook, Room as OutlookRoom};
pub(crate) use promise::{promised, tenancy};
pub(crate) use watch::{follow_nodes, follow_pools};

use making::Found;
use nodes::SeenNode;
use say::Told;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenantry_checklist::access::TenantId;
use tenantry_crds::ServerPool;
use tenantry_crds::pool::Tenancy;
use tenantry_crds::subscription::ServersStatus;
use tenantry_servers::record::{amounts, written};
use tenantry_servers::{Amounts, Decision, Room, Want};
use tokio::sync::Notify;

/// What a tenant asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Name of its subscription.
    pub(crate) subscription: String,
    /// UID of its subscription.
    pub(crate) uid: String,
    /// Its identity.
    pub(crate) tenant: TenantId,
    /// Class of servers.
    pub(crate) class: String,
    /// Whether it shares servers with others.
    pub(crate) tenancy: Tenancy,
    /// What it is promised.
    pub(crate) amounts: Amounts,
    /// What the largest of its pods requests.
    pub(crate) largest: Room,
    /// Whole nodes that it is promised.
    pub(crate) nodes: usize,
}

/// How a tenant stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// What it has on record; nothing where no pool accounts for its class, or where it has nothing yet.
    pub(crate) has: Option<ServersStatus>,
    /// Whether its pods may run: it has all that it asks for, or nobody accounts for it.
    pub(crate) granted: bool,
    /// What has to happen first, where something has.
    pub(crate) waits: Option<Told>,
    /// Whether it is suspended so that none of its pods runs: nothing is kept back from it then, its suspension least of all.
    pub(crate) idle: bool,
}

/// Everything that is known of pools, nodes and wishes.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    state: Mutex<State>,
    /// Told when the desk has something to look at.
    changed: Notify,
    /// Told when there is a first pool: nodes are watched from then on.
    pooled: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Pools by name, as they were observed or written last.
    pools: BTreeMap<String, Arc<ServerPool>>,
    /// Nodes by name.
    nodes: BTreeMap<String, SeenNode>,
    /// Whether the first set of nodes was delivered.
    nodes_known: bool,
    /// What tenants ask for, by UID of their subscriptions, and since when.
    wishes: HashMap<String, (Wish, i64)>,
    /// What became of it, by pool and tenant, where it is not simply had.
    decisions: BTreeMap<(String, String), Decision>,
    /// Pools and tenants whose share is seen to be free of everything that was theirs.
    left: BTreeSet<(String, String)>,
    /// What is known of objects that make nodes, by pool and name, until the record of the pool says it.
    found: BTreeMap<(String, String), Found>,
    /// What is in the way of such an object, by pool and name.
    obstacles: BTreeMap<(String, String), String>,
}

// === impl Servers ===

impl Servers {
    /// How a tenant stands that asks for this. What has to be decided wakes the desk, and the desk wakes the tenant. Whoever is
    /// not on record himself has to be first (`is_recorded`), or a crash would leave a share that is nobody's.
    pub(crate) fn ask(&self, wish: &Wish, is_recorded: bool, now: i64) -> Standing {
        let mut state = self.lock();
        let Some(pool) = state.pool_of(&wish.class, wish.tenancy).map(Arc::clone) else {
            state.wishes.remove(&wish.uid);
            return match wish.tenancy {
                Tenancy::Shared => Standing { granted: true, ..Standing::default() },
                Tenancy::Dedicated => Standing { waits: Some(Told::no_pool(wish)), ..Standing::default() },
            };
        };
        if !is_recorded {
            let name = pool.metadata.name.as_deref().unwrap_or_default();
            return Standing { waits: Some(Told::deciding(name)), ..Standing::default() };
        }
        let is_new = state.wishes.get(&wish.uid).is_none_or(|(known, _)| known != wish);
        if is_new {
            // Who waits already keeps his place by the record.
            state.wishes.insert(wish.uid.clone(), (wish.clone(), now));
        }
        let standing = state.standing(&pool, wish);
        drop(state);
        if is_new {
            self.changed.notify_one();
        }
        standing
    }

    /// A tenant asks for nothing any more. What it has is kept until everything of it is gone.
    pub(crate) fn withdraw(&self, uid: &str) {
        let was_asked = self.lock().wishes.remove(uid).is_some();
        if was_asked {
            self.changed.notify_one();
        }
    }

    /// A subscription is gone: what is still reserved for it can be looked after.
    pub(crate) fn gone(&self, uid: &str) {
        let mut state = self.lock();
        state.wishes.remove(uid);
        let is_asked = !state.pools.is_empty();
        drop(state);
        if is_asked {
            self.changed.notify_one();
        }
    }

    /// The record of a pool, for figures.
    pub(crate) fn pools(&self) -> Vec<Arc<ServerPool>> {
        self.lock().pools.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// The pool of a class and a tenancy that is in use: the first by name.
    fn pool_of(&self, class: &str, tenancy: Tenancy) -> Option<&Arc<ServerPool>> {
        self.pools.values().find(|pool| pool.spec.class == class && pool.spec.tenancy == tenancy)
    }

    /// Name of the pool that is in use in the place of this one.
    fn in_place_of(&self, pool: &ServerPool) -> Option<String> {
        let name = pool.metadata.name.as_ref()?;
        let used = self.pool_of(&pool.spec.class, pool.spec.tenancy)?.metadata.name.clone()?;
        (used != *name).then_some(used)
    }

    fn standing(&self, pool: &ServerPool, wish: &Wish) -> Standing {
        let name = pool.metadata.name.clone().unwrap_or_default();
        let tenant = wish.tenant.as_str();
        let held = pool.status.as_ref().and_then(|status| {
            status.reservations.iter().find(|held| held.tenant == tenant && held.uid == wish.uid)
        });
        let has = held.map(|held| ServersStatus {
            pool: name.clone(),
            class: pool.spec.class.clone(),
            tenancy: pool.spec.tenancy,
            chip_power: pool.spec.chip_power.clone(),
            amounts: held.amounts.clone(),
            nodes: held.nodes.iter().map(|node| node.name.clone()).collect(),
            price_key: pool.spec.price_key.clone(),
            // Counted where it is told.
            ..ServersStatus::default()
        });
        let granted = held.is_some_and(|held| {
            amounts(&held.amounts).is_some_and(|has| has.covers(wish.amounts))
                && held.nodes.len() >= wish.nodes
        });
        let decision = self.decisions.get(&(name.clone(), tenant.to_owned()));
        let waits = match (granted, decision) {
            (true, decision) => {
                self.not_ready(&name, held.map_or(&[][..], |held| &held.nodes), tenant, decision)
            }
            (false, Some(decision)) => {
                Some(Told::waits(&name, decision, pool.status.as_ref().and_then(say::making)))
            }
            (false, None) => Some(Told::deciding(&name)),
        };
        // Who has it all but waits for one of its nodes runs on those it has.
        Standing { has, granted, waits, idle: false }
    }

    /// What is wrong with the nodes of a tenant that has them on record.
    fn not_ready(
        &self,
        pool: &str,
        nodes: &[tenantry_crds::pool::PoolNode],
        tenant: &str,
        decision: Option<&Decision>,
    ) -> Option<Told> {
        // Before nodes are seen nothing is said about them: what was said before stays true.
        if nodes.is_empty() || !self.nodes_known {
            return None;
        }
        let mut wrong = Vec::new();
        for node in nodes {
            match self.nodes.get(&node.name).filter(|seen| seen.uid == node.uid) {
                None => wrong.push(format!("{} is gone", node.name)),
                Some(seen) if !seen.ready => wrong.push(format!("{} is not ready", node.name)),
                Some(seen) if !seen.schedulable => wrong.push(format!("{} is cordoned", node.name)),
                Some(seen) if seen.mark != tenantry_servers::Mark::Tenant(tenant.to_owned()) => {
                    wrong.push(format!("{} is being prepared", node.name));
                }
                Some(_) => {}
            }
        }
        (!wrong.is_empty())
            .then(|| Told::nodes(pool, &wrong, matches!(decision, Some(Decision::Short { .. }))))
    }

    /// Everybody who asks for a share of this pool.
    fn wants(&self, pool: &ServerPool) -> Vec<Want> {
        let is_asked = |wish: &Wish| wish.class == pool.spec.class && wish.tenancy == pool.spec.tenancy;
        let wishes = self.wishes.values().filter(|(wish, _)| is_asked(wish));
        wishes
            .map(|(wish, since)| Want {
                tenant: wish.tenant.to_string(),
                subscription: wish.subscription.clone(),
                uid: wish.uid.clone(),
                amounts: wish.amounts,
                largest: wish.largest,
                nodes: wish.nodes,
                since: *since,
            })
            .collect()
    }
}

impl Wish {
    /// What it amounts to once it is had, as people read it.
    pub(crate) fn promised(&self) -> tenantry_crds::pool::PoolAmounts {
        written(self.amounts)
    }
}
