//! Who has a share of which servers: what tenants ask for, what the pools' records say, and what becomes of it. Needs
//! clients and a clock in its parts.
//!
//! A tenant's run asks here ([`Servers::ask`]) and is told at once what is known; whatever has to be decided, the one desk
//! (`desk`) decides for everybody who asked meanwhile, and it counts once the record of the pool is written. So no two
//! tenants are promised the same, and nobody starts a pod before its share is on record. Where no pool accounts for a class
//! of servers, nothing is asked and nothing is written.

mod desk;
mod leaving;
mod looks;
mod making;
mod nodes;
mod outlook;
mod promise;
mod say;
mod watch;
mod write;

pub(crate) use desk::run;
pub(crate) use leaving::{leave_others, nodes_with_volumes};
pub(crate) use outlook::{Outlook, Room as OutlookRoom};
pub(crate) use promise::{promised, tenancy};
pub(crate) use watch::{follow_nodes, follow_pools};

use making::Found;
use nodes::SeenNode;
use say::Remedy;
pub(crate) use say::Told;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenantry_checklist::access::TenantId;
use tenantry_crds::ServerPool;
use tenantry_crds::pool::{PoolNode, PoolReservation, Tenancy};
use tenantry_crds::subscription::ServersStatus;
use tenantry_servers::record::{amounts, written};
use tenantry_servers::{Amounts, Decision, Room, Traces, Want};
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
    /// What was seen on tenants' own servers since the desk looked last, and those that were closed by then, by pool.
    traces: BTreeMap<String, (BTreeMap<String, Traces>, BTreeSet<String>)>,
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
        // What is just being given back is not had any more: who comes back meanwhile asks anew.
        let is_left = self.left.contains(&(name.clone(), tenant.to_owned()));
        let held = pool.status.as_ref().filter(|_| !is_left).and_then(|status| {
            status.reservations.iter().find(|held| held.tenant == tenant && held.uid == wish.uid)
        });
        let has = held.map(|held| ServersStatus {
            pool: name.clone(),
            class: pool.spec.class.clone(),
            tenancy: pool.spec.tenancy,
            chip_power: pool.spec.chip_power.clone(),
            amounts: held.amounts.clone(),
            nodes: kept(held).map(|node| node.name.clone()).collect(),
            price_key: pool.spec.price_key.clone(),
            // Counted where it is told.
            ..ServersStatus::default()
        });
        let granted = held.is_some_and(|held| {
            amounts(&held.amounts).is_some_and(|has| has.covers(wish.amounts))
                && kept(held).count() >= wish.nodes
        });
        let decision = self.decisions.get(&(name.clone(), tenant.to_owned()));
        let waits = match (granted, decision) {
            (true, decision) => self.not_ready(pool, held, decision),
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
        pool: &ServerPool,
        held: Option<&PoolReservation>,
        decision: Option<&Decision>,
    ) -> Option<Told> {
        let held = held.filter(|held| !held.nodes.is_empty())?;
        // Before nodes are seen nothing is said about them: what was said before stays true.
        if !self.nodes_known {
            return None;
        }
        let (mut wrong, mut fails, mut is_asked) = (Vec::new(), false, false);
        let asks =
            |node: &str| pool.spec.exchange.iter().any(|act| act.node == node && act.tenant == held.tenant);
        for node in kept(held) {
            if self.nodes.get(&node.name).is_some_and(|seen| !seen.ready || !seen.schedulable) {
                fails = true;
                is_asked |= asks(&node.name);
            }
            match self.nodes.get(&node.name).filter(|seen| seen.uid == node.uid) {
                None => wrong.push(format!("{} is gone", node.name)),
                Some(seen) if !seen.ready => wrong.push(format!("{} is not ready", node.name)),
                Some(seen) if !seen.schedulable => wrong.push(format!("{} is cordoned", node.name)),
                Some(seen) if seen.mark != tenantry_servers::Mark::Tenant(held.tenant.clone()) => {
                    wrong.push(format!("{} is being prepared", node.name));
                }
                Some(_) => {}
            }
        }
        let remedy = match (decision, fails, is_asked) {
            (Some(Decision::Short { .. }), ..) => Remedy::Add,
            (_, true, true) => Remedy::AddOrUnpin,
            (_, true, false) => Remedy::Exchange,
            (_, false, _) => Remedy::Wait,
        };
        let name = pool.metadata.name.as_deref().unwrap_or_default();
        (!wrong.is_empty()).then(|| Told::nodes(name, &wrong, remedy))
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

/// The nodes of a tenant that it does not leave.
fn kept(held: &PoolReservation) -> impl Iterator<Item = &PoolNode> {
    held.nodes.iter().filter(|node| !node.leaving)
}

impl Wish {
    /// What it amounts to once it is had, as people read it.
    pub(crate) fn promised(&self) -> tenantry_crds::pool::PoolAmounts {
        written(self.amounts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A pool of whole servers in which one tenant has three nodes, the last of which it leaves.
    fn pool() -> ServerPool {
        let nodes = json!([{"name": "n0", "uid": "u0"}, {"name": "n1", "uid": "u1"},
            {"name": "n2", "uid": "u2", "leaving": true}]);
        let amounts = written(Amounts::default());
        serde_json::from_value(json!({
            "metadata": {"name": "own"}, "spec": {"class": "hall", "tenancy": "Dedicated"},
            "status": {"reservations": [{"tenant": "t1", "subscription": "acme", "uid": "s1", "amounts": amounts,
                "nodes": nodes, "since": "2026-01-01T00:00:00Z"}]},
        }))
        .unwrap()
    }

    fn wish(nodes: usize) -> Wish {
        Wish {
            subscription: "acme".to_owned(),
            uid: "s1".to_owned(),
            tenant: "t1".parse().unwrap(),
            class: "hall".to_owned(),
            tenancy: Tenancy::Dedicated,
            amounts: Amounts::default(),
            largest: Room::default(),
            nodes,
        }
    }

    fn servers() -> Servers {
        let servers = Servers::default();
        servers.lock().pools.insert("own".to_owned(), Arc::new(pool()));
        servers
    }

    #[test]
    fn what_a_tenant_leaves_is_not_what_it_has() {
        let standing = servers().ask(&wish(2), true, 0);
        assert!(standing.granted);
        assert_eq!(standing.has.unwrap().nodes, ["n0", "n1"]);
        assert!(!servers().ask(&wish(3), true, 0).granted, "the third is on its way out");
    }

    #[test]
    fn who_comes_back_while_his_share_is_given_back_asks_anew() {
        let servers = servers();
        servers.has_left("own", "t1");
        let standing = servers.ask(&wish(2), true, 0);
        assert!(!standing.granted && standing.has.is_none());
        servers.lock().left.clear();
        assert!(servers.ask(&wish(2), true, 0).granted);
    }

    #[test]
    fn a_server_that_fails_is_told_with_what_can_be_done() {
        let seen = |uid: &str, schedulable: bool| SeenNode {
            uid: uid.to_owned(),
            resource_version: "7".to_owned(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            allocatable: BTreeMap::new(),
            ready: true,
            schedulable,
            mark: tenantry_servers::Mark::Tenant("t1".to_owned()),
        };
        let told = |exchange: serde_json::Value, works: bool| {
            let servers = servers();
            let mut pool = pool();
            pool.spec.exchange = serde_json::from_value(exchange).unwrap();
            let mut state = servers.lock();
            state.pools.insert("own".to_owned(), Arc::new(pool));
            state.nodes_known = true;
            // What is left may be as it is.
            for (name, uid, works) in [("n0", "u0", works), ("n1", "u1", true), ("n2", "u2", false)] {
                state.nodes.insert(name.to_owned(), seen(uid, works));
            }
            drop(state);
            servers.ask(&wish(2), true, 0).waits.map(|told| told.message)
        };
        assert_eq!(told(json!([]), true), None);
        assert!(told(json!([]), false).unwrap().contains("n0 is cordoned; what is on it is kept"));
        let said = json!([{"node": "n0", "tenant": "t1", "by": "ada"}]);
        assert!(told(said, false).unwrap().contains("another takes its place when one is free"));
        let of_another = json!([{"node": "n0", "tenant": "t2", "by": "ada"}]);
        assert!(told(of_another, false).unwrap().contains("name it in spec.exchange"));
    }
}
