//! Nodes that are made for tenants who wait, and given back after them; pure.
//!
//! Each node is made by an object of its own, so that each can be given back by itself. It comes into the pool as any other one:
//! it is taken in, seen empty, and given to who waits longest, whoever it was made for. With its object the machine goes and what
//! was on its disk, so one that was a tenant's is not cleaned but given back. Until it is seen gone it stays quarantined, so that
//! what its label says is believed by nobody who could have put it there.

use crate::marks::{ENROLLING, TAINT};
use crate::pool::{Pool, Quarantine, Reservation, Want};
use crate::settle::could_ever;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tenantry_crds::pool::{MadeNode, NodeMaker, ServerPoolSpec};

/// Label of a node with the name of the object that it was made by. Both makers put it on their nodes: Cluster API hands on labels
/// of this domain alone, and no kubelet may set it on its own node.
pub const MADE_LABEL: &str = "node-restriction.kubernetes.io/tenantry-made";
/// Label of such an object: the pool.
pub const POOL_LABEL: &str = "tenantry.io/server-pool";
/// Label of such an object: the UID of the pool.
pub const POOL_UID_LABEL: &str = "tenantry.io/server-pool-uid";
/// Label of a node with its class of servers.
const CLASS_LABEL: &str = "tenantry.io/server-class";
/// Most objects that a record has room for, those that are being given back included (the CRD's bound).
const ROOM: usize = 256;

/// Names of nodes with the object that each was made by, whichever of them the pool takes in.
pub type Origins = BTreeMap<String, String>;

/// How one object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// Its node is a tenant's.
    Had,
    /// Its node was a tenant's, or is on its way out.
    Left,
    /// Its node is free.
    Free,
    /// Its node is not there yet, or cannot be given yet.
    Coming,
}

/// How many nodes more there could be by the template than there are.
#[must_use]
pub fn makable(spec: &ServerPoolSpec, made: &[MadeNode], pool: &Pool, origins: &Origins) -> usize {
    let there: BTreeSet<&str> =
        pool.nodes.keys().filter_map(|node| origins.get(node).map(String::as_str)).collect();
    most(spec).saturating_sub(made.iter().filter(|one| one.removing || there.contains(&*one.name)).count())
}

fn most(spec: &ServerPoolSpec) -> usize {
    let most = spec.template.as_ref().map_or(0, |template| template.max_nodes);
    usize::try_from(most).unwrap_or_default()
}

