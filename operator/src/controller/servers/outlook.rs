//! Whether there is room for an order before it is placed: the pools as they are now, and the very decision that the desk would
//! make. Needs a client to read them.

use super::Wish;
use super::making::origins;
use super::nodes::{NodeObject, SeenNode, of_pool};
use super::say::Told;
use super::write::specs;
use kube::Client;
use kube::api::{Api, ListParams};
use serde::Serialize;
use std::collections::BTreeMap;
use tenantry_blueprint::decorate::SERVER_CLASS_LABEL;
use tenantry_crds::ServerPool;
use tenantry_crds::pool::Tenancy;
use tenantry_servers::making::{makable, plan};
use tenantry_servers::record::{self, take_back};
use tenantry_servers::{Decision, Pool, Want, settle};

/// The pools that are in use, as they are now and with what was asked of them here.
#[derive(Debug, Default)]
pub(crate) struct Outlook {
    pools: BTreeMap<(String, Tenancy), (ServerPool, Result<Pool, String>)>,
    nodes: BTreeMap<String, SeenNode>,
}

/// Whether an order would have its share at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Room {
    /// Class of servers that the plan names.
    pub(crate) class: String,
    /// Whether they are shared with others.
    pub(crate) tenancy: Tenancy,
    /// The pool that accounts for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pool: Option<String>,
    /// Whether there is room for it now.
    pub(crate) fits: bool,
    /// What is missing, by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) lacks: BTreeMap<String, String>,
    /// How many wait before it and are served first.
    pub(crate) waiting_before: usize,
    /// Nodes that would be made for it by the template of the pool.
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) nodes_made: usize,
    /// Why it would wait, in the words of its checklist.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

// === impl Outlook ===

impl Outlook {
    /// Reads the pools and, where there are any, the nodes of some class.
    ///
    /// # Errors
    /// When the API server does not answer, or the caller may not read them.
    pub(crate) async fn load(client: &Client) -> Result<Self, kube::Error> {
        let pools: Api<ServerPool> = Api::all(client.clone());
        let mut pools = pools.list(&ListParams::default()).await?.items;
        if pools.is_empty() {
            return Ok(Self::default());
        }
        let nodes: Api<NodeObject> = Api::all(client.clone());
        let nodes = nodes.list(&ListParams::default().labels(SERVER_CLASS_LABEL)).await?;
        let nodes = nodes.items.into_iter().filter_map(NodeObject::seen).collect();
        pools.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        Ok(Self::of(pools, nodes))
    }

    /// The same of pools in the order of their names: the first of a class and a tenancy is in use.
    fn of(pools: Vec<ServerPool>, nodes: BTreeMap<String, SeenNode>) -> Self {
        let mut used = BTreeMap::new();
        let made_by = origins(&nodes);
        for object in &pools {
            let name = object.metadata.name.clone().unwrap_or_default();
            let status = object.status.clone().unwrap_or_default();
            let mine = of_pool(&name, specs(&pools), &nodes);
            let pool = record::pool(&object.spec, &status, mine).map(|mut pool| {
                take_back(&mut pool, &object.spec);
                pool.makable = makable(&object.spec, &status.made, &pool, &made_by);
                pool
            });
            let key = (object.spec.class.clone(), object.spec.tenancy);
            used.entry(key).or_insert_with(|| (object.clone(), pool.map_err(|error| error.field)));
        }
        Self { pools: used, nodes }
    }

    /// Whether there is room for a wish, beside everybody who asked before; nothing where no pool accounts for it. Whoever asks next
    /// is asked for beside it.
    pub(crate) fn ask(&mut self, wish: &Wish, now: i64) -> Option<Room> {
        let made_by = origins(&self.nodes);
        let known = self.pools.get_mut(&(wish.class.clone(), wish.tenancy));
        let room = Room {
            class: wish.class.clone(),
            tenancy: wish.tenancy,
            pool: None,
            fits: false,
            lacks: BTreeMap::new(),
            waiting_before: 0,
            nodes_made: 0,
            message: String::new(),
        };
        let Some((object, pool)) = known else {
            return (wish.tenancy == Tenancy::Dedicated)
                .then(|| Room { message: Told::no_pool(wish).message, ..room });
        };
        let name = object.metadata.name.clone().unwrap_or_default();
        let room = Room { pool: Some(name.clone()), ..room };
        let pool = match pool {
            Ok(pool) => pool,
            Err(field) => {
                let message =
                    format!("{field} of pool {name} cannot be read; restore it, and the pool is used again");
                return Some(Room { message, ..room });
            }
        };
        // By its subscription, because somebody who is not there yet has no identity.
        let tenant = if wish.uid.is_empty() {
            format!("order {}", wish.subscription)
        } else {
            wish.tenant.to_string()
        };
        let want = Want {
            tenant: tenant.clone(),
            subscription: wish.subscription.clone(),
            uid: wish.uid.clone(),
            amounts: wish.amounts,
            largest: wish.largest,
            nodes: wish.nodes,
            since: now,
        };
        let made = object.status.clone().unwrap_or_default().made;
        let making = |pool: &Pool| plan(&mut pool.clone(), &object.spec, &mut made.clone(), &made_by, now);
        let before = making(pool);
        let decision = settle(pool, [want]).remove(&tenant).unwrap_or(Decision::Held);
        let (lacks, waiting_before) = match &decision {
            Decision::Held => return Some(Room { fits: true, ..room }),
            Decision::Waits { lacks, ahead, .. } => (
                lacks.iter().map(|lack| (lack.resource.to_string(), lack.missing.to_string())).collect(),
                *ahead,
            ),
            Decision::Short { .. } | Decision::Full => (BTreeMap::new(), 0),
        };
        let nodes_made = making(pool).saturating_sub(before);
        let remedy = (nodes_made > 0).then(|| format!("its template makes {nodes_made}"));
        let message = Told::waits(&name, &decision, remedy.as_deref()).message;
        Some(Room { lacks, waiting_before, nodes_made, message, ..room })
    }
}

