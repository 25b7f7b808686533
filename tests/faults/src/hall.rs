//! The hall: servers of a class of their own, of which tenants have a share or a whole one; pure.
//!
//! What it is like on a stage, and how it is read. Names and keys are written out here and not taken from the product, so that
//! what judges it does not change with it.

use serde_json::{Value, json};

use crate::history::{Key, State, is_ending, uid, within};
use crate::suspension::are_followed;

/// Where pools are.
pub(crate) const POOLS: &str = "serverpools.tenantry.io";
/// Where nodes are.
pub(crate) const NODES: &str = "nodes";
/// Label of a node's class of servers.
pub(crate) const CLASS_LABEL: &str = "tenantry.io/server-class";
/// The class.
pub(crate) const CLASS: &str = "hall";
/// Label of a node that is one tenant's.
pub(crate) const TENANT: &str = "node-restriction.kubernetes.io/tenantry-tenant";
/// Taint of every node that is given as a whole.
pub(crate) const TAINT: &str = "node-restriction.kubernetes.io/tenantry-dedicated";
/// The pools: of whole servers, and of shared ones.
pub(crate) const POOL_OF: [&str; 2] = ["hall-own", "hall-shared"];
/// The plans on them.
pub(crate) const PLANS: [&str; 2] = POOL_OF;
/// The shared server. It has room for every tenant of a stage.
pub(crate) const SHARED_NODE: &str = "hall-shared";
/// Label of the nodes that are given as a whole.
const OWN: (&str, &str) = ("example.org/use", "own");
/// Value of the taint of a node that is nobody's.
const FREE: &str = "free";
/// Value of the taint of a node that is not cleaned.
pub(crate) const QUARANTINED: &str = "quarantined";

/// The pools as they are made.
pub(crate) fn pools() -> [Value; 2] {
    let [own, shared] = POOL_OF;
    let pool = |name: &str, spec: Value| json!({"apiVersion": "tenantry.io/v1alpha1", "kind": "ServerPool", "metadata": {"name": name}, "spec": spec});
    let labels = json!([{"key": OWN.0, "value": OWN.1}]);
    [
        pool(own, json!({"class": CLASS, "tenancy": "Dedicated", "nodeLabels": labels})),
        pool(shared, json!({"class": CLASS, "tenancy": "Shared"})),
    ]
}

/// A node that is given as a whole, or the shared one, and what it says of itself.
pub(crate) fn node(name: &str, is_own: bool) -> (Value, Value) {
    let hostname = "kubernetes.io/hostname";
    let labels = match is_own {
        true => json!({CLASS_LABEL: CLASS, hostname: name, OWN.0: OWN.1}),
        false => json!({CLASS_LABEL: CLASS, hostname: name}),
    };
    let has = if is_own {
        json!({"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "110"})
    } else {
        json!({"cpu": "2k", "memory": "4Ti", "ephemeral-storage": "10Ti", "pods": "10k"})
    };
    let ready = json!([{"type": "Ready", "status": "True", "reason": "Played"}]);
    (
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}),
        json!({"status": {"capacity": has, "allocatable": has, "conditions": ready}}),
    )
}

/// Everything of one kind that is in no namespace.
pub(crate) fn all<'a>(state: &'a State, resource: &'a str) -> impl Iterator<Item = (&'a Key, &'a Value)> {
    let range = state.range(Key::new(resource, "", "")..);
    range.take_while(move |(key, _)| key.resource == resource).map(|(key, object)| (key, &**object))
}

/// The tenant that a node is labelled for.
pub(crate) fn labelled(node: &Value) -> Option<&str> {
    node.pointer("/metadata/labels")?.get(TENANT)?.as_str()
}

/// What the taint of a node says.
pub(crate) fn tainted(node: &Value) -> Option<&str> {
    let taints = node.pointer("/spec/taints").and_then(Value::as_array);
    let ours = taints.into_iter().flatten().find(|taint| taint["key"] == TAINT)?;
    Some(ours["value"].as_str().unwrap_or_default())
}

/// Entries of a list of the record of a pool.
pub(crate) fn entries<'a>(pool: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let list = pool.get("status").and_then(|status| status.get(list)).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// Whether a node can be given away.
pub(crate) fn is_free(node: &Value) -> bool {
    let other_taints = node.pointer("/spec/taints").and_then(Value::as_array).into_iter().flatten();
    tainted(node) == Some(FREE) && other_taints.count() == 1
}

/// How many nodes can be given away, once the record knows of all of them.
pub(crate) fn free(state: &State) -> Option<usize> {
    let free = all(state, NODES).filter(|(_, node)| is_free(node)).count();
    let [own, _] = POOL_OF;
    let told = state.get(&Key::new(POOLS, "", own))?.pointer("/status/freeNodes")?.as_u64()?;
    (told == free as u64).then_some(free)
}

