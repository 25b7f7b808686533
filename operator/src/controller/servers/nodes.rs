//! Nodes as pools see them, and which belong to which pool; no client or clock.

use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use tenantry_blueprint::decorate::SERVER_CLASS_LABEL;
use tenantry_crds::pool::{ServerPoolSpec, Tenancy};
use tenantry_crds::quantity::Quantity;
use tenantry_servers::marks::{TAINT, TENANT_LABEL};
use tenantry_servers::{Mark, Node, Room};

/// Label of a node's architecture.
const ARCHITECTURE: &str = "kubernetes.io/arch";

/// A node as it comes over a watch: what is not needed is never kept, such as its images.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeObject {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    taints: Vec<Value>,
    unschedulable: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    allocatable: BTreeMap<String, String>,
    conditions: Vec<NodeCondition>,
}

#[derive(Clone, Debug, Deserialize)]
struct NodeCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

/// A node as it was seen last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenNode {
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) taints: Vec<Value>,
    pub(super) allocatable: BTreeMap<String, String>,
    pub(super) ready: bool,
    pub(super) schedulable: bool,
    pub(super) mark: Mark,
}

// === impl NodeObject ===

impl Resource for NodeObject {
    type DynamicType = ();
    type Scope = kube::core::ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Node".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "nodes".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl NodeObject {
    /// Its name and what is kept of it.
    pub(super) fn seen(self) -> Option<(String, SeenNode)> {
        let Self { metadata, spec, status } = self;
        let labels = metadata.labels.unwrap_or_default();
        let taint = spec.taints.iter().find(|taint| is_ours(taint));
        let taint = taint.map(|taint| taint.get("value").and_then(Value::as_str).unwrap_or_default());
        let mark = Mark::read(labels.get(TENANT_LABEL).map(String::as_str), taint);
        let ready = status.conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
        let seen = SeenNode {
            uid: metadata.uid?,
            resource_version: metadata.resource_version.unwrap_or_default(),
            mark,
            labels,
            schedulable: !spec.unschedulable && metadata.deletion_timestamp.is_none(),
            taints: spec.taints,
            allocatable: status.allocatable,
            ready,
        };
        Some((metadata.name?, seen))
    }
}

// === impl SeenNode ===

impl SeenNode {
    /// Whether another look shows nothing that matters.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Self { resource_version: String::new(), ..self.clone() }
            == Self { resource_version: String::new(), ..other.clone() }
    }

    /// Whether a pool takes it in.
    fn fits(&self, spec: &ServerPoolSpec) -> bool {
        let labelled = |key: &str, value: &str| self.labels.get(key).is_some_and(|known| known == value);
        let is_of_class = labelled(SERVER_CLASS_LABEL, &spec.class);
        let is_chosen = spec.node_labels.iter().all(|label| labelled(&label.key, &label.value));
        is_of_class
            && is_chosen
            && spec.server.as_ref().is_none_or(|server| {
                let has = |resource: &str, least: &Option<String>| {
                    least.as_ref().is_none_or(|least| {
                        least.parse::<Quantity>().is_ok_and(|least| self.amount(resource) >= least)
                    })
                };
                server.architecture.as_ref().is_none_or(|arch| labelled(ARCHITECTURE, arch))
                    && has("cpu", &server.cpu)
                    && has("memory", &server.memory)
                    && has("ephemeral-storage", &server.disk)
                    && server.accelerator.as_ref().is_none_or(|name| self.amount(name) > Quantity::ZERO)
            })
    }

    fn amount(&self, resource: &str) -> Quantity {
        self.allocatable.get(resource).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    fn node(&self) -> Node {
        let allocatable = Room {
            cpu: self.amount("cpu"),
            memory: self.amount("memory"),
            disk: self.amount("ephemeral-storage"),
            pods: self.amount("pods"),
        };
        Node {
            uid: self.uid.clone(),
            allocatable,
            ready: self.ready,
            schedulable: self.schedulable,
            mark: self.mark.clone(),
        }
    }

    /// The operations that put a mark on it, as a JSON patch (RFC 6902) that tests that it is the node that was seen. Label and
    /// taint go together, and what others put there stays.
    pub(super) fn patch(&self, mark: &Mark) -> Value {
        let mut operations = vec![
            serde_json::json!({"op": "test", "path": "/metadata/uid", "value": self.uid}),
            serde_json::json!({"op": "test", "path": "/metadata/resourceVersion", "value": self.resource_version}),
        ];
        let label = format!("/metadata/labels/{}", TENANT_LABEL.replace('~', "~0").replace('/', "~1"));
        match (mark.label(), self.labels.get(TENANT_LABEL)) {
            (Some(value), _) => {
                operations.push(serde_json::json!({"op": "add", "path": label, "value": value}))
            }
            (None, Some(_)) => operations.push(serde_json::json!({"op": "remove", "path": label})),
            (None, None) => {}
        }
        let mut taints: Vec<Value> = self.taints.iter().filter(|taint| !is_ours(taint)).cloned().collect();
        if let Some(value) = mark.taint() {
            taints.push(serde_json::json!({"key": TAINT, "value": value, "effect": "NoSchedule"}));
        }
        operations.push(serde_json::json!({"op": "add", "path": "/spec/taints", "value": taints}));
        Value::Array(operations)
    }
}

fn is_ours(taint: &Value) -> bool {
    taint.get("key").and_then(Value::as_str) == Some(TAINT)
}