/// Decides, after everybody was settled, what is given back and how many nodes are made. What is given back is said in `made`, and
/// its nodes are quarantined. Gives the number of nodes to make.
pub fn plan(
    pool: &mut Pool,
    spec: &ServerPoolSpec,
    made: &mut [MadeNode],
    origins: &Origins,
    now: i64,
) -> usize {
    let mut nodes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (node, object) in origins.iter().filter(|(node, _)| pool.nodes.contains_key(*node)) {
        nodes.entry(object).or_default().push(node);
    }
    let free: BTreeSet<String> = pool.free_nodes().into_iter().map(str::to_owned).collect();
    let had: BTreeSet<String> = pool
        .reservations
        .values()
        .flat_map(|held| held.nodes.iter().filter(|node| pool.is_there(node)).map(|node| node.name.clone()))
        .collect();
    let stand = |one: &MadeNode| {
        let mine = nodes.get(one.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        if mine.iter().any(|node| had.contains(*node)) {
            Stand::Had
        } else if one.removing || mine.iter().any(|node| pool.quarantined.contains_key(*node)) {
            Stand::Left
        } else if mine.iter().any(|node| free.contains(*node)) {
            Stand::Free
        } else {
            Stand::Coming
        }
    };
    let stands: Vec<Stand> = made.iter().map(stand).collect();
    let count = |which: Stand| stands.iter().filter(|stand| **stand == which).count();
    let have = free.len() + count(Stand::Coming);
    let room = most(spec).min(ROOM).saturating_sub(made.len());
    let wanted = wanted(pool, have + room);
    let needs = match wanted {
        // What is held back is made only where somebody gets nothing without it.
        0 => pool.reserve_nodes,
        wanted => wanted + pool.reserve_nodes,
    };
    let mut surplus = have.saturating_sub(needs);
    // The youngest first, and of those that nobody could use yet.
    let mut order: Vec<usize> = (0..made.len()).collect();
    let age = |at: &usize| made.get(*at).map(|one| (one.since.0, one.name.clone()));
    order.sort_by_key(|at| (stands.get(*at) != Some(&Stand::Coming), std::cmp::Reverse(age(at))));
    for at in order {
        let (Some(one), Some(stand)) = (made.get_mut(at), stands.get(at)) else { continue };
        one.removing = match stand {
            Stand::Had => false,
            Stand::Left => true,
            Stand::Free | Stand::Coming if surplus > 0 => {
                surplus -= 1;
                true
            }
            Stand::Free | Stand::Coming => false,
        };
    }
    let leaving: BTreeSet<&str> =
        made.iter().filter(|one| one.removing).map(|one| one.name.as_str()).collect();
    let Pool { nodes, quarantined, .. } = pool;
    for (name, node) in nodes.iter().filter(|(name, _)| !had.contains(*name)) {
        if origins.get(name).is_some_and(|object| leaving.contains(object.as_str())) {
            let quarantine = Quarantine { uid: node.uid.clone(), tenant: String::new(), since: now };
            quarantined.entry(name.clone()).or_insert(quarantine);
        }
    }
    match wanted {
        0 => 0,
        _ => needs.saturating_sub(have).min(room),
    }
}

/// Nodes that are missing to those who have lost one and to those who wait, in the order in which they are served, as far as all of
/// them can be.
fn wanted(pool: &Pool, at_most: usize) -> usize {
    let lost = pool.reservations.values().flat_map(|held| &held.nodes).filter(|node| !pool.is_there(node));
    let mut wanted = lost.count();
    let mut queue: Vec<&Want> = pool.waiting.values().collect();
    queue.sort_by(|one, other| one.turn(other));
    for want in queue {
        let given = pool.reservations.get(&want.tenant).map_or(0, Reservation::kept);
        let missing = want.nodes.saturating_sub(given);
        if wanted + missing + pool.reserve_nodes <= at_most {
            wanted += missing;
        } else if could_ever(pool, want) {
            // Who comes after him does not go ahead, so nothing is made for those.
            break;
        }
    }
    wanted
}

/// What kind of object makes the nodes of a template, and in which namespace.
#[must_use]
pub fn maker(spec: &ServerPoolSpec) -> Option<(NodeMaker, Option<String>)> {
    let template = spec.template.as_ref()?;
    match (&template.node_pool, &template.machine_deployment) {
        (Some(_), _) => Some((NodeMaker::NodePool, None)),
        (None, Some(machines)) => Some((NodeMaker::MachineDeployment, Some(machines.namespace.clone()))),
        (None, None) => None,
    }
}

/// The object that makes a node, by the template as it is now; nothing where that makes nodes in another way by now.
#[must_use]
pub fn render(pool: &str, uid: &str, spec: &ServerPoolSpec, made: &MadeNode) -> Option<Value> {
    let template = spec.template.as_ref()?;
    let labels = node_labels(spec, &made.name);
    let owner = json!({POOL_LABEL: pool, POOL_UID_LABEL: uid});
    match made.kind {
        NodeMaker::NodePool => {
            let mut body = template.node_pool.as_ref()?.as_object()?.clone();
            body.insert("replicas".to_owned(), json!(1));
            edit(&mut body, &["template", "metadata", "labels"], |fields| fields.extend(labels));
            edit(&mut body, &["template", "spec"], |fields| {
                let taints = fields.entry("taints").or_insert_with(|| json!([]));
                if let Some(taints) = taints.as_array_mut() {
                    taints.push(json!({"key": TAINT, "value": ENROLLING, "effect": "NoSchedule"}));
                }
                // A tenant's server is not replaced because it is some weeks old, or because its image is newer by now.
                fields.entry("expireAfter").or_insert_with(|| json!("Never"));
            });
            edit(&mut body, &["disruption"], |fields| {
                fields.entry("budgets").or_insert_with(|| json!([{"nodes": "0"}]));
            });
            let metadata = json!({"name": made.name, "labels": owner});
            Some(
                json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": metadata, "spec": body}),
            )
        }
        NodeMaker::MachineDeployment => {
            let machines = template.machine_deployment.as_ref()?;
            let metadata = json!({"name": made.name, "namespace": made.namespace.as_ref()?, "labels": owner});
            let mut body = machines.spec.as_object()?.clone();
            body.insert("replicas".to_owned(), json!(1));
            // Each selects its own machines only, whatever the template says.
            body.insert("selector".to_owned(), json!({"matchLabels": {MADE_LABEL: made.name}}));
            edit(&mut body, &["template", "metadata", "labels"], |fields| fields.extend(labels));
            let api_version = "cluster.x-k8s.io/v1beta2";
            Some(
                json!({"apiVersion": api_version, "kind": "MachineDeployment", "metadata": metadata, "spec": body}),
            )
        }
    }
}

/// Labels that a node has to carry to come into the pool, and the one that says what it was made by.
fn node_labels(spec: &ServerPoolSpec, name: &str) -> Map<String, Value> {
    let own = spec.node_labels.iter().map(|label| (label.key.as_str(), label.value.as_str()));
    let all = own.chain([(CLASS_LABEL, spec.class.as_str()), (MADE_LABEL, name)]);
    all.map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
}

/// Changes the object at a path, which is made where there is none.
fn edit<F: FnOnce(&mut Map<String, Value>)>(fields: &mut Map<String, Value>, path: &[&str], with: F) {
    let [first, rest @ ..] = path else { return with(fields) };
    let mut child = match fields.remove(*first) {
        Some(Value::Object(child)) => child,
        _ => Map::new(),
    };
    edit(&mut child, rest, with);
    fields.insert((*first).to_owned(), Value::Object(child));
}