/// Whether record and nodes agree, nobody waits, and nothing is to be cleaned.
pub(crate) fn is_settled(state: &State) -> bool {
    let [own, _] = POOL_OF;
    let Some(pool) = state.get(&Key::new(POOLS, "", own)) else { return false };
    let is_held = |node: &Value, tenant: &str| {
        entries(pool, "reservations").any(|held| {
            let nodes = held["nodes"].as_array();
            held["tenant"] == tenant && nodes.into_iter().flatten().any(|one| one["uid"] == uid(node))
        })
    };
    let is_as_it_must = |node: &Value| match labelled(node) {
        Some(tenant) => tainted(node) == Some(tenant) && is_held(node, tenant),
        None => {
            is_free(node) || node.pointer("/metadata/labels").is_none_or(|labels| labels.get(OWN.0).is_none())
        }
    };
    let given: usize =
        entries(pool, "reservations").map(|held| held["nodes"].as_array().map_or(0, Vec::len)).sum();
    let of_tenants = all(state, NODES).filter(|(_, node)| labelled(node).is_some()).count();
    all(state, NODES).all(|(_, node)| is_as_it_must(node))
        && given == of_tenants
        && free(state).is_some()
        && all(state, POOLS).all(|(_, pool)| {
            entries(pool, "waiting").next().is_none() && entries(pool, "quarantined").next().is_none()
        })
}

/// The pools in which a subscription has a share.
pub(crate) fn shares<'a>(state: &'a State, subscription: &str) -> Vec<&'a str> {
    let holds = |pool: &Value| entries(pool, "reservations").any(|held| held["subscription"] == subscription);
    all(state, POOLS).filter(|(_, pool)| holds(pool)).map(|(key, _)| key.name.as_str()).collect()
}

/// Whether the pods of a tenant are there, run, and none is on its way out.
pub(crate) fn is_housed(state: &State, tenant: &str) -> bool {
    let mut pods = within(state, "pods", &format!("tenant-{tenant}")).peekable();
    are_followed(state, tenant)
        && pods.peek().is_some()
        && pods.all(|(_, pod)| {
            !is_ending(pod) && pod.pointer("/status/phase").is_some_and(|phase| phase == "Running")
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;

    /// A node with this UID, whose label and taint say this.
    pub(crate) fn marked(uid: &str, label: Option<&str>, taint: Option<&str>) -> Value {
        let mut node =
            json!({"metadata": {"uid": uid, "labels": {OWN.0: OWN.1, CLASS_LABEL: CLASS}}, "spec": {}});
        if let Some(label) = label {
            node["metadata"]["labels"][TENANT] = json!(label);
        }
        if let Some(taint) = taint {
            node["spec"]["taints"] = json!([{"key": TAINT, "value": taint, "effect": "NoSchedule"}]);
        }
        node
    }

    fn state(nodes: &[(&str, Value)], status: Value) -> State {
        let [own, _] = POOL_OF;
        let nodes = nodes.iter().map(|(name, node)| (Key::new(NODES, "", name), Arc::new(node.clone())));
        nodes.chain([(Key::new(POOLS, "", own), Arc::new(json!({"status": status})))]).collect()
    }

    #[test]
    fn a_hall_is_settled_when_record_and_nodes_agree_and_nothing_is_open() {
        let held = |node: &str| json!([{"tenant": "t1", "subscription": "acme", "nodes": [{"name": "n", "uid": node}]}]);
        let given = marked("u1", Some("t1"), Some("t1"));
        let good = state(
            &[("a", given.clone()), ("b", marked("u2", None, Some(FREE)))],
            json!({"freeNodes": 1, "reservations": held("u1")}),
        );
        assert!(is_settled(&good) && free(&good) == Some(1));
        assert_eq!((shares(&good, "acme"), shares(&good, "bolt")), (vec!["hall-own"], vec![]));
        for (nodes, status, why) in [
            (vec![("a", given.clone())], json!({"freeNodes": 0}), "labelled for nobody"),
            (vec![("a", given.clone())], json!({"freeNodes": 0, "reservations": held("u9")}), "another node"),
            (
                vec![("a", marked("u1", None, Some(FREE)))],
                json!({"freeNodes": 1, "reservations": held("u1")}),
                "not labelled",
            ),
            (vec![("a", marked("u1", None, Some("enrolling")))], json!({"freeNodes": 0}), "not seen empty"),
            (vec![("a", marked("u1", None, None))], json!({"freeNodes": 0}), "not enrolled"),
            (vec![("a", marked("u1", None, Some(FREE)))], json!({"freeNodes": 0}), "not counted"),
            (vec![], json!({"freeNodes": 0, "waiting": [{}]}), "somebody waits"),
            (vec![], json!({"freeNodes": 0, "quarantined": [{}]}), "one is to be cleaned"),
        ] {
            assert!(!is_settled(&state(&nodes, status)), "{why}");
        }
        assert!(is_settled(&state(&[(SHARED_NODE, node(SHARED_NODE, false).0)], json!({"freeNodes": 0}))));
    }
}