/// The nodes of one pool, among all pools in use. A node that several would have is that of the dedicated one, or of the first
/// by name: pools come in that order.
pub(super) fn of_pool<'a>(
    pool: &str,
    pools: impl IntoIterator<Item = (&'a str, &'a ServerPoolSpec)>,
    nodes: &BTreeMap<String, SeenNode>,
) -> BTreeMap<String, Node> {
    let mut pools: Vec<(&str, &ServerPoolSpec)> = pools.into_iter().collect();
    pools.sort_by_key(|(name, spec)| (spec.tenancy != Tenancy::Dedicated, *name));
    let owner = |node: &SeenNode| pools.iter().find(|(_, spec)| node.fits(spec)).map(|(name, _)| *name);
    let is_shared = pools.iter().any(|(name, spec)| *name == pool && spec.tenancy == Tenancy::Shared);
    let mine = nodes.iter().filter(|(_, node)| owner(node) == Some(pool));
    // What was one tenant's is nobody else's before it was cleaned, whichever pool it would belong to by its labels.
    let is_anothers =
        |node: &SeenNode| matches!(node.mark, Mark::Tenant(_) | Mark::Leaving(_) | Mark::Quarantined);
    mine.filter(|(_, node)| !is_shared || !is_anothers(node))
        .map(|(name, seen)| {
            let mut node = seen.node();
            // Its taint is taken off first.
            node.schedulable &= !is_shared || node.mark == Mark::None;
            (name.clone(), node)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(name: &str, labels: Value, taints: Value) -> (String, SeenNode) {
        let object: NodeObject = serde_json::from_value(json!({
            "metadata": {"name": name, "uid": format!("u-{name}"), "resourceVersion": "7", "labels": labels},
            "spec": {"taints": taints},
            "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"},
                "conditions": [{"type": "Ready", "status": "True"}], "images": [{"names": ["a"]}]},
        }))
        .unwrap();
        object.seen().unwrap()
    }

    fn spec(tenancy: Tenancy, labels: &[(&str, &str)]) -> ServerPoolSpec {
        let labels: Vec<Value> =
            labels.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        serde_json::from_value(json!({"class": "standard", "tenancy": tenancy, "nodeLabels": labels}))
            .unwrap()
    }

    fn names(
        pool: &str,
        pools: &[(&str, ServerPoolSpec)],
        nodes: &[(String, SeenNode)],
    ) -> Vec<(String, bool)> {
        let nodes = nodes.iter().cloned().collect();
        let found = of_pool(pool, pools.iter().map(|(name, spec)| (*name, spec)), &nodes);
        found.into_iter().map(|(name, node)| (name, node.is_usable())).collect()
    }

    #[test]
    fn a_node_belongs_to_one_pool_and_to_none_but_its_tenants_before_it_is_cleaned() {
        let of_class = json!({"tenantry.io/server-class": "standard"});
        let own = json!({"tenantry.io/server-class": "standard", "use": "own"});
        let taint = |value: &str| json!([{"key": TAINT, "value": value, "effect": "NoSchedule"}]);
        let mut tenants = of_class.clone();
        tenants[TENANT_LABEL] = json!("t1");
        let nodes = [
            seen("a", of_class.clone(), json!([])),
            seen("b", own, json!([])),
            seen("c", json!({"tenantry.io/server-class": "other"}), json!([])),
            seen("d", tenants, taint("t1")),
            seen("e", of_class.clone(), taint("free")),
            seen("f", of_class, taint("quarantined")),
        ];
        let pools =
            [("all", spec(Tenancy::Shared, &[])), ("own", spec(Tenancy::Dedicated, &[("use", "own")]))];
        assert_eq!(names("own", &pools, &nodes), [("b".to_owned(), true)]);
        assert_eq!(names("all", &pools, &nodes), [("a".to_owned(), true), ("e".to_owned(), false)]);
        let mut large = spec(Tenancy::Shared, &[]);
        large.server = Some(serde_json::from_value(json!({"cpu": "16"})).unwrap());
        assert!(names("all", &[("all", large)], &nodes).is_empty(), "they have less than is asked for");
    }

    #[test]
    fn a_mark_leaves_what_others_put_on_a_node() {
        let others = json!({"key": "spot", "value": "true", "effect": "NoExecute"});
        let taint = json!({"key": TAINT, "value": "t1", "effect": "NoSchedule"});
        let (_, node) = seen("a", json!({"x": "y", TENANT_LABEL: "t1"}), json!([taint, others]));
        assert_eq!(node.mark, Mark::Tenant("t1".into()));
        let tests = [
            json!({"op": "test", "path": "/metadata/uid", "value": "u-a"}),
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"}),
        ];
        let label = "/metadata/labels/node-restriction.kubernetes.io~1tenantry-tenant";
        let quarantined = json!({"key": TAINT, "value": "quarantined", "effect": "NoSchedule"});
        let expected = [
            json!({"op": "remove", "path": label}),
            json!({"op": "add", "path": "/spec/taints", "value": [others, quarantined]}),
        ];
        assert_eq!(node.patch(&Mark::Quarantined), json!([&tests[..], &expected[..]].concat()));
        let off = json!({"op": "add", "path": "/spec/taints", "value": [others]});
        assert_eq!(node.patch(&Mark::None).as_array().unwrap().last(), Some(&off));
    }
}