// === impl Room ===

impl Room {
    /// In one line for people.
    pub(crate) fn told(&self) -> String {
        match (&self.pool, self.fits) {
            (Some(pool), true) => format!("pool {pool} has room for it now"),
            _ => format!("would wait for servers: {}", self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tenantry_crds::quantity::Quantity;
    use tenantry_servers::Amounts;

    fn pool(name: &str, spec: &Value) -> ServerPool {
        let mut object = json!({"apiVersion": "tenantry.io/v1alpha1", "kind": "ServerPool", "metadata": {"name": name},
            "spec": {"class": "hall"}});
        for (field, value) in spec.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn node(name: &str, labels: &Value) -> (String, SeenNode) {
        let mut labels = labels.clone();
        labels[SERVER_CLASS_LABEL] = json!("hall");
        let object: NodeObject = serde_json::from_value(json!({
            "metadata": {"name": name, "uid": format!("u-{name}"), "resourceVersion": "7", "labels": labels},
            "spec": {},
            "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"},
                "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        object.seen().unwrap()
    }

    fn wish(name: &str, cores: i64, nodes: usize) -> Wish {
        let mut amounts = Amounts::default();
        amounts.requests.cpu = Quantity::from_count(cores);
        Wish {
            subscription: name.to_owned(),
            uid: String::new(),
            tenant: tenantry_checklist::access::TenantId::from_random([0; 10]),
            class: "hall".to_owned(),
            tenancy: if nodes > 0 { Tenancy::Dedicated } else { Tenancy::Shared },
            amounts,
            largest: tenantry_servers::Room::default(),
            nodes,
        }
    }

    #[test]
    fn who_asks_together_is_served_one_after_the_other() {
        let nodes = [node("s-0", &json!({}))].into();
        let mut outlook = Outlook::of(vec![pool("hall", &json!({"tenancy": "Shared"}))], nodes);
        let first = outlook.ask(&wish("acme", 5, 0), 1).unwrap();
        assert_eq!((first.fits, first.told().as_str()), (true, "pool hall has room for it now"));
        let second = outlook.ask(&wish("bolt", 5, 0), 1).unwrap();
        assert_eq!((second.fits, second.lacks["cpu"].as_str(), second.waiting_before), (false, "2", 0));
        assert!(second.told().contains("pool hall lacks cpu 2; add nodes"), "{}", second.told());
        let third = outlook.ask(&wish("corvus", 2, 0), 1).unwrap();
        assert_eq!((third.fits, third.waiting_before), (false, 1), "{third:?}");
        assert!(third.message.contains("1 waits before it"), "{third:?}");
    }

    #[test]
    fn whole_servers_that_nobody_has_are_said_and_those_that_would_be_made() {
        let mut without = Outlook::of(vec![], BTreeMap::new());
        assert_eq!(without.ask(&wish("acme", 1, 0), 1), None, "nothing is accounted");
        let told = without.ask(&wish("acme", 1, 2), 1).unwrap();
        assert!(!told.fits && told.told().contains("no ServerPool of that class"), "{told:?}");
        let template = json!({"maxNodes": 2, "nodePool": {}});
        let made = pool("own", &json!({"tenancy": "Dedicated", "template": template}));
        let mut outlook = Outlook::of(vec![made], BTreeMap::new());
        let told = outlook.ask(&wish("acme", 1, 2), 1).unwrap();
        assert_eq!((told.fits, told.nodes_made, told.lacks["nodes"].as_str()), (false, 2, "2"));
        assert!(told.message.contains("its template makes 2, and it goes on by itself"), "{told:?}");
        let told = outlook.ask(&wish("bolt", 1, 3), 1).unwrap();
        assert_eq!(told.nodes_made, 0, "there may not be as many: {told:?}");
    }
}
